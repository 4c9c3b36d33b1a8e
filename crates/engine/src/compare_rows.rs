//! Which rows of a table differ between two sides, by key, in bounded memory.
//!
//! First both sides are read once and every row becomes hashes ([`crate::compare_rows_marks`]), which are joined; then
//! the few rows that are to be listed are fetched again from where they were. Nothing is written to either side.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdpoint_core::digest::RowDigest;
use holdpoint_core::progress::Progress;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::compare_rows_live::LiveRows;
use crate::compare_rows_marks::{Found, Hand, Mark, Marks, Spilled};
use crate::compare_rows_sample::{RowSample, Samples};
use crate::compare_rows_stored::StoredRows;

/// Batches of marks that may wait to be joined.
const WAITING: usize = 4;
/// Marks of a batch.
pub(crate) const BATCH: usize = 4096;

/// Where the rows of one side are.
#[derive(Debug)]
pub enum RowSide {
    /// In a live table, read in a snapshot.
    Live(Box<LiveRows>),
    /// In a stored archive.
    Stored(StoredRows),
}

/// How rows are compared.
#[derive(Clone, Debug)]
pub struct RowsOptions {
    /// How many rows are listed of each kind: missing, changed, new.
    pub limit: usize,
    /// Bytes of hashes that may be in memory; what is beyond goes into unnamed temporary files.
    pub memory_bytes: usize,
    /// Where those files are made.
    pub directory: PathBuf,
    /// Which of the compared columns are the key.
    pub key: Vec<usize>,
    /// Give the values of listed rows too, not only their keys.
    pub values: bool,
}

/// How a listed row differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowChange {
    /// Its key is in the first side alone.
    Missing,
    /// Its columns differ.
    Changed,
    /// Its key is in the second side alone.
    New,
}

/// A value in the encoding that both sides were read in, cut where it is long; `None` is NULL.
pub type RowValue = Option<Vec<u8>>;

/// A row that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRow {
    /// How.
    pub change: RowChange,
    /// The values of its key.
    pub key: Vec<RowValue>,
    /// Which of the compared columns differ, where it is there twice.
    pub columns: Vec<usize>,
    /// All compared columns on the first side, where values were asked for.
    pub then: Option<Vec<RowValue>>,
    /// All compared columns on the second side, where values were asked for.
    pub now: Option<Vec<RowValue>>,
}

/// How the rows of two sides compare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowsFound {
    /// Rows of the first side, with a digest over the compared columns.
    pub then: RowDigest,
    /// Rows of the second side, with a digest over the compared columns.
    pub now: RowDigest,
    /// Keys of the first side alone.
    pub missing: u64,
    /// Keys whose columns differ.
    pub changed: u64,
    /// Keys of the second side alone.
    pub new: u64,
    /// Keys whose rows are equal.
    pub equal: u64,
    /// Keys that a side has more than once: then it is no key, and the counts mean nothing.
    pub repeated: u64,
    /// Some of the rows that differ.
    pub rows: Vec<ListedRow>,
    /// What went into files.
    pub spilled: Spilled,
}

/// Compares the rows of two sides by key.
///
/// Memory: `memory_bytes` and a little, one row or stored piece a side, and what is listed. Nothing stays on the disk,
/// whatever happens.
///
/// # Errors
/// Those of the sides; [`Error::Spill`] where the temporary files cannot be written; [`Error::Cancelled`].
pub async fn compare_rows(
    then: RowSide,
    now: RowSide,
    options: &RowsOptions,
    progress: Arc<dyn Progress>,
    cancel: &CancellationToken,
) -> Result<RowsFound, Error> {
    let work = async {
        let (joined, digests, sides) = read_and_join(then, now, options, progress).await?;
        let mut found = RowsFound { then: digests[0], now: digests[1], ..joined.found };
        if found.repeated == 0 {
            found.rows = list(&sides, &joined.listed, options).await?;
        }
        Ok(found)
    };
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        found = work => found,
    }
}

/// Marks on their way.
pub(crate) type Batches = mpsc::Sender<(Hand, Vec<Mark>)>;

/// What the join found: counts, and the first of each kind.
struct Joined {
    found: RowsFound,
    listed: Vec<Found>,
}

async fn read_and_join(
    then: RowSide,
    now: RowSide,
    options: &RowsOptions,
    progress: Arc<dyn Progress>,
) -> Result<(Joined, [RowDigest; 2], [RowSide; 2]), Error> {
    let (send, receive) = mpsc::channel(WAITING);
    let (own, complete) = (options.clone(), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&complete);
    let joiner = tokio::task::spawn_blocking(move || join(receive, &own, &told));
    let mut readers = JoinSet::new();
    for (hand, side) in [(Hand::Then, then), (Hand::Now, now)] {
        let (send, progress) = (send.clone(), Arc::clone(&progress));
        readers.spawn(async move {
            let read = side.read(hand, send, progress).await?;
            Ok::<_, Error>((hand, read))
        });
    }
    let mut read = [None, None];
    let mut failure = None;
    while let Some(joined) = readers.join_next().await {
        match joined.map_err(Error::Worker).flatten() {
            Ok((hand, done)) => read[hand as usize] = Some(done),
            Err(error) => {
                // The first is the cause; the other reader is then ended.
                failure.get_or_insert(error);
                readers.abort_all();
            }
        }
    }
    complete.store(failure.is_none(), Ordering::Release);
    drop(send);
    match (joiner.await.map_err(Error::Worker)?, failure, read) {
        // A joiner that cannot go on stops listening, which is all that readers notice.
        (Err(error @ Error::Spill { .. }), ..) => Err(error),
        (_, Some(failure), _) => Err(failure),
        (Ok(joined), None, [Some((then, was)), Some((now, is))]) => Ok((joined, [was, is], [then, now])),
        (Err(error), ..) => Err(error),
        (Ok(_), None, _) => Err(Error::NobodyReads),
    }
}

