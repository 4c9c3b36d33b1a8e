//! `status` for people.

use holdpoint_guard::runs::{PreparedRun, RunSummary};
use holdpoint_operations::catalogue::PointSummary;

use super::catalogue::standing;
use super::table::{bullets, facts};
use crate::commands::Screen;
use crate::quantity::{age, bytes, counted, instant};

/// One screen on where a database stands.
pub(crate) fn status(screen: &Screen) -> String {
    let report = &screen.report;
    let summary = |point: &PointSummary| {
        format!(
            "{}, {} old, {}, {}",
            point.id,
            age(point.snapshot_at, report.at),
            bytes(point.stored_bytes),
            standing(&point.standing)
        )
    };
    let none = || "none".to_owned();
    let belongs = report.identity.as_ref().map(|identity| format!("{} on {}", identity.database, identity.endpoint));
    let mut text = format!("{}\n", report.database);
    text.push_str(&facts([
        ("  belongs to", belongs),
        ("  repository", Some(report.repository.clone())),
        ("  holds", Some(counted(report.points as u64, "restore point"))),
        ("  newest", Some(report.newest.as_ref().map_or_else(none, summary))),
        ("  newest proven", Some(report.newest_proven.as_ref().map_or_else(none, summary))),
        (
            "  leftovers",
            Some(match (screen.leftovers, screen.unseen) {
                (Some(0), false) => "none".to_owned(),
                (Some(count), false) => format!("{count}: holdpoint leftovers"),
                (Some(count), true) => format!("{count}, and not every place could be looked at: holdpoint leftovers"),
                (None, _) => "not known".to_owned(),
            }),
        ),
    ]));
    let run = |run: &RunSummary| {
        let verdict = run.verdict.map(|verdict| format!(", {}", verdict.words())).unwrap_or_default();
        format!("{}: {}{verdict} ({})", run.run, run.standing.words(), run.command.join(" "))
    };
    text.push_str(&bullets("unsettled runs", &screen.unsettled_runs.iter().map(run).collect::<Vec<_>>()));
    let prepared = |one: &PreparedRun| format!("{}: until {} ({})", one.run, instant(one.until), one.command.join(" "));
    text.push_str(&bullets("prepared runs", &screen.prepared.iter().map(prepared).collect::<Vec<_>>()));
    text.push_str(&bullets("look at", &report.warnings));
    text
}
