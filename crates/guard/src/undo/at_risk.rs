//! Which tables a run puts at risk: as its review says, and as its rehearsal saw.

use holdpoint_core::fingerprint::{qualified, schema_and_name};
use holdpoint_core::ledger::RunStep;
use holdpoint_core::rehearsal::{Rehearsal, TableEffect};
use holdpoint_core::undoing::{AtRisk, RiskRecord};

use holdpoint_review::{ObjectName, Reach, Review, Touch};

use super::attempt::Work;
use super::migrations::no_way;
use crate::Error;
use crate::ways_back::renames;

/// What the run's review says, with tables called as comparisons call them: a review writes their names as SQL does.
pub(super) fn reviewed(step: &RunStep) -> Option<RiskRecord> {
    step.risk.clone().map(as_compared)
}

/// What a review says, with tables called as comparisons call them.
pub(crate) fn as_compared(mut risk: RiskRecord) -> RiskRecord {
    let called = |name: String| match schema_and_name(&name) {
        Some((schema, name)) => qualified(Some(&schema), &name),
        None => name,
    };
    risk.tables = risk.tables.into_iter().map(|one| AtRisk { table: called(one.table), ..one }).collect();
    risk.written = risk.written.into_iter().map(called).collect();
    risk
}

/// The tables that the run puts at risk: as its review says, and as its rehearsal saw.
pub(super) fn at_risk(work: &Work<'_>) -> Result<Vec<AtRisk>, Error> {
    let step = &work.step;
    let risk = reviewed(step);
    let everything = risk.as_ref().is_none_or(|risk| risk.everything);
    let mut tables = risk.map(|risk| risk.tables).unwrap_or_default();
    let effects = step.rehearsal.as_ref().map(|one| one.tables.as_slice());
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
    if effect.added || !(effect.dropped || rows || fewer || !effect.columns_gone.is_empty()) {
        return None;
    }
    let columns = if effect.dropped || rows || fewer { Vec::new() } else { effect.columns_gone.clone() };
    Some(AtRisk { table: effect.table.clone(), columns, rows_only_go: false })
}

#[cfg(test)]
mod tests {
    use holdpoint_core::rehearsal::RowEffect;
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
        let rows = RowEffect { updated: 1, ..RowEffect::default() };
        assert_eq!(effect(&|one| one.rows = Some(rows)), Some(none.clone()));
        assert_eq!(effect(&|one| (one.rows_before, one.rows_after) = (Some(5), Some(0))), Some(none));
    }
}
