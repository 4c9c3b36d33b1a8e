//! What is being read: the stored bytes, and the chunk list that they are of.

use bytes::{Buf, Bytes, BytesMut};
use holdpoint_archive::Adler32;
use holdpoint_core::digest::{RowDigest, RowDigester, StreamHash};
use holdpoint_core::progress::Progress;
use sha2::{Digest, Sha256};

use crate::{ArchiveSource, Error};

/// The stored bytes, counted and hashed as they are taken.
pub(super) struct Source<'a> {
    pub(super) source: ArchiveSource,
    pub(super) buffer: BytesMut,
    pub(super) position: u64,
    pub(super) flat: Sha256,
    pub(super) progress: Option<&'a dyn Progress>,
}

impl Source<'_> {
    /// Takes exactly `length` bytes; `None` when the object ends before.
    pub(super) async fn take(&mut self, length: usize) -> Result<Option<Bytes>, Error> {
        while self.buffer.len() < length {
            let Some(chunk) = self.source.next_chunk().await? else { return Ok(None) };
            self.flat.update(&chunk);
            if let Some(progress) = self.progress {
                progress.advance(chunk.len() as u64);
            }
            self.buffer.extend_from_slice(&chunk);
        }
        self.position += length as u64;
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    pub(super) async fn at_end(&mut self) -> Result<bool, Error> {
        Ok(!self.buffer.has_remaining() && self.source.next_chunk().await?.is_none())
    }
}

/// The chunk list that is being read.
pub(super) struct OpenList {
    pub(super) adler: Adler32,
    pub(super) raw_bytes: u64,
    pub(super) digest: RowDigest,
    pub(super) giant: Option<RowDigester>,
    pub(super) within_row: bool,
    pub(super) hash: StreamHash,
}

impl OpenList {
    pub(super) fn new() -> Self {
        Self {
            adler: Adler32::EMPTY,
            raw_bytes: 0,
            digest: RowDigest::default(),
            giant: None,
            within_row: false,
            hash: StreamHash::default(),
        }
    }
}
