//! `status` for people.

use holdpoint_core::ledger::RunStep;
use holdpoint_operations::catalogue::PointSummary;
use holdpoint_operations::status::StatusReport;

use super::catalogue::standing;
use super::table::{bullets, facts};
use crate::quantity::{age, bytes, counted};

/// One screen on where a database stands.
pub(crate) fn status(report: &StatusReport) -> String {
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
    ]));
    let run = |step: &RunStep| format!("{}: {} ({})", step.run, step.state.word(), step.command.join(" "));
    text.push_str(&bullets("unsettled runs", &report.unsettled.iter().map(run).collect::<Vec<_>>()));
    text.push_str(&bullets("look at", &report.warnings));
    text
}
