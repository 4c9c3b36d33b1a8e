//! A store that stops at, or tells of, its operation of a given number, so that the process can be killed there.

use std::fmt;
use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _};
use holdpoint_repository::{
    Created, ObjectInfo, ObjectReader, ObjectStore, ObjectUpload, PartsProbe, PutOptions, RepositoryUrl, Result,
    SmallObject, UnfinishedUpload, UploadOptions,
};

/// Says something to the parent: a line of its own, whatever the test harness writes.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n@ {line}\n").as_bytes()).and_then(|()| out.flush()).expect("the parent listens");
}

/// Where a process is to be killed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// Before its operation of this number, from 1; 0 for never.
    pub(crate) at: usize,
    /// It waits there; else it goes on, and is killed somewhere in that operation or the next ones.
    pub(crate) waits: bool,
}

/// Counts the operations of a process on its store.
pub(crate) struct Told {
    inner: Arc<dyn ObjectStore>,
    stop: Stop,
    done: AtomicUsize,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("inner", &self.inner).field("stop", &self.stop).finish_non_exhaustive()
    }
}

impl Told {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, stop: Stop) -> Self {
        Self { inner, stop, done: AtomicUsize::new(0) }
    }

    /// Before each operation: its name is the phase.
    pub(crate) async fn phase(&self, operation: &str, key: &str) {
        if self.done.fetch_add(1, Ordering::SeqCst) + 1 != self.stop.at {
            return;
        }
        let parts = ["withdrawn", "pins", "manifest", "archive", "index", "globals", "restore-points"];
        say(&format!("at {operation} {}", parts.iter().find(|part| key.contains(**part)).unwrap_or(&"")));
        if self.stop.waits {
            std::future::pending::<()>().await;
        }
    }
}

macro_rules! told {
    ($self:ident, $operation:literal, $key:expr, $call:expr) => {
        Box::pin(async move {
            $self.phase($operation, $key).await;
            $call.await
        })
    };
}

impl ObjectStore for Told {
    fn url(&self) -> &RepositoryUrl {
        self.inner.url()
    }

    fn ensure_root(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.ensure_root()
    }

    fn server_time(&self) -> BoxFuture<'_, Result<DateTime<Utc>>> {
        told!(self, "clock", "", self.inner.server_time())
    }

    fn put_new<'a>(&'a self, key: &'a str, body: Bytes, options: PutOptions) -> BoxFuture<'a, Result<Created>> {
        told!(self, "put", key, self.inner.put_new(key, body, options))
    }

    fn put_if_matches<'a>(&'a self, key: &'a str, body: Bytes, etag: &'a str) -> BoxFuture<'a, Result<Created>> {
        told!(self, "replace", key, self.inner.put_if_matches(key, body, etag))
    }

    fn get_small<'a>(&'a self, key: &'a str, most: u64) -> BoxFuture<'a, Result<SmallObject>> {
        told!(self, "get", key, self.inner.get_small(key, most))
    }

    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<ObjectInfo>> {
        told!(self, "head", key, self.inner.head(key))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        told!(self, "delete", key, self.inner.delete(key))
    }

    fn delete_many<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, Vec<(String, Result<()>)>> {
        told!(self, "delete many", keys.first().map_or("", String::as_str), self.inner.delete_many(keys))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<Vec<ObjectInfo>>> {
        let pages = async move {
            self.phase("list", prefix).await;
            self.inner.list(prefix)
        };
        futures_util::stream::once(pages).flatten().boxed()
    }

    fn list_children<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        told!(self, "list children", prefix, self.inner.list_children(prefix))
    }

    fn list_uploads<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<UnfinishedUpload>>> {
        told!(self, "list uploads", prefix, self.inner.list_uploads(prefix))
    }

    fn abort_upload<'a>(&'a self, upload: &'a UnfinishedUpload) -> BoxFuture<'a, Result<()>> {
        told!(self, "abort", &upload.key, self.inner.abort_upload(upload))
    }

    fn read<'a>(
        &'a self,
        key: &'a str,
        range: Option<Range<u64>>,
        etag: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ObjectReader>> {
        told!(self, "read", key, self.inner.read(key, range, etag))
    }

    fn begin_upload<'a>(
        &'a self,
        key: &'a str,
        options: UploadOptions,
    ) -> BoxFuture<'a, Result<Box<dyn ObjectUpload>>> {
        told!(self, "begin upload", key, self.inner.begin_upload(key, options))
    }

    fn upload_memory_bytes(&self, options: &UploadOptions) -> u64 {
        self.inner.upload_memory_bytes(options)
    }

    fn probe_parts<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<PartsProbe>> {
        told!(self, "probe", key, self.inner.probe_parts(key))
    }

    fn extend_retention<'a>(&'a self, key: &'a str, until: DateTime<Utc>) -> BoxFuture<'a, Result<()>> {
        told!(self, "lock", key, self.inner.extend_retention(key, until))
    }
}
