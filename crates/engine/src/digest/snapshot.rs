//! Digesting what a live database held at one instant, beside others that go on writing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdpoint_core::digest::RowDigest;
use holdpoint_core::index::{LargeObjectRecord, TableRecord};
use holdpoint_core::name::quote_literal;
use holdpoint_core::progress::Progress;
use holdpoint_postgres::{ConnectionSettings, Session, Snapshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::task::{self, Task};
use super::{DigestOptions, Queue, digest_one, large_objects, next, open};
use crate::Error;

/// An exported snapshot that somebody holds open, for sessions that read in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSnapshot {
    /// Its id, as `pg_export_snapshot` gave it.
    pub id: String,
    /// How long a session waits for a lock, in whole milliseconds of at least one.
    pub lock_wait: Duration,
}

/// A table of which only the rows are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableToCount {
    /// The comparison group that the count is given for.
    pub group: String,
    /// The table, quoted.
    pub target: String,
    /// Count the rows of its partitions too.
    pub with_partitions: bool,
}

/// Why a table was not read, although it is in the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It was dropped, or a column of it, after the snapshot.
    Dropped,
    /// It was truncated or rewritten after the snapshot, which takes the snapshot's rows away.
    Rewritten,
    /// Somebody else had it locked for longer than [`HeldSnapshot::lock_wait`].
    Locked,
}

/// What a database held in a snapshot.
#[derive(Clone, Debug, Default)]
pub struct SnapshotDigests {
    /// Rows and digest of the groups that were digested.
    pub groups: BTreeMap<String, RowDigest>,
    /// Rows of the groups that were only counted.
    pub counts: BTreeMap<String, u64>,
    /// Groups that could not be read.
    pub unread: BTreeMap<String, Unread>,
    /// Every large object, by OID, where they were asked for.
    pub large_objects: Vec<LargeObjectRecord>,
}

#[derive(Debug)]
enum Work {
    Digest(Task),
    Count(TableToCount),
}

