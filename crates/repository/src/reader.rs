//! Reading an object as a stream.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{BoxStream, Stream, StreamExt};

use crate::error::{Error, Result};

/// Counts the bytes that came over the network or from the disk, those of broken attempts included.
#[derive(Debug, Clone, Default)]
pub(crate) struct FetchCount(Arc<AtomicU64>);

impl FetchCount {
    pub(crate) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The bytes of an object, or of a range of it, in order.
///
/// It ends after exactly the bytes asked for, or with an error; after an error it gives nothing more. Memory is one
/// chunk (at most 1 MiB from a directory; what the network delivers at once from S3).
pub struct ObjectReader {
    key: String,
    etag: String,
    object_bytes: u64,
    remaining_bytes: u64,
    fetched: FetchCount,
    chunks: BoxStream<'static, Result<Bytes>>,
}

impl ObjectReader {
    pub(crate) fn new(
        key: &str,
        etag: String,
        object_bytes: u64,
        range_bytes: u64,
        fetched: FetchCount,
        chunks: BoxStream<'static, Result<Bytes>>,
    ) -> Self {
        Self { key: key.to_owned(), etag, object_bytes, remaining_bytes: range_bytes, fetched, chunks }
    }

    /// The ETag of the object that is being read.
    #[must_use]
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// The size of the whole object in bytes.
    #[must_use]
    pub fn object_bytes(&self) -> u64 {
        self.object_bytes
    }

    /// How many bytes are still to come.
    #[must_use]
    pub fn remaining_bytes(&self) -> u64 {
        self.remaining_bytes
    }

    /// How many bytes were fetched so far.
    #[must_use]
    pub fn fetched_bytes(&self) -> u64 {
        self.fetched.0.load(Ordering::Relaxed)
    }

    /// Gives the next bytes, or `None` after the last.
    ///
    /// # Errors
    /// As [`ObjectStore::read`](crate::ObjectStore::read), after the retries were spent.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        self.next().await.transpose()
    }

    /// Reads everything that is left into memory.
    ///
    /// # Errors
    /// [`TooLarge`](Error::TooLarge), before anything is read, when more than `max_bytes` are left.
    pub async fn read_to_end(mut self, max_bytes: u64) -> Result<Bytes> {
        if self.remaining_bytes > max_bytes {
            let detail = format!("{} bytes, at most {max_bytes} were expected", self.remaining_bytes);
            return Err(Error::TooLarge { action: "read", key: self.key.clone(), detail });
        }
        let mut all = BytesMut::with_capacity(usize::try_from(self.remaining_bytes).unwrap_or_default());
        while let Some(chunk) = self.next_chunk().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }
}

impl Stream for ObjectReader {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.remaining_bytes == 0 {
            return Poll::Ready(None);
        }
        let short = |reader: &mut Self| {
            let detail = format!("ended {} bytes early", reader.remaining_bytes);
            reader.remaining_bytes = 0;
            Err(Error::Corrupt { action: "read", key: reader.key.clone(), detail })
        };
        match self.chunks.poll_next_unpin(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(Some(short(&mut self))),
            Poll::Ready(Some(Ok(chunk))) => match self.remaining_bytes.checked_sub(chunk.len() as u64) {
                Some(left) => {
                    self.remaining_bytes = left;
                    Poll::Ready(Some(Ok(chunk)))
                }
                None => {
                    self.remaining_bytes = 0;
                    let detail = "more bytes came than were asked for".to_owned();
                    Poll::Ready(Some(Err(Error::Corrupt { action: "read", key: self.key.clone(), detail })))
                }
            },
            Poll::Ready(Some(Err(error))) => {
                self.remaining_bytes = 0;
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

impl fmt::Debug for ObjectReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectReader")
            .field("key", &self.key)
            .field("etag", &self.etag)
            .field("remaining_bytes", &self.remaining_bytes)
            .finish_non_exhaustive()
    }
}
