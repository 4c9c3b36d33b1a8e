//! What a recovery's scripts take of what the run itself made: the rows that others wrote into it go with it.
//!
//! Told as for rows that are set back: who wrote a row last is told by its transaction, and what was written while the
//! command ran is the run's as far as its rehearsal wrote as much.

use holdpoint_core::fingerprint::{Difference, schema_and_name};
use holdpoint_core::rehearsal::{Rehearsal, RehearsalOutcome, TableEffect};
use holdpoint_core::undoing::{Applied, Way};
use holdpoint_operations::compare::stored_form;
use holdpoint_operations::schema_check::Schema;

use super::comeback::Now;
use super::made_rows::{Read, Written, count, written_since_shown};
use super::migrations::schema_changes;
use super::others::{Share, TakenRows, not_compared};
use super::renamed_columns::{renamed_columns, reviewed, still_renamed};
use super::rollback::RollingBack;
use super::taken_by_scripts::trial_of;
use super::work::Work;
use crate::Error;
use crate::rehearse::relation_name;
use crate::tools::Language;

/// A table that the run made, or columns that it added to one that was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) table: String,
    /// None where it made the table.
    pub(super) columns: Vec<String>,
    /// So many rows of it the rehearsal wrote; `None` where nobody knows.
    pub(super) rehearsed: Option<u64>,
    /// It goes with the scripts: it is not the tool's own table, and their trial did not leave it there.
    goes: bool,
}

/// Counts the rows that go with what the run made, and how many of them are others'; nothing where no script is left to run.
/// A table with more bytes than [`UndoOptions::compare_up_to`](super::UndoOptions::compare_up_to) is told as not counted.
///
/// # Errors
/// [`Error::Interrupted`], and those of the repository and the server.
pub(super) async fn goes(work: &Work<'_>, rollback: &RollingBack) -> Result<Vec<TakenRows>, Error> {
    let made = made(work, rollback).await?;
    let fully = work.steps.iter().any(|step| step.left() == Some(Applied::Fully));
    let mut counted = Vec::new();
    for one in made.iter().filter(|one| one.goes) {
        let told = match while_wanted(work, count(work, one, &made)).await? {
            Some(Read::Counted { rehearsed, written }) => {
                let share = share(&Made { rehearsed, ..one.clone() }, written, fully);
                TakenRows { goes: Some(share).filter(|share| share.rows > 0), ..taken(one) }
            }
            Some(Read::TooLarge(why)) => TakenRows { not_counted: Some(why), ..taken(one) },
            None => continue,
        };
        counted.extend(Some(told).filter(|told| told.goes.is_some() || told.not_counted.is_some()));
    }
    Ok(counted)
}

/// The same once more, as far as others may have something there: what was shown stands, and of the rest is only looked whether
/// anybody wrote there since. By a rollback alone that is asked of tables only, as it asks for no columns.
///
/// # Errors
/// As [`goes`].
pub(super) async fn goes_now(
    work: &Work<'_>,
    rollback: &RollingBack,
    way: Way,
    shown: &[TakenRows],
) -> Result<Vec<TakenRows>, Error> {
    let made = made(work, rollback).await?;
    let mut now = Vec::new();
    for one in made.iter().filter(|one| one.goes && (way != Way::Rollback || one.columns.is_empty())) {
        let is_it =
            |shown: &&TakenRows| shown.is_of_the_run() && shown.table == one.table && shown.columns == one.columns;
        if let Some(shown) = shown.iter().filter(is_it).find(|shown| !shown.kinds().is_empty()) {
            now.push(shown.clone());
            continue;
        }
        let why = while_wanted(work, written_since_shown(work, one, &made)).await?;
        now.extend(why.map(|why| TakenRows { not_counted: Some(why), ..taken(one) }));
    }
    Ok(now)
}

async fn while_wanted<T>(work: &Work<'_>, reading: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::select! {
        read = reading => read,
        () = work.context.cancel.cancelled() => Err(Error::Interrupted),
    }
}

fn taken(one: &Made) -> TakenRows {
    TakenRows { table: one.table.clone(), columns: one.columns.clone(), ..TakenRows::default() }
}

