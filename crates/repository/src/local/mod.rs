//! Object storage in a local directory.
//!
//! Objects are plain files under the root, written as a temporary file beside their place, synced, and renamed without
//! replacing; then the directory is synced. Files have mode 0600 and directories 0700. Symbolic links below the root
//! are not followed, but one right below a database's folder is: its restore points may lie on another disk.

mod publish;
mod read;
mod reserve;
mod upload;
mod walk;

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};

use crate::error::{Error, Result};
use crate::key::{check_key, check_prefix};
use crate::nonce::nonce;
use crate::probe::PartsProbe;
use crate::reader::ObjectReader;
use crate::repository_url::RepositoryUrl;
use crate::store::{Created, ObjectInfo, ObjectStore, PutOptions, SmallObject, UnfinishedUpload};
use crate::upload::{ObjectUpload, UploadOptions};
use publish::{Expected, etag_of, object_info};
use reserve::Reserve;
use walk::Walk;
pub use walk::may_be_link;

/// A repository's objects as files of a directory.
#[derive(Debug, Clone)]
pub struct LocalDirectory {
    root: PathBuf,
    url: RepositoryUrl,
    reserve: Arc<Reserve>,
}

impl LocalDirectory {
    /// Names the directory; nothing is touched yet.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`] when the path is not absolute.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        if !root.is_absolute() {
            let url = root.display().to_string();
            return Err(Error::InvalidUrl { url, reason: "the directory must be absolute".to_owned() });
        }
        Ok(Self { url: RepositoryUrl::Directory(root.clone()), root, reserve: Arc::default() })
    }

    fn path(&self, key: &str) -> Result<PathBuf> {
        check_key(key)?;
        Ok(self.root.join(key))
    }

    fn directory(&self, prefix: &str) -> Result<PathBuf> {
        check_prefix(prefix)?;
        Ok(self.root.join(prefix))
    }

    /// A repository on a disk that is not mounted must not come into being beside it.
    fn demand_root(root: &Path, action: &'static str) -> Result<()> {
        match fs::metadata(root) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(Error::from_io(action, &root.display().to_string(), io::ErrorKind::NotADirectory.into())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(Error::BucketNotFound { action, root: root.display().to_string() })
            }
            Err(e) => Err(Error::from_io(action, &root.display().to_string(), e)),
        }
    }

    fn put<'a>(&'a self, key: &'a str, body: Bytes, expected: Expected) -> BoxFuture<'a, Result<Created>> {
        async move {
            let target = self.path(key)?;
            let (root, key, nonce, reserve) = (self.root.clone(), key.to_owned(), nonce()?, Arc::clone(&self.reserve));
            blocking(move || {
                Self::demand_root(&root, "write")?;
                let write = || publish::write_small(&root, &key, &target, &nonce, &body, &expected);
                let etag = reserve.or_without(&root, write)?;
                Ok(Created { etag })
            })
            .await
        }
        .boxed()
    }
}

/// Runs file work on the threads for blocking calls.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => match e.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(e) => Err(Error::Io { action: "run", key: "file work".to_owned(), attempts: 0, source: e.into() }),
        },
    }
}

impl ObjectStore for LocalDirectory {
    fn url(&self) -> &RepositoryUrl {
        &self.url
    }

