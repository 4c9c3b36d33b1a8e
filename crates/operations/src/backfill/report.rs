//! What a backfill will do, and did.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// What would be done; nothing has been changed.
#[derive(Clone, Debug, Serialize)]
pub struct BackfillPlan {
    /// `schema.name`.
    pub table: String,
    /// The columns that are set.
    pub columns: Vec<String>,
    /// The columns of the key that is walked by.
    pub key: Vec<String>,
    /// The index that gives their order.
    pub index: String,
    /// The table's size without indexes.
    pub table_bytes: u64,
    /// How many rows the table holds by its statistics; none before it was analyzed.
    pub rows: Option<u64>,
    /// How many batches that makes at the size asked for.
    pub batches: Option<u64>,
    /// How the server would walk and change the first batch, without values; empty when there are no rows.
    pub first_batch: Vec<String>,
    /// The same of the last one.
    pub last_batch: Vec<String>,
    /// Where an earlier one stopped, when it is to go on.
    pub resumes: Option<Resumed>,
    /// What speaks against it.
    pub warnings: Vec<String>,
}

/// Where an earlier run stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resumed {
    /// When the first one began.
    pub began_at: DateTime<Utc>,
    /// Rows that were changed by then.
    pub rows_updated: u64,
    /// Batches that were committed by then.
    pub batches: u64,
}

/// What was done.
#[derive(Clone, Debug, Serialize)]
pub struct BackfillReport {
    /// `schema.name`.
    pub table: String,
    /// The columns that were set.
    pub columns: Vec<String>,
    /// Whether the walk came to its end.
    pub finished: bool,
    /// Rows that were changed, exactly, those before a resume with them.
    pub rows_updated: u64,
    /// Rows that were walked over.
    pub rows_walked: u64,
    /// Batches that were committed.
    pub batches: u64,
    /// Batches that were rolled back and tried again.
    pub retries: u64,
    /// How long this run took, milliseconds.
    pub took_ms: u64,
    /// How long of it was waited for standbys, milliseconds.
    pub waited_for_lag_ms: u64,
    /// Where an earlier one had stopped.
    pub resumed: Option<Resumed>,
    /// The file that says how far it came, while it is not finished.
    pub state_file: Option<PathBuf>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}
