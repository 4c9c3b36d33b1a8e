//! What kind of failure an error is, which is what its exit code says.

use crate::Error;

/// What kind of failure it is: one exit code each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A defect of this program.
    Internal,
    /// Wrong usage or configuration.
    Usage,
    /// Refused by the gate or a rule that protects data.
    Refused,
    /// A verification disproved a restore point.
    Disproved,
    /// A verification could not run.
    CouldNotRun,
    /// What was asked for does not exist.
    NotFound,
    /// PostgreSQL or its programs.
    Postgres,
    /// The repository.
    Repository,
    /// Somebody else is at it; retry later.
    Busy,
    /// Differences were found where there must be none.
    Differences,
    /// The control plane of AWS.
    ControlPlane,
    /// A person has to confirm.
    ConfirmationNeeded,
    /// A way back failed, or a rehearsal escaped: production may have been changed.
    WayBackFailed,
    /// A person or a time limit ended the work.
    Interrupted,
}

impl ErrorKind {
    /// The kind to tell: where a signal or the time had asked for the end, what broke off is of that.
    #[must_use]
    pub fn when(self, interrupted: bool) -> Self {
        match self {
            Self::Postgres | Self::Repository | Self::CouldNotRun | Self::Internal if interrupted => Self::Interrupted,
            kind => kind,
        }
    }

    /// The kind as a word, as reports write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::Disproved => "disproved",
            Self::CouldNotRun => "could_not_run",
            Self::NotFound => "not_found",
            Self::Postgres => "postgres",
            Self::Repository => "repository",
            Self::Busy => "busy",
            Self::Differences => "differences",
            Self::ControlPlane => "control_plane",
            Self::ConfirmationNeeded => "confirmation_needed",
            Self::WayBackFailed => "way_back_failed",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        use holdpoint_repository::Error as Repository;
        match self {
            Self::Core(holdpoint_core::Error::NewerFormat { .. } | holdpoint_core::Error::Damaged { .. }) => {
                ErrorKind::Repository
            }
            Self::Core(_) | Self::Usage(_) | Self::Pooler { .. } => ErrorKind::Usage,
            Self::Repository(Repository::NotFound { .. }) => ErrorKind::NotFound,
            Self::Repository(Repository::IsSnapshot { .. }) => ErrorKind::Usage,
            Self::Repository(_) => ErrorKind::Repository,
            Self::Engine(error) => engine_kind(error),
            Self::Recover(error) => error.kind(),
            Self::Rds(error) => rds_kind(error),
            Self::Postgres(_) | Self::Program { .. } | Self::SourceChanged(_) | Self::TooManyProperties { .. } => {
                ErrorKind::Postgres
            }
            Self::CannotRead { .. } | Self::RowSecurity { .. } => ErrorKind::Postgres,
            Self::Io { .. } | Self::Internal(_) => ErrorKind::Internal,
            Self::AnotherDatabase { .. }
            | Self::TargetNotEmpty { .. }
            | Self::RolesMissing { .. }
            | Self::ReplaceRefused { .. }
            | Self::SwapRefused { .. }
            | Self::AnotherRepository { .. }
            | Self::WrongClock { .. }
            | Self::NoConditionalWrites { .. }
            | Self::AnotherInstance { .. }
            | Self::PointOfAnotherServer { .. }
            | Self::UnsettledRun { .. } => ErrorKind::Refused,
            Self::NoSuchDatabase { .. }
            | Self::NoSuchPoint { .. }
            | Self::Dropped { .. }
            | Self::NoSuchPin { .. }
            | Self::NothingAlive { .. }
            | Self::PointElsewhere { .. }
            | Self::NotADump { .. } => ErrorKind::NotFound,
            Self::CouldNotRun { .. } | Self::SnapshotTooOld { .. } | Self::TimeOver => ErrorKind::CouldNotRun,
            Self::InTheWay { .. }
            | Self::TargetBusy { .. }
            | Self::RunLockHeld { .. }
            | Self::CronRuns { .. }
            | Self::LeaseLost => ErrorKind::Busy,
            Self::Differs { .. } | Self::CutDump { .. } | Self::InstanceDisproved { .. } => ErrorKind::Disproved,
            Self::Compare(error) => error.kind(),
            Self::Watch(error) => error.kind(),
            Self::Backfill(error) => error.kind(),
            Self::Interrupted => ErrorKind::Interrupted,
            Self::SessionsRemain { .. } => ErrorKind::Busy,
            Self::LeftBehind { failure, .. }
            | Self::Halfway { failure, .. }
            | Self::NotSwapped { failure, .. }
            | Self::Unrecordable { failure } => failure.kind(),
        }
    }
}

fn rds_kind(error: &holdpoint_rds::Error) -> ErrorKind {
    use holdpoint_rds::Error as Rds;
    match error {
        Rds::InvalidName { .. } | Rds::OwnName { .. } | Rds::Configuration { .. } | Rds::InTheFuture { .. } => {
            ErrorKind::Usage
        }
        Rds::NotFound { .. } => ErrorKind::NotFound,
        Rds::NotOurs { .. }
        | Rds::AnotherAccount { .. }
        | Rds::IsSource { .. }
        | Rds::InService { .. }
        | Rds::Serves { .. }
        | Rds::Overtaken { .. }
        | Rds::SourceAside { .. }
        | Rds::NameInTheWay { .. }
        | Rds::Ambiguous { .. }
        | Rds::Protected { .. }
        | Rds::Unready { .. }
        | Rds::NotCutOver { .. }
        | Rds::NameTaken { .. }
        | Rds::OutsideWindow { .. }
        | Rds::LastSnapshotTaken { .. }
        | Rds::NoInstance { .. }
        | Rds::NoBackupYet { .. }
        | Rds::BackupsDisabled { .. }
        | Rds::ReadReplica { .. }
        | Rds::ClusterMember { .. }
        | Rds::ClusterSource { .. }
        | Rds::UnknownCluster { .. }
        | Rds::WrongEngine { .. }
        | Rds::NotPossible { .. } => ErrorKind::Refused,
        Rds::DropUnfinished { failure, .. } | Rds::LeftAside { failure, .. } => rds_kind(failure),
        Rds::GaveUp { .. } | Rds::WrongState { .. } | Rds::Throttled { .. } => ErrorKind::Busy,
        _ => ErrorKind::ControlPlane,
    }
}

fn engine_kind(error: &holdpoint_engine::Error) -> ErrorKind {
    use holdpoint_engine::Error as Engine;
    match error {
        Engine::Repository(_) => ErrorKind::Repository,
        Engine::Cancelled => ErrorKind::Interrupted,
        Engine::Worker(_) | Engine::Spill { .. } => ErrorKind::Internal,
        error if error.is_damage() => ErrorKind::Disproved,
        _ => ErrorKind::Postgres,
    }
}
