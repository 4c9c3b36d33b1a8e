//! What shows that the live database is as before the run: schema objects, the rows of its tables, its sequences, its
//! large objects, and its own settings.
//!
//! Others may have written since, and nobody can tell their rows from those that the run or its undo left: see [`judge`].

use std::collections::BTreeMap;

use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::listed;
use holdpoint_core::undoing::Applied;
use holdpoint_operations::compare::{
    Against, CompareOptions, CompareReport, ObjectChange, ObjectDifference, TableChange, TableDifference, compare,
};
use holdpoint_operations::schema_check::Schema;

use super::database::{added_by_run, judge_database};
use super::last_writers::LastWriters;
use super::migrations::not_pending;
use super::record::Record;
use super::rows::{Rows, Stake, Told, judge, judge_part, judge_sequence};
use super::since::{Since, rows};
use super::stakes::{Relatives, Stakes};
use super::work::Work;
use crate::Error;
use crate::rows_compared::LOCK_WAIT;
use crate::tools::TableName;

const NAMED: usize = 5;

/// Compares, and notes what it shows.
///
/// `writers` is who wrote the rows of tables at risk last, right before the undo.
pub(super) async fn prove(
    work: &Work<'_>,
    record: &mut Record<'_>,
    own: Option<&TableName>,
    writers: BTreeMap<String, LastWriters>,
) -> Result<(), Error> {
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
    let since = Box::pin(Since::read(work, record, &wanted, own)).await?;
    let since = since.as_ref();
    let mut found = Found::default();
    found.objects(&report, own);
    let fully = work.steps.iter().any(|step| step.left() == Some(Applied::Fully));
    let stakes = Stakes::of(&work.step, fully, relatives(&report, since)).with_writers(writers);
    let not_own = |one: &&TableDifference| own.is_none_or(|own| own.to_string() != one.table);
    for table in report.tables.differences.iter().filter(not_own) {
        if matches!(table.change, TableChange::Added | TableChange::Gone) {
            // Told as an object of the schema.
            continue;
        }
        let stake = stakes.in_table(&table.table, record.undo.way);
        found.table(work, &against, table, &stake, since).await?;
    }
    let then = Schema::recorded(work.context, &work.point).await?;
    if let Some(since) = since {
        let is_equal = |name: &&str| report.tables.equal_names.iter().any(|one| one == name);
        for name in since.tables().filter(is_equal) {
            found.equal(name, &stakes.in_table(name, record.undo.way), since);
        }
        for (name, rows) in since.gone() {
            if let Some(of) = stakes.relatives(name).find(|one| then.has_table(one)) {
                found.told(judge_part(name, of, rows, stakes.inserted(name)));
            }
        }
    } else if !stakes.names().is_empty() {
        found.open.push("what the undo itself took is not known: the restore point from before it is gone".to_owned());
    }
    for sequence in &report.sequences {
        let Told { proof, open, .. } = judge_sequence(sequence);
        found.open.extend(open);
        if stakes.names().contains(&sequence.name.as_str()) {
            found.proof.extend(proof);
        }
    }
    let differ = |name: &str| report.tables.differences.iter().any(|one| one.table == name);
    let (equal, rest): (Vec<&str>, Vec<&str>) =
        stakes.names().into_iter().partition(|name| report.tables.equal_names.iter().any(|one| one == name));
    if !equal.is_empty() {
        let names: Vec<String> = equal.into_iter().map(str::to_owned).collect();
        found.proof.push(format!("rows of {} are those of the restore point", listed(&names, NAMED)));
    }
    let unseen = rest.into_iter().filter(|name| then.has_table(name) && !differ(name));
    let unseen: Vec<String> = unseen.map(str::to_owned).collect();
    if !unseen.is_empty() && report.tables.differences.iter().any(|one| not_own(&one)) {
        found.open.push(format!("rows of {} were not compared by themselves", listed(&unseen, NAMED)));
    }
    let by_run = added_by_run(&work.step, fully);
    found.told(judge_database(&report, since.map(|since| &since.report), by_run));
    found.proof.push(format!(
        "{} of {} tables hold exactly the restore point's rows",
        report.tables.equal, report.tables.then
    ));
    // What the tool would not run again was not undone.
    found.open.extend(not_pending(work).await?);
    record.undo.proof = found.proof;
    record.undo.not_as_before = found.open;
    record.look = found.look;
    Ok(())
}

