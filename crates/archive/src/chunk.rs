//! Chunks: the length-prefixed portions of which a block's data consist.

use crate::Error;
use crate::cursor::{INT_BYTES, int};

/// Largest chunk that is written; stock pg_restore allocates a buffer as large as the largest chunk it meets.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;

/// Appends a signed integer.
pub(crate) fn put_int(out: &mut Vec<u8>, value: i32) {
    out.push(u8::from(value < 0));
    out.extend_from_slice(&value.unsigned_abs().to_le_bytes());
}

/// Appends an OID as the signed integer of the same bits.
pub(crate) fn put_oid(out: &mut Vec<u8>, oid: u32) {
    put_int(out, oid.cast_signed());
}

/// Appends one chunk, or nothing for no bytes: an empty chunk would end the list.
pub(crate) fn put_chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() <= CHUNK_BYTES);
    if let Ok(length @ 1..) = i32::try_from(bytes.len()) {
        put_int(out, length);
        out.extend_from_slice(bytes);
    }
}

/// Walks the chunks of a piece; ends after the first error.
pub(crate) struct Chunks<'a> {
    rest: &'a [u8],
    at: u64,
}

impl<'a> Chunks<'a> {
    pub(crate) fn new(framed: &'a [u8]) -> Self {
        Self { rest: framed, at: 0 }
    }

    fn take(&mut self) -> Result<&'a [u8], Error> {
        let truncated = Error::Truncated { what: "piece", at: self.at + self.rest.len() as u64 };
        let Some((length, rest)) = self.rest.split_first_chunk::<INT_BYTES>() else { return Err(truncated) };
        let length = chunk_length(*length, self.at)?;
        if length == 0 {
            return Err(Error::Corrupt { what: "a piece holds an empty chunk", at: self.at });
        }
        let Some((chunk, rest)) = rest.split_at_checked(length as usize) else { return Err(truncated) };
        self.rest = rest;
        self.at += INT_BYTES as u64 + u64::from(length);
        Ok(chunk)
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<&'a [u8], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let taken = self.take();
        if taken.is_err() {
            self.rest = &[];
        }
        Some(taken)
    }
}

/// Decodes a chunk's length; 0 ends the list.
pub(crate) fn chunk_length(bytes: [u8; INT_BYTES], at: u64) -> Result<u32, Error> {
    u32::try_from(int(bytes, at)?).map_err(|_| Error::Corrupt { what: "a chunk has a negative length", at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_what_was_put() {
        let mut framed = Vec::new();
        put_chunk(&mut framed, b"one");
        put_chunk(&mut framed, b"");
        put_chunk(&mut framed, b"three");
        let chunks: Result<Vec<_>, _> = Chunks::new(&framed).collect();
        assert_eq!(chunks.unwrap(), [&b"one"[..], b"three"]);
        for cut in 1..framed.len() {
            let result: Result<Vec<_>, _> = Chunks::new(&framed[..cut]).collect();
            assert_eq!(result.is_err(), cut != 8, "cut at {cut}");
        }
    }
}
