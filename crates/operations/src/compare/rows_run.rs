//! The comparison of rows.

use std::sync::Arc;
use std::time::Instant;

use holdpoint_core::name::archive_text;
use holdpoint_core::progress::{Phase, Progress};
use holdpoint_engine::{ListedRow, RowChange, RowValue, RowsFound, RowsOptions, compare_rows as join_rows};
use holdpoint_postgres::scratch::available_bytes;
use tokio_util::sync::CancellationToken;

use super::key::Common;
use super::live::{Held, hold};
use super::rows::{
    CompareRowsOptions, CompareTablesOptions, HowRows, RowCounts, RowDifference, RowKind, RowsReport, ShownValue,
};
use super::rows_side::{Meant, TableSide, TextForm};
use super::{Against, CompareError};
use crate::{Context, Error, reading};

/// Bytes that a row takes in a temporary file.
const ROW_BYTES: u64 = 40;

/// Compares the rows of a table of a restore point by key with those of the same table elsewhere: missing, changed, new,
/// with exact counts.
///
/// Reads each side once, and again the few rows that are listed; a live side in one snapshot. Nothing is written to a
/// database, and to the repository nothing but the pin of a reader, which is removed again; temporary files hold hashes only,
/// have no names, and are gone whatever happens.
/// Memory: `memory_bytes` and a little, a piece of the archive for each job, and what is listed.
///
/// # Errors
/// [`CompareError`], [`Error::CannotRead`], [`Error::RowSecurity`], those of [`compare`](super::compare), and of the
/// repository and PostgreSQL.
pub async fn compare_rows(context: &Context, options: &CompareRowsOptions) -> Result<RowsReport, Error> {
    let compared = Box::pin(rows_of(context, options));
    let compared = Box::pin(async {
        match &options.against {
            Against::Point(other) if *other != options.point => reading::held_if_there(context, other, compared).await,
            _ => compared.await,
        }
    });
    match reading::held_if_there(context, &options.point, compared).await {
        Err(failure) => {
            let failure = reading::or_dropped(context, &options.point, failure).await;
            Err(match &options.against {
                Against::Point(other) => reading::or_dropped(context, other, failure).await,
                Against::Database { .. } => failure,
            })
        }
        report => report,
    }
}

async fn rows_of(context: &Context, options: &CompareRowsOptions) -> Result<RowsReport, Error> {
    let work = Work::begin(&context.progress, &context.cancel, &options.how);
    let then = TableSide::stored(context, &options.point, Meant::Named(&options.table)).await?;
    let report = match &options.against {
        Against::Point(other) => {
            let now = TableSide::stored(context, other, options.other(&then)).await?;
            work.compare(then, now, Without::Refused).await
        }
        Against::Database { source, own } => {
            let held = hold(source, own.then_some(context), options.how.lock_wait).await?;
            let lc_monetary = then.text().and_then(|text| text.lc_monetary);
            let compared = async {
                let filter = both(then.filter.as_deref(), options.now_where.as_deref());
                let now = TableSide::live(&held, options.other(&then), lc_monetary.as_deref(), filter).await?;
                work.compare(then, now, Without::Refused).await
            };
            held.during(compared).await.map(|report| report.with_notes(&held))
        }
    };
    work.end(report)
}

/// Compares two tables of one database, such as a shadow table before a switch: columns and rows in one snapshot.
///
/// Where neither has a key, rows are counted and digested only. Else as [`compare_rows`].
///
/// # Errors
/// As [`compare_rows`], without those of a repository.
pub async fn compare_tables(
    progress: &Arc<dyn Progress>,
    cancel: &CancellationToken,
    options: &CompareTablesOptions,
) -> Result<RowsReport, Error> {
    let work = Work::begin(progress, cancel, &options.how);
    let held = hold(&options.source, None, options.how.lock_wait).await?;
    let compared = async {
        let then = TableSide::live(&held, Meant::Named(&options.table), None, None).await?;
        let now = TableSide::live(&held, Meant::Named(&options.with), None, None).await?;
        let with = Some(now.name.clone());
        Ok(RowsReport { with, ..work.compare(then, now, Without::Digested).await? })
    };
    work.end(held.during(compared).await.map(|report| report.with_notes(&held)))
}

impl CompareRowsOptions {
    /// Which table of the other side is meant.
    fn other<'a>(&'a self, then: &'a TableSide) -> Meant<'a> {
        self.now_named.as_ref().map_or(Meant::Namesake(&then.table), Meant::Named)
    }
}

/// What becomes of a table without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Without {
    /// The comparison.
    Refused,
    /// Its rows as a whole.
    Digested,
}

/// A comparison while it runs.
struct Work<'a> {
    progress: &'a Arc<dyn Progress>,
    cancel: &'a CancellationToken,
    how: &'a HowRows,
    began: Instant,
}

impl RowsReport {
    fn with_notes(mut self, held: &Held) -> Self {
        self.notes.extend(held.notes.iter().cloned());
        self
    }
}

impl<'a> Work<'a> {
    fn begin(progress: &'a Arc<dyn Progress>, cancel: &'a CancellationToken, how: &'a HowRows) -> Self {
        progress.phase(Phase::Preflight, None);
        Self { progress, cancel, how, began: Instant::now() }
    }

    /// What breaks off after a signal is an interruption.
    fn end(&self, report: Result<RowsReport, Error>) -> Result<RowsReport, Error> {
        let took_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match report {
            Ok(report) => Ok(RowsReport { took_ms, ..report }),
            Err(_) if self.cancel.is_cancelled() => Err(Error::Interrupted),
            Err(error) => Err(error),
        }
    }

