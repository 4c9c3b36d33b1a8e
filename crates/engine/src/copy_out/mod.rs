//! The parallel engine: several sessions copy the rows of one snapshot, and one archive comes out, in order.
//!
//! pg_dump writes header and contents and is then stopped: all that it knows and we do not is in there. What it would
//! have copied on one connection is dealt out in *portions* (small tables together, a large one by ranges of pages,
//! large objects in groups) to sessions in the same snapshot; each makes *pieces* of what it reads, digested and
//! compressed where it was read. A bounded window keeps portions in the archive's order, and one writer writes them.
//! The archive is what the pass-through would have made, down to the bytes of every table's text.
//!
//! Nothing here waits for a lock: with somebody's ALTER TABLE waiting between two of our sessions that would be a
//! deadlock which PostgreSQL cannot see. Nothing here takes back what is written: a portion is written when it is
//! complete, and one larger than its buffer only streams once everything before it is written.

mod coordinator;
mod decide;
mod gather;
mod large_objects;
mod output;
mod plan;
mod statement;
mod window;
mod worker;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use holdpoint_archive::Codec;
use holdpoint_core::progress::Progress;
use holdpoint_postgres::{Session, Snapshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{ArchiveWriter, Contents, Error, Pace};

pub use coordinator::watch;
pub use decide::{Decision, decide};

/// How rows are copied in parallel.
#[derive(Clone, Debug)]
pub struct CopyOutOptions {
    /// How the archive is compressed.
    pub codec: Codec,
    /// How many sessions copy; below two the pass-through does.
    pub jobs: usize,
    /// Bytes of a piece before compression.
    pub piece_bytes: usize,
    /// Data smaller than this on disk are left to the pass-through.
    pub parallel_from_bytes: u64,
    /// Row conditions of extension configuration tables, by the table's OID.
    pub filters: BTreeMap<u32, String>,
}

impl CopyOutOptions {
    /// Bytes of text that a portion is cut for: two pieces, so that one is compressed while the other is read.
    fn portion_bytes(&self) -> u64 {
        2 * self.piece_bytes as u64
    }

    /// Stored bytes that a portion may hold while others are written: all of it even where nothing compresses.
    fn buffer_bytes(&self) -> usize {
        self.piece_bytes * 5 / 2
    }

    /// How many portions there may be between the first that is not written and the last that is begun.
    fn window(&self) -> usize {
        2 * self.jobs + 2
    }
}

/// A copy that is decided upon: every table is locked by the coordinator, the copying sessions are open.
#[derive(Debug)]
pub struct CopyPlan {
    plan: plan::Plan,
    options: CopyOutOptions,
    encoding: String,
    snapshot_id: String,
    sessions: Vec<Session>,
}

impl CopyPlan {
    /// Bytes that the data take on the source's disk, large objects by their length: what progress counts up to.
    pub fn total_bytes(&self) -> u64 {
        self.plan.total_bytes()
    }

    /// How many sessions copy.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }
}

/// Copies everything into `writer`, which then holds every block that the contents announce.
///
/// `snapshot` must be the one that was decided on, and be watched meanwhile ([`watch`]). On failure nothing is
/// published; the writer, which the caller keeps, is to be aborted. A lost copying session is replaced and its portion
/// copied again; only the failure of a portion larger than its buffer, or of the coordinator, is final.
///
/// Memory: `(2 x jobs + 2) x 2.5 x piece` at most, where nothing compresses, and `3 x piece + 1 MiB` for each session;
/// it does not depend on the size of a row, unless a partition's columns must change places, when one row is held.
pub async fn copy_out(
    decided: CopyPlan,
    snapshot: &Snapshot,
    contents: &Contents,
    writer: &mut ArchiveWriter,
    pace: Arc<Pace>,
    progress: Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let CopyPlan { plan, options, encoding, snapshot_id, sessions } = decided;
    let (window, slots) = window::Window::new(options.window(), options.portion_bytes());
    let settings = snapshot.session().settings().clone();
    let crew = Arc::new(worker::Crew { plan, options, encoding, settings, snapshot_id, window, pace, progress });
    let mut workers = JoinSet::new();
    for session in sessions {
        workers.spawn(worker::Worker::new(Arc::clone(&crew), session).run());
    }
    let work = async {
        let gather = crew.gather();
        let noted = BTreeSet::new();
        let writer = write::Writer { crew: &crew, snapshot, contents, archive: writer, gather, noted };
        let writing = writer.run(slots);
        let mut writing = std::pin::pin!(writing);
        let mut written = false;
        loop {
            tokio::select! {
                biased;
                ended = workers.join_next(), if !workers.is_empty() => {
                    if let Some(ended) = ended {
                        ended.map_err(Error::Worker)??;
                    }
                }
                done = &mut writing, if !written => {
                    done?;
                    written = true;
                }
                else => return Ok(()),
            }
        }
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        outcome = work => outcome,
    }
}
