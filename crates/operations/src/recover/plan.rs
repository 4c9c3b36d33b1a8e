//! What would be done, and what stands in the way: shown before anything is changed.

use holdpoint_core::PointId;
use holdpoint_core::name::quote_literal;
use serde::Serialize;

use super::{RecoverMode, Triggers};

/// What a recovery would do.
#[derive(Clone, Debug, Serialize)]
pub struct RecoverPlan {
    /// The restore point; `None` for a foreign dump or another database.
    pub point: Option<PointId>,
    /// Where from, in words.
    pub from: String,
    /// The live database, without its password.
    pub into: String,
    /// What is done with the rows.
    pub mode: RecoverMode,
    /// What triggers do.
    pub triggers: Triggers,
    /// Nothing is changed: this is a plan.
    pub dry_run: bool,
    /// The schema that the side tables are in; `None` where none was made.
    pub side_schema: Option<String>,
    /// Each table.
    pub tables: Vec<TableChange>,
    /// Bytes fetched, or that would be.
    pub fetched_bytes: u64,
    /// Bytes of the whole archive.
    pub archive_bytes: u64,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// What would happen to a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableChange {
    /// Its name in the restore point.
    pub table: String,
    /// The live table; `None` where it is gone.
    pub live: Option<String>,
    /// The side table; `None` where none was made.
    pub side: Option<String>,
    /// The live table is gone, and would be made again.
    pub made_again: bool,
    /// Rows that the source has.
    pub recorded_rows: u64,
    /// Bytes of its blocks in the archive; 0 where the source is read as a stream or is a database.
    pub stored_bytes: u64,
    /// Rows of them that were asked for.
    pub found_rows: u64,
    /// The columns by which rows are found in the live table.
    pub key: Vec<String>,
    /// Rows that would be inserted.
    pub inserted: u64,
    /// Rows that would be changed.
    pub changed: u64,
    /// Live rows that would be deleted.
    pub deleted: u64,
    /// Rows that are there as they were, or are left as they are.
    pub left: u64,
    /// Foreign keys that would fail.
    pub foreign_keys: Vec<ForeignKeyCheck>,
    /// Unique indexes and checks that would fail.
    pub constraints: Vec<UniqueCheck>,
    /// Triggers and rules that are held back.
    pub held_back: Vec<String>,
    /// Triggers and rules that would fire.
    pub firing: Vec<String>,
    /// Sequences that would move.
    pub sequences: Vec<SequenceMove>,
    /// What is worth knowing.
    pub notes: Vec<String>,
    /// Why the live table cannot be changed as things are; empty when it can.
    pub refusals: Vec<String>,
}

/// A foreign key that would fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ForeignKeyCheck {
    /// The constraint.
    pub name: String,
    /// The table that refers.
    pub from: String,
    /// The table that is referred to.
    pub to: String,
    /// Rows that would refer to nothing.
    pub rows: u64,
    /// What deleting what they refer to does to them, where it is they that are in the way.
    pub on_delete: Option<&'static str>,
    /// What changing it does to them.
    pub on_update: Option<&'static str>,
}

/// A unique index or check that rows would violate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UniqueCheck {
    /// The index or constraint.
    pub name: String,
    /// Rows.
    pub rows: u64,
}

/// A sequence that would move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SequenceMove {
    /// The sequence.
    pub name: String,
    /// The last value that it would have given.
    pub to: i64,
}

impl SequenceMove {
    /// The statement that moves it.
    pub(super) fn statement(&self) -> String {
        format!("SELECT setval({}::regclass, {}, true)", quote_literal(&self.name), self.to)
    }
}

impl RecoverPlan {
    /// Every reason why the live tables cannot be changed as things are.
    pub fn refusals(&self) -> Vec<String> {
        let of = |table: &TableChange| -> Vec<String> {
            table.refusals.iter().map(|reason| format!("{}: {reason}", table.table)).collect()
        };
        self.tables.iter().flat_map(of).collect()
    }

    /// The side schema is removed.
    pub(super) fn without_side(&mut self) {
        self.side_schema = None;
        self.tables.iter_mut().for_each(|table| table.side = None);
    }

    /// Whether any live row would be inserted, changed or deleted.
    pub fn changes_anything(&self) -> bool {
        self.tables.iter().any(|table| table.made_again || table.inserted + table.changed + table.deleted > 0)
    }
}

impl TableChange {
    /// Turns what was counted into refusals.
    ///
    /// `selects` says that rows can be left out by a condition.
    pub(super) fn judge(&mut self, selects: bool) {
        for key in &self.foreign_keys {
            let reason = match (key.on_delete, key.on_update) {
                (Some(deleting), Some(changing)) => format!(
                    "foreign key {} ({} rows of {} refer to rows that would be deleted or get another value; ON DELETE \
                     {deleting}, ON UPDATE {changing}: recover that table in the same go)",
                    key.name, key.rows, key.from
                ),
                _ => format!(
                    "foreign key {} ({} rows refer to rows that {} does not have: recover it in the same go{})",
                    key.name,
                    key.rows,
                    key.to,
                    if selects { ", or leave them out with --where" } else { "" }
                ),
            };
            self.refusals.push(reason);
        }
        for constraint in &self.constraints {
            self.refusals.push(format!("{} would be violated by {} rows", constraint.name, constraint.rows));
        }
    }
}
