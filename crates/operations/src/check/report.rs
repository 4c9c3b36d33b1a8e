//! What a check saw.

use chrono::{DateTime, Utc};
use holdpoint_core::verification::{Level, Standing};
use holdpoint_core::{DatabaseName, PointId};
use serde::Serialize;

use super::findings::Finding;

/// A restore point that was checked.
#[derive(Clone, Debug, Serialize)]
pub struct PointChecked {
    /// Which.
    pub point: PointId,
    /// What its verifications say.
    pub standing: Standing,
    /// Bytes that it stores.
    pub stored_bytes: u64,
    /// Whether its bytes were read again.
    pub read: bool,
    /// How many findings it has.
    pub findings: usize,
}

/// The newest proof of a whole restore point.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Of which restore point.
    pub point: PointId,
    /// How far.
    pub level: Level,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// Seconds since then, by the store's clock.
    pub age_seconds: i64,
}

/// What a repair does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// It removes what is dead.
    Remove,
    /// It shows a restore point again that is whole.
    ShowAgain,
    /// Nothing: another one dropped it meanwhile.
    FindGone,
}

/// Something that was repaired, or could not be.
#[derive(Clone, Debug, Serialize)]
pub struct Repaired {
    /// What.
    pub what: String,
    /// How.
    pub how: Repair,
    /// Why it is as it was.
    pub problem: Option<String>,
}

/// What a check saw.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The database.
    pub database: DatabaseName,
    /// Restore points, the oldest first.
    pub points: Vec<PointChecked>,
    /// The newest proof of a whole restore point.
    pub last_proof: Option<Proof>,
    /// Bytes that were read again.
    pub read_bytes: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// What a repair did.
    pub repaired: Vec<Repaired>,
    /// What is worth knowing although it is no finding.
    pub notes: Vec<String>,
}
