//! What kind of failure an error is, and what to do next.

use holdpoint_core::undoing::Way;
use holdpoint_operations::{ErrorKind, hint};

use super::{Error, precise};

impl Error {
    /// What kind of failure it is: one exit code each.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Operation(error) => error.kind(),
            Self::Postgres(_) => ErrorKind::Postgres,
            Self::Repository(_) => ErrorKind::Repository,
            Self::Tools(error) => error.kind(),
            Self::Rehearse(error) => error.kind(),
            Self::Usage(_) | Self::CommandNotFound { .. } | Self::AnotherDatabase { .. } => ErrorKind::Usage,
            Self::Disproved { .. } => ErrorKind::Disproved,
            Self::CouldNotProve { .. } | Self::Deadline { .. } => ErrorKind::CouldNotRun,
            Self::RanMeanwhile { .. }
            | Self::LockLost
            | Self::SchemaChanged { .. }
            | Self::ServerChanged { .. }
            | Self::Stopped { .. }
            | Self::Refused { .. }
            | Self::NoInstant { .. }
            | Self::NotAsRehearsed { .. }
            | Self::Expired { .. }
            | Self::ConfigurationChanged { .. }
            | Self::BeforeFailed { .. }
            | Self::PendingChanged { .. } => ErrorKind::Refused,
            Self::ToolLocked { .. } => ErrorKind::Busy,
            Self::Escaped { .. } => ErrorKind::WayBackFailed,
            Self::NoSuchRun { .. } => ErrorKind::NotFound,
            Self::NothingToSettle { .. }
            | Self::CannotUndo { .. }
            | Self::NoSuchWay { .. }
            | Self::AcceptanceTooYoung { .. }
            | Self::AcceptanceInTheFuture { .. }
            | Self::RollbackChanged { .. }
            | Self::ScriptUnfinished { .. }
            | Self::RollbackMayLose { .. }
            | Self::DataLossNotAccepted { .. } => ErrorKind::Refused,
            Self::StepUnreadable { .. } => ErrorKind::Refused,
            Self::StepFailed { .. } | Self::InstanceDiffers { .. } => ErrorKind::WayBackFailed,
            Self::StillAtWork { .. } => ErrorKind::Busy,
            Self::CommandLives { .. } => ErrorKind::Busy,
            Self::NotConfirmed => ErrorKind::ConfirmationNeeded,
            Self::Interrupted | Self::InterruptedWith { .. } | Self::BeforeInterrupted => ErrorKind::Interrupted,
        }
    }

    /// What to do next: a command to type, or a change to make.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Operation(error) => error.hint(),
            Self::CommandNotFound { .. } => {
                Some("check the spelling and PATH; a shell's own words need sh -c '...'".to_owned())
            }
            Self::Stopped { findings } => {
                let advice = findings.first().map(|(_, advice)| format!("{advice}; "));
                Some(format!("{}see all: holdpoint plan", advice.unwrap_or_default()))
            }
            Self::Refused { .. } => {
                Some("see it: holdpoint plan; to take the risk, recorded: --waive CLASS[:OBJECT]=REASON".to_owned())
            }
            Self::NoInstant { instance: Some(name), .. } => Some(format!(
                "nothing was changed; see how far it is: holdpoint rds window {name}; wait longer, or not at all: \
                 gate.wait_for_instant"
            )),
            Self::NoInstant { instance: None, .. } => {
                Some("name it, and its region: rds_instance in holdpoint.toml; or leave gate.wait_for_instant out".to_owned())
            }
            Self::AnotherDatabase { .. } => {
                Some("let url and backup_url of holdpoint.toml, or the variables, name one database".to_owned())
            }
            Self::NotAsRehearsed { rehearsal } => Some(format!(
                "see all of it: holdpoint rehearse --from {} -- COMMAND; without a rehearsal: --no-rehearse",
                rehearsal.point
            )),
            Self::Escaped { .. } => Some(
                "look at production first: compare it with the restore point (holdpoint compare); then let the command \
                 take its connection from the environment alone"
                    .to_owned(),
            ),
            Self::Expired { .. } => Some("run the same command again: it makes its own restore point".to_owned()),
            Self::PendingChanged { .. } | Self::ConfigurationChanged { .. } => Some("run the same command again: it plans anew".to_owned()),
            Self::Deadline { point: Some(point), .. } => {
                Some(format!("prove what was made, then run it again: holdpoint verify {point}"))
            }
            Self::Deadline { point: None, .. } => Some("give it more time: --deadline TIME".to_owned()),
            Self::CommandLives { run, pids } => Some(format!(
                "wait for it, or end it where it was started and then on the server (psql -c 'SELECT {}'); then look at \
                 what it did: holdpoint show run:{run}",
                pids.iter().map(|pid| format!("pg_terminate_backend({pid})")).collect::<Vec<_>>().join(", ")
            )),
            Self::RanMeanwhile { .. } | Self::SchemaChanged { .. } | Self::LockLost => {
                Some("run the same command again: it makes a new restore point".to_owned())
            }
            Self::Disproved { point, .. } => Some(format!("see what differs: holdpoint show {point}")),
            Self::CouldNotProve { obstacles, .. } => {
                let cure = obstacles.first().map(|one| one.cure.clone());
                let anyway = "to run it without a proof, recorded: --unproven REASON";
                Some(cure.map_or_else(|| anyway.to_owned(), |cure| format!("{cure}; {anyway}")))
            }
            Self::ToolLocked { holder } => {
                Some(format!("wait until it has ended, or look who it is: pg_stat_activity, pid {}", holder.pid))
            }
            Self::InterruptedWith { point, proven: false } => Some(format!(
                "no command was started; {point} is there, and not proven: holdpoint verify {point}; see whether something \
                 else remains: holdpoint leftovers"
            )),
            Self::InterruptedWith { point, proven: true } => Some(format!(
                "no command was started; {point} is there: holdpoint show {point}; see whether something else remains: \
                 holdpoint leftovers"
            )),
            Self::BeforeInterrupted => Some(
                "the database was not changed; --after has not been run: what --before did may still hold, such as \
                 maintenance mode: holdpoint runs"
                    .to_owned(),
            ),
            Self::BeforeFailed { .. } => Some(
                "nothing was changed; --after has not been run: what --before did may hold in part: holdpoint runs"
                    .to_owned(),
            ),
            Self::ServerChanged { .. } => Some("a fail-over or another address: run it again".to_owned()),
            Self::Postgres(error) => hint::of_postgres(error),
            Self::Repository(error) => hint::of_repository(error),
            Self::Tools(error) => error.hint(),
            Self::Rehearse(error) => error.hint(),
            Self::NotConfirmed => Some("keep what was made for a later run: holdpoint prepare -- COMMAND".to_owned()),
            Self::NoSuchRun { .. } => Some("see which there are: holdpoint runs".to_owned()),
            Self::NothingToSettle { run, .. } => {
                Some(format!("only a run that failed or broke off is settled; see it: holdpoint show run:{run}"))
            }
            Self::CannotUndo { advice, .. } => Some(advice.clone()),
            Self::NoSuchWay { run, .. } => Some(format!("see its ways back: holdpoint show run:{run}")),
            Self::RollbackChanged { run, way, .. } => Some(format!(
                "read it; then, if it may run: holdpoint undo {run} --way {way} --accept-changed-rollback; other ways: \
                 holdpoint show run:{run}"
            )),
            Self::ScriptUnfinished { run, way, .. } => Some(format!(
                "look at what it changes (holdpoint compare before:{run}); where all of it is there: holdpoint undo {run} --way \
                 {way} --unfinished-script done; where nothing of it is, or it may run twice: --unfinished-script again; by \
                 hand, and then: holdpoint settle {run} --reason TEXT"
            )),
            Self::RollbackMayLose { run, .. } => Some(format!(
                "look at it, then: holdpoint undo {run} --way rollback; other ways: holdpoint show run:{run}"
            )),
            Self::InstanceDiffers { name, .. } => Some(format!(
                "the live instance was not touched; look at {name}, then: holdpoint rds drop {name}"
            )),
            Self::DataLossNotAccepted { run, way, since, .. } => Some(format!(
                "if that may be lost: holdpoint undo {run} --way {} --accept-data-loss-since {}",
                way.word(),
                precise(since)
            )),
            Self::AcceptanceTooYoung { way, snapshot, .. } => {
                let else_ = match way {
                    Way::Rollback => "without it a rollback that takes others' work is left to a person",
                    Way::Recover | Way::Restore | Way::Beside | Way::Rds => "or --on-failure rollback",
                };
                let since = precise(snapshot);
                Some(format!("nothing was changed; if that may be lost: --accept-data-loss-since {since}; {else_}"))
            }
            Self::AcceptanceInTheFuture { .. } => Some(
                "nothing was changed; give an instant that has passed: --accept-data-loss-since INSTANT, in UTC with a Z"
                    .to_owned(),
            ),
            Self::StepFailed { .. } => Some("what it said is above; see where the run stands: holdpoint runs".to_owned()),
            Self::StepUnreadable { run, .. } => Some(format!(
                "bring it back from a version or copy; else look at what the run left (holdpoint show run:{run}), and declare it \
                 done: holdpoint settle {run} --reason TEXT; where nothing of the run can be read, see that nothing of it is at \
                 work, and remove its folder"
            )),
            Self::StillAtWork { run, .. } => {
                Some(format!("wait for it, or end it where it runs; then look again: holdpoint show run:{run}"))
            }
            Self::Usage(_) | Self::Interrupted => None,
        }
    }
}
