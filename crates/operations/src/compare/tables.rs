//! Which tables differ: rows, digests and columns, then and now.

use std::collections::BTreeMap;

use holdpoint_core::digest::RowDigest;
use serde::Serialize;

/// How a table differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableChange {
    /// Its rows differ.
    Rows,
    /// Its columns are others; the rows in the columns that it had then may be equal.
    Columns,
    /// It is in the restore point alone.
    Gone,
    /// It is on the other side alone.
    Added,
    /// Nobody can say: `why` tells.
    NotCompared,
}

/// A table, or the partitions that are loaded through one root, that differs or was not compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableDifference {
    /// Its name, such as `public.orders`.
    pub table: String,
    /// How it differs.
    pub change: TableChange,
    /// Rows in the restore point.
    pub rows_then: Option<u64>,
    /// Rows on the other side.
    pub rows_now: Option<u64>,
    /// `rows_now` is the server's own estimate, not a count.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// Whether the rows are equal in all columns that the restore point has; `None` where that was not compared.
    pub rows_equal: Option<bool>,
    /// Columns that were added since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_added: Vec<String>,
    /// Columns that are gone since.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns_gone: Vec<String>,
    /// Why it was not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How the tables compare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TablesReport {
    /// How many the restore point has.
    pub then: u64,
    /// How many of them are equal.
    pub equal: u64,
    /// Rows of those that are equal.
    pub equal_rows: u64,
    /// Their names.
    #[serde(skip)]
    pub equal_names: Vec<String>,
    /// The others.
    pub differences: Vec<TableDifference>,
}

/// What a side holds in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableThen {
    pub(crate) columns: Vec<String>,
    pub(crate) digest: RowDigest,
}

/// What the other side holds in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableNow {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Option<u64>,
    pub(crate) estimated: bool,
    /// The digest over the columns of the restore point, in their order.
    pub(crate) digest: Option<RowDigest>,
    /// Why there is none although the columns are there.
    pub(crate) why: Option<String>,
}

/// Compares tables by name.
pub(crate) fn compare(then: &BTreeMap<String, TableThen>, now: &BTreeMap<String, TableNow>) -> TablesReport {
    let mut report = TablesReport { then: then.len() as u64, ..TablesReport::default() };
    for (name, was) in then {
        let difference = match now.get(name) {
            Some(is) => difference(name, was, is),
            None => Some(TableDifference {
                rows_then: Some(was.digest.rows),
                ..TableDifference::of(name, TableChange::Gone)
            }),
        };
        match difference {
            Some(difference) => report.differences.push(difference),
            None => {
                report.equal += 1;
                report.equal_names.push(name.clone());
                report.equal_rows += was.digest.rows;
            }
        }
    }
    let added = now.iter().filter(|(name, _)| !then.contains_key(*name)).map(|(name, is)| TableDifference {
        rows_now: is.rows,
        estimated: is.estimated,
        why: is.why.clone(),
        ..TableDifference::of(name, TableChange::Added)
    });
    report.differences.extend(added);
    report
}

impl TableDifference {
    pub(super) fn of(table: &str, change: TableChange) -> Self {
        Self {
            table: table.to_owned(),
            change,
            rows_then: None,
            rows_now: None,
            estimated: false,
            rows_equal: None,
            columns_added: Vec::new(),
            columns_gone: Vec::new(),
            why: None,
        }
    }
}

fn difference(name: &str, was: &TableThen, is: &TableNow) -> Option<TableDifference> {
    let not_in = |list: &[String], of: &[String]| -> Vec<String> {
        list.iter().filter(|column| !of.contains(column)).cloned().collect()
    };
    let (added, gone) = (not_in(&is.columns, &was.columns), not_in(&was.columns, &is.columns));
    let rows_equal = is.digest.as_ref().map(|digest| *digest == was.digest);
    let change = match (added.is_empty() && gone.is_empty(), rows_equal) {
        (false, _) => TableChange::Columns,
        (true, Some(true)) => return None,
        (true, Some(false)) => TableChange::Rows,
        // Another count is a difference, however the rows read.
        (true, None) if !is.estimated && is.rows.is_some_and(|rows| rows != was.digest.rows) => TableChange::Rows,
        (true, None) => TableChange::NotCompared,
    };
    Some(TableDifference {
        rows_then: Some(was.digest.rows),
        rows_now: is.digest.as_ref().map(|digest| digest.rows).or(is.rows),
        estimated: is.estimated,
        rows_equal: if change == TableChange::Rows { Some(false) } else { rows_equal },
        columns_added: added,
        columns_gone: gone,
        why: if rows_equal.is_none() { is.why.clone() } else { None },
        ..TableDifference::of(name, change)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &str) -> Vec<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    fn then(names: &str, rows: u64, sum: u128) -> BTreeMap<String, TableThen> {
        let table = TableThen { columns: columns(names), digest: RowDigest { rows, sum } };
        BTreeMap::from([("t".to_owned(), table)])
    }

    fn now(names: &str, rows: u64, sum: Option<u128>) -> BTreeMap<String, TableNow> {
        let digest = sum.map(|sum| RowDigest { rows, sum });
        let table = TableNow { columns: columns(names), rows: Some(rows), digest, ..TableNow::default() };
        BTreeMap::from([("t".to_owned(), table)])
    }

    fn one(then: &BTreeMap<String, TableThen>, now: &BTreeMap<String, TableNow>) -> TableDifference {
        compare(then, now).differences.remove(0)
    }

    #[test]
    fn equal_tables_are_only_counted() {
        let report = compare(&then("a b", 3, 7), &now("a b", 3, Some(7)));
        assert_eq!((report.then, report.equal, report.equal_rows, report.differences.len()), (1, 1, 3, 0));
    }

    #[test]
    fn the_same_number_of_rows_is_no_equality() {
        let found = one(&then("a", 3, 7), &now("a", 3, Some(8)));
        assert_eq!((found.change, found.rows_equal), (TableChange::Rows, Some(false)));
    }

    #[test]
    fn columns_that_changed_are_named_and_the_others_still_compared() {
        let found = one(&then("a b", 3, 7), &now("a b c", 3, Some(7)));
        assert_eq!((found.change, found.rows_equal), (TableChange::Columns, Some(true)));
        assert_eq!((found.columns_added, found.columns_gone), (columns("c"), columns("")));
        let found = one(&then("a b", 3, 7), &now("a c", 3, None));
        assert_eq!((found.change, found.rows_equal), (TableChange::Columns, None));
        assert_eq!((found.columns_added, found.columns_gone), (columns("c"), columns("b")));
    }

    #[test]
    fn what_was_not_read_is_never_called_equal() {
        let mut unread = now("a", 3, None);
        unread.get_mut("t").unwrap().why = Some("large".to_owned());
        let found = one(&then("a", 3, 7), &unread);
        assert_eq!((found.change, found.why.as_deref()), (TableChange::NotCompared, Some("large")));
        assert_eq!(one(&then("a", 4, 7), &unread).change, TableChange::Rows, "counted, and another number");
        unread.get_mut("t").unwrap().estimated = true;
        assert_eq!(one(&then("a", 4, 7), &unread).change, TableChange::NotCompared, "an estimate proves nothing");
    }

    #[test]
    fn tables_of_one_side_alone_are_told() {
        let found = one(&then("a", 3, 7), &BTreeMap::new());
        assert_eq!((found.change, found.rows_then, found.rows_now), (TableChange::Gone, Some(3), None));
        let found = one(&BTreeMap::new(), &now("a", 5, None));
        assert_eq!((found.change, found.rows_then, found.rows_now), (TableChange::Added, None, Some(5)));
    }
}