/// What the run made, as its rehearsal or the schema shows; nothing where no script is left to run.
async fn made(work: &Work<'_>, rollback: &RollingBack) -> Result<Vec<Made>, Error> {
    if !rollback.is_open {
        return Ok(Vec::new());
    }
    let own = rollback.tracking().map(ToString::to_string);
    let rehearsal = work.step.rehearsal.as_deref().filter(|one| one.outcome == RehearsalOutcome::AsPlanned);
    let mut made = match rehearsal {
        Some(rehearsal) => of_rehearsal(rehearsal),
        None => of_schema(work, rollback).await?,
    };
    let stay = trial_of(&work.step).map_or(&[][..], |trial| &trial.lost);
    for one in &mut made {
        one.goes = Some(&one.table) != own.as_ref() && !stays(stay, &one.table);
    }
    Ok(made)
}

/// Whether the trial of the scripts showed that a table stays.
fn stays(lost: &[String], table: &str) -> bool {
    lost.iter().any(|line| *line == format!("TABLE {table} stays"))
}

/// What the rehearsal saw come.
fn of_rehearsal(rehearsal: &Rehearsal) -> Vec<Made> {
    let made = |effect: &TableEffect| {
        // Rows are compared in the columns that were there before: what was written into new ones the server counted.
        let rows = [effect.rows, effect.written].into_iter().flatten().map(|rows| rows.inserted + rows.updated).max();
        if effect.added {
            let rehearsed = effect.rows_after.or(rows);
            return Some(Made { table: effect.table.clone(), columns: Vec::new(), rehearsed, goes: true });
        }
        if effect.dropped || effect.columns_added.is_empty() {
            return None;
        }
        // All rows of a table that is written anew are the run's.
        let rehearsed = if effect.rewritten { effect.rows_after } else { rows };
        let table = effect.renamed_to.as_ref().unwrap_or(&effect.table).clone();
        let new = |column: &&String| !effect.columns_renamed.iter().any(|one| one.now == **column);
        let columns: Vec<String> = effect.columns_added.iter().filter(new).cloned().collect();
        (!columns.is_empty()).then_some(Made { table, columns, rehearsed, goes: true })
    };
    rehearsal.tables.iter().filter_map(made).collect()
}

/// What is there and was not, by the schema: as far as a migration of the run names it.
async fn of_schema(work: &Work<'_>, rollback: &RollingBack) -> Result<Vec<Made>, Error> {
    let Some((project, _)) = &work.options.place.project else { return Ok(Vec::new()) };
    let unread = rollback.migrations.iter().any(|one| one.language == Language::Program);
    let named = |table: &str| {
        let name = schema_and_name(table).map(|(_, name)| name.to_lowercase());
        let says = |sql: &str| name.as_ref().is_none_or(|name| sql.to_lowercase().contains(name));
        unread || rollback.migrations.iter().any(|one| says(&one.sql))
    };
    let then = Schema::recorded(work.context, &work.point).await?;
    let reviewed = reviewed(work, rollback);
    let mut made = Vec::new();
    for table in schema_changes(work, project).await?.iter().filter_map(table_now).filter(|table| named(table)) {
        if !then.has_table(table) {
            made.push(Made { table: table.to_owned(), columns: Vec::new(), rehearsed: None, goes: true });
            continue;
        }
        let (Some(relation), Some(now)) = (relation_name(table), Now::read(work, table).await?) else { continue };
        let form =
            stored_form(work.context, &work.point, &relation).await.map_err(|error| not_compared(work, error))?;
        let renamed = still_renamed(renamed_columns(work, &reviewed, table), &form.columns, &now);
        let new = |one: &String| !form.columns.contains(one) && !renamed.iter().any(|pair| pair.now == *one);
        let columns = now.columns.iter().map(|one| one.name.clone()).filter(new);
        let columns: Vec<String> = columns.collect();
        if !columns.is_empty() {
            made.push(Made { table: table.to_owned(), columns, rehearsed: None, goes: true });
        }
    }
    Ok(made)
}

/// The table that came, or is another one now.
fn table_now(change: &Difference) -> Option<&str> {
    change.name.strip_prefix("TABLE ").filter(|_| change.found.is_some())
}

