//! When a verification began: of several verdicts the newest decides, whichever machine gave it.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use holdpoint_core::verification::is_ahead;
use holdpoint_core::{PointId, layout};

use holdpoint_repository::Error as Store;

use crate::hint::repository::of_files;
use crate::{Context, Error};

/// A clock of this machine that differs from the store's by more does not order verdicts.
const SKEW: TimeDelta = TimeDelta::minutes(1);

/// Looks whether a directory can be written, before hours go into a verdict that nobody could record. What a bucket lets an identity
/// write only writing tells.
///
/// # Errors
/// [`Error::Unrecordable`].
pub(crate) async fn recordable(context: &Context) -> Result<(), Error> {
    match context.repository.store().server_time().await {
        Err(error) if matches!(&error, Store::Full { .. }) || is_unwritable(&error) => {
            Err(Error::Unrecordable { failure: Box::new(error.into()) })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn is_unwritable(error: &Store) -> bool {
    matches!(error, Store::AccessDenied { code, .. } if of_files(code))
}

/// The dates of what begins now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Began {
    /// This moment by this machine's clock; by the store's where that is known and differs from it. Where a verification of the
    /// restore point is dated later, as the clock of whoever made it was ahead by less than is noticed: right after that.
    pub(crate) at: DateTime<Utc>,
    /// Those that are there and dated further ahead: what was dated in the future counts once its date has come, and must not
    /// outlive what is found after it.
    pub(crate) newer_than: Vec<DateTime<Utc>>,
}

/// When what begins now began, of which all verifications of the restore point are older.
///
/// # Errors
/// Those of the store.
pub(crate) async fn began(context: &Context, point: &PointId) -> Result<Began, Error> {
    let machine = (context.clock)();
    let now = believed(machine, context.repository.store().server_time().await.ok());
    let prefix = layout::verifications(&context.database, point);
    let pages: Vec<_> = context.repository.store().list(&prefix).try_collect().await?;
    let made = pages.iter().flatten();
    let made = made.filter_map(|one| layout::verification_instant(&context.database, point, &one.key));
    Ok(after(now, made.collect()))
}

/// Names tell milliseconds.
fn after(now: DateTime<Utc>, made: Vec<DateTime<Utc>>) -> Began {
    let (newer_than, close): (Vec<_>, Vec<_>) = made.into_iter().partition(|at| is_ahead(*at, now));
    let at = close.into_iter().max().map_or(now, |at| now.max(at + TimeDelta::milliseconds(1)));
    Began { at, newer_than }
}

fn believed(machine: DateTime<Utc>, store: Option<DateTime<Utc>>) -> DateTime<Utc> {
    store.filter(|store| store.signed_duration_since(machine).abs() > SKEW).unwrap_or(machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_now_comes_after_what_a_clock_that_was_ahead_dated() {
        let at = |text: &str| format!("2026-11-21T{text}Z").parse::<DateTime<Utc>>().unwrap();
        let now = at("10:00:00");
        let past = |date| Began { at: date, newer_than: vec![] };
        assert_eq!(after(now, vec![]), past(now));
        assert_eq!(after(now, vec![at("08:00:00"), at("09:59:59")]), past(now));
        assert_eq!(after(now, vec![at("10:50:00"), at("09:00:00")]), past(at("10:50:00.001")));
        assert_eq!(after(now, vec![at("11:00:01")]), Began { at: now, newer_than: vec![at("11:00:01")] });
    }

    #[test]
    fn a_later_verdict_is_newer_however_wrong_the_clock() {
        let at = |text: &str| format!("2026-11-21T{text}Z").parse::<DateTime<Utc>>().unwrap();
        // Proved at ten by a machine whose clock is right or an hour ahead; disproved at eleven by one two hours behind.
        for proved in ["10:00:40", "11:00:00"] {
            let proved = believed(at(proved), Some(at("10:00:00")));
            assert!(proved < believed(at("09:00:00"), Some(at("11:00:00"))), "{proved}");
        }
        // A minute is nothing, and a store may not tell.
        assert_eq!(believed(at("10:01:00"), Some(at("10:00:00"))), at("10:01:00"));
        assert_eq!(believed(at("10:01:01"), Some(at("10:00:00"))), at("10:00:00"));
        assert_eq!(believed(at("10:00:00"), None), at("10:00:00"));
    }
}
