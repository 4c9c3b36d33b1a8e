//! The ledger: what happened in each guarded run, one create-only record a step.
//!
//! It lies in the repository, because a restored database would rewind rows of its own.

mod hooks;
mod judgement;
mod origin;
mod process;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use hooks::{HookRecord, HookState, HooksRecord};
pub use judgement::{Health, InForce, JudgementRecord, OutputRecord, Verdict};
pub use origin::Origin;
pub use process::Process;

use crate::rehearsal::Rehearsal;
use crate::risk::RiskClass;
use crate::undoing::{Applied, RiskRecord, RollbackScript, Settlement, TakenBack, UndoRecord, WayBack};
use crate::verification::Level;
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
    /// The command ran on a copy, and did what was planned.
    Rehearsed,
    /// Everything is prepared: a guarded run may rely on it until the time it names. Its own command never ran.
    Prepared,
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
    /// It is being brought back. A run whose newest step this is was interrupted in its undo, or still is at it.
    Undoing,
    /// It was to be brought back, and that failed or is not proven.
    UndoFailed,
    /// It was brought back, and that is shown.
    Undone,
}

impl RunState {
    /// The state as a word of a key.
    pub fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Proven => "proven",
            Self::Rehearsed => "rehearsed",
            Self::Prepared => "prepared",
            Self::Refused => "refused",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::RolledBack => "rolled-back",
            Self::Settled => "settled",
            Self::Undoing => "undoing",
            Self::UndoFailed => "undo-failed",
            Self::Undone => "undone",
        }
    }

    /// The state that a word of a key names; `None` for what is none.
    pub fn of_word(word: &str) -> Option<Self> {
        const ALL: [RunState; 13] = [
            RunState::Started,
            RunState::Proven,
            RunState::Rehearsed,
            RunState::Prepared,
            RunState::Refused,
            RunState::Running,
            RunState::Succeeded,
            RunState::Failed,
            RunState::RolledBack,
            RunState::Settled,
            RunState::Undoing,
            RunState::UndoFailed,
            RunState::Undone,
        ];
        ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether a run in this state may have left the database damaged with nobody having looked.
    pub fn unsettled(self) -> bool {
        matches!(self, Self::Running | Self::Failed | Self::Undoing | Self::UndoFailed)
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
    /// The server's instant right before the command, from `Running` on; where the command waited until RDS could restore it, the
    /// one before that wait.
    pub instant: Option<DateTime<Utc>>,
    /// Which transactions the server had seen right before and after the command; `None` in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactions: Option<SeenTransactions>,
    /// Exit code of the command.
    pub exit_code: Option<i32>,
    /// Signal that ended the command.
    pub signal: Option<i32>,
    /// SHA-256 over the schema as the run's command left it: whether somebody else changed it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_sha256: Option<String>,
    /// Who ran it and where, in words.
    pub operator: Option<String>,
    /// What was pending; `None` where nobody can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanRecord>,
    /// Until when, and for what, others may rely on this run's preparation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepared: Option<Prepared>,
    /// The prepared run that this one relies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relies_on_run: Option<RunId>,
    /// What the command did on a copy: what is expected of production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<Box<Rehearsal>>,
    /// What it puts at risk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<RiskRecord>,
    /// The ways back as they were before the command, best first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ways_back: Vec<WayBack>,
    /// How far its undo is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<UndoRecord>,
    /// How a person declared it done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<Settlement>,
    /// An undo by another RDS instance was taken back, so that the database is again as it was before that undo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<TakenBack>,
    /// Where the run came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The process that wrote the step, and goes on working on the run where that is not at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The leader of the process group that the run's command has, once it is started: it may outlive `process`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_process: Option<Process>,
    /// What the command did, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judgement: Option<Box<JudgementRecord>>,
    /// What the command wrote, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputRecord>,
    /// What runs before and after the command, and how far that is; `None` where nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<HooksRecord>,
    /// Reasons, warnings, and what a person said, in order.
    #[serde(default)]
    pub remarks: Vec<String>,
}

/// The server's transactions around a command, as `pg_current_snapshot()` writes them: of a row's last writer they tell
/// whether that was before, during or after the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenTransactions {
    /// Right before the command.
    pub before: String,
    /// After it had ended; `None` where that was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Tables that were there and of which rows were written in between, by the command or by others, as the server counted;
    /// `None` where its counters cannot be believed, and in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<Vec<WrittenMeanwhile>>,
    /// What no dump of the database shows and that came, went or changed in between, by the command or by others: roles and
    /// memberships, replication slots, subscriptions, settings of the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<ChangedBeside>,
    /// What the command runs says a word of what no transaction takes back: `setval`, `ALTER SYSTEM`, a replication slot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outlives_transactions: bool,
}