/// How many of the rows that go are others'; `fully`: the run did all that was rehearsed.
fn share(made: &Made, written: Written, fully: bool) -> Share {
    let (during, since) = match written {
        Written::Unknown { rows } | Written::Begun { rows } => {
            return Share { rows, others: 0, may_be_others: rows };
        }
        Written::Known { during, since } => (during, since),
    };
    let rows = during + since;
    let Some(rehearsed) = made.rehearsed else {
        return if made.columns.is_empty() {
            Share { rows, others: since, may_be_others: during }
        } else {
            Share { rows, others: 0, may_be_others: rows }
        };
    };
    let run = during.min(rehearsed);
    let theirs = since + during - run;
    if made.columns.is_empty() {
        // Whoever made it wrote into it first, also where what came after that failed.
        Share { rows, others: theirs, may_be_others: 0 }
    } else {
        // Somebody may have written the rest of the row.
        Share { rows, others: 0, may_be_others: theirs + if fully { 0 } else { run } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(columns: &[&str], rehearsed: Option<u64>) -> Made {
        Made {
            table: "s.t".into(),
            columns: columns.iter().map(|one| (*one).to_owned()).collect(),
            rehearsed,
            goes: true,
        }
    }

    #[test]
    fn what_was_written_since_the_command_is_others_and_what_was_rehearsed_is_the_runs() {
        let of = |made: &Made, during, since, fully| {
            let share = share(made, Written::Known { during, since }, fully);
            assert_eq!(share.rows, during + since);
            (share.others, share.may_be_others)
        };
        let table = made(&[], Some(7));
        assert_eq!(of(&table, 7, 0, true), (0, 0), "the run's own");
        assert_eq!(of(&table, 7, 2, true), (2, 0));
        assert_eq!(of(&table, 9, 0, true), (2, 0), "more than the rehearsal wrote");
        assert_eq!(of(&table, 7, 0, false), (0, 0), "its own, although what came after it failed");
        assert_eq!(of(&made(&[], None), 7, 2, true), (2, 7), "nobody rehearsed it");
        let column = made(&["weight"], Some(7));
        assert_eq!(of(&column, 7, 0, true), (0, 0));
        assert_eq!(of(&column, 7, 2, true), (0, 2), "or another column of the row");
        assert_eq!(of(&column, 7, 0, false), (0, 7), "what a failed run did is not known");
        assert_eq!(of(&made(&["weight"], None), 7, 2, true), (0, 9));
    }

    #[test]
    fn without_the_transactions_every_row_may_be_others() {
        for written in [Written::Unknown { rows: 3 }, Written::Begun { rows: 3 }] {
            assert_eq!(share(&made(&[], Some(3)), written, true), Share { rows: 3, others: 0, may_be_others: 3 });
        }
    }

    #[test]
    fn tables_and_columns_that_the_rehearsal_saw_come_are_what_goes() {
        let rehearsal: Rehearsal = serde_json::from_value(serde_json::json!({
            "format": 1, "point": "20261121T024300Z-k3f9", "started_at": "2026-11-21T02:43:00Z", "outcome": "as_planned",
            "reasons": [], "command": [], "exit_code": 0, "signal": null, "took_ms": 1, "measured_on": "x", "role": "app",
            "isolation": { "namespace": false, "why_not": null, "rewritten": [], "harmless": [], "held": null,
                           "watched": false },
            "tracking": { "table": null, "pending": [], "recorded": [], "exact": null },
            "tables": [
                { "table": "s.tags", "added": true, "rows_after": 4 },
                { "table": "s.orders", "columns_added": ["weight"], "rows": { "inserted": 0, "updated": 0, "deleted": 0 },
                  "written": { "inserted": 0, "updated": 3, "deleted": 0 } },
                { "table": "s.log", "renamed_to": "s.logs", "columns_added": ["at"], "rewritten": true, "rows_after": 9 },
                { "table": "s.notes", "columns_added": ["word"], "columns_gone": ["text"],
                  "columns_renamed": [{ "before": "text", "now": "word" }] },
                { "table": "s.gone", "dropped": true, "columns_added": ["x"] },
                { "table": "s.other", "rows": { "inserted": 1, "updated": 0, "deleted": 0 } },
            ],
            "sampling": { "samples": 0, "every_us": 0, "longest_gap_us": 0, "at_ddl": false }, "objects": [],
            "invalid_indexes": [], "sequences": [], "large_objects": null, "rollback": null, "not_told": [],
            "warnings": [], "looked_for_ms": 1
        }))
        .unwrap();
        let found: Vec<_> =
            of_rehearsal(&rehearsal).into_iter().map(|one| (one.table, one.columns.concat(), one.rehearsed)).collect();
        let expected = [("s.tags", "", Some(4)), ("s.orders", "weight", Some(3)), ("s.logs", "at", Some(9))];
        assert_eq!(found, expected.map(|(table, columns, rows)| (table.to_owned(), columns.to_owned(), rows)));
        assert!(stays(&["TABLE s.tags stays".to_owned()], "s.tags") && !stays(&[], "s.tags"));
    }
}
