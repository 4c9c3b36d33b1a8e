//! `leftovers` for people.

use chrono::{DateTime, Utc};
use holdpoint_operations::leftovers::{Leftover, LeftoverKind, LeftoversReport};

use super::table::columns;
use crate::quantity::{age, bytes, counted};

/// One line a leftover, and how to remove them.
pub(crate) fn leftovers(report: &LeftoversReport, dry_run: bool, now: DateTime<Utc>) -> String {
    if report.leftovers.is_empty() {
        return "nothing was left\n".to_owned();
    }
    let row = |one: &Leftover| {
        let state = match (&one.problem, one.removed) {
            (Some(problem), _) => format!("kept: {problem}"),
            (None, true) if dry_run => "would be removed".to_owned(),
            (None, true) => "removed".to_owned(),
            (None, false) => String::new(),
        };
        let place = if one.id.is_empty() { one.place.clone() } else { format!("{} ({})", one.place, one.id) };
        let old = one.since.map(|at| age(at, now)).unwrap_or_default();
        vec![kind(one.kind).to_owned(), place, old, one.bytes.map(bytes).unwrap_or_default(), state]
    };
    let mut text = columns(&["KIND", "PLACE", ">AGE", ">SIZE", ""], report.leftovers.iter().map(row));
    let remain = report.leftovers.iter().filter(|one| !one.removed).count() as u64;
    if remain > 0 {
        text.push_str(&format!(
            "{}; remove what is certainly nobody's: holdpoint leftovers --remove\n",
            counted(remain, "leftover")
        ));
    }
    text
}

fn kind(kind: LeftoverKind) -> &'static str {
    match kind {
        LeftoverKind::UnfinishedUpload => "unfinished upload",
        LeftoverKind::OrphanObjects => "objects without a manifest",
        LeftoverKind::ScratchServer => "scratch server",
        LeftoverKind::ScratchDatabase => "scratch database",
        LeftoverKind::ReplacedDatabase => "replaced database",
    }
}
