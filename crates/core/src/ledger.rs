//! The ledger: what happened in each guarded run, one create-only record a step.
//!
//! It lies in the repository, because a restored database would rewind rows of its own.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Identity, PointId, RunId};

/// The newest form of a step that this program knows.
pub const FORMAT: u32 = 1;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It began; nothing touched the database.
    Started,
    /// A restore point was chosen or made, and proven.
    Proven,
    /// The gate refused; the command never ran.
    Refused,
    /// The command runs. A run whose newest step this is was interrupted, or still runs.
    Running,
    /// The command ended with success.
    Succeeded,
    /// The command failed and left the database in question.
    Failed,
    /// The command failed and is shown to have left the database as it was.
    RolledBack,
    /// A person looked at it and declared it done.
    Settled,
}

impl RunState {
    /// The state as a word of a key.
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Proven => "proven",
            Self::Refused => "refused",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::RolledBack => "rolled-back",
            Self::Settled => "settled",
        }
    }

    /// Whether a run in this state may have left the database damaged with nobody having looked.
    pub fn unsettled(self) -> bool {
        matches!(self, Self::Running | Self::Failed)
    }
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStep {
    /// Version of this document's form.
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// The step's number, from 1.
    pub n: u32,
    /// Where the run stands after it.
    pub state: RunState,
    /// When, by the guarding machine's clock.
    pub at: DateTime<Utc>,
    /// The database.
    pub identity: Identity,
    /// The command, word by word; secrets in it are masked.
    pub command: Vec<String>,
    /// The restore point that the run relies on.
    pub point: Option<PointId>,
    /// The WAL position right before the command, from `Running` on.
    pub wal_position: Option<String>,
    /// The server's instant right before the command, from `Running` on.
    pub instant: Option<DateTime<Utc>>,
    /// Exit code of the command.
    pub exit_code: Option<i32>,
    /// Signal that ended the command.
    pub signal: Option<i32>,
    /// Who ran it and where, in words.
    pub operator: Option<String>,
    /// Reasons, warnings, and what a person said, in order.
    #[serde(default)]
    pub remarks: Vec<String>,
}

/// The newest step of a run, by number.
pub fn newest(steps: &[RunStep]) -> Option<&RunStep> {
    steps.iter().max_by_key(|step| step.n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_running_and_failed_leave_a_question() {
        use RunState::{Failed, Proven, Refused, RolledBack, Running, Settled, Started, Succeeded};
        for state in [Running, Failed] {
            assert!(state.unsettled());
        }
        for state in [Started, Proven, Refused, RolledBack, Succeeded, Settled] {
            assert!(!state.unsettled());
        }
    }
}
