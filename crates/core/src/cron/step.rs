//! The steps of an unattended run, and which of them may run.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

/// A step, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Make a restore point.
    Backup,
    /// Prove it.
    Verify,
    /// Drop what the retention policy does not keep.
    Prune,
    /// Look whether everything is there.
    Check,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 4] = [Self::Backup, Self::Verify, Self::Prune, Self::Check];

    /// The step as a word: a verb of the program.
    pub fn word(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::Prune => "prune",
            Self::Check => "check",
        }
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// It did what it is for.
    Done,
    /// Its policy asks for it later.
    NotDue,
    /// No policy asks for it.
    Off,
    /// It failed, or found what must not be.
    Failed,
    /// It was not begun, since a step before it failed or time was over.
    NotRun,
}

impl StepEnd {
    /// The end as a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotDue => "not due",
            Self::Off => "off",
            Self::Failed => "FAILED",
            Self::NotRun => "not run",
        }
    }

    fn lets_the_next_run(self) -> bool {
        matches!(self, Self::Done | Self::NotDue | Self::Off)
    }
}

/// Tells whether the next step may run; otherwise which one stands in its way.
///
/// Nothing is dropped where no restore point could be made or proved, and what a check would say then is not needed to know
/// that something is wrong.
///
/// # Errors
/// The step that failed, or was not run.
pub fn may_run(before: &[(Step, StepEnd)]) -> Result<(), Step> {
    match before.iter().find(|(_, end)| !end.lets_the_next_run()) {
        Some((step, _)) => Err(*step),
        None => Ok(()),
    }
}

/// Tells whether something that is wanted every so often is due; what never happened is, and so is what happened in
/// the future.
///
/// It may come early by a tenth of the interval, an hour at most: schedules are spread at random, and what a run did last
/// time late in it would else be a moment too young this time, and be skipped.
pub fn is_due(last: Option<DateTime<Utc>>, every: TimeDelta, now: DateTime<Utc>) -> bool {
    let early = (every / 10).min(TimeDelta::hours(1));
    last.is_none_or(|last| last > now || now.signed_duration_since(last) >= every - early)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_runs_only_if_the_one_before_allows_it() {
        for end in [StepEnd::Done, StepEnd::NotDue, StepEnd::Off] {
            assert_eq!(may_run(&[(Step::Backup, end)]), Ok(()), "{end:?}");
        }
        for end in [StepEnd::Failed, StepEnd::NotRun] {
            assert_eq!(may_run(&[(Step::Backup, end)]), Err(Step::Backup), "{end:?}");
        }
        assert_eq!(may_run(&[]), Ok(()));
        // The first in the way is named, not the last.
        let before = [(Step::Backup, StepEnd::Done), (Step::Verify, StepEnd::Failed), (Step::Prune, StepEnd::NotRun)];
        assert_eq!(may_run(&before), Err(Step::Verify));
    }

    #[test]
    fn what_is_wanted_every_so_often_is_due_in_time() {
        let at = |text: &str| format!("2026-11-{text}Z").parse::<DateTime<Utc>>().unwrap();
        let (day, now) = (TimeDelta::days(1), at("21T03:00:00"));
        assert!(is_due(None, day, now) && is_due(Some(now), TimeDelta::zero(), now));
        assert!(is_due(Some(at("20T03:00:00")), day, now) && is_due(Some(at("20T04:00:00")), day, now));
        assert!(!is_due(Some(at("20T04:00:01")), day, now), "an hour early at most");
        let hour = TimeDelta::hours(1);
        assert!(is_due(Some(at("21T02:06:00")), hour, now) && !is_due(Some(at("21T02:06:01")), hour, now));
        assert!(is_due(Some(at("22T03:00:00")), day, now), "a clock that went back must not stop proofs");
    }
}
