//! Why a guarded run did not come to its command.

mod advice;

use holdpoint_core::PointId;
use holdpoint_core::fingerprint::Difference;
use holdpoint_core::ledger::RunState;
use holdpoint_core::rehearsal::{Rehearsal, RehearsalOutcome};
use holdpoint_core::undoing::Way;
use holdpoint_core::verification::Obstacle;

use crate::running::tool_lock::ToolLockHolder;

/// Says why a command was not run: whatever variant it is, nothing was done to the database.
///
/// What happens once the command was started is never an error but a [`crate::run::GuardReport`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Making, proving or finding the restore point failed.
    #[error(transparent)]
    Operation(Box<holdpoint_operations::Error>),
    /// PostgreSQL failed.
    #[error(transparent)]
    Postgres(#[from] holdpoint_postgres::Error),
    /// The repository failed; without the ledger no command is run.
    #[error(transparent)]
    Repository(#[from] holdpoint_repository::Error),
    /// The project's migration tool could not be found out, or its tracking table not be read.
    #[error(transparent)]
    Tools(#[from] crate::tools::Error),
    /// Nothing was rehearsed, or what was rehearsed cannot be told.
    #[error(transparent)]
    Rehearse(Box<crate::rehearse::RehearseError>),
    /// Options contradict each other or the situation.
    #[error("{0}")]
    Usage(String),
    /// There is no program of the command's name.
    #[error("{program} is not a program that can be run")]
    CommandNotFound {
        /// The command's first word.
        program: String,
    },
    /// The tool would refuse, or would do something else than the files say.
    #[error("{}", findings.iter().map(|(message, _)| message.as_str()).collect::<Vec<_>>().join("; "))]
    Stopped {
        /// What was found, each with what to do.
        findings: Vec<(String, String)>,
    },
    /// The gate lets it pass only with a waiver.
    #[error("the gate refuses: {}", reasons.join("; "))]
    Refused {
        /// Why.
        reasons: Vec<String>,
    },
    /// RDS cannot restore the instant before the command, or not in time, and the policy asks for that.
    #[error("no command runs before RDS can restore the instant before it (gate.wait_for_instant): {why}")]
    NoInstant {
        /// The instance, where one is configured.
        instance: Option<String>,
        /// What is in the way.
        why: String,
    },
    /// The project's connection leads to another database than the restore point's.
    #[error("{url} leads to another database than the one that a restore point is made of: {}", differences.join("; "))]
    AnotherDatabase {
        /// The project's connection, without its password.
        url: String,
        /// What differs.
        differences: Vec<String>,
    },
    /// Files or the tracking table changed between the plan and the run lock.
    #[error("other migrations are pending than were planned{}", first.as_ref().map(|first| format!(", such as {first}")).unwrap_or_default())]
    PendingChanged {
        /// The first that differs.
        first: Option<String>,
        /// The restore point that was made for the run.
        point: Option<PointId>,
    },
    /// The tool or its configuration changed between the plan and the run lock.
    #[error("{path} changed since the run was planned: the tool may do something else now")]
    ConfigurationChanged {
        /// The first file that differs, below the project's folder.
        path: String,
        /// The restore point that was made for the run.
        point: Option<PointId>,
    },
    /// The command did something else on the copy than was planned, or failed there.
    #[error("the rehearsal {}: {}", outcome(rehearsal), reasons(rehearsal))]
    NotAsRehearsed {
        /// What was seen.
        rehearsal: Box<Rehearsal>,
    },
    /// The command reached for production although it was led to the copy.
    #[error("the rehearsal escaped: {}", reasons(rehearsal))]
    Escaped {
        /// What was seen.
        rehearsal: Box<Rehearsal>,
    },
    /// The prepared run that was to be relied on is not valid any more.
    #[error("prepared run {run} was valid until {}", until.format("%Y-%m-%dT%H:%M:%SZ"))]
    Expired {
        /// The prepared run.
        run: String,
        /// Until when it was.
        until: chrono::DateTime<chrono::Utc>,
    },
    /// A person was asked, and did not say yes.
    #[error("nobody confirmed that the command may run")]
    NotConfirmed,
    /// The time for preparing was over.
    #[error("not ready within {} s: still {missing}", within.as_secs())]
    Deadline {
        /// The time that was given.
        within: std::time::Duration,
        /// What was under way, in words.
        missing: String,
        /// The restore point that was made, if one was.
        point: Option<PointId>,
    },
    /// The command of a run that nobody guards any more is still at work on the server.
    #[error(
        "the command of run {run}, which did not come to its end, is still at work on the server: {}",
        processes(pids)
    )]
    CommandLives {
        /// The run.
        run: String,
        /// Its server processes.
        pids: Vec<i32>,
    },
    /// Another guarded run ran its command while this one prepared.
    #[error("run {run} ran its command while this one prepared, so this one's restore point is from before it")]
    RanMeanwhile {
        /// The other run.
        run: String,
    },
    /// Somebody else has the migration tool's own lock.
    #[error("somebody else is migrating with {}: {holder}", holder.tool)]
    ToolLocked {
        /// Who.
        holder: ToolLockHolder,
    },
    /// What was to be run before the command failed.
    #[error("what --before runs failed: {reason}")]
    BeforeFailed {
        /// How it ended.
        reason: String,
    },
    /// It was interrupted while that was run.
    #[error("interrupted while what --before runs was at work")]
    BeforeInterrupted,
    /// The run lock was lost before the command was started.
    #[error("the run lock was lost before the command was started")]
    LockLost,
    /// The restore point was restored and is not what was recorded.
    #[error("restore point {point} is disproved: {}", first(differences))]
    Disproved {
        /// The restore point.
        point: PointId,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// The proof could not run.
    #[error("{} could not be proven: {}", point.as_ref().map_or_else(|| "a restore point".to_owned(), |point| format!("restore point {point}")), obstacles.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>().join("; "))]
    CouldNotProve {
        /// The restore point; `None` when that was known before one was made.
        point: Option<PointId>,
        /// What stood in the way.
        obstacles: Vec<Obstacle>,
    },
    /// The database changed between its restore point and the run lock.
    #[error("the schema changed since restore point {point}: {}", first(differences))]
    SchemaChanged {
        /// The restore point.
        point: PointId,
        /// What differs.
        differences: Vec<Difference>,
    },
    /// The connection leads elsewhere than at the start.
    #[error("the connection leads to another database than at the start: {}", differences.join("; "))]
    ServerChanged {
        /// What differs.
        differences: Vec<String>,
    },
    /// There is no such run.
    #[error("{}", run.as_ref().map_or_else(|| format!("there is no run of {database} yet"), |run| format!("there is no run {run} of {database}")))]
    NoSuchRun {
        /// Its id; `None` for the newest.
        run: Option<String>,
        /// The database.
        database: String,
    },
    /// The run leaves no question that a person could settle.
    #[error("run {run} is {}{}", state.word(), how.as_ref().map(|how| format!(" ({how})")).unwrap_or_default())]
    NothingToSettle {
        /// Its id.
        run: String,
        /// Where it stands.
        state: RunState,
        /// Why it was settled.
        how: Option<String>,
    },
    /// The run cannot be undone.
    #[error("run {run} cannot be undone: {why}")]
    CannotUndo {
        /// Its id.
        run: String,
        /// Why not.
        why: String,
        /// What to do.
        advice: String,
        /// Runs that have to be undone first, in that order.
        first: Vec<String>,
    },
    /// There is no such way back of the run.
    #[error("run {run} has no way back by {way}: {why}")]
    NoSuchWay {
        /// Its id.
        run: String,
        /// The way.
        way: String,
        /// Why not.
        why: String,
    },
    /// What undoes the migrations is not what the run recorded, and nobody said that it may run all the same.
    #[error("{what}: nobody rehearsed or reviewed that")]
    RollbackChanged {
        /// The run.
        run: String,
        /// The way that would run it.
        way: &'static str,
        /// What changed.
        what: String,
    },
    /// A script had begun when an undo broke off, or failed in no transaction, and nobody can tell what of it is done.
    #[error("{script} {ended}: {why}")]
    ScriptUnfinished {
        /// The run.
        run: String,
        /// The way that would run it.
        way: &'static str,
        /// The script with its migration.
        script: String,
        /// How it ended, as far as that is known.
        ended: String,
        /// Why it cannot be told.
        why: String,
    },
    /// A rollback that nobody looks at may lose data.
    #[error("run {run} is not rolled back by itself, for that may lose {why}")]
    RollbackMayLose {
        /// The run.
        run: String,
        /// What may be lost.
        why: String,
    },
    /// An instance that RDS restored is not the database as it was before the run.
    #[error("the restored instance {name} is not the database as it was before the run: {}", differences.join("; "))]
    InstanceDiffers {
        /// The instance, which is there until it is dropped.
        name: String,
        /// What differs, in words.
        differences: Vec<String>,
    },
    /// A restore of the whole database would lose what was written since, or a recovery what others did to its rows, and
    /// nobody said that it may be lost.
    #[error("{lost} would be lost: written since {}{}", precise(since), accepted.map(|at| format!(", and only what was written since {} may be", at.format("%Y-%m-%dT%H:%M:%SZ"))).unwrap_or_default())]
    DataLossNotAccepted {
        /// The run.
        run: String,
        /// The way that loses it.
        way: Way,
        /// The snapshot of its restore point.
        since: chrono::DateTime<chrono::Utc>,
        /// What somebody accepted, which is younger.
        accepted: Option<chrono::DateTime<chrono::Utc>>,
        /// What would be lost.
        lost: String,
    },
    /// A restore of the whole database would lose more than somebody accepts.
    #[error(
        "a {} loses what was written since {}, and only what was written since {} may be lost",
        way.word(),
        precise(snapshot),
        precise(accepted)
    )]
    AcceptanceTooYoung {
        /// By which way the run would be undone.
        way: Way,
        /// What somebody accepted.
        accepted: chrono::DateTime<chrono::Utc>,
        /// The snapshot of the restore point that the run relies on.
        snapshot: chrono::DateTime<chrono::Utc>,
    },
    /// Somebody accepts to lose what was written since an instant that has not come.
    #[error(
        "only what was written since {} may be lost, and the server's clock says {}",
        precise(accepted),
        precise(now)
    )]
    AcceptanceInTheFuture {
        /// What somebody accepted.
        accepted: chrono::DateTime<chrono::Utc>,
        /// The server's clock.
        now: chrono::DateTime<chrono::Utc>,
    },
    /// Something that undoes a migration failed.
    #[error("{step} ended with {status}")]
    StepFailed {
        /// What was run.
        step: String,
        /// How it ended.
        status: String,
    },
    /// The run's command lives.
    #[error("run {run} is still at work: {what}")]
    StillAtWork {
        /// Its id.
        run: String,
        /// What of it lives.
        what: String,
    },
    /// Of a run that did not come to its end, as far as is known, the last step cannot be read.
    #[error("the last step of run {run} cannot be read, so nobody knows whether its command is at work: {reason}")]
    StepUnreadable {
        /// Its id.
        run: String,
        /// Which, and why.
        reason: String,
    },
    /// A person ended the work when its restore point was there.
    #[error("interrupted {} restore point {point} was proven", if *proven { "after" } else { "before" })]
    InterruptedWith {
        /// The restore point, which stays.
        point: PointId,
        /// Whether it is proven.
        proven: bool,
    },
    /// A person or a time limit ended the work before the command was started.
    #[error("interrupted before the command was started")]
    Interrupted,
}

