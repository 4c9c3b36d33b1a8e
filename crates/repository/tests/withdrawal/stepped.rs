//! A store in memory, and one that asks before each operation.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use holdpoint_repository::{
    Created, Error, ObjectInfo, ObjectReader, ObjectStore, ObjectUpload, PartsProbe, PutOptions, RepositoryUrl, Result,
    SmallObject, UnfinishedUpload, UploadOptions,
};
use tokio::sync::{mpsc, oneshot};

static URL: LazyLock<RepositoryUrl> = LazyLock::new(|| "file:///memory".parse().unwrap());

/// An operation that waits.
pub(crate) struct Step(oneshot::Sender<()>);

impl Step {
    /// Lets it happen.
    pub(crate) fn let_through(self) {
        self.0.send(()).expect("it waits");
    }
}

/// Objects in memory, with a clock that stands still unless told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Object>,
    now: DateTime<Utc>,
    /// How often something was written: what was written last has this ETag.
    writes: u64,
}

#[derive(Debug, Clone)]
struct Object {
    bytes: Bytes,
    at: DateTime<Utc>,
    etag: String,
}

impl State {
    fn write(&mut self, key: &str, bytes: Bytes) -> Created {
        self.writes += 1;
        let object = Object { bytes, at: self.now, etag: self.writes.to_string() };
        let etag = object.etag.clone();
        self.objects.insert(key.to_owned(), object);
        Created { etag }
    }
}

impl Memory {
    pub(crate) fn write(&self, key: &str, text: &str) {
        self.0.lock().unwrap().write(key, Bytes::copy_from_slice(text.as_bytes()));
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.lock().unwrap().objects.contains_key(key)
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.0.lock().unwrap().objects.keys().cloned().collect()
    }

    /// How often something was written.
    pub(crate) fn writes(&self) -> u64 {
        self.0.lock().unwrap().writes
    }

    /// So much that nobody who was at work is any more.
    pub(crate) fn let_time_pass(&self) {
        self.0.lock().unwrap().now += TimeDelta::hours(1);
    }

    /// Moves the clock.
    pub(crate) fn set_clock(&self, by: TimeDelta) {
        self.0.lock().unwrap().now += by;
    }

    fn list_now(&self, prefix: &str) -> Vec<ObjectInfo> {
        let state = self.0.lock().unwrap();
        let below = state.objects.iter().filter(|(key, _)| key.starts_with(prefix));
        below.map(|(key, object)| info(key, object)).collect()
    }
}

fn info(key: &str, object: &Object) -> ObjectInfo {
    ObjectInfo {
        key: key.to_owned(),
        size_bytes: object.bytes.len() as u64,
        etag: object.etag.clone(),
        modified_at: object.at,
        checksum: None,
        metadata: BTreeMap::new(),
        retain_until: None,
        legal_hold: false,
    }
}

impl ObjectStore for Memory {
    fn url(&self) -> &RepositoryUrl {
        &URL
    }

    fn ensure_root(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn server_time(&self) -> BoxFuture<'_, Result<DateTime<Utc>>> {
        Box::pin(async { Ok(self.0.lock().unwrap().now) })
    }

    fn put_new<'a>(&'a self, key: &'a str, body: Bytes, _: PutOptions) -> BoxFuture<'a, Result<Created>> {
        Box::pin(async move {
            let mut state = self.0.lock().unwrap();
            if state.objects.contains_key(key) {
                return Err(Error::AlreadyExists { key: key.to_owned() });
            }
            Ok(state.write(key, body))
        })
    }

