//! The port: what a repository asks of object storage.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use serde::Serialize;

use crate::checksum::StoredChecksum;
use crate::error::Result;
use crate::probe::PartsProbe;
use crate::reader::ObjectReader;
use crate::repository_url::RepositoryUrl;
use crate::upload::{ObjectUpload, UploadOptions};

/// What a store knows of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectInfo {
    /// The key, relative to the repository's root.
    pub key: String,
    /// The size in bytes.
    pub size_bytes: u64,
    /// An opaque text that changes when the object is replaced.
    pub etag: String,
    /// When it was last written, by the store's own clock.
    pub modified_at: DateTime<Utc>,
    /// The checksum that the store keeps; lists leave it out.
    pub checksum: Option<StoredChecksum>,
    /// The user metadata; lists leave it out, local directories have none.
    pub metadata: BTreeMap<String, String>,
    /// Until when the store refuses to delete this version; lists leave it out.
    pub retain_until: Option<DateTime<Utc>>,
    /// Whether somebody forbade to delete this version without an end (a legal hold); lists leave it out.
    pub legal_hold: bool,
}

/// How a small object is written.
#[derive(Debug, Clone, Default)]
pub struct PutOptions {
    /// Until when the store shall refuse to delete it (Object Lock, in the configured mode).
    pub retain_until: Option<DateTime<Utc>>,
}

/// A small object as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The ETag of what was written.
    pub etag: String,
}

/// A small object as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmallObject {
    /// The whole content.
    pub bytes: Bytes,
    /// The ETag of exactly this content.
    pub etag: String,
    /// When it was written, by the store's own clock.
    pub modified_at: DateTime<Utc>,
}

/// An upload that was neither finished nor aborted.
///
/// It may also be one that is running now: only its age tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnfinishedUpload {
    /// The key it was to become.
    pub key: String,
    /// The store's name for it: an upload id, or a temporary file relative to the root.
    pub id: String,
    /// When it was last worked on, by the store's own clock: when the newest of its bytes came, else when it began; `None`
    /// where the store does not tell, or not whoever asks.
    pub worked_on_at: Option<DateTime<Utc>>,
    /// Why the store failed to tell that of this one.
    pub problem: Option<String>,
}

/// A place for objects: a local directory or an S3 bucket.
///
/// Keys are relative to the repository's root and plain (see [`check_key`](crate::check_key)); prefixes are empty or
/// end in `/`. A key must not also be a prefix of another key (`a` and `a/b`): directories cannot hold both. Written
/// objects are durable and visible to every reader when the call returns; nothing is ever visible half written.
/// Nothing is promised about the order of lists.
pub trait ObjectStore: fmt::Debug + Send + Sync {
    /// Says where the store is.
    fn url(&self) -> &RepositoryUrl;

    /// Makes the root of a new repository: creates the local directory (mode 0700); looks whether the bucket exists,
    /// but never creates one.
    ///
    /// # Errors
    /// [`BucketNotFound`](crate::Error::BucketNotFound) and what the network gives.
    fn ensure_root(&self) -> BoxFuture<'_, Result<()>>;

    /// Reads the store's own clock.
    ///
    /// S3 gives whole seconds (the `Date` header of an answer); a local directory gives its file system's time.
    fn server_time(&self) -> BoxFuture<'_, Result<DateTime<Utc>>>;

    /// From now on a small write that finds the disk full gives up the room that [`Self::keep_reserve`] keeps aside, and is
    /// tried again: for whoever deletes.
    fn open_reserve(&self) {}

    /// Keeps a little room aside on a disk, and no longer lets it be given up; where there is no disk, nothing is done.
    ///
    /// # Errors
    /// [`Full`](crate::Error::Full) where there is no room.
    fn keep_reserve(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Removes the folders below a prefix that hold nothing and were last changed before then: what is killed between
    /// deleting an object and its folder leaves one. Where there are no folders nothing is done.
    ///
    /// # Errors
    /// The first folder that could not be looked into or removed; the others are removed all the same.
    fn remove_empty_folders<'a>(&'a self, _prefix: &'a str, _before: DateTime<Utc>) -> BoxFuture<'a, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    /// Writes a small object that must not exist yet.
    ///
    /// An answer that was lost is recognised: a retry that finds the object of this very call counts as success.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::Error::AlreadyExists) when another writer made it; the object is then unchanged.
    fn put_new<'a>(&'a self, key: &'a str, body: Bytes, options: PutOptions) -> BoxFuture<'a, Result<Created>>;

    /// Replaces a small object if it is still the one that `etag` names.
    ///
    /// # Errors
    /// [`PreconditionFailed`](crate::Error::PreconditionFailed) when it was changed or removed.
    fn put_if_matches<'a>(&'a self, key: &'a str, body: Bytes, etag: &'a str) -> BoxFuture<'a, Result<Created>>;