impl From<holdpoint_operations::Error> for Error {
    fn from(error: holdpoint_operations::Error) -> Self {
        Self::Operation(Box::new(error))
    }
}

impl From<crate::rehearse::RehearseError> for Error {
    fn from(error: crate::rehearse::RehearseError) -> Self {
        Self::Rehearse(Box::new(error))
    }
}

/// An instant as a flag takes it again.
fn precise(at: &chrono::DateTime<chrono::Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn processes(pids: &[i32]) -> String {
    let list = pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if pids.len() == 1 { format!("process {list}") } else { format!("processes {list}") }
}

fn outcome(rehearsal: &Rehearsal) -> String {
    match rehearsal.outcome {
        RehearsalOutcome::AsPlanned | RehearsalOutcome::NotAsPlanned => "was not as planned".to_owned(),
        other => other.words().to_owned(),
    }
}

fn reasons(rehearsal: &Rehearsal) -> String {
    let reasons: Vec<&str> = rehearsal.reasons.iter().take(3).map(String::as_str).collect();
    if reasons.is_empty() { "no reason is known".to_owned() } else { reasons.join("; ") }
}

fn first(differences: &[Difference]) -> String {
    let line = differences.first().map(Difference::line).unwrap_or_default();
    match differences.len() {
        0 | 1 => line,
        count => format!("{line}; and {} more", count - 1),
    }
}
