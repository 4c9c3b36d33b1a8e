//! From pg_dump's first byte to the completed upload.

use std::sync::Arc;
use std::time::Duration;

use holdpoint_core::manifest::PointFormat;
use holdpoint_core::progress::Phase;
use holdpoint_engine::copy_out::{Decision, decide};
use holdpoint_engine::{Contents, OpenedStream, read_head};
use holdpoint_postgres::programs::{PgDump, Running, judge};
use holdpoint_postgres::{ConnectionSettings, Snapshot};
use holdpoint_repository::Uploaded;

use super::Engine;
use super::passage::{Passage, StoredData, StoredFacts, abort};
use super::run::{Backup, SourceFacts};
use super::watch::Watch;
use crate::Error;

const GRACE: Duration = Duration::from_secs(5);

impl Backup<'_> {
    /// Streams pg_dump through the engine into the repository. Every row is read and nothing of the source is wanted any
    /// more when this returns; the upload is still to be completed, or to be aborted.
    pub(super) async fn copy(
        &self,
        snapshot: &Snapshot,
        watch: &Watch<'_>,
        settings: &ConnectionSettings,
        pg_options: &str,
        facts: &SourceFacts,
    ) -> Result<StoredData, Error> {
        let program = PgDump::new(&self.programs.pg_dump, settings, pg_options)
            .snapshot(snapshot.id())
            .lock_wait_timeout(Duration::from_secs(self.options.lock_wait_seconds))
            .selection(self.options.selection.clone())
            .program()
            .await?;
        let mut running = program.start().map_err(holdpoint_postgres::Error::Process)?;
        let stdout = running.take_stdout().ok_or_else(|| Error::Internal("pg_dump has no stdout".to_owned()))?;
        let stored = watch.over(self.stream(stdout, &mut running, snapshot, facts)).await;
        match stored {
            Ok(stored) => {
                if stored.facts.engine.is_pass_through() {
                    let ended = running.wait_or_cancel(&self.context.cancel, GRACE).await;
                    let judged = ended
                        .map_err(holdpoint_postgres::Error::Process)
                        .and_then(|ended| judge(&self.programs.pg_dump, ended));
                    if let Err(error) = judged {
                        return Err(abort(stored.upload, error.into()).await);
                    }
                }
                if let Err(lost) = snapshot.ping().await {
                    return Err(abort(stored.upload, lost.into()).await);
                }
                Ok(stored)
            }
            Err(Error::Interrupted) => {
                running.terminate_group(GRACE).await.ok();
                Err(Error::Interrupted)
            }
            Err(error) => {
                let (error, remains) = match error {
                    Error::LeftBehind { failure, remains } => (*failure, Some(remains)),
                    error => (error, None),
                };
                // Where pg_dump itself failed, its own words are the cause; else it is in the way.
                let own = if stream_ended(&error) {
                    running.wait_within(GRACE, &self.context.cancel, GRACE).await.ok()
                } else {
                    None
                };
                let failure = match own {
                    Some(ended) => judge(&self.programs.pg_dump, ended).map_or_else(Error::from, |_| cut(&error)),
                    None => {
                        running.terminate_group(GRACE).await.ok();
                        error
                    }
                };
                Err(match remains {
                    Some(remains) => Error::LeftBehind { failure: Box::new(failure), remains },
                    None => failure,
                })
            }
        }
    }

    async fn stream(
        &self,
        stdout: impl tokio::io::AsyncRead + Unpin + Send,
        running: &mut Running,
        snapshot: &Snapshot,
        facts: &SourceFacts,
    ) -> Result<StoredData, Error> {
        let context = self.context;
        context.progress.phase(Phase::ReadingContents, None);
        let stream = tokio::select! {
            stream = read_head(stdout) => stream?,
            () = context.cancel.cancelled() => return Err(Error::Interrupted),
        };
        let contents = Contents::read(&stream.head)?;
        let passage = Passage {
            context,
            options: self.options,
            jobs: self.jobs,
            pace: &self.pace,
            id: &facts.id,
            contents: &contents,
            roles: &facts.roles,
            filters: &facts.filters,
            database_bytes: facts.database_bytes,
        };
        let options = passage.copy_out_options();
        // A pg_dump whose end nobody can tell of counts as ended.
        let has_ended = || running.has_ended().unwrap_or(true);
        let decision = tokio::select! {
            decision = decide(snapshot, &stream.head, &contents, &options, has_ended) => decision?,
            () = context.cancel.cancelled() => return Err(Error::Interrupted),
        };
        match decision {
            Decision::Parallel(plan) => {
                let head = Arc::clone(&stream.head);
                stop(stream, running).await?;
                context.progress.phase(Phase::CopyingData, Some(plan.total_bytes()));
                passage.parallel(&head, *plan, snapshot).await
            }
            Decision::PassThrough(reason) => {
                // What passes is COPY text, and nobody knows beforehand how much there is.
                context.progress.phase(Phase::CopyingData, None);
                let engine = Engine::PassThrough { reason };
                match self.options.format {
                    PointFormat::Archive => passage.archive(stream, engine).await,
                    PointFormat::Plain => passage.plain(stream, &self.programs.pg_restore, engine).await,
                }
            }
        }
    }

    /// Completes the upload, with no snapshot and no lock held: a store may be slow.
    pub(super) async fn complete(&self, stored: StoredData) -> Result<(StoredFacts, Uploaded), Error> {
        self.context.progress.phase(Phase::CompletingUpload, None);
        if self.context.cancel.is_cancelled() {
            return Err(abort(stored.upload, Error::Interrupted).await);
        }
        let StoredData { upload, held_back, contents, facts } = stored;
        let uploaded = upload.finish(held_back).await?;
        Ok((StoredFacts { contents, ..facts }, uploaded))
    }
}

/// Ends pg_dump, which has written all that is wanted of it; its locks are the coordinator's too by now.
async fn stop<R>(stream: OpenedStream<R>, running: &mut Running) -> Result<(), Error> {
    drop(stream);
    running.terminate_group(GRACE).await.map_err(holdpoint_postgres::Error::Process)?;
    Ok(())
}

/// Whether the stream itself ended or broke, so that pg_dump's own words are worth waiting for.
fn stream_ended(error: &Error) -> bool {
    use holdpoint_engine::Error as Engine;
    matches!(
        error,
        Error::Engine(
            Engine::Archive(_)
                | Engine::Truncated(_)
                | Engine::BlocksMissing(_)
                | Engine::RowCut { .. }
                | Engine::Pipe(..)
        )
    )
}

/// pg_dump said that all went well, and what it wrote is no whole archive: its fault, not a stored archive's.
fn cut(error: &Error) -> Error {
    Error::Program {
        program: "pg_dump",
        said: format!("it ended with success, but its output is not whole: {}", error.line()),
        cure: Some("run it again; if that fails too, try the pg_dump of another package".to_owned()),
    }
}