    fn ensure_root(&self) -> BoxFuture<'_, Result<()>> {
        let root = self.root.clone();
        blocking(move || {
            publish::make_directories(Path::new("/"), &root)
                .map_err(|e| Error::from_io("create", &root.display().to_string(), e))?;
            Self::demand_root(&root, "create")
        })
        .boxed()
    }

    fn server_time(&self) -> BoxFuture<'_, Result<DateTime<Utc>>> {
        let (root, reserve) = (self.root.clone(), Arc::clone(&self.reserve));
        blocking(move || {
            Self::demand_root(&root, "read clock of")?;
            reserve.or_without(&root, || publish::file_system_time(&root))
        })
        .boxed()
    }

    fn open_reserve(&self) {
        self.reserve.open();
    }

    fn keep_reserve(&self) -> BoxFuture<'_, Result<()>> {
        let (root, reserve) = (self.root.clone(), Arc::clone(&self.reserve));
        blocking(move || {
            Self::demand_root(&root, "write")?;
            reserve.keep(&root)
        })
        .boxed()
    }

    fn remove_empty_folders<'a>(&'a self, prefix: &'a str, before: DateTime<Utc>) -> BoxFuture<'a, Result<()>> {
        async move {
            let directory = self.directory(prefix)?;
            blocking(move || walk::remove_empty(&directory, before)).await
        }
        .boxed()
    }

    fn put_new<'a>(&'a self, key: &'a str, body: Bytes, _options: PutOptions) -> BoxFuture<'a, Result<Created>> {
        self.put(key, body, Expected::Absent)
    }

    fn put_if_matches<'a>(&'a self, key: &'a str, body: Bytes, etag: &'a str) -> BoxFuture<'a, Result<Created>> {
        self.put(key, body, Expected::Etag(etag.to_owned()))
    }

    fn get_small<'a>(&'a self, key: &'a str, max_bytes: u64) -> BoxFuture<'a, Result<SmallObject>> {
        async move {
            let (path, key, root) = (self.path(key)?, key.to_owned(), self.root.clone());
            blocking(move || {
                Self::demand_root(&root, "read")?;
                read::whole(&path, &key, max_bytes)
            })
            .await
        }
        .boxed()
    }

    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<ObjectInfo>> {
        async move {
            let (path, key) = (self.path(key)?, key.to_owned());
            blocking(move || {
                let found = fs::symlink_metadata(&path).map_err(|e| read::open_error("look at", &key, e))?;
                if !found.is_file() {
                    return Err(Error::NotFound { action: "look at", key });
                }
                object_info(&key, &found).map_err(|e| Error::from_io("look at", &key, e))
            })
            .await
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        async move {
            let (path, key, root) = (self.path(key)?, key.to_owned(), self.root.clone());
            blocking(move || {
                Self::demand_root(&root, "delete")?;
                publish::remove(&root, &path).map_err(|e| Error::from_io("delete", &key, e))
            })
            .await
        }
        .boxed()
    }

    fn delete_many<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, Vec<(String, Result<()>)>> {
        async move {
            let mut results = Vec::with_capacity(keys.len());
            for key in keys {
                results.push((key.clone(), self.delete(key).await));
            }
            results
        }
        .boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<Vec<ObjectInfo>>> {
        let walk = self.directory(prefix).map(|directory| Walk::new(&self.root, directory));
        stream::try_unfold(Some(walk), |state| async {
            let Some(walk) = state else { return Ok(None) };
            let mut walk = walk?;
            let (page, walk) = blocking(move || Ok((walk.next_page(walk::PAGE)?, walk))).await?;
            Ok(if page.is_empty() { None } else { Some((page, Some(Ok(walk)))) })
        })
        .boxed()
    }

    fn list_children<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        async move {
            let (directory, root) = (self.directory(prefix)?, self.root.clone());
            blocking(move || walk::children(&root, &directory)).await
        }
        .boxed()
    }

    fn list_uploads<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<UnfinishedUpload>>> {
        async move {
            let (directory, root) = (self.directory(prefix)?, self.root.clone());
            blocking(move || Walk::new(&root, directory).unfinished()).await
        }
        .boxed()
    }

    fn abort_upload<'a>(&'a self, upload: &'a UnfinishedUpload) -> BoxFuture<'a, Result<()>> {
        async move {
            let path = publish::temporary_path(&self.root, &upload.id)?;
            let (root, id) = (self.root.clone(), upload.id.clone());
            blocking(move || publish::remove(&root, &path).map_err(|e| Error::from_io("remove", &id, e))).await
        }
        .boxed()
    }

    fn read<'a>(
        &'a self,
        key: &'a str,
        range: Option<Range<u64>>,
        etag: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ObjectReader>> {
        async move {
            let (path, key, etag) = (self.path(key)?, key.to_owned(), etag.map(str::to_owned));
            blocking(move || read::open(&path, &key, range, etag.as_deref())).await
        }
        .boxed()
    }

    fn begin_upload<'a>(
        &'a self,
        key: &'a str,
        options: UploadOptions,
    ) -> BoxFuture<'a, Result<Box<dyn ObjectUpload>>> {
        async move {
            let (path, key, root, nonce) = (self.path(key)?, key.to_owned(), self.root.clone(), nonce()?);
            blocking(move || {
                Self::demand_root(&root, "write")?;
                let upload = upload::LocalUpload::begin(root, key, path, &nonce, options.held_back_bytes)?;
                Ok(Box::new(upload) as Box<dyn ObjectUpload>)
            })
            .await
        }
        .boxed()
    }

    fn upload_memory_bytes(&self, options: &UploadOptions) -> u64 {
        2 * upload::BATCH_BYTES as u64 + options.held_back_bytes
    }

    fn probe_parts<'a>(&'a self, _key: &'a str) -> BoxFuture<'a, Option<PartsProbe>> {
        async { None }.boxed()
    }

    fn extend_retention<'a>(&'a self, key: &'a str, _until: DateTime<Utc>) -> BoxFuture<'a, Result<()>> {
        let detail = "a local directory has no Object Lock".to_owned();
        let error = Error::Unsupported { action: "lock", key: key.to_owned(), detail };
        async move { Err(error) }.boxed()
    }
}
