//! Why a verb failed, in words.

use holdpoint_core::PointId;
use holdpoint_core::fingerprint::Difference;
use holdpoint_core::quantity::{counted, listed};
use holdpoint_core::verification::Obstacle;

/// So many names of a list are told.
pub(crate) const LISTED: usize = 5;

/// Says why a verb failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value was refused.
    #[error(transparent)]
    Core(#[from] holdpoint_core::Error),
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] holdpoint_repository::Error),
    /// PostgreSQL or one of its programs failed.
    #[error(transparent)]
    Postgres(#[from] holdpoint_postgres::Error),
    /// Moving bytes failed.
    #[error(transparent)]
    Engine(#[from] holdpoint_engine::Error),
    /// The control plane of AWS refused or failed.
    #[error(transparent)]
    Rds(Box<holdpoint_rds::Error>),
    /// Tables could not be recovered.
    #[error(transparent)]
    Recover(#[from] crate::recover::RecoverError),
    /// Another unattended run works on the database.
    #[error("{database}: {owner} runs cron on it since {}", since.format("%Y-%m-%dT%H:%M:%SZ"))]
    CronRuns {
        /// The database.
        database: String,
        /// Machine and process.
        owner: String,
        /// Since when, by its own clock.
        since: chrono::DateTime<chrono::Utc>,
        /// Until when its lease holds unless it is renewed, by the store's clock.
        until: chrono::DateTime<chrono::Utc>,
    },
    /// The lease was not renewed in time, or another run has taken it.
    #[error("the lease on the database was lost: the repository did not answer in time, or another run took it")]
    LeaseLost,
    /// The store does not keep conditions, so two runs could not see each other.
    #[error("{repository} ignores conditional writes: two runs at once could not see each other")]
    NoConditionalWrites {
        /// The repository.
        repository: String,
    },
    /// The time for all steps is over.
    #[error("its time is over")]
    TimeOver,
    /// A file or pipe failed.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The database is not the one that the folder belongs to.
    #[error("the folder {database} belongs to another database: {}", differences.join("; "))]
    AnotherDatabase {
        /// The folder.
        database: String,
        /// What differs.
        differences: Vec<String>,
    },
    /// A clock by which restore points are dated is wrong by much.
    #[error(
        "{whose} clock shows {}, the store's shows {}: a restore point with such an instant would hide others, or be dropped too early",
        time.format("%Y-%m-%dT%H:%M:%SZ"), store.format("%Y-%m-%dT%H:%M:%SZ")
    )]
    WrongClock {
        /// Whose it is.
        whose: &'static str,
        /// What it shows.
        time: chrono::DateTime<chrono::Utc>,
        /// What the store's shows at the same moment.
        store: chrono::DateTime<chrono::Utc>,
    },
    /// The connection goes through a transaction pooler.
    #[error("{server} is a transaction pooler, through which no snapshot can be shared")]
    Pooler {
        /// The pooler.
        server: String,
        /// What to do instead, in a sentence.
        instead: String,
    },
    /// The role cannot read everything.
    #[error("role {role} cannot read {}", listed(objects, LISTED))]
    CannotRead {
        /// The role.
        role: String,
        /// What it cannot read.
        objects: Vec<String>,
        /// The statement to give where another than `pg_read_all_data` helps, as with large objects.
        grant: Option<String>,
    },
    /// Row security would hide rows.
    #[error("row security hides rows of {} from role {role}", listed(tables, LISTED))]
    RowSecurity {
        /// The role.
        role: String,
        /// The tables.
        tables: Vec<String>,
    },
    /// Neither the configuration nor the repository knows the database.
    #[error(
        "there is no database {database}: no section of the configuration and no folder of the repository has that name{}",
        among(known)
    )]
    NoSuchDatabase {
        /// The name.
        database: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// There is no such restore point.
    #[error("{selector} selects no restore point of {database}: {why}")]
    NoSuchPoint {
        /// What was asked for.
        selector: String,
        /// The database.
        database: String,
        /// Why not.
        why: String,
        /// It is there, and a prune hides it.
        hidden: bool,
    },
    /// The restore point was dropped while it was read.
    #[error("restore point {point} of {database} was dropped while it was read")]
    Dropped {
        /// The restore point.
        point: String,
        /// The database.
        database: String,
    },
    /// The restore point is another database's.
    #[error("restore point {point} is not of {database} but of {folder}")]
    PointElsewhere {
        /// The restore point.
        point: String,
        /// The database that it was asked of.
        database: String,
        /// The folder that holds it.
        folder: String,
    },
    /// `latest` is not accepted while a run is unsettled.
    #[error("run {run} is unsettled, so the newest restore point may hold the damage")]
    UnsettledRun {
        /// The run.
        run: String,
        /// What goes back to before it, as a command or a flag.
        back: String,
    },
    /// A restore point has no such pin.
    #[error("{point} has no pin {name}{}", if pins.is_empty() { ": it has none".to_owned() } else { format!("; it has {}", listed(pins, LISTED)) })]
    NoSuchPin {
        /// The restore point.
        point: String,
        /// The name.
        name: String,
        /// Its pins.
        pins: Vec<String>,
    },
    /// A folder shows no restore point that can be read.
    #[error("the folder {database} shows no restore point that can be read{}: nothing is removed", and_unreadable(*unreadable))]
    NothingAlive {
        /// The folder.
        database: String,
        /// How many there are that cannot be read.
        unreadable: usize,
    },
    /// A restore point was made in another repository than the one that is open.
    #[error("restore point {point} was made in repository {made_in}, and this is {found}: nothing is removed")]
    AnotherRepository {
        /// The restore point.
        point: String,
        /// The id of the repository that it was made in.
        made_in: String,
        /// The id of the one that is open.
        found: String,
    },
    /// A target holds something.
    #[error("{target} is not empty: it holds {holds}")]
    TargetNotEmpty {
        /// The target, without its password.
        target: String,
        /// What it holds.
        holds: String,
    },
    /// Another restore is at work in a target.
    #[error("another restore is at work in {target}: process {pid} of the server")]
    TargetBusy {
        /// The target, without its password.
        target: String,
        /// The server process of its session.
        pid: i32,
    },
    /// A guarded run or a swap has the run lock of the database.
    #[error("another guarded run or swap is at this database: {holder}")]
    RunLockHeld {
        /// Who has the lock.
        holder: crate::run_lock::LockHolder,
    },
    /// Roles that the archive takes are missing on the target.
    #[error("the target's server lacks {}", lacking(owners, named))]
    RolesMissing {
        /// Roles that own objects.
        owners: Vec<String>,
        /// Roles that stand in grants, policies, user mappings and settings.
        named: Vec<String>,
        /// The flags that leave out what takes them, where there are such.
        without: Option<String>,
    },
    /// A target must not be replaced.
    #[error("{target} may not be replaced: {why}")]
    ReplaceRefused {
        /// The target.
        target: String,
        /// Why not.
        why: String,
    },
    /// The live database must not, or cannot, be swapped.
    #[error("{target} may not be swapped: {}", obstacles.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>().join("; "))]
    SwapRefused {
        /// The target, without its password.
        target: String,
        /// What stands in the way, each with its way out.
        obstacles: Vec<Obstacle>,
    },
    /// The copy is restored and matched, and did not get the live database's name.
    #[error("{failure}; {database} was not swapped{}, its restored copy stays as {copy}", in_service(failure))]
    NotSwapped {
        /// Why not.
        #[source]
        failure: Box<Error>,
        /// The live database.
        database: String,
        /// The copy.
        copy: String,
    },
    /// Sessions in a database that is about to be renamed do not end.
    #[error("sessions in {database} do not end: {}", listed(sessions, LISTED))]
    SessionsRemain {
        /// The database.
        database: String,
        /// Who they are.
        sessions: Vec<String>,
    },
    /// A verification was not begun, as its verdict could not be recorded.
    #[error("the verdict could not be recorded in the repository, so nothing was verified: {failure}")]
    Unrecordable {
        /// Why not.
        #[source]
        failure: Box<Error>,
    },
    /// A verification could not run.
    #[error("the verification could not run: {}", obstacles.iter().map(|one| one.reason.as_str()).collect::<Vec<_>>().join("; "))]
    CouldNotRun {
        /// What stood in the way.
        obstacles: Vec<Obstacle>,
    },
    /// What was restored is not what was recorded.
    #[error("the restored database differs from the restore point in {}, the first: {}", counted(differences.len() as u64, "place"), differences.first().map(Difference::line).unwrap_or_default())]
    Differs {
        /// What differs.
        differences: Vec<Difference>,
    },
    /// The RDS instance is not the one that the database is on.
    #[error("the RDS instance {instance} is not that of {database}: {why}")]
    AnotherInstance {
        /// The instance.
        instance: String,
        /// The database, without its password.
        database: String,
        /// What shows it.
        why: String,
    },
    /// The newest restore point before the instant is of another server, so that it is no measure of the data.
    #[error(
        "restore point {point} is of another server than {instance}: system identifier {was}, and {instance} has {is}"
    )]
    PointOfAnotherServer {
        /// The restore point.
        point: PointId,
        /// The restored instance.
        instance: String,
        /// The system identifier of the server that it is of.
        was: String,
        /// The instance's.
        is: String,
    },
    /// A restored instance does not hold the database that it should.
    #[error("{name} is not put into service: {}", listed(differences, LISTED))]
    InstanceDisproved {
        /// The instance.
        name: String,
        /// What shows it.
        differences: Vec<String>,
    },
    /// Rows cannot be compared.
    #[error(transparent)]
    Compare(#[from] crate::compare::CompareError),
    /// A table cannot be filled.
    #[error(transparent)]
    Backfill(#[from] crate::backfill::BackfillError),
    /// A session is not cancelled.
    #[error(transparent)]
    Watch(#[from] crate::watch::WatchError),
    /// Options contradict each other or the situation.
    #[error("{0}")]
    Usage(String),
    /// A program of PostgreSQL ended with an error.
    #[error("{program} failed: {said}")]
    Program {
        /// The program.
        program: &'static str,
        /// What it said last.
        said: String,
        /// What to do, where that is known.
        cure: Option<String>,
    },
    /// A table was truncated or rewritten between each snapshot and its lock.
    #[error("{0}")]
    SourceChanged(String),
    /// What the manifest must hold of a database is more than one may have.
    #[error("settings, grants and extensions of the database take {held} bytes, a manifest has {limit} for everything")]
    TooManyProperties {
        /// Bytes that they take.
        held: usize,
        /// Bytes of the largest manifest.
        limit: usize,
    },
    /// A dump that is none.
    #[error("{place} is not a dump that PostgreSQL's programs read")]
    NotADump {
        /// Where it is.
        place: String,
    },
    /// A dump that ends early.
    #[error("{place} is cut: {reason}")]
    CutDump {
        /// Where it is.
        place: String,
        /// What is missing.
        reason: String,
    },
    /// A backup held its snapshot for as long as it may, and ended itself.
    #[error("the backup held its snapshot for {} s, which is as long as it may; nothing was published", limit.as_secs())]
    SnapshotTooOld {
        /// As long as it may.
        limit: std::time::Duration,
    },
    /// Somebody waited for one of the backup's locks for as long as one may, and the backup ended itself.
    #[error("the backup was in the way and ended itself: {waiter}; nothing was published")]
    InTheWay {
        /// Who waited, for what.
        waiter: String,
        /// As long as one may wait.
        limit: std::time::Duration,
    },
    /// A person or a time limit ended the work.
    #[error("interrupted")]
    Interrupted,
    /// Something this program relies on did not hold.
    #[error("internal: {0}")]
    Internal(String),
    /// The failure, and what could not be removed after it.
    #[error("{failure}; besides, {remains}")]
    LeftBehind {
        /// The failure.
        #[source]
        failure: Box<Error>,
        /// What remains.
        remains: String,
    },
    /// The failure of work on what RDS has, how far that is, and what goes on with it.
    #[error("{failure}; {stands}")]
    Halfway {
        /// The failure.
        #[source]
        failure: Box<Error>,
        /// How far it is.
        stands: String,
        /// What goes on with it.
        next: String,
    },
}

/// What is known of a database whose swap failed: it is open, unless the failure says that it may not be.
fn in_service(failure: &Error) -> &'static str {
    if matches!(failure, Error::LeftBehind { .. }) { "" } else { " and is in service as before" }
}

fn and_unreadable(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" ({} that cannot)", counted(count as u64, "restore point")) }
}

fn lacking(owners: &[String], named: &[String]) -> String {
    let roles = |what: &str, roles: &[String]| {
        (!roles.is_empty()).then(|| format!("roles that {what}: {}", listed(roles, LISTED)))
    };
    let all = [roles("own objects", owners), roles("stand in grants, policies or settings", named)];
    all.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl From<holdpoint_rds::Error> for Error {
    fn from(error: holdpoint_rds::Error) -> Self {
        Self::Rds(Box::new(error))
    }
}

fn among(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; there are: {}", known.join(", ")) }
}

impl Error {
    /// The error with its causes, on one line.
    pub fn line(&self) -> String {
        chain(self)
    }
}
