//! The rows of a stored table, for a comparison.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use holdpoint_core::digest::RowDigest;
use holdpoint_core::fingerprint::qualified;
use holdpoint_core::progress::Progress;
use tokio::task::JoinSet;

use crate::Error;
use crate::compare_rows::{BATCH, Batches};
use crate::compare_rows_form::{Lines, RowForm, RowHasher};
use crate::compare_rows_marks::{Hand, Mark};
use crate::compare_rows_sample::Samples;
use crate::fetch::{PartialArchive, PassedRows, PieceRun, RowOrders, TableBlock};

/// A table of an archive, or a partition.
#[derive(Clone, Debug)]
pub struct StoredTable {
    /// Its block.
    pub block: TableBlock,
    /// Where the compared columns stand in its rows.
    pub form: RowForm,
    /// How its rows are digested, to compare them with what was recorded.
    pub orders: RowOrders,
}

/// The rows of a table in an archive; of a partitioned one those of all its partitions.
#[derive(Clone, Debug)]
pub struct StoredRows {
    /// The archive.
    pub archive: PartialArchive,
    /// The tables, at most 65,536.
    pub tables: Vec<StoredTable>,
    /// How many ranges are read at a time.
    pub jobs: usize,
}

/// Where a row begins: which table, and which piece of it.
fn place(table: usize, piece: usize) -> u64 {
    (table as u64) << 48 | piece as u64
}

impl StoredRows {
    pub(crate) async fn read(
        &self,
        hand: Hand,
        send: &Batches,
        progress: Arc<dyn Progress>,
    ) -> Result<RowDigest, Error> {
        let mut digest = RowDigest::default();
        for (nth, table) in self.tables.iter().enumerate() {
            let mut readers = JoinSet::new();
            for run in table.block.runs(self.jobs) {
                let reader = Reader {
                    archive: self.archive.clone(),
                    table: table.clone(),
                    nth,
                    run,
                    hand,
                    send: send.clone(),
                    progress: Arc::clone(&progress),
                };
                readers.spawn(reader.run());
            }
            let mut passed = PassedRows::default();
            while let Some(joined) = readers.join_next().await {
                let (compared, rows) = joined.map_err(Error::Worker)??;
                digest.merge(&compared);
                passed.merge(&rows);
            }
            table.must_be_recorded(&passed.recorded)?;
        }
        Ok(digest)
    }

    pub(crate) async fn fetch(&self, wanted: &HashMap<u128, u64>, samples: &mut Samples) -> Result<(), Error> {
        let mut pieces: BTreeMap<u64, u64> = BTreeMap::new();
        for place in wanted.values() {
            *pieces.entry(*place).or_default() += 1;
        }
        for place in pieces.into_keys() {
            let (nth, first) = ((place >> 48) as usize, (place & 0xffff_ffff_ffff) as usize);
            let Some(table) = self.tables.get(nth) else { continue };
            let all = &table.block.pieces;
            // A row that goes on in the next piece is read whole.
            let length = all.iter().skip(first).take_while(|piece| piece.open).count() + 1;
            let run = PieceRun { pieces: all.iter().skip(first).take(length).cloned().collect() };
            // The rest of a row that began before is not one.
            let mut within_row = first > 0 && all.get(first - 1).is_some_and(|piece| piece.open);
            let mut reader = self.archive.open(run, RowOrders::default()).await?;
            let mut lines = Lines::default();
            let mut hasher = RowHasher::new(table.form.clone());
            while let Some(rows) = reader.next().await? {
                lines.push(&rows, &mut |row| {
                    if std::mem::take(&mut within_row) {
                        return Ok(());
                    }
                    let (key, _) = hasher.hash(row)?;
                    if wanted.contains_key(&key) { samples.keep(key, &table.form, row) } else { Ok(()) }
                })?;
            }
        }
        Ok(())
    }
}

