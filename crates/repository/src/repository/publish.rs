//! Publishing a restore point: its manifest goes last, and stands only over objects that are there.
//!
//! A backup that stood still for longer than a sweep leaves young objects alone (a suspended process, a machine asleep)
//! may find that its objects were taken for leftovers. No sign of life would help: whoever stands still renews none. So
//! both sides look: whoever sweeps writes a mark and then looks for the manifest (`sweep.rs`); whoever publishes writes the
//! manifest, then looks for marks, and only then for the objects. At least one of the two sees the other.
//!
//! Only one that is killed after its manifest and before that last look takes nothing back. So the manifest is written right
//! after a look: by the store's clock, which goes on for those who stand still.

use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::{Manifest, SnapshotManifest, layout};
use sha2::{Digest, Sha256};

use super::{Repository, StoredManifest, Withdrawal, refused};
use crate::error::{Error, Result};
use crate::store::PutOptions;

/// For so long a look at the objects counts: a sweep leaves alone what is younger than many times that.
const LOOK_HOLDS: TimeDelta = TimeDelta::minutes(15);

/// A restore point whose objects were looked at, ready to be published.
#[derive(Debug)]
pub struct Ready<'a> {
    repository: &'a Repository,
    manifest: &'a Manifest,
    /// Before the look, by the store's clock; `None` where the store does not tell the time.
    looked_at: Option<DateTime<Utc>>,
}

/// Why a restore point was not published, or is not known to be whole.
#[derive(Debug)]
pub struct NotPublished {
    /// What went wrong.
    pub error: Error,
    /// What became of its manifest.
    pub manifest: ManifestWrite,
}

/// What became of a manifest that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestWrite {
    /// The store was not asked to write it, and will not be.
    NeverAsked,
    /// The store refused, or it was taken back.
    Refused,
    /// The store did not answer: it may still write it.
    Unanswered,
    /// It is there.
    Written,
}

impl NotPublished {
    fn never_asked(error: Error) -> Self {
        Self { error, manifest: ManifestWrite::NeverAsked }
    }
}

impl From<NotPublished> for Error {
    fn from(not: NotPublished) -> Self {
        not.error
    }
}

impl fmt::Display for NotPublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Ready<'_> {
    /// Publishes it: from now on the restore point exists. Its objects are looked at again where the last look is not of
    /// right now, as whoever stood still may be far behind it, and once more when the manifest is written.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when another writer made a point of the same id; [`Error::NotWhole`] when an object is
    /// gone, has another size, or is about to be swept: nothing is published then, or the error says why the manifest
    /// stays. [`NotPublished::manifest`] says what is known of it.
    pub async fn publish(
        mut self,
        retain_until: Option<DateTime<Utc>>,
    ) -> std::result::Result<StoredManifest, NotPublished> {
        let (repository, manifest) = (self.repository, self.manifest);
        let key = layout::manifest(&manifest.database, &manifest.id);
        let json = manifest.to_json().map_err(|error| NotPublished::never_asked(refused(&key, error)))?;
        let bytes = Bytes::from(json);
        let sha256 = hex::encode(Sha256::digest(&bytes));
        while let Some(looked_at) = self.looked_at {
            let now = repository.store.server_time().await.map_err(NotPublished::never_asked)?;
            if now.signed_duration_since(looked_at) <= LOOK_HOLDS {
                break;
            }
            self = repository.ready(manifest).await.map_err(NotPublished::never_asked)?;
        }
        repository.store.put_new(&key, bytes, PutOptions { retain_until }).await.map_err(|error| {
            let unanswered = error.is_transient();
            let manifest = if unanswered { ManifestWrite::Unanswered } else { ManifestWrite::Refused };
            NotPublished { error, manifest }
        })?;
        let faults = repository.faults(manifest).await;
        let faults = faults.map_err(|error| NotPublished { error, manifest: ManifestWrite::Written })?;
        if !faults.is_empty() {
            let stays = repository.take_back(manifest).await;
            let manifest = if stays.is_some() { ManifestWrite::Written } else { ManifestWrite::Refused };
            return Err(NotPublished { error: Error::NotWhole { key, faults, stays }, manifest });
        }
        Ok(StoredManifest { manifest: manifest.clone(), sha256, written_at: None })
    }
}

