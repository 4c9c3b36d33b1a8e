//! What became of the database between two moments.

use holdpoint_core::ledger::{ChangedBeside, WrittenMeanwhile};
use holdpoint_core::rehearsal::ObjectEffect;

/// What became of the database between two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// `unchanged`, `changed` or `unknown`.
    pub(crate) database: &'static str,
    /// What shows that.
    pub(crate) remarks: Vec<String>,
    /// What must be looked at even where the command succeeded.
    pub(crate) warnings: Vec<String>,
    /// Schema objects that differ; `None` where the schema was not read, which is not that none differs.
    pub(crate) objects: Option<Vec<ObjectEffect>>,
    /// Indexes that are invalid now, and were not.
    pub(crate) invalid_indexes: Vec<String>,
    /// Transactions that were prepared meanwhile, and are still.
    pub(crate) prepared: Vec<String>,
    /// What the backup's role may not read now, and could.
    pub(crate) unreadable: Vec<String>,
    /// Whether only sessions that may be the command's, and are in a transaction, leave open what was kept.
    pub(crate) perhaps_at_work: bool,
    /// Whether the counters tell which tables' rows were written.
    pub(crate) counted: bool,
    /// Whether they do not because the server began to count anew while the command ran.
    pub(crate) lost_count: bool,
    /// Tables of which nobody wrote a row, by the counters, where these tell.
    pub(crate) unmoved: Vec<String>,
    /// The others that were there before, with what was written, by the counters, where these tell.
    pub(crate) written: Option<Vec<WrittenMeanwhile>>,
    /// What no dump shows, and that came, went or changed.
    pub(crate) beside: Vec<ChangedBeside>,
    /// SHA-256 over the schema as it is now, where it could be read.
    pub(crate) left_schema: Option<String>,
    /// Which transactions the server had seen by then, where that could be read.
    pub(crate) transactions: Option<String>,
}

impl Change {
    /// Nothing is known yet.
    pub(crate) fn unknown() -> Self {
        Self {
            database: "unknown",
            remarks: Vec::new(),
            warnings: Vec::new(),
            objects: None,
            invalid_indexes: Vec::new(),
            prepared: Vec::new(),
            unreadable: Vec::new(),
            perhaps_at_work: false,
            counted: false,
            lost_count: false,
            unmoved: Vec::new(),
            written: None,
            beside: Vec::new(),
            left_schema: None,
            transactions: None,
        }
    }

    /// Says that the state could not be read.
    pub(crate) fn unseen(why: &str) -> Self {
        let why = format!("what the database looks like now could not be read: {why}");
        Self { warnings: vec![why], ..Self::unknown() }
    }
}
