//! What an unattended run of one database did.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use holdpoint_core::cron::{CronEvent, CronHistory, Step, StepEnd, Turn};
use holdpoint_core::verification::{Level, Verdict};
use holdpoint_core::{DatabaseName, Mask, PointId};
use serde::Serialize;

use crate::retention::Outlook;
use crate::{Error, ErrorKind};

/// What an unattended run of one database did.
#[derive(Clone, Debug, Serialize)]
pub struct CronReport {
    /// The database.
    pub database: DatabaseName,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// What failed: a step, or what kept all of them from running.
    pub failure: Option<Failed>,
    /// Every step, in order; none where another run was at it or the repository could not be reached.
    pub steps: Vec<StepReport>,
    /// What is worth telling somebody.
    pub events: Vec<CronEvent>,
    /// What the repository holds afterwards; `None` where that could not be read.
    pub outlook: Option<Outlook>,
    /// What is remembered of runs, this one included; `None` where it could not be read.
    pub history: Option<CronHistory>,
    /// The history was written down in the repository.
    #[serde(skip)]
    pub recorded: bool,
    /// Its lease may still stand in the repository: whoever finds it there is to know that the run ended.
    #[serde(skip)]
    pub left: Option<LeaseLeft>,
    /// Whoever is to be told of its events was, or that was tried.
    #[serde(skip)]
    pub told: bool,
    /// What is worth knowing although it failed nothing.
    pub warnings: Vec<String>,
}

/// The lease that a run could not give back.
#[derive(Clone, Debug)]
pub struct LeaseLeft {
    /// The run.
    pub turn: String,
    /// How many runs failed, by kind, that the repository does not count; `None` where that is not known: what could not be
    /// written down before, and this one.
    pub unwritten: Option<BTreeMap<String, u64>>,
}

impl CronReport {
    /// A run of which nothing is told yet.
    pub(super) fn new(database: DatabaseName, turn: &Turn) -> Self {
        Self {
            database,
            started_at: turn.began_at,
            took_ms: 0,
            failure: None,
            steps: Vec::new(),
            events: Vec::new(),
            outlook: None,
            history: None,
            recorded: false,
            left: None,
            told: false,
            warnings: Vec::new(),
        }
    }

    /// A run of which nothing was done, and why.
    pub fn refused(database: DatabaseName, turn: &Turn, failure: Failed) -> Self {
        Self { failure: Some(failure), ..Self::new(database, turn) }
    }

    /// The same, which took from its begin until then.
    #[must_use]
    pub fn ended_at(mut self, at: DateTime<Utc>) -> Self {
        let took = at.signed_duration_since(self.started_at).num_milliseconds();
        self.took_ms = u64::try_from(took).unwrap_or_default();
        self
    }

    /// Tells whether another run kept it out: it says nothing about the database then, and the other one tells for itself.
    pub fn is_kept_out(&self) -> bool {
        self.steps.is_empty() && self.failure.as_ref().is_some_and(|failure| failure.kind == ErrorKind::Busy)
    }

    /// The same with something more that is worth knowing.
    #[must_use]
    pub fn with_warning(mut self, warning: &str) -> Self {
        self.warnings.push(warning.to_owned());
        self
    }

    /// Masks everything that is told in words.
    pub(super) fn mask(&mut self, mask: &Mask) {
        let failures = self.failure.iter_mut().chain(self.steps.iter_mut().filter_map(|step| step.failure.as_mut()));
        failures.for_each(|failed| failed.mask(mask));
        let reasons = self.steps.iter_mut().filter_map(|step| step.reason.as_mut());
        for text in self.warnings.iter_mut().chain(reasons) {
            *text = mask.message(text);
        }
        for step in &mut self.steps {
            if let Some(Facts::Check { findings, .. }) = &mut step.facts {
                for finding in findings {
                    finding.reason = mask.message(&finding.reason);
                }
            }
        }
    }
}

/// Why something failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// What kind of failure it is: one exit code each.
    pub kind: ErrorKind,
    /// What failed, with its causes.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl From<&Error> for Failed {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind(), message: error.line(), hint: error.hint() }
    }
}

impl Failed {
    /// Masks what holds secrets, however it came into the message of a program or a server.
    pub(super) fn mask(&mut self, mask: &Mask) {
        self.message = mask.message(&self.message);
        self.hint = self.hint.as_ref().map(|hint| mask.message(hint));
    }

    /// Says why the step was ended, before its own words where it has more to tell than that it was.
    pub(super) fn cut_off_by(&mut self, cut: &Error) {
        let why = Self::of_step(cut, false);
        let own = std::mem::replace(self, why);
        if own.message != Error::Interrupted.line() {
            self.message = format!("{}: {}", self.message, own.message);
        }
    }

