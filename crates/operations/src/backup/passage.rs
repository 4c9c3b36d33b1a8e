//! pg_dump's stream on its way into the repository, as an archive or as SQL text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdpoint_archive::{Codec, Head};
use holdpoint_core::index::{IndexRecord, RoleRecord};
use holdpoint_core::manifest::{PointFormat, Totals};
use holdpoint_core::{PointId, layout};
use holdpoint_engine::copy_out::{CopyOutOptions, CopyPlan, copy_out};
use holdpoint_engine::{
    ArchiveWriter, Contents, FinishedIndex, OpenedStream, Pace, PassThroughOptions, PipeSink, PlainOptions,
    StoredArchive, pass_through, store_plain,
};
use holdpoint_postgres::Snapshot;
use holdpoint_postgres::programs::{ClientProgram, PgRestore, judge};
use holdpoint_repository::{ObjectUpload, UploadOptions};
use sha2::{Digest, Sha256};
use tokio::io::AsyncRead;

use super::{BackupOptions, Engine};
use crate::{Context, Error};

const GRACE: Duration = Duration::from_secs(5);

/// What the passage of one stream needs to know.
pub(super) struct Passage<'a> {
    pub(super) context: &'a Context,
    pub(super) options: &'a BackupOptions,
    /// How many pieces are worked on at a time.
    pub(super) jobs: usize,
    pub(super) pace: &'a Arc<Pace>,
    pub(super) id: &'a PointId,
    pub(super) contents: &'a Contents,
    pub(super) roles: &'a [RoleRecord],
    pub(super) filters: &'a BTreeMap<u32, String>,
    pub(super) database_bytes: u64,
}

/// Data that are all written; the upload is to be finished with what was held back, or aborted.
pub(super) struct StoredData {
    pub(super) upload: Box<dyn ObjectUpload>,
    pub(super) held_back: Bytes,
    pub(super) contents: Option<Bytes>,
    pub(super) facts: StoredFacts,
}

/// What the manifest says of stored data.
pub(super) struct StoredFacts {
    pub(super) codec: Codec,
    pub(super) head_bytes: u64,
    pub(super) head_sha256: String,
    pub(super) root_sha256: String,
    pub(super) index: FinishedIndex,
    pub(super) totals: Totals,
    pub(super) archive_version: Option<String>,
    /// The contents, to be stored beside data that do not carry them.
    pub(super) contents: Option<Bytes>,
    pub(super) engine: Engine,
}

