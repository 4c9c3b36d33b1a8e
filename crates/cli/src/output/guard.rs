//! `guard` and `prepare` for people.

use holdpoint_core::gate::pending::Decision;
use holdpoint_core::ledger::{Health, RunState};
use holdpoint_core::rehearsal::Rehearsal;
use holdpoint_core::undoing::TimeFrom;
use holdpoint_guard::plan::PlanReport;
use holdpoint_guard::run::{GuardReport, WayBack};
use holdpoint_guard::{PrepareReport, Shown};

use super::table::{bullets, facts, plain};
use super::verify::{proof, reasons};
use crate::quantity::{counted, instant, milliseconds};

/// Tells how a run ended, and how it was undone.
pub(crate) fn guard_ended(report: &GuardReport) -> String {
    let mut text = guard(report);
    if let Some(undo) = &report.undo {
        text.push_str(&format!("\n{}", super::undo(undo)));
    }
    let why: Vec<String> = report.undo_failure.iter().cloned().collect();
    text.push_str(&bullets("it could not be undone", &why));
    text
}

/// Tells how a run ended, and the ways back.
pub(super) fn guard(report: &GuardReport) -> String {
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
        ("  pending", report.plan.as_ref().map(pending)),
        ("  gate", Some(decision(&report.decision))),
        ("  relies on", report.point.as_ref().map(ToString::to_string)),
        ("  rehearsed", rehearsed(report.rehearsal.as_deref(), report.not_rehearsed.as_deref())),
        ("  prepared by", report.prepared_by.as_ref().map(|run| format!("run {run}"))),
        ("  command", ended),
        ("  verdict", Some(verdict(report))),
        ("  database", Some(report.database.to_owned())),
        ("  time-outs in force", Some(report.judgement.time_outs.words().to_owned())),
        ("  standbys", report.observed.replication_lag_ms.filter(|ms| *ms >= 1_000).map(behind)),
        ("  health", health(report.judgement.health)),
        ("  proof", report.verification.as_ref().map(proof)),
    ]));
    if let Some(made) = &report.verification {
        text.push_str(&reasons(made));
    }
    text.push_str(&bullets("waited", &report.observed.waits));
    text.push_str(&bullets("held up", &report.observed.held_up));
    text.push_str(&bullets("warnings", &report.warnings));
    text.push_str(&ways_back(&report.ways_back));
    text
}

fn verdict(report: &GuardReport) -> String {
    let judgement = &report.judgement;
    let recorded = judgement.recorded.as_ref().zip(judgement.still_pending.as_ref());
    let count = recorded.filter(|(recorded, still)| !(recorded.is_empty() && still.is_empty()));
    let count = count.map(|(recorded, still)| {
        format!(", {} of {} recorded", recorded.len(), counted((recorded.len() + still.len()) as u64, "migration"))
    });
    let planned = if judgement.as_planned || report.exit_code != Some(0) { "" } else { ", not as planned" };
    format!("{}{}{planned}", report.verdict.words(), count.unwrap_or_default())
}

fn behind(lag_ms: u64) -> String {
    format!("up to {} behind while the command ran", milliseconds(lag_ms))
}

fn health(health: Health) -> Option<String> {
    match health {
        Health::NotAsked => None,
        Health::Green => Some("the application is well".to_owned()),
        Health::NeverGreen => Some("THE APPLICATION IS NOT WELL".to_owned()),
        Health::Interrupted => Some("not known: asking was interrupted".to_owned()),
    }
}

/// Tells what is ready, until when, and the ways back.
pub(crate) fn prepare(report: &PrepareReport) -> String {
    let mut text = format!("run {}: prepared\n", report.run);
    text.push_str(&facts([
        ("  pending", report.plan.as_ref().map(pending)),
        ("  gate", Some(decision(&report.decision))),
        ("  relies on", report.point.as_ref().map(ToString::to_string)),
        ("  rehearsed", rehearsed(report.rehearsal.as_deref(), report.not_rehearsed.as_deref())),
        ("  valid until", Some(instant(report.valid_until))),
        ("  proof", report.verification.as_ref().map(proof)),
    ]));
    if let Some(made) = &report.verification {
        text.push_str(&reasons(made));
    }
    if let Some(rehearsal) = &report.rehearsal {
        text.push_str(&format!("\n{}", super::rehearsal(rehearsal)));
    }
    text.push_str(&bullets("warnings", &report.warnings));
    text.push_str(&ways_back(&report.ways_back));
    text
}

/// Tells what is known before the command runs.
pub(crate) fn before_the_command(shown: &Shown) -> String {
    let mut text = facts([("pending", shown.plan.as_ref().map(pending)), ("gate", Some(decision(&shown.decision)))]);
    if let Some(one) = &shown.rehearsal {
        text.push_str(&format!("\n{}", super::rehearsal(one)));
    }
    text.push_str(&bullets("warnings", &shown.warnings));
    text.push_str(&ways_back(&shown.ways_back));
    text
}

fn rehearsed(rehearsal: Option<&Rehearsal>, not: Option<&str>) -> Option<String> {
    match (rehearsal, not) {
        (Some(one), _) => {
            Some(format!("{} on a copy, {} for the command", one.outcome.words(), milliseconds(one.took_ms)))
        }
        (None, Some(why)) => Some(format!("no: {why}")),
        (None, None) => None,
    }
}

fn pending(plan: &PlanReport) -> String {
    let tables = plan.review.tables.len() as u64;
    let at_risk = match (plan.review.everything_at_risk, tables) {
        (true, _) => ", everything at risk".to_owned(),
        (false, 0) => String::new(),
        (false, tables) => format!(", {} at risk", counted(tables, "table")),
    };
    format!("{} of {}{at_risk}: {}", counted(plan.pending.len() as u64, "migration"), plan.tool, plan.verdict.words())
}

fn ways_back(ways: &[WayBack]) -> String {
    if ways.is_empty() {
        return String::new();
    }
    let mut text = "\nways back:\n".to_owned();
    text.extend(ways.iter().enumerate().map(|(place, way)| way_back(place + 1, way)));
    text
}

/// A way back with its number.
pub(super) fn way_back(number: usize, way: &WayBack) -> String {
    let seconds = way.seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    let from = match way.time_from {
        Some(TimeFrom::Measured) => "measured on a copy",
        Some(TimeFrom::Estimated) | None => "estimated",
    };
    let takes = seconds.map(|seconds| format!(", about {} ({from})", milliseconds((seconds * 1000.0) as u64)));
    let conditions: String = way.conditions.iter().map(|one| format!("     - {}\n", plain(one.clone()))).collect();
    format!(
        "  {number}. {}{}; lost by it: {}\n{conditions}{}\n",
        plain(way.title.clone()),
        takes.unwrap_or_default(),
        plain(way.data_lost.clone()),
        way.command.lines().map(|line| format!("       {line}")).collect::<Vec<_>>().join("\n")
    )
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
        // What asks for it and the newest one's reason say enough; --json has them all.
        Decision::MakeRestorePoint { reasons, .. } => {
            let first = reasons.iter().take(2).map(String::as_str).collect::<Vec<_>>().join("; ");
            let more = reasons.len().saturating_sub(2);
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            format!("a restore point was needed first ({first}{more})")
        }
        Decision::Refuse { reasons } => format!("refused: {}", reasons.join("; ")),
    }
}
