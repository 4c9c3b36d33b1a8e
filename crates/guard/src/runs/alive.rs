//! Whether a run is at work: what of it lives on the server.

use holdpoint_core::ledger::{Process, RunState, RunStep};
use holdpoint_operations::{Source, run_lock};
use holdpoint_postgres::{Session, SessionPurpose, identity};
use holdpoint_process::Mark;
use serde::Serialize;

use crate::{Error, LockHolder, sessions};

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It never came to its command, or is preparing.
    BeforeItsCommand,
    /// It was killed, or lost its machine, before its command was started.
    InterruptedBeforeItsCommand,
    /// It is prepared.
    Prepared,
    /// It was refused.
    Refused,
    /// Its command is at work.
    Running,
    /// It was killed, or lost its machine, while its command was at work.
    Interrupted,
    /// It is at work, or was interrupted: the server could not be asked.
    RunningOrInterrupted,
    /// Its command succeeded.
    Succeeded,
    /// Its command failed and left the database in question.
    Failed,
    /// Its command failed and left nothing.
    RolledBack,
    /// It is being undone.
    Undoing,
    /// Its undo was killed.
    InterruptedInUndo,
    /// It is being undone, or that was interrupted: the server could not be asked.
    UndoingOrInterrupted,
    /// Its undo failed, or is not proven.
    UndoFailed,
    /// It was undone.
    Undone,
    /// A person declared it done.
    Settled,
    /// Its newest step cannot be read: its state is what that step's key says.
    Unreadable,
}

impl Standing {
    /// From the newest step's state, and whether the run lives on the server (`None`: not known).
    pub(super) fn of(state: RunState, lives: Option<bool>) -> Self {
        match (state, lives) {
            (RunState::Started | RunState::Proven | RunState::Rehearsed, _) => Self::BeforeItsCommand,
            (RunState::Prepared, _) => Self::Prepared,
            (RunState::Refused, _) => Self::Refused,
            (RunState::Running, Some(true)) => Self::Running,
            (RunState::Running, Some(false)) => Self::Interrupted,
            (RunState::Running, None) => Self::RunningOrInterrupted,
            (RunState::Succeeded, _) => Self::Succeeded,
            (RunState::Failed, _) => Self::Failed,
            (RunState::RolledBack, _) => Self::RolledBack,
            (RunState::Settled, _) => Self::Settled,
            (RunState::Undoing, Some(true)) => Self::Undoing,
            (RunState::Undoing, Some(false)) => Self::InterruptedInUndo,
            (RunState::Undoing, None) => Self::UndoingOrInterrupted,
            (RunState::UndoFailed, _) => Self::UndoFailed,
            (RunState::Undone, _) => Self::Undone,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::BeforeItsCommand => "before its command",
            Self::InterruptedBeforeItsCommand => "INTERRUPTED before its command",
            Self::Prepared => "prepared",
            Self::Refused => "refused",
            Self::Running => "running",
            Self::Interrupted => "INTERRUPTED",
            Self::RunningOrInterrupted => "running or interrupted",
            Self::Succeeded => "succeeded",
            Self::Failed => "FAILED",
            Self::RolledBack => "failed, nothing applied",
            Self::Undoing => "being undone",
            Self::InterruptedInUndo => "INTERRUPTED in its undo",
            Self::UndoingOrInterrupted => "being undone, or interrupted in that",
            Self::UndoFailed => "UNDO FAILED",
            Self::Undone => "undone",
            Self::Settled => "settled",
            Self::Unreadable => "NOT READABLE",
        }
    }

    /// Whether the run is at work, or may be.
    pub(super) fn may_live(self) -> bool {
        matches!(
            self,
            Self::BeforeItsCommand
                | Self::Running
                | Self::RunningOrInterrupted
                | Self::Undoing
                | Self::UndoingOrInterrupted
        )
    }