/// Digests tables, and counts others, as they were in a snapshot that the caller holds open.
///
/// Nothing is written, and no table stays locked for longer than it is read: a change of a table's form that waits is
/// let through between two tables, so it can never wait for us while we wait for it. What it takes away is then among
/// the unread. Memory: one row a session; the list of large objects.
///
/// # Errors
/// Those of PostgreSQL, such as missing rights; [`Error::Cancelled`].
pub async fn digest_snapshot(
    settings: &ConnectionSettings,
    snapshot: &HeldSnapshot,
    tables: &[TableRecord],
    counted: &[TableToCount],
    options: &DigestOptions,
    progress: Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<SnapshotDigests, Error> {
    let tasks = task::tasks(tables, &options.encoding, &BTreeMap::new());
    let digests = tasks.iter().flat_map(Task::apart).map(Work::Digest);
    let list = digests.chain(counted.iter().cloned().map(Work::Count)).collect();
    let queue: Queue<Work> = Arc::new(Mutex::new(list));
    let work = async {
        let mut sessions = JoinSet::new();
        for _ in 0..options.jobs.max(1) {
            let reader = Reader {
                settings: settings.clone(),
                snapshot: snapshot.clone(),
                options: options.clone(),
                queue: Arc::clone(&queue),
                progress: Arc::clone(&progress),
            };
            sessions.spawn(reader.run());
        }
        let mut found = SnapshotDigests::default();
        while let Some(joined) = sessions.join_next().await {
            let part = joined.map_err(Error::Worker)??;
            found.groups.extend(part.groups);
            found.counts.extend(part.counts);
            found.unread.extend(part.unread);
        }
        if options.large_objects.is_some() {
            found.large_objects = large_objects::digest(settings, options, Some(snapshot), progress).await?;
        }
        Ok(found)
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        outcome = work => outcome,
    }
}

struct Reader {
    settings: ConnectionSettings,
    snapshot: HeldSnapshot,
    options: DigestOptions,
    queue: Queue<Work>,
    progress: Arc<dyn Progress>,
}

impl Reader {
    async fn run(self) -> Result<SnapshotDigests, Error> {
        let mut found = SnapshotDigests::default();
        let mut session = None;
        while let Some(work) = next(&self.queue) {
            let session = match &session {
                Some(session) => session,
                None => session.insert(open_in(&self.settings, &self.options, Some(&self.snapshot)).await?),
            };
            match work {
                Work::Digest(one) => {
                    let digest = digest_one(session, &one, self.progress.as_ref());
                    match alone(session, one.target(), digest).await? {
                        Ok(digests) => found.groups.extend(digests),
                        Err(unread) => found.unread.extend(one.groups().iter().map(|group| (group.clone(), unread))),
                    }
                }
                Work::Count(table) => match alone(session, &table.target, count(session, &table)).await? {
                    Ok(rows) => drop(found.counts.insert(table.group, rows)),
                    Err(unread) => drop(found.unread.insert(table.group, unread)),
                },
            }
        }
        if let Some(session) = session {
            session.close().await;
        }
        Ok(found)
    }
}

/// Opens a session with the text form that rows are digested in; within a snapshot where one is named.
pub(crate) async fn open_in(
    settings: &ConnectionSettings,
    options: &DigestOptions,
    snapshot: Option<&HeldSnapshot>,
) -> Result<Session, Error> {
    let session = open(settings, options).await?;
    let Some(snapshot) = snapshot else { return Ok(session) };
    // 0 would be without end.
    let limit = snapshot.lock_wait.as_millis().max(1);
    session.run("limiting waits for locks", &format!("SET lock_timeout = {limit}")).await?;
    Ok(Snapshot::import(session, &snapshot.id).await?)
}

async fn count(session: &Session, table: &TableToCount) -> Result<u64, Error> {
    let only = if table.with_partitions { "" } else { "ONLY " };
    let sql = format!("SELECT pg_catalog.count(*) FROM {only}{}", table.target);
    let row = session.query_one(&format!("counting rows of {}", table.group), &sql, &[]).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// Reads one table and lets go of its lock; the snapshot stays.
///
/// `reading` must use the session alone. What the snapshot lost meanwhile is told instead of what was read.
async fn alone<T>(
    session: &Session,
    target: &str,
    reading: impl Future<Output = Result<T, Error>>,
) -> Result<Result<T, Unread>, Error> {
    const WHAT: &str = "reading a table in the snapshot";
    session.run(WHAT, "SAVEPOINT table_alone").await?;
    let read = match reading.await {
        Ok(read) => {
            // The lock is still held, so what this says of the table's files stays true for what was read.
            if rewritten(session, target).await? { Ok(Err(Unread::Rewritten)) } else { Ok(Ok(read)) }
        }
        Err(Error::Postgres(error)) => match unread(&error) {
            Some(unread) => Ok(Err(unread)),
            None => return Err(error.into()),
        },
        Err(error) => return Err(error),
    };
    session.run(WHAT, "ROLLBACK TO SAVEPOINT table_alone").await?;
    read
}

/// What an error says of a table that the snapshot has.
pub(crate) fn unread(error: &holdpoint_postgres::Error) -> Option<Unread> {
    match error.sqlstate() {
        Some("42P01" | "42703" | "3F000") => Some(Unread::Dropped),
        Some("55P03") => Some(Unread::Locked),
        _ => None,
    }
}

/// Tells whether a table or a partition of it has other files now than in the snapshot.
pub(crate) async fn rewritten(session: &Session, target: &str) -> Result<bool, Error> {
    let table = format!("{}::pg_catalog.regclass", quote_literal(target));
    // The catalog is read in the snapshot, the function looks at what is there now.
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class c \
           WHERE (c.oid = {table} OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree({table}))) \
             AND c.relkind = 'r' \
             AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid::pg_catalog.regclass))"
    );
    Ok(session.query_one("looking at the table's files", &sql, &[]).await?.get(0))
}
