//! What shows that the live database is as before the run: schema objects, and the rows of the tables at risk.
//!
//! Others may have written since. Rows that are new by their key are theirs; rows that are gone or changed count as not
//! brought back, unless they differ in columns alone that the run did not put at risk.

use std::collections::BTreeSet;

use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::listed;
use holdpoint_core::undoing::AtRisk;
use holdpoint_operations::compare::{
    Against, CompareOptions, CompareReport, ObjectChange, ObjectDifference, TableChange, TableDifference, compare,
    compare_rows,
};

use super::attempt::Work;
use super::record::Record;
use crate::Error;
use crate::rehearse::relation_name;
use crate::rows_compared::{LOCK_WAIT, rows_of};
use crate::tools::TableName;

/// So many changed rows are looked at for the columns in which they differ.
const LOOKED_AT: usize = 1000;
const NAMED: usize = 5;

/// Compares, and notes what it shows.
pub(super) async fn prove(work: &Work<'_>, record: &mut Record<'_>, own: Option<&TableName>) -> Result<(), Error> {
    let against = Against::Database { source: Box::new(work.options.place.source.clone()), own: true };
    let wanted = CompareOptions {
        point: work.point.clone(),
        against: against.clone(),
        jobs: work.options.jobs,
        quick: work.options.compare_up_to,
        definitions: true,
        lock_wait: LOCK_WAIT,
    };
    work.context.progress.phase(Phase::ProvingUndo, None);
    let report = compare(work.context, &wanted).await?;
    let gone_by_it = gone_by_it(work, record, &wanted).await?;
    let mut found = Found::default();
    found.objects(&report, own);
    let risk = work.step.risk.clone().unwrap_or_default();
    for table in report.tables.differences.iter().filter(|one| own.is_none_or(|own| own.to_string() != one.table)) {
        if matches!(table.change, TableChange::Added | TableChange::Gone) {
            // Told as an object of the schema.
            continue;
        }
        let at_risk = risk.tables.iter().find(|one| one.table == table.table);
        let everything = AtRisk { table: table.table.clone(), columns: Vec::new() };
        match at_risk.or(risk.everything.then_some(&everything)) {
            Some(at_risk) => found.rows(work, &against, table, at_risk).await?,
            None => match (&table.why, gone_by_it.iter().find(|one| one.table == table.table)) {
                (Some(why), _) => found.open.push(format!("rows of {} were not compared: {why}", table.table)),
                (None, Some(one)) => found.open.push(format!(
                    "rows of {} are gone since the undo began ({} then, {} now): by what it ran, or deleted meanwhile",
                    one.table,
                    one.rows_then.unwrap_or_default(),
                    one.rows_now.unwrap_or_default()
                )),
                (None, None) => {
                    found.proof.push(format!("rows of {} were written since: they were not at risk", table.table));
                }
            },
        }
    }
    let equal: Vec<&AtRisk> = risk
        .tables
        .iter()
        .filter(|one| !report.tables.differences.iter().any(|other| other.table == one.table))
        .collect();
    let names: Vec<String> = equal.iter().map(|one| one.table.clone()).collect();
    if !names.is_empty() {
        found.proof.push(format!("rows of {} are those of the restore point", listed(&names, NAMED)));
    }
    let large = &report.large_objects;
    if large.gone + large.changed > 0 {
        found.open.push(format!("large objects: {} are gone, {} changed", large.gone, large.changed));
    }
    found.proof.push(format!(
        "{} of {} tables hold exactly the restore point's rows",
        report.tables.equal, report.tables.then
    ));
    record.undo.proof = found.proof;
    record.undo.not_as_before = found.open;
    Ok(())
}

/// Tables that have fewer rows than right before the undo.
async fn gone_by_it(
    work: &Work<'_>,
    record: &Record<'_>,
    wanted: &CompareOptions,
) -> Result<Vec<TableDifference>, Error> {
    let Some(point) = record.undo.point.clone() else { return Ok(Vec::new()) };
    let since = compare(work.context, &CompareOptions { point, definitions: false, ..wanted.clone() }).await?;
    let fewer = |one: &TableDifference| matches!((one.rows_then, one.rows_now), (Some(then), Some(now)) if now < then);
    Ok(since.tables.differences.into_iter().filter(fewer).collect())
}

/// What shows that it worked, and what is open.
#[derive(Default)]
struct Found {
    proof: Vec<String>,
    open: Vec<String>,
}

impl Found {
    /// Every schema object must be as before; the tool's own table may have come with its first run.
    fn objects(&mut self, report: &CompareReport, own: Option<&TableName>) {
        let (mut reordered, mut sides) = (Vec::new(), false);
        for object in &report.objects {
            let came = object.change == ObjectChange::Added && own.is_some_and(|own| own.names(&object.object));
            if came {
                continue;
            }
            if is_side(&object.object) {
                sides = true;
                continue;
            }
            if only_order(object) {
                reordered.push(object.object.clone());
                continue;
            }
            let how = match object.change {
                ObjectChange::Added => "stays",
                ObjectChange::Gone => "is gone",
                ObjectChange::Definition | ObjectChange::Owner => "is not as before",
            };
            self.open.push(format!("{} {how}", object.object));
        }
        if sides {
            let left = "tables beside the live ones are left by an undo that was killed: holdpoint leftovers --remove";
            self.proof.push(left.to_owned());
        }
        if !reordered.is_empty() {
            let names = listed(&reordered, NAMED);
            self.proof.push(format!("the columns of {names} are those of before, in another order"));
        }
        if self.open.is_empty() {
            let count = report.objects_compared;
            self.proof.push(format!("all of {count} schema objects are as before"));
        }
    }

