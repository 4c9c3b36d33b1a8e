//! One guarded run: what goes in, what comes out, and the order in between.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::gate::pending::{Decision, WindowPolicy};
use holdpoint_core::ledger::{JudgementRecord, RunState, Verdict};
use holdpoint_core::rehearsal::Rehearsal;
use holdpoint_core::risk::RiskPolicy;
use holdpoint_core::undoing::Way;
pub use holdpoint_core::undoing::WayBack;
use holdpoint_core::verification::Verification;
use holdpoint_core::{PointId, RunId};
use holdpoint_operations::backup::BackupOptions;
use holdpoint_operations::rds::RdsSource;
use holdpoint_operations::verify::VerifyOptions;
use holdpoint_operations::{Context, Source};
use holdpoint_postgres::ConnectionSettings;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::guarded::Guarded;
use crate::plan::PlanReport;
use crate::planned::Migrations;
use crate::rehearsed::Rehearsing;
use crate::running::RunOptions;
use crate::running::live::Observed;
use crate::shown::Question;
use crate::tools::Found;
use crate::undo::{UndoEnd, UndoOptions, UndoReport};
use crate::{Error, command, prepare, running};

/// How much younger than the server's clock another one may say it is.
const CLOCKS_DIFFER_BY: TimeDelta = TimeDelta::minutes(1);

/// What is done by itself where a command fails and something of it is there.
#[derive(Clone)]
pub struct OnFailure {
    /// The way, and what it needs; which run it is, is filled in.
    pub undo: UndoOptions,
    /// Says why it could not begin, with the advice that a person gets.
    pub told: Arc<dyn Fn(Error) -> String + Send + Sync>,
    /// Gives the token that the next signal cancels, where one has cancelled the run's own: who interrupted the command
    /// may interrupt its undo, too. `None`: nobody can.
    pub cancel: Option<Arc<dyn Fn() -> CancellationToken + Send + Sync>>,
}

impl fmt::Debug for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnFailure").field("undo", &self.undo).finish_non_exhaustive()
    }
}

/// How a command is guarded.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// The command, word by word; at least one.
    pub command: Vec<String>,
    /// The whole environment of the command; holdpoint's own credentials are already left out.
    pub environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    /// Where it is learnt what is pending.
    pub migrations: Migrations,
    /// What the gate asks for each class of risk.
    pub policy: RiskPolicy,
    /// What the gate asks of the point-in-time window.
    pub window_policy: WindowPolicy,
    /// How the command is rehearsed, or why not.
    pub rehearsal: Result<Rehearsing, String>,
    /// How long everything before the command may take.
    pub deadline: Option<Duration>,
    /// Asked before the command runs where data may be lost; `None` goes on.
    pub question: Option<Question>,
    /// Run although nothing is proven, for this reason; recorded.
    pub unproven: Option<String>,
    /// Who runs it and where, in words.
    pub operator: Option<String>,
    /// Flags of this program that the way back must repeat to be pasteable, such as `--config X --database Y`.
    pub own_flags: Vec<String>,
    /// Flags by which `undo` finds the project again.
    pub project_flags: Vec<String>,
    /// How the way back connects: a role that may create databases, mostly the migrating one, where the restore point
    /// is made by one that only reads.
    pub way_back: Option<ConnectionSettings>,
    /// What is done by itself where the command fails and something of it is there.
    pub on_failure: Option<OnFailure>,
    /// The RDS instance that the database is on.
    pub instance: Option<RdsSource>,
    /// How the command runs, and what goes with it.
    pub run: RunOptions,
}

impl GuardOptions {
    /// The project's tool; `None` where no project is read.
    pub(crate) fn found(&self) -> Option<&Found> {
        match &self.migrations {
            Migrations::Of(of) => Some(&of.project.found),
            Migrations::Unknown(_) => None,
        }
    }

    /// Refuses an acceptance of lost data from an instant that has not come: it holds for no restore point.
    pub(crate) fn demand_past_acceptance(&self, now: DateTime<Utc>) -> Result<(), Error> {
        self.accepted().map_or(Ok(()), |accepted| has_come(accepted, now))
    }