/// Partitions with the tables that they are parts of: before the run, before its undo, or now.
fn relatives(report: &CompareReport, since: Option<&Since>) -> Relatives {
    let mut all = report.relatives.clone();
    for (table, others) in since.map(|since| &since.report.relatives).into_iter().flatten() {
        let known = all.entry(table.clone()).or_default();
        known.extend(others.iter().filter(|other| !known.contains(other)).cloned().collect::<Vec<_>>());
    }
    all
}

/// What shows that it worked, and what is open.
#[derive(Default)]
struct Found {
    proof: Vec<String>,
    open: Vec<String>,
    look: Vec<String>,
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
        since: Option<&Since>,
    ) -> Result<(), Error> {
        let name = &table.table;
        let at_stake = stake.at_risk.is_some() || stake.written;
        if table.change == TableChange::Columns && table.rows_equal == Some(true) {
            // That is told as an object of the schema, too.
            if at_stake {
                self.proof.push(format!("rows of {name} are those of the restore point"));
            }
            if let Some(since) = since {
                self.equal(name, stake, since);
            }
            return Ok(());
        }
        if let Some(why) = &table.why {
            let told = format!("rows of {name} were not compared: {why}");
            if at_stake {
                self.open.push(told)
            } else {
                self.proof.push(told)
            }
            return Ok(());
        }
        let Some(since) = since else {
            self.open.push(format!("{}: the restore point from before the undo is gone", differ(table)));
            return Ok(());
        };
        if let Some(difference) = since.uncounted(name).filter(|_| !at_stake) {
            let what = differ(difference);
            self.open.push(format!("{what} since the undo began: by what it ran, or written meanwhile"));
            return Ok(());
        }
        // Columns that others added or dropped make a table another one, whatever its rows are.
        if !at_stake
            && table.change == TableChange::Columns
            && !since.rows(name).any()
            && rows(work, &work.point, against, name).await?.is_some_and(|then| !then.any())
        {
            self.proof.push(format!("rows of {name} are those of the restore point, in the columns that both have"));
            return Ok(());
        }
        let then = if at_stake { rows(work, &work.point, against, name).await? } else { Some(Rows::default()) };
        let Some(then) = then else {
            self.open.push(format!("{}: written since, or not brought back", differ(table)));
            return Ok(());
        };
        self.told(judge(name, stake, &then, &since.rows(name)));
        Ok(())
    }

    /// Judges a table that holds what it held before the run, and something else right before the undo.
    fn equal(&mut self, name: &str, stake: &Stake, since: &Since) {
        let at_stake = stake.at_risk.is_some() || stake.written;
        match since.uncounted(name) {
            Some(difference) if !at_stake || difference.why.is_some() => {
                let why = difference.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
                let what = differ(difference);
                self.open.push(format!("{what} since the undo began{why}: by what it ran, or written meanwhile"));
            }
            _ if since.rows(name).any() => {
                self.told(judge(name, stake, &Rows::default(), &since.rows(name)));
            }
            _ => {}
        }
    }

    fn told(&mut self, told: Told) {
        self.proof.extend(told.proof);
        self.open.extend(told.open);
        self.look.extend(told.look);
    }
}

/// That a table's rows differ, with how many there are.
fn differ(table: &TableDifference) -> String {
    let rows = |rows: Option<u64>| rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
    format!("rows of {} differ ({} then, {} now)", table.table, rows(table.rows_then), rows(table.rows_now))
}

/// Whether an object is in a side schema of a recovery, which is holdpoint's own and no part of the database.
pub(super) fn is_side(object: &str) -> bool {
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
