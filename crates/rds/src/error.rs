//! What can go wrong between the program and RDS.

use std::error::Error as StdError;

use chrono::{DateTime, SecondsFormat, Utc};

/// The result of every call of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// An instance that is to be available.
    Instance,
    /// An instance or a cluster that RDS drops.
    Deletion,
    /// An instance that is to have another name.
    Rename,
    /// A snapshot that is to be available.
    Snapshot,
    /// An instant that is to be restorable.
    Instant,
}

/// What an error is about, where instances and clusters have commands of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// An instance.
    Instance,
    /// A cluster.
    Cluster,
}

fn so_far(going: &[String]) -> String {
    if going.is_empty() { String::new() } else { format!("; gone, or going: {}", going.join(", ")) }
}

/// Says why RDS did not do what was asked.
///
/// A variant exists where a person or a caller acts differently. Messages name the instance or the snapshot, never a
/// credential. What to do next is [`Error::hint`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The identity in use may not do this.
    #[error("{subject}: access denied: the permission {permission} is missing")]
    AccessDenied {
        /// The instance, snapshot or account.
        subject: String,
        /// The permission as policies write it, for example `rds:DescribeDBInstances`.
        permission: String,
    },
    /// No credentials were found, they are refused, or they have expired.
    #[error("{action}: no usable credentials: {detail}")]
    Credentials {
        /// The action.
        action: &'static str,
        /// What is wrong with them.
        detail: String,
    },
    /// What was named does not exist in this account and region.
    #[error("{subject} does not exist")]
    NotFound {
        /// The instance, snapshot or group.
        subject: String,
    },
    /// The name of the new instance or snapshot is in use.
    #[error("the name {name} is taken")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// The name that the source shall get is the one that it has.
    #[error("{name} is the source's own name: it goes aside as another")]
    OwnName {
        /// The name.
        name: String,
    },
    /// The name is none that RDS accepts.
    #[error("{name:?} cannot be a name in RDS: {reason}")]
    InvalidName {
        /// The name.
        name: String,
        /// The broken rule.
        reason: &'static str,
    },
    /// The instance is in a state in which RDS does not do this.
    #[error("{subject}: not in its present state ({message})")]
    WrongState {
        /// The instance or snapshot.
        subject: String,
        /// What RDS said.
        message: String,
    },
    /// The name of the snapshot that is to be kept of what is dropped is in use.
    #[error("the name {name} is taken by another snapshot")]
    LastSnapshotTaken {
        /// The name.
        name: String,
    },
    /// It is stopped.
    #[error("{subject} is stopped")]
    Stopped {
        /// The instance or cluster.
        subject: String,
        /// Which of them it is.
        thing: Thing,
    },
    /// A quota of the account is used up, or the zone has no capacity.
    #[error("{subject}: {code}: {message}")]
    Quota {
        /// What was to be made.
        subject: String,
        /// RDS's code, for example `InstanceQuotaExceeded`.
        code: String,
        /// What RDS said.
        message: String,
    },
    /// RDS asked to slow down, longer than the retries lasted.
    #[error("{action}: RDS throttles this account's calls")]
    Throttled {
        /// The action.
        action: &'static str,
    },
    /// The instant cannot be restored.
    #[error("{source_name} cannot be restored to {}: {}", told(*.at), window_words(.earliest, .latest))]
    OutsideWindow {
        /// The source.
        source_name: String,
        /// The instant.
        at: DateTime<Utc>,
        /// The earliest restorable instant, where it is known.
        earliest: Option<DateTime<Utc>>,
        /// The latest restorable instant, where it is known.
        latest: Option<DateTime<Utc>>,
    },
    /// The instant is later than now.
    #[error("{} is in the future: it is {}", told(*.at), told(*.now))]
    InTheFuture {
        /// The instant.
        at: DateTime<Utc>,
        /// The present instant.
        now: DateTime<Utc>,
    },
    /// The source keeps no backups.
    #[error("{source_name} keeps no automated backups, so it cannot be restored to an instant")]
    BackupsDisabled {
        /// The source.
        source_name: String,
    },
    /// RDS has not made the first backup of the source yet.
    #[error("{source_name} has no backup yet, so it cannot be restored to an instant")]
    NoBackupYet {
        /// The source.
        source_name: String,
    },
    /// The source is a read replica.
    #[error("{source_name} is a read replica of {primary}")]
    ReadReplica {
        /// The source.
        source_name: String,
        /// What it replicates.
        primary: String,
    },
    /// The source is a member of a cluster, which is restored as a whole.
    #[error("{source_name} is a member of the cluster {cluster}")]
    ClusterMember {
        /// The source.
        source_name: String,
        /// The cluster.
        cluster: String,
    },
    /// It is a cluster, and this is done with instances only.
    #[error("{subject} is a cluster, and this is done with instances only")]
    ClusterSource {
        /// The cluster.
        subject: String,
    },
    /// The cluster is none whose instances are made one by one: of such a one only the window is told.
    #[error("{subject} is {kind}, of which only the window is told")]
    UnknownCluster {
        /// The cluster.
        subject: String,
        /// What it is.
        kind: String,
    },
    /// The source is no PostgreSQL.
    #[error("{source_name} runs {engine}, not PostgreSQL")]
    WrongEngine {
        /// The source.
        source_name: String,
        /// Its engine.
        engine: String,
    },
    /// The plan has problems, each of which has to be solved first.
    #[error("{target} cannot be made: {}", problems.join("; "))]
    NotPossible {
        /// The new instance.
        target: String,
        /// The problems.
        problems: Vec<String>,
    },
    /// The instance ended in a state from which it does not come back.
    #[error("{subject} ended as {status}{}", .event.as_ref().map(|event| format!(": {event}")).unwrap_or_default())]
    Ended {
        /// The instance.
        subject: String,
        /// The status.
        status: String,
        /// RDS's newest event about it.
        event: Option<String>,
    },
    /// The instance disappeared while it was waited for.
    #[error("{subject} is gone: somebody deleted or renamed it")]
    Gone {
        /// The instance.
        subject: String,
    },
    /// The time to wait is over; nothing was stopped.
    #[error("{subject} is still {status} after {waited_seconds} s")]
    GaveUp {
        /// The instance or snapshot.
        subject: String,
        /// What it was to come to.
        awaited: Awaited,
        /// Its status.
        status: String,
        /// How long it was waited for.
        waited_seconds: u64,
    },
    /// A cluster whose restore was finished has lost its instance.
    #[error("{subject} has no instance any more")]
    NoInstance {
        /// The cluster.
        subject: String,
    },
    /// Something failed before RDS was told to drop an instance or a cluster, or did not say that it does.
    #[error("{failure}; the drop of {subject} did not come to its end{}", so_far(.going))]
    DropUnfinished {
        /// The instance or cluster.
        subject: String,
        /// The instances of the cluster that RDS was told to drop.
        going: Vec<String>,
        /// The command that goes on with it.
        command: String,
        /// What failed.
        #[source]
        failure: Box<Error>,
    },
    /// The instance is there, and is not what was asked for.
    #[error("{subject} is not as asked: {}", differences.join("; "))]
    Differs {
        /// The instance.
        subject: String,
        /// What differs.
        differences: Vec<String>,
    },
    /// What was named was made in another account or region than the one that was asked, which knows nothing of it.
    #[error(
        "{subject} lies in {made_in}, and {}",
        .asked.as_ref().map_or_else(|| "which account was asked is not known".to_owned(), |asked| format!("{asked} was asked"))
    )]
    AnotherAccount {
        /// The snapshot.
        subject: String,
        /// Its account and region.
        made_in: String,
        /// Those that were asked, where RDS shows them.
        asked: Option<String>,
    },
    /// Without holdpoint's tags nothing is touched.
    #[error("{subject} was not made by holdpoint")]
    NotOurs {
        /// The instance or snapshot.
        subject: String,
    },
    /// Its restore is not finished, or was not found as asked.
    #[error("{subject} is not ready: its restore was not finished")]
    Unready {
        /// The instance.
        subject: String,
    },
    /// There is no cut-over to take back.
    #[error("{subject} is in nobody's place: there is no cut-over to take back")]
    NotCutOver {
        /// The instance.
        subject: String,
    },
    /// Something was restored from it: a source is never dropped.
    #[error("{subject} is the source of a restore")]
    IsSource {
        /// The instance.
        subject: String,
    },
    /// It serves in the place of its source, so that nothing of its restore is waited for or modified any more.
    #[error("{subject} is in service in the place of its source: it is no restore to wait for")]
    Serves {
        /// The instance or cluster.
        subject: String,
    },
    /// What shall serve disappeared after its source was renamed aside.
    #[error("{failure}; its source stands aside as {aside}, and nothing has the name {name}")]
    LeftAside {
        /// The source's present name.
        aside: String,
        /// The production name.
        name: String,
        /// What failed.
        #[source]
        failure: Box<Error>,
    },
    /// Several instances had the name.
    #[error("{subject} is no instance now, and was the name of several: {}", names.join(", "))]
    Ambiguous {
        /// The name.
        subject: String,
        /// Their present names.
        names: Vec<String>,
    },
    /// Another instance has a name that a cut-over which was begun, or its way back, is to give.
    #[error("{subject}: its cut-over needs the name {name}, which another instance has")]
    NameInTheWay {
        /// The instance that was put into service, or shall be.
        subject: String,
        /// The name.
        name: String,
    },
    /// Somebody renamed an instance, or cut over, since the renames of a cut-over were planned.
    #[error("{subject} is not as the cut-over was planned: somebody renamed it or cut over meanwhile")]
    Overtaken {
        /// The instance.
        subject: String,
    },
    /// Another instance serves in the place of its source, which stands aside: what would be renamed is not what serves.
    #[error("the source of {subject} stands aside as {aside}, and {serving} serves in its place")]
    SourceAside {
        /// The instance that was to be put into service.
        subject: String,
        /// The source's present name.
        aside: String,
        /// The present name of what serves, or shall.
        serving: String,
    },
    /// It serves in the place of its source.
    #[error("{subject} is in service in the place of its source")]
    InService {
        /// The instance or cluster.
        subject: String,
        /// Which of them it is.
        thing: Thing,
    },
    /// The instance is protected against deletion.
    #[error("{subject} is protected against deletion")]
    Protected {
        /// The instance.
        subject: String,
    },
    /// A setting is missing or wrong.
    #[error("setting {setting}: {reason}")]
    Configuration {
        /// Its name.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The network failed, or no answer came in time, in any attempt.
    #[error("{action}: no answer from RDS")]
    Network {
        /// The action.
        action: &'static str,
        /// What failed.
        #[source]
        source: Box<dyn StdError + Send + Sync + 'static>,
    },
    /// RDS refused for another reason.
    #[error("{action} {subject}: {code}: {message}")]
    Service {
        /// The action.
        action: &'static str,
        /// The instance or snapshot.
        subject: String,
        /// RDS's code.
        code: String,
        /// What RDS said.
        message: String,
    },
    /// An answer lacks what every answer has.
    #[error("{action}: an answer without {lacks}")]
    InvalidAnswer {
        /// The action.
        action: &'static str,
        /// What is missing.
        lacks: &'static str,
    },
}

impl From<holdpoint_aws::Error> for Error {
    fn from(error: holdpoint_aws::Error) -> Self {
        Self::Configuration { setting: error.setting, reason: error.reason }
    }
}

/// An instant as RDS takes it: UTC, whole seconds.
pub(crate) fn told(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn window_words(earliest: &Option<DateTime<Utc>>, latest: &Option<DateTime<Utc>>) -> String {
    match (earliest, latest) {
        (Some(earliest), Some(latest)) => format!("its window is {} to {}", told(*earliest), told(*latest)),
        (None, Some(latest)) => format!("its window ends at {}", told(*latest)),
        _ => "it has no window".to_owned(),
    }
}
