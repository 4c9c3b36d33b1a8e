//! The walk over the table, batch by batch.

use std::time::Duration;

use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::count;
use holdpoint_postgres::{Error as Postgres, Session, SessionPurpose};
use tokio::time::{Instant, sleep};

use super::plan::{Prepared, borrowed, parameters};
use super::state::{Pending, Progressed};
use super::statement::Place;
use super::{BackfillError, BackfillOptions, BackfillReport, GROWS_TO, SMALLEST_BATCH, throttle};
use crate::{Clock, Error, Source};

/// A batch that fails so often in a row is given up.
pub(super) const MOST_TRIES: u32 = 20;
/// The first key of the advisory lock, "bafi"; the second is the table's OID.
const NAMESPACE: i32 = 0x6261_6669;
/// How often, and how many times, the lock is tried.
const TRY_EVERY: Duration = Duration::from_millis(200);
const TRIES: u32 = 10;

/// Who is told, when to stop, and what the time is.
#[derive(Clone)]
pub struct BackfillContext {
    /// Whom to tell about progress.
    pub progress: std::sync::Arc<dyn holdpoint_core::progress::Progress>,
    /// Cancelled when the work shall end: the batch under way is rolled back.
    pub cancel: tokio_util::sync::CancellationToken,
    /// The clock of this machine.
    pub clock: Clock,
}

/// What came of trying a batch.
enum Batch {
    /// It is committed.
    Done(Duration),
    /// It was rolled back, and may be tried again.
    Again(String),
}

pub(super) struct Walk<'a> {
    pub(super) source: &'a Source,
    pub(super) options: &'a BackfillOptions,
    context: &'a BackfillContext,
    pub(super) prepared: Prepared,
    pub(super) monitor: Session,
    pub(super) state: Progressed,
    /// What this walk wrote down last: only where the file still says it may the walk go on.
    pub(super) written: Progressed,
    /// It has the lock that keeps others from the table.
    pub(super) is_alone: bool,
    rows: u64,
    pub(super) retries: u64,
    waited_for_lag: Duration,
}

/// Fills the table.
///
/// Every batch is a transaction of its own. What was committed stays, whatever happens, and is recorded in the file that
/// the report names; an end before the end of the table leaves that file for `resume`.
///
/// # Errors
/// [`BackfillError`]; [`Error::Interrupted`]; those of PostgreSQL.
pub async fn backfill(
    source: &Source,
    options: &BackfillOptions,
    context: &BackfillContext,
) -> Result<BackfillReport, Error> {
    let began = Instant::now();
    context.progress.phase(Phase::Preflight, None);
    let prepared = Prepared::make(source, options).await?;
    alone(&prepared).await?;
    let monitor = Session::connect(&source.settings, &SessionPurpose::new("holdpoint watch")).await?;
    let (state, resumed) = match prepared.earlier(options)? {
        Some(mut earlier) => {
            if let Some(renamed) = prepared.file.under_another_name(&prepared.what)? {
                prepared.file.replaces(&renamed)?;
            }
            earlier.what.table.clone_from(&prepared.what.table);
            if earlier.what.key_columns.is_none() {
                earlier.what.key_columns.clone_from(&prepared.what.key_columns);
            }
            (earlier, true)
        }
        None => {
            let end = prepared.end().await?.unwrap_or_default();
            (Progressed::begin(prepared.what.clone(), end, (context.clock)()), false)
        }
    };
    // From here on a file is there until the end, so that one that is gone means that somebody else came to the end.
    prepared.file.write(&state)?;
    let mut walk = Walk {
        source,
        options,
        context,
        prepared,
        monitor,
        written: state.clone(),
        is_alone: true,
        rows: first_batch(state.rows, options.batch_rows),
        state,
        retries: 0,
        waited_for_lag: Duration::ZERO,
    };
    walk.settle().await?;
    let resumed = resumed.then(|| walk.state.resumed());
    // An empty table has no end, and nothing to fill.
    let finished = walk.state.end.is_empty() || walk.walk_on(began).await?;
    let state_file = if finished {
        walk.prepared.file.demand_unchanged(&walk.written)?;
        walk.prepared.file.remove()?;
        None
    } else {
        walk.write_down()?;
        Some(walk.prepared.file.path().to_owned())
    };
    let mut warnings = walk.prepared.warnings.clone();
    let left = walk.state.walked.saturating_sub(walk.state.updated);
    if options.condition.is_none() && left > 0 {
        warnings.push(format!(
            "of the rows that were walked over, {} were not changed, although there is no --where: a trigger that returns NULL, a \
             rule DO INSTEAD NOTHING, or others that deleted rows meanwhile",
            count(left)
        ));
    }
    let report = BackfillReport {
        table: walk.prepared.subject.name.clone(),
        columns: walk.prepared.columns.clone(),
        finished,
        rows_updated: walk.state.updated,
        rows_walked: walk.state.walked,
        batches: walk.state.batches,
        retries: walk.retries,
        took_ms: milliseconds(began.elapsed()),
        waited_for_lag_ms: milliseconds(walk.waited_for_lag),
        resumed,
        state_file,
        warnings,
    };
    walk.monitor.close().await;
    walk.prepared.session.close().await;
    Ok(report)
}

