//! Which database a folder belongs to: by its records, and where they are gone by its restore points.

use chrono::TimeDelta;
use holdpoint_core::identity::IdentityRecord;
use holdpoint_core::{DatabaseName, layout};

use super::{LARGEST_RECORD, Repository, json, parse, read_record, with_source};
use crate::error::{Error, Result};
use crate::store::PutOptions;

/// The newest form of identity records that this program knows.
const IDENTITY_FORMAT: u32 = 1;

/// The records of the databases that a folder belonged to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identities {
    /// Those that can be read, oldest first: the last one says whose the folder is.
    pub records: Vec<IdentityRecord>,
    /// Those that cannot.
    pub unreadable: Vec<UnreadableIdentity>,
    /// The record of the first database is among them; whoever claims a folder writes it, so where it is not it was lost.
    pub has_first: bool,
}

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadableIdentity {
    /// Its key.
    pub key: String,
    /// Why not.
    pub reason: String,
}

impl Repository {
    /// Which database a folder belongs to: the newest record. Where there is none, the newest restore point whose manifest
    /// can be read says it, as every manifest does; `None` where nobody has claimed the folder.
    ///
    /// # Errors
    /// [`Error::InvalidRecord`] and [`Error::NewerFormat`] where the newest record cannot be read; else those of the store.
    pub async fn identity(&self, database: &DatabaseName) -> Result<Option<IdentityRecord>> {
        let Some(key) = self.identity_keys(database).await?.pop() else {
            return self.identity_of_points(database).await;
        };
        self.identity_at(&key).await.map(Some)
    }

    /// Every record of which database a folder belongs to.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn identities(&self, database: &DatabaseName) -> Result<Identities> {
        let mut found = Identities::default();
        let first = layout::first_identity(database);
        for key in self.identity_keys(database).await? {
            found.has_first |= key == first;
            match self.identity_at(&key).await {
                Ok(record) => found.records.push(record),
                Err(error) if error.is_not_found() => {}
                Err(error) if error.is_of_record() => {
                    found.unreadable.push(UnreadableIdentity { key, reason: with_source(&error) });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Records which database a folder belongs to from now on; whatever clock dated the records before, this one counts.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where another one is recorded at the same moment; else those of the store.
    pub async fn record_identity(&self, database: &DatabaseName, record: &IdentityRecord) -> Result<()> {
        let newest = self.identity_keys(database).await?.pop();
        let after =
            newest.and_then(|key| layout::identity_instant(database, &key)).map(|at| at + TimeDelta::microseconds(1));
        let key = layout::identity(database, after.map_or(record.recorded_at, |after| after.max(record.recorded_at)));
        self.store.put_new(&key, json(&key, record)?, PutOptions::default()).await.map(drop)
    }

    /// Records the first database that a folder belongs to. All who claim it write the same key, so one of them does.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where another one claimed it first; else those of the store.
    pub async fn record_first_identity(&self, database: &DatabaseName, record: &IdentityRecord) -> Result<()> {
        let key = layout::first_identity(database);
        self.store.put_new(&key, json(&key, record)?, PutOptions::default()).await.map(drop)
    }

    /// The keys of the records, oldest first; what has another name there is none.
    async fn identity_keys(&self, database: &DatabaseName) -> Result<Vec<String>> {
        let first = layout::first_identity(database);
        let mut keys = self.keys(&layout::identities(database)).await?;
        keys.retain(|key| *key == first || layout::identity_instant(database, key).is_some());
        Ok(keys)
    }

    async fn identity_at(&self, key: &str) -> Result<IdentityRecord> {
        let object = read_record(&*self.store, key, LARGEST_RECORD).await?;
        parse(key, &object.bytes, IDENTITY_FORMAT)
    }

    /// What the newest restore point says, hidden or not: a lost record must not let another database take the folder.
    async fn identity_of_points(&self, database: &DatabaseName) -> Result<Option<IdentityRecord>> {
        let folders = self.folders(database).await?;
        let mut points = [folders.published, folders.withdrawn].concat();
        points.sort_unstable();
        for id in points.into_iter().rev() {
            match self.hidden(database, &id).await {
                Ok(stored) => {
                    let (identity, recorded_at) = (stored.recorded.identity().clone(), stored.recorded.snapshot_at());
                    let reason = format!("as restore point {id} says: there is no record of it");
                    return Ok(Some(IdentityRecord { format: IDENTITY_FORMAT, identity, recorded_at, reason }));
                }
                // It says nothing; an older one may.
                Err(Error::InvalidRecord { .. }) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
