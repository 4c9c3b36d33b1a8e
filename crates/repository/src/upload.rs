//! Writing an object from a stream that cannot be read twice, and whose first bytes are known last.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use crate::checksum::{Crc64, StoredChecksum};
use crate::error::Result;

/// How an upload is made.
#[derive(Debug, Clone, Default)]
pub struct UploadOptions {
    /// A guess at the object's size. The size of the parts follows from it; a wrong guess costs memory, never the
    /// upload (except where the store demands equal parts).
    pub expected_bytes: u64,
    /// How many of the object's first bytes are handed over by [`ObjectUpload::finish`] only.
    pub held_back_bytes: u64,
    /// Until when the store shall refuse to delete the object (Object Lock, in the configured mode).
    pub retain_until: Option<DateTime<Utc>>,
}

/// An object as it was uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The object's size in bytes, as the store confirmed it.
    pub size_bytes: u64,
    /// The object's ETag.
    pub etag: String,
    /// CRC-64/NVME of the whole object, computed from what was sent.
    pub crc64nvme: Crc64,
    /// The checksum that the store computed itself and that equalled ours; `None` where the store keeps none.
    pub confirmed: Option<StoredChecksum>,
}

/// An upload in progress.
///
/// It has exactly two endings, [`finish`](Self::finish) and [`abort`](Self::abort). Dropping it otherwise logs a
/// warning that names what may remain and removes it as well as a drop can. When `write` failed, `abort` is the only
/// sensible ending.
///
/// # Memory
///
/// On S3 an upload holds at most
///
/// ```text
/// part x (parallel + 1)       parts in flight, and the one being filled
/// + first data                what stands with the head in the first parts: under 5 MiB, or under one part where
///                             the store demands equal parts
/// + head                      while `finish` runs
/// ```
///
/// where `part` is `max(16 MiB, configured, expected_bytes / (0.9 x max_parts))`. When the object outgrows the guess,
/// parts double every so many; fewer are then in flight, so that `part x parallel` grows only when a single part is
/// larger than it was. A local directory holds at most 2 MiB and one written `Bytes`.
pub trait ObjectUpload: Send {
    /// Takes the next bytes of the object; the first call gives those that follow the held-back ones.
    ///
    /// Returns when there is room for more, so a slow store slows the caller down. Bytes are copied: slices of large
    /// buffers are not kept alive.
    ///
    /// # Errors
    /// Of this or an earlier part, after its retries were spent.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>>;

    /// The offset in the object of the next byte that `write` takes. It starts at the number of held-back bytes.
    fn position(&self) -> u64;

    /// Completes the object with its first bytes, `head`, of exactly the length that was held back.
    ///
    /// When it returns, the object is durable and visible as a whole, it was created by this call, and its size (and
    /// checksum, where the store keeps one) was read back and equals what was sent. When it fails, the upload was
    /// aborted.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::Error::AlreadyExists) when another writer made the object;
    /// [`UploadLeftBehind`](crate::Error::UploadLeftBehind) when the failed upload could not be removed.
    fn finish(self: Box<Self>, head: Bytes) -> BoxFuture<'static, Result<Uploaded>>;

    /// Ends the upload and removes everything it stored.
    ///
    /// # Errors
    /// [`UploadLeftBehind`](crate::Error::UploadLeftBehind) names what remains.
    fn abort(self: Box<Self>) -> BoxFuture<'static, Result<()>>;
}
