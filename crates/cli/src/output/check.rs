//! `check` for people.

use chrono::{DateTime, Utc};
use holdpoint_operations::check::{CheckReport, Finding, Repaired};

use super::table::{bullets, columns};
use crate::commands::Every;
use crate::quantity::{age, bytes, counted};

/// The findings, one a line with what to do, and how long ago something was proven.
pub(crate) fn check(report: &CheckReport, now: DateTime<Utc>) -> String {
    let row =
        |one: &Finding| vec![one.kind.words().to_owned(), one.place.clone(), one.reason.clone(), one.cure.clone()];
    let mut text = String::new();
    if !report.findings.is_empty() {
        text.push_str(&columns(&["FINDING", "WHERE", "WHAT", "DO"], report.findings.iter().map(row)));
    }
    let repaired = |one: &Repaired| match &one.problem {
        None => format!("{}: removed", one.what),
        Some(problem) => format!("{}: NOT REMOVED: {problem}", one.what),
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
        Some(proof) => format!("last proven {} ago: {} ({})\n", age(proof.at, now), proof.point, proof.level),
        None => "nothing is proven: holdpoint verify latest\n".to_owned(),
    });
    text
}

/// The same for each database, and what could not be looked at.
pub(crate) fn checked_all(report: &Every<CheckReport>, now: DateTime<Utc>) -> String {
    let mut text = String::new();
    for one in &report.databases {
        text.push_str(&format!("{}\n{}\n", one.database, check(one, now)));
    }
    let failed: Vec<String> = report.failed.iter().map(|one| format!("{}: {}", one.database, one.reason)).collect();
    text.push_str(&bullets("not checked", &failed));
    text
}
