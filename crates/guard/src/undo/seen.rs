//! What the rehearsal of a run did to the rows of a table, where it surely tells: of a partitioned table by its partitions.

use holdpoint_core::rehearsal::{LISTED, Rehearsal, RehearsalOutcome, RowEffect, TableEffect};

use super::comeback::Comeback;

/// What the rehearsal did to the rows of a table; `None` where it does not tell.
pub(super) fn seen(rehearsal: &Rehearsal, table: &Comeback) -> Option<RowEffect> {
    if rehearsal.outcome != RehearsalOutcome::AsPlanned {
        return None;
    }
    let whole = rehearsal.tables.len() < LISTED && rehearsal.not_told.is_empty();
    if !table.parts.is_empty() {
        let attached = |name: &str| name.starts_with("TABLE ATTACH ");
        let moved = rehearsal.objects.iter().any(|one| attached(&one.name));
        return if whole && !moved { of_parts(&rehearsal.tables, table) } else { None };
    }
    match rehearsal.tables.iter().find(|one| one.table == table.table) {
        Some(effect) => told(effect),
        // A partition's rows may be told with its root's, and these with the partitions'.
        None if table.root.is_some() => None,
        None => whole.then(RowEffect::default),
    }
}

/// What is told of a table's rows; `None` where they cannot be told.
fn told(effect: &TableEffect) -> Option<RowEffect> {
    effect.rows.filter(|_| effect.why.is_none())
}

/// The sum over all partitions. What is listed under the name of the whole tells of its definition alone: rows lie in the
/// partitions.
fn of_parts(tables: &[TableEffect], table: &Comeback) -> Option<RowEffect> {
    // A partition that has another name now, or is gone, is not known to be one.
    if tables.iter().any(|one| one.dropped || one.renamed_to.is_some()) {
        return None;
    }
    // Partitions that are loaded through their root are told together.
    let group = table.root.as_ref().map(|root| format!("{root}.*"));
    let mut sum = RowEffect::default();
    for name in table.parts.iter().chain(&group) {
        let listed = tables.iter().find(|one| one.table == *name);
        let told = listed.map_or(Some(RowEffect::default()), told)?;
        sum.inserted += told.inserted;
        sum.updated += told.updated;
        sum.deleted += told.deleted;
    }
    // A row that moves to another partition goes here and comes there: it is neither gone nor new.
    (sum.inserted == 0 || sum.deleted == 0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::undo::comeback::What;

    fn rows(inserted: u64, updated: u64, deleted: u64) -> Option<RowEffect> {
        Some(RowEffect { inserted, updated, deleted })
    }

    fn effect(table: &str, rows: Option<RowEffect>) -> TableEffect {
        TableEffect { table: table.into(), rows, ..TableEffect::default() }
    }

    fn log() -> Comeback {
        let parts = ["s.log_1", "s.log_2"].map(str::to_owned).to_vec();
        let what = What::Rows { only_gone: true };
        Comeback { table: "s.log".into(), what, meets: None, root: Some("s.log".into()), parts }
    }

    #[test]
    fn partitions_are_summed_where_each_is_told() {
        let of = |tables: &[TableEffect]| of_parts(tables, &log());
        assert_eq!(of(&[]), rows(0, 0, 0), "none was touched");
        let one = effect("s.log_1", rows(0, 1, 4));
        assert_eq!(of(std::slice::from_ref(&one)), rows(0, 1, 4));
        assert_eq!(of(&[one.clone(), effect("s.log_2", rows(0, 2, 3)), effect("s.other", None)]), rows(0, 3, 7));
        assert_eq!(of(&[one.clone(), effect("s.log", rows(0, 0, 0))]), rows(0, 1, 4), "the whole has no rows itself");
    }

    #[test]
    fn what_is_not_told_of_one_partition_is_not_told_of_the_whole() {
        let of = |tables: &[TableEffect]| of_parts(tables, &log());
        let one = effect("s.log_1", rows(0, 0, 4));
        assert_eq!(of(&[one.clone(), effect("s.log_2", None)]), None, "it has no key");
        let why = TableEffect { why: Some("it is large".into()), ..effect("s.log_2", rows(0, 0, 0)) };
        assert_eq!(of(&[one.clone(), why]), None);
        let new = TableEffect { added: true, rows_after: Some(2), ..effect("s.log_2", None) };
        assert_eq!(of(&[one.clone(), new]), None, "it came with the run");
        assert_eq!(of(&[one.clone(), effect("s.log.*", None)]), None, "told together, and counted only");
        assert_eq!(of(&[one.clone(), effect("s.log_2", rows(4, 0, 0))]), None, "rows may have moved");
        for gone in [
            TableEffect { dropped: true, ..effect("s.log_0", None) },
            TableEffect { renamed_to: Some("s.log_2".into()), ..effect("s.log_0", rows(0, 0, 9)) },
        ] {
            assert_eq!(of(&[one.clone(), gone]), None, "perhaps it was a partition");
        }
    }
}
