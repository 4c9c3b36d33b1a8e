//! The walk over the table, batch by batch.

use std::time::Duration;

use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::count;
use holdpoint_postgres::Session;
use tokio::time::{Instant, sleep};

use super::batch::Batch;
use super::plan::{Prepared, borrowed, parameters};
use super::run::BackfillContext;
use super::state::Progressed;
use super::statement::Place;
use super::{BackfillError, BackfillOptions, GROWS_TO, SMALLEST_BATCH, throttle};
use crate::{Error, Source};

/// A batch that fails so often in a row is given up.
pub(super) const MOST_TRIES: u32 = 20;

pub(super) struct Walk<'a> {
    pub(super) source: &'a Source,
    pub(super) options: &'a BackfillOptions,
    pub(super) context: &'a BackfillContext,
    pub(super) prepared: Prepared,
    pub(super) monitor: Session,
    pub(super) state: Progressed,
    /// What this walk wrote down last: only where the file still says it may the walk go on.
    pub(super) written: Progressed,
    /// It has the lock that keeps others from the table.
    pub(super) is_alone: bool,
    /// How many rows the next batch walks over.
    pub(super) rows: u64,
    pub(super) retries: u64,
    pub(super) waited_for_lag: Duration,
}

impl Walk<'_> {
    pub(super) fn note(&self, text: &str) {
        self.context.progress.note(text);
    }

    pub(super) fn interrupted(&self) -> bool {
        self.context.cancel.is_cancelled()
    }

    /// How many bytes of the table so many rows are.
    pub(super) fn bytes(&self, rows: u64) -> u64 {
        let subject = &self.prepared.subject;
        let all = subject.rows.unwrap_or_default().max(1);
        u64::try_from(u128::from(subject.bytes) * u128::from(rows) / u128::from(all)).unwrap_or_default()
    }

    /// Walks until the end of the table, or of the time; says whether it is the table's.
    pub(super) async fn walk_on(&mut self, began: Instant) -> Result<bool, Error> {
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
    pub(super) async fn next_or_end(&self, after: Option<&Place>) -> Result<Option<(Place, u64)>, Error> {
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

    /// Writes down how far it came, unless the file says what another one wrote.
    pub(super) fn write_down(&mut self) -> Result<(), BackfillError> {
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
pub(super) fn first_batch(earlier: Option<u64>, asked: u64) -> u64 {
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