/// Something that no dump of the database shows, and that was changed while a command ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedBeside {
    /// What it is, such as `role app` or `replication slot cdc`.
    pub what: String,
    /// A digest of what could be read of it before; `None` where it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// What was written into a table while a command ran, by anybody, also what was rolled back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenMeanwhile {
    /// The table.
    pub table: String,
    /// Rows that were inserted.
    #[serde(default)]
    pub inserted: u64,
    /// Rows that were updated.
    #[serde(default)]
    pub updated: u64,
    /// Rows that were deleted.
    #[serde(default)]
    pub deleted: u64,
    /// It was emptied or written anew: it has another file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_file: bool,
}

/// What was pending when a run began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// The migration tool, as `--tool` names it.
    pub tool: String,
    /// The pending migrations, in the order in which they would run.
    pub pending: Vec<MigrationRecord>,
    /// Files that the tool runs at every migration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callbacks: Vec<MigrationRecord>,
    /// What the tool was configured by, and which tool it was: files below the project's folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configuration: Vec<MigrationRecord>,
    /// For a folder without a tool: what was applied before, oldest first, as runs or a person said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Vec<MigrationRecord>>,
    /// What undoes the pending migrations; `None` in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollbacks: Option<Vec<RollbackScript>>,
    /// Risks that somebody took, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<WaivedRecord>,
}

/// A migration, or another file of the project, in a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MigrationRecord {
    /// The file's path below the folder of migrations, with `/`; its name where there is no such file.
    pub path: String,
    /// SHA-256 of the file in lower-case hexadecimal.
    pub sha256: String,
}

/// A risk that somebody took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaivedRecord {
    /// Its class.
    pub class: RiskClass,
    /// Where: file and line.
    pub place: String,
    /// Why; secrets in it are masked.
    pub reason: String,
}

/// What a prepared run offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// Until when, by the source server's clock.
    pub until: DateTime<Utc>,
    /// How far its restore point is proven; `None` where nothing was asked for.
    pub level: Option<Level>,
}

impl RunStep {
    /// How much the command left of what was pending, in a step with which a command ended that succeeded by its own
    /// word; `None` in any other step.
    ///
    /// A command that exited with 0 and yet counts as failed counts as fully applied only where that was judged, or
    /// where it failed for the application's health alone. One that left the database unchanged ran fully only where
    /// its rehearsal left nothing either.
    pub fn left(&self) -> Option<Applied> {
        let judged = self.judgement.as_deref();
        let verdict = judged.map(|judged| judged.verdict);
        match self.state {
            RunState::Succeeded if verdict == Some(Verdict::Unchanged) => {
                let pending = self.plan.as_ref().is_none_or(|plan| plan.files().next().is_some());
                let nothing = self.rehearsal.as_ref().is_some_and(|rehearsal| !rehearsal.left_something());
                Some(if pending && !nothing { Applied::Unchanged } else { Applied::Fully })
            }
            RunState::Succeeded => Some(Applied::Fully),
            RunState::Failed if self.exit_code == Some(0) => Some(match verdict {
                Some(Verdict::FullyApplied) => Applied::Fully,
                Some(Verdict::Unchanged) => Applied::Unchanged,
                Some(Verdict::Unknown) if judged.is_some_and(JudgementRecord::failed_by_health_alone) => Applied::Fully,
                Some(Verdict::PartlyApplied) => Applied::Partly,
                Some(Verdict::Unknown) | None => Applied::Unknown,
            }),
            _ => None,
        }
    }
}

impl PlanRecord {
    /// Whether the same files would run, byte for byte and in the same order.
    pub fn same_pending(&self, other: &Self) -> bool {
        self.tool == other.tool && self.files().eq(other.files())
    }

    /// The first file of the configuration that is another one, or only on one side.
    pub fn configured_otherwise<'a>(&'a self, other: &'a Self) -> Option<&'a str> {
        let only =
            |one: &'a Self, other: &Self| one.configuration.iter().find(|file| !other.configuration.contains(file));
        only(other, self).or_else(|| only(self, other)).map(|file| file.path.as_str())
    }

    /// Every file that would run.
    pub fn files(&self) -> impl Iterator<Item = &MigrationRecord> {
        self.pending.iter().chain(&self.callbacks)
    }

    /// For a folder without a tool: what is applied once everything pending ran.
    /// What nothing shows to have run, by path, is not among it.
    pub fn applied_afterwards(&self, not_shown: &[String]) -> Option<Vec<MigrationRecord>> {
        let applied = self.applied.as_ref()?;
        let ran = self.pending.iter().filter(|file| !not_shown.contains(&file.path));
        Some(applied.iter().chain(ran).cloned().collect())
    }
}

