//! Publishing a restore point: its manifest goes last, and stands only over objects that are there.
//!
//! A backup that stood still for longer than a sweep leaves young objects alone (a suspended process, a machine asleep)
//! may find that its objects were taken for leftovers. No sign of life would help: whoever stands still renews none. So
//! both sides look: whoever sweeps writes a mark and then looks for the manifest (`sweep.rs`); whoever publishes writes the
//! manifest, then looks for marks, and only then for the objects. At least one of the two sees the other.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use holdpoint_core::{Manifest, layout};
use sha2::{Digest, Sha256};

use super::{Repository, StoredManifest, Withdrawal, refused};
use crate::error::{Error, Result};
use crate::store::PutOptions;

impl Repository {
    /// Publishes a manifest: from now on the restore point exists. Every object that it names is looked at right before,
    /// and again when it is written.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when another writer made a point of the same id; [`Error::NotWhole`] when an object is
    /// gone, has another size, or is about to be swept: nothing is published then, or the error says why the manifest
    /// stays. After another failure to look, the manifest is there.
    pub async fn publish(&self, manifest: &Manifest, retain_until: Option<DateTime<Utc>>) -> Result<StoredManifest> {
        let key = layout::manifest(&manifest.database, &manifest.id);
        let bytes = Bytes::from(manifest.to_json().map_err(|error| refused(&key, error))?);
        let sha256 = hex::encode(Sha256::digest(&bytes));
        let faults = self.faults(manifest).await?;
        if !faults.is_empty() {
            return Err(Error::NotWhole { key, faults, stays: None });
        }
        self.store.put_new(&key, bytes, PutOptions { retain_until }).await?;
        let faults = self.faults(manifest).await?;
        if !faults.is_empty() {
            let stays = self.take_back(manifest).await;
            return Err(Error::NotWhole { key, faults, stays });
        }
        Ok(StoredManifest { manifest: manifest.clone(), sha256, written_at: None })
    }

    /// What speaks against a restore point that is being published.
    async fn faults(&self, manifest: &Manifest) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        // Before the objects: whoever sweeps removes its mark last.
        let marks = self.store.list(&layout::withdrawn(&manifest.database, &manifest.id)).try_next().await?;
        if marks.is_some_and(|page| !page.is_empty()) {
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
            Err(error) => Some(error.to_string()),
        }
    }
}
