//! Reading a part of a stored archive: its head, and the blocks of some tables, by ranged reads.
//!
//! The bytes of a range carry no checksum on their way, so everything is compared with the hashes of manifest and index
//! before anybody sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use holdpoint_archive::{COPY_END, Codec, Head};
use holdpoint_core::digest::{ColumnOrder, RowDigest, RowDigester};
use holdpoint_core::fingerprint::qualified;
use holdpoint_core::index::{IndexRecord, PieceRecord, TableRecord};
use holdpoint_core::manifest::ArchiveObject;
use holdpoint_repository::{ObjectReader, ObjectStore};
use sha2::{Digest, Sha256};

use crate::piece_check::stored_rows;
use crate::{Error, IndexReader};

/// A stored archive that is read in parts: always the same object.
#[derive(Clone, Debug)]
pub struct PartialArchive {
    store: Arc<dyn ObjectStore>,
    key: String,
    etag: String,
    codec: Codec,
}

/// An archive's head as it was fetched.
#[derive(Clone, Debug)]
pub struct FetchedHead {
    /// The archive it is of.
    pub archive: PartialArchive,
    /// Header and contents.
    pub head: Head,
    /// Bytes that came over the network or from the disk.
    pub fetched_bytes: u64,
}

/// Fetches an archive's head and nothing behind it, and compares it with its hash.
///
/// Fails with [`Error::Damaged`] where it is not the one that the manifest names. Memory: the head.
pub async fn fetch_head(
    store: Arc<dyn ObjectStore>,
    archive: &ArchiveObject,
    codec: Codec,
) -> Result<FetchedHead, Error> {
    let reader = store.read(&archive.key, Some(0..archive.head_bytes), None).await?;
    let etag = reader.etag().to_owned();
    let (bytes, fetched_bytes) = whole(reader).await?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != archive.head_sha256 {
        let reason = format!("the head has SHA-256 {found}, expected {}", archive.head_sha256);
        return Err(Error::Damaged { object: archive.key.clone(), offset: 0, reason });
    }
    let head = Head::parse(&bytes)?;
    Ok(FetchedHead { archive: PartialArchive { store, key: archive.key.clone(), etag, codec }, head, fetched_bytes })
}

async fn whole(mut reader: ObjectReader) -> Result<(Bytes, u64), Error> {
    let mut all = BytesMut::with_capacity(usize::try_from(reader.remaining_bytes().min(1 << 26)).unwrap_or_default());
    while let Some(chunk) = reader.next_chunk().await? {
        all.extend_from_slice(&chunk);
    }
    Ok((all.freeze(), reader.fetched_bytes()))
}

/// A table's block, as the index describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableBlock {
    /// The table.
    pub record: TableRecord,
    /// Its pieces, in order; each begins where the one before it ends.
    pub pieces: Vec<PieceRecord>,
}

/// Finds the blocks of tables in an index, by dump id.
///
/// Fails with [`Error::Damaged`] where pieces and block contradict each other. Memory: the pieces of those tables.
pub fn table_blocks(index: IndexReader, wanted: &BTreeSet<i32>) -> Result<BTreeMap<i32, TableBlock>, Error> {
    let mut pieces: BTreeMap<i32, Vec<PieceRecord>> = BTreeMap::new();
    let mut blocks = BTreeMap::new();
    for record in index {
        match record? {
            IndexRecord::Piece(piece) if piece.large_object.is_none() && wanted.contains(&piece.dump_id) => {
                pieces.entry(piece.dump_id).or_default().push(piece);
            }
            IndexRecord::Table(record) if wanted.contains(&record.dump_id) => {
                let pieces = pieces.remove(&record.dump_id).unwrap_or_default();
                let block = TableBlock { record, pieces };
                block.check()?;
                blocks.insert(block.record.dump_id, block);
            }
            _ => {}
        }
    }
    Ok(blocks)
}

/// Neighbouring pieces of a block that are read as one range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceRun {
    pub(crate) pieces: Vec<PieceRecord>,
}

impl PieceRun {
    /// The bytes of the archive that they are.
    pub fn range(&self) -> Range<u64> {
        let from = self.pieces.first().map_or(0, |piece| piece.offset);
        from..self.pieces.last().map_or(from, |piece| piece.offset + piece.length)
    }
}