/// Takes the lock that keeps a second one from the same table; it ends with the session.
pub(super) async fn alone(prepared: &Prepared) -> Result<(), Error> {
    const WHAT: &str = "looking whether another backfill is at the table";
    let oid = i32::from_ne_bytes(prepared.subject.oid.to_ne_bytes());
    let sql = "SELECT pg_catalog.pg_try_advisory_lock($1, $2)";
    // The session of one that has ended takes a moment to go.
    for tried in 1..=TRIES {
        if prepared.session.query_one(WHAT, sql, &[&NAMESPACE, &oid]).await?.get(0) {
            return Ok(());
        }
        if tried < TRIES {
            sleep(TRY_EVERY).await;
        }
    }
    let sql = "SELECT pid FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 \
               AND classid = $1 AND objid = $2";
    let namespace = u32::from_ne_bytes(NAMESPACE.to_ne_bytes());
    let rows = prepared.session.query(WHAT, sql, &[&namespace, &prepared.subject.oid]).await?;
    let pid = rows.first().map(|row| row.get(0)).unwrap_or_default();
    Err(BackfillError::AnotherIsRunning { table: prepared.subject.name.clone(), pid }.into())
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

impl Walk<'_> {
    pub(super) fn note(&self, text: &str) {
        self.context.progress.note(text);
    }

    pub(super) fn interrupted(&self) -> bool {
        self.context.cancel.is_cancelled()
    }

    /// How many bytes of the table so many rows are.
    fn bytes(&self, rows: u64) -> u64 {
        let subject = &self.prepared.subject;
        let all = subject.rows.unwrap_or_default().max(1);
        u64::try_from(u128::from(subject.bytes) * u128::from(rows) / u128::from(all)).unwrap_or_default()
    }

    /// Walks until the end of the table, or of the time; says whether it is the table's.
    async fn walk_on(&mut self, began: Instant) -> Result<bool, Error> {
        let known = self.prepared.subject.rows.filter(|rows| *rows > 0).map(|_| self.prepared.subject.bytes);
        self.context.progress.phase(Phase::FillingRows, known);
        self.context.progress.advance(self.bytes(self.state.walked));
        let until = self.options.max_runtime.map(|time| began + time);
        let over = || until.is_some_and(|until| Instant::now() >= until);
        let mut tries = 0;
        loop {
            if self.interrupted() {
                return Err(self.stopped(Error::Interrupted));
            }
            if over() {
                return Ok(self.is_at_the_end().await);
            }
            let progress = std::sync::Arc::clone(&self.context.progress);
            let note = move |text: &str| progress.note(text);
            let max_lag = self.options.max_lag;
            let lag = &mut self.waited_for_lag;
            let waited = throttle::wait_for_standbys(&self.monitor, max_lag, until, &self.context.cancel, &note, lag);
            if let Err(error) = waited.await {
                self.again_after(error).await?;
            }
            if over() {
                return Ok(self.is_at_the_end().await);
            }
            match self.batch().await {
                Ok(None) => return Ok(true),
                Ok(Some(Batch::Done(took))) => {
                    tries = 0;
                    self.adapt(took);
                    self.rest(self.options.pause).await;
                }
                Ok(Some(Batch::Again(said))) => {
                    tries += 1;
                    self.retries += 1;
                    self.rows = (self.rows / 2).max(SMALLEST_BATCH.min(self.options.batch_rows));
                    if tries >= MOST_TRIES {
                        let rows = self.state.updated;
                        return Err(self.stopped(BackfillError::Stuck { tries, said, rows }.into()));
                    }
                    self.note(&format!("a batch is tried again, with {} rows: {said}", count(self.rows)));
                    self.rest(Duration::from_millis(250 * u64::from(tries.min(20)))).await;
                }
                Err(error) => {
                    let error = self.explained(error).await;
                    self.again_after(error).await?;
                }
            }
        }
    }

    /// Names the change of the table that a statement failed of, where there is one.
    async fn explained(&self, error: Error) -> Error {
        let said = match &error {
            Error::Postgres(error) => error.sqlstate().is_some(),
            Error::Backfill(BackfillError::RowsRefused { .. }) => true,
            _ => false,
        };
        if !said || self.prepared.session.is_closed() {
            return error;
        }
        match self.prepared.demand_same_table().await {
            Err(changed @ Error::Backfill(_)) => changed,
            _ => error,
        }
    }

    /// Whether no row is left, although the time is over; where that cannot be asked, somebody goes on later.
    async fn is_at_the_end(&self) -> bool {
        self.state.batches > 0 && matches!(self.next_or_end(self.state.after.as_ref()).await, Ok(None))
    }

    pub(super) async fn rest(&self, time: Duration) {
        tokio::select! {
            () = sleep(time) => {}
            () = self.context.cancel.cancelled() => {}
        }
    }

    /// Takes as many rows as the time for a batch allows; slowly upwards, at once downwards.
    fn adapt(&mut self, took: Duration) {
        self.rows = adapted(self.rows, self.options.batch_rows, took, self.options.batch_time);
        self.state.rows = Some(self.rows);
    }

    /// Does one batch; `None` when there is none left.
    async fn batch(&mut self) -> Result<Option<Batch>, Error> {
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

    /// The last key of the next batch, and how many rows there are up to it.
    async fn next(&self, after: Option<&Place>) -> Result<Option<(Place, u64)>, Error> {
        let sql = self.prepared.statements.end_of_batch(after.is_some(), self.rows);
        let values = parameters(after, &self.state.end);
        let rows = self.prepared.session.query("looking for the next batch", &sql, &borrowed(&values)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let walked: i64 = row.get(self.prepared.subject.key.len() + 1);
        Ok(Some((self.prepared.place(row)?, walked.unsigned_abs())))
    }

    /// As [`Walk::next`]; that no row is left counts only where the table is what it was, and hides none.
    async fn next_or_end(&self, after: Option<&Place>) -> Result<Option<(Place, u64)>, Error> {
        if let Some(found) = self.next(after).await? {
            return Ok(Some(found));
        }
        let session = &self.prepared.session;
        session.run("looking at the end", "BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let found = self.next(after).await;
        let same = if matches!(found, Ok(None)) { self.prepared.demand_same_table().await } else { Ok(()) };
        session.run("looking at the end", "ROLLBACK").await?;
        same.and(found)
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

    /// Writes down how far it came, unless the file says what another one wrote.
    fn write_down(&mut self) -> Result<(), BackfillError> {
        self.prepared.file.demand_unchanged(&self.written)?;
        self.prepared.file.write(&self.state)?;
        self.written = self.state.clone();
        Ok(())
    }

    /// Writes down what counts, and passes the reason of the end on.
    ///
    /// Without its session the walk has no lock, and the file may be another one's; what it says is still true: the
    /// batch that it names counts if the server says so.
    pub(super) fn stopped(&mut self, error: Error) -> Error {
        let went_on = matches!(&error, Error::Backfill(BackfillError::WentOn { .. }));
        if went_on || !self.is_alone || self.prepared.session.is_closed() {
            return error;
        }
        match self.write_down() {
            Ok(()) => error,
            Err(unwritten) => Error::LeftBehind { failure: Box::new(error), remains: unwritten.to_string() },
        }
    }
}

/// The rows of the first batch: as many as fitted the time when an earlier one stopped, and not more than are asked for.
fn first_batch(earlier: Option<u64>, asked: u64) -> u64 {
    earlier.map_or(asked, |rows| rows.min(asked)).max(1)
}

/// The rows of the next batch.
fn adapted(rows: u64, asked: u64, took: Duration, target: Duration) -> u64 {
    let asked = asked.max(1);
    let smallest = SMALLEST_BATCH.min(asked);
    let (took, target) = (took.as_millis().max(1), target.as_millis().max(1));
    let fitting = u64::try_from(u128::from(rows) * target / took).unwrap_or(u64::MAX);
    fitting.clamp(smallest, rows.saturating_mul(2).max(1)).clamp(smallest, asked.saturating_mul(GROWS_TO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_batch_is_as_large_as_the_last_one_that_fitted() {
        let of = |earlier, asked| first_batch(earlier, asked);
        assert_eq!(
            [of(None, 5000), of(Some(80), 5000), of(Some(50_000), 5000), of(Some(80), 10)],
            [5000, 80, 5000, 10]
        );
        assert_eq!([of(None, 0), of(Some(0), 5000)], [1, 1]);
    }

    #[test]
    fn a_batch_fits_its_time() {
        let seconds = Duration::from_secs;
        assert_eq!(adapted(5000, 5000, seconds(2), seconds(1)), 2500);
        assert_eq!(adapted(5000, 5000, seconds(1), seconds(1)), 5000);
        assert_eq!(adapted(5000, 5000, Duration::from_millis(1), seconds(1)), 10_000, "slowly upwards");
        assert_eq!(adapted(50_000, 5000, Duration::from_millis(1), seconds(1)), 50_000, "not beyond ten times");
        assert_eq!(adapted(100, 5000, seconds(3600), seconds(1)), 10, "not below what makes sense");
        assert_eq!(adapted(3, 3, seconds(3600), seconds(1)), 3);
    }
}
