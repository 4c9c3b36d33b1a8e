//! What a tool has recorded as applied, as plain data.

use serde::{Deserialize, Serialize};

use super::TableName;

/// The tracking table, or its absence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Tracking {
    /// There is no such table: nothing was applied by this tool yet.
    Absent {
        /// Whether the database holds other tables.
        others: bool,
    },
    /// There is one.
    Present(TrackingTable),
}

impl Tracking {
    /// The table's rows, none where it is absent.
    pub(crate) fn table(&self) -> Option<&TrackingTable> {
        match self {
            Self::Absent { .. } => None,
            Self::Present(table) => Some(table),
        }
    }
}

/// A tracking table's columns and rows, every value as PostgreSQL writes it as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackingTable {
    /// Which.
    pub name: TableName,
    /// The columns that were read; those that no adapter needs (such as logs) are not.
    pub columns: Vec<String>,
    /// The rows, in the order in which they were recorded as far as the table tells.
    pub rows: Vec<Vec<Option<String>>>,
}

impl TrackingTable {
    /// Tells whether a column is there.
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|one| one == column)
    }

    /// All rows, each as a function from a column's name to its value.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row { table: self, values })
    }
}

/// One row of a tracking table.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    table: &'a TrackingTable,
    values: &'a [Option<String>],
}

impl<'a> Row<'a> {
    /// A value; `None` where it is NULL or there is no such column.
    pub(super) fn get(&self, column: &str) -> Option<&'a str> {
        let place = self.table.columns.iter().position(|one| one == column)?;
        self.values.get(place)?.as_deref()
    }

    /// A value, empty for NULL.
    pub(super) fn text(&self, column: &str) -> &'a str {
        self.get(column).unwrap_or_default()
    }

    /// A boolean as PostgreSQL writes it, in either of its forms.
    pub(super) fn is_true(&self, column: &str) -> bool {
        matches!(self.get(column), Some("true" | "t"))
    }

    /// A whole number.
    pub(super) fn number(&self, column: &str) -> Option<i64> {
        self.get(column)?.parse().ok()
    }
}
