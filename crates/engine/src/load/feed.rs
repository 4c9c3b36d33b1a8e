//! Turns checked pieces, in the archive's order, into loads for the sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use holdpoint_archive::{Codec, Head, close_list, open_table};
use holdpoint_core::index::PieceRecord;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::LoadOptions;
use super::statement::LoadTarget;
use super::worker::Outstanding;
use crate::{Contents, Error};

/// The right to hold one piece in memory.
pub(crate) type Permit = OwnedSemaphorePermit;

/// Small tables and large objects are gathered up to this many bytes into one transaction.
const GATHERED_BYTES: usize = 512 << 10;
/// And up to this many tables, so that no transaction needs many locks.
const GATHERED: usize = 50;

/// Rows of one table.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) target: Arc<LoadTarget>,
    pub(super) bytes: Bytes,
    /// How many they are, as the index says and the check has found.
    pub(super) rows: u64,
    /// These are all rows of the table.
    pub(super) whole: bool,
    _permit: Option<Permit>,
}

/// A part of a row, or of a large object, that is larger than a piece.
#[derive(Debug)]
pub(super) struct Portion {
    pub(super) bytes: Bytes,
    _permit: Option<Permit>,
}

/// A portion, or the end. A channel that closes without it was given up, and nothing of it may be committed.
#[derive(Debug)]
pub(super) enum Portioned {
    Portion(Portion),
    /// The end, and how many rows there were; of a large object none.
    End(u64),
}

/// What one session loads in one transaction.
#[derive(Debug)]
pub(super) enum Load {
    /// Rows of one table or of several small ones.
    Rows(Vec<Rows>),
    /// A row that spans pieces.
    LongRow { target: Arc<LoadTarget>, portions: mpsc::Receiver<Portioned> },
    /// Small large objects, by OID.
    Objects(Vec<(u32, Bytes)>),
    /// A large object that spans pieces.
    LongObject { oid: u32, portions: mpsc::Receiver<Portioned> },
}

/// A large object of which one piece came, and maybe more come.
#[derive(Debug)]
struct Begun {
    oid: u32,
    first: Portion,
}

/// Takes checked pieces and hands loads to the sessions.
#[derive(Debug)]
pub(crate) struct Feed {
    targets: BTreeMap<i32, Arc<LoadTarget>>,
    queue: mpsc::Sender<Load>,
    permits: Arc<Semaphore>,
    outstanding: Arc<Outstanding>,
    codec: Codec,
    table_bytes: BTreeMap<i32, u64>,
    freeze: bool,
    only: Option<BTreeSet<i32>>,
    rows: Vec<Rows>,
    rows_bytes: usize,
    objects: Vec<(u32, Bytes)>,
    objects_bytes: usize,
    begun: Option<Begun>,
    /// Where the portions of a row or large object go that is under way.
    open: Option<mpsc::Sender<Portioned>>,
    /// Rows of those portions so far.
    open_rows: u64,
    /// The table of which a piece was taken last.
    last: Option<i32>,
}

impl Feed {
    pub(super) fn new(
        queue: mpsc::Sender<Load>,
        permits: Arc<Semaphore>,
        outstanding: Arc<Outstanding>,
        options: &LoadOptions,
    ) -> Self {
        Self {
            targets: BTreeMap::new(),
            queue,
            permits,
            outstanding,
            codec: options.read.codec,
            table_bytes: options.table_bytes.clone(),
            freeze: options.freeze,
            only: options.only.clone(),
            rows: Vec::new(),
            rows_bytes: 0,
            objects: Vec::new(),
            objects_bytes: 0,
            begun: None,
            open: None,
            open_rows: 0,
            last: None,
        }
    }

    /// Learns which tables come.
    pub(crate) fn contents(&mut self, head: &Head, contents: &Contents) {
        for entry in head.entries() {
            let Some(plan) = contents.tables.get(&entry.dump_id) else { continue };
            let frames = open_table(entry.dump_id, &self.codec).len()
                + close_list(&self.codec, holdpoint_archive::Adler32::EMPTY).len();
            let stored = self.table_bytes.get(&entry.dump_id).map(|bytes| bytes.saturating_sub(frames as u64));
            let target = LoadTarget::new(head, contents, entry, plan, stored);
            self.targets.insert(entry.dump_id, Arc::new(target));
        }
    }

    /// The pieces that may be in memory at a time.
    pub(crate) fn permits(&self) -> &Arc<Semaphore> {
        &self.permits
    }