    /// Refuses an acceptance of lost data that is younger than the restore point's snapshot: whatever undoes the run loses what
    /// was written since that, or refuses to.
    pub(crate) fn demand_acceptance_of(&self, snapshot: DateTime<Utc>) -> Result<(), Error> {
        let way = self.on_failure.as_ref().and_then(|on_failure| on_failure.undo.way).unwrap_or(Way::Restore);
        self.accepted().map_or(Ok(()), |accepted| holds_for(way, accepted, snapshot))
    }

    /// Since when data may be lost, where the run is undone by itself.
    fn accepted(&self) -> Option<DateTime<Utc>> {
        self.on_failure.as_ref()?.undo.accept_data_loss_since
    }
}

fn has_come(accepted: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Error> {
    if accepted > now + CLOCKS_DIFFER_BY { Err(Error::AcceptanceInTheFuture { accepted, now }) } else { Ok(()) }
}

fn holds_for(way: Way, accepted: DateTime<Utc>, snapshot: DateTime<Utc>) -> Result<(), Error> {
    if accepted > snapshot { Err(Error::AcceptanceTooYoung { way, accepted, snapshot }) } else { Ok(()) }
}

/// A guarded run that ended.
#[derive(Clone, Debug, Serialize)]
pub struct GuardReport {
    /// The run.
    pub run: RunId,
    /// Where it stands.
    pub state: RunState,
    /// What the gate decided at first.
    pub decision: Decision,
    /// What was pending; `None` where no project was read.
    pub plan: Option<PlanReport>,
    /// The prepared run that it relied on.
    pub prepared_by: Option<RunId>,
    /// The restore point that it relied on; none where nothing was asked for.
    pub point: Option<PointId>,
    /// The verification made for it.
    pub verification: Option<Verification>,
    /// What the command did on the copy.
    pub rehearsal: Option<Box<Rehearsal>>,
    /// Why it was not rehearsed.
    pub not_rehearsed: Option<String>,
    /// Exit code of the command.
    pub exit_code: Option<i32>,
    /// Signal that ended the command.
    pub signal: Option<i32>,
    /// Milliseconds that the command ran.
    pub command_took_ms: Option<u64>,
    /// Its command, or the asking whether the application is well, was ended because a person asked for it.
    pub interrupted: bool,
    /// What the command did, by what is found in the database.
    pub verdict: Verdict,
    /// The verdict with its evidence; with it whether the time-outs were in force, and whether the application is well.
    pub judgement: JudgementRecord,
    /// What was seen of the command on the server while it ran.
    pub observed: Observed,
    /// The object that holds what the command wrote, where it is kept.
    pub output: Option<String>,
    /// What the database looks like now, against right before the command: `unchanged`, `changed`, or `unknown`.
    ///
    /// *Unchanged* is only said with evidence that nothing was kept: every transaction meanwhile was aborted, or no
    /// table's counters and files moved and the schema is the same. Positions of sequences are not part of it.
    pub database: &'static str,
    /// The ways back that are still open, best first.
    pub ways_back: Vec<WayBack>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
    /// How it was undone; `state` says how its command ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<Box<UndoReport>>,
    /// Why the judgement could not be written into the ledger, where it still says that the command runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_recorded: Option<String>,
    /// Why its undo could not begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo_failure: Option<String>,
}

/// How a run that came to its command ended, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitKind {
    /// The command succeeded: exit code 0.
    Done,
    /// The command succeeded, and nobody could write that down: exit code 8.
    NotRecorded,
    /// It failed, and nothing was applied: exit code 10.
    NothingApplied,
    /// It failed, and something was applied, or that is not known; or it did otherwise than planned: exit code 11.
    AppliedInPart,
    /// It was interrupted: nothing was applied, or its command succeeded and nobody knows whether the application is well:
    /// exit code 130.
    Interrupted,
    /// It failed, and was undone, with proof: exit code 12.
    Undone,
    /// It failed, and was to be undone, which failed or is not proven: exit code 13.
    WayBackFailed,
}

