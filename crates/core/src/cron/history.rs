//! What is remembered from one unattended run to the next, and what is worth telling somebody.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{StepEnd, TurnBefore};

/// The kind of failure of a run that never said how it ended.
pub const KILLED: &str = "killed";

/// What is remembered of a database's unattended runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CronHistory {
    /// When the last run began that was not left out for want of time.
    pub begun_at: Option<DateTime<Utc>>,
    /// When the last run ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// When the last run ended in which nothing failed.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// Since when runs fail; `None` where the last one did not.
    pub failing_since: Option<DateTime<Utc>>,
    /// How many runs failed, by kind of failure; `killed` for those that never said how they ended.
    pub failures: BTreeMap<String, u64>,
    /// When a restore point of the database was proven for the first time by such a run, or was found proven.
    pub first_proven_at: Option<DateTime<Utc>>,
    /// When the last check ended that found nothing; `None` where the last one failed or found something, and so is due
    /// again.
    pub checked_at: Option<DateTime<Utc>>,
    /// What was worth telling and was told nobody yet: the next run tells it, where it still holds. A failure is not among
    /// it, as the next one tells of itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub untold: Vec<CronEvent>,
}

/// What runs could not write down in the repository: they had no lease, since their configuration was wrong or the
/// repository did not answer, or could not give it back. Whoever ran them remembers it elsewhere until a run gets there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unrecorded {
    /// How many runs failed that had no lease, by kind of failure.
    pub failures: BTreeMap<String, u64>,
    /// Since when, and since when those of [`Self::left`].
    pub since: Option<DateTime<Utc>>,
    /// When the last run ended in which nothing failed, in whole seconds.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// The last run that ended and may have left its lease.
    pub left: Option<LeftLease>,
}

/// A lease that a run could not give back, as far as it knows: the answer may have been lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftLease {
    /// The turn that had it.
    pub turn: String,
    /// What it would have written down: how many runs failed until then, by kind of failure.
    pub failures: BTreeMap<String, u64>,
}

impl Unrecorded {
    /// When the turn that was found before began, where it was killed: it never said how it ended, neither in the
    /// repository nor here.
    pub fn killed(&self, before: Option<&TurnBefore>) -> Option<DateTime<Utc>> {
        let before = before.filter(|before| !before.ended && !self.is_left(before))?;
        Some(before.began_at)
    }

    fn is_left(&self, before: &TurnBefore) -> bool {
        self.left.as_ref().is_some_and(|left| left.turn == before.turn)
    }
}

/// What is worth telling somebody who is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CronEvent {
    /// The run failed.
    Failed,
    /// The run before failed, this one did not.
    Recovered,
    /// For the first time a restore point of the database is proven.
    FirstProof,
}

/// How a run ended, as far as it is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// When.
    pub at: DateTime<Utc>,
    /// What kind of failure ended it; `None` where nothing failed.
    pub failure: Option<&'a str>,
    /// It proved a restore point.
    pub proved: bool,
    /// A restore point is proven, by whomever.
    pub proven: bool,
    /// One was proven already when the run began, by whomever.
    pub proven_before: bool,
    /// How its check of the repository ended.
    pub check: StepEnd,
}

impl CronHistory {
    /// What is remembered when the run that began then was killed: it never said how it ended.
    #[must_use]
    pub fn after_a_kill(mut self, began_at: DateTime<Utc>) -> Self {
        *self.failures.entry(KILLED.to_owned()).or_default() += 1;
        self.failing_since = self.failing_since.or(Some(began_at));
        self.begun_at = self.begun_at.max(Some(began_at));
        self
    }

    /// What is remembered when earlier runs ended and could not write it down here: how many failed, of which kinds and
    /// since when, and whether one in which nothing failed was among them. `before` is the turn that was found here: what
    /// was written down after all, as only the answer was lost, is not counted again.
    #[must_use]
    pub fn after_unrecorded(mut self, unrecorded: &Unrecorded, before: Option<&TurnBefore>) -> Self {
        let written = before.is_some_and(|before| before.ended && unrecorded.is_left(before));
        let left = unrecorded.left.iter().filter(|_| !written).flat_map(|left| &left.failures);
        let mut since = unrecorded.since.filter(|_| !written || !unrecorded.failures.is_empty());
        for (kind, count) in left.chain(&unrecorded.failures) {
            *self.failures.entry(kind.clone()).or_default() += count;
        }
        // It is told in whole seconds.
        if let Some(at) = unrecorded.succeeded_at
            && self.succeeded_at.is_none_or(|known| known.timestamp() < at.timestamp())
        {
            self.succeeded_at = Some(at);
            self.failing_since = self.failing_since.filter(|since| *since > at);
        }
        since = match (self.failing_since, since) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.failing_since = since;
        self
    }

