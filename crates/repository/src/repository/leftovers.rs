//! What interrupted work left in the repository.

use chrono::{DateTime, Utc};
use holdpoint_core::{DatabaseName, PointId, layout};
use serde::Serialize;

use super::Repository;
use crate::error::{Error, Result};
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
            Self::Upload(upload) => upload.started_at,
            Self::Orphan { newest_at, .. } => *newest_at,
        }
    }
}

impl Repository {
    /// Finds what interrupted work left in a database's folder.
    ///
    /// # Errors
    /// What the store gives.
    pub async fn leftovers(&self, database: &DatabaseName) -> Result<Vec<Leftover>> {
        let uploads = self.store.list_uploads(&layout::database(database)).await?;
        let orphans = self.folders(database).await?.orphans.into_iter().map(|orphan| Leftover::Orphan {
            database: database.clone(),
            id: orphan.id,
            size_bytes: orphan.bytes,
            newest_at: orphan.newest_at,
        });
        Ok(uploads.into_iter().map(Leftover::Upload).chain(orphans).collect())
    }

    /// Removes a leftover.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the restore point was published meanwhile: nothing is removed then. Else the
    /// first error of an object that could not be removed; the others are removed all the same.
    pub async fn remove_leftover(&self, leftover: &Leftover) -> Result<()> {
        match leftover {
            Leftover::Upload(upload) => self.store.abort_upload(upload).await,
            Leftover::Orphan { database, id, .. } => {
                let keys = self.keys(&layout::point(database, id)).await?;
                let manifest = layout::manifest(database, id);
                if keys.contains(&manifest) {
                    return Err(Error::AlreadyExists { key: manifest });
                }
                let results = self.store.delete_many(&keys).await;
                results.into_iter().try_for_each(|(_, result)| result)
            }
        }
    }
}
