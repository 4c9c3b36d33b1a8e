//! Reading a stored archive back: every byte accounted for, every hash, every row.
//!
//! The index accounts for every byte of an archive: the head by its hash, pieces by theirs, and the frames between
//! them, which follow from the records, byte by byte. So no second parser is asked, and nothing is skipped.

mod outlet;
mod source;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use holdpoint_archive::{
    Codec, Head, close_large_objects, close_list, open_large_object, open_large_objects, open_table,
};
use holdpoint_core::digest::{ColumnOrder, RowDigester};
use holdpoint_core::fingerprint::{object_name, qualified};
use holdpoint_core::index::{
    IndexRecord, LargeObjectBlockRecord, LargeObjectRecord, ObjectRecord, PieceRecord, TableRecord,
};
use holdpoint_core::manifest::ArchiveObject;
use holdpoint_core::progress::Progress;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use self::outlet::Outlet;
use self::source::{OpenList, Source};
use crate::load::Permit;
use crate::piece_check::{Checked, PieceCheck};
use crate::{ArchiveSource, Contents, Error, IndexReader};

/// How an archive is read back.
#[derive(Clone, Debug)]
pub struct ReadBackOptions {
    /// How the archive is compressed.
    pub codec: Codec,
    /// How many pieces are checked at a time.
    pub jobs: usize,
}

/// What a complete read-back found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBack {
    /// Flat SHA-256 of the object, in hexadecimal.
    pub sha256: String,
    /// Bytes of the object.
    pub bytes: u64,
    /// Tables whose rows were counted and digested.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// Large objects.
    pub large_objects: u64,
}

/// Reads a stored archive from its first byte to its last and compares it with manifest and index.
///
/// Bytes go to `tee`, in order, only after they were checked, so whoever restores from it never sees a damaged piece;
/// it is closed when this returns. Fails with [`Error::Damaged`] at the first difference, naming where, and with
/// [`Error::NobodyReads`] when the tee's other end is gone. Memory: the head, `jobs + 2` pieces, and what the tee holds.
pub async fn read_back(
    source: impl Into<ArchiveSource>,
    archive: &ArchiveObject,
    index: IndexReader,
    options: &ReadBackOptions,
    tee: Option<mpsc::Sender<Bytes>>,
    progress: &dyn Progress,
    cancel: &CancellationToken,
) -> Result<ReadBack, Error> {
    let outlet = tee.map_or(Outlet::Nowhere, Outlet::Stored);
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        outcome = walk(source.into(), archive, index, options, outlet, progress) => outcome,
    }
}

/// Walks an archive from its first byte to its last, as the index accounts for it.
pub(crate) async fn walk(
    source: ArchiveSource,
    archive: &ArchiveObject,
    index: IndexReader,
    options: &ReadBackOptions,
    outlet: Outlet,
    progress: &dyn Progress,
) -> Result<ReadBack, Error> {
    // What is loaded is told when it is loaded.
    let progress = (!matches!(outlet, Outlet::Load(_))).then_some(progress);
    let mut walk = Walk {
        source: Source { source, buffer: BytesMut::new(), position: 0, flat: Sha256::new(), progress },
        object: &archive.key,
        codec: options.codec,
        outlet,
        orders: BTreeMap::new(),
        root: Sha256::new(),
        list: None,
        large_objects: None,
        window: VecDeque::new(),
        jobs: options.jobs.max(1),
        found: ReadBack::default(),
    };
    walk.run(archive, index).await
}

/// Whether an object is a table's rows.
fn is_rows(object: &ObjectRecord) -> bool {
    object.description == "TABLE DATA"
}

/// A piece that is being checked.
struct InWork {
    record: PieceRecord,
    work: JoinHandle<Result<Checked, String>>,
    /// Its content is hashed here, in order.
    in_order: bool,
    permit: Option<Permit>,
}

struct Walk<'a> {
    source: Source<'a>,
    object: &'a str,
    codec: Codec,
    outlet: Outlet,
    orders: BTreeMap<i32, Option<ColumnOrder>>,
    root: Sha256,
    list: Option<OpenList>,
    large_objects: Option<i32>,
    window: VecDeque<InWork>,
    jobs: usize,
    found: ReadBack,
}

