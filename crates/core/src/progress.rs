//! The progress port: what long work says while it runs.
//!
//! Implementations show bars, write JSON lines, log, or stay silent. Work announces every *named phase* before it
//! begins; tests stop a program there to see what a kill leaves behind.

/// A named phase of the work, in the order in which a verb passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Checks before anything is started.
    Preflight,
    /// The snapshot is held; pg_dump is about to start.
    SnapshotExported,
    /// pg_dump runs; header and contents are being read.
    ReadingContents,
    /// Rows are copied.
    CopyingData,
    /// All rows are stored; the head is about to be written and the upload completed.
    CompletingUpload,
    /// The archive is stored; index and globals are about to be.
    StoringIndex,
    /// Everything is stored; the manifest is about to be published.
    PublishingManifest,
    /// The scratch server is about to start.
    StartingScratch,
    /// The archive is read back and restored.
    Restoring,
    /// The schema is there; rows are about to be loaded by several sessions.
    LoadingRows,
    /// Rows are loaded; indexes and constraints are about to be made.
    BuildingIndexes,
    /// The restore ended; nothing is compared yet.
    Restored,
    /// Rows are compared.
    Comparing,
    /// Rows are compared; schema objects and properties are about to be.
    ComparingObjects,
    /// Everything is there and compared; the planner's statistics are about to be.
    Analyzing,
    /// The verdict is known; its record is about to be written.
    RecordingVerification,
    /// The copy is ready; the command is about to run on it.
    Rehearsing,
    /// The command ended on the copy; what would undo it is about to run there.
    RehearsingRollback,
    /// The restore points are listed; their objects are about to be asked for.
    Checking,
    /// It is decided which restore points go; the first is about to.
    Pruning,
    /// What is pending is about to be read and reviewed.
    Planning,
    /// The way back is known; the run lock is about to be taken.
    TakingRunLock,
    /// The instant before the command is noted; until RDS can restore it is about to be waited for.
    WaitingForInstant,
    /// The guarded command is about to run.
    RunningCommand,
    /// The guarded command has ended; what it left is about to be looked at.
    Judging,
    /// The run is judged; its last step is about to be written.
    RecordingRun,
    /// The database to restore into is about to be created beside the one whose place it will take.
    CreatingDatabase,
    /// The restored database is ready; the one whose place it takes is about to be closed to new sessions.
    Fencing,
    /// The database is closed; the sessions in it are about to be ended.
    EndingSessions,
    /// The restored database is about to take its name.
    Swapping,
    /// The restored database is in service; whose folder it is, is about to be recorded.
    RecordingIdentity,
    /// The side schema is about to be made and tables fetched into it.
    FetchingTables,
    /// Rows are loaded into side tables; their digests are about to be compared.
    MatchingTables,
    /// Side tables are proven; what would change in live tables is about to be counted.
    CountingChanges,
    /// Live tables are about to be locked and changed, in one transaction.
    ChangingTables,
    /// The change is made and checked; it is about to be committed.
    CommittingChange,
    /// The change is committed; the side schema is about to be removed.
    RemovingSide,
    /// A column of a large table is about to be filled, batch by batch.
    FillingRows,
    /// A step of a run's undo is about to be done; the ledger says so.
    Undoing,
    /// What undoes a migration has ended; the ledger is about to say so.
    RecordingUndo,
    /// Every step of the undo is done; what is there is about to be compared.
    ProvingUndo,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 41] = [
        Self::Preflight,
        Self::SnapshotExported,
        Self::ReadingContents,
        Self::CopyingData,
        Self::CompletingUpload,
        Self::StoringIndex,
        Self::PublishingManifest,
        Self::StartingScratch,
        Self::Restoring,
        Self::LoadingRows,
        Self::BuildingIndexes,
        Self::Restored,
        Self::Comparing,
        Self::ComparingObjects,
        Self::Analyzing,
        Self::RecordingVerification,
        Self::Rehearsing,
        Self::RehearsingRollback,
        Self::Checking,
        Self::Pruning,
        Self::Planning,
        Self::TakingRunLock,
        Self::WaitingForInstant,
        Self::RunningCommand,
        Self::Judging,
        Self::RecordingRun,
        Self::CreatingDatabase,
        Self::Fencing,
        Self::EndingSessions,
        Self::Swapping,
        Self::RecordingIdentity,
        Self::FetchingTables,
        Self::MatchingTables,
        Self::CountingChanges,
        Self::ChangingTables,
        Self::CommittingChange,
        Self::RemovingSide,
        Self::FillingRows,
        Self::Undoing,
        Self::RecordingUndo,
        Self::ProvingUndo,
    ];

    /// The phase's name, as in JSON lines and tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::SnapshotExported => "snapshot-exported",
            Self::ReadingContents => "reading-contents",
            Self::CopyingData => "copying-data",
            Self::CompletingUpload => "completing-upload",
            Self::StoringIndex => "storing-index",
            Self::PublishingManifest => "publishing-manifest",
            Self::StartingScratch => "starting-scratch",
            Self::Restoring => "restoring",
            Self::LoadingRows => "loading-rows",
            Self::BuildingIndexes => "building-indexes",
            Self::Analyzing => "analyzing",
            Self::Restored => "restored",
            Self::Comparing => "comparing",
            Self::ComparingObjects => "comparing-objects",
            Self::RecordingVerification => "recording-verification",
            Self::Rehearsing => "rehearsing",
            Self::RehearsingRollback => "rehearsing-rollback",
            Self::Checking => "checking-objects",
            Self::Pruning => "pruning",
            Self::Planning => "planning",
            Self::TakingRunLock => "taking-run-lock",
            Self::WaitingForInstant => "waiting-for-instant",
            Self::RunningCommand => "running-command",
            Self::Judging => "judging",
            Self::RecordingRun => "recording-run",
            Self::CreatingDatabase => "creating-database",
            Self::Fencing => "fencing",
            Self::EndingSessions => "ending-sessions",
            Self::Swapping => "swapping",
            Self::RecordingIdentity => "recording-identity",
            Self::FetchingTables => "fetching-tables",
            Self::MatchingTables => "matching-tables",
            Self::CountingChanges => "counting-changes",
            Self::ChangingTables => "changing-tables",
            Self::CommittingChange => "committing-change",
            Self::RemovingSide => "removing-side",
            Self::FillingRows => "filling-rows",
            Self::Undoing => "undoing",
            Self::RecordingUndo => "recording-undo",
            Self::ProvingUndo => "proving-undo",
        }
    }
}

/// Receives what long work says.
///
/// Calls come from many tasks and must return soon.
pub trait Progress: Send + Sync {
    /// A phase begins; `expected_bytes` is how much it will move, where known.
    fn phase(&self, phase: Phase, expected_bytes: Option<u64>);
    /// The phase moved `bytes` more.
    fn advance(&self, bytes: u64);
    /// Something worth knowing happened, such as a retry or a warning.
    fn note(&self, message: &str);
    /// A named part of the phase, such as a table, has moved `done` bytes so far, of `total` where that is known.
    ///
    /// Counted as in [`Progress::advance`], and besides it: an item's bytes are also told there. The part ends when
    /// `done` reaches `total`, or with the phase. The name is shown as it is: quoted where a person would quote it,
    /// never a value of a row.
    fn item(&self, _name: &str, _done: u64, _total: Option<u64>) {}
    /// Nothing runs until the next phase: a person is asked something on the same terminal.
    fn rest(&self) {}
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
}
