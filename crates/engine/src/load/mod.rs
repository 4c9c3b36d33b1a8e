//! Loading a stored archive's rows and large objects into a database by several sessions, checked on their way.
//!
//! One walk over the archive checks every byte, as [`read_back`](crate::read_back()) does; what it decoded to check goes
//! on, in the very same buffers, into the sessions. A piece reaches the server only after its hash was compared. What
//! is around the rows (schema, indexes, positions of sequences) is pg_restore's, before and after.

mod feed;
mod session;
mod statement;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdpoint_core::manifest::ArchiveObject;
use holdpoint_core::progress::Progress;
use holdpoint_postgres::ConnectionSettings;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use feed::{Feed, Permit};
pub use statement::can_be_loaded;

use crate::read_back::{Outlet, walk};
use crate::{ArchiveSource, Error, IndexReader, ReadBack, ReadBackOptions};
use session::Connector;
use worker::Worker;

/// How an archive is loaded.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// How the archive is compressed, and how many pieces are checked at a time and sessions load.
    pub read: ReadBackOptions,
    /// Settings of the loading sessions beside the text form, as names and values.
    pub session: Vec<(String, String)>,
    /// Load tables that are one piece frozen, in the transaction that empties them: cheaper, where nobody looks on.
    pub freeze: bool,
    /// Load only these tables, by dump id, and no large objects; everything is checked all the same.
    pub only: Option<BTreeSet<i32>>,
    /// Bytes of every table's COPY text, by dump id, for progress; may be incomplete.
    pub table_bytes: BTreeMap<i32, u64>,
}

/// Loads every row and large object of an archive into a database that has its schema and nothing else.
///
/// Tables must exist without indexes, constraints and triggers of the archive's post-data section, large objects
/// empty. Each piece is a transaction of its own, and pieces arrive in any order. A lost connection is made anew and
/// what it was loading is loaded again, once, unless its transaction turns out to have been committed; nothing is ever
/// doubled. On any failure the database holds a part of the rows: whoever asked must empty it.
///
/// Progress counts bytes of COPY text and of large objects, as the manifest's totals do, once they are committed: a
/// table of narrow rows takes longer to load than it is long as it is stored.
///
/// Fails as [`read_back`](crate::read_back()) does, at the first difference; with [`Error::Postgres`] where a session
/// fails for good; with [`Error::AnswerLost`] where nobody can say whether a piece is there. Memory: `jobs + 2` pieces,
/// before and after decompression, and a mebibyte a session.
pub async fn load(
    source: ArchiveSource,
    archive: &ArchiveObject,
    index: IndexReader,
    target: &ConnectionSettings,
    options: &LoadOptions,
    progress: &Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<ReadBack, Error> {
    let work = async {
        let jobs = options.read.jobs.max(1);
        let connector = Arc::new(Connector::open(target, &options.session).await?);
        let (send, receive) = mpsc::channel(jobs);
        let receive = Arc::new(Mutex::new(receive));
        let outstanding = Arc::new(worker::Outstanding::default());
        let mut workers = JoinSet::new();
        for _ in 0..jobs {
            let worker = Worker::new(
                Arc::clone(&connector),
                Arc::clone(&receive),
                Arc::clone(&outstanding),
                Arc::clone(progress),
            );
            workers.spawn(worker.run());
        }
        // Whoever holds it sees the queue's end when the last worker is gone.
        drop(receive);
        let feed = Feed::new(send, Arc::new(Semaphore::new(jobs + 2)), outstanding, options);
        let walk = walk(source, archive, index, &options.read, Outlet::Load(Box::new(feed)), progress.as_ref());
        tokio::pin!(walk);
        let (mut read, mut ended) = (None, false);
        loop {
            tokio::select! {
                biased;
                joined = workers.join_next() => match joined {
                    Some(joined) => joined.map_err(Error::Worker)??,
                    None => break,
                },
                walked = &mut walk, if !ended => {
                    ended = true;
                    match walked {
                        Ok(found) => read = Some(found),
                        // A session ended; its own words come next.
                        Err(Error::NobodyReads) => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        connector.settle().await?;
        read.ok_or(Error::NobodyReads)
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        outcome = work => outcome,
    }
}