impl TableBlock {
    fn check(&self) -> Result<(), Error> {
        let wrong = |offset, what: &str| Error::Damaged {
            object: format!("the index of {}", qualified(Some(&self.record.schema), &self.record.name)),
            offset,
            reason: what.to_owned(),
        };
        let mut at = self.pieces.first().map_or(self.record.offset, |piece| piece.offset);
        if at < self.record.offset {
            return Err(wrong(at, "a piece lies before its block"));
        }
        for piece in &self.pieces {
            if piece.offset != at {
                return Err(wrong(piece.offset, "a piece does not begin where the one before it ends"));
            }
            at = at.checked_add(piece.length).ok_or_else(|| wrong(at, "a piece is longer than any archive"))?;
        }
        let rows: u64 = self.pieces.iter().map(|piece| piece.rows).sum();
        if at > self.record.offset.saturating_add(self.record.length) {
            return Err(wrong(at, "a piece lies behind its block"));
        }
        if rows != self.record.digest.rows || self.pieces.last().is_none_or(|piece| !piece.end || piece.open) {
            return Err(wrong(at, "the pieces are not the whole table"));
        }
        Ok(())
    }

    /// Stored bytes of all pieces.
    pub fn stored_bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.length).sum()
    }

    /// Cuts the pieces into at most `count` runs of about the same size that can be loaded at the same time: none begins
    /// within a row.
    pub fn runs(&self, count: usize) -> Vec<PieceRun> {
        let share = self.pieces.iter().map(|piece| piece.raw_bytes).sum::<u64>().div_ceil(count.max(1) as u64).max(1);
        let (mut runs, mut run, mut bytes) = (Vec::new(), Vec::new(), 0);
        for piece in &self.pieces {
            bytes += piece.raw_bytes;
            run.push(piece.clone());
            if bytes >= share && !piece.open {
                runs.push(PieceRun { pieces: std::mem::take(&mut run) });
                bytes = 0;
            }
        }
        if !run.is_empty() {
            runs.push(PieceRun { pieces: run });
        }
        runs
    }
}

/// How the rows of a block are digested while they pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowOrders {
    /// Into the order in which the index recorded the digest.
    pub recorded: Option<ColumnOrder>,
    /// Into the order of the table that the rows go into.
    pub loaded: Option<ColumnOrder>,
}

/// The two digests of the rows that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassedRows {
    /// In the order of the index.
    pub recorded: RowDigest,
    /// In the order of the table that they went into.
    pub loaded: RowDigest,
}

impl PassedRows {
    /// Adds the rows of another part.
    pub fn merge(&mut self, other: &Self) {
        self.recorded.merge(&other.recorded);
        self.loaded.merge(&other.loaded);
    }
}

/// Digests rows in both orders, once where they are one.
#[derive(Debug)]
pub(crate) struct RowsDigester {
    recorded: RowDigester,
    loaded: Option<RowDigester>,
}

impl RowsDigester {
    pub(crate) fn new(orders: RowOrders) -> Self {
        let loaded = (orders.recorded != orders.loaded).then(|| RowDigester::with_order(orders.loaded));
        Self { recorded: RowDigester::with_order(orders.recorded), loaded }
    }

    pub(crate) fn push(&mut self, rows: &[u8]) -> Result<(), Error> {
        self.recorded.push(rows)?;
        if let Some(loaded) = &mut self.loaded {
            loaded.push(rows)?;
        }
        Ok(())
    }

    /// `None` where the rows end within one.
    pub(crate) fn finish(self) -> Option<PassedRows> {
        let recorded = self.recorded.finish()?;
        let loaded = match self.loaded {
            Some(loaded) => loaded.finish()?,
            None => recorded,
        };
        Some(PassedRows { recorded, loaded })
    }
}

/// The rows of a run of pieces, checked, piece by piece.
pub(crate) struct RunReader {
    reader: ObjectReader,
    key: String,
    codec: Codec,
    buffer: BytesMut,
    pieces: std::vec::IntoIter<PieceRecord>,
    digester: Option<RowsDigester>,
}

