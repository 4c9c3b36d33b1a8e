//! Uploads into a local directory: positioned writes to a temporary file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;

use super::blocking;
use super::publish::{create_temporary, etag_of, publish_new, remove};
use crate::checksum::Crc64;
use crate::error::{Error, Result};
use crate::upload::{ObjectUpload, Uploaded};

/// Bytes gathered for one write; a second batch may be on its way to the disk.
pub(super) const BATCH_BYTES: usize = 1 << 20;

/// An upload into a temporary file beside the object's place.
pub(super) struct LocalUpload {
    key: String,
    target: PathBuf,
    temporary: Temporary,
    held_back: u64,
    batch: BytesMut,
    batch_offset: u64,
    /// The batch on its way to the disk; at most one.
    writing: JoinSet<Result<Crc64>>,
    checksum: Crc64,
}

/// The temporary file; removed when it is dropped before it was published.
struct Temporary {
    root: PathBuf,
    key: String,
    file: Arc<File>,
    path: Option<PathBuf>,
}

impl LocalUpload {
    pub(super) fn begin(root: PathBuf, key: String, target: PathBuf, nonce: &str, held_back: u64) -> Result<Self> {
        let (file, path) = create_temporary(&root, &target, nonce).map_err(|e| Error::from_io("write", &key, e))?;
        let temporary = Temporary { root, key: key.clone(), file: Arc::new(file), path: Some(path) };
        Ok(Self {
            key,
            target,
            temporary,
            held_back,
            batch: BytesMut::new(),
            batch_offset: held_back,
            writing: JoinSet::new(),
            checksum: Crc64::default(),
        })
    }

    async fn settle(&mut self) -> Result<()> {
        while let Some(done) = self.writing.join_next().await {
            let written =
                done.map_err(|e| Error::Io { action: "write", key: self.key.clone(), attempts: 0, source: e.into() })??;
            self.checksum = self.checksum.then(written);
        }
        Ok(())
    }

    async fn send_batch(&mut self) -> Result<()> {
        self.settle().await?;
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = self.batch.split().freeze();
        let (file, key, offset) = (Arc::clone(&self.temporary.file), self.key.clone(), self.batch_offset);
        self.batch_offset += batch.len() as u64;
        self.writing.spawn_blocking(move || {
            file.write_all_at(&batch, offset).map_err(|e| Error::from_io("write", &key, e))?;
            Ok(Crc64::of(&batch))
        });
        Ok(())
    }

    async fn complete(&mut self, head: Bytes) -> Result<Uploaded> {
        if head.len() as u64 != self.held_back {
            let detail = format!("{} first bytes were held back, {} were given", self.held_back, head.len());
            return Err(Error::Corrupt { action: "write", key: self.key.clone(), detail });
        }
        self.send_batch().await?;
        self.settle().await?;
        let crc64nvme = Crc64::of(&head).then(self.checksum);
        let (file, key, target) = (Arc::clone(&self.temporary.file), self.key.clone(), self.target.clone());
        let Some(path) = self.temporary.path.clone() else {
            return Err(Error::AlreadyExists { key });
        };
        let uploaded = blocking(move || {
            let fail = |e| Error::from_io("write", &key, e);
            file.write_all_at(&head, 0).map_err(fail)?;
            file.sync_all().map_err(fail)?;
            let found = file.metadata().map_err(fail)?;
            if found.len() != crc64nvme.bytes() {
                let detail = format!("{} bytes were written, the file has {}", crc64nvme.bytes(), found.len());
                return Err(Error::Corrupt { action: "write", key, detail });
            }
            publish_new(&path, &target).map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => Error::UploadGone { key: key.clone() },
                _ => fail(e),
            })?;
            Ok(Uploaded { size_bytes: found.len(), etag: etag_of(&found), crc64nvme, confirmed: None })
        })
        .await?;
        self.temporary.path = None;
        Ok(uploaded)
    }

    async fn clear(&mut self) -> Result<()> {
        self.writing.shutdown().await;
        let Some(path) = self.temporary.path.take() else { return Ok(()) };
        let (root, file) = (self.temporary.root.clone(), path.clone());
        let removed = blocking(move || remove(&root, &file).map_err(|e| Error::from_io("remove", &name(&file), e)));
        removed.await.map_err(|source| Error::left(&self.key, &name(&path), source))
    }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

impl ObjectUpload for LocalUpload {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        async move {
            let mut rest = bytes.as_ref();
            while !rest.is_empty() {
                let room = BATCH_BYTES.saturating_sub(self.batch.len()).min(rest.len());
                let (now, later) = rest.split_at(room);
                self.batch.extend_from_slice(now);
                rest = later;
                if self.batch.len() >= BATCH_BYTES {
                    self.send_batch().await?;
                }
            }
            Ok(())
        }
        .boxed()
    }

    fn position(&self) -> u64 {
        self.batch_offset + self.batch.len() as u64
    }

    fn finish(mut self: Box<Self>, head: Bytes) -> BoxFuture<'static, Result<Uploaded>> {
        async move {
            match self.complete(head).await {
                Ok(uploaded) => Ok(uploaded),
                Err(cause) => Err(match self.clear().await {
                    Ok(()) => cause,
                    Err(left) => left.caused_by(cause),
                }),
            }
        }
        .boxed()
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        async move { self.clear().await }.boxed()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            tracing::warn!(key = %self.key, path = %path.display(), "upload dropped without finish or abort");
            if let Err(error) = remove(&self.root, &path) {
                tracing::warn!(path = %path.display(), %error, "temporary file remains");
            }
        }
    }
}
