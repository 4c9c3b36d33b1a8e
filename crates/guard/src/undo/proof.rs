//! What shows that the live database is as before the run: schema objects, the rows of its tables, its sequences.
//!
//! Others may have written since, and nobody can tell their rows from those that the run or its undo left: see [`judge`].

use holdpoint_core::PointId;
use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::listed;
use holdpoint_operations::compare::{
    Against, CompareOptions, CompareReport, ObjectChange, ObjectDifference, TableChange, TableDifference, compare,
    compare_rows,
};
use holdpoint_operations::schema_check::Schema;

use super::attempt::Work;
use super::record::Record;
use super::rows::{Rows, Stake, Told, judge, judge_sequence};
use super::stakes::Stakes;
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
    let since = since_it_began(work, record, &wanted).await?;
    let mut found = Found::default();
    found.objects(&report, own);
    let stakes = Stakes::of(&work.step);
    let not_own = |one: &&TableDifference| own.is_none_or(|own| own.to_string() != one.table);
    for table in report.tables.differences.iter().filter(not_own) {
        if matches!(table.change, TableChange::Added | TableChange::Gone) {
            // Told as an object of the schema.
            continue;
        }
        let stake = stakes.in_table(&table.table, record.undo.way);
        found.table(work, &against, table, &stake, since.as_ref()).await?;
    }
    for sequence in &report.sequences {
        let Told { proof, open } = judge_sequence(sequence);
        found.open.extend(open);
        if stakes.names().contains(&sequence.name.as_str()) {
            found.proof.extend(proof);
        }
    }
    let then = Schema::recorded(work.context, &work.point).await?;
    let differ = |name: &str| report.tables.differences.iter().any(|one| one.table == name);
    let (equal, rest): (Vec<&str>, Vec<&str>) =
        stakes.names().into_iter().partition(|name| report.tables.equal_names.iter().any(|one| one == name));
    if !equal.is_empty() {
        let names: Vec<String> = equal.into_iter().map(str::to_owned).collect();
        found.proof.push(format!("rows of {} are those of the restore point", listed(&names, NAMED)));
    }
    // A partition is compared with its root: it is as before where nothing differs at all.
    let unseen = rest.into_iter().filter(|name| then.has_table(name) && !differ(name));
    let unseen: Vec<String> = unseen.map(str::to_owned).collect();
    if !unseen.is_empty() && report.tables.differences.iter().any(|one| not_own(&one)) {
        found.open.push(format!("rows of {} were not compared by themselves", listed(&unseen, NAMED)));
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

/// How the tables differ from those right before the undo began, the first time where it was tried again; with the
/// restore point of then. `None` where that is gone.
async fn since_it_began(
    work: &Work<'_>,
    record: &Record<'_>,
    wanted: &CompareOptions,
) -> Result<Option<(PointId, Vec<TableDifference>)>, Error> {
    let first = work.steps.iter().find_map(|step| step.undo.as_ref()?.point.clone());
    let Some(point) = first.or_else(|| record.undo.point.clone()) else { return Ok(None) };
    let wanted = CompareOptions { point: point.clone(), definitions: false, ..wanted.clone() };
    match compare(work.context, &wanted).await {
        Ok(since) => Ok(Some((point, since.tables.differences))),
        Err(holdpoint_operations::Error::NoSuchPoint { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How a table's rows differ from those of a restore point, by key; `None` where nobody can count that.
async fn rows(work: &Work<'_>, point: &PointId, against: &Against, table: &str) -> Result<Option<Rows>, Error> {
    let Some(relation) = relation_name(table) else { return Ok(None) };
    let wanted = rows_of(point, against, relation, LOOKED_AT, &work.options.temporary, work.options.jobs);
    let found = match compare_rows(work.context, &wanted).await {
        Ok(found) => found,
        Err(holdpoint_operations::Error::Interrupted) => return Err(Error::Interrupted),
        Err(_) => return Ok(None),
    };
    let Some(counts) = found.counts else { return Ok(None) };
    let columns = || found.rows.iter().flat_map(|row| row.columns.iter().cloned()).collect();
    let columns = (counts.changed <= LOOKED_AT as u64).then(columns);
    Ok(Some(Rows { new: counts.new, missing: counts.missing, changed: counts.changed, columns }))
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

    /// Judges a table that is not as the run's restore point has it.
    async fn table(
        &mut self,
        work: &Work<'_>,
        against: &Against,
        table: &TableDifference,
        stake: &Stake,
        since: Option<&(PointId, Vec<TableDifference>)>,
    ) -> Result<(), Error> {
        let name = &table.table;
        let at_stake = stake.at_risk.is_some() || stake.written;
        if table.change == TableChange::Columns && table.rows_equal == Some(true) {
            // That is told as an object of the schema, too.
            if at_stake {
                self.proof.push(format!("rows of {name} are those of the restore point"));
            }
            return Ok(());
        }
        if let Some(why) = &table.why {
            self.open.push(format!("rows of {name} were not compared: {why}"));
            return Ok(());
        }
        let Some((point, differences)) = since else {
            self.open.push(format!("{}: the restore point from before the undo is gone", differ(table)));
            return Ok(());
        };
        let same = |one: &TableDifference| one.change == TableChange::Columns && one.rows_equal == Some(true);
        let since = match differences.iter().find(|one| one.table == *name && !same(one)) {
            None => Rows::default(),
            Some(difference) => match rows(work, point, against, name).await? {
                Some(rows) => rows,
                None if !at_stake => {
                    let what = differ(difference);
                    self.open.push(format!("{what} since the undo began: by what it ran, or written meanwhile"));
                    return Ok(());
                }
                // Whatever may have been done there counts as done.
                None => Rows { new: 1, changed: 1, ..Rows::default() },
            },
        };
        let then = if at_stake { rows(work, &work.point, against, name).await? } else { Some(Rows::default()) };
        let Some(then) = then else {
            self.open.push(format!("{}: written since, or not brought back", differ(table)));
            return Ok(());
        };
        let Told { proof, open } = judge(name, stake, &then, &since);
        self.proof.extend(proof);
        self.open.extend(open);
        Ok(())
    }
}

/// That a table's rows differ, with how many there are.
fn differ(table: &TableDifference) -> String {
    let rows = |rows: Option<u64>| rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
    format!("rows of {} differ ({} then, {} now)", table.table, rows(table.rows_then), rows(table.rows_now))
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
