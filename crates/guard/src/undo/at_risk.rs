//! Which tables a run puts at risk: as its review says, and as its rehearsal saw.

use holdpoint_core::fingerprint::{qualified, schema_and_name};
use holdpoint_core::ledger::RunStep;
use holdpoint_core::rehearsal::{LISTED, Rehearsal, RehearsalOutcome, TableEffect};
use holdpoint_core::undoing::{AtRisk, RiskRecord};

use holdpoint_review::{ObjectName, Reach, Review, Touch};

use super::migrations::no_way;
use super::work::Work;
use crate::Error;
use crate::ways_back::renames;

/// What the run's review says, with tables called as comparisons call them: a review writes their names as SQL does.
pub(super) fn reviewed(step: &RunStep) -> Option<RiskRecord> {
    step.risk.clone().map(as_compared)
}

/// What a review says, with tables called as comparisons call them.
pub(crate) fn as_compared(mut risk: RiskRecord) -> RiskRecord {
    risk.tables = risk.tables.into_iter().map(|one| AtRisk { table: called(&one.table), ..one }).collect();
    risk.written = risk.written.iter().map(|name| called(name)).collect();
    risk
}

/// A table's name as comparisons write it, of what SQL calls it.
pub(crate) fn called(name: &str) -> String {
    schema_and_name(name).map_or_else(|| name.to_owned(), |(schema, name)| qualified(Some(&schema), &name))
}

/// The tables that the run puts at risk: as its review says, and as its rehearsal saw.
pub(super) fn at_risk(work: &Work<'_>) -> Result<Vec<AtRisk>, Error> {
    let step = &work.step;
    let risk = reviewed(step);
    let everything = risk.as_ref().is_none_or(|risk| risk.everything);
    let rehearsal = step.rehearsal.as_deref();
    let mut tables = widened(risk.map(|risk| risk.tables).unwrap_or_default(), rehearsal);
    let effects = rehearsal.map(|one| one.tables.as_slice());
    match (everything, effects) {
        (true, None) => {
            let why = "which tables are at risk is not known: the command was not read, and not rehearsed".to_owned();
            return Err(no_way(work, "recover", why));
        }
        (true, Some(effects)) => tables = effects.iter().filter_map(taken).collect(),
        (false, effects) => {
            let known = |one: &AtRisk| !tables.iter().any(|table| table.table == one.table);
            let more: Vec<AtRisk> = effects.unwrap_or_default().iter().filter_map(taken).filter(known).collect();
            tables.extend(more);
        }
    }
    Ok(tables)
}

/// Tables at risk by the review, each with what the rehearsal saw change there besides: what a trigger sets, or what the
/// statements called by another name.
pub(crate) fn widened(tables: Vec<AtRisk>, rehearsal: Option<&Rehearsal>) -> Vec<AtRisk> {
    tables.into_iter().map(|one| widened_by(one.table.clone().as_str(), one, rehearsal)).collect()
}

/// The same for one table, which comparisons call `name`.
pub(crate) fn widened_by(name: &str, mut one: AtRisk, rehearsal: Option<&Rehearsal>) -> AtRisk {
    if one.columns.is_empty() {
        return one;
    }
    let effect = rehearsal.and_then(|all| all.tables.iter().find(|effect| effect.table == name && !effect.added));
    let told = rehearsal.filter(|all| all.outcome == RehearsalOutcome::AsPlanned);
    let known = match effect {
        None => told.is_some_and(|all| all.tables.len() < LISTED && all.not_told.is_empty()),
        Some(effect) => told.is_some() && effect.columns_taken().is_some(),
    };
    let gone = |effect: &TableEffect| {
        effect.dropped || effect.rows.is_some_and(|rows| rows.deleted > 0) || effect.rows_after < effect.rows_before
    };
    // Rows that got other keys are no others that went: they cannot be found again, and that is told.
    let moved = keys_move(rehearsal, name);
    if effect.is_some_and(gone) && !moved || one.by_triggers && !known {
        one.columns.clear();
        return one;
    }
    let changed = effect.and_then(|effect| effect.columns_changed.clone()).unwrap_or_default();
    for column in effect.into_iter().flat_map(TableEffect::columns_lost).chain(changed) {
        if !one.columns.contains(&column) {
            one.columns.push(column);
        }
    }
    one
}