    /// Takes a checked piece of a table; `bytes` are its rows without the end marker.
    pub(crate) async fn rows(
        &mut self,
        record: &PieceRecord,
        bytes: Bytes,
        permit: Option<Permit>,
    ) -> Result<(), Error> {
        if self.only.as_ref().is_some_and(|only| !only.contains(&record.dump_id)) {
            return Ok(());
        }
        let Some(target) = self.targets.get(&record.dump_id).map(Arc::clone) else {
            let unknown =
                std::io::Error::new(std::io::ErrorKind::InvalidData, "a piece of a table that is not announced");
            return Err(Error::Index(unknown));
        };
        let first = self.last.replace(record.dump_id) != Some(record.dump_id);
        let within = self.open.is_some();
        if record.open || within {
            if !within {
                self.in_order(&target).await?;
                let (send, portions) = mpsc::channel(1);
                self.open = Some(send);
                self.hand_out(Load::LongRow { target, portions }).await?;
            }
            self.open_rows += record.rows;
            self.portion(Portion { bytes, _permit: permit }).await?;
            return if record.open { Ok(()) } else { self.end_portions().await };
        }
        let small = bytes.len() < GATHERED_BYTES;
        // Emptying costs new files for table, TOAST and all, more than a small table's rows do.
        let whole = self.freeze && !small && first && record.end && target.own;
        let rows = Rows { target, bytes, rows: record.rows, whole, _permit: permit.filter(|_| !small) };
        if rows.bytes.is_empty() {
            return Ok(());
        }
        if rows.target.in_order {
            let target = Arc::clone(&rows.target);
            self.in_order(&target).await?;
            return self.hand_out(Load::Rows(vec![rows])).await;
        }
        if !small {
            return self.hand_out(Load::Rows(vec![rows])).await;
        }
        if self.rows_bytes + rows.bytes.len() > GATHERED_BYTES || self.rows.len() >= GATHERED {
            self.flush().await?;
        }
        self.rows_bytes += rows.bytes.len();
        self.rows.push(rows);
        Ok(())
    }

    /// Takes a checked piece of a large object.
    pub(crate) async fn object(&mut self, oid: u32, bytes: Bytes, permit: Option<Permit>) -> Result<(), Error> {
        if self.only.is_some() {
            return Ok(());
        }
        let portion = Portion { bytes, _permit: permit };
        if self.open.is_some() {
            return self.portion(portion).await;
        }
        let Some(Begun { first, .. }) = self.begun.take() else {
            self.begun = Some(Begun { oid, first: portion });
            return Ok(());
        };
        let (send, portions) = mpsc::channel(1);
        self.open = Some(send);
        self.hand_out(Load::LongObject { oid, portions }).await?;
        self.portion(first).await?;
        self.portion(portion).await
    }

    /// The large object under way has no more pieces.
    pub(crate) async fn close_object(&mut self) -> Result<(), Error> {
        self.end_portions().await?;
        let Some(Begun { oid, first }) = self.begun.take() else { return Ok(()) };
        if self.objects_bytes + first.bytes.len() > GATHERED_BYTES {
            self.flush().await?;
        }
        self.objects_bytes += first.bytes.len();
        self.objects.push((oid, first.bytes));
        Ok(())
    }

    /// Hands out what was gathered.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        self.rows_bytes = 0;
        self.objects_bytes = 0;
        let (rows, objects) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.objects));
        if !rows.is_empty() {
            self.hand_out(Load::Rows(rows)).await?;
        }
        if !objects.is_empty() {
            self.hand_out(Load::Objects(objects)).await?;
        }
        Ok(())
    }

    /// Waits, where a table asks for it, until everything handed out is committed.
    async fn in_order(&mut self, target: &LoadTarget) -> Result<(), Error> {
        if target.in_order {
            self.flush().await?;
            self.outstanding.none().await;
        }
        Ok(())
    }

    async fn portion(&mut self, portion: Portion) -> Result<(), Error> {
        match &self.open {
            Some(open) => open.send(Portioned::Portion(portion)).await.map_err(|_| Error::NobodyReads),
            None => Err(Error::NobodyReads),
        }
    }

    async fn end_portions(&mut self) -> Result<(), Error> {
        let rows = std::mem::take(&mut self.open_rows);
        match self.open.take() {
            Some(open) => open.send(Portioned::End(rows)).await.map_err(|_| Error::NobodyReads),
            None => Ok(()),
        }
    }

    async fn hand_out(&mut self, load: Load) -> Result<(), Error> {
        self.outstanding.add();
        self.queue.send(load).await.map_err(|_| Error::NobodyReads)
    }
}
