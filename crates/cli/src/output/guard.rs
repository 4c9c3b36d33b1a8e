//! `guard` for people.

use holdpoint_core::gate::Decision;
use holdpoint_core::ledger::RunState;
use holdpoint_guard::run::GuardReport;

use super::table::{bullets, facts};
use super::verify::{proof, reasons};
use crate::quantity::milliseconds;

/// Tells how a run ended, and the ways back.
pub(crate) fn guard(report: &GuardReport) -> String {
    let ended = match (report.exit_code, report.signal) {
        (Some(code), _) => Some(format!("exit code {code}")),
        (None, Some(signal)) => Some(format!("signal {signal}")),
        (None, None) => None,
    };
    let ended = ended.map(|ended| match report.command_took_ms {
        Some(ms) => format!("{ended} after {}", milliseconds(ms)),
        None => ended,
    });
    let mut text = format!("run {}: {}\n", report.run, state(report.state));
    text.push_str(&facts([
        ("  gate", Some(decision(&report.decision))),
        ("  relies on", report.point.as_ref().map(ToString::to_string)),
        ("  command", ended),
        ("  database", Some(report.database.to_owned())),
        ("  proof", report.verification.as_ref().map(proof)),
    ]));
    if let Some(made) = &report.verification {
        text.push_str(&reasons(made));
    }
    text.push_str(&bullets("warnings", &report.warnings));
    if !report.ways_back.is_empty() {
        text.push_str("\nways back:\n");
        for (place, way) in report.ways_back.iter().enumerate() {
            let seconds = way.estimated_seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
            let takes = seconds.map(|seconds| format!(", about {}", milliseconds((seconds * 1000.0) as u64)));
            text.push_str(&format!(
                "  {}. {}{}; lost by it: {}\n{}\n",
                place + 1,
                way.title,
                takes.unwrap_or_default(),
                way.data_lost,
                way.command.lines().map(|line| format!("       {line}")).collect::<Vec<_>>().join("\n")
            ));
        }
    }
    text
}

fn state(state: RunState) -> &'static str {
    match state {
        RunState::Failed => "FAILED",
        RunState::RolledBack => "FAILED, and left the database as it was",
        RunState::Refused => "REFUSED: the command never ran",
        other => other.word(),
    }
}

fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Go { reasons, .. } => format!("go: {}", reasons.join("; ")),
        // The newest one's reason says enough; --json has them all.
        Decision::MakeRestorePoint { reasons } => {
            let first = reasons.first().map_or("", String::as_str);
            let more = reasons.len().saturating_sub(1);
            let more = if more > 0 { format!(", and {more} older") } else { String::new() };
            format!("a restore point was needed first ({first}{more})")
        }
    }
}