impl Walk<'_> {
    async fn run(&mut self, archive: &ArchiveObject, index: IndexReader) -> Result<ReadBack, Error> {
        let head = self.head(archive).await?;
        let contents = Contents::read(&head)?;
        if let Outlet::Load(feed) = &mut self.outlet {
            feed.contents(&head, &contents);
        }
        let Contents { objects, sequences, tables, .. } = contents;
        self.orders = tables.iter().map(|(dump_id, plan)| (*dump_id, plan.order.clone())).collect();
        // The contents' entries of rows stand as the blocks lie, which nobody knew when the index was begun.
        let (rows, objects): (Vec<_>, Vec<_>) = objects.into_iter().partition(is_rows);
        let mut rows: BTreeSet<ObjectRecord> = rows.into_iter().collect();
        let (mut objects, mut sequences) = (objects.into_iter(), sequences.into_iter());
        let mut blocks = 0;
        for record in index {
            match record? {
                IndexRecord::Piece(piece) => self.piece(piece).await?,
                IndexRecord::Table(table) => {
                    self.table(&table).await?;
                    blocks += 1;
                }
                IndexRecord::LargeObject(object) => self.large_object(&object).await?,
                IndexRecord::LargeObjectBlock(block) => {
                    self.large_object_block(&block).await?;
                    blocks += 1;
                }
                IndexRecord::Object(recorded) => {
                    let same = if is_rows(&recorded) {
                        rows.remove(&recorded)
                    } else {
                        objects.next().as_ref() == Some(&recorded)
                    };
                    if !same {
                        return Err(self.not_as_recorded(&object_name(&recorded)));
                    }
                }
                IndexRecord::Sequence(recorded) => {
                    if sequences.next().as_ref() != Some(&recorded) {
                        let name = qualified(recorded.namespace.as_deref(), &recorded.name);
                        return Err(self.not_as_recorded(&name));
                    }
                }
                IndexRecord::Role(_) => {}
            }
        }
        if let Some(left) = objects.next().or_else(|| rows.pop_first()) {
            return Err(self.not_as_recorded(&object_name(&left)));
        }
        if let Some(left) = sequences.next() {
            return Err(self.not_as_recorded(&qualified(left.namespace.as_deref(), &left.name)));
        }
        let announced = head.entries().iter().filter(|entry| entry.has_data).count();
        if blocks != announced {
            return Err(self.damaged(format!("{blocks} blocks where the contents announce {announced}")));
        }
        if !self.source.at_end().await? {
            return Err(self.damaged("bytes follow the last block".to_owned()));
        }
        let root = hex::encode(self.root.clone().chain_update(Sha256::digest(head.bytes())).finalize());
        if root != archive.root_sha256 {
            return Err(self.damaged(format!("root SHA-256 is {root}, expected {}", archive.root_sha256)));
        }
        if let Outlet::Load(feed) = &mut self.outlet {
            feed.flush().await?;
        }
        self.found.sha256 = hex::encode(self.source.flat.clone().finalize());
        self.found.bytes = self.source.position;
        Ok(std::mem::take(&mut self.found))
    }

    fn damaged(&self, reason: String) -> Error {
        Error::Damaged { object: self.object.to_owned(), offset: self.source.position, reason }
    }

    /// The index and the archive's contents, written from one another, say different things of an entry.
    fn not_as_recorded(&self, name: &str) -> Error {
        let reason = format!("the contents and the index differ in {name}");
        Error::Damaged { object: self.object.to_owned(), offset: 0, reason }
    }

    fn damaged_at(&self, record: &PieceRecord, reason: String) -> Error {
        Error::Damaged { object: self.object.to_owned(), offset: record.offset, reason }
    }

    async fn exactly(&mut self, length: u64) -> Result<Bytes, Error> {
        let length = usize::try_from(length).map_err(|_| self.damaged("a length beyond memory".to_owned()))?;
        match self.source.take(length).await? {
            Some(bytes) => Ok(bytes),
            None => Err(self.damaged("the object ends here".to_owned())),
        }
    }

    async fn head(&mut self, archive: &ArchiveObject) -> Result<Head, Error> {
        let bytes = self.exactly(archive.head_bytes).await?;
        let found = hex::encode(Sha256::digest(&bytes));
        if found != archive.head_sha256 {
            return Err(self.damaged(format!("the head has SHA-256 {found}, expected {}", archive.head_sha256)));
        }
        let head = Head::parse(&bytes)?;
        if head.len() != bytes.len() {
            return Err(self.damaged("the contents end before the head does".to_owned()));
        }
        self.outlet.pass(bytes).await?;
        Ok(head)
    }

    /// Reads the bytes of a frame, which the records determine.
    async fn frame(&mut self, expected: Vec<u8>, what: &str) -> Result<(), Error> {
        self.drain(0).await?;
        let bytes = self.exactly(expected.len() as u64).await?;
        if bytes != expected {
            return Err(self.damaged(format!("{what} is not as written")));
        }
        self.outlet.pass(bytes).await
    }

    /// Opens the chunk list that a record belongs to, unless it is open.
    async fn open(&mut self, dump_id: i32, large_object: Option<u32>) -> Result<(), Error> {
        if self.list.is_some() {
            return Ok(());
        }
        match large_object {
            Some(oid) => {
                self.open_large_object_block(dump_id).await?;
                self.frame(open_large_object(oid, &self.codec), "the beginning of a large object").await?;
            }
            None => self.frame(open_table(dump_id, &self.codec), "the beginning of a block").await?,
        }
        self.list = Some(OpenList::new());
        Ok(())
    }

    async fn piece(&mut self, record: PieceRecord) -> Result<(), Error> {
        self.open(record.dump_id, record.large_object).await?;
        if record.offset != self.source.position {
            return Err(self.damaged(format!("the index has a piece at byte {}", record.offset)));
        }
        let permit = self.permit().await?;
        let stored = self.exactly(record.length).await?;
        let order = self.orders.get(&record.dump_id).cloned().flatten();
        let keep = matches!(self.outlet, Outlet::Load(_));
        let Some(list) = &mut self.list else { return Ok(()) };
        if record.open && !list.within_row {
            list.giant = Some(RowDigester::with_order(order.clone()));
        }
        // Rows that span pieces, and large objects, are hashed in order; all else by the workers.
        let in_order = record.open || list.within_row || record.large_object.is_some();
        list.within_row = record.open;
        let check = PieceCheck { codec: self.codec, order, in_order, keep, record: record.clone(), stored };
        let work = tokio::task::spawn_blocking(move || check.run());
        self.window.push_back(InWork { record, work, in_order, permit });
        self.drain(if in_order { 0 } else { self.jobs }).await
    }

    /// Waits until one more piece may be in memory; only a load holds them for longer than the check.
    async fn permit(&mut self) -> Result<Option<Permit>, Error> {
        let Outlet::Load(feed) = &self.outlet else { return Ok(None) };
        let permits = Arc::clone(feed.permits());
        loop {
            if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
                return Ok(Some(permit));
            }
            // Pieces in the window hold permits, and give them back only once they went on.
            match self.window.len() {
                0 => break,
                held => self.drain(held - 1).await?,
            }
        }
        permits.acquire_owned().await.map(Some).map_err(|_| Error::NobodyReads)
    }

    /// Waits until at most `left` pieces are being checked.
    async fn drain(&mut self, left: usize) -> Result<(), Error> {
        while self.window.len() > left {
            let Some(InWork { record, work, in_order, permit }) = self.window.pop_front() else { break };
            let checked = work.await.map_err(Error::Worker)?.map_err(|reason| self.damaged_at(&record, reason))?;
            self.account(&record, &checked, in_order)?;
            self.outlet.hand_on(&record, checked, permit).await?;
        }
        Ok(())
    }

    fn account(&mut self, record: &PieceRecord, checked: &Checked, in_order: bool) -> Result<(), Error> {
        let sha: [u8; 32] = hex::decode(&record.sha256).ok().and_then(|sha| sha.try_into().ok()).unwrap_or_default();
        self.root.update(sha);
        let Some(list) = &mut self.list else { return Ok(()) };
        list.adler = list.adler.combine(checked.adler, record.raw_bytes);
        list.raw_bytes += record.raw_bytes;
        list.digest.merge(&checked.digest);
        let mut rows = checked.digest.rows;
        // A load keeps what the workers have digested, too.
        if let Some(raw) = checked.raw.as_ref().filter(|_| in_order) {
            if let Some(mut giant) = list.giant.take() {
                giant.push(raw)?;
                if record.open {
                    list.giant = Some(giant);
                } else {
                    let digest = giant.finish().ok_or_else(|| Error::RowCut { table: self.object.to_owned() })?;
                    rows = digest.rows;
                    list.digest.merge(&digest);
                }
            } else {
                list.hash.update(raw);
            }
        }
        if rows != record.rows {
            return Err(self.damaged_at(record, format!("{rows} rows in a piece of {}", record.rows)));
        }
        Ok(())
    }

    async fn close(&mut self, what: &str) -> Result<OpenList, Error> {
        self.drain(0).await?;
        let list = self.list.take().unwrap_or_else(OpenList::new);
        self.frame(close_list(&self.codec, list.adler), what).await?;
        Ok(list)
    }

    async fn table(&mut self, table: &TableRecord) -> Result<(), Error> {
        self.open(table.dump_id, None).await?;
        let list = self.close("the end of a block").await?;
        if list.digest != table.digest {
            let name = qualified(Some(&table.schema), &table.name);
            return Err(self.damaged(format!("{name} has {}, expected {}", list.digest, table.digest)));
        }
        if self.source.position != table.offset + table.length {
            return Err(self.damaged("a block's length is not the recorded one".to_owned()));
        }
        self.found.tables += 1;
        self.found.rows += table.digest.rows;
        Ok(())
    }

    async fn open_large_object_block(&mut self, dump_id: i32) -> Result<(), Error> {
        if self.large_objects != Some(dump_id) {
            self.frame(open_large_objects(dump_id), "the beginning of the large objects").await?;
            self.large_objects = Some(dump_id);
        }
        Ok(())
    }

    async fn large_object(&mut self, object: &LargeObjectRecord) -> Result<(), Error> {
        self.open(object.dump_id, Some(object.oid)).await?;
        let list = self.close("the end of a large object").await?;
        if let Outlet::Load(feed) = &mut self.outlet {
            feed.close_object().await?;
        }
        if list.hash.hex() != object.digest || list.raw_bytes != object.bytes {
            return Err(self.damaged(format!("large object {} is not the recorded one", object.oid)));
        }
        self.found.large_objects += 1;
        Ok(())
    }

    async fn large_object_block(&mut self, block: &LargeObjectBlockRecord) -> Result<(), Error> {
        self.open_large_object_block(block.dump_id).await?;
        self.large_objects = None;
        self.frame(close_large_objects(), "the end of the large objects").await
    }
}
