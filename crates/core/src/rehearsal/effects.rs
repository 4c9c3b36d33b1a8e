//! What a command did to the tables and objects of a database, as a rehearsal tells it.

use serde::{Deserialize, Serialize};

use crate::undoing::RollbackScript;

/// What happened to a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableEffect {
    /// The table, as it was called before; for a new one as it is called now.
    pub table: String,
    /// It was made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub added: bool,
    /// It was dropped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
    /// What it is called now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renamed_to: Option<String>,
    /// It has another file: it was written anew, or emptied by TRUNCATE.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rewritten: bool,
    /// Columns that were added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns_added: Vec<String>,
    /// Columns that are gone, with their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns_gone: Vec<String>,
    /// Columns that have another name, with their values, or with others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns_renamed: Vec<RenamedColumn>,
    /// Columns, by their names of before, in which rows that stayed have other values; `None` where nobody looked, and in records
    /// of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns_changed: Option<Vec<String>>,
    /// Not all of those rows were looked at: other columns may have changed, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub columns_sampled: bool,
    /// Rows before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_before: Option<u64>,
    /// Rows after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_after: Option<u64>,
    /// Rows by their key, in the columns that were there before and are still; `None` where it has no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowEffect>,
    /// Row versions as the server counted them, also those that were taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<RowEffect>,
    /// Why its rows cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The locks that the command's sessions had on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locks: Vec<LockEffect>,
}

impl TableEffect {
    /// The columns that changed their values, or went with them, by their names of before; `None` where not all are known.
    pub fn columns_taken(&self) -> Option<Vec<String>> {
        if self.dropped || self.why.is_some() || self.columns_sampled {
            return None;
        }
        let changed = match (self.rows?, &self.columns_changed) {
            (_, Some(changed)) => changed.clone(),
            (rows, None) if rows.updated == 0 => Vec::new(),
            (_, None) => return None,
        };
        Some(changed.into_iter().chain(self.columns_lost()).collect())
    }

    /// The columns that are gone under any name.
    pub fn columns_lost(&self) -> impl Iterator<Item = String> {
        let renamed = |column: &&String| self.columns_renamed.iter().any(|one| one.before == **column);
        self.columns_gone.iter().filter(move |column| !renamed(column)).cloned()
    }

    /// Whether it is another table than before, or holds other rows; not where it was only locked.
    pub(super) fn changed(&self) -> bool {
        let of_schema = self.added || self.dropped || self.rewritten || self.renamed_to.is_some();
        let of_columns = !self.columns_added.is_empty() || !self.columns_gone.is_empty();
        // Rows without a key are told by the server's counters alone.
        let of_rows = self.rows.as_ref().or(self.written.as_ref()).is_some_and(|rows| !rows.is_zero());
        of_schema || of_columns || of_rows || self.rows_before != self.rows_after
    }
}

/// A column that has another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenamedColumn {
    /// What it was called before.
    pub before: String,
    /// What it is called now.
    pub now: String,
}

/// Numbers of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowEffect {
    /// Inserted.
    pub inserted: u64,
    /// Updated.
    pub updated: u64,
    /// Deleted.
    pub deleted: u64,
}

impl RowEffect {
    /// Whether there is none.
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

/// A lock on a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockEffect {
    /// The mode, as `LOCK TABLE` names it, such as `ACCESS EXCLUSIVE`.
    pub mode: String,
    /// The longest time that it was seen held without a break, in microseconds; 0 where it was seen once.
    pub held_us: u64,
    /// The longest time that a session was seen waiting for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_us: Option<u64>,
}

/// A schema object that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectEffect {
    /// Its kind and name, such as `INDEX public.orders_note`.
    pub name: String,
    /// How.
    pub change: ObjectChange,
    /// What it was: the beginning of SHA-256 over its definition, without owner; `None` of a grant, of what is new, and in
    /// records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it is now, in the same way; `None` of what is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl ObjectEffect {
    /// Whether it tells the same change of the same object, to whatever definition.
    pub fn is_of(&self, other: &Self) -> bool {
        (&self.name, self.change) == (&other.name, other.change)
    }

    /// Whether it was the same before, and is known to be another one now.
    pub fn became_another(&self, other: &Self) -> bool {
        let known = self.after.is_some() && other.after.is_some();
        known && self.before == other.before && self.after != other.after
    }
}

/// How a schema object changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectChange {
    /// It was made.
    Added,
    /// It has another definition, owner or grant.
    Changed,
    /// It is gone.
    Gone,
}

/// What the team's own way back did on the copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackEffect {
    /// What was run, in this order: scripts, or the tool's own command.
    pub ran: Vec<String>,
    /// Migrations that nothing undoes.
    pub missing: Vec<String>,
    /// What undoes the others, with its hashes: the trial says nothing of other scripts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<RollbackScript>,
    /// What failed, in words.
    pub failure: Option<String>,
    /// Milliseconds that it took.
    pub took_ms: u64,
    /// Schema, rows, sequences and tracking rows are as before.
    pub complete: bool,
    /// What it does not bring back, in words: objects, columns, rows.
    pub lost: Vec<String>,
    /// The tables that were there before the migrations and of which rows went, or were changed by a program that nobody can
    /// read; `None` in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_from: Option<Vec<String>>,
}
