//! Fills columns of a large table in many short transactions, so that nobody waits for one long one.
//!
//! The table is walked once by a key, from its smallest to what was its largest when the walk began. Each batch is a
//! transaction of its own; between batches the walk waits while standbys are behind, and a batch that others wait for
//! is cancelled and tried again, smaller. How far it came stands in a file ([`Progressed`](state::Progressed)) that names
//! the transaction under way before it is committed: after a kill, the server itself says whether that one counts.

mod batch;
mod clause;
mod error;
mod lock;
mod plan;
mod reconnect;
mod report;
mod run;
mod standing;
mod state;
mod state_file;
mod statement;
mod subject;
mod throttle;
mod walk;

use std::path::PathBuf;
use std::time::Duration;

use holdpoint_core::RelationName;

pub use error::BackfillError;
pub use plan::plan;
pub use report::{BackfillPlan, BackfillReport, Resumed};
pub use run::{BackfillContext, backfill};

/// The rows that a batch begins with, and the fewest it is tried with.
const SMALLEST_BATCH: u64 = 10;
/// A batch grows up to so many times what was asked for, where little of it has to be changed.
const GROWS_TO: u64 = 10;

/// What is to be filled, and how gently.
#[derive(Clone, Debug)]
pub struct BackfillOptions {
    /// The table.
    pub table: RelationName,
    /// Assignments as UPDATE has them, such as `region = upper(country)`.
    pub set: Vec<String>,
    /// Only rows for which this holds.
    pub condition: Option<String>,
    /// The columns of the key to walk by, instead of the primary key's.
    pub key: Option<Vec<String>>,
    /// How many rows the first batch walks over; later ones as many as take [`BackfillOptions::batch_time`].
    pub batch_rows: u64,
    /// How long a batch should take.
    pub batch_time: Duration,
    /// The pause between batches.
    pub pause: Duration,
    /// Wait while a standby is further behind.
    pub max_lag: Duration,
    /// Cancel a batch for which somebody has waited for longer.
    pub max_blocked: Duration,
    /// How long a batch may wait for a lock that others hold.
    pub lock_wait: Duration,
    /// Begin no further batch after this long.
    pub max_runtime: Option<Duration>,
    /// Go on where an earlier one stopped.
    pub resume: bool,
    /// The folder in which the file of the progress lies; made where it is missing.
    pub directory: PathBuf,
}
