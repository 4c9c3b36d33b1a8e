//! The record by which one unattended run keeps others off the same database.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::CronHistory;

/// The newest form of leases that this program knows.
pub const LEASE_FORMAT: u32 = 1;

/// One unattended run of one database: known by one id from its begin to its end, whoever tells how that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// A random text.
    pub id: String,
    /// When it began, by the clock of its machine.
    pub began_at: DateTime<Utc>,
}

/// The turn that a lease was taken over from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnBefore {
    /// Its id.
    pub turn: String,
    /// When it began, by its own clock.
    pub began_at: DateTime<Utc>,
    /// It gave its lease back, and what is remembered holds how it ended.
    pub ended: bool,
}

/// Who works on a database unattended, and what is remembered of such runs.
///
/// It is written by conditional writes only. Its age is told by the store's own clock, from when the object was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Version of the record's form.
    pub format: u32,
    /// Whoever wrote it: machine and process.
    pub owner: String,
    /// The turn's id, by which the owner knows it again.
    pub nonce: String,
    /// When the owner began, by its own clock.
    pub taken_at: DateTime<Utc>,
    /// For so many seconds after it was written it keeps others off; 0: the owner has ended.
    pub holds_for_seconds: u64,
    /// How often the owner has written it: no two writes are alike, so a condition on one never holds for another.
    pub written: u64,
    /// The turn that it was taken over from, where that had not given it back: the owner counts that one as killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overtook: Option<String>,
    /// What is remembered of runs.
    #[serde(default)]
    pub history: CronHistory,
}
