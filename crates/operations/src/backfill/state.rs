//! How far a backfill came, in a file.
//!
//! The file is never ahead of what is committed: a batch is written down, with the number of its transaction, before it
//! is committed, and counts only when the server says that this transaction was. After a crash a number whose records were lost is
//! given out anew; so the records of the batch are made durable before its number is written down, which is then its own for ever.
//! Where that could not be done, a row of the batch has to say it, too, once the server was started again: a batch whose every row
//! was written by others since is then done a second time, with a warning. So is one of which the server has forgotten the number.
//! But for these, neither a kill in between nor a connection that is lost with the answer makes a batch be left out or done twice.

use chrono::{DateTime, Utc};
use holdpoint_postgres::session::TransactionId;
use serde::{Deserialize, Serialize};

use super::Resumed;
use super::standing::KeyColumn;
use super::statement::Place;

/// The form of the file.
pub(super) const FORMAT: u32 = 1;

/// Which table of which database, and what is done to it: what must be the same to go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct What {
    pub(super) system: String,
    /// Which history of the server it is; `None` where the server does not tell, or an older program wrote the file.
    #[serde(default)]
    pub(super) timeline: Option<u32>,
    pub(super) database: String,
    pub(super) table: String,
    pub(super) table_oid: u32,
    pub(super) key: Vec<String>,
    /// The types and collations that give the key its order; `None` where an older program wrote the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key_columns: Option<Vec<KeyColumn>>,
    pub(super) set: Vec<String>,
    pub(super) condition: Option<String>,
}

/// A batch that is about to be committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) transaction: TransactionId,
    /// When the server was started on which it was begun; `None` where an older program wrote the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) server_began: Option<String>,
    /// What it changed was on the server's disk before this was written: no crash loses its number.
    #[serde(default)]
    pub(super) durable: bool,
    pub(super) to: Place,
    pub(super) updated: u64,
    pub(super) walked: u64,
}

/// How far it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progressed {
    pub(super) format: u32,
    pub(super) what: What,
    pub(super) began_at: DateTime<Utc>,
    /// The largest key when it began: where it ends.
    pub(super) end: Place,
    /// The last key of the last batch that counts.
    pub(super) after: Option<Place>,
    pub(super) updated: u64,
    pub(super) walked: u64,
    pub(super) batches: u64,
    /// How many rows fitted the time of a batch; `None` where an older program wrote the file, or no batch was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<u64>,
    pub(super) pending: Option<Pending>,
}

impl Progressed {
    pub(super) fn begin(what: What, end: Place, began_at: DateTime<Utc>) -> Self {
        let (after, rows, pending) = (None, None, None);
        Self { format: FORMAT, what, began_at, end, after, updated: 0, walked: 0, batches: 0, rows, pending }
    }

    /// Counts the batch that was pending, or forgets it.
    pub(super) fn settle(&mut self, committed: bool) {
        if let Some(pending) = self.pending.take().filter(|_| committed) {
            self.after = Some(pending.to);
            self.updated += pending.updated;
            self.walked += pending.walked;
            self.batches += 1;
        }
    }

    pub(super) fn resumed(&self) -> Resumed {
        Resumed { began_at: self.began_at, rows_updated: self.updated, batches: self.batches }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn id(kind: &str, type_oid: u32) -> KeyColumn {
        KeyColumn { name: "id".into(), number: 1, kind: kind.into(), type_oid, modifier: -1, collation: None }
    }

    pub(crate) fn what() -> What {
        What {
            system: "7".into(),
            timeline: Some(3),
            database: "shop".into(),
            table: "public.\"odd/name\"".into(),
            table_oid: 16_400,
            key: vec!["id".into()],
            key_columns: Some(vec![id("integer", 23)]),
            set: vec!["a = 1".into()],
            condition: None,
        }
    }

    pub(crate) fn progressed() -> Progressed {
        Progressed::begin(what(), vec!["9".into()], "2026-11-21T02:43:00Z".parse().unwrap())
    }

    #[test]
    fn only_a_batch_that_was_committed_counts() {
        let pending = || {
            let transaction = serde_json::from_str("\"4711\"").unwrap();
            Some(Pending {
                transaction,
                server_began: None,
                durable: false,
                to: vec!["5".into()],
                updated: 3,
                walked: 4,
            })
        };
        let mut state = Progressed { pending: pending(), ..progressed() };
        state.settle(false);
        assert_eq!(state, progressed());
        state.pending = pending();
        state.settle(true);
        assert_eq!((state.after, state.updated, state.walked, state.batches), (Some(vec!["5".into()]), 3, 4, 1));
    }
}