impl Passage<'_> {
    /// How the rows would be copied in parallel; SQL text is written by one pg_restore from one stream.
    pub(super) fn copy_out_options(&self) -> CopyOutOptions {
        CopyOutOptions {
            codec: self.options.codec,
            jobs: if self.options.format == PointFormat::Plain { 1 } else { self.jobs },
            piece_bytes: piece_bytes(self.database_bytes),
            parallel_from_bytes: self.options.parallel_from_bytes,
            filters: self.filters.clone(),
        }
    }

    /// Copies the rows in parallel and stores them as a seekable archive.
    pub(super) async fn parallel(&self, head: &Head, plan: CopyPlan, snapshot: &Snapshot) -> Result<StoredData, Error> {
        let context = self.context;
        let engine = Engine::Parallel { sessions: plan.sessions() };
        let mut writer = self.writer(head).await?;
        let (pace, progress) = (Arc::clone(self.pace), Arc::clone(&context.progress));
        let copied = copy_out(plan, snapshot, self.contents, &mut writer, pace, progress, &context.cancel).await;
        self.finish(copied, writer, head, engine).await
    }

    /// Stores the stream as a seekable archive.
    pub(super) async fn archive<R>(&self, stream: OpenedStream<R>, engine: Engine) -> Result<StoredData, Error>
    where
        R: AsyncRead + Unpin + Send,
    {
        let head = Arc::clone(&stream.head);
        let mut writer = self.writer(&head).await?;
        let passed = self.pass(stream, &mut writer, self.options.codec).await;
        self.finish(passed, writer, &head, engine).await
    }

    async fn writer(&self, head: &Head) -> Result<ArchiveWriter, Error> {
        let upload = self.begin(layout::archive(&self.context.database, self.id), head.len() as u64).await?;
        Ok(ArchiveWriter::new(upload, self.options.codec, self.contents, self.roles)?)
    }

    /// Ends an archive whose rows were copied, or aborts it where they were not.
    async fn finish(
        &self,
        copied: Result<(), holdpoint_engine::Error>,
        writer: ArchiveWriter,
        head: &Head,
        engine: Engine,
    ) -> Result<StoredData, Error> {
        if let Err(failure) = copied {
            let interrupted = self.context.cancel.is_cancelled();
            let failure = if interrupted { Error::Interrupted } else { failure.into() };
            return match writer.abort().await {
                Ok(()) => Err(failure),
                Err(remains) => Err(left_behind(failure, &remains)),
            };
        }
        let StoredArchive { upload, head, head_sha256, root_sha256, index, totals, archive_version } =
            writer.finish(head).await?;
        let facts = StoredFacts {
            codec: self.options.codec,
            head_bytes: head.len() as u64,
            head_sha256,
            root_sha256,
            index,
            totals,
            archive_version: Some(archive_version),
            contents: None,
            engine,
        };
        Ok(StoredData { upload, held_back: head, contents: None, facts })
    }

    /// Stores the stream as SQL text: `pg_restore --file=-` writes it, rows are digested before they reach it.
    pub(super) async fn plain<R>(
        &self,
        stream: OpenedStream<R>,
        pg_restore: &ClientProgram,
        engine: Engine,
    ) -> Result<StoredData, Error>
    where
        R: AsyncRead + Unpin + Send,
    {
        let head = Arc::clone(&stream.head);
        let level = if let Codec::Gzip { level } = self.options.codec { level } else { Codec::GZIP_LEVEL };
        let script = PgRestore::of_stdin(pg_restore).into_script();
        let mut running = script.start().map_err(holdpoint_postgres::Error::Process)?;
        let pipes = (running.take_stdin(), running.take_stdout());
        let (Some(stdin), Some(stdout)) = pipes else {
            return Err(Error::Internal("pg_restore has no pipes".to_owned()));
        };
        let upload = self.begin(layout::plain(&self.context.database, self.id), 0).await?;
        let sink = Box::new(PipeSink::new(stdin, head.bytes().clone()));
        let feed = async {
            let mut writer = ArchiveWriter::new(sink, Codec::None, self.contents, self.roles)?.without_positions();
            let passed = self.pass(stream, &mut writer, Codec::None).await;
            passed
                .map_err(|error| if self.context.cancel.is_cancelled() { Error::Interrupted } else { error.into() })?;
            let (sink, index, totals) = writer.into_parts();
            sink.finish(Bytes::new()).await?;
            Ok::<_, Error>((index, totals))
        };
        let options = PlainOptions { level, jobs: self.jobs, member_bytes: piece_bytes(self.database_bytes) };
        // Both always run to their end: when the feed fails, pg_restore's input and so its output end, and the upload
        // comes back to be aborted.
        let (fed, stored) = tokio::join!(feed, store_plain(stdout, upload, options));
        let ended = running.wait_or_cancel(&self.context.cancel, GRACE).await;
        let stored = stored?;
        let judged = ended.map_err(holdpoint_postgres::Error::Process).and_then(|ended| judge(pg_restore, ended));
        let (mut index, totals) = match (fed, judged) {
            (Ok(fed), Ok(_)) => fed,
            (Err(failure), Ok(_)) => return Err(abort(stored.upload, failure).await),
            // A feed that broke because pg_restore ended has its cause in pg_restore's words, and the other way round.
            (Err(failure @ Error::Engine(holdpoint_engine::Error::Repository(_))), Err(said)) => {
                drop(failure);
                return Err(abort(stored.upload, said.into()).await);
            }
            (Err(failure), Err(_)) => return Err(abort(stored.upload, failure).await),
            (Ok(_), Err(said)) => return Err(abort(stored.upload, said.into()).await),
        };
        for member in stored.members {
            index.push(&IndexRecord::Piece(member))?;
        }
        let facts = StoredFacts {
            codec: Codec::Gzip { level },
            head_bytes: 0,
            head_sha256: hex::encode(Sha256::digest(b"")),
            root_sha256: stored.root_sha256,
            index: index.finish()?,
            totals,
            archive_version: None,
            contents: None,
            engine,
        };
        let contents = Some(head.bytes().clone());
        Ok(StoredData { upload: stored.upload, held_back: Bytes::new(), contents, facts })
    }

    async fn begin(&self, key: String, held_back_bytes: u64) -> Result<Box<dyn ObjectUpload>, Error> {
        let expected_bytes = self.database_bytes / if self.options.format == PointFormat::Plain { 3 } else { 2 };
        let options = UploadOptions { expected_bytes, held_back_bytes, retain_until: self.options.retain_until };
        Ok(self.context.repository.store().begin_upload(&key, options).await?)
    }

    async fn pass<R>(
        &self,
        stream: OpenedStream<R>,
        writer: &mut ArchiveWriter,
        codec: Codec,
    ) -> Result<(), holdpoint_engine::Error>
    where
        R: AsyncRead + Unpin + Send,
    {
        let options = PassThroughOptions {
            codec,
            jobs: self.jobs,
            piece_bytes: piece_bytes(self.database_bytes),
            filters: self.filters.clone(),
        };
        let progress = self.context.progress.as_ref();
        pass_through(stream, self.contents, writer, &options, self.pace, progress, &self.context.cancel).await
    }
}

/// Aborts an upload after a failure, and says what could not be removed.
pub(super) async fn abort(upload: Box<dyn ObjectUpload>, failure: Error) -> Error {
    match upload.abort().await {
        Ok(()) => failure,
        Err(remains) => left_behind(failure, &remains),
    }
}

fn left_behind(failure: Error, remains: &dyn std::error::Error) -> Error {
    Error::LeftBehind { failure: Box::new(failure), remains: remains.to_string() }
}

/// Bytes of a piece: 4 MiB, more for large databases, so that an index stays small.
fn piece_bytes(database_bytes: u64) -> usize {
    const SMALLEST: u64 = 4 << 20;
    const LARGEST: u64 = 32 << 20;
    usize::try_from((database_bytes / 20_000).clamp(SMALLEST, LARGEST)).unwrap_or(4 << 20)
}