    /// Whether the database has to be looked at to know how much of the run is there.
    pub(super) fn needs_a_look(self) -> bool {
        matches!(self, Self::Interrupted | Self::InterruptedInUndo | Self::Failed | Self::UndoFailed)
    }
}

/// What of holdpoint's runs lives on a server.
pub(crate) struct Alive {
    holder: Option<LockHolder>,
    names: Vec<(i32, String)>,
}

impl Alive {
    pub(crate) async fn read(source: &Source) -> Result<Self, Error> {
        let session = Session::connect(&source.settings, &SessionPurpose::new("holdpoint runs")).await?;
        let read = async {
            let database = identity::read(&session).await?.identity.database_oid;
            let holder = run_lock::holder(&session, database).await?;
            let names = sessions::carrying_a_token(&session).await?;
            Ok(Self { holder, names })
        };
        let read = read.await;
        session.close().await;
        read
    }

    /// What of a run lives, in words, by its newest step.
    pub(crate) fn of(&self, step: &RunStep) -> Option<String> {
        let run = &step.run;
        if let Some(holder) = self.holder.as_ref().filter(|holder| holder.application_name.contains(run.as_str())) {
            return Some(format!("{holder} has its run lock"));
        }
        self.command_of(step).or_else(|| process_of(step))
    }

    /// What of a run's command lives, in words: a session on the server, or between two of them its process group here.
    pub(crate) fn command_of(&self, step: &RunStep) -> Option<String> {
        let token = sessions::token(&step.run);
        match self.names.iter().find(|(_, name)| name.contains(&token)) {
            Some((pid, _)) => Some(format!("a session of its command is on the server (process {pid})")),
            None => group_of(step),
        }
    }
}

/// This process, as a run's record names it; `None` where the system does not tell when it began.
pub fn this_process() -> Option<Process> {
    Mark::own().map(recorded)
}

/// A process, as a run's record names it.
pub(crate) fn recorded(mark: Mark) -> Process {
    let Mark { host, space, pid, started } = mark;
    Process { host, space, pid, started }
}

/// The process group of the command of a run that is not at its end, where something of it lives on this machine, though
/// nobody may guard it any more.
pub(crate) fn group_of(step: &RunStep) -> Option<String> {
    let leader = step.command_process.as_ref().filter(|_| is_under_way(step))?;
    let lives = mark(leader).group_lives() == Some(true);
    lives.then(|| format!("its command is at work on {}: process group {}", leader.host, leader.pid))
}

/// The process of a run that is not at its end, where it lives on this machine: its connections may be lost, and what it
/// started may go on.
pub(crate) fn process_of(step: &RunStep) -> Option<String> {
    let process = step.process.as_ref().filter(|_| is_under_way(step))?;
    let lives = mark(process).lives() == Some(true);
    lives.then(|| format!("its process {} on {} lives, without a connection", process.pid, process.host))
}

/// Says that nobody can tell from here whether the process of a run lives that is not at its end.
pub(crate) fn not_told_from_here(step: &RunStep) -> Option<String> {
    let process = step.process.as_ref().filter(|_| is_under_way(step))?;
    let (pid, host) = (process.pid, &process.host);
    mark(process).lives().is_none().then(|| {
        format!("whether its process {pid} on {host} lives cannot be told from here: what it started may go on there")
    })
}

/// Whether a run is, by its newest step, before its command.
pub(super) fn is_before_its_command(step: &RunStep) -> bool {
    matches!(step.state, RunState::Started | RunState::Proven | RunState::Rehearsed)
}

/// Whether the process of a run lives that is before its command; `None` where that cannot be told from here, and of any
/// other run.
pub(super) fn lives_before_its_command(step: &RunStep) -> Option<bool> {
    mark(step.process.as_ref().filter(|_| is_before_its_command(step))?).lives()
}

fn is_under_way(step: &RunStep) -> bool {
    matches!(step.state, RunState::Running | RunState::Undoing)
}

