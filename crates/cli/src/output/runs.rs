//! `runs`, `show run:ID` and `settle` for people.

use chrono::{DateTime, Utc};
use holdpoint_core::ledger::{PlanRecord, RunStep};
use holdpoint_core::undoing::{Afresh, UndoRecord, WayBack};
use holdpoint_guard::runs::{RunReport, RunSummary, RunsReport, SettleReport};

use super::guard::way_back;
use super::rehearse::rehearsal;
use super::table::{bullets, columns, facts, plain};
use crate::quantity::{age, counted, instant};

/// How many characters of a command a table shows.
const COMMAND: usize = 48;

/// One line a run, the newest first.
pub(crate) fn runs(report: &RunsReport, now: DateTime<Utc>) -> String {
    if report.runs.is_empty() {
        let none = if report.warnings.is_empty() { " yet" } else { " that can be read" };
        return format!("no guarded runs of {}{none}\n{}", report.database, bullets("look at", &report.warnings));
    }
    let headings = ["RUN", ">AGE", "DATABASE", "STATE", "VERDICT", "RESTORE POINT", "OPERATOR", "COMMAND"];
    let row = |run: &RunSummary| {
        vec![
            run.run.to_string(),
            age(run.at, now),
            report.database.to_string(),
            stands(run),
            run.verdict.map_or("", |verdict| verdict.words()).to_owned(),
            run.point.as_ref().map(ToString::to_string).unwrap_or_default(),
            run.operator.clone().unwrap_or_default(),
            shortened(&run.command.join(" ")),
        ]
    };
    let mut text = columns(&headings, report.runs.iter().map(row));
    if report.more > 0 {
        text.push_str(&format!("and {} more: --last NUMBER\n", report.more));
    }
    text.push_str(&bullets("look at", &report.warnings));
    let unsettled: Vec<String> = report.runs.iter().filter(|run| run.unsettled).map(what_to_do).collect();
    text.push_str(&bullets("not settled", &unsettled));
    let owed: Vec<String> = report.runs.iter().filter_map(|run| run.owed.clone()).collect();
    text.push_str(&bullets("owed", &owed));
    text
}

/// How a run stands, and whether that is so because its undo was taken back.
fn stands(run: &RunSummary) -> String {
    let own = run.taken_back.as_ref().is_some_and(|back| back.run == run.run);
    format!("{}{}", run.standing.words(), if own { ", its undo taken back" } else { "" })
}

fn what_to_do(run: &RunSummary) -> String {
    format!("{}: holdpoint show run:{0}; then holdpoint undo {0}, or holdpoint settle {0} --reason TEXT", run.run)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(COMMAND) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Everything about a run.
pub(crate) fn run(report: &RunReport) -> String {
    let summary = &report.summary;
    let last = report.steps.last();
    let mut text = format!("run {}: {}\n", summary.run, stands(summary));
    let code = last.and_then(|step| match (step.exit_code, step.signal) {
        (Some(code), _) => Some(format!("exit code {code}")),
        (None, Some(signal)) => Some(format!("signal {signal}")),
        (None, None) => None,
    });
    let identity = last.map(|step| format!("{} on {}", step.identity.database, step.identity.endpoint));
    let stood = last.and_then(|step| step.instant).map(|at| {
        let wal = last.and_then(|step| step.wal_position.as_ref()).map(|wal| format!(" at {wal}")).unwrap_or_default();
        format!("{}{wal}", instant(at))
    });
    let origin = last.and_then(|step| step.origin.clone()).unwrap_or_default();
    text.push_str(&facts([
        ("  database", identity),
        ("  command", Some(summary.command.join(" "))),
        ("  operator", summary.operator.clone()),
        ("  host", origin.host),
        ("  commit", origin.commit),
        ("  CI job", origin.link),
        ("  verdict", summary.verdict.map(|verdict| verdict.words().to_owned())),
        ("  relies on", summary.point.as_ref().map(ToString::to_string)),
        ("  prepared by", last.and_then(|step| step.relies_on_run.as_ref()).map(|run| format!("run {run}"))),
        ("  began at", stood),
        ("  command ended", code),
    ]));
    if let Some(found) = &summary.found {
        text.push_str(&afresh(found));
    }
    if let Some(plan) = last.and_then(|step| step.plan.as_ref()) {
        text.push_str(&planned(plan));
    }
    text.push_str("\nsteps:\n");
    for step in &report.steps {
        text.push_str(&one_step(step));
    }
    if let Some(one) = last.and_then(|step| step.rehearsal.as_ref()) {
        text.push_str(&format!("\n{}", rehearsal(one)));
    }
    if let Some(undo) = last.and_then(|step| step.undo.as_ref()) {
        text.push_str(&undoing(undo));
    }
    let ways = report.steps.iter().rev().find(|step| !step.ways_back.is_empty()).map(|step| step.ways_back.as_slice());
    text.push_str(&ways_back(ways.unwrap_or_default()));
    text.push_str(&bullets("owed", summary.owed.as_slice()));
    text.push_str(&bullets("look at", &report.warnings));
    text
}

/// The ways back as they were recorded.
fn ways_back(ways: &[WayBack]) -> String {
    if ways.is_empty() {
        return String::new();
    }
    let list: String = ways.iter().enumerate().map(|(place, way)| way_back(place + 1, way)).collect();
    format!("\nways back, as they were before the command:\n{list}")
}

fn one_step(step: &RunStep) -> String {
    let remarks: String = step.remarks.iter().map(|remark| format!("       - {}\n", plain(remark.clone()))).collect();
    format!("  {:>2}  {}  {}\n{remarks}", step.n, instant(step.at), step.state.word())
}

fn planned(plan: &PlanRecord) -> String {
    let files = plan.pending.iter().map(|one| one.path.clone()).collect::<Vec<_>>();
    let waived: Vec<String> =
        plan.waived.iter().map(|one| format!("{} at {}: {}", one.class.word(), one.place, one.reason)).collect();
    let title = format!("pending ({}, {})", plan.tool, counted(files.len() as u64, "migration"));
    format!("{}{}", bullets(&title, &files), bullets("waived", &waived))
}

pub(super) fn undoing(undo: &UndoRecord) -> String {
    let mut text = format!("\nundo by {}\n", undo.way.word());
    text.push_str(&facts([("  restore point before it", undo.point.as_ref().map(ToString::to_string))]));
    text.push_str(&bullets("done", &undo.done));
    text.push_str(&bullets("shown", &undo.proof));
    text.push_str(&bullets("not as before", &undo.not_as_before));
    text
}

pub(super) fn afresh(found: &Afresh) -> String {
    let mut text = format!("the database was looked at: {}\n", found.applied.words());
    text.push_str(&bullets("still pending", found.still_pending.as_deref().unwrap_or_default()));
    text.push_str(&bullets("not as before in the schema", found.schema_changes.as_deref().unwrap_or_default()));
    text.push_str(&bullets("not looked at", &found.not_known));
    text
}

/// What was settled.
pub(crate) fn settle(report: &SettleReport) -> String {
    let mut text = format!("run {}: settled (it was {})\n", report.run, report.was.word());
    text.push_str(&facts([("  reason", Some(report.reason.clone()))]));
    text.push_str(&afresh(&report.found));
    text.push_str(&bullets("owed", report.owed.as_slice()));
    let others: Vec<String> = report.still_unsettled.iter().map(ToString::to_string).collect();
    text.push_str(&bullets("not settled yet", &others));
    text
}