    /// What is remembered after a run, and what is worth telling: what was told nobody before among it, where it still
    /// holds.
    #[must_use]
    pub fn after(mut self, run: Ended<'_>) -> (Self, Vec<CronEvent>) {
        let mut events = std::mem::take(&mut self.untold);
        events.retain(|event| *event == CronEvent::FirstProof || run.failure.is_none());
        self.ended_at = Some(run.at);
        match run.failure {
            Some(kind) => {
                *self.failures.entry(kind.to_owned()).or_default() += 1;
                self.failing_since = self.failing_since.or(Some(run.at));
                events.push(CronEvent::Failed);
            }
            None => {
                self.succeeded_at = Some(run.at);
                if self.failing_since.take().is_some() {
                    events.push(CronEvent::Recovered);
                }
            }
        }
        if self.first_proven_at.is_none() && (run.proved || run.proven) {
            self.first_proven_at = Some(run.at);
            if run.proved && !run.proven_before {
                events.push(CronEvent::FirstProof);
            }
        }
        match run.check {
            StepEnd::Done => self.checked_at = Some(run.at),
            StepEnd::Failed => self.checked_at = None,
            StepEnd::NotDue | StepEnd::Off | StepEnd::NotRun => {}
        }
        events.sort_unstable();
        events.dedup();
        (self, events)
    }

    /// The same, where of these events nobody was told yet.
    #[must_use]
    pub fn until_told(self, events: &[CronEvent]) -> Self {
        let untold = events.iter().copied().filter(|event| *event != CronEvent::Failed).collect();
        Self { untold, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2026-11-21T{hour:02}:00:00Z").parse().unwrap()
    }

    fn run(hour: u32, failure: Option<&str>, proved: bool) -> Ended<'_> {
        let check = if failure.is_none() { StepEnd::Done } else { StepEnd::NotRun };
        Ended { at: at(hour), failure, proved, proven: proved, proven_before: false, check }
    }

    #[test]
    fn failures_recovery_and_the_first_proof_are_told() {
        let (history, events) = CronHistory::default().after(run(1, None, false));
        assert_eq!((events, history.succeeded_at, history.first_proven_at), (vec![], Some(at(1)), None));
        let (history, events) = history.after(run(2, Some("postgres"), false));
        assert_eq!((events, history.failing_since), (vec![CronEvent::Failed], Some(at(2))));
        let (history, events) = history.after(run(3, Some("postgres"), false));
        assert_eq!(events, [CronEvent::Failed]);
        assert_eq!((history.failing_since, history.succeeded_at), (Some(at(2)), Some(at(1))));
        assert_eq!((history.failures["postgres"], history.checked_at), (2, Some(at(1))));
        let (history, events) = history.after(run(4, None, true));
        assert_eq!(events, [CronEvent::Recovered, CronEvent::FirstProof]);
        assert_eq!((history.failing_since, history.succeeded_at), (None, Some(at(4))));
        let (history, events) = history.after(run(5, None, true));
        assert_eq!((events, history.first_proven_at), (vec![], Some(at(4))));
    }

