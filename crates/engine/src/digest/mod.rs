//! Digesting what a live database holds: rows by comparison group, large objects.

mod large_objects;
mod snapshot;
mod task;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use holdpoint_core::digest::{RowDigest, RowDigester};
use holdpoint_core::index::{LargeObjectRecord, TableRecord};
use holdpoint_core::progress::Progress;
use holdpoint_postgres::copied_rows::{Copied, copied_rows};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Error;
pub use snapshot::{HeldSnapshot, SnapshotDigests, TableToCount, Unread, digest_snapshot};
pub(crate) use snapshot::{open_in, rewritten, unread};
use task::Task;

/// How a database is digested.
#[derive(Clone, Debug)]
pub struct DigestOptions {
    /// How many sessions read at a time.
    pub jobs: usize,
    /// The encoding that rows were digested in, such as `UTF8`.
    pub encoding: String,
    /// The value of `lc_monetary` that rows were digested under.
    pub lc_monetary: Option<String>,
    /// Read large objects too: so many bytes of them in all, the shorter ones first. Of those beyond only the length is
    /// told, and their digest is empty. `None`: not even that.
    pub large_objects: Option<u64>,
    /// Nobody writes meanwhile, so that a large table may be read in ranges of pages by several sessions.
    pub quiet: bool,
    /// Others make indexes and constraints meanwhile: each table is then let go before the next is asked for, so that
    /// nobody waits in a circle.
    pub one_at_a_time: bool,
}

/// What a database holds.
#[derive(Clone, Debug, Default)]
pub struct LiveDigests {
    /// Rows and digest by comparison group; a group whose table does not exist is absent.
    pub groups: BTreeMap<String, RowDigest>,
    /// Every large object, by OID.
    pub large_objects: Vec<LargeObjectRecord>,
}

/// Work that sessions take from, largest first.
type Queue<T> = Arc<Mutex<VecDeque<T>>>;

fn next<T>(queue: &Queue<T>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

/// Digests the tables of the index in a live database, and its large objects.
///
/// Every session pins the text form first. Memory: some hundred KiB a session; the list of large objects.
pub async fn digest_database(
    settings: &ConnectionSettings,
    tables: &[TableRecord],
    options: &DigestOptions,
    progress: Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<LiveDigests, Error> {
    let work = async {
        let tasks = if options.quiet && options.jobs > 1 {
            let session = open(settings, options).await?;
            let sizes = task::large_tables(&session).await?;
            session.close().await;
            task::tasks(tables, &options.encoding, &sizes)
        } else {
            task::tasks(tables, &options.encoding, &BTreeMap::new())
        };
        let tasks = if options.one_at_a_time { tasks.iter().flat_map(Task::apart).collect() } else { tasks };
        let tasks: Queue<Task> = Arc::new(Mutex::new(tasks.into()));
        let mut sessions = JoinSet::new();
        for _ in 0..options.jobs.max(1) {
            let (settings, options, tasks) = (settings.clone(), options.clone(), Arc::clone(&tasks));
            let progress = Arc::clone(&progress);
            sessions.spawn(async move { digest_tasks(&settings, &options, &tasks, progress.as_ref()).await });
        }
        let mut found = LiveDigests::default();
        while let Some(joined) = sessions.join_next().await {
            for (group, digest) in joined.map_err(Error::Worker)?? {
                found.groups.entry(group).or_default().merge(&digest);
            }
        }
        if options.large_objects.is_some() {
            found.large_objects = large_objects::digest(settings, options, None, progress).await?;
        }
        Ok(found)
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        outcome = work => outcome,
    }
}

async fn open(settings: &ConnectionSettings, options: &DigestOptions) -> Result<Session, Error> {
    let session = Session::connect(settings, &SessionPurpose::new("holdpoint digest")).await?;
    session.pin_text_form().await?;
    // Ranges of pages must be read as such, and compiling a plan costs more than most tables.
    session.run("setting up a digesting session", "SET jit = off; SET enable_tidscan = on").await?;
    if let Some(lc_monetary) = &options.lc_monetary {
        let value = holdpoint_core::name::quote_literal(lc_monetary);
        session.run("setting lc_monetary", &format!("SET lc_monetary = {value}")).await?;
    }
    Ok(session)
}

async fn digest_tasks(
    settings: &ConnectionSettings,
    options: &DigestOptions,
    tasks: &Queue<Task>,
    progress: &dyn Progress,
) -> Result<Vec<(String, RowDigest)>, Error> {
    let mut found = Vec::new();
    let mut session = None;
    while let Some(task) = next(tasks) {
        let session = match &session {
            Some(session) => session,
            None => session.insert(open(settings, options).await?),
        };
        match digest_one(session, &task, progress).await {
            Ok(digests) => found.extend(digests),
            Err(error) if is_missing(&error) => {
                // One of several: each by itself then, and the one that is not there stays absent.
                for one in task.apart() {
                    match digest_one(session, &one, progress).await {
                        Ok(digests) => found.extend(digests),
                        Err(error) if is_missing(&error) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// A table, column or schema is not there.
fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Postgres(error) if matches!(error.sqlstate(), Some("42P01" | "42703" | "3F000")))
}

async fn digest_one(
    session: &Session,
    task: &Task,
    progress: &dyn Progress,
) -> Result<Vec<(String, RowDigest)>, Error> {
    let what = format!("reading {}", task.name());
    let mut rows = copied_rows(session, &what, task.sql());
    let mut groups = task.groups().iter();
    let (mut found, mut counted) = (Vec::new(), 0);
    let mut digester = RowDigester::default();
    while let Some(copied) = rows.next().await? {
        match copied {
            Copied::Rows(batch) => {
                progress.advance(batch.len() as u64);
                digester.push(&batch)?;
            }
            Copied::End => {
                let Some(group) = groups.next() else { break };
                let digest = std::mem::take(&mut digester).finish();
                let digest = digest.ok_or_else(|| Error::RowCut { table: group.clone() })?;
                counted += digest.rows;
                found.push((group.clone(), digest));
            }
        }
    }
    if rows.rows() != Some(counted) {
        return Err(Error::RowsDiffer { what, sent: rows.rows().unwrap_or(0), arrived: counted });
    }
    Ok(found)
}
