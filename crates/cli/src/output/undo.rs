//! `undo` for people.

use holdpoint_core::ledger::RunState;
use holdpoint_guard::undo::{UndoPlan, UndoReport};

use super::runs::undoing;
use super::table::{bullets, facts};
use crate::quantity::milliseconds;

/// Tells what would be done, and what is lost by it.
pub(crate) fn undo_plan(plan: &UndoPlan) -> String {
    let mut text = format!("undo of run {} by {}\n", plan.run, plan.way.word());
    text.push_str(&facts([
        ("  restore point", Some(plan.point.to_string())),
        ("  lost by it", Some(plan.data_lost.clone())),
    ]));
    let first = vec!["make a restore point of the database as it is now".to_owned()];
    text.push_str(&bullets("steps", &[first, plan.steps.clone()].concat()));
    text.push_str(&bullets("done before", &plan.done));
    if let Some(since) = &plan.written_since {
        let rows = |rows: Option<u64>| rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
        let tables = since.tables.iter();
        let lines: Vec<String> = tables
            .map(|one| format!("{} ({} rows then, {} now)", one.name, rows(one.rows_then), rows(one.rows)))
            .chain(since.not_known.iter().map(|one| format!("{}: not known, {}", one.name, one.why)))
            .collect();
        text.push_str(&bullets("differs from the restore point now, at least", &lines));
    }
    let others: Vec<String> = plan.other_ways.iter().map(|one| format!("{}: {}", one.way.word(), one.title)).collect();
    text.push_str(&bullets("other ways", &others));
    text.push_str(&bullets("look at", &plan.warnings));
    text
}

/// Tells what was done, and what shows that it worked.
pub(crate) fn undo(report: &UndoReport) -> String {
    if report.dry_run {
        return undo_plan(&report.plan);
    }
    let how = match (report.state, &report.failure) {
        (Some(RunState::Undone), _) => "undone",
        (_, Some(_)) => "UNDO FAILED",
        _ => "the way was gone, and NOT EVERYTHING IS AS BEFORE",
    };
    let mut text = format!("run {}: {how}\n", report.plan.run);
    text.push_str(&facts([("  took", Some(milliseconds(report.took_ms)))]));
    text.push_str(&bullets("why", report.failure.as_slice()));
    if let Some(record) = &report.undo {
        text.push_str(&undoing(record));
    }
    if let Some(swap) = &report.swap {
        text.push_str(&super::swap(swap));
    }
    text.push_str(&bullets("look at", &report.warnings));
    if report.state == Some(RunState::UndoFailed) {
        text.push_str(&format!(
            "what now: holdpoint undo {0} --way WAY goes on, or goes another way; by hand, then: holdpoint settle {0} --reason TEXT\n",
            report.plan.run
        ));
    }
    text
}
