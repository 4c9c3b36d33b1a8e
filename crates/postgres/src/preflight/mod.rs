//! What can be known before the start: whether this role, on this database, now, can make a complete backup.
//!
//! Every function is a catalog query of its own that takes no lock on any table and changes nothing. They judge
//! nothing: a list that is empty is good, and the caller decides what the others mean.

mod activity;
mod capacity;
mod objects;
mod rights;
mod row_security;

pub(crate) use activity::keywords;
pub use activity::{Blocker, OpenTransaction, blockers, open_transactions};
pub use capacity::{Headroom, TableSize, clock, headroom, table_sizes};
pub use objects::{ObjectCounts, object_counts};
pub use rights::{
    MissingRight, UnreadableLargeObjects, UnreadableRelation, unreadable_large_objects, unreadable_relations,
};
pub use row_security::{FilteredTable, filtered_tables};
