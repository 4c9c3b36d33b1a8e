//! What interrupted work left in the repository.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use holdpoint_core::{DatabaseName, PointId, layout};
use serde::Serialize;

use super::Repository;
use crate::error::Result;
use crate::store::UnfinishedUpload;

/// Something in the repository that belongs to no restore point.
///
/// A backup that runs now looks the same: only the age tells, by the store's own clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Leftover {
    /// An upload that was neither finished nor aborted.
    Upload(UnfinishedUpload),
    /// Objects of a restore point that was never published.
    Orphan {
        /// The database.
        database: DatabaseName,
        /// The id that the restore point would have had.
        id: PointId,
        /// Their size in bytes.
        size_bytes: u64,
        /// When the newest of them was written.
        newest_at: Option<DateTime<Utc>>,
    },
}

impl Leftover {
    /// When it was last worked on, as far as the store tells.
    #[must_use]
    pub fn at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Upload(upload) => upload.worked_on_at,
            Self::Orphan { newest_at, .. } => *newest_at,
        }
    }
}

/// A restore point whose manifest is lost, and that somebody relies on or verified: no leftover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LostPoint {
    /// Which.
    pub id: PointId,
    /// The pins that hold.
    pub pins: Vec<String>,
    /// It was verified.
    pub verified: bool,
    /// Bytes of its objects.
    pub size_bytes: u64,
}

/// What lies in folders without a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unpublished {
    /// What interrupted work left, or running work makes.
    pub orphans: Vec<Leftover>,
    /// What lost its manifest.
    pub lost: Vec<LostPoint>,
    /// Those of the orphans that lack nothing but their manifest: their backups were killed right before their end, or are
    /// there now, or their manifests are lost.
    pub lacking: BTreeSet<PointId>,
    /// All of these, in a folder that shows no restore point at all: such a listing is more likely wrong than true.
    pub doubted: BTreeSet<PointId>,
}

impl Repository {
    /// Finds what interrupted work left in a database's folder.
    ///
    /// # Errors
    /// What the store gives.
    pub async fn leftovers(&self, database: &DatabaseName) -> Result<Vec<Leftover>> {
        let uploads = self.store.list_uploads(&layout::database(database)).await?;
        let orphans = self.unpublished(database).await?.orphans;
        Ok(uploads.into_iter().map(Leftover::Upload).chain(orphans).collect())
    }

    /// Tells what is left over from what a pin still names, or a verification shows to have been a restore point.
    ///
    /// # Errors
    /// What the store gives.
    pub async fn unpublished(&self, database: &DatabaseName) -> Result<Unpublished> {
        let mut found = Unpublished::default();
        let folders = self.folders(database).await?;
        let nothing_alive = folders.published.is_empty() && folders.withdrawn.is_empty();
        for orphan in folders.orphans {
            let (id, size_bytes, newest_at) = (orphan.id, orphan.bytes, orphan.newest_at);
            let pins = self.holding(database, &id, &orphan.pins).await?;
            if orphan.verified || !pins.is_empty() {
                found.lost.push(LostPoint { id, pins, verified: orphan.verified, size_bytes });
                continue;
            }
            if orphan.lacks_manifest_only {
                found.lacking.insert(id.clone());
            }
            found.orphans.push(Leftover::Orphan { database: database.clone(), id, size_bytes, newest_at });
        }
        if nothing_alive {
            found.doubted.clone_from(&found.lacking);
        }
        Ok(found)
    }

    /// Removes a leftover.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the restore point was published meanwhile, [`Error::ManifestLost`] when somebody
    /// relies on it or verified it: nothing is removed then. Else the first error of an object that could not be removed; the others
    /// are removed all the same.
    ///
    /// [`Error::AlreadyExists`]: crate::Error::AlreadyExists
    /// [`Error::ManifestLost`]: crate::Error::ManifestLost
    pub async fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        match leftover {
            Leftover::Upload(upload) => self.store.abort_upload(upload).await,
            Leftover::Orphan { database, id, .. } => self.sweep(database, id).await,
        }
    }
}
