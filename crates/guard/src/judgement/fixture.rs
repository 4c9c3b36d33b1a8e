//! What was found after a command, and what it did on the copy, for the tests of the judgement.

use holdpoint_core::rehearsal::{ObjectChange, ObjectEffect, Rehearsal};

use super::Evidence;

pub(super) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(super) fn object(name: &str, change: ObjectChange) -> ObjectEffect {
    ObjectEffect { name: name.to_owned(), change, before: None, after: None }
}

/// Two migrations of a tool whose command is known, all recorded.
pub(super) fn all_applied() -> Evidence<'static> {
    Evidence {
        succeeded: true,
        database: "changed",
        objects: Some(vec![object("TABLE public.a", ObjectChange::Added)]),
        pending: Some(names(&["1", "2"])),
        runs_pending: true,
        still_pending: Some(Vec::new()),
        ..Evidence::default()
    }
}

pub(super) fn rehearsal(objects: Vec<ObjectEffect>) -> Rehearsal {
    let json = serde_json::json!({ "format": 1, "point": "20261121T024300Z-k3f9", "started_at": "2026-11-21T02:43:00Z",
        "outcome": "as_planned", "reasons": [], "command": [], "exit_code": 0, "signal": null, "took_ms": 1,
        "measured_on": "", "role": "", "isolation": { "namespace": false, "why_not": null, "rewritten": [],
        "harmless": [], "held": null, "watched": true }, "tracking": { "table": null, "pending": [], "recorded": [],
        "exact": null }, "tables": [], "sampling": { "samples": 0, "every_us": 0, "longest_gap_us": 0,
        "at_ddl": false }, "objects": objects, "invalid_indexes": [], "sequences": [], "large_objects": null,
        "rollback": null, "not_told": [], "warnings": [], "looked_for_ms": 0 });
    serde_json::from_value(json).unwrap()
}
