//! One session that loads, and what it does when its connection is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use holdpoint_core::progress::Progress;
use holdpoint_postgres::copy::{CopyIn, copy_in};
use holdpoint_postgres::session::TransactionId;
use holdpoint_postgres::{Error as Postgres, Session};
use tokio::sync::{Mutex, Notify, mpsc};

use super::feed::{Load, Portion, Portioned, Rows};
use super::session::Connector;
use super::statement::LoadTarget;
use crate::Error;

/// Bytes of one message: large enough to cost little, small enough for the server's buffer.
const MESSAGE_BYTES: usize = 64 << 10;
const OBJECT: &str = "loading large objects";

/// How many loads are handed out and not yet committed.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    count: AtomicUsize,
    changed: Notify,
}

impl Outstanding {
    pub(super) fn add(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    fn done(&self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// Waits until there is none.
    pub(super) async fn none(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            changed.await;
        }
    }
}

/// How far a transaction came before it failed.
#[derive(Debug, Default)]
struct Course {
    transaction: Option<TransactionId>,
    /// COMMIT was sent: only the server knows the end.
    ending: bool,
    /// The failure was the connection's.
    lost: bool,
}

/// One session that takes loads until there are no more.
pub(super) struct Worker {
    connector: Arc<Connector>,
    queue: Arc<Mutex<mpsc::Receiver<Load>>>,
    outstanding: Arc<Outstanding>,
    progress: Arc<dyn Progress>,
    session: Option<Session>,
}

impl Worker {
    pub(super) fn new(
        connector: Arc<Connector>,
        queue: Arc<Mutex<mpsc::Receiver<Load>>>,
        outstanding: Arc<Outstanding>,
        progress: Arc<dyn Progress>,
    ) -> Self {
        Self { connector, queue, outstanding, progress, session: None }
    }

    pub(super) async fn run(mut self) -> Result<(), Error> {
        loop {
            let load = self.queue.lock().await.recv().await;
            let Some(mut load) = load else { break };
            self.load(&mut load).await?;
            let progress = self.progress.as_ref();
            match &load {
                Load::Rows(rows) => rows.iter().for_each(|rows| rows.target.loaded(rows.bytes.len() as u64, progress)),
                Load::Objects(objects) => {
                    progress.advance(objects.iter().map(|(_, content)| content.len() as u64).sum());
                }
                // Told portion by portion.
                Load::LongRow { .. } | Load::LongObject { .. } => {}
            }
            self.outstanding.done();
        }
        if let Some(session) = self.session {
            session.close().await;
        }
        Ok(())
    }

    /// Loads in one transaction, over a new session where there is none, which is kept unless it is lost.
    async fn try_once(&mut self, load: &mut Load, course: &mut Course) -> Result<(), Error> {
        let session = match self.session.take() {
            Some(session) => session,
            None => match self.connector.connect().await {
                Ok(session) => session,
                Err(failure) => {
                    course.lost = is_lost(&failure);
                    return Err(failure);
                }
            },
        };
        let tried = attempt(&session, load, course, self.progress.as_ref()).await;
        match &tried {
            Ok(()) => self.session = Some(session),
            Err(failure) => course.lost = session.is_closed() || is_lost(failure),
        }
        tried
    }

