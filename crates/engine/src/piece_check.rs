//! Checking one stored piece: the work of one core.

use std::io::{self, Write};

use bytes::Bytes;
use holdpoint_archive::{Adler32, COPY_END, Codec, decode_piece};
use holdpoint_core::digest::{ColumnOrder, RowDigest, RowDigester};
use holdpoint_core::index::PieceRecord;
use sha2::{Digest, Sha256};

/// The most that is reserved for a piece by what its record says; more grows as it comes.
const LARGEST_RESERVED: usize = 64 << 20;

/// A piece to check.
pub(crate) struct PieceCheck {
    pub(crate) codec: Codec,
    pub(crate) order: Option<ColumnOrder>,
    /// The content is hashed by whoever asked, in order, and must be handed back.
    pub(crate) in_order: bool,
    /// The content goes on, and must be handed back.
    pub(crate) keep: bool,
    pub(crate) record: PieceRecord,
    pub(crate) stored: Bytes,
}

/// What a piece held.
pub(crate) struct Checked {
    pub(crate) digest: RowDigest,
    pub(crate) adler: Adler32,
    pub(crate) raw: Option<Bytes>,
    pub(crate) stored: Bytes,
}

impl PieceCheck {
    /// Hashes, decompresses and digests; the error says in words what is wrong with the piece.
    pub(crate) fn run(self) -> Result<Checked, String> {
        let raw = unpacked(self.codec, &self.record, &self.stored)?;
        let adler = Adler32::of(&raw);
        if self.in_order {
            return Ok(Checked { digest: RowDigest::default(), adler, raw: Some(raw.into()), stored: self.stored });
        }
        let rows = match (self.record.end, raw.strip_suffix(COPY_END)) {
            (false, _) => raw.as_slice(),
            (true, Some(rows)) => rows,
            (true, None) => return Err("the end marker of a table is missing".to_owned()),
        };
        let mut digester = RowDigester::with_order(self.order);
        digester.push(rows).map_err(|error| error.to_string())?;
        let digest = digester.finish().ok_or_else(|| "a piece ends within a row".to_owned())?;
        let raw = self.keep.then(|| raw.into());
        Ok(Checked { digest, adler, raw, stored: self.stored })
    }
}

/// Hashes and decompresses a piece.
fn unpacked(codec: Codec, record: &PieceRecord, stored: &[u8]) -> Result<Vec<u8>, String> {
    let found = hex::encode(Sha256::digest(stored));
    if found != record.sha256 {
        return Err(format!("a piece has SHA-256 {found}, expected {}", record.sha256));
    }
    let capacity = usize::try_from(record.raw_bytes).unwrap_or(0).min(LARGEST_RESERVED);
    let mut out = Bounded { held: Vec::with_capacity(capacity), limit: record.raw_bytes };
    decode_piece(codec.algorithm(), stored, &mut out).map_err(|error| error.to_string())?;
    if out.held.len() as u64 != record.raw_bytes {
        return Err(format!("a piece holds {} bytes, expected {}", out.held.len(), record.raw_bytes));
    }
    Ok(out.held)
}

/// Checks a piece of a table and gives its rows, without the table's end marker.
pub(crate) fn stored_rows(codec: Codec, record: &PieceRecord, stored: &[u8]) -> Result<Vec<u8>, String> {
    let mut raw = unpacked(codec, record, stored)?;
    crate::fetch::without_end(&mut raw, record)?;
    Ok(raw)
}

/// Holds what a piece decompresses to, and refuses more than its record says: nothing grows by what bytes claim.
struct Bounded {
    held: Vec<u8>,
    limit: u64,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.held.len() + bytes.len()) as u64 > self.limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "more bytes than the index says"));
        }
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
