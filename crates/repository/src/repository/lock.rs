//! Object Lock: what the store itself keeps from being deleted, and for how long.

use chrono::{DateTime, Utc};
use holdpoint_core::{DatabaseName, Manifest, PointId, Recorded, layout};

use super::Repository;
use crate::error::Result;
use crate::store::ObjectInfo;

/// A store's own refusal to delete a restore point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLock {
    /// The end of the longest lock; `None` for a legal hold, which has none.
    pub until: Option<DateTime<Utc>>,
}

impl Repository {
    /// Asks the store whether it keeps an object of a restore point from being deleted; a request an object.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn store_lock(&self, database: &DatabaseName, id: &PointId) -> Result<Option<StoreLock>> {
        let longest = self.locked(&self.objects(database, id).await?, DateTime::<Utc>::MIN_UTC).await?;
        // The time is asked for where there is a lock alone: a directory that is mounted read-only cannot tell it.
        match longest {
            Some(StoreLock { until: Some(until) }) if until <= self.store.server_time().await? => Ok(None),
            longest => Ok(longest),
        }
    }

    /// The longest lock of the objects that a restore point is made of.
    pub(super) async fn locked(&self, objects: &[ObjectInfo], now: DateTime<Utc>) -> Result<Option<StoreLock>> {
        let mut longest = None;
        for object in objects.iter().filter(|one| !one.key.contains("/withdrawn/")) {
            match self.store.head(&object.key).await {
                Ok(found) if found.legal_hold => return Ok(Some(StoreLock { until: None })),
                Ok(found) => longest = longest.max(found.retain_until.filter(|until| *until > now)),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(longest.map(|until| StoreLock { until: Some(until) }))
    }

    /// Locks the objects of a restore point until `until`, in the configured mode, where they are not locked for longer;
    /// a local directory has no locks, and nothing is done there.
    ///
    /// # Errors
    /// Those of the store, with some of the objects locked; [`Unsupported`](crate::Error::Unsupported) where no mode is
    /// configured.
    pub async fn extend_lock(&self, manifest: &Manifest, until: DateTime<Utc>) -> Result<()> {
        let record = layout::manifest(&manifest.database, &manifest.id);
        let small = [Some(&manifest.index), Some(&manifest.globals), manifest.contents.as_ref()];
        let keys = small.into_iter().flatten().map(|one| one.key.as_str());
        self.extend_locks(keys.chain([manifest.archive.key.as_str(), &record]), until).await
    }

    /// As [`Self::extend_lock`], for a restore point of either kind; of a snapshot nothing but the manifest is in the store.
    ///
    /// # Errors
    /// As [`Self::extend_lock`].
    pub async fn extend_lock_of(&self, recorded: &Recorded, until: DateTime<Utc>) -> Result<()> {
        match recorded {
            Recorded::Archive(manifest) => self.extend_lock(manifest, until).await,
            Recorded::Snapshot(one) => {
                self.extend_locks([layout::manifest(&one.database, &one.id).as_str()], until).await
            }
        }
    }

    async fn extend_locks<'a>(&self, keys: impl IntoIterator<Item = &'a str>, until: DateTime<Utc>) -> Result<()> {
        if self.url().directory().is_some() {
            return Ok(());
        }
        for key in keys {
            let locked = self.store.head(key).await?.retain_until;
            if locked.is_none_or(|locked| locked.timestamp() < until.timestamp()) {
                self.store.extend_retention(key, until).await?;
            }
        }
        Ok(())
    }
}
