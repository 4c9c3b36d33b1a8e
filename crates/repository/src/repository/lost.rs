//! A repository that lost its record: the id is in every manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use holdpoint_core::layout::{self, RepositoryRecord};

use super::Repository;
use crate::error::{Error, Result};
use crate::store::ObjectStore;

/// What the restore points of a place without a record say of the repository that they were made in.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// The ids, with how many restore points name each.
    ids: BTreeMap<String, u64>,
    /// Restore points that cannot be read.
    unreadable: u64,
}

/// Reads every manifest, one at a time.
pub(super) async fn ids(store: &Arc<dyn ObjectStore>) -> Result<Lost> {
    let record =
        RepositoryRecord { format: layout::FORMAT, id: String::new(), created_at: DateTime::<Utc>::UNIX_EPOCH };
    let place = Repository { store: Arc::clone(store), record };
    let mut lost = Lost::default();
    for database in place.databases().await? {
        let folders = place.folders(&database).await?;
        for id in folders.published.iter().chain(&folders.withdrawn) {
            match place.hidden(&database, id).await {
                Ok(stored) => *lost.ids.entry(stored.recorded.repository_id().to_owned()).or_default() += 1,
                Err(error) if error.is_of_record() => lost.unreadable += 1,
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(lost)
}

impl Lost {
    /// There is no restore point.
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.unreadable == 0
    }

    /// The id that all of them name that can be read.
    pub(super) fn only(&self) -> Option<String> {
        match self.ids.len() {
            1 => self.ids.keys().next().cloned(),
            _ => None,
        }
    }

    /// Why no new record is made.
    pub(super) fn refusal(self, store: &Arc<dyn ObjectStore>) -> Error {
        let points = self.ids.values().sum::<u64>() + self.unreadable;
        Error::RecordLost { root: store.url().to_string(), ids: self.ids.into_keys().collect(), points }
    }
}
