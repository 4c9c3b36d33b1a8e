//! Sweeping objects that belong to no restore point, against whoever publishes one of them meanwhile.
//!
//! Whoever sweeps writes a mark and then looks for a manifest; see `publish.rs` for the other side. The mark goes last,
//! so whoever publishes sees it, or misses the objects.

use holdpoint_core::{DatabaseName, PointId, layout};
use serde_json::json as value;

use super::folders::Facts;
use super::{Repository, json};
use crate::error::{Error, Result};
use crate::nonce::nonce;
use crate::store::{ObjectInfo, PutOptions};

/// How often what is listed is removed: whoever publishes writes once.
const ROUNDS: u32 = 5;

impl Repository {
    /// Removes what lies in a folder that has no manifest.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the restore point was published meanwhile, [`Error::ManifestLost`] when somebody
    /// relies on it or verified it: nothing is removed then. Else the first error of an object that could not be removed; the others
    /// are removed all the same, and the mark stays for the next sweep.
    pub(super) async fn sweep(&self, database: &DatabaseName, id: &PointId) -> Result<()> {
        let objects = self.objects(database, id).await?;
        if objects.is_empty() {
            return Ok(());
        }
        // A restore point is not hidden, be it for a moment, to be looked at.
        self.is_nobodys(database, id, &objects).await?;
        let began = self.store.server_time().await?;
        let prefix = layout::withdrawn(database, id);
        let mark = format!("{prefix}{}.json", nonce()?);
        self.store.put_new(&mark, json(&mark, &value!({ "format": 1, "at": began }))?, PutOptions::default()).await?;
        let decided = async {
            let objects = self.objects(database, id).await?;
            self.is_nobodys(database, id, &objects).await?;
            self.still_at_work(database, id, &mark, began).await
        };
        if let Err(error) = decided.await {
            match self.unmark((database, id), &mark, &[], began).await {
                // What has no manifest is not hidden by a mark.
                Err(Error::Hidden { source, .. }) if !matches!(error, Error::AlreadyExists { .. }) => {
                    return Err(*source);
                }
                unmarked => unmarked?,
            }
            // Another sweep was done first.
            return if error.is_not_found() && self.objects(database, id).await?.is_empty() {
                Ok(())
            } else {
                Err(error)
            };
        }
        for _ in 0..ROUNDS {
            let objects = self.objects(database, id).await?;
            let (marks, data): (Vec<_>, Vec<_>) = objects.into_iter().partition(|one| one.key.starts_with(&prefix));
            let keys = |objects: Vec<ObjectInfo>| objects.into_iter().map(|one| one.key).collect::<Vec<_>>();
            let done = data.is_empty();
            let remains = self.delete_all(keys(if done { marks } else { data })).await;
            remains.into_iter().try_for_each(|(_, error)| Err(error))?;
            if done {
                return Ok(());
            }
            // Once more: a manifest that came meanwhile stands over nothing, and whoever wrote it is told by the mark.
        }
        Err(Error::Timeout { action: "sweep", key: layout::point(database, id), attempts: ROUNDS })
    }

    /// Fails where a folder's objects are somebody's, or nobody knows.
    async fn is_nobodys(&self, database: &DatabaseName, id: &PointId, objects: &[ObjectInfo]) -> Result<()> {
        let prefix = layout::point(database, id);
        let mut facts = Facts::default();
        for object in objects {
            facts.add(object.key.strip_prefix(&prefix).unwrap_or(&object.key), object);
        }
        let key = layout::manifest(database, id);
        // A list may lack what is there; nothing is lost by asking.
        let there = facts.manifest
            || match self.store.head(&key).await {
                Ok(_) => true,
                Err(error) if error.is_not_found() => false,
                Err(error) => return Err(error),
            };
        if there {
            return Err(Error::AlreadyExists { key });
        }
        match self.holding(database, id, &facts.pins()).await? {
            pins if pins.is_empty() && !facts.verified() => Ok(()),
            pins => Err(Error::ManifestLost { key, pins }),
        }
    }
}
