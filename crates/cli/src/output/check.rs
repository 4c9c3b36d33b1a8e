//! `check` for people.

use chrono::{DateTime, Utc};
use holdpoint_operations::check::{CheckReport, Finding, Repair, Repaired};

use super::table::{bullets, columns};
use crate::commands::{CheckedAll, NotDone};
use crate::quantity::{ago, bytes, counted};

/// The findings, one a line with what to do, and how long ago something was proven.
pub(crate) fn check(report: &CheckReport, now: DateTime<Utc>) -> String {
    let mut text = table(&report.findings);
    let repaired = |one: &Repaired| match (one.how, &one.problem) {
        (Repair::Remove, None) => format!("{}: removed", one.what),
        (Repair::Remove, Some(problem)) => format!("{}: NOT REMOVED: {problem}", one.what),
        (Repair::FindGone, _) => format!("{}: another one dropped it", one.what),
        (Repair::ShowAgain, None) => format!("{}: shown again", one.what),
        (Repair::ShowAgain, Some(problem)) => format!("{}: STILL HIDDEN: {problem}", one.what),
    };
    text.push_str(&bullets("noted", &report.notes));
    text.push_str(&bullets("repaired", &report.repaired.iter().map(repaired).collect::<Vec<_>>()));
    let stored = report.points.iter().map(|one| one.stored_bytes).sum();
    let read = report.points.iter().filter(|one| one.read).count() as u64;
    let read = match read {
        0 => "no bytes were read again".to_owned(),
        _ => format!("{} of {} read again", bytes(report.read_bytes), counted(read, "restore point")),
    };
    text.push_str(&format!(
        "{} with {} checked, {read}; {}\n",
        counted(report.points.len() as u64, "restore point"),
        bytes(stored),
        counted(report.findings.len() as u64, "finding")
    ));
    text.push_str(&match &report.last_proof {
        Some(proof) => format!("last proven {}: {} ({})\n", ago(proof.at, now), proof.point, proof.level),
        None => "nothing is proven: holdpoint verify latest\n".to_owned(),
    });
    text
}

fn table(findings: &[Finding]) -> String {
    let row =
        |one: &Finding| vec![one.kind.words().to_owned(), one.place.clone(), one.reason.clone(), one.cure.clone()];
    if findings.is_empty() {
        return String::new();
    }
    columns(&["FINDING", "WHERE", "WHAT", "DO"], findings.iter().map(row))
}

/// The same for each database, what belongs to none, and what could not be looked at.
pub(crate) fn checked_all(report: &CheckedAll, now: DateTime<Utc>) -> String {
    let mut text = table(&report.findings);
    let report = &report.every;
    for one in &report.databases {
        text.push_str(&format!("{}\n{}\n", one.database, check(one, now)));
    }
    let failed: Vec<String> = report.failed.iter().map(NotDone::line).collect();
    text.push_str(&bullets("not checked", &failed));
    text
}
