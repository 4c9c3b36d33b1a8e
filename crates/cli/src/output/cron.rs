//! `cron` for people: one line a step, then what failed and what to do.

use holdpoint_core::cron::StepEnd;
use holdpoint_operations::cron::{CronReport, Facts, Failed, StepReport};

use super::table::{bullets, columns};
use crate::commands::CronAll;
use crate::quantity::{bytes, count, counted, milliseconds};

/// Tells each step of each database, the failures with their hints, and how many databases are well.
pub(crate) fn cron(report: &CronAll) -> String {
    let rows = report.databases.iter().flat_map(rows);
    let mut text = match report.databases.is_empty() {
        true => "no database belongs to this share\n".to_owned(),
        false => columns(&["DATABASE", "STEP", "END", ">TOOK", "WHAT"], rows),
    };
    let (kept_out, failed): (Vec<&CronReport>, Vec<&CronReport>) =
        report.databases.iter().filter(|one| one.failure.is_some()).partition(|one| one.is_kept_out());
    let lines =
        |those: &[&CronReport]| those.iter().filter_map(|one| Some(failure(one, one.failure.as_ref()?))).collect();
    let (busy, failed): (Vec<String>, Vec<String>) = (lines(&kept_out), lines(&failed));
    text.push_str(&bullets("another run is at it", &busy));
    text.push_str(&bullets("failed", &failed));
    let own = report.warnings.iter().cloned();
    let warnings = report
        .databases
        .iter()
        .flat_map(|one| one.warnings.iter().map(|warning| format!("{}: {warning}", one.database)));
    text.push_str(&bullets("warnings", &warnings.chain(own).collect::<Vec<_>>()));
    let (all, bad) = (report.databases.len() as u64, failed.len() as u64);
    let state = if bad == 0 { "nothing failed".to_owned() } else { format!("{} failed", count(bad)) };
    let state = if busy.is_empty() { state } else { format!("{state}, {} busy", count(busy.len() as u64)) };
    text.push_str(&format!("{} in {}: {state}\n", counted(all, "database"), milliseconds(report.took_ms)));
    text
}

fn rows(report: &CronReport) -> Vec<Vec<String>> {
    let database = report.database.to_string();
    if report.steps.is_empty() {
        let why = report.failure.as_ref().map(|failure| failure.message.clone()).unwrap_or_default();
        return vec![vec![database, "-".to_owned(), StepEnd::NotRun.word().to_owned(), String::new(), why]];
    }
    let row = |one: &StepReport| {
        let ran = matches!(one.end, StepEnd::Done | StepEnd::Failed);
        let took = if ran { milliseconds(one.took_ms) } else { String::new() };
        vec![database.clone(), one.step.word().to_owned(), one.end.word().to_owned(), took, what(one)]
    };
    report.steps.iter().map(row).collect()
}

fn what(step: &StepReport) -> String {
    if let Some(reason) = &step.reason {
        return reason.clone();
    }
    match (&step.facts, &step.failure) {
        (Some(facts), _) => fact(facts),
        (None, Some(failure)) => failure.message.clone(),
        (None, None) => String::new(),
    }
}

fn fact(facts: &Facts) -> String {
    match facts {
        Facts::Backup { point, stored_bytes, rows } => {
            format!("{point}, {}, {}", bytes(*stored_bytes), counted(*rows, "row"))
        }
        Facts::Verify { point, level, verdict, .. } => format!("{point} {verdict} at level {level}"),
        Facts::Prune { kept, dropped, dropped_bytes, keeps_versions, swept } => {
            let versions = if *keeps_versions == Some(true) { " that the bucket keeps as versions" } else { "" };
            let versions = if dropped.is_empty() { "" } else { versions };
            let swept = if *swept > 0 { format!(", {} swept", counted(*swept, "leftover")) } else { String::new() };
            format!("{} kept, {} dropped ({}{versions}){swept}", count(*kept), dropped.len(), bytes(*dropped_bytes))
        }
        Facts::Check { points, findings, .. } => {
            format!("{}, {}", counted(*points, "restore point"), counted(findings.len() as u64, "finding"))
        }
    }
}

fn failure(report: &CronReport, failure: &Failed) -> String {
    let at =
        report.steps.iter().find(|step| step.end == StepEnd::Failed).map(|step| format!(" at {}", step.step.word()));
    let hint = failure.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    let (database, at) = (report.database.to_string(), at.unwrap_or_default());
    // Many messages begin with whom they are of.
    match failure.message.strip_prefix(&database).filter(|rest| rest.starts_with([':', ' '])) {
        Some(_) if at.is_empty() => format!("{}{hint}", failure.message),
        _ => format!("{database}{at}: {}{hint}", failure.message),
    }
}
