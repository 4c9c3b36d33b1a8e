//! `holdpoint check`: whether everything that the repository promises is there, without restoring anything.

mod findings;
mod objects;
mod permissions;
mod run;

pub use findings::{Finding, FindingKind};
pub use run::{CheckOptions, CheckReport, PointChecked, Proof, Repaired, check};