/// The newest step of a run, by number.
pub fn newest(steps: &[RunStep]) -> Option<&RunStep> {
    steps.iter().max_by_key(|step| step.n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_broke_off_or_failed_leaves_a_question() {
        use RunState::{
            Failed, Prepared, Proven, Refused, Rehearsed, RolledBack, Running, Settled, Started, Succeeded, UndoFailed,
            Undoing, Undone,
        };
        for state in [Running, Failed, Undoing, UndoFailed] {
            assert!(state.unsettled());
            assert_eq!(RunState::of_word(state.word()), Some(state));
        }
        for state in [Started, Proven, Rehearsed, Prepared, Refused, RolledBack, Succeeded, Settled, Undone] {
            assert!(!state.unsettled());
            assert_eq!(RunState::of_word(state.word()), Some(state));
        }
        assert_eq!(RunState::of_word("rolled_back"), None);
    }

    fn ended(state: RunState, exit_code: i32, verdict: Option<Verdict>, health: Health) -> RunStep {
        let judgement = verdict.map(|verdict| {
            serde_json::json!({ "verdict": verdict, "as_planned": false, "recorded": null, "still_pending": null,
                "unlike_rehearsal": null, "health": health, "time_outs": "not_shown", "reasons": [] })
        });
        serde_json::from_value(serde_json::json!({
            "format": 1, "run": "20261121T024300Z-k3f9", "n": 5, "state": state, "at": "2026-11-21T02:43:00Z",
            "identity": { "system_identifier": "7", "database_oid": 5, "database": "shop", "timeline": 1,
                          "endpoint": "db:5432", "resource_id": null },
            "command": ["x"], "point": null, "wal_position": null, "instant": null, "exit_code": exit_code,
            "signal": null, "operator": null, "judgement": judgement,
            "plan": { "tool": "sql", "pending": [{ "path": "004.sql", "sha256": "" }], "applied": [] }
        }))
        .unwrap()
    }

    #[test]
    fn a_command_that_exits_with_0_ran_everything_only_where_that_was_found() {
        use Health::{NeverGreen, NotAsked};
        use RunState::{Failed, Running, Succeeded};
        let left = |state, verdict, health| ended(state, 0, verdict, health).left();
        assert_eq!(left(Succeeded, None, NotAsked), Some(Applied::Fully), "records of older versions");
        assert_eq!(left(Succeeded, Some(Verdict::Unknown), NotAsked), Some(Applied::Fully));
        assert_eq!(left(Succeeded, Some(Verdict::Unchanged), NotAsked), Some(Applied::Unchanged), "skipped silently");
        assert_eq!(left(Failed, Some(Verdict::Unchanged), NotAsked), Some(Applied::Unchanged));
        assert_eq!(left(Failed, Some(Verdict::PartlyApplied), NotAsked), Some(Applied::Partly));
        assert_eq!(left(Failed, Some(Verdict::PartlyApplied), NeverGreen), Some(Applied::Partly));
        assert_eq!(left(Failed, Some(Verdict::FullyApplied), NotAsked), Some(Applied::Fully));
        assert_eq!(left(Failed, Some(Verdict::Unknown), NeverGreen), Some(Applied::Fully), "its health alone");
        assert_eq!(left(Failed, Some(Verdict::Unknown), NotAsked), Some(Applied::Unknown));
        assert_eq!(ended(Failed, 3, Some(Verdict::FullyApplied), NotAsked).left(), None);
        assert_eq!(left(Running, None, NotAsked), None);
        let mut nothing = ended(Succeeded, 0, Some(Verdict::Unchanged), NotAsked);
        nothing.plan = Some(PlanRecord::default());
        assert_eq!(nothing.left(), Some(Applied::Fully), "nothing was pending");
    }

    #[test]
    fn a_file_of_the_configuration_that_differs_is_named() {
        let record = |files: &[(&str, &str)]| PlanRecord {
            configuration: files
                .iter()
                .map(|(path, sha256)| MigrationRecord { path: (*path).to_owned(), sha256: (*sha256).to_owned() })
                .collect(),
            ..PlanRecord::default()
        };
        let before = record(&[("a.json", "1"), ("b.toml", "2")]);
        assert_eq!(before.configured_otherwise(&before), None);
        assert_eq!(before.configured_otherwise(&record(&[("a.json", "1"), ("b.toml", "3")])), Some("b.toml"));
        assert_eq!(before.configured_otherwise(&record(&[("b.toml", "2")])), Some("a.json"));
        let more = record(&[("a.json", "1"), ("b.toml", "2"), ("c", "4")]);
        assert_eq!(before.configured_otherwise(&more), Some("c"));
    }
}