impl GuardReport {
    /// How the run ended, for the exit code.
    pub fn exit_kind(&self) -> ExitKind {
        match (&self.undo, &self.undo_failure) {
            (Some(undo), _) if undo.end() == UndoEnd::Done => return ExitKind::Undone,
            (Some(_), _) | (_, Some(_)) => return ExitKind::WayBackFailed,
            (None, None) => {}
        }
        match (self.state, self.interrupted) {
            (RunState::Succeeded, false) if self.not_recorded.is_some() => ExitKind::NotRecorded,
            (RunState::Succeeded, false) => ExitKind::Done,
            (RunState::Succeeded | RunState::RolledBack, true) => ExitKind::Interrupted,
            (RunState::RolledBack, false) => ExitKind::NothingApplied,
            _ => ExitKind::AppliedInPart,
        }
    }
}

/// Runs a command once a restore point is proven, or refuses to.
///
/// In this order: what is pending is read and reviewed; the gate decides; a restore point is made, pinned and verified
/// where none does, unless a prepared run has done so; the run lock is taken; pending migrations, identity and schema
/// are looked at again; the ledger says *running*; the command runs; it is judged, which is written, and where [`GuardOptions::on_failure`]
/// says so undone, all under the same lock; then what belongs after a good end is run, and everybody is told. Where nothing is
/// pending the command runs at once. An error means that the command was never started (the ledger then says *refused*); whatever happens to the command is
/// told in the report, with the ways back. The restore point stays pinned after the command ran.
///
/// # Errors
/// [`Error::Operation`], of kind *busy*, at once when another run has the lock; [`Error::Disproved`], never excused;
/// [`Error::Stopped`] and [`Error::Refused`] before anything is made; [`Error::Deadline`] when it took too long;
/// [`Error::CouldNotProve`] unless [`GuardOptions::unproven`] says why it may go on; [`Error::SchemaChanged`] and
/// [`Error::RanMeanwhile`] and [`Error::PendingChanged`] when the database is not the one that the restore point recorded any more.
pub async fn guard(
    context: &Context,
    source: &Source,
    verify: &VerifyOptions,
    backup: &BackupOptions,
    options: &GuardOptions,
) -> Result<GuardReport, Error> {
    command::check(options)?;
    running::check(&options.run)?;
    prepare::check(backup, options)?;
    let (guarded, mut ledger) = Guarded::begin(context, source, verify, backup, options).await?;
    // Boxed, as they are large: whoever awaits them may have little stack.
    match Box::pin(guarded.ready(&mut ledger)).await {
        Ok(ready) => Ok(Box::pin(guarded.run(ready, ledger)).await),
        Err(error) => Err(guarded.refused(error, ledger).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acceptance_holds_for_what_is_younger_than_it() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let snapshot = at("2026-11-21T02:43:00.5Z");
        for accepted in [at("2026-11-21T02:43:00.5Z"), at("2026-11-21T02:43:00Z"), at("1970-01-01T00:00:00Z")] {
            assert!(holds_for(Way::Restore, accepted, snapshot).is_ok(), "{accepted}");
        }
        for (way, hint) in [(Way::Restore, "or --on-failure rollback"), (Way::Rollback, "is left to a person")] {
            let error = holds_for(way, at("2026-11-21T02:43:00.500001Z"), snapshot).unwrap_err();
            assert_eq!(error.kind(), holdpoint_operations::ErrorKind::Refused);
            let told = error.hint().unwrap();
            assert!(
                told.contains("--accept-data-loss-since 2026-11-21T02:43:00.500000Z") && told.ends_with(hint),
                "{told}"
            );
            assert!(error.to_string().starts_with(&format!("a {} loses", way.word())), "{error}");
        }
        assert!(has_come(at("2026-11-21T02:43:30Z"), snapshot).is_ok(), "clocks differ");
        let error = has_come(at("2026-11-21T04:43:00Z"), snapshot).unwrap_err();
        assert!(matches!(error, Error::AcceptanceInTheFuture { .. }), "{error}");
    }
}
