//! The stored bytes of an archive, in order, read ahead where a store answers slowly.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use holdpoint_repository::{ObjectReader, ObjectStore};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::Error;

/// Bytes of one ranged read.
const RANGE_BYTES: u64 = 8 << 20;
/// Ranged reads at a time, and so the memory: one connection to S3 gives 50 to 100 MB/s.
const RANGES: usize = 4;

/// A stored object, from its first byte to its last.
///
/// Memory: one chunk; from S3 32 MiB, which are read by four connections.
#[derive(Debug)]
pub struct ArchiveSource {
    form: Form,
}

#[derive(Debug)]
enum Form {
    Stream(ObjectReader),
    Ranges(Box<Ranges>),
}

#[derive(Debug)]
struct Ranges {
    store: Arc<dyn ObjectStore>,
    key: String,
    etag: String,
    object_bytes: u64,
    asked: u64,
    ahead: VecDeque<oneshot::Receiver<Result<Bytes, holdpoint_repository::Error>>>,
    tasks: JoinSet<()>,
}

impl From<ObjectReader> for ArchiveSource {
    fn from(reader: ObjectReader) -> Self {
        Self { form: Form::Stream(reader) }
    }
}

impl ArchiveSource {
    /// Opens an object of a repository; whatever is read later is of this very object.
    ///
    /// Fails as [`ObjectStore::read`] does.
    pub async fn open(store: Arc<dyn ObjectStore>, key: &str) -> Result<Self, Error> {
        if store.url().is_local() {
            return Ok(store.read(key, None, None).await?.into());
        }
        let found = store.head(key).await?;
        if found.size_bytes <= RANGE_BYTES {
            return Ok(store.read(key, None, Some(&found.etag)).await?.into());
        }
        let ranges = Ranges {
            key: key.to_owned(),
            etag: found.etag,
            object_bytes: found.size_bytes,
            store,
            asked: 0,
            ahead: VecDeque::new(),
            tasks: JoinSet::new(),
        };
        Ok(Self { form: Form::Ranges(Box::new(ranges)) })
    }

    /// Gives the next bytes, or `None` after the last.
    pub(crate) async fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        match &mut self.form {
            Form::Stream(reader) => Ok(reader.next_chunk().await?),
            Form::Ranges(ranges) => ranges.next().await,
        }
    }
}

impl Ranges {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while self.ahead.len() < RANGES && self.asked < self.object_bytes {
            self.ask();
        }
        // Those that ended are forgotten, so that the set does not grow.
        while self.tasks.try_join_next().is_some() {}
        let Some(next) = self.ahead.pop_front() else { return Ok(None) };
        match next.await {
            Ok(bytes) => Ok(Some(bytes?)),
            Err(_) => Err(Error::NobodyReads),
        }
    }

    fn ask(&mut self) {
        let range = self.asked..(self.asked + RANGE_BYTES).min(self.object_bytes);
        self.asked = range.end;
        let (send, receive) = oneshot::channel();
        self.ahead.push_back(receive);
        let (store, key, etag) = (Arc::clone(&self.store), self.key.clone(), self.etag.clone());
        self.tasks.spawn(async move {
            let read = async { store.read(&key, Some(range), Some(&etag)).await?.read_to_end(RANGE_BYTES).await };
            // Nobody listens any more where the reading was given up.
            send.send(read.await).ok();
        });
    }
}
