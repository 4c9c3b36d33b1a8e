//! A store on which something happens right after a manifest was written, or whose lists lack an object.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use holdpoint_repository::{
    Created, ObjectInfo, ObjectReader, ObjectStore, ObjectUpload, PartsProbe, PutOptions, RepositoryUrl, Result,
    SmallObject, UnfinishedUpload, UploadOptions,
};

/// What happens, on the store below.
type Happens = Box<dyn Fn(Arc<dyn ObjectStore>) -> BoxFuture<'static, ()> + Send + Sync>;

/// A store on which something happens right after a manifest was written, or whose lists lack an object.
pub(crate) struct Between {
    inner: Arc<dyn ObjectStore>,
    happens: Happens,
    lacks: Option<String>,
}

impl Between {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, happens: Happens) -> Self {
        Self { inner, happens, lacks: None }
    }

    /// Nothing happens; lists lack this key.
    pub(crate) fn lacking(inner: Arc<dyn ObjectStore>, key: String) -> Self {
        Self { inner, happens: Box::new(|_| Box::pin(async {})), lacks: Some(key) }
    }
}

impl fmt::Debug for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Between").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl ObjectStore for Between {
    fn put_new<'a>(&'a self, key: &'a str, body: Bytes, options: PutOptions) -> BoxFuture<'a, Result<Created>> {
        Box::pin(async move {
            let created = self.inner.put_new(key, body, options).await?;
            if key.ends_with("/manifest.json") {
                (self.happens)(Arc::clone(&self.inner)).await;
            }
            Ok(created)
        })
    }

    fn url(&self) -> &RepositoryUrl {
        self.inner.url()
    }

    fn ensure_root(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.ensure_root()
    }

    fn server_time(&self) -> BoxFuture<'_, Result<DateTime<Utc>>> {
        self.inner.server_time()
    }

    fn put_if_matches<'a>(&'a self, key: &'a str, body: Bytes, etag: &'a str) -> BoxFuture<'a, Result<Created>> {
        self.inner.put_if_matches(key, body, etag)
    }

    fn get_small<'a>(&'a self, key: &'a str, most: u64) -> BoxFuture<'a, Result<SmallObject>> {
        self.inner.get_small(key, most)
    }

    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<ObjectInfo>> {
        self.inner.head(key)
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        self.inner.delete(key)
    }

    fn delete_many<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, Vec<(String, Result<()>)>> {
        self.inner.delete_many(keys)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<Vec<ObjectInfo>>> {
        let pages = self.inner.list(prefix);
        Box::pin(pages.map_ok(|mut page| {
            page.retain(|object| self.lacks.as_ref() != Some(&object.key));
            page
        }))
    }

    fn list_children<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        self.inner.list_children(prefix)
    }

    fn list_uploads<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<UnfinishedUpload>>> {
        self.inner.list_uploads(prefix)
    }

    fn abort_upload<'a>(&'a self, upload: &'a UnfinishedUpload) -> BoxFuture<'a, Result<()>> {
        self.inner.abort_upload(upload)
    }

    fn read<'a>(
        &'a self,
        key: &'a str,
        range: Option<Range<u64>>,
        etag: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ObjectReader>> {
        self.inner.read(key, range, etag)
    }

    fn begin_upload<'a>(
        &'a self,
        key: &'a str,
        options: UploadOptions,
    ) -> BoxFuture<'a, Result<Box<dyn ObjectUpload>>> {
        self.inner.begin_upload(key, options)
    }

    fn upload_memory_bytes(&self, options: &UploadOptions) -> u64 {
        self.inner.upload_memory_bytes(options)
    }

    fn probe_parts<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<PartsProbe>> {
        self.inner.probe_parts(key)
    }

    fn extend_retention<'a>(&'a self, key: &'a str, until: DateTime<Utc>) -> BoxFuture<'a, Result<()>> {
        self.inner.extend_retention(key, until)
    }
}
