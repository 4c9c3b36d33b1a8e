//! `leftovers` for people.

use chrono::{DateTime, Utc};
use holdpoint_operations::leftovers::{Leftover, LeftoverKind, LeftoversReport};

use super::table::{bullets, columns};
use crate::quantity::{age, bytes, counted};

/// One line a leftover, and how to remove them; `removing` was asked for, perhaps as a dry run.
pub(crate) fn leftovers(report: &LeftoversReport, removing: bool, now: DateTime<Utc>) -> String {
    let unseen: Vec<String> = report.unseen.iter().map(|one| format!("{}: {}", one.place, one.reason)).collect();
    let unseen = bullets("could not be looked at", &unseen);
    if report.leftovers.is_empty() {
        return format!("nothing was left\n{unseen}");
    }
    let row = |one: &Leftover| {
        let place = if one.id.is_empty() { one.place.clone() } else { format!("{} ({})", one.place, one.id) };
        let old = one.since.map(|at| age(at, now)).unwrap_or_default();
        vec![kind(one.kind).to_owned(), place, old, one.bytes.map(bytes).unwrap_or_default(), state(one, removing)]
    };
    let mut text = columns(&["KIND", "PLACE", ">AGE", ">SIZE", "STATE"], report.leftovers.iter().map(row));
    let dead = report.leftovers.iter().filter(|one| one.dead && !one.removed).count() as u64;
    if dead > 0 && !removing {
        let those = counted(dead, "leftover");
        text.push_str(&format!("{those} certainly nobody's; remove with: holdpoint leftovers --remove\n"));
    }
    text.push_str(&unseen);
    text
}

fn state(one: &Leftover, removing: bool) -> String {
    // Two kinds are mended, not removed; their reason says what that means.
    let mended = matches!(one.kind, LeftoverKind::ClosedDatabase | LeftoverKind::StaleIdentity);
    match (&one.problem, one.removed, one.dead) {
        (Some(problem), ..) if mended => format!("not mended: {problem}"),
        (None, true, _) if mended => "mended".to_owned(),
        (None, false, true) if mended => one.reason.clone(),
        (Some(problem), ..) => format!("not removed: {problem}"),
        (None, true, _) => "removed".to_owned(),
        (None, false, true) if removing => format!("would be removed: {}", one.reason),
        (None, false, true) => format!("nobody's: {}", one.reason),
        (None, false, false) => format!("kept: {}", one.reason),
    }
}

fn kind(kind: LeftoverKind) -> &'static str {
    match kind {
        LeftoverKind::UnfinishedUpload => "unfinished upload",
        LeftoverKind::OrphanObjects => "objects",
        LeftoverKind::ScratchServer => "scratch server",
        LeftoverKind::ScratchDatabase => "scratch database",
        LeftoverKind::ReplacedDatabase => "replaced database",
        LeftoverKind::ClosedDatabase => "closed database",
        LeftoverKind::StaleIdentity => "stale identity",
        LeftoverKind::SideSchema => "side schema",
        LeftoverKind::TemporaryInstance => "RDS instance",
    }
}
