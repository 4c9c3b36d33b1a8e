//! One batch: a transaction that changes its rows, and says what it did before it is committed.

use std::time::Duration;

use holdpoint_postgres::Error as Postgres;
use tokio::time::Instant;

use super::plan::{borrowed, parameters};
use super::state::Pending;
use super::statement::Place;
use super::walk::Walk;
use super::{BackfillError, throttle};
use crate::Error;

/// What came of trying a batch.
pub(super) enum Batch {
    /// It is committed.
    Done(Duration),
    /// It was rolled back, and may be tried again.
    Again(String),
}

impl Walk<'_> {
    /// Does one batch; `None` when there is none left.
    pub(super) async fn batch(&mut self) -> Result<Option<Batch>, Error> {
        let after = self.state.after.clone();
        let Some((to, walked)) = self.next_or_end(after.as_ref()).await? else { return Ok(None) };
        let began = Instant::now();
        let transaction = self.prepared.session.begin_noted().await?;
        let (done, blocked_by) = self.change(after.as_ref(), &to).await?;
        let updated = match done {
            Ok(updated) => updated,
            Err(error) => return self.rolled_back(error, blocked_by).await.map(Some),
        };
        // The rows are locked, and with them the table: what it is now it is at the commit.
        if let Err(error) = self.prepared.demand_same_table().await {
            self.prepared.session.run("taking a batch back", "ROLLBACK").await?;
            return Err(error);
        }
        let durable = self.make_durable().await;
        let server_began = Some(self.prepared.server_began.clone());
        self.state.pending = Some(Pending { transaction, server_began, durable, to, updated, walked });
        if let Err(error) = self.write_down() {
            self.state.pending = None;
            self.prepared.session.run("taking a batch back", "ROLLBACK").await?;
            return Err(error.into());
        }
        if let Err(error) = self.prepared.session.run("committing a batch", "COMMIT").await {
            if error.sqlstate().is_none() || self.prepared.session.is_closed() {
                // Lost: only the server knows.
                return Err(error.into());
            }
            // A deferred constraint or trigger.
            self.state.pending = None;
            return self.judged(error, None).map(Some);
        }
        self.state.settle(true);
        self.context.progress.advance(self.bytes(walked));
        Ok(Some(Batch::Done(began.elapsed())))
    }

    /// Makes what was written on the server so far outlive a crash, the batch's own records among it: by the commit of another
    /// transaction, which has to write something for that. Says whether it was done.
    async fn make_durable(&self) -> bool {
        const SQL: &str = "SELECT pg_catalog.pg_logical_emit_message(true, 'holdpoint backfill', '')";
        let done = async {
            self.monitor.run("making a batch durable", "SET synchronous_commit = local").await?;
            self.monitor.query("making a batch durable", SQL, &[]).await.map(drop)
        };
        let done = done.await;
        if let Err(error) = &done {
            // A role may have lost the right to do that; whoever goes on then looks at rows.
            tracing::debug!(%error, "a batch could not be made durable before its commit");
        }
        done.is_ok()
    }

    /// Changes the rows of a batch, unless somebody has to wait for it for too long; gives how many, and who waited.
    async fn change(
        &self,
        after: Option<&Place>,
        to: &Place,
    ) -> Result<(Result<u64, Postgres>, Option<String>), Error> {
        let session = &self.prepared.session;
        let update = self.prepared.statements.update(after.is_some());
        let values = parameters(after, to);
        let borrowed = borrowed(&values);
        let work = session.client().execute(&update, &borrowed);
        tokio::pin!(work);
        let mut blocked_by = None;
        let done = tokio::select! {
            done = &mut work => done,
            found = throttle::blocked(&self.monitor, &self.prepared.name, self.options.max_blocked) => {
                // Whoever waits goes first, and whoever cannot look must not keep others waiting.
                blocked_by = Some(found.unwrap_or_else(|error| format!("nobody can look who waits: {error}")));
                session.canceller().cancel().await?;
                work.await
            }
            () = self.context.cancel.cancelled() => {
                session.canceller().cancel().await?;
                work.await
            }
        };
        Ok((done.map_err(|source| Postgres::Query { what: "changing rows".to_owned(), source }), blocked_by))
    }

    async fn rolled_back(&mut self, error: Postgres, blocked_by: Option<String>) -> Result<Batch, Error> {
        // The server's last words to a session come before its end shows: 57P01 and its kin.
        let ends = error.sqlstate().is_some_and(|state| state.starts_with("57P") || state.starts_with("08"));
        if ends || self.prepared.session.is_closed() {
            return Err(error.into());
        }
        self.prepared.session.run("taking a batch back", "ROLLBACK").await?;
        if self.interrupted() {
            return Err(Error::Interrupted);
        }
        self.judged(error, blocked_by)
    }

    /// Tells what a retry may cure from what it may not.
    fn judged(&self, error: Postgres, blocked_by: Option<String>) -> Result<Batch, Error> {
        let said = error.said().unwrap_or_else(|| error.to_string());
        match (blocked_by, error.sqlstate().unwrap_or_default()) {
            (Some(who), _) => Ok(Batch::Again(format!("it was in the way: {who}"))),
            // Lock time-out, deadlock, serialization, cancelled by somebody.
            (None, "55P03" | "40P01" | "40001" | "57014") => Ok(Batch::Again(said)),
            (None, _) => Err(BackfillError::RowsRefused { said, rows: self.state.updated }.into()),
        }
    }
}
