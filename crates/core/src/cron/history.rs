//! What is remembered from one unattended run to the next, and what is worth telling somebody.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What is remembered of a database's unattended runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CronHistory {
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
    /// When the last check ended.
    pub checked_at: Option<DateTime<Utc>>,
}

/// What is worth telling somebody who is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
    /// It checked the repository.
    pub checked: bool,
}

impl CronHistory {
    /// What is remembered when the run that began then was killed: it never said how it ended.
    #[must_use]
    pub fn after_a_kill(mut self, began_at: DateTime<Utc>) -> Self {
        *self.failures.entry("killed".to_owned()).or_default() += 1;
        self.failing_since = self.failing_since.or(Some(began_at));
        self
    }

    /// What is remembered after a run, and what is worth telling.
    #[must_use]
    pub fn after(mut self, run: Ended<'_>) -> (Self, Vec<CronEvent>) {
        let mut events = Vec::new();
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
        if run.checked {
            self.checked_at = Some(run.at);
        }
        (self, events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u32) -> DateTime<Utc> {
        format!("2026-11-21T{hour:02}:00:00Z").parse().unwrap()
    }

    fn run(hour: u32, failure: Option<&str>, proved: bool) -> Ended<'_> {
        Ended { at: at(hour), failure, proved, proven: proved, proven_before: false, checked: failure.is_none() }
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
    fn a_proof_by_somebody_else_is_not_told_as_the_first() {
        let found = Ended { proven: true, ..run(1, None, false) };
        let (history, events) = CronHistory::default().after(found);
        assert_eq!((events, history.first_proven_at), (vec![], Some(at(1))));
        assert_eq!(history.after(run(2, None, true)).1, []);
    }

    #[test]
    fn a_killed_run_is_a_failure_from_which_one_recovers() {
        let history = CronHistory::default().after_a_kill(at(1)).after_a_kill(at(2));
        assert_eq!((history.failures["killed"], history.failing_since), (2, Some(at(1))));
        assert_eq!(history.after(run(3, None, false)).1, [CronEvent::Recovered]);
    }
}