    async fn rows(
        &mut self,
        work: &Work<'_>,
        against: &Against,
        table: &TableDifference,
        at_risk: &AtRisk,
    ) -> Result<(), Error> {
        let name = &table.table;
        if table.change == TableChange::Columns && table.rows_equal == Some(true) {
            // That is told as an object of the schema, too.
            self.proof.push(format!("rows of {name} are those of the restore point"));
            return Ok(());
        }
        if let Some(why) = &table.why {
            self.open.push(format!("rows of {name} were not compared: {why}"));
            return Ok(());
        }
        let rows = |rows: Option<u64>| rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
        let differ = format!("rows of {name} differ ({} then, {} now)", rows(table.rows_then), rows(table.rows_now));
        let Some(relation) = relation_name(name) else {
            self.open.push(differ);
            return Ok(());
        };
        let wanted = rows_of(&work.point, against, relation, LOOKED_AT, &work.options.temporary, work.options.jobs);
        let counts = match compare_rows(work.context, &wanted).await {
            Ok(found) => found.counts.map(|counts| (counts, found.rows)),
            Err(holdpoint_operations::Error::Interrupted) => return Err(Error::Interrupted),
            Err(_) => None,
        };
        let Some((counts, listed_rows)) = counts else {
            self.open.push(format!("{differ}: written since, or not brought back"));
            return Ok(());
        };
        if counts.new > 0 {
            self.proof.push(format!("{} rows of {name} are new: written since", counts.new));
        }
        if counts.missing > 0 {
            self.open.push(format!("{} rows of {name} are gone: deleted since, or not brought back", counts.missing));
        }
        if counts.changed > 0 {
            let columns: BTreeSet<&String> = listed_rows.iter().flat_map(|row| &row.columns).collect();
            let known = counts.changed <= LOOKED_AT as u64;
            let harmless = known
                && !at_risk.columns.is_empty()
                && !columns.is_empty()
                && columns.iter().all(|column| !at_risk.columns.contains(column));
            let names: Vec<String> = columns.into_iter().cloned().collect();
            let what = format!("{} rows of {name} have other values in {}", counts.changed, listed(&names, NAMED));
            if harmless {
                self.proof.push(format!("{what}: written since, for these were not at risk"));
            } else {
                self.open.push(format!("{what}: written since, or not brought back"));
            }
        }
        Ok(())
    }
}

/// Whether an object is in a side schema of a recovery, which is holdpoint's own and no part of the database.
fn is_side(object: &str) -> bool {
    let side = |word: &str| {
        let tail = word.strip_prefix("holdpoint_").and_then(|tail| tail.get(..9));
        tail.is_some_and(|tail| tail.ends_with('t') && tail.bytes().take(8).all(|byte| byte.is_ascii_digit()))
    };
    object.split(' ').any(side)
}

/// Whether a table's definition differs in the order of its columns alone: a column that comes back is the last.
fn only_order(object: &ObjectDifference) -> bool {
    let Some(diff) = object.definition.as_deref().filter(|_| object.object.starts_with("TABLE ")) else { return false };
    if object.change != ObjectChange::Definition {
        return false;
    }
    let lines = |sign: char| {
        let lines =
            diff.lines().filter_map(|line| line.strip_prefix(sign)).map(|line| line.trim().trim_end_matches(','));
        let mut lines: Vec<&str> = lines.collect();
        lines.sort_unstable();
        lines
    };
    lines('-') == lines('+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(object: &str, definition: &str) -> ObjectDifference {
        ObjectDifference {
            object: object.to_owned(),
            change: ObjectChange::Definition,
            owner_then: None,
            owner_now: None,
            definition: Some(definition.to_owned()),
        }
    }

    #[test]
    fn what_a_killed_recovery_left_is_told_from_tables_of_the_team() {
        for object in ["SCHEMA holdpoint_20261121t224847z_adnx", "TABLE holdpoint_20261121t224847z_adnx_2.orders"] {
            assert!(is_side(object), "{object}");
        }
        for object in ["SCHEMA holdpoint_x", "TABLE shop.holdpoint_20261121t224847z_adnx", "TABLE holdpoint_2026.a"] {
            assert!(!is_side(object), "{object}");
        }
    }

    #[test]
    fn a_column_in_another_place_is_told_from_another_column() {
        let moved = "@@ -2,4 +2,4 @@\n     id integer NOT NULL,\n-    note text,\n-    total numeric\n+    total numeric,\n+    note text\n );\n";
        assert!(only_order(&difference("TABLE shop.orders", moved)));
        assert!(!only_order(&difference("VIEW shop.orders", moved)), "a view's order is its meaning");
        let other = moved.replace("+    note text", "+    note integer");
        assert!(!only_order(&difference("TABLE shop.orders", &other)));
        assert!(!only_order(&difference("TABLE shop.orders", "-    note text\n")));
    }
}
