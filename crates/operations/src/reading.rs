//! Pins of those who read: a restore point is not dropped under a restore, a verification or a comparison.
//!
//! A reader's pin holds for a while and is renewed at half of it, and where that or the first one fails again and again until
//! it succeeds; a reader that is killed leaves one that ends by itself.
//! Its name tells its end, so lists need no record to leave out what is over. Every renewal is a pin of its own, as
//! whoever may write pins may not write over them. Who may not write at all reads without one, and that is told.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, SubsecRound as _, TimeDelta, Utc};
use holdpoint_core::PointId;
use holdpoint_core::pin::{FORMAT, PinRecord};
use holdpoint_repository::Error as Repository;

use crate::{Context, Error};

/// How long a reader's pin holds unless it is renewed: [`Context::reads_for`] but for tests.
pub const READS_FOR: Duration = Duration::from_secs(60 * 60);

/// Names of readers' pins begin so.
pub(crate) const OF_READERS: &str = "reading-";
const END: &str = "%Y%m%dT%H%M%SZ";

/// Whether a name is that of a reader's pin which is over.
pub(crate) fn is_over(name: &str, now: DateTime<Utc>) -> bool {
    let end = name.strip_prefix(OF_READERS).and_then(|rest| rest.split('-').next());
    end.and_then(|end| NaiveDateTime::parse_from_str(end, END).ok()).is_some_and(|end| end.and_utc() <= now)
}

/// Does work that reads a restore point, or relies on it, under a pin that is removed at the end. The work is to have seen
/// the restore point, or to look at it: where it is gone by now there is no pin. It comes boxed, as it is large: whoever
/// awaits it may have little stack.
pub async fn held<T>(context: &Context, point: &PointId, mut work: impl Future<Output = T> + Unpin) -> T {
    let mut pin = ReadPin { context, point, name: None, told: false, hidden: 0 };
    let again = pin.renewed().await;
    let done = tokio::select! {
        biased;
        done = &mut work => done,
        never = pin.kept(again) => match never {},
    };
    pin.remove().await;
    done
}

/// As [`held`], for work that is the first to look whether there is such a restore point: elsewhere nothing is written.
pub(crate) async fn held_if_there<T>(context: &Context, point: &PointId, work: impl Future<Output = T> + Unpin) -> T {
    match is_dropped(context, point).await {
        Ok(false) => held(context, point, work).await,
        _ => work.await,
    }
}

/// A failure to read a restore point; where that was dropped meanwhile, this is the failure.
pub(crate) async fn or_dropped(context: &Context, point: &PointId, failure: Error) -> Error {
    let missing = match &failure {
        Error::Repository(error) | Error::Engine(holdpoint_engine::Error::Repository(error)) => error.is_not_found(),
        Error::LeftBehind { failure, .. } => matches!(
            &**failure,
            Error::Repository(Repository::NotFound { .. })
                | Error::Engine(holdpoint_engine::Error::Repository(Repository::NotFound { .. }))
        ),
        _ => false,
    };
    match failure {
        failure if !missing || !matches!(is_dropped(context, point).await, Ok(true)) => failure,
        Error::LeftBehind { remains, .. } => Error::LeftBehind { failure: Box::new(dropped(context, point)), remains },
        _ => dropped(context, point),
    }
}

/// Whether a restore point was withdrawn, or is gone.
///
/// # Errors
/// Those of the repository: nobody knows.
pub(crate) async fn is_dropped(context: &Context, point: &PointId) -> Result<bool, Error> {
    match context.repository.recorded(&context.database, point).await {
        Err(error) if error.is_not_found() => Ok(true),
        Ok(_) => Ok(false),
        Err(error) if error.is_of_record() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Says that a restore point was dropped while it was read.
pub(crate) fn dropped(context: &Context, point: &PointId) -> Error {
    Error::Dropped { point: point.to_string(), database: context.database.to_string() }
}

struct ReadPin<'a> {
    context: &'a Context,
    point: &'a PointId,
    /// `None` where none could be had.
    name: Option<String>,
    /// It was told that there is none.
    told: bool,
    /// How often in a row a prune hid the restore point.
    hidden: u32,
}

impl ReadPin<'_> {
    /// Renews the pin for ever, the first time after this pause.
    async fn kept(&mut self, mut pause: Option<Duration>) -> Infallible {
        loop {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
            pause = self.renewed().await;
        }
    }

    /// Renews the pin, and tells once where that failed; gives when it is to be renewed next, `None` for never.
    async fn renewed(&mut self) -> Option<Duration> {
        let (half, soon) = (self.context.reads_for / 2, self.context.reads_for / 15);
        let error = match self.renew().await {
            Ok(()) => {
                self.hidden = 0;
                return Some(half);
            }
            Err(error) => error,
        };
        if !error.is_not_found() {
            self.tell(&crate::error::chain(&error));
            // Who may not write at all never will; the pin there is holds for the other half.
            let never = self.name.is_none() && matches!(error, Repository::AccessDenied { .. });
            return (!never).then_some(soon);
        }
        let there = self.context.repository.hidden(&self.context.database, self.point).await;
        if there.is_err_and(|error| error.is_not_found()) {
            // The work looks for the restore point itself, and says that it is gone.
            return None;
        }
        // A prune saw this pin, and lets the restore point be; or it did not, and drops it. Both within moments, but for one
        // that was killed. It sees the pin before this one in any case.
        if self.name.is_none() {
            self.tell("a prune hides it");
        }
        self.hidden += 1;
        // No longer than a quarter of a minute: once it is shown again the next prune may come.
        Some((self.context.reads_for / 1800 * 2_u32.pow(self.hidden.min(3))).min(soon))
    }

    /// Writes a pin from now on, and removes the one before.
    async fn renew(&mut self) -> Result<(), Repository> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let Context { repository, database, clock, seed, reads_for, .. } = self.context;
        let now = repository.store().server_time().await.unwrap_or_else(|_| clock());
        // In whole seconds, as the name tells it.
        let until = (now + TimeDelta::from_std(*reads_for).unwrap_or(TimeDelta::MAX)).trunc_subsecs(0);
        let until = until + TimeDelta::seconds(1);
        let number = seed.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let name = format!("{OF_READERS}{}-{number:016x}", until.format(END));
        let reason = format!("it is being read by process {}", std::process::id());
        let pin = PinRecord { format: FORMAT, reason, at: clock(), until: Some(until), run: None, operator: None };
        repository.pin_new(database, self.point, &name, &pin).await?;
        if let Some(before) = self.name.replace(name) {
            self.unpin(&before).await;
        }
        Ok(())
    }

    async fn remove(self) {
        if let Some(name) = &self.name {
            self.unpin(name).await;
        }
    }

    /// Who may not delete leaves it: it ends by itself.
    async fn unpin(&self, name: &str) {
        if let Err(error) = self.context.repository.unpin(&self.context.database, self.point, name).await {
            tracing::debug!(%error, name, "the pin stays until it ends");
        }
    }

    fn tell(&mut self, why: &str) {
        if !std::mem::replace(&mut self.told, true) {
            self.context.progress.note(&format!("{} is read without a pin, so a prune may drop it: {why}", self.point));
        }
    }
}

#[cfg(test)]
mod tests;
