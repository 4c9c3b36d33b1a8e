//! What a check finds.

use serde::Serialize;

/// What kind of thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A manifest or another record cannot be read, or was written by a newer program.
    Unreadable,
    /// A restore point has no manifest any more: somebody relies on it or verified it, or no other is to be seen.
    ManifestMissing,
    /// An object of a restore point is not there.
    Missing,
    /// An object has another size than was recorded.
    WrongSize,
    /// The store's own checksum is another than was recorded.
    WrongChecksum,
    /// The snapshot that a restore point is cannot be restored now, or RDS could not be asked for it.
    Snapshot,
    /// Stored bytes are not what was written.
    Damaged,
    /// The restore point was made in another repository.
    AnotherRepository,
    /// The restore point is of a database that the folder never belonged to.
    AnotherDatabase,
    /// No record says which database the folder belongs to.
    IdentityMissing,
    /// The newest conclusive verification disproved it.
    Disproved,
    /// There is no restore point.
    NothingThere,
    /// The manifest is not the one that was proven.
    ManifestChanged,
    /// A proof is dated in the future.
    WrongClock,
    /// Nothing is proven, or the newest proof is older than it may be.
    ProofTooOld,
    /// A prune that did not end hides a restore point.
    Hidden,
    /// Objects or an upload of no restore point, older than work that runs now.
    Leftover,
    /// Files that belong to nothing.
    Stray,
    /// The folder of a database that no configuration names.
    NotConfigured,
    /// Others than the owner may read or write the repository's directory.
    Permissions,
}

impl FindingKind {
    /// The kind in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::ManifestMissing => "manifest missing",
            Self::Missing => "missing",
            Self::WrongSize => "wrong size",
            Self::WrongChecksum => "wrong checksum",
            Self::Snapshot => "snapshot",
            Self::Damaged => "damaged",
            Self::AnotherRepository => "of another repository",
            Self::AnotherDatabase => "of another database",
            Self::IdentityMissing => "identity missing",
            Self::Disproved => "disproved",
            Self::NothingThere => "nothing there",
            Self::ManifestChanged => "manifest changed",
            Self::WrongClock => "wrong clock",
            Self::ProofTooOld => "proof",
            Self::Hidden => "hidden",
            Self::Leftover => "leftover",
            Self::Stray => "stray",
            Self::NotConfigured => "not configured",
            Self::Permissions => "permissions",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// Where: a restore point, a key, a directory.
    pub place: String,
    /// What is wrong, in words.
    pub reason: String,
    /// What to do.
    pub cure: String,
}

impl Finding {
    /// Makes a finding.
    pub(super) fn new(kind: FindingKind, place: &str, reason: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { kind, place: place.to_owned(), reason: reason.into(), cure: cure.into() }
    }
}