    /// Tells whether what is deleted stays as an older version, and is billed on: whether the store keeps versions, or did.
    ///
    /// # Errors
    /// [`AccessDenied`](crate::Error::AccessDenied), [`Unsupported`](crate::Error::Unsupported) and the like where that is
    /// not to be known.
    fn keeps_versions(&self) -> BoxFuture<'_, Result<bool>> {
        Box::pin(async { Ok(false) })
    }

    /// Reads a whole object of at most `max_bytes`.
    ///
    /// # Errors
    /// [`NotFound`](crate::Error::NotFound); [`TooLarge`](crate::Error::TooLarge), before anything is kept in memory.
    fn get_small<'a>(&'a self, key: &'a str, max_bytes: u64) -> BoxFuture<'a, Result<SmallObject>>;

    /// Asks what the store knows of an object.
    ///
    /// # Errors
    /// [`NotFound`](crate::Error::NotFound).
    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<ObjectInfo>>;

    /// Deletes an object; one that is not there counts as deleted.
    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>>;

    /// Deletes many objects and says for each how it went, in the order given.
    ///
    /// An object that could not be deleted is reported for its own key; the others are deleted all the same.
    fn delete_many<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, Vec<(String, Result<()>)>>;

    /// Lists the objects under a prefix, in pages of at most 1,000 and in no order.
    ///
    /// Memory is one page. Temporary files of running uploads are not listed.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<Vec<ObjectInfo>>>;

    /// Lists the names directly under a prefix that have objects below them, sorted.
    ///
    /// With `a/b/1` and `a/c/2`, the prefix `a/` has the children `b` and `c`. Some stores go on naming, for a while,
    /// what was emptied.
    fn list_children<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>>;

    /// Lists the uploads under a prefix that were neither finished nor aborted, running ones included; asks for the parts of
    /// each. Where that fails for a single one, it is said of that one.
    fn list_uploads<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<UnfinishedUpload>>>;

    /// Removes what an unfinished upload left; one that is gone counts as removed.
    ///
    /// # Errors
    /// Whatever kept it from being removed; the upload then remains.
    fn abort_upload<'a>(&'a self, upload: &'a UnfinishedUpload) -> BoxFuture<'a, Result<()>>;

    /// Opens an object, or the bytes `range` of it, for reading.
    ///
    /// With `etag`, only that very object is read; without, the object found first. A cut connection is resumed from
    /// the last byte received and still refers to the same object. The bytes of a *range* carry no checksum on their
    /// way: whoever reads one compares a hash of their own.
    ///
    /// # Errors
    /// [`NotFound`](crate::Error::NotFound); [`PreconditionFailed`](crate::Error::PreconditionFailed) when the object
    /// is another one; [`Corrupt`](crate::Error::Corrupt) when the object ends before the range does.
    fn read<'a>(
        &'a self,
        key: &'a str,
        range: Option<Range<u64>>,
        etag: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ObjectReader>>;

    /// Begins the upload of a stream that cannot be read twice; see [`ObjectUpload`].
    ///
    /// Nothing is visible under `key` before [`ObjectUpload::finish`] returns.
    fn begin_upload<'a>(&'a self, key: &'a str, options: UploadOptions)
    -> BoxFuture<'a, Result<Box<dyn ObjectUpload>>>;

    /// The most memory that an upload with these options holds at once, in bytes.
    fn upload_memory_bytes(&self, options: &UploadOptions) -> u64;

    /// Uploads some 11 MiB in parts of different sizes, and aborts another upload; `None` where there are no parts.
    ///
    /// Leaves the object `key` when it could be put together.
    fn probe_parts<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<PartsProbe>>;

    /// Keeps an object from being deleted until `until` (Object Lock, in the configured mode).
    ///
    /// # Errors
    /// [`Unsupported`](crate::Error::Unsupported) for local directories and buckets without Object Lock.
    fn extend_retention<'a>(&'a self, key: &'a str, until: DateTime<Utc>) -> BoxFuture<'a, Result<()>>;
}
