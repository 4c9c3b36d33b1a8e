//! What a recovery's scripts take of what the run itself made: the rows that others wrote into it go with it.
//!
//! Told as for rows that are set back: who wrote a row last is told by its transaction, and what was written while the
//! command ran is the run's as far as its rehearsal wrote as much.

use std::collections::BTreeMap;

use holdpoint_core::fingerprint::{Difference, schema_and_name};
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_core::rehearsal::{Rehearsal, RehearsalOutcome, TableEffect};
use holdpoint_core::undoing::Applied;
use holdpoint_operations::compare::stored_form;
use holdpoint_operations::schema_check::Schema;
use holdpoint_postgres::Session;

use super::attempt::Work;
use super::comeback::Now;
use super::migrations::schema_changes;
use super::others::{Share, TakenRows, not_compared, written_since};
use super::recover::{connected, quoted};
use super::renamed_columns::{renamed_columns, reviewed, still_renamed};
use super::rollback::RollingBack;
use super::taken_by_scripts::trial_of;
use crate::Error;
use crate::rehearse::relation_name;
use crate::tools::Language;

/// A table that the run made, or columns that it added to one that was there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Made {
    table: String,
    /// None where it made the table.
    columns: Vec<String>,
    /// So many rows of it the rehearsal wrote; `None` where nobody knows.
    rehearsed: Option<u64>,
}

/// The rows of what the run made, by who wrote them last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// Nobody can tell.
    Unknown { rows: u64 },
    /// Since the command began.
    Begun { rows: u64 },
    /// While the command ran, and since.
    Known { during: u64, since: u64 },
}

/// Counts the rows that go with what the run made, and how many of them are others'; nothing where no script is left to run.
///
/// # Errors
/// [`Error::Interrupted`], and those of the repository and the server.
pub(super) async fn goes(work: &Work<'_>, rollback: &RollingBack) -> Result<Vec<TakenRows>, Error> {
    if !rollback.is_open {
        return Ok(Vec::new());
    }
    let own = rollback.tracking().map(ToString::to_string);
    let rehearsal = work.step.rehearsal.as_deref().filter(|one| one.outcome == RehearsalOutcome::AsPlanned);
    let made = match rehearsal {
        Some(rehearsal) => of_rehearsal(rehearsal),
        None => of_schema(work, rollback).await?,
    };
    let stay = trial_of(&work.step).map_or(&[][..], |trial| &trial.lost);
    let goes = |one: &&Made| Some(&one.table) != own.as_ref() && !stays(stay, &one.table);
    let mut counted = Vec::new();
    for one in made.iter().filter(goes) {
        let written = tokio::select! {
            written = written(work, one, &made) => written?,
            () = work.context.cancel.cancelled() => return Err(Error::Interrupted),
        };
        let fully = work.steps.iter().any(|step| step.left() == Some(Applied::Fully));
        let goes = written.map(|(one, written)| share(&one, written, fully)).filter(|share| share.rows > 0);
        let taken = |goes| TakenRows {
            table: one.table.clone(),
            columns: one.columns.clone(),
            goes: Some(goes),
            ..TakenRows::default()
        };
        counted.extend(goes.map(taken));
    }
    Ok(counted)
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
            return Some(Made { table: effect.table.clone(), columns: Vec::new(), rehearsed });
        }
        if effect.dropped || effect.columns_added.is_empty() {
            return None;
        }
        // All rows of a table that is written anew are the run's.
        let rehearsed = if effect.rewritten { effect.rows_after } else { rows };
        let table = effect.renamed_to.as_ref().unwrap_or(&effect.table).clone();
        let new = |column: &&String| !effect.columns_renamed.iter().any(|one| one.now == **column);
        let columns: Vec<String> = effect.columns_added.iter().filter(new).cloned().collect();
        (!columns.is_empty()).then_some(Made { table, columns, rehearsed })
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
            made.push(Made { table: table.to_owned(), columns: Vec::new(), rehearsed: None });
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
            made.push(Made { table: table.to_owned(), columns, rehearsed: None });
        }
    }
    Ok(made)
}