/// The columns that the rehearsal saw change their values, or go, by their names of before; `None` where it does not surely
/// tell.
///
/// A rehearsal that took nothing there does not: what its statements do to a row is not seen. On production there may have
/// been rows for them.
pub(super) fn changed_by_rehearsal(rehearsal: &Rehearsal, table: &str) -> Option<Vec<String>> {
    if rehearsal.outcome != RehearsalOutcome::AsPlanned {
        return None;
    }
    let effect = rehearsal.tables.iter().find(|effect| effect.table == table && !effect.added)?;
    let acted =
        effect.rows.is_some_and(|rows| rows.updated + rows.deleted > 0) || effect.columns_lost().next().is_some();
    effect.columns_taken().filter(|_| acted)
}

/// Whether the rehearsal shows that rows got other keys: more are new by key than were inserted.
pub(crate) fn keys_move(rehearsal: Option<&Rehearsal>, table: &str) -> bool {
    let effects = rehearsal.into_iter().flat_map(|one| &one.tables);
    effects.filter(|one| one.table == table).any(|effect| match (effect.rows, effect.written) {
        (Some(rows), Some(written)) => written.updated > 0 && rows.deleted > 0 && rows.inserted > written.inserted,
        _ => false,
    })
}

/// What the rehearsal shows a table to be called afterwards, where it got another name.
pub(crate) fn renamed_to<'a>(rehearsal: Option<&'a Rehearsal>, table: &str) -> Option<&'a str> {
    let mut effects = rehearsal.into_iter().flat_map(|one| &one.tables);
    effects.find(|one| one.table == table && !one.added)?.renamed_to.as_deref()
}

/// Whether the review of a run's migrations says that a table gets another name, and is not dropped then.
pub(super) fn is_renamed(review: &Review, table: &str) -> bool {
    let Some((schema, name)) = schema_and_name(table) else { return false };
    let is = |other: &ObjectName| other.name == name && other.schema.as_ref().is_none_or(|one| *one == schema);
    let drops =
        |touch: &Touch| matches!(touch.reach, Reach::Drop { .. }) && is(touch.before.as_ref().unwrap_or(&touch.table));
    renames(review).into_iter().any(is) && !review.findings().any(|(_, finding)| finding.touches.iter().any(drops))
}

/// What a table's effect on the copy says that is gone or changed.
pub(crate) fn taken(effect: &TableEffect) -> Option<AtRisk> {
    let rows = effect.rows.is_some_and(|rows| rows.updated + rows.deleted > 0);
    let fewer = effect.rows_after < effect.rows_before;
    let lost: Vec<String> = effect.columns_lost().collect();
    if effect.added || !(effect.dropped || rows || fewer || !lost.is_empty()) {
        return None;
    }
    let columns = if effect.dropped || rows || fewer { Vec::new() } else { lost };
    Some(AtRisk { table: effect.table.clone(), columns, ..AtRisk::default() })
}

#[cfg(test)]
mod tests {
    use holdpoint_core::rehearsal::{RenamedColumn, RowEffect};
    use holdpoint_review::{Dialect, MigrationSql, ReviewOptions, review};

    use super::*;

    #[test]
    fn a_table_with_another_name_is_known_by_the_review_alone() {
        let renamed = |sql: &str| {
            let file = MigrationSql::new("x.sql", sql, Dialect::Psql);
            is_renamed(&review(&[file], &ReviewOptions::default()), "shop.events")
        };
        assert!(renamed("ALTER TABLE shop.events RENAME TO happenings; UPDATE shop.happenings SET kind = 'x';"));
        assert!(renamed("ALTER TABLE events RENAME TO happenings;"), "by a search path");
        assert!(!renamed("ALTER TABLE shop.events RENAME COLUMN kind TO sort;"));
        assert!(!renamed("ALTER TABLE other.events RENAME TO happenings;"));
        assert!(!renamed("ALTER TABLE shop.events RENAME TO old; DROP TABLE shop.old;"), "it comes back whole");
        assert!(!renamed("DROP TABLE shop.events;"));
    }

