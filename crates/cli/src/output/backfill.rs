//! `backfill` for people.

use holdpoint_operations::backfill::{BackfillPlan, BackfillReport, Resumed};

use super::table::{bullets, facts, plain};
use crate::quantity::{bytes, count, counted, instant, milliseconds};

/// What would be done.
pub(crate) fn backfill_plan(plan: &BackfillPlan) -> String {
    let unknown = || "not known: ANALYZE the table".to_owned();
    let mut text = format!("{} would be filled; nothing was changed\n", plain(plan.table.clone()));
    text.push_str(&facts([
        ("  sets", Some(plan.columns.join(", "))),
        ("  walks by", Some(format!("{} (index {})", plan.key.join(", "), plan.index))),
        ("  size", Some(bytes(plan.table_bytes))),
        ("  rows, about", Some(plan.rows.map_or_else(unknown, count))),
        ("  batches, about", Some(plan.batches.map_or_else(unknown, count))),
        ("  goes on", plan.resumes.as_ref().map(resumed)),
    ]));
    for (title, lines) in [("first batch", &plan.first_batch), ("last batch", &plan.last_batch)] {
        if !lines.is_empty() {
            let lines: String = lines.iter().map(|line| format!("  {}\n", plain(line.clone()))).collect();
            text.push_str(&format!("{title}:\n{lines}"));
        }
    }
    text.push_str(&bullets("warnings", &plan.warnings));
    text
}

/// What was done.
pub(crate) fn backfill(report: &BackfillReport) -> String {
    let rows = counted(report.rows_updated, "row");
    let table = plain(report.table.clone());
    let mut text = if report.finished {
        format!("done: {rows} of {table} changed\n")
    } else {
        format!("not finished: the time is over, {rows} of {table} changed so far; go on with --resume\n")
    };
    let waited = (report.waited_for_lag_ms > 0).then(|| milliseconds(report.waited_for_lag_ms));
    text.push_str(&facts([
        ("  set", Some(report.columns.join(", "))),
        ("  walked over", Some(counted(report.rows_walked, "row"))),
        ("  batches", Some(count(report.batches))),
        ("  tried again", (report.retries > 0).then(|| count(report.retries))),
        ("  took", Some(milliseconds(report.took_ms))),
        ("  waited for standbys", waited),
        ("  went on", report.resumed.as_ref().map(resumed)),
        ("  how far", report.state_file.as_ref().map(|file| file.display().to_string())),
    ]));
    text.push_str(&bullets("warnings", &report.warnings));
    text
}

fn resumed(earlier: &Resumed) -> String {
    let rows = counted(earlier.rows_updated, "row");
    format!("behind {rows} in {} batches, begun {}", count(earlier.batches), instant(earlier.began_at))
}
