//! Tables of a live database read to their ends, and thrown away: what cannot be read is found.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use holdpoint_core::progress::Progress;
use holdpoint_postgres::catalog::large_objects::{self as postgres, LargeObjectPart};
use holdpoint_postgres::copied_rows::{Copied, copied_rows};
use holdpoint_postgres::{ConnectionSettings, Row, Session, SessionPurpose};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Error;

const WHAT: &str = "reading tables to their ends";
/// How many large objects are asked for at a time, and how many bytes of one: what a session holds of them is one part.
const BATCH: i64 = 100;
const PART: u32 = 256 * 1024;
/// How many large objects that cannot be read are looked for; then nobody needs to know of more.
const MOST_NAMED: usize = 20;

/// What of a database is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhatToRead {
    /// Tables that are left out, by OID: every value of theirs that rows are compared by was read before. One with stored
    /// generated values that may lie outside of its rows is read all the same.
    pub except: BTreeSet<u32>,
    /// Whether large objects are read.
    pub large_objects: bool,
}

impl WhatToRead {
    /// Every table and large object.
    #[must_use]
    pub fn everything() -> Self {
        Self { except: BTreeSet::new(), large_objects: true }
    }
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablesRead {
    /// How many tables were read to their ends.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// How many large objects were read to their ends.
    pub large_objects: u64,
    /// Bytes of text that the tables have, and bytes of the large objects.
    pub bytes: u64,
    /// Tables and large objects of which the server cannot read some block or value, with what it said.
    pub damaged: Vec<(String, String)>,
    /// Those that it refused for another reason, such as a right that lacks, with what it said.
    pub refused: Vec<(String, String)>,
}

/// Reads tables and materialized views of a database to their ends, the largest first, by `jobs` sessions, and every large
/// object by one more: every stored value, also those outside of their rows. Memory: a few hundred KiB a session.
///
/// What the server refuses, for damaged blocks as for lacking rights, is listed and does not keep the others from
/// being read; of large objects, of which there may be millions, a few are listed at most.
///
/// # Errors
/// A lost connection; [`Error::Cancelled`].
pub async fn read_tables(
    settings: &ConnectionSettings,
    what: &WhatToRead,
    jobs: usize,
    progress: Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<TablesRead, Error> {
    let work = async {
        let session = open(settings).await?;
        let queue = Arc::new(Mutex::new(statements(&session, &what.except).await?));
        session.close().await;
        let mut sessions = JoinSet::new();
        for _ in 0..jobs.max(1) {
            let (settings, queue, progress) = (settings.clone(), Arc::clone(&queue), Arc::clone(&progress));
            sessions.spawn(async move { read(&settings, &queue, progress.as_ref()).await });
        }
        if what.large_objects {
            let (own, told) = (settings.clone(), Arc::clone(&progress));
            sessions.spawn(async move {
                let session = open(&own).await?;
                let read = large_objects(&session, told.as_ref()).await?;
                session.close().await;
                Ok(read)
            });
        }
        let mut all = TablesRead::default();
        while let Some(joined) = sessions.join_next().await {
            let one = joined.map_err(Error::Worker)??;
            all.tables += one.tables;
            all.rows += one.rows;
            all.large_objects += one.large_objects;
            all.bytes += one.bytes;
            all.damaged.extend(one.damaged);
            all.refused.extend(one.refused);
        }
        all.damaged.sort();
        all.refused.sort();
        Ok(all)
    };
    tokio::select! {
        all = work => all,
        () = cancel.cancelled() => Err(Error::Cancelled),
    }
}

/// Whether what the server says means that stored bytes are not what they were: class XX is data corrupted and internal
/// errors, 58 errors of the system below, 22 values that are none (PostgreSQL manual, "PostgreSQL Error Codes").
#[must_use]
pub fn is_damage(sqlstate: &str) -> bool {
    ["XX", "58", "22"].iter().any(|class| sqlstate.starts_with(class))
}

async fn open(settings: &ConnectionSettings) -> Result<Session, Error> {
    let session = Session::connect(settings, &SessionPurpose::new("holdpoint read")).await?;
    // Rows that row security hides would not be read: with this the server says so instead.
    session.run(WHAT, "SET row_security = off").await?;
    Ok(session)
}

/// The name of each table, and the statement that reads it.
async fn statements(session: &Session, except: &BTreeSet<u32>) -> Result<VecDeque<(String, String)>, Error> {
    // COPY of a table leaves generated columns out, and that of a query does not; the virtual ones are nowhere stored.
    let sql = "SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname), c.relkind = 'm', c.relkind = 'r' AND EXISTS ( \
                 SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                 AND a.attgenerated = 's' AND a.attlen = -1), \
               (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) \
                 FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
                 AND a.attgenerated <> 'v') \
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE (c.relkind = 'r' OR c.relkind = 'm' AND c.relispopulated) AND c.relpersistence <> 't' \
               AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_toast' \
               ORDER BY pg_catalog.pg_table_size(c.oid) DESC, c.oid";
    let rows = session.query(WHAT, sql, &[]).await?;
    let statement = |row: &Row| {
        let (oid, name): (u32, String) = (row.get(0), row.get(1));
        let (is_view, is_generated): (bool, bool) = (row.get(2), row.get(3));
        let columns: Option<String> = row.get(4);
        let statement = match (is_view, is_generated, columns) {
            (true, ..) => format!("COPY (TABLE {name}) TO STDOUT"),
            (false, true, Some(columns)) => format!("COPY (SELECT {columns} FROM ONLY {name}) TO STDOUT"),
            (false, ..) => format!("COPY {name} TO STDOUT"),
        };
        (is_generated || !except.contains(&oid)).then_some((name, statement))
    };
    Ok(rows.iter().filter_map(statement).collect())
}

async fn read(
    settings: &ConnectionSettings,
    queue: &Mutex<VecDeque<(String, String)>>,
    progress: &dyn Progress,
) -> Result<TablesRead, Error> {
    let session = open(settings).await?;
    let mut all = TablesRead::default();
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    while let Some((table, statement)) = next() {
        match read_one(&session, &table, statement, progress).await {
            Ok((rows, bytes)) => {
                all.tables += 1;
                all.rows += rows;
                all.bytes += bytes;
            }
            Err(error) => all.note(table, error)?,
        }
    }
    session.close().await;
    Ok(all)
}

impl TablesRead {
    /// Lists what the server refused. With what it says the session goes on; a lost one says nothing.
    fn note(&mut self, what: String, error: holdpoint_postgres::Error) -> Result<(), Error> {
        let said = error.said().unwrap_or_else(|| error.to_string());
        match error.sqlstate() {
            Some(state) if is_damage(state) => self.damaged.push((what, said)),
            Some(state) if !["08", "57"].iter().any(|class| state.starts_with(class)) => {
                self.refused.push((what, said))
            }
            _ => return Err(error.into()),
        }
        Ok(())
    }
}

/// Reads every large object to its end, a batch at a time; one by one where the server refuses a batch.
async fn large_objects(session: &Session, progress: &dyn Progress) -> Result<TablesRead, Error> {
    let mut all = TablesRead::default();
    let mut after = None;
    loop {
        let batch = postgres::oids_after(session, after, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(all) };
        after = Some(*last);
        let Err(error) = read_objects(session, &batch, &mut all, progress).await else { continue };
        if error.sqlstate().is_none() {
            return Err(error.into());
        }
        for oid in batch {
            // What of the batch was read before is read again, and counted once.
            match read_objects(session, &[oid], &mut all, progress).await {
                Ok(()) => {}
                Err(error) => all.note(format!("large object {oid}"), error)?,
            }
            if all.damaged.len() + all.refused.len() >= MOST_NAMED {
                return Ok(all);
            }
        }
    }
}

/// Reads some large objects part by part: one that gives a whole part may have another. They count once all are read.
async fn read_objects(
    session: &Session,
    oids: &[u32],
    all: &mut TablesRead,
    progress: &dyn Progress,
) -> Result<(), holdpoint_postgres::Error> {
    let part = |oid: u32, from| LargeObjectPart { oid, from, length: PART };
    let mut parts: Vec<LargeObjectPart> = oids.iter().map(|oid| part(*oid, 0)).collect();
    let mut bytes = 0;
    while !parts.is_empty() {
        let mut more = Vec::new();
        let mut stream = std::pin::pin!(postgres::read(session, &parts).await?);
        for read in &parts {
            let Some(content) = stream.next().await.transpose()? else { break };
            let length = content.len() as u64;
            bytes += length;
            progress.advance(length);
            if length == u64::from(PART) {
                more.push(part(read.oid, read.from + length));
            }
        }
        parts = more;
    }
    all.bytes += bytes;
    all.large_objects += oids.len() as u64;
    Ok(())
}

async fn read_one(
    session: &Session,
    table: &str,
    statement: String,
    progress: &dyn Progress,
) -> Result<(u64, u64), holdpoint_postgres::Error> {
    let mut bytes = 0;
    let mut rows = copied_rows(session, &format!("reading {table}"), statement);
    while let Some(copied) = rows.next().await? {
        if let Copied::Rows(batch) = copied {
            bytes += batch.len() as u64;
            progress.advance(batch.len() as u64);
        }
    }
    Ok((rows.rows().unwrap_or_default(), bytes))
}