    fn put_if_matches<'a>(&'a self, key: &'a str, body: Bytes, etag: &'a str) -> BoxFuture<'a, Result<Created>> {
        Box::pin(async move {
            let mut state = self.0.lock().unwrap();
            if state.objects.get(key).is_none_or(|known| known.etag != etag) {
                return Err(Error::PreconditionFailed { action: "replace", key: key.to_owned() });
            }
            Ok(state.write(key, body))
        })
    }

    fn get_small<'a>(&'a self, key: &'a str, _: u64) -> BoxFuture<'a, Result<SmallObject>> {
        Box::pin(async move {
            let state = self.0.lock().unwrap();
            let missing = || Error::NotFound { action: "read", key: key.to_owned() };
            let Object { bytes, at, etag } = state.objects.get(key).cloned().ok_or_else(missing)?;
            Ok(SmallObject { bytes, etag, modified_at: at })
        })
    }

    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<ObjectInfo>> {
        Box::pin(async move {
            let missing = || Error::NotFound { action: "look at", key: key.to_owned() };
            self.list_now(key).into_iter().find(|one| one.key == key).ok_or_else(missing)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.0.lock().unwrap().objects.remove(key);
            Ok(())
        })
    }

    fn delete_many<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, Vec<(String, Result<()>)>> {
        Box::pin(async move {
            let mut state = self.0.lock().unwrap();
            keys.iter().map(|key| (key.clone(), state.objects.remove(key)).0).map(|key| (key, Ok(()))).collect()
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<Vec<ObjectInfo>>> {
        futures_util::stream::once(async move { Ok(self.list_now(prefix)) }).boxed()
    }

    fn list_children<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        Box::pin(async move {
            let state = self.0.lock().unwrap();
            let below = state.objects.keys().filter_map(|key| key.strip_prefix(prefix)?.split_once('/'));
            let names: BTreeSet<String> = below.map(|(name, _)| name.to_owned()).collect();
            Ok(names.into_iter().collect())
        })
    }

    fn list_uploads<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<UnfinishedUpload>>> {
        // Nothing can be uploaded in parts, so nothing is unfinished.
        Box::pin(async { Ok(Vec::new()) })
    }

    fn abort_upload<'a>(&'a self, _: &'a UnfinishedUpload) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn read<'a>(
        &'a self,
        key: &'a str,
        _: Option<Range<u64>>,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ObjectReader>> {
        Box::pin(async move { Err(small_only("read", key)) })
    }

    fn begin_upload<'a>(&'a self, key: &'a str, _: UploadOptions) -> BoxFuture<'a, Result<Box<dyn ObjectUpload>>> {
        Box::pin(async move { Err(small_only("begin upload of", key)) })
    }

    fn upload_memory_bytes(&self, _: &UploadOptions) -> u64 {
        0
    }

    fn probe_parts<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Option<PartsProbe>> {
        Box::pin(async { None })
    }

    fn extend_retention<'a>(&'a self, key: &'a str, _: DateTime<Utc>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move { Err(small_only("lock", key)) })
    }
}

/// What the memory has no place for.
fn small_only(action: &'static str, key: &str) -> Error {
    Error::Unsupported { action, key: key.to_owned(), detail: "memory keeps small objects only".to_owned() }
}

/// Asks before each operation, and waits until it may happen.
#[derive(Debug)]
pub(crate) struct Stepped {
    memory: Memory,
    steps: mpsc::UnboundedSender<Step>,
}

impl Stepped {
    pub(crate) fn new(memory: &Memory, steps: mpsc::UnboundedSender<Step>) -> Self {
        Self { memory: memory.clone(), steps }
    }

    async fn may(&self) {
        let (go, wait) = oneshot::channel();
        self.steps.send(Step(go)).expect("somebody decides");
        // A killed one waits for ever.
        if wait.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Asks first, then does what the memory does.
macro_rules! asked {
    ($self:ident, $call:expr) => {
        Box::pin(async move {
            $self.may().await;
            $call.await
        })
    };
}

impl ObjectStore for Stepped {
    fn url(&self) -> &RepositoryUrl {
        &URL
    }

    fn ensure_root(&self) -> BoxFuture<'_, Result<()>> {
        asked!(self, self.memory.ensure_root())
    }

    fn server_time(&self) -> BoxFuture<'_, Result<DateTime<Utc>>> {
        asked!(self, self.memory.server_time())
    }

    fn put_new<'a>(&'a self, key: &'a str, body: Bytes, options: PutOptions) -> BoxFuture<'a, Result<Created>> {
        asked!(self, self.memory.put_new(key, body, options))
    }

    fn put_if_matches<'a>(&'a self, key: &'a str, body: Bytes, etag: &'a str) -> BoxFuture<'a, Result<Created>> {
        asked!(self, self.memory.put_if_matches(key, body, etag))
    }

    fn get_small<'a>(&'a self, key: &'a str, most: u64) -> BoxFuture<'a, Result<SmallObject>> {
        // Opening the repository is no part of what is tried in every order.
        if key == holdpoint_core::layout::REPOSITORY {
            return self.memory.get_small(key, most);
        }
        asked!(self, self.memory.get_small(key, most))
    }

    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<ObjectInfo>> {
        asked!(self, self.memory.head(key))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        asked!(self, self.memory.delete(key))
    }

    fn delete_many<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, Vec<(String, Result<()>)>> {
        asked!(self, self.memory.delete_many(keys))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<Vec<ObjectInfo>>> {
        let page = async move {
            self.may().await;
            Ok(self.memory.list_now(prefix))
        };
        futures_util::stream::once(page).boxed()
    }

    fn list_children<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        asked!(self, self.memory.list_children(prefix))
    }

    fn list_uploads<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<UnfinishedUpload>>> {
        asked!(self, self.memory.list_uploads(prefix))
    }

    fn abort_upload<'a>(&'a self, upload: &'a UnfinishedUpload) -> BoxFuture<'a, Result<()>> {
        asked!(self, self.memory.abort_upload(upload))
    }

    fn read<'a>(
        &'a self,
        key: &'a str,
        range: Option<Range<u64>>,
        etag: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ObjectReader>> {
        asked!(self, self.memory.read(key, range, etag))
    }

    fn begin_upload<'a>(
        &'a self,
        key: &'a str,
        options: UploadOptions,
    ) -> BoxFuture<'a, Result<Box<dyn ObjectUpload>>> {
        asked!(self, self.memory.begin_upload(key, options))
    }

    fn upload_memory_bytes(&self, options: &UploadOptions) -> u64 {
        self.memory.upload_memory_bytes(options)
    }

    fn probe_parts<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<PartsProbe>> {
        asked!(self, self.memory.probe_parts(key))
    }

    fn extend_retention<'a>(&'a self, key: &'a str, until: DateTime<Utc>) -> BoxFuture<'a, Result<()>> {
        asked!(self, self.memory.extend_retention(key, until))
    }
}