/// The table that came, or is another one now.
fn table_now(change: &Difference) -> Option<&str> {
    change.name.strip_prefix("TABLE ").filter(|_| change.found.is_some())
}

/// Counts rows by who wrote them last; `None` where the table, or each of the columns, is gone or makes its own values. Of a
/// partitioned table those of the partitions that are not among `all`, such as one that came after the run.
async fn written(work: &Work<'_>, made: &Made, all: &[Made]) -> Result<Option<(Made, Written)>, Error> {
    let Some(now) = Now::read(work, &made.table).await? else { return Ok(None) };
    let holds = |one: &&String| now.columns.iter().any(|column| column.name == **one && !column.generated);
    let columns: Vec<&String> = made.columns.iter().filter(holds).collect();
    if columns.is_empty() && !made.columns.is_empty() {
        return Ok(None);
    }
    let of_their_own: Vec<&String> =
        now.parts.iter().filter(|part| all.iter().any(|one| one.table == **part)).collect();
    // What the rehearsal wrote lies in those.
    let rehearsed = if of_their_own.is_empty() { made.rehearsed } else { Some(0) };
    let seen = work.step.transactions.as_ref();
    let filtered = |snapshot: Option<&String>| {
        let condition = snapshot.map_or_else(|| "true".to_owned(), |snapshot| written_since(snapshot));
        format!("pg_catalog.count(*) FILTER (WHERE {condition})")
    };
    let (before, after) = (seen.map(|seen| &seen.before), seen.and_then(|seen| seen.after.as_ref()));
    let session = connected(work).await?;
    let read = defaults(&session, &made.table).await;
    let defaults = match read {
        Ok(defaults) => defaults,
        Err(error) => {
            session.close().await;
            return Err(error);
        }
    };
    let values = columns.into_iter().map(|column| match defaults.get(column) {
        Some(default) => format!("{}::text <> {default}", quote_identifier(column)),
        None => format!("{} IS NOT NULL", quote_identifier(column)),
    });
    let values: Vec<String> = values.collect();
    let values = if values.is_empty() { "true".to_owned() } else { values.join(" OR ") };
    let parts: Vec<String> = of_their_own
        .into_iter()
        .map(|part| format!("pg_catalog.to_regclass({})::oid", quote_literal(&quoted(part))))
        .collect();
    let elsewhere = format!("ARRAY[{}]::oid[]", parts.join(", "));
    let only = if now.parts.is_empty() { "ONLY " } else { "" };
    let sql = format!(
        "SELECT {}, {} FROM {only}{} WHERE ({values}) AND tableoid <> ALL ({elsewhere})",
        filtered(before),
        filtered(after),
        quoted(&made.table)
    );
    let row = session.query_one(&format!("counting rows of {}", made.table), &sql, &[]).await;
    session.close().await;
    let row = row?;
    let count = |at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or_default();
    let written = match (before, after) {
        (None, _) => Written::Unknown { rows: count(0) },
        (Some(_), None) => Written::Begun { rows: count(0) },
        (Some(_), Some(_)) => {
            let since = count(1).min(count(0));
            Written::Known { during: count(0) - since, since }
        }
    };
    Ok(Some((Made { rehearsed, ..made.clone() }, written)))
}

/// The values that columns of a table got as they were added, by their names, as SQL that gives their text: a row that has one
/// shows nobody's work. Lifts the session's time-out for statements: a role may have one, and large tables are counted.
async fn defaults(session: &Session, table: &str) -> Result<BTreeMap<String, String>, Error> {
    const WHAT: &str = "reading the values that added columns began with";
    session.run(WHAT, "SET statement_timeout = 0").await?;
    let sql = format!(
        "SELECT attname::text, \
                pg_catalog.format('(%L::%s[])[1]::text', attmissingval::text, pg_catalog.format_type(atttypid, atttypmod)) \
         FROM pg_catalog.pg_attribute WHERE attrelid = pg_catalog.to_regclass({}) AND atthasmissing AND NOT attisdropped",
        quote_literal(&quoted(table))
    );
    let rows = session.query(WHAT, &sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
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
        Made { table: "s.t".into(), columns: columns.iter().map(|one| (*one).to_owned()).collect(), rehearsed }
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