impl Repository {
    /// Looks at every object that a manifest names, right before it is published.
    ///
    /// # Errors
    /// [`Error::NotWhole`] when an object is gone, has another size, or is about to be swept; else those of the store.
    pub async fn ready<'a>(&'a self, manifest: &'a Manifest) -> Result<Ready<'a>> {
        let looked_at = match self.store.server_time().await {
            Ok(time) => Some(time),
            Err(Error::Unsupported { .. }) => None,
            Err(error) => return Err(error),
        };
        let faults = self.faults(manifest).await?;
        if !faults.is_empty() {
            let key = layout::manifest(&manifest.database, &manifest.id);
            return Err(Error::NotWhole { key, faults, stays: None });
        }
        Ok(Ready { repository: self, manifest, looked_at })
    }

    /// Publishes a manifest: every object that it names is looked at right before, and again when it is written.
    ///
    /// # Errors
    /// As [`Self::ready`] and [`Ready::publish`].
    pub async fn publish(
        &self,
        manifest: &Manifest,
        retain_until: Option<DateTime<Utc>>,
    ) -> std::result::Result<StoredManifest, NotPublished> {
        self.ready(manifest).await.map_err(NotPublished::never_asked)?.publish(retain_until).await
    }

    /// Publishes the manifest of a snapshot, which names no objects: from now on the restore point exists.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when it was published before; else those of the store.
    pub async fn publish_snapshot(
        &self,
        manifest: &SnapshotManifest,
        retain_until: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let key = layout::manifest(&manifest.database, &manifest.id);
        let json = manifest.to_json().map_err(|error| refused(&key, error))?;
        self.store.put_new(&key, json.into(), PutOptions { retain_until }).await.map(drop)
    }

    /// What speaks against a restore point that is being published.
    async fn faults(&self, manifest: &Manifest) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        // Before the objects: whoever sweeps removes its mark last.
        if self.is_marked(&manifest.database, &manifest.id).await? {
            faults.push("its objects are being removed as leftovers".to_owned());
        }
        faults.extend(self.objects_faults(manifest).await?);
        Ok(faults)
    }

    /// What is wrong with the objects of a restore point: those that are gone, and those of another size.
    pub(super) async fn objects_faults(&self, manifest: &Manifest) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        let small = [Some(&manifest.index), Some(&manifest.globals), manifest.contents.as_ref()];
        let small = small.into_iter().flatten().map(|one| (&one.key, one.bytes));
        for (key, bytes) in small.chain([(&manifest.archive.key, manifest.archive.bytes)]) {
            match self.store.head(key).await {
                Ok(found) if found.size_bytes == bytes => {}
                Ok(found) => faults.push(format!("{key} has {} bytes, {bytes} were written", found.size_bytes)),
                Err(error) if error.is_not_found() => faults.push(format!("{key} is gone")),
                Err(error) => return Err(error),
            }
        }
        Ok(faults)
    }

    /// Withdraws what was published although it is not whole; gives why it stays.
    async fn take_back(&self, manifest: &Manifest) -> Option<String> {
        match self.withdraw(&manifest.database, &manifest.id, &[]).await {
            Ok(Withdrawal::Done { .. } | Withdrawal::Gone) => None,
            Ok(Withdrawal::Pinned { pins }) => Some(format!("it is pinned: {}", pins.join(", "))),
            Ok(Withdrawal::Locked { .. }) => Some("the store locks it".to_owned()),
            Ok(Withdrawal::Kept { reason } | Withdrawal::InDoubt { reason }) => Some(reason),
            Err(Error::Hidden { source, .. }) => Some(format!("it is hidden: {source}")),
            Err(error) => Some(error.to_string()),
        }
    }
}
