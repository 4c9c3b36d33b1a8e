//! Comparing the rows of one table by key: what is asked for, and what was found.

use std::path::PathBuf;
use std::time::Duration;

use holdpoint_core::{PointId, RelationName};
use serde::Serialize;

use super::{Against, Side};
use crate::Source;
use crate::recover::ColumnPair;

/// A table of a restore point, and where the table of the same name is that it is compared with.
#[derive(Clone, Debug)]
pub struct CompareRowsOptions {
    /// The restore point.
    pub point: PointId,
    /// Where the other one is.
    pub against: Against,
    /// The table.
    pub table: RelationName,
    /// What it is called on the other side, where it was renamed.
    pub now_named: Option<RelationName>,
    /// Of a live table only the rows of which this condition in SQL is true; the others look missing. It must hold
    /// nothing that a person typed.
    pub now_where: Option<String>,
    /// How rows are compared.
    pub how: HowRows,
}

/// Two tables of one database.
#[derive(Clone, Debug)]
pub struct CompareTablesOptions {
    /// The database.
    pub source: Source,
    /// The first table.
    pub table: RelationName,
    /// The second table.
    pub with: RelationName,
    /// How rows are compared.
    pub how: HowRows,
}

/// How rows are compared.
#[derive(Clone, Debug)]
pub struct HowRows {
    /// The columns that tell rows apart; by default a key of the table.
    pub key: Option<Vec<String>>,
    /// Only these columns are compared, beside the key; by default all that both sides have.
    pub columns: Option<Vec<String>>,
    /// Columns that have another name on the second side.
    pub renamed: Vec<ColumnPair>,
    /// How many rows are listed of each kind.
    pub limit: usize,
    /// Give the values of listed rows: for a person at a terminal alone.
    pub values: bool,
    /// Bytes of hashes that may be in memory; what is beyond goes into temporary files.
    pub memory_bytes: usize,
    /// Where those are made.
    pub directory: PathBuf,
    /// How many ranges of an archive are read at a time.
    pub jobs: usize,
    /// How long to wait for a table that somebody else has locked, in whole seconds.
    pub lock_wait: Duration,
}

/// How a row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// Its key is in the first side alone: a restore would bring it back.
    Missing,
    /// Its columns differ.
    Changed,
    /// Its key is in the second side alone: a restore would lose it.
    New,
}

/// A value of a row: a column, and what it was and is; long ones are cut, NULL is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownValue {
    /// The column.
    pub column: String,
    /// On the first side.
    pub then: Option<String>,
    /// On the second side.
    pub now: Option<String>,
}

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RowDifference {
    /// How.
    pub change: RowKind,
    /// The values of its key; NULL is `None`.
    pub key: Vec<Option<String>>,
    /// The columns that changed.
    pub columns: Vec<String>,
    /// Values, where they were asked for: of a changed row those that changed, else all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<ShownValue>,
}

/// A column of both sides whose type differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TypeDifference {
    /// The column.
    pub column: String,
    /// Its type on the first side.
    pub then: String,
    /// On the second side.
    pub now: String,
}

/// How the rows of a table differ.
#[derive(Clone, Debug, Serialize)]
pub struct RowsReport {
    /// The first side.
    pub then: Side,
    /// The second side.
    pub now: Side,
    /// The table.
    pub table: String,
    /// The second table, where it is another one or was renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// The columns that tell rows apart; none where there is no key, and then rows are compared as a whole.
    pub key: Vec<String>,
    /// Rows and columns are the same.
    pub equal: bool,
    /// Columns of the second side alone: not compared.
    pub columns_added: Vec<String>,
    /// Columns of the first side alone: not compared.
    pub columns_gone: Vec<String>,
    /// Columns whose types differ; their values are compared as they are written.
    pub types_changed: Vec<TypeDifference>,
    /// Rows of the first side.
    pub rows_then: u64,
    /// Rows of the second side.
    pub rows_now: u64,
    /// Whether all rows are equal in the columns that both have.
    pub rows_equal: bool,
    /// How many rows differ and how, by key; `None` without one.
    pub counts: Option<RowCounts>,
    /// Some of the rows that differ.
    pub rows: Vec<RowDifference>,
    /// Bytes of hashes that were put into temporary files.
    pub spilled_bytes: u64,
    /// The most bytes of hashes that were in memory at a time.
    pub most_held_bytes: u64,
    /// What should be known when reading this.
    pub notes: Vec<String>,
    /// Milliseconds that it took.
    pub took_ms: u64,
}

/// How many rows differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// Keys whose rows are equal.
    pub equal: u64,
    /// Keys of the first side alone.
    pub missing: u64,
    /// Keys whose columns differ.
    pub changed: u64,
    /// Keys of the second side alone.
    pub new: u64,
}