fn mark(process: &Process) -> Mark {
    let Process { host, space, pid, started } = process.clone();
    Mark { host, space, pid, started }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_did_not_end_depends_on_the_server() {
        assert_eq!(Standing::of(RunState::Running, Some(true)), Standing::Running);
        assert_eq!(Standing::of(RunState::Running, Some(false)), Standing::Interrupted);
        assert_eq!(Standing::of(RunState::Running, None), Standing::RunningOrInterrupted);
        assert_eq!(Standing::of(RunState::Undoing, Some(false)), Standing::InterruptedInUndo);
        for lives in [None, Some(true), Some(false)] {
            assert_eq!(Standing::of(RunState::Failed, lives), Standing::Failed);
            assert_eq!(Standing::of(RunState::Undone, lives), Standing::Undone);
        }
    }

    /// The newest step of a run that is at work.
    fn step(process: Option<Process>) -> RunStep {
        serde_json::from_value(serde_json::json!({
            "format": 1, "run": "20261121T024300Z-k3f9", "n": 4, "state": "running", "at": "2026-11-21T02:43:00Z",
            "identity": { "system_identifier": "7", "database_oid": 5, "database": "shop", "timeline": 1,
                          "endpoint": "db:5432", "resource_id": null },
            "command": ["x"], "point": null, "wal_position": null, "instant": null, "exit_code": null,
            "signal": null, "operator": null, "process": process
        }))
        .unwrap()
    }

    #[test]
    fn a_lock_or_a_session_of_another_run_is_no_life_of_this_one() {
        let step = step(None);
        let holder =
            |name: &str| LockHolder { pid: 7, application_name: name.to_owned(), since: chrono::DateTime::UNIX_EPOCH };
        let alive = |holder, names| Alive { holder, names };
        assert!(alive(Some(holder("holdpoint guard 20261121T024300Z-k3f9")), vec![]).of(&step).is_some());
        assert!(alive(Some(holder("holdpoint undo 20261121T024300Z-k3f9")), vec![]).of(&step).is_some());
        assert!(alive(Some(holder("holdpoint guard 20261121T024301Z-k3f9")), vec![]).of(&step).is_none());
        let named = |name: &str| vec![(8, name.to_owned())];
        assert!(alive(None, named("holdpoint:20261121T024300Z-k3f9")).of(&step).is_some());
        assert!(alive(None, named("holdpoint:20261121T024301Z-k3f9")).of(&step).is_none());
    }

    #[test]
    fn a_process_that_lives_here_is_at_work_without_any_connection() {
        let nothing = Alive { holder: None, names: Vec::new() };
        let own = this_process().unwrap();
        let at_work = step(Some(own.clone()));
        let told = nothing.of(&at_work).unwrap_or_default();
        assert!(told.contains(&format!("process {} on {}", own.pid, own.host)), "{told}");
        assert_eq!(not_told_from_here(&at_work), None);
        // At its end nobody waits for its process.
        let ended = RunStep { state: RunState::Failed, ..at_work };
        assert_eq!((nothing.of(&ended), not_told_from_here(&ended)), (None, None));
        let gone = step(Some(Process { started: "before".into(), ..own.clone() }));
        assert_eq!((nothing.of(&gone), not_told_from_here(&gone)), (None, None));
        // The command outlives a guard that was killed, between two of its sessions, too.
        let orphaned = RunStep { command_process: Some(own.clone()), ..gone };
        let told = nothing.of(&orphaned).unwrap_or_default();
        assert!(told.contains(&format!("process group {}", own.pid)), "{told}");
        assert_eq!(nothing.of(&RunStep { state: RunState::Failed, ..orphaned }), None);
        let elsewhere = step(Some(Process { host: "ci-7".into(), ..own }));
        assert_eq!(nothing.of(&elsewhere), None);
        let told = not_told_from_here(&elsewhere).unwrap_or_default();
        assert!(told.contains("on ci-7 lives cannot be told from here"), "{told}");
    }
}
