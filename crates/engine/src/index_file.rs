//! The index as it is stored: JSON lines, compressed with zstd.

use std::io::{self, BufRead, BufReader, Read, Write};

use bytes::Bytes;
use holdpoint_core::index::IndexRecord;
use sha2::{Digest, Sha256};

use crate::Error;

/// Level 3 shrinks an index, mostly hexadecimal hashes, to about half; more gains nothing.
const LEVEL: i32 = 3;
/// The longest line accepted when reading; a table's column list can be long, a record cannot be endless.
const LONGEST_LINE: u64 = 64 << 20;

/// Writes an index.
///
/// Memory: the compressed index, about 50 bytes a piece.
pub struct IndexWriter {
    zstd: zstd::Encoder<'static, Vec<u8>>,
}

impl std::fmt::Debug for IndexWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IndexWriter")
    }
}

/// An index ready to be stored.
#[derive(Clone, Debug)]
pub struct FinishedIndex {
    /// Its bytes.
    pub bytes: Bytes,
    /// Their SHA-256, in hexadecimal.
    pub sha256: String,
}

impl IndexWriter {
    /// Begins an index.
    pub fn new() -> Result<Self, Error> {
        let mut zstd = zstd::Encoder::new(Vec::new(), LEVEL).map_err(Error::Index)?;
        zstd.include_checksum(true).map_err(Error::Index)?;
        Ok(Self { zstd })
    }

    /// Adds a record.
    pub fn push(&mut self, record: &IndexRecord) -> Result<(), Error> {
        serde_json::to_writer(&mut self.zstd, record).map_err(|error| Error::Index(error.into()))?;
        self.zstd.write_all(b"\n").map_err(Error::Index)
    }

    /// Ends the index.
    pub fn finish(self) -> Result<FinishedIndex, Error> {
        let bytes = Bytes::from(self.zstd.finish().map_err(Error::Index)?);
        let sha256 = hex::encode(Sha256::digest(&bytes));
        Ok(FinishedIndex { bytes, sha256 })
    }
}

/// Reads an index record by record.
pub struct IndexReader {
    lines: BufReader<Box<dyn Read + Send>>,
}

impl std::fmt::Debug for IndexReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IndexReader")
    }
}

impl IndexReader {
    /// Opens a stored index after comparing its hash with the manifest's.
    pub fn open(bytes: Bytes, sha256: &str) -> Result<Self, Error> {
        let found = hex::encode(Sha256::digest(&bytes));
        if found != sha256 {
            let reason = format!("the index has SHA-256 {found}, the manifest names {sha256}");
            return Err(Error::Index(io::Error::new(io::ErrorKind::InvalidData, reason)));
        }
        let zstd = zstd::Decoder::new(io::Cursor::new(bytes)).map_err(Error::Index)?;
        Ok(Self { lines: BufReader::with_capacity(1 << 16, Box::new(zstd)) })
    }

    /// Gives the next record, or `None` at the end.
    pub fn next_record(&mut self) -> Result<Option<IndexRecord>, Error> {
        let mut line = Vec::new();
        let read = (&mut self.lines).take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(Error::Index)?;
        if read == 0 {
            return Ok(None);
        }
        serde_json::from_slice(&line).map(Some).map_err(|error| Error::Index(error.into()))
    }
}

impl Iterator for IndexReader {
    type Item = Result<IndexRecord, Error>;
    fn next(&mut self) -> Option<Self::Item> {
        self.next_record().transpose()
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::index::RoleRecord;

    use super::*;

    fn role(name: &str) -> IndexRecord {
        IndexRecord::Role(RoleRecord { name: name.into(), superuser: false, member_of: vec![] })
    }

    #[test]
    fn reads_back_what_was_written_and_notices_a_change() {
        let mut writer = IndexWriter::new().unwrap();
        writer.push(&role("app")).unwrap();
        writer.push(&role("odd\nname")).unwrap();
        let index = writer.finish().unwrap();
        let records: Vec<_> =
            IndexReader::open(index.bytes.clone(), &index.sha256).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(records, [role("app"), role("odd\nname")]);
        let mut changed = index.bytes.to_vec();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        assert!(IndexReader::open(changed.into(), &index.sha256).is_err());
    }
}