    /// As [`From`], for what ended a step: [`Busy`](ErrorKind::Busy) is said of another run alone, which schedules may take
    /// for a success. A step that somebody was in the way of, or whose lease was lost, could not run.
    pub(super) fn of_step(error: &Error, interrupted: bool) -> Self {
        let failed = Self::from(error);
        let kind = failed.kind.when(interrupted);
        let kind = if kind == ErrorKind::Busy { ErrorKind::CouldNotRun } else { kind };
        Self { kind, ..failed }
    }
}

/// How one step went.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Which.
    pub step: Step,
    /// How it ended.
    pub end: StepEnd,
    /// Why it was not run, in words.
    pub reason: Option<String>,
    /// Why it failed.
    pub failure: Option<Failed>,
    /// What it did.
    pub facts: Option<Facts>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// What a step did.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Facts {
    /// A restore point was made.
    Backup {
        /// Which.
        point: PointId,
        /// Bytes that it stores.
        stored_bytes: u64,
        /// Rows.
        rows: u64,
    },
    /// It was verified.
    Verify {
        /// Which.
        point: PointId,
        /// How far.
        level: Level,
        /// What was found.
        verdict: Verdict,
        /// Bytes read from the repository.
        read_bytes: u64,
    },
    /// Restore points were dropped, or none.
    Prune {
        /// How many are kept.
        kept: u64,
        /// Which went.
        dropped: Vec<PointId>,
        /// Bytes of them.
        dropped_bytes: u64,
        /// As the field of the same name of a prune.
        keeps_versions: Option<bool>,
        /// Things of no restore point that were removed.
        swept: u64,
    },
    /// The repository was checked.
    Check {
        /// Restore points that were looked at.
        points: u64,
        /// Bytes that were read again.
        read_bytes: u64,
        /// What was found.
        findings: Vec<crate::check::Finding>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_in_words_holds_no_secret() {
        let turn = Turn { id: "t1".to_owned(), began_at: DateTime::UNIX_EPOCH };
        let said = || "pg_dump: it said hunter22 aloud".to_owned();
        let failed = || Failed { kind: ErrorKind::Postgres, message: said(), hint: Some(said()) };
        let mut report = CronReport::refused("shop".parse().unwrap(), &turn, failed());
        report.steps.push(StepReport {
            step: Step::Backup,
            end: StepEnd::Failed,
            reason: Some(said()),
            failure: Some(failed()),
            facts: None,
            took_ms: 0,
        });
        report.warnings.push(said());
        report.mask(&Mask::new([holdpoint_core::Secret::new("hunter22")]));
        let text = serde_json::to_string(&report).unwrap();
        assert!(!text.contains("hunter22") && text.matches("pg_dump").count() == 6, "{text}");
    }

    #[test]
    fn a_run_that_could_not_begin_took_as_long_as_it_tried() {
        let turn = Turn { id: "t1".to_owned(), began_at: DateTime::UNIX_EPOCH };
        let report = |error: &Error| CronReport::refused("shop".parse().unwrap(), &turn, Failed::from(error));
        let unreached = report(&Error::TimeOver).ended_at(turn.began_at + chrono::TimeDelta::seconds(90));
        let text = crate::cron::metrics(std::slice::from_ref(&unreached), "");
        assert!(text.contains("holdpoint_cron_duration_seconds{database=\"shop\"} 90\n"), "{text}");
        assert!(text.contains("holdpoint_cron_last_run_timestamp_seconds{database=\"shop\"} 0\n"), "{text}");
        let set_back = report(&Error::TimeOver).ended_at(turn.began_at - chrono::TimeDelta::seconds(90));
        assert_eq!(set_back.took_ms, 0);
        assert!(report(&Error::LeaseLost).is_kept_out() && !unreached.is_kept_out());
    }

    #[test]
    fn only_another_run_is_told_as_busy() {
        assert_eq!(Failed::from(&Error::LeaseLost).kind, ErrorKind::Busy);
        assert_eq!(Failed::of_step(&Error::LeaseLost, false).kind, ErrorKind::CouldNotRun);
        let in_the_way =
            Error::InTheWay { waiter: "process 4711 (app)".to_owned(), limit: std::time::Duration::from_secs(10) };
        assert_eq!(Failed::of_step(&in_the_way, false).kind, ErrorKind::CouldNotRun);
        let mut cut = Failed::of_step(&Error::Interrupted, true);
        cut.cut_off_by(&Error::TimeOver);
        assert_eq!(cut, Failed::of_step(&Error::TimeOver, false));
        let own = Failed { message: "its objects stay".to_owned(), ..cut.clone() };
        let mut told = own.clone();
        told.cut_off_by(&Error::TimeOver);
        assert_eq!(told, Failed { message: format!("{}: its objects stay", cut.message), ..cut });
        assert_eq!(Failed::of_step(&Error::LeaseLost, true).kind, ErrorKind::CouldNotRun, "no consequence of an end");
        assert_eq!(Failed::of_step(&Error::Interrupted, false).kind, ErrorKind::Interrupted);
    }
}
