//! The typed repository: what the objects mean, by the keys of `holdpoint_core::layout`.

mod folders;
mod identities;
mod lease;
mod ledger;
mod leftovers;
mod lock;
mod lost;
mod pins;
mod publish;
mod sweep;
mod withdraw;

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use holdpoint_core::layout::{self, RepositoryRecord};
use holdpoint_core::verification::{UnreadableVerification, Verification};
use holdpoint_core::{DatabaseName, Manifest, PointId, Recorded};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::key::check_key;
use crate::nonce::nonce;
use crate::repository_url::RepositoryUrl;
use crate::store::{ObjectInfo, ObjectStore, PutOptions, SmallObject};

pub use folders::{OrphanFolder, PointFolders};
pub use identities::{Identities, UnreadableIdentity};
pub use lease::{Lease, LeaseTaken};
pub use ledger::{Steps, UnreadableStep};
pub use leftovers::{Leftover, LostPoint, Unpublished};
pub use lock::StoreLock;
pub use pins::PinnedAnew;
pub use publish::{ManifestWrite, NotPublished, Ready};
pub use withdraw::{NoLongerHidden, NotDropped, Withdrawal};

/// The largest record, other than a manifest, that is read into memory.
const LARGEST_RECORD: u64 = 16 << 20;

/// A repository of restore points.
///
/// Every record is created once and never changed, but the lease, and a pin that is over, which is replaced if it is still as it
/// was read; so any number of machines may use one repository at once.
#[derive(Clone, Debug)]
pub struct Repository {
    store: Arc<dyn ObjectStore>,
    record: RepositoryRecord,
}

/// A manifest as it was read.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// The manifest.
    pub manifest: Manifest,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// When it was written, by the store's clock; `None` where it was just published, and nobody asked.
    pub written_at: Option<DateTime<Utc>>,
}

/// A manifest of either kind as it was read.
#[derive(Clone, Debug)]
pub struct StoredPoint {
    /// The manifest.
    pub recorded: Recorded,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// When it was written, by the store's clock.
    pub written_at: Option<DateTime<Utc>>,
}

impl StoredPoint {
    /// The manifest of an archive.
    ///
    /// # Errors
    /// [`Error::IsSnapshot`].
    pub fn archive(self) -> Result<StoredManifest> {
        let Self { recorded, sha256, written_at } = self;
        match recorded {
            Recorded::Archive(manifest) => Ok(StoredManifest { manifest: *manifest, sha256, written_at }),
            Recorded::Snapshot(one) => Err(Error::IsSnapshot {
                point: one.id.to_string(),
                snapshot: one.snapshot.name,
                instance: one.snapshot.instance,
            }),
        }
    }
}

/// The verifications of a restore point.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verifications {
    /// Those that can be read, oldest first.
    pub made: Vec<Verification>,
    /// Those that cannot, by their keys.
    pub unreadable: Vec<UnreadableVerification>,
}

impl Repository {
    /// Makes a repository, or opens the one that is there; tells whether it was made.
    ///
    /// A local directory is created; a bucket must exist. Of many that do this at once, one makes it.
    ///
    /// # Errors
    /// Those of [`open`](Self::open), except for a place that holds nothing of the name; [`Error::RecordLost`] where there are
    /// restore points already: with an id of its own nothing would be pruned any more.
    pub async fn init(store: Arc<dyn ObjectStore>, now: DateTime<Utc>) -> Result<(Self, bool)> {
        store.ensure_root().await?;
        if store.head(layout::REPOSITORY).await.is_ok() {
            return Ok((Self::open(store).await?, false));
        }
        let lost = lost::ids(&store).await?;
        if !lost.is_empty() {
            return Err(lost.refusal(&store));
        }
        Self::made(store, nonce()?, now).await
    }

    /// Makes a repository's lost record anew, with the id that all its restore points name; else as [`init`](Self::init).
    ///
    /// # Errors
    /// Those of [`init`](Self::init); [`Error::RecordLost`] where they name several ids, or where none can be read.
    pub async fn init_adopting(store: Arc<dyn ObjectStore>, now: DateTime<Utc>) -> Result<(Self, bool)> {
        store.ensure_root().await?;
        if store.head(layout::REPOSITORY).await.is_ok() {
            return Ok((Self::open(store).await?, false));
        }
        let lost = lost::ids(&store).await?;
        match lost.only() {
            Some(id) => Self::made(store, id, now).await,
            None if lost.is_empty() => Self::made(store, nonce()?, now).await,
            None => Err(lost.refusal(&store)),
        }
    }

