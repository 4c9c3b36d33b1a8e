//! What is told of runs.

use chrono::{DateTime, Utc};
use holdpoint_core::ledger::{RunState, RunStep, Verdict};
use holdpoint_core::undoing::{Afresh, Applied, TakenBack};
use holdpoint_core::{DatabaseName, PointId, RunId};
use serde::Serialize;

use super::Standing;

/// The runs of a database.
#[derive(Clone, Debug, Serialize)]
pub struct RunsReport {
    /// The database.
    pub database: DatabaseName,
    /// The runs, the newest first.
    pub runs: Vec<RunSummary>,
    /// How many older ones there are.
    pub more: usize,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// A run in a list.
#[derive(Clone, Debug, Serialize)]
pub struct RunSummary {
    /// Which.
    pub run: RunId,
    /// When it began, by the source server's clock.
    pub at: DateTime<Utc>,
    /// When its newest step was written, by the guarding machine's clock.
    pub until: DateTime<Utc>,
    /// The command, word by word; secrets in it are masked.
    pub command: Vec<String>,
    /// Its newest step.
    pub state: RunState,
    /// How it stands, as the server says too.
    pub standing: Standing,
    /// Nobody has looked at what it may have left.
    pub unsettled: bool,
    /// What it switched on by `--before` and did not switch off, with the command that does; `None` also while it is at work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owed: Option<String>,
    /// How much of what was pending is there, as far as that is known.
    pub verdict: Option<Applied>,
    /// How the database was found now, where the run itself could not say.
    pub found: Option<Afresh>,
    /// How many migrations were pending; `None` where nobody could tell.
    pub pending: Option<usize>,
    /// The restore point that it relied on.
    pub point: Option<PointId>,
    /// Who ran it and where, in words.
    pub operator: Option<String>,
    /// An undo that was taken back: its own, or that of an older run on whose instance it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<TakenBack>,
}

/// Everything about a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// The run.
    #[serde(flatten)]
    pub summary: RunSummary,
    /// Its steps, in order.
    pub steps: Vec<RunStep>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// A prepared run that is still valid.
#[derive(Clone, Debug, Serialize)]
pub struct PreparedRun {
    /// Which.
    pub run: RunId,
    /// For which command; secrets in it are masked.
    pub command: Vec<String>,
    /// Until when, by the source server's clock.
    pub until: DateTime<Utc>,
}

impl RunSummary {
    pub(super) fn new(steps: &[RunStep], step: &RunStep, standing: Standing, found: Option<Afresh>) -> Self {
        let verdict = match (&found, step.state) {
            (Some(found), _) => Some(found.applied),
            (None, RunState::Succeeded | RunState::Failed) if step.judgement.is_some() => {
                step.judgement.as_ref().map(|judgement| applied(judgement.verdict))
            }
            (None, RunState::Succeeded) => Some(match &step.plan {
                Some(plan) if plan.pending.is_empty() => Applied::Unchanged,
                _ => Applied::Fully,
            }),
            (None, RunState::RolledBack | RunState::Undone | RunState::Refused) => Some(Applied::Unchanged),
            // Judged by a look alone: show run:ID has one.
            (None, RunState::Failed | RunState::UndoFailed) => Some(Applied::Unknown),
            (None, RunState::Settled) => step.settlement.as_ref().map(|settled| settled.found.applied),
            (None, _) => None,
        };
        Self {
            run: step.run.clone(),
            at: step.run.at(),
            until: step.at,
            command: step.command.clone(),
            state: step.state,
            standing,
            unsettled: step.state.unsettled(),
            owed: super::owed(step).filter(|_| !standing.may_live()),
            verdict,
            found,
            pending: step.plan.as_ref().map(|plan| plan.pending.len()),
            point: step.point.clone(),
            operator: steps.first().and_then(|first| first.operator.clone()),
            taken_back: step.taken_back.clone(),
        }
    }
}

/// The run's own judgement.
fn applied(verdict: Verdict) -> Applied {
    match verdict {
        Verdict::Unchanged => Applied::Unchanged,
        Verdict::FullyApplied => Applied::Fully,
        Verdict::PartlyApplied => Applied::Partly,
        Verdict::Unknown => Applied::Unknown,
    }
}
