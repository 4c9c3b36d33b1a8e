//! `holdpoint check`: whether everything that the repository promises is there, without restoring anything.

mod findings;
mod folder;
mod identity;
pub(crate) mod objects;
mod permissions;
mod run;
pub(crate) mod snapshots;
mod stray;

pub use findings::{Finding, FindingKind};
pub use run::{CheckOptions, CheckReport, PointChecked, Proof, Repair, Repaired, check};
pub use stray::surroundings;