    async fn made(store: Arc<dyn ObjectStore>, id: String, now: DateTime<Utc>) -> Result<(Self, bool)> {
        let record = RepositoryRecord { format: layout::FORMAT, id, created_at: now };
        match store.put_new(layout::REPOSITORY, json(layout::REPOSITORY, &record)?, PutOptions::default()).await {
            Ok(_) => {
                if let Err(error) = store.keep_reserve().await {
                    tracing::warn!(%error, "no room could be kept aside in the repository");
                }
                Ok((Self { store, record }, true))
            }
            Err(Error::AlreadyExists { .. }) => Ok((Self::open(store).await?, false)),
            Err(error) => Err(error),
        }
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// [`Error::NotARepository`] where there is none; [`Error::NewerFormat`] for one of a newer program;
    /// [`Error::BucketNotFound`] when there is no such place.
    pub async fn open(store: Arc<dyn ObjectStore>) -> Result<Self> {
        let root = store.url().to_string();
        let fail = |reason: String| Error::NotARepository { root: root.clone(), reason, nothing: false };
        let object = match read_record(&*store, layout::REPOSITORY, LARGEST_RECORD).await {
            Ok(object) => object,
            Err(Error::NotFound { .. }) => {
                let reason = "it has no holdpoint.json".to_owned();
                return Err(Error::NotARepository { root, reason, nothing: true });
            }
            Err(Error::TooLarge { .. }) => return Err(fail("its holdpoint.json is something else".to_owned())),
            Err(Error::InvalidRecord { source, .. }) => {
                return Err(fail(format!("its holdpoint.json is damaged: {source}")));
            }
            Err(error) => return Err(error),
        };
        match parse(layout::REPOSITORY, &object.bytes, layout::FORMAT) {
            Ok(record) => Ok(Self { store, record }),
            Err(Error::InvalidRecord { source, .. }) => {
                Err(fail(format!("its holdpoint.json is something else: {source}")))
            }
            Err(error) => Err(error),
        }
    }

    /// The object storage below.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Where the repository is.
    pub fn url(&self) -> &RepositoryUrl {
        self.store.url()
    }

    /// The repository's random id.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// Reads a small object that stands beside a manifest, such as an index, as a record is read: twice where its bytes are not
    /// those of its checksum.
    ///
    /// # Errors
    /// [`Error::InvalidRecord`] where they are wrong both times; [`Error::TooLarge`]; else those of the store.
    pub async fn small(&self, key: &str, largest: u64) -> Result<Bytes> {
        Ok(read_record(&*self.store, key, largest).await?.bytes)
    }

    /// The names of all databases that have a folder, sorted.
    pub async fn databases(&self) -> Result<Vec<DatabaseName>> {
        let names = self.store.list_children("").await?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Reads the manifest of an archive; a withdrawn point counts as absent.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NewerFormat`]; [`Error::InvalidRecord`] for one that does not parse or belongs elsewhere;
    /// [`Error::IsSnapshot`].
    pub async fn manifest(&self, database: &DatabaseName, id: &PointId) -> Result<StoredManifest> {
        self.recorded(database, id).await?.archive()
    }

    /// Reads a manifest of either kind; a withdrawn point counts as absent.
    ///
    /// # Errors
    /// As [`Self::manifest`], but a snapshot is none.
    pub async fn recorded(&self, database: &DatabaseName, id: &PointId) -> Result<StoredPoint> {
        let key = layout::manifest(database, id);
        // Before the manifest: whoever withdraws removes the marks last, when the manifest is gone.
        if self.is_marked(database, id).await? {
            return Err(Error::NotFound { action: "read", key });
        }
        self.hidden(database, id).await
    }

    /// Reads a manifest of either kind, also of a withdrawn point: nobody may rely on it.
    ///
    /// # Errors
    /// As [`Self::recorded`].
    pub async fn hidden(&self, database: &DatabaseName, id: &PointId) -> Result<StoredPoint> {
        let key = layout::manifest(database, id);
        let largest = holdpoint_core::manifest::LARGEST as u64;
        let object = read_record(&*self.store, &key, largest).await.map_err(|error| match error {
            // A manifest that grew was edited.
            Error::TooLarge { key, detail, .. } => Error::InvalidRecord { key, source: detail.into() },
            other => other,
        })?;
        let recorded = Recorded::from_json(&object.bytes, id).map_err(|error| refused(&key, error))?;
        if recorded.database() != database {
            let text = format!("it names database {} but lies in the folder of {database}", recorded.database());
            return Err(Error::InvalidRecord { key, source: text.into() });
        }
        let sha256 = hex::encode(Sha256::digest(&object.bytes));
        Ok(StoredPoint { recorded, sha256, written_at: Some(object.modified_at) })
    }

    /// Reads a restore point's verifications, oldest first; one that cannot be read hides neither the restore point nor
    /// the others.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the restore point was dropped while they were read; else those of the store.
    pub async fn verifications(&self, database: &DatabaseName, id: &PointId) -> Result<Verifications> {
        let (mut found, mut gone) = (Verifications::default(), false);
        let keys = self.keys(&layout::verifications(database, id)).await?;
        for key in keys.into_iter().filter(|key| key.ends_with(".json")) {
            let read = read_record(&*self.store, &key, LARGEST_RECORD).await;
            let read = read.and_then(|object| Verification::from_json(&object.bytes).map_err(|e| refused(&key, e)));
            match read {
                Ok(made) => found.made.push(made),
                Err(error) if error.is_not_found() => gone = true,
                Err(error) if error.is_of_record() => {
                    let at = layout::verification_instant(database, id, &key);
                    found.unreadable.push(UnreadableVerification { key, at, reason: with_source(&error) });
                }
                Err(error) => return Err(error),
            }
        }
        if gone {
            // Whoever drops a restore point deletes the manifest first.
            self.store.head(&layout::manifest(database, id)).await?;
        }
        found.made.sort_by_key(|one| one.started_at);
        Ok(found)
    }

    /// Records a verification; returns its key. Of several that began in one moment each has a key of its own.
    pub async fn record_verification(&self, database: &DatabaseName, made: &Verification) -> Result<String> {
        let key = layout::verification(database, &made.point, made.started_at, made.verdict.word());
        let bytes = made.to_json().map_err(|error| refused(&key, error))?;
        let bytes = Bytes::from(bytes);
        match self.store.put_new(&key, bytes.clone(), PutOptions::default()).await {
            Ok(_) => return Ok(key),
            Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
        let key = format!("{}-{}.json", key.strip_suffix(".json").unwrap_or(&key), nonce()?);
        self.store.put_new(&key, bytes, PutOptions::default()).await?;
        Ok(key)
    }

    /// All keys under a prefix, sorted. For records, of which there are few.
    async fn keys(&self, prefix: &str) -> Result<Vec<String>> {
        let mut keys: Vec<String> = self.listed(prefix).await?.into_iter().map(|object| object.key).collect();
        keys.sort();
        Ok(keys)
    }

    /// What lies under a prefix, but what holdpoint cannot have written: names such as editors and copiers make are passed
    /// over, and fail nobody; `check` tells them.
    async fn listed(&self, prefix: &str) -> Result<Vec<ObjectInfo>> {
        let pages: Vec<_> = self.store.list(prefix).try_collect().await?;
        Ok(pages.into_iter().flatten().filter(|object| check_key(&object.key).is_ok()).collect())
    }

    /// Whether a withdrawal marked a restore point.
    async fn is_marked(&self, database: &DatabaseName, id: &PointId) -> Result<bool> {
        let prefix = layout::withdrawn(database, id);
        let mut pages = self.store.list(&prefix);
        while let Some(page) = pages.try_next().await? {
            if page.iter().any(|object| check_key(&object.key).is_ok()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Reads a small record. One whose bytes are not those of its checksum is read once more: they may have been spoiled on their
/// way, which is told.
///
/// # Errors
/// Those of [`ObjectStore::get_small`]; [`Error::InvalidRecord`] where they are wrong both times.
async fn read_record(store: &dyn ObjectStore, key: &str, largest: u64) -> Result<SmallObject> {
    let first = match store.get_small(key, largest).await {
        Err(Error::Corrupt { detail, .. }) => detail,
        read => return read,
    };
    match store.get_small(key, largest).await {
        Err(Error::Corrupt { key, detail, .. }) => {
            Err(Error::InvalidRecord { key, source: format!("{detail}, twice").into() })
        }
        Ok(object) => {
            tracing::warn!(
                key,
                detail = %first,
                "bytes arrived damaged once, and as written when they were read again: look at the network and at what stands \
                 before the store"
            );
            Ok(object)
        }
        read => read,
    }
}

fn json(key: &str, value: &impl Serialize) -> Result<Bytes> {
    let invalid = |error: serde_json::Error| Error::InvalidRecord { key: key.to_owned(), source: error.into() };
    serde_json::to_vec_pretty(value).map(Bytes::from).map_err(invalid)
}

/// Reads a record; refuses a newer form before it looks at anything else.
fn parse<T: DeserializeOwned>(key: &str, bytes: &[u8], known: u32) -> Result<T> {
    #[derive(Deserialize)]
    struct Form {
        format: u32,
    }
    let invalid = |error: serde_json::Error| Error::InvalidRecord { key: key.to_owned(), source: error.into() };
    let found = serde_json::from_slice::<Form>(bytes).map_err(invalid)?.format;
    if found > known {
        return Err(Error::NewerFormat { key: key.to_owned(), found, known });
    }
    serde_json::from_slice(bytes).map_err(invalid)
}

/// An error and what it comes from, in one line.
fn with_source(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn refused(key: &str, error: holdpoint_core::Error) -> Error {
    match error {
        holdpoint_core::Error::NewerFormat { found, known, .. } => {
            Error::NewerFormat { key: key.to_owned(), found, known }
        }
        other => Error::InvalidRecord { key: key.to_owned(), source: other.into() },
    }
}