impl StoredTable {
    fn must_be_recorded(&self, found: &RowDigest) -> Result<(), Error> {
        let record = &self.block.record;
        if *found == record.digest {
            return Ok(());
        }
        let name = qualified(Some(&record.schema), &record.name);
        let reason = format!("{name} has {found}, expected {}", record.digest);
        Err(Error::Damaged { object: "the archive".to_owned(), offset: record.offset, reason })
    }
}

/// Reads some neighbouring pieces of a table.
struct Reader {
    archive: PartialArchive,
    table: StoredTable,
    nth: usize,
    run: PieceRun,
    hand: Hand,
    send: Batches,
    progress: Arc<dyn Progress>,
}

/// What hashing keeps from piece to piece.
struct Hashing {
    hasher: RowHasher,
    lines: Lines,
    digest: RowDigest,
    /// Where the row began that is still open.
    began: Option<usize>,
}

impl Reader {
    async fn run(self) -> Result<(RowDigest, PassedRows), Error> {
        let range = self.run.range();
        let first = self.table.block.pieces.iter().position(|piece| piece.offset == range.start).unwrap_or_default();
        let mut reader = self.archive.open(self.run, self.table.orders.clone()).await?;
        let mut hashing = Hashing {
            hasher: RowHasher::new(self.table.form.clone()),
            lines: Lines::default(),
            digest: RowDigest::default(),
            began: None,
        };
        let mut piece = first;
        while let Some(rows) = reader.next().await? {
            let stored = self.table.block.pieces.get(piece).map_or(0, |piece| piece.length);
            self.progress.advance(stored);
            let nth = self.nth;
            let work = tokio::task::spawn_blocking(move || {
                let marks = hashing.piece(&rows, nth, piece)?;
                Ok::<_, Error>((hashing, marks))
            });
            let (next, marks) = work.await.map_err(Error::Worker)??;
            hashing = next;
            for batch in marks {
                self.send.send((self.hand, batch)).await.map_err(|_| Error::NobodyReads)?;
            }
            piece += 1;
        }
        let record = &self.table.block.record;
        let (passed, _) = reader.finish(&qualified(Some(&record.schema), &record.name))?;
        Ok((hashing.digest, passed))
    }
}

impl Hashing {
    fn piece(&mut self, rows: &Bytes, table: usize, piece: usize) -> Result<Vec<Vec<Mark>>, Error> {
        let Self { hasher, lines, digest, began } = self;
        let mut batches = vec![Vec::with_capacity(BATCH)];
        let mut from = began.take().unwrap_or(piece);
        lines.push(rows, &mut |row| {
            let (key, columns) = hasher.hash(row)?;
            digest.add_hash(columns);
            if batches.last().is_none_or(|batch: &Vec<Mark>| batch.len() == BATCH) {
                batches.push(Vec::with_capacity(BATCH));
            }
            if let Some(batch) = batches.last_mut() {
                batch.push(Mark::new(key, columns, place(table, from)));
            }
            from = piece;
            Ok(())
        })?;
        // Where nothing of this piece ended a row, the row goes on from where it began.
        *began = lines.within_row().then_some(from);
        Ok(batches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_placed_where_it_begins() {
        let mut hashing = Hashing {
            hasher: RowHasher::new(RowForm { width: 1, key: vec![0], columns: vec![0] }),
            lines: Lines::default(),
            digest: RowDigest::default(),
            began: None,
        };
        let mut marks = Vec::new();
        for (piece, rows) in [&b"a\nb\nlong"[..], b"er and", b" longer\nc\n"].iter().enumerate() {
            marks.extend(hashing.piece(&Bytes::from_static(rows), 3, piece).unwrap().concat());
        }
        let text = |text: &str, piece| {
            let hash = holdpoint_core::digest::hash(text.as_bytes());
            Mark::new(hash, hash, place(3, piece))
        };
        assert_eq!(marks, [text("a", 0), text("b", 0), text("longer and longer", 0), text("c", 2)]);
        assert_eq!(hashing.digest.rows, 4);
    }
}
