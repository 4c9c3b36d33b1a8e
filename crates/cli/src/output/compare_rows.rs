//! `compare --rows` for people.

use holdpoint_operations::compare::{RowDifference, RowKind, RowsReport};

use super::compare::side;
use super::table::{bullets, columns, plain};
use crate::quantity::{bytes, count, counted, milliseconds};

/// Tells how the rows of a table differ.
pub(crate) fn compare_rows(report: &RowsReport) -> String {
    let verdict = if report.equal { "equal" } else { "different" };
    let table = match &report.with {
        Some(with) => format!("{} and {with}", report.table),
        None => report.table.clone(),
    };
    let mut text = plain(format!("{verdict}: {table}, compared in {}\n", milliseconds(report.took_ms)));
    let with = report.with.as_ref().unwrap_or(&report.table);
    text.push_str(&plain(format!(
        "  then: {} in {}, {}\n",
        counted(report.rows_then, "row"),
        report.table,
        side(&report.then)
    )));
    text.push_str(&plain(format!("  now:  {} in {with}, {}\n", counted(report.rows_now, "row"), side(&report.now))));
    text.push_str(&column_changes(report));
    match &report.counts {
        Some(found) => {
            text.push_str(&plain(format!(
                "  by {}: {} missing now, {} changed, {} new, {} equal\n",
                report.key.join(", "),
                count(found.missing),
                count(found.changed),
                count(found.new),
                count(found.equal)
            )));
        }
        None => {
            let rows = if report.rows_equal { "all rows are equal" } else { "rows differ" };
            text.push_str(&format!("  {rows}\n"));
        }
    }
    if !report.rows.is_empty() {
        text.push('\n');
        text.push_str(&listed(report));
    }
    if report.spilled_bytes > 0 {
        let notes =
            [format!("{} of hashes were put into temporary files, which are gone", bytes(report.spilled_bytes))];
        text.push_str(&bullets("notes", &[&notes[..], &report.notes].concat()));
    } else {
        text.push_str(&bullets("notes", &report.notes));
    }
    text
}

fn column_changes(report: &RowsReport) -> String {
    let line = |names: &[String], what: &str| match names {
        [] => String::new(),
        names => plain(format!("  not compared: {}, {what}\n", names.join(", "))),
    };
    let types: Vec<String> =
        report.types_changed.iter().map(|one| format!("{} is {} now, was {}", one.column, one.now, one.then)).collect();
    let of_pair = report.types_changed.iter().map(|one| format!("{} is {} and {}", one.column, one.then, one.now));
    let types = if report.with.is_some() { of_pair.collect() } else { types };
    let types = match &types[..] {
        [] => String::new(),
        all => plain(format!("  types differ: {}; values are compared as they are written\n", all.join(", "))),
    };
    let columns = match &report.with {
        None => line(&report.columns_gone, "gone since") + &line(&report.columns_added, "added since"),
        Some(with) => {
            line(&report.columns_gone, &format!("only in {}", report.table))
                + &line(&report.columns_added, &format!("only in {with}"))
        }
    };
    columns + &types
}

fn listed(report: &RowsReport) -> String {
    let row = |one: &RowDifference| {
        let key: Vec<String> = one.key.iter().map(|value| shown(value.as_deref())).collect();
        vec![kind(one.change).to_owned(), key.join(", "), one.columns.join(", ")]
    };
    let heading = report.key.join(", ");
    let mut text = if report.rows.iter().any(|one| !one.values.is_empty()) {
        report.rows.iter().map(with_values).collect()
    } else {
        columns(&["ROW", &heading, "COLUMNS"], report.rows.iter().map(row))
    };
    let all = report.counts.map_or(0, |found| found.missing + found.changed + found.new);
    let left = all.saturating_sub(report.rows.len() as u64);
    if left > 0 {
        text.push_str(&format!("and {} more: --limit\n", count(left)));
    }
    text
}

fn with_values(one: &RowDifference) -> String {
    let key: Vec<String> = one.key.iter().map(|value| shown(value.as_deref())).collect();
    let mut text = plain(format!("{} {}\n", kind(one.change), key.join(", ")));
    for value in &one.values {
        let line = match one.change {
            RowKind::Missing => shown(value.then.as_deref()),
            RowKind::New => shown(value.now.as_deref()),
            RowKind::Changed => format!("{} -> {}", shown(value.then.as_deref()), shown(value.now.as_deref())),
        };
        text.push_str(&plain(format!("    {}: {line}\n", value.column)));
    }
    text
}

/// A value on one line.
fn shown(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), |text| text.replace('\n', "\\n"))
}

fn kind(change: RowKind) -> &'static str {
    match change {
        RowKind::Missing => "missing",
        RowKind::Changed => "changed",
        RowKind::New => "new",
    }
}
