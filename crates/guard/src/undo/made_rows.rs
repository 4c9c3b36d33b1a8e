//! How many rows what the run made holds, by who wrote them last: read once, and only where it is not too large.

use std::collections::BTreeMap;

use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_core::quantity::bytes;
use holdpoint_postgres::Session;

use super::comeback::Now;
use super::live::{connected, quoted};
use super::made::Made;
use super::others::written_since;
use super::work::Work;
use crate::Error;

/// Tables with more bytes than this are not read, where no limit was given.
const READ_UP_TO: u64 = 10 << 30;

/// The rows of what the run made, by who wrote them last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Nobody can tell.
    Unknown { rows: u64 },
    /// Since the command began.
    Begun { rows: u64 },
    /// While the command ran, and since.
    Known { during: u64, since: u64 },
}

/// What was read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// All of it.
    Counted {
        /// So many rows of what was read the rehearsal wrote; `None` where nobody knows.
        rehearsed: Option<u64>,
        /// Who wrote them.
        written: Written,
    },
    /// Nothing, and why.
    TooLarge(String),
}

/// Where its rows are read.
struct Rows {
    /// The table, and which of its rows count, as SQL after FROM.
    from: String,
    bytes: u64,
    rehearsed: Option<u64>,
}

impl Rows {
    /// Why they are not read; `None` where they are.
    fn too_large(&self, work: &Work<'_>) -> Option<String> {
        let limit = work.options.compare_up_to.unwrap_or(READ_UP_TO);
        (self.bytes > limit).then(|| {
            format!("it holds {}, and more than {} are not read (--compare-limit)", bytes(self.bytes), bytes(limit))
        })
    }
}

/// Counts rows by who wrote them last; `None` where the table, or each of the columns, is gone or makes its own values. Of a
/// partitioned table those of the partitions that are not among `all`, such as one that came after the run.
///
/// # Errors
/// Those of the server.
pub(super) async fn count(work: &Work<'_>, made: &Made, all: &[Made]) -> Result<Option<Read>, Error> {
    let Some(now) = Now::read(work, &made.table).await? else { return Ok(None) };
    let session = connected(work).await?;
    let read = async {
        let Some(rows) = rows(&session, made, all, &now).await? else { return Ok(None) };
        if let Some(why) = rows.too_large(work) {
            return Ok(Some(Read::TooLarge(why)));
        }
        let written = by_writer(&session, work, made, &rows).await?;
        Ok(Some(Read::Counted { rehearsed: rows.rehearsed, written }))
    };
    let read = read.await;
    session.close().await;
    read
}

/// Why somebody else may have something there, where nobody had when it was shown: a row was written last since the command
/// ended, or it is too large to be read by now. Ends at the first such row.
///
/// # Errors
/// Those of the server.
pub(super) async fn written_since_shown(work: &Work<'_>, made: &Made, all: &[Made]) -> Result<Option<String>, Error> {
    let Some(now) = Now::read(work, &made.table).await? else { return Ok(None) };
    let session = connected(work).await?;
    let looked = async {
        let Some(rows) = rows(&session, made, all, &now).await? else { return Ok(None) };
        if let Some(why) = rows.too_large(work) {
            return Ok(Some(why));
        }
        let seen = work.step.transactions.as_ref();
        let newest = seen.map(|seen| seen.after.as_ref().unwrap_or(&seen.before));
        let sql = format!("SELECT EXISTS (SELECT FROM {} AND {})", rows.from, condition(newest));
        let row = session.query_one(&format!("looking for new rows of {}", made.table), &sql, &[]).await?;
        Ok(row.get::<_, bool>(0).then(|| "written since this was shown".to_owned()))
    };
    let looked = looked.await;
    session.close().await;
    looked
}

/// Finds where the rows lie; `None` where there are none to be read.
async fn rows(session: &Session, made: &Made, all: &[Made], now: &Now) -> Result<Option<Rows>, Error> {
    let holds = |one: &&String| now.columns.iter().any(|column| column.name == **one && !column.generated);
    let columns: Vec<&String> = made.columns.iter().filter(holds).collect();
    let of_their_own: Vec<&String> =
        now.parts.iter().filter(|part| all.iter().any(|one| one.table == **part)).collect();
    let gone = columns.is_empty() && !made.columns.is_empty();
    if gone || !now.parts.is_empty() && of_their_own.len() == now.parts.len() {
        return Ok(None);
    }
    // What the rehearsal wrote lies in those.
    let rehearsed = if of_their_own.is_empty() { made.rehearsed } else { Some(0) };
    let defaults = defaults(session, &made.table).await?;
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
    let bytes = size(session, &made.table, &elsewhere).await?;
    let only = if now.parts.is_empty() { "ONLY " } else { "" };
    let from = format!("{only}{} WHERE ({values}) AND tableoid <> ALL ({elsewhere})", quoted(&made.table));
    Ok(Some(Rows { from, bytes, rehearsed }))
}

async fn by_writer(session: &Session, work: &Work<'_>, made: &Made, rows: &Rows) -> Result<Written, Error> {
    let seen = work.step.transactions.as_ref();
    let filtered = |snapshot: Option<&String>| format!("pg_catalog.count(*) FILTER (WHERE {})", condition(snapshot));
    let (before, after) = (seen.map(|seen| &seen.before), seen.and_then(|seen| seen.after.as_ref()));
    let sql = format!("SELECT {}, {} FROM {}", filtered(before), filtered(after), rows.from);
    let row = session.query_one(&format!("counting rows of {}", made.table), &sql, &[]).await?;
    let count = |at: usize| u64::try_from(row.get::<_, i64>(at)).unwrap_or_default();
    Ok(match (before, after) {
        (None, _) => Written::Unknown { rows: count(0) },
        (Some(_), None) => Written::Begun { rows: count(0) },
        (Some(_), Some(_)) => {
            let since = count(1).min(count(0));
            Written::Known { during: count(0) - since, since }
        }
    })
}

/// A condition: the row was written since that snapshot; any row where there is none.
fn condition(snapshot: Option<&String>) -> String {
    snapshot.map_or_else(|| "true".to_owned(), |snapshot| written_since(snapshot))
}

/// The bytes of a table with its partitions, but those `elsewhere`, and what TOAST holds of them.
async fn size(session: &Session, table: &str, elsewhere: &str) -> Result<u64, Error> {
    let sql = format!(
        "SELECT COALESCE(pg_catalog.sum(pg_catalog.pg_table_size(one)), 0)::int8 \
         FROM (SELECT pg_catalog.to_regclass({0}) AS one \
               UNION SELECT relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass({0}))) AS tables \
         WHERE one <> ALL ({elsewhere})",
        quote_literal(&quoted(table))
    );
    let row = session.query_one("reading how large a table is", &sql, &[]).await?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
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