/// Collects and joins marks; what is not `complete` when the readers are gone is not worth joining.
fn join(
    mut receive: mpsc::Receiver<(Hand, Vec<Mark>)>,
    options: &RowsOptions,
    complete: &AtomicBool,
) -> Result<Joined, Error> {
    let spill = |source| Error::Spill { directory: options.directory.clone(), source };
    let mut marks = Marks::new(options.memory_bytes, &options.directory);
    while let Some((hand, batch)) = receive.blocking_recv() {
        for mark in batch {
            marks.push(hand, mark).map_err(spill)?;
        }
    }
    if !complete.load(Ordering::Acquire) {
        return Err(Error::Cancelled);
    }
    let mut counts = RowsFound::default();
    let mut listed = Vec::new();
    let spilled = marks
        .join(&mut |found| {
            let count = match found {
                Found::Missing { .. } => &mut counts.missing,
                Found::Changed { .. } => &mut counts.changed,
                Found::New { .. } => &mut counts.new,
                Found::Equal => &mut counts.equal,
                Found::Repeated => &mut counts.repeated,
            };
            *count += 1;
            if *count <= options.limit as u64 && !matches!(found, Found::Equal | Found::Repeated) {
                listed.push(found);
            }
        })
        .map_err(spill)?;
    counts.spilled = spilled;
    Ok(Joined { found: counts, listed })
}

/// Fetches the rows that are to be listed.
async fn list(sides: &[RowSide; 2], listed: &[Found], options: &RowsOptions) -> Result<Vec<ListedRow>, Error> {
    let mut wanted: [HashMap<u128, u64>; 2] = [HashMap::new(), HashMap::new()];
    for found in listed {
        let (key, then, now) = match *found {
            Found::Missing { key, then } => (key, Some(then), None),
            Found::Changed { key, then, now } => (key, Some(then), Some(now)),
            Found::New { key, now } => (key, None, Some(now)),
            Found::Equal | Found::Repeated => continue,
        };
        then.and_then(|place| wanted[0].insert(key, place));
        now.and_then(|place| wanted[1].insert(key, place));
    }
    let mut samples = [Samples::new(options), Samples::new(options)];
    for ((side, wanted), samples) in sides.iter().zip(wanted).zip(&mut samples) {
        side.fetch(wanted, samples).await?;
    }
    let [was, is] = samples;
    let mut rows = Vec::with_capacity(listed.len());
    for found in listed {
        let row = match *found {
            Found::Missing { key, .. } => row(RowChange::Missing, was.get(key), None, options),
            Found::Changed { key, .. } => row(RowChange::Changed, was.get(key), is.get(key), options),
            Found::New { key, .. } => row(RowChange::New, None, is.get(key), options),
            Found::Equal | Found::Repeated => None,
        };
        // What cannot be found again was counted all the same.
        rows.extend(row);
    }
    rows.sort_by(|one, other| {
        (one.change, RowSample::order(&one.key)).cmp(&(other.change, RowSample::order(&other.key)))
    });
    Ok(rows)
}

fn row(
    change: RowChange,
    then: Option<&RowSample>,
    now: Option<&RowSample>,
    options: &RowsOptions,
) -> Option<ListedRow> {
    let columns = match (then, now) {
        (Some(was), Some(is)) => was.differs_in(is),
        _ => Vec::new(),
    };
    let values = |sample: Option<&RowSample>| sample.filter(|_| options.values).map(|sample| sample.values.clone());
    Some(ListedRow { change, key: then.or(now)?.key.clone(), columns, then: values(then), now: values(now) })
}

impl RowSide {
    /// Reads every row once and sends its mark; gives the side back, for fetching.
    async fn read(self, hand: Hand, send: Batches, progress: Arc<dyn Progress>) -> Result<(Self, RowDigest), Error> {
        match self {
            Self::Live(rows) => {
                let digest = rows.read(hand, &send, progress.as_ref()).await?;
                Ok((Self::Live(rows), digest))
            }
            Self::Stored(rows) => {
                let digest = rows.read(hand, &send, progress).await?;
                Ok((Self::Stored(rows), digest))
            }
        }
    }

    /// Reads rows again: `wanted` are hashes of keys, with the places where they were read.
    async fn fetch(&self, wanted: HashMap<u128, u64>, samples: &mut Samples) -> Result<(), Error> {
        if wanted.is_empty() {
            return Ok(());
        }
        match self {
            Self::Live(rows) => rows.fetch(&wanted, samples).await,
            Self::Stored(rows) => rows.fetch(&wanted, samples).await,
        }
    }
}