impl PartialArchive {
    pub(crate) async fn open(&self, run: PieceRun, orders: RowOrders) -> Result<RunReader, Error> {
        let reader = self.store.read(&self.key, Some(run.range()), Some(&self.etag)).await?;
        Ok(RunReader {
            reader,
            key: self.key.clone(),
            codec: self.codec,
            buffer: BytesMut::new(),
            pieces: run.pieces.into_iter(),
            digester: Some(RowsDigester::new(orders)),
        })
    }
}

impl RunReader {
    /// Gives the next piece's rows, or `None` after the last.
    ///
    /// Memory: the stored piece and what it decompresses to.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(piece) = self.pieces.next() else { return Ok(None) };
        let length = usize::try_from(piece.length).unwrap_or(usize::MAX);
        while self.buffer.len() < length {
            let Some(chunk) = self.reader.next_chunk().await? else { break };
            self.buffer.extend_from_slice(&chunk);
        }
        let stored = self.buffer.split_to(length.min(self.buffer.len())).freeze();
        let Some(mut digester) = self.digester.take() else { return Err(Error::Cancelled) };
        let (codec, record) = (self.codec, piece.clone());
        let work = tokio::task::spawn_blocking(move || {
            let rows = stored_rows(codec, &record, &stored)?;
            Ok::<_, String>((digester.push(&rows).map(|()| digester), rows))
        });
        let (digested, rows) = work.await.map_err(Error::Worker)?.map_err(|reason| Error::Damaged {
            object: self.key.clone(),
            offset: piece.offset,
            reason,
        })?;
        self.digester = Some(digested?);
        Ok(Some(rows.into()))
    }

    /// Ends the reading; gives the digests and how many bytes were fetched.
    pub(crate) fn finish(self, table: &str) -> Result<(PassedRows, u64), Error> {
        let passed = self.digester.and_then(RowsDigester::finish);
        let passed = passed.ok_or_else(|| Error::RowCut { table: table.to_owned() })?;
        Ok((passed, self.reader.fetched_bytes()))
    }
}

/// Takes the end marker off the last piece of a table.
pub(crate) fn without_end(raw: &mut Vec<u8>, record: &PieceRecord) -> Result<(), String> {
    if record.end {
        let rows = raw.strip_suffix(COPY_END).map(<[u8]>::len);
        raw.truncate(rows.ok_or_else(|| "the end marker of a table is missing".to_owned())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(offset: u64, raw_bytes: u64, open: bool, end: bool) -> PieceRecord {
        PieceRecord {
            dump_id: 7,
            large_object: None,
            offset,
            length: 10,
            raw_bytes,
            rows: 1,
            end,
            open,
            sha256: String::new(),
        }
    }

    fn block(pieces: Vec<PieceRecord>) -> TableBlock {
        let record = TableRecord {
            dump_id: 7,
            schema: "s".into(),
            name: "t".into(),
            target: "s.t".into(),
            via_root: false,
            columns: None,
            filter: None,
            group: "s.t".into(),
            digest: RowDigest { rows: pieces.len() as u64, sum: 0 },
            data_bytes: 0,
            offset: 90,
            length: 200,
        };
        TableBlock { record, pieces }
    }

    #[test]
    fn runs_share_the_bytes_and_never_begin_within_a_row() {
        let whole = block(vec![
            piece(100, 50, false, false),
            piece(110, 50, true, false),
            piece(120, 50, true, false),
            piece(130, 50, false, false),
            piece(140, 50, false, true),
        ]);
        whole.check().unwrap();
        let ranges = |count| whole.runs(count).iter().map(PieceRun::range).collect::<Vec<_>>();
        assert_eq!(ranges(1).as_slice(), std::slice::from_ref(&(100..150)));
        assert_eq!(ranges(2), [100..140, 140..150]);
        assert_eq!(ranges(9), [100..110, 110..140, 140..150]);
    }

    #[test]
    fn an_index_that_contradicts_itself_is_damaged() {
        let gap = block(vec![piece(100, 5, false, false), piece(111, 5, false, true)]);
        let outside = block(vec![piece(285, 5, false, true)]);
        let before = block(vec![piece(80, 5, false, true)]);
        let mut rows = block(vec![piece(100, 5, false, true)]);
        rows.record.digest.rows = 2;
        let endless = block(vec![piece(100, 5, false, false)]);
        for wrong in [gap, outside, before, rows, endless, block(Vec::new())] {
            assert!(wrong.check().unwrap_err().is_damage());
        }
    }
}