    /// Loads in one transaction; a second time where the connection was lost and nothing of the first is there.
    async fn load(&mut self, load: &mut Load) -> Result<(), Error> {
        let mut again = matches!(load, Load::Rows(_) | Load::Objects(_));
        loop {
            let mut course = Course::default();
            let failure = match self.try_once(load, &mut course).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if !course.lost {
                return Err(failure);
            }
            let what = load.name();
            if let Some(transaction) = course.transaction.filter(|_| course.ending)
                && self.connector.was_committed(&transaction, &what).await?
            {
                return Ok(());
            }
            if !std::mem::take(&mut again) {
                return Err(failure);
            }
            self.connector.must_live(&what).await?;
            self.progress.note(&format!("the connection was lost while loading {what}, which is loaded again"));
        }
    }
}

/// Whether the failure is the connection's, rather than the server's answer to what was asked.
fn is_lost(failure: &Error) -> bool {
    match failure {
        Error::Postgres(Postgres::ConnectionLost { .. }) => true,
        // An administrator ended the session, or the server is going down or coming up.
        Error::Postgres(error) => matches!(error.sqlstate(), Some("57P01" | "57P02" | "57P03")),
        _ => false,
    }
}

impl Load {
    /// What it is, for messages.
    fn name(&self) -> String {
        match self {
            Self::Rows(rows) => match rows.as_slice() {
                [one] => one.target.name.clone(),
                rows => format!("{} small tables", rows.len()),
            },
            Self::LongRow { target, .. } => target.name.clone(),
            Self::Objects(objects) => format!("{} large objects", objects.len()),
            Self::LongObject { oid, .. } => format!("large object {oid}"),
        }
    }
}

async fn attempt(
    session: &Session,
    load: &mut Load,
    course: &mut Course,
    progress: &dyn Progress,
) -> Result<(), Error> {
    course.transaction = Some(session.begin_noted().await?);
    match load {
        Load::Rows(list) => {
            for rows in list.iter() {
                copy_rows(session, rows).await?;
            }
        }
        Load::LongRow { target, portions } => copy_portions(session, target, portions, progress).await?,
        Load::Objects(objects) => {
            const PUT: &str = "SELECT pg_catalog.lo_put(one.oid, 0, one.content) \
                               FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::pg_catalog.bytea[])) \
                               AS one (oid, content)";
            let (oids, contents): (Vec<u32>, Vec<&[u8]>) =
                objects.iter().map(|(oid, content)| (*oid, content.as_ref())).unzip();
            session.query(OBJECT, PUT, &[&oids, &contents]).await?;
        }
        Load::LongObject { oid, portions } => put_portions(session, *oid, portions, progress).await?,
    }
    course.ending = true;
    session.run("committing loaded rows", "COMMIT").await?;
    Ok(())
}

async fn copy_rows(session: &Session, rows: &Rows) -> Result<(), Error> {
    let what = format!("loading {}", rows.target.name);
    if rows.whole {
        session.run(&what, &rows.target.truncate()).await?;
    }
    let mut copy = copy_in(session, &what, &rows.target.copy(rows.whole)).await?;
    send(&mut copy, &rows.bytes).await?;
    all_stored(what, rows.rows, copy.finish().await?)
}

/// Fails where the server kept other rows than came, as a trigger can make it: before they are committed.
fn all_stored(what: String, sent: u64, stored: u64) -> Result<(), Error> {
    if stored == sent { Ok(()) } else { Err(Error::RowsNotStored { what, sent, stored }) }
}

/// The next portion, or at the proper end how many rows all of them were.
async fn next(portions: &mut mpsc::Receiver<Portioned>) -> Result<Portion, u64> {
    match portions.recv().await {
        Some(Portioned::Portion(portion)) => Ok(portion),
        Some(Portioned::End(rows)) => Err(rows),
        // The walk failed. It says so itself, and this session is given up then; until then nothing may be committed.
        None => std::future::pending().await,
    }
}

async fn copy_portions(
    session: &Session,
    target: &LoadTarget,
    portions: &mut mpsc::Receiver<Portioned>,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let what = format!("loading {}", target.name);
    let mut copy = copy_in(session, &what, &target.copy(false)).await?;
    let sent = loop {
        match next(portions).await {
            Ok(portion) => {
                send(&mut copy, &portion.bytes).await?;
                target.loaded(portion.bytes.len() as u64, progress);
            }
            Err(rows) => break rows,
        }
    };
    all_stored(what, sent, copy.finish().await?)
}

async fn send(copy: &mut CopyIn<'_>, bytes: &Bytes) -> Result<(), Error> {
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        copy.send(rest.split_to(rest.len().min(MESSAGE_BYTES))).await?;
    }
    Ok(())
}

async fn put_portions(
    session: &Session,
    oid: u32,
    portions: &mut mpsc::Receiver<Portioned>,
    progress: &dyn Progress,
) -> Result<(), Error> {
    const STEP: usize = 1 << 20;
    let mut at: i64 = 0;
    while let Ok(portion) = next(portions).await {
        for step in portion.bytes.chunks(STEP) {
            session.query(OBJECT, "SELECT pg_catalog.lo_put($1, $2, $3)", &[&oid, &at, &step]).await?;
            at += i64::try_from(step.len()).unwrap_or(i64::MAX);
        }
        progress.advance(portion.bytes.len() as u64);
    }
    Ok(())
}
