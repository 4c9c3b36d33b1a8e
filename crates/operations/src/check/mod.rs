//! `holdpoint check`: whether everything that the repository promises is there, without restoring anything.

mod findings;
mod folder;
mod identity;
pub(crate) mod objects;
mod permissions;
mod point;
mod proofs;
mod report;
mod run;
pub(crate) mod snapshots;
mod stray;

use chrono::TimeDelta;

pub use findings::{Finding, FindingKind};
pub use report::{CheckReport, PointChecked, Proof, Repair, Repaired};
pub use run::check;
pub use stray::surroundings;

/// How far a check goes.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// So many percent of the stored bytes are read again, whole restore points of a seeded choice; at least one.
    pub read_data: Option<u8>,
    /// How many pieces are checked at a time.
    pub jobs: usize,
    /// An older proof is a finding, and so is none.
    pub max_proof_age: Option<TimeDelta>,
    /// Whether proofs of snapshots count for that: where nothing relies on snapshots, one must not hide that no archive is
    /// proven.
    pub snapshots_count: bool,
    /// What belongs to no restore point is left alone when it is younger, by the store's clock.
    pub min_age: TimeDelta,
    /// Remove what is provably dead.
    pub repair: bool,
}

impl CheckOptions {
    /// Whether nothing is written: data that are read and found damaged are recorded as disproved.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        !self.repair && self.read_data.is_none()
    }
}

#[cfg(test)]
mod tests;