    async fn compare(&self, then: TableSide, now: TableSide, without: Without) -> Result<RowsReport, Error> {
        let how = self.how;
        let text = text_of(&then, &now)?;
        let table = then.name.clone();
        let now = now.with_renamed(&how.renamed, &then)?;
        let with = (now.table != then.table).then(|| now.name.clone());
        let common = Common::of(&table, &then.form, &now.form)?;
        let mut notes = [&then.notes[..], &now.notes].concat();
        notes.dedup();
        let key = match common.key(&table, how.key.as_deref(), &then.form, &now.form) {
            Ok(key) => key,
            Err(CompareError::NoKey { why, .. }) if without == Without::Digested => {
                notes.push(format!("rows were counted and digested as a whole, not compared by key: {why}"));
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        let (common, key) = match &how.columns {
            Some(wanted) => common.only(&key, wanted),
            None => (common, key),
        };
        room(how, &then, &now)?;
        let (side_then, side_now) = (then.side.clone(), now.side.clone());
        let by = if key.is_empty() { (0..common.columns.len()).collect() } else { key.clone() };
        let options = RowsOptions {
            limit: if key.is_empty() { 0 } else { how.limit },
            memory_bytes: how.memory_bytes,
            directory: how.directory.clone(),
            key: by.clone(),
            values: how.values,
        };
        self.progress.phase(Phase::Comparing, None);
        let then = then.open(&common, &by, &text.encoding, how.jobs)?;
        let now = now.open(&common, &by, &text.encoding, how.jobs)?;
        let found = join_rows(then, now, &options, Arc::clone(self.progress), self.cancel).await?;
        let names: Vec<String> = key.iter().filter_map(|place| common.columns.get(*place).cloned()).collect();
        if found.repeated > 0 && !key.is_empty() {
            return Err(CompareError::KeyRepeats { table, key: names, keys: found.repeated }.into());
        }
        let rows_equal = found.then == found.now;
        Ok(RowsReport {
            then: side_then,
            now: side_now,
            table,
            with,
            equal: rows_equal && common.added.is_empty() && common.gone.is_empty() && common.types.is_empty(),
            rows_then: found.then.rows,
            rows_now: found.now.rows,
            rows_equal,
            counts: (!key.is_empty()).then(|| counts(&found)),
            rows: found.rows.iter().map(|row| difference(row, &common.columns, &text.encoding)).collect(),
            key: names,
            columns_added: common.added,
            columns_gone: common.gone,
            types_changed: common.types,
            spilled_bytes: found.spilled.bytes,
            most_held_bytes: found.spilled.most_held_bytes,
            notes,
            took_ms: 0,
        })
    }
}

/// A table's own condition, which has its `WHERE`, and another one.
fn both(own: Option<&str>, other: Option<&str>) -> Option<String> {
    match (own, other) {
        (Some(own), Some(other)) => {
            let own = own.trim_start().get("WHERE".len()..).unwrap_or_default();
            Some(format!("WHERE ({own}\n) AND ({other})"))
        }
        (None, Some(other)) => Some(format!("WHERE {other}")),
        (own, None) => own.map(str::to_owned),
    }
}

/// How both sides are written; two restore points may disagree.
fn text_of(then: &TableSide, now: &TableSide) -> Result<TextForm, CompareError> {
    match (then.text(), now.text()) {
        (Some(one), Some(other)) if one != other => Err(CompareError::OtherText),
        (Some(text), _) | (None, Some(text)) => Ok(text),
        (None, None) => Ok(TextForm { encoding: "UTF8".to_owned(), lc_monetary: None }),
    }
}

/// Fails where the temporary files would fill the disk.
fn room(options: &HowRows, then: &TableSide, now: &TableSide) -> Result<(), CompareError> {
    let known = then.rows.or(now.rows).unwrap_or_default();
    let rows = then.rows.unwrap_or(known) + now.rows.unwrap_or(known);
    let needed_bytes = rows.saturating_mul(ROW_BYTES);
    if needed_bytes <= options.memory_bytes as u64 {
        return Ok(());
    }
    match available_bytes(&options.directory) {
        Ok(free_bytes) if free_bytes < needed_bytes => Err(CompareError::NoRoom {
            table: then.name.clone(),
            needed_bytes,
            directory: options.directory.display().to_string(),
            free_bytes,
        }),
        // Where it cannot be asked, writing says it.
        _ => Ok(()),
    }
}

fn counts(found: &RowsFound) -> RowCounts {
    RowCounts { equal: found.equal, missing: found.missing, changed: found.changed, new: found.new }
}

fn difference(row: &ListedRow, columns: &[String], encoding: &str) -> RowDifference {
    let text = |value: &RowValue| value.as_deref().map(|bytes| archive_text(bytes, encoding));
    let at = |values: &Option<Vec<RowValue>>, place: usize| {
        values.as_ref().and_then(|values| values.get(place)).and_then(text)
    };
    let shown = |place: &usize| ShownValue {
        column: columns[*place].clone(),
        then: at(&row.then, *place),
        now: at(&row.now, *place),
    };
    let all: Vec<usize> = (0..columns.len()).collect();
    let values = match (row.change, row.then.is_some() || row.now.is_some()) {
        (_, false) => Vec::new(),
        (RowChange::Changed, true) => row.columns.iter().map(shown).collect(),
        (_, true) => all.iter().map(shown).collect(),
    };
    RowDifference {
        change: match row.change {
            RowChange::Missing => RowKind::Missing,
            RowChange::Changed => RowKind::Changed,
            RowChange::New => RowKind::New,
        },
        key: row.key.iter().map(text).collect(),
        columns: row.columns.iter().filter_map(|place| columns.get(*place).cloned()).collect(),
        values,
    }
}
