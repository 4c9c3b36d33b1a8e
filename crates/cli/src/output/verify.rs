//! `verify` for people.

use holdpoint_core::verification::{Obstacle, Verdict, Verification};
use holdpoint_operations::verify::{VerifyPlan, VerifyReport};

use super::restore::differences;
use super::table::{bullets, facts};
use crate::quantity::{bytes, counted, milliseconds};

/// Tells what a verification will take.
pub(crate) fn plan(plan: &VerifyPlan) -> String {
    let mut text = format!("verification of {} at level {}\n", plan.point, plan.level);
    let disk = match plan.disk_available_bytes {
        Some(free) => format!("{} of {} free", bytes(plan.disk_needed_bytes), bytes(free)),
        None => bytes(plan.disk_needed_bytes),
    };
    let seconds = plan.estimated_seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    text.push_str(&facts([
        ("  reads", Some(bytes(plan.read_bytes))),
        ("  disk", (plan.disk_needed_bytes > 0).then_some(disk)),
        ("  on", Some(plan.scratch.clone())),
        ("  takes about", seconds.map(|seconds| milliseconds((seconds * 1000.0) as u64))),
    ]));
    text
}

/// Tells the verdict with its reasons.
pub(crate) fn verify(report: &VerifyReport) -> String {
    verification(&report.verification)
}

pub(super) fn verdict(one: &Verification) -> &'static str {
    match one.verdict {
        Verdict::Proved => "proved",
        Verdict::Disproved => "DISPROVED",
        Verdict::CouldNotRun => "COULD NOT RUN",
    }
}

/// The verdict on one line.
pub(super) fn proof(one: &Verification) -> String {
    format!("{} at level {} in {}, on {}", verdict(one), one.level, milliseconds(one.took_ms), one.measured_on)
}

/// What differs, stood in the way, or was not reproduced.
pub(super) fn reasons(one: &Verification) -> String {
    let obstacle = |one: &Obstacle| format!("{}; cure: {}", one.reason, one.cure);
    let obstacles: Vec<String> = one.obstacles.iter().map(obstacle).collect();
    [differences(&one.differences), bullets("obstacles", &obstacles), bullets("notes", &one.notes)].concat()
}

/// Tells a verdict with its reasons.
pub(crate) fn verification(one: &Verification) -> String {
    let compared = &one.compared;
    let compared = format!(
        "{}, {}, {}, {}, {}",
        counted(compared.tables, "table"),
        counted(compared.rows, "row"),
        counted(compared.sequences, "sequence"),
        counted(compared.large_objects, "large object"),
        counted(compared.objects, "schema object")
    );
    let sample = one.sample.as_ref().map(|sample| {
        let (tables, rows) = (counted(sample.tables, "table"), counted(sample.rows, "row"));
        format!("{tables}, {rows} ({} % of the tables not named, by seed {})", sample.percent, sample.seed)
    });
    let mut text = format!("{}: {} at level {}\n", one.point, verdict(one), one.level);
    text.push_str(&facts([
        ("  compared", (one.verdict != Verdict::CouldNotRun).then_some(compared)),
        ("  loaded", sample),
        ("  read", Some(bytes(one.bytes_read))),
        ("  on", Some(one.measured_on.clone())),
        ("  restore took", one.restore_took_ms.map(milliseconds)),
        ("  took", Some(milliseconds(one.took_ms))),
    ]));
    text.push_str(&reasons(one));
    text.push_str(&bullets("not compared", &one.not_compared));
    text
}
