//! `prune`, `pin` and `unpin` for people.

use chrono::{DateTime, Utc};
use holdpoint_core::retention::{Aside, DropReason, Entry, Fate, Hold, KeepReason};
use holdpoint_operations::retention::{Dropped, GonePin, Hidden, Outcome, PinReport, PruneReport, Swept, UnpinReport};

use super::catalogue::standing;
use super::table::{bullets, columns};
use crate::commands::{Every, NotDone};
use crate::quantity::{age, bytes, counted, instant};

/// One line a restore point, the newest first, then what became of those that went.
pub(crate) fn prune(report: &PruneReport, now: DateTime<Utc>) -> String {
    let row = |entry: &Entry| {
        let (fate, why) = match &entry.fate {
            Fate::Keep(reasons) => ("keep", reasons.iter().map(kept).collect::<Vec<_>>()),
            Fate::Drop(reasons) => ("DROP", reasons.iter().map(dropped_for).collect()),
        };
        let why = entry.aside.as_ref().and_then(aside).into_iter().chain(why).collect::<Vec<_>>();
        let standing = standing(&entry.standing);
        vec![entry.id.to_string(), age(entry.snapshot_at, now), standing, fate.to_owned(), why.join("; ")]
    };
    let mut text = columns(&["RESTORE POINT", ">AGE", "STANDING", "FATE", "WHY"], report.plan.entries.iter().map(row));
    let unreadable: Vec<String> = report.unreadable.iter().map(|one| format!("{}: {}", one.id, one.reason)).collect();
    text.push_str(&bullets("kept, since they cannot be read", &unreadable));
    text.push_str(&bullets("a prune had hidden", &report.hidden.iter().map(hidden).collect::<Vec<_>>()));
    text.push_str(&bullets("what became of them", &report.dropped.iter().map(outcome).collect::<Vec<_>>()));
    let pins: Vec<String> = report.pins.iter().map(|one| gone_pin(one, report.dry_run)).collect();
    text.push_str(&bullets("pins that hold nothing", &pins));
    let swept: Vec<String> = report.swept.iter().map(|one| swept(one, report.dry_run, now)).collect();
    text.push_str(&bullets("of no restore point", &swept));
    let findings = report.findings.iter().map(|one| format!("{}: {}; {}", one.place, one.reason, one.cure));
    text.push_str(&bullets("missing, so nothing goes because of it", &findings.collect::<Vec<_>>()));
    text.push_str(&bullets("warnings", &report.warnings));
    text.push_str(&summary(report));
    text
}

fn hidden(one: &Hidden) -> String {
    let why = match (&one.problem, one.shown, one.entry.as_ref().map(|entry| &entry.fate)) {
        (Some(problem), ..) => problem.clone(),
        (None, ..) if one.dropped_by_another => "dropped by another prune".to_owned(),
        (None, true, _) => "kept, and shown again".to_owned(),
        (None, false, Some(Fate::Drop(reasons))) => {
            format!("DROP: {}", reasons.iter().map(dropped_for).collect::<Vec<_>>().join("; "))
        }
        (None, false, _) => "keep".to_owned(),
    };
    format!("{}: {why}", one.point)
}

/// The same for each database, and what could not be looked at.
pub(crate) fn pruned_all(report: &Every<PruneReport>, now: DateTime<Utc>) -> String {
    let mut text = String::new();
    for one in &report.databases {
        text.push_str(&format!("{}\n{}\n", one.database, prune(one, now)));
    }
    let failed: Vec<String> = report.failed.iter().map(NotDone::line).collect();
    text.push_str(&bullets("nothing was dropped of", &failed));
    text
}

/// Tells what is pinned, until when.
pub(crate) fn pin(report: &PinReport) -> String {
    let until = report.pin.until.map_or("for ever".to_owned(), |until| format!("until {}", instant(until)));
    let locked = report.locked_until.map(|until| format!("; locked by the store until {}", instant(until)));
    let mut text = format!(
        "{} is kept {until} (pin {}): {}{}\n",
        report.point,
        report.name,
        report.pin.reason,
        locked.unwrap_or_default()
    );
    text.push_str(&bullets("warnings", &report.warnings));
    text
}

/// Tells what still pins it.
pub(crate) fn unpin(report: &UnpinReport) -> String {
    let rest = match report.remaining.is_empty() {
        true => "; nothing else pins it".to_owned(),
        false => format!("; pinned by {}", report.remaining.join(", ")),
    };
    let lock = match &report.lock {
        Some(Hold::ObjectLock { until: Some(until) }) => {
            format!("; the store itself keeps it until {} all the same (Object Lock)", instant(*until))
        }
        Some(_) => "; the store itself keeps it all the same (legal hold)".to_owned(),
        None => String::new(),
    };
    format!("pin {} of {} is removed{rest}{lock}\n", report.name, report.point)
}

fn summary(report: &PruneReport) -> String {
    let (keeps, drops) = (report.plan.keeps().count() as u64, report.plan.drops().count() as u64);
    let those = |count: u64| counted(count, "restore point");
    if report.dry_run {
        // What a prune had hidden goes with them where the policy drops it.
        let dropped = |one: &&Hidden| matches!(&one.entry, Some(Entry { fate: Fate::Drop(_), .. }));
        let drops = drops + report.hidden.iter().filter(dropped).count() as u64;
        let versions = if drops > 0 { versions(report.keeps_versions) } else { "" };
        return format!("{} kept, {} would be dropped: nothing was changed\n{versions}", those(keeps), those(drops));
    }
    let gone = |one: &Dropped| match one.outcome {
        Outcome::Gone { bytes } | Outcome::Remains { bytes, .. } => Some(bytes),
        _ => None,
    };
    let gone: Vec<u64> = report.dropped.iter().filter_map(gone).collect();
    let stayed = report.dropped.len() as u64 - gone.len() as u64;
    let stayed = if stayed > 0 { format!(", {} stayed after all", those(stayed)) } else { String::new() };
    let versions = if gone.is_empty() { "" } else { versions(report.keeps_versions) };
    let (dropped, size) = (those(gone.len() as u64), bytes(gone.iter().sum()));
    let left = match report.left.len() as u64 {
        0 => String::new(),
        left => format!(", {} left by a signal", those(left)),
    };
    format!("{} kept, {dropped} dropped ({size}){stayed}{left}\n{versions}", those(keeps))
}