    #[test]
    fn what_the_rehearsal_saw_change_is_at_risk_beside_what_the_review_says() {
        let rehearsal = |effects: &serde_json::Value| -> Rehearsal {
            serde_json::from_value(serde_json::json!({
                "format": 1, "point": "20261121T024300Z-k3f9", "started_at": "2026-11-21T02:43:00Z",
                "outcome": "as_planned", "reasons": [], "command": [], "exit_code": 0, "signal": null, "took_ms": 1,
                "measured_on": "x", "role": "app",
                "isolation": { "namespace": false, "why_not": null, "rewritten": [], "harmless": [], "held": null,
                               "watched": false },
                "tracking": { "table": null, "pending": [], "recorded": [], "exact": null }, "tables": effects,
                "sampling": { "samples": 0, "every_us": 0, "longest_gap_us": 0, "at_ddl": false }, "objects": [],
                "invalid_indexes": [], "sequences": [], "large_objects": null, "rollback": null, "not_told": [],
                "warnings": [], "looked_for_ms": 1
            }))
            .unwrap()
        };
        let one =
            |by_triggers| AtRisk { table: "s.t".into(), columns: vec!["v".into()], rows_only_go: false, by_triggers };
        let columns = |one: AtRisk, effects: Option<serde_json::Value>| {
            let rehearsal = effects.map(|effects| rehearsal(&effects));
            widened(vec![one], rehearsal.as_ref()).remove(0).columns.join(" ")
        };
        let effect = |more: serde_json::Value| {
            let mut effect =
                serde_json::json!({ "table": "s.t", "rows": { "inserted": 0, "updated": 9, "deleted": 0 } });
            effect.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Some(serde_json::json!([effect]))
        };
        let both = || effect(serde_json::json!({ "columns_changed": ["v", "w"] }));
        assert_eq!((columns(one(false), both()), columns(one(true), both())), ("v w".into(), "v w".into()));
        let sampled = || effect(serde_json::json!({ "columns_changed": ["v"], "columns_sampled": true }));
        assert_eq!((columns(one(false), sampled()), columns(one(true), sampled())), ("v".into(), String::new()));
        assert_eq!((columns(one(false), None), columns(one(true), None)), ("v".into(), String::new()), "not rehearsed");
        let older = || effect(serde_json::json!({}));
        assert_eq!((columns(one(false), older()), columns(one(true), older())), ("v".into(), String::new()));
        let gone = effect(serde_json::json!({ "columns_gone": ["a", "b"], "columns_changed": [],
            "columns_renamed": [{ "before": "b", "now": "c" }] }));
        assert_eq!(columns(one(true), gone), "v a");
        assert_eq!(columns(one(true), Some(serde_json::json!([]))), "v", "it left the table alone");
        let deleted =
            serde_json::json!({ "rows": { "inserted": 0, "updated": 0, "deleted": 1 }, "columns_changed": [] });
        assert_eq!(columns(one(false), effect(deleted)), "", "whole rows");
        let changed = |effects: Option<serde_json::Value>| changed_by_rehearsal(&rehearsal(&effects.unwrap()), "s.t");
        assert_eq!(changed(both()), Some(vec!["v".to_owned(), "w".to_owned()]));
        assert_eq!((changed(sampled()), changed(older())), (None, None));
        let idle = effect(serde_json::json!({ "rows": { "inserted": 0, "updated": 0, "deleted": 0 },
            "columns_changed": [] }));
        assert_eq!((changed(Some(serde_json::json!([]))), changed(idle)), (None, None), "it changed no row");
    }

    #[test]
    fn what_a_copy_lost_is_what_comes_back() {
        let effect = |change: &dyn Fn(&mut TableEffect)| {
            let mut effect = TableEffect { table: "a.b".into(), ..TableEffect::default() };
            change(&mut effect);
            taken(&effect).map(|one| one.columns)
        };
        let none: Vec<String> = Vec::new();
        assert_eq!(effect(&|_| {}), None);
        assert_eq!(effect(&|one| one.added = true), None);
        assert_eq!(effect(&|one| one.columns_added = vec!["c".into()]), None);
        assert_eq!(effect(&|one| one.dropped = true), Some(none.clone()));
        assert_eq!(effect(&|one| one.columns_gone = vec!["c".into()]), Some(vec!["c".to_owned()]));
        let renamed = |one: &mut TableEffect| {
            one.columns_gone = vec!["c".into()];
            one.columns_renamed = vec![RenamedColumn { before: "c".into(), now: "d".into() }];
        };
        assert_eq!(effect(&renamed), None, "its values are there");
        let rows = RowEffect { updated: 1, ..RowEffect::default() };
        assert_eq!(effect(&|one| one.rows = Some(rows)), Some(none.clone()));
        assert_eq!(effect(&|one| (one.rows_before, one.rows_after) = (Some(5), Some(0))), Some(none));
    }
}
