//! `verify --oldest-unproven` for people.

use chrono::{DateTime, Utc};
use holdpoint_core::PointId;
use holdpoint_core::verification::{Verdict, Verification};
use holdpoint_operations::verify::{LeftReason, Unproven, UnprovenPlan, UnprovenReport};

use super::catalogue::standing;
use super::table::{bullets, columns};
use super::verify::{reasons, verdict};
use crate::quantity::{age, ago, bytes, counted, milliseconds};

/// Tells what would be verified, in which order.
pub(crate) fn unproven_plan(plan: &UnprovenPlan, now: DateTime<Utc>) -> String {
    let what = counted(plan.points.len() as u64, "restore point");
    let mut text = format!("{what} of {} to verify at level {}\n", plan.database, plan.level);
    if !plan.points.is_empty() {
        let row = |one: &Unproven| {
            let when = match (one.in_time, one.tried_at) {
                (false, _) => "no: would not end in time".to_owned(),
                (true, Some(tried)) => format!("yes, again: could not run {}", ago(tried, now)),
                (true, None) => "yes".to_owned(),
            };
            vec![
                one.point.to_string(),
                age(one.snapshot_at, now),
                standing(&one.standing),
                bytes(one.read_bytes),
                seconds(one.estimated_seconds),
                when,
            ]
        };
        let headings = ["RESTORE POINT", ">AGE", "STANDING", ">READS", ">TAKES ABOUT", "VERIFIED"];
        text.push_str(&columns(&headings, plan.points.iter().map(row)));
    }
    for one in &plan.snapshots {
        let takes = seconds(one.estimated_seconds);
        let line = format!("then {}, a snapshot: by an instance that is made of it; takes about: {takes}\n", one.point);
        text.push_str(&line);
    }
    text.push_str(&others(plan));
    text
}

/// Tells what became of each.
pub(crate) fn unproven(report: &UnprovenReport, now: DateTime<Utc>) -> String {
    let plan = &report.plan;
    let all: Vec<&Verification> = report
        .verified
        .iter()
        .map(|one| &one.verification)
        .chain(report.snapshots.iter().map(|one| &one.verification))
        .collect();
    let made = |wanted: Verdict| all.iter().filter(|one| one.verdict == wanted).count();
    let counts = [
        (made(Verdict::Proved), "proved"),
        (made(Verdict::Disproved), "DISPROVED"),
        (made(Verdict::CouldNotRun), "could not run"),
        (report.failed.len(), "failed"),
        (report.left.len(), "left"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let counts = if counts.is_empty() { "none lacks the proof".to_owned() } else { counts.join(", ") };
    let took = milliseconds(report.took_ms);
    let mut text = format!("restore points of {} at level {}: {counts}, in {took}\n", plan.database, plan.level);
    let row = |point: &PointId, verdict: &str, took: String| {
        let at = plan
            .points
            .iter()
            .chain(&plan.snapshots)
            .find(|one| one.point == *point)
            .map(|one| age(one.snapshot_at, now));
        vec![point.to_string(), at.unwrap_or_default(), verdict.to_owned(), took]
    };
    let made = all.iter().map(|one| row(&one.point, verdict(one), milliseconds(one.took_ms)));
    let failed = report.failed.iter().map(|one| row(&one.point, "FAILED", String::new()));
    let left = report.left.iter().map(|one| {
        let about = one.estimated_seconds.map(|_| format!("about {}", seconds(one.estimated_seconds)));
        row(&one.point, one.reason.words(), about.unwrap_or_default())
    });
    let rows: Vec<_> = made.chain(failed).chain(left).collect();
    if !rows.is_empty() {
        text.push_str(&columns(&["RESTORE POINT", ">AGE", "RESULT", ">TOOK"], rows));
    }
    for one in &all {
        let reasons = reasons(one);
        if !reasons.is_empty() {
            text.push_str(&format!("{}:\n{reasons}", one.point));
        }
    }
    let failures: Vec<String> = report
        .failed
        .iter()
        .map(|one| {
            let hint = one.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("{}: {}{hint}", one.point, one.message)
        })
        .collect();
    text.push_str(&bullets("failed without a verdict", &failures));
    text.push_str(&others(plan));
    if let Some(one) = report.left.iter().find(|one| matches!(one.reason, LeftReason::NoTime | LeftReason::TimeOver)) {
        text.push_str(&format!(
            "next: run it again with more time (--max-runtime), or verify one alone: holdpoint verify {}\n",
            one.point
        ));
    }
    text
}

/// What is not verified, whatever time there is.
fn others(plan: &UnprovenPlan) -> String {
    let disproved: Vec<String> =
        plan.disproved.iter().map(|point| format!("{point}: holdpoint show {point} says why")).collect();
    let unreadable: Vec<String> = plan.unreadable.iter().map(|one| format!("{}: {}", one.id, one.reason)).collect();
    let snapshots = match plan.snapshots_left {
        0 => String::new(),
        count => format!("{} more without a proof: --snapshots N\n", counted(count as u64, "snapshot")),
    };
    [snapshots, bullets("known as disproved, and left alone", &disproved), bullets("cannot be read", &unreadable)]
        .concat()
}

fn seconds(seconds: Option<f64>) -> String {
    let known = seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    known.map_or_else(|| "not known".to_owned(), |seconds| milliseconds((seconds * 1000.0) as u64))
}