    #[test]
    fn what_nobody_was_told_is_told_later_while_it_holds() {
        let both = [CronEvent::Recovered, CronEvent::FirstProof];
        let (history, _) = CronHistory::default().after(run(1, Some("postgres"), false));
        assert_eq!(history.clone().until_told(&[CronEvent::Failed]), history, "the next failure tells of itself");
        let (history, events) = history.after(run(2, None, true));
        assert_eq!(events, both);
        let untold = history.clone().until_told(&events);
        let written = serde_json::to_string(&untold).unwrap();
        assert!(written.contains(r#""untold":["recovered","first_proof"]"#), "{written}");
        assert_eq!(serde_json::from_str::<CronHistory>(&written).unwrap(), untold);
        assert!(!serde_json::to_string(&history).unwrap().contains("untold"));
        // The next one that is good tells both, and no more than once each.
        let (again, events) = untold.clone().after(run(3, None, true));
        assert_eq!((events.as_slice(), again.untold.as_slice()), (&both[..], &[][..]));
        assert_eq!(again.after(run(4, None, true)).1, []);
        // What failed since works no more; what was proven was.
        let (failed, events) = untold.after(run(3, Some("postgres"), false));
        assert_eq!(events, [CronEvent::Failed, CronEvent::FirstProof]);
        assert_eq!(failed.until_told(&events).after(run(4, None, true)).1, both);
    }

    #[test]
    fn a_check_that_failed_or_found_something_is_due_again() {
        let after = |history: CronHistory, hour, check| history.after(Ended { check, ..run(hour, None, false) }).0;
        let sound = after(CronHistory::default(), 1, StepEnd::Done);
        assert_eq!(sound.checked_at, Some(at(1)));
        for idle in [StepEnd::NotDue, StepEnd::Off, StepEnd::NotRun] {
            assert_eq!(after(sound.clone(), 2, idle).checked_at, Some(at(1)), "{idle:?}");
        }
        let found = after(sound, 2, StepEnd::Failed);
        assert_eq!(found.checked_at, None);
        assert_eq!(after(found, 3, StepEnd::Done).checked_at, Some(at(3)));
    }

    #[test]
    fn failures_that_could_not_be_written_down_are_recovered_from() {
        let failures = [("repository".to_owned(), 2), ("usage".to_owned(), 1)].into();
        let unrecorded = Unrecorded { failures, since: Some(at(2)), ..Unrecorded::default() };
        let (before, _) = CronHistory::default().after(run(1, None, false));
        let history = before.clone().after_unrecorded(&unrecorded, None);
        assert_eq!((history.failures["repository"], history.failures["usage"]), (2, 1));
        let (history, events) = history.after(run(3, None, false));
        assert_eq!((events, history.failing_since), (vec![CronEvent::Recovered], None));
        // What failed before counts on.
        let (failing, _) = before.after(run(1, Some("repository"), false));
        let failing = failing.after_unrecorded(&unrecorded, None);
        assert_eq!((failing.failures["repository"], failing.failing_since), (3, Some(at(1))));
        assert_eq!(CronHistory::default().after_unrecorded(&Unrecorded::default(), None), CronHistory::default());
    }

    #[test]
    fn a_proof_by_somebody_else_is_not_told_as_the_first() {
        let found = Ended { proven: true, ..run(1, None, false) };
        let (history, events) = CronHistory::default().after(found);
        assert_eq!((events, history.first_proven_at), (vec![], Some(at(1))));
        assert_eq!(history.after(run(2, None, true)).1, []);
    }

    fn before(turn: &str, ended: bool) -> TurnBefore {
        TurnBefore { turn: turn.to_owned(), began_at: at(2), ended }
    }

    /// One failure of before the lease was left, and another one since.
    fn left() -> Unrecorded {
        let left = LeftLease { turn: "t1".to_owned(), failures: [("postgres".to_owned(), 1)].into() };
        let failures = [("repository".to_owned(), 1)].into();
        Unrecorded { failures, since: Some(at(2)), left: Some(left), ..Unrecorded::default() }
    }

    #[test]
    fn a_run_that_said_elsewhere_how_it_ended_was_not_killed() {
        assert_eq!(left().killed(Some(&before("t1", false))), None, "whatever ran since");
        assert_eq!(left().killed(Some(&before("t2", false))), Some(at(2)), "it began at the same moment");
        assert_eq!(left().killed(Some(&before("t2", true))), None);
        assert_eq!(left().killed(None), None);
        assert_eq!(Unrecorded::default().killed(Some(&before("t1", false))), Some(at(2)));
    }

    #[test]
    fn what_was_written_down_although_the_answer_was_lost_is_not_counted_again() {
        let counted = |before: &TurnBefore| CronHistory::default().after_unrecorded(&left(), Some(before));
        assert_eq!(counted(&before("t1", false)).failures, [("postgres".into(), 1), ("repository".into(), 1)].into());
        assert_eq!(counted(&before("t1", true)).failures, [("repository".into(), 1)].into());
        assert_eq!(counted(&before("t2", true)).failures.len(), 2, "it never got there");
        let nothing_since = Unrecorded { failures: BTreeMap::new(), ..left() };
        let history = CronHistory::default().after_unrecorded(&nothing_since, Some(&before("t1", true)));
        assert_eq!(history, CronHistory::default(), "nothing fails");
    }

    #[test]
    fn a_recovery_that_could_not_be_written_down_is_told_once() {
        let (failing, _) = CronHistory::default().after(run(1, Some("postgres"), false));
        let second = chrono::TimeDelta::milliseconds(300);
        let (recovered, events) = failing.clone().after(Ended { at: at(2) + second, ..run(2, None, false) });
        assert_eq!(events, [CronEvent::Recovered]);
        let elsewhere = Unrecorded { succeeded_at: Some(at(2)), ..Unrecorded::default() };
        let history = failing.clone().after_unrecorded(&elsewhere, None);
        assert_eq!((history.failing_since, history.succeeded_at), (None, Some(at(2))));
        assert_eq!(history.after(run(3, None, false)).1, []);
        // What is known there is not older than what is known here.
        assert_eq!(recovered.clone().after_unrecorded(&elsewhere, None), recovered);
        // What failed since is recovered from.
        let since = Unrecorded { since: Some(at(3)), ..elsewhere };
        assert_eq!(failing.after_unrecorded(&since, None).failing_since, Some(at(3)));
    }

    #[test]
    fn a_killed_run_is_a_failure_from_which_one_recovers() {
        let history = CronHistory::default().after_a_kill(at(1)).after_a_kill(at(2));
        assert_eq!((history.failures["killed"], history.failing_since), (2, Some(at(1))));
        assert_eq!(history.begun_at, Some(at(2)), "it had its turn");
        assert_eq!(history.after(run(3, None, false)).1, [CronEvent::Recovered]);
    }
}