/// What becomes of the bytes of what is dropped, where they do not just go.
fn versions(kept: Option<bool>) -> &'static str {
    match kept {
        Some(false) => "",
        Some(true) => {
            "the bucket keeps versions: what is dropped is billed until a lifecycle rule removes noncurrent versions \
             (NoncurrentVersionExpiration)\n"
        }
        None => "whether the bucket keeps what is dropped as versions, and bills it, is not known\n",
    }
}

/// Why a restore point counts for no other one; what lacks objects says so as a reason.
fn aside(aside: &Aside) -> Option<String> {
    match aside {
        Aside::Partial { selection } => Some(format!("part of the database ({})", selection.join(" "))),
        Aside::Labelled { label } => Some(format!("labelled {label}")),
        Aside::Incomplete | Aside::AnotherDatabase => None,
    }
}

fn kept(reason: &KeepReason) -> String {
    let until = |until: &Option<DateTime<Utc>>| until.map(|at| format!(" until {}", instant(at))).unwrap_or_default();
    match reason {
        KeepReason::Newest => "newest".to_owned(),
        KeepReason::NewestProven { level } => format!("newest proven ({level})"),
        KeepReason::NothingProven => "nothing whole is proven".to_owned(),
        KeepReason::ClockDoubted { by_store: Some(at) } => {
            format!("clock doubted: {} by the store's", instant(*at))
        }
        KeepReason::ClockDoubted { by_store: None } => "clock doubted: it lies in the future".to_owned(),
        KeepReason::Incomplete => "NOT ALL THERE, so nothing goes because of it".to_owned(),
        KeepReason::OfAnotherDatabase => "OF ANOTHER DATABASE, so nothing goes because of it".to_owned(),
        KeepReason::Held { hold: Hold::Pin { name, until: end } } => format!("pinned by {name}{}", until(end)),
        KeepReason::Held { hold: Hold::ObjectLock { until: None } } => "locked by the store (legal hold)".to_owned(),
        KeepReason::Held { hold: Hold::ObjectLock { until: end } } => format!("locked by the store{}", until(end)),
        KeepReason::Young => "younger than the minimum age".to_owned(),
        KeepReason::Last { place } => format!("last ({place})"),
        KeepReason::MinimumCount => "minimum count".to_owned(),
        KeepReason::Slot { unit, slot } => format!("{} {slot}", unit.word()),
        KeepReason::Within => "within the span".to_owned(),
        KeepReason::NewestOfItsKind { place } => format!("newest of its kind ({place})"),
        KeepReason::AwaitsProof { unit: None } => "not proven yet, among the last".to_owned(),
        KeepReason::AwaitsProof { unit: Some(unit) } => format!("not proven yet, its {} slot is empty", unit.word()),
    }
}

fn dropped_for(reason: &DropReason) -> String {
    match reason {
        DropReason::Disproved { at } => format!("disproved {}", instant(*at)),
        DropReason::Superseded { unit, slot, by } => format!("{} {slot} is filled by {by}", unit.word()),
        DropReason::BeyondEveryRule => "beyond every rule".to_owned(),
        DropReason::BeyondItsKind => "newer ones of its kind are kept".to_owned(),
    }
}

fn outcome(one: &Dropped) -> String {
    let what = match &one.outcome {
        Outcome::Gone { bytes: size } => format!("dropped, {}", bytes(*size)),
        Outcome::Remains { objects, .. } => {
            let those = objects.join("; ");
            format!(
                "dropped, but objects remain, which a prune sweeps once they are older than --sweep-min-age: {those}"
            )
        }
        Outcome::Pinned { pins } => format!("stays: pinned meanwhile by {}", pins.join(", ")),
        Outcome::Locked { until: Some(until) } => format!("stays: the store keeps it until {}", instant(*until)),
        Outcome::Locked { until: None } => "stays: the store keeps it (legal hold)".to_owned(),
        Outcome::Unjustified { reason } | Outcome::Failed { reason } => format!("NOT DROPPED: {reason}"),
    };
    format!("{}: {what}", one.point)
}

fn gone_pin(one: &GonePin, dry_run: bool) -> String {
    let why = if one.with_point { "with its restore point" } else { "over" };
    let what = match (&one.problem, dry_run) {
        (Some(problem), _) => format!("NOT REMOVED: {problem}"),
        (None, true) => "would be removed".to_owned(),
        (None, false) => "removed".to_owned(),
    };
    format!("{} of {}, {why}: {what}", one.name, one.point)
}

fn swept(one: &Swept, dry_run: bool, now: DateTime<Utc>) -> String {
    let old = one.at.map(|at| format!(", {} old", age(at, now))).unwrap_or_default();
    let size = one.bytes.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
    let what = match (&one.problem, dry_run) {
        (Some(problem), _) => format!("NOT REMOVED: {problem}"),
        (None, true) => "would be removed".to_owned(),
        (None, false) => "removed".to_owned(),
    };
    format!("{}{old}{size}: {what}", one.what)
}
