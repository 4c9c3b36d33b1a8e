//! What the folders of a database's restore points hold, by one list.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use holdpoint_core::{DatabaseName, PointId, layout};

use super::Repository;
use super::pins;
use super::withdraw::{FUTURE, MARK_IS_DEAD};
use crate::error::Result;
use crate::key::check_key;
use crate::store::ObjectInfo;

/// The folders of a database's restore points.
#[derive(Clone, Debug, Default)]
pub struct PointFolders {
    /// Restore points, oldest first.
    pub published: Vec<PointId>,
    /// Those that a withdrawal marked and that are still there: one is at work, or was killed.
    pub withdrawn: Vec<PointId>,
    /// When the newest mark of each of these was written, by the store's clock.
    pub marked_at: BTreeMap<PointId, DateTime<Utc>>,
    /// The pins of both, by the names that [`Repository::pins`] gives them.
    pub pins: Vec<(PointId, String)>,
    /// What the folder of each published one holds beside its manifest, by the list: names and lengths.
    pub stored: BTreeMap<PointId, BTreeMap<String, u64>>,
    /// Folders without a manifest: being written, left over, or of a restore point whose manifest is lost.
    pub orphans: Vec<OrphanFolder>,
}

impl PointFolders {
    /// Whether a withdrawal may be at work on a restore point still: one that was killed is told apart by its mark's age. A
    /// mark of the future says nothing of that: [`Self::marked_ahead`].
    #[must_use]
    pub fn is_at_work(&self, id: &PointId, now: DateTime<Utc>) -> bool {
        let young = |at: &DateTime<Utc>| now.signed_duration_since(*at) <= MARK_IS_DEAD;
        self.marked_at.get(id).is_some_and(young) && self.marked_ahead(id, now).is_none()
    }

    /// When a restore point's newest mark is dated, where that lies in the future: the store's clock ran ahead then.
    #[must_use]
    pub fn marked_ahead(&self, id: &PointId, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.marked_at.get(id).copied().filter(|at| *at > now + FUTURE)
    }
}

/// A folder without a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrphanFolder {
    /// The id that its restore point would have had.
    pub id: PointId,
    /// Bytes of its objects.
    pub bytes: u64,
    /// When the newest of its objects was written, by the store's clock.
    pub newest_at: Option<DateTime<Utc>>,
    /// Pins from a time when it was a restore point and nobody was withdrawing it: whoever wrote them saw its manifest.
    /// Whether they hold still, their records say.
    pub pins: Vec<String>,
    /// A verification lies beside its objects, and no mark of a withdrawal: its manifest was read once, and is lost.
    pub verified: bool,
    /// Its index is there, which a backup writes right before the manifest.
    pub lacks_manifest_only: bool,
}

impl Repository {
    /// The ids of a database's restore points, oldest first: those whose manifest is there and that are not withdrawn.
    ///
    /// Costs one list over the database's restore points.
    pub async fn points(&self, database: &DatabaseName) -> Result<Vec<PointId>> {
        Ok(self.folders(database).await?.published)
    }

    /// Tells folders with a manifest from folders without one, and leaves out withdrawn points.
    pub async fn folders(&self, database: &DatabaseName) -> Result<PointFolders> {
        let prefix = layout::points(database);
        let (mut found, mut strays) = (BTreeMap::<PointId, Facts>::new(), Vec::new());
        let mut pages = self.store.list(&prefix);
        while let Some(page) = pages.try_next().await? {
            for object in page {
                let rest = object.key.strip_prefix(&prefix).unwrap_or(&object.key);
                let Some((folder, name)) = rest.split_once('/') else { continue };
                let Ok(id) = folder.parse::<PointId>() else { continue };
                // What nobody of ours wrote makes no folder, and stays in none but among the pins.
                match check_key(&object.key) {
                    Ok(()) => found.entry(id).or_default().add(name, &object),
                    Err(_) => strays.extend(name.strip_prefix("pins/").map(|below| (id, pins::named(below)))),
                }
            }
        }
        let mut folders = PointFolders::default();
        let is_point = |id: &PointId| found.get(id).is_some_and(|facts| facts.manifest);
        folders.pins.extend(strays.into_iter().filter(|(id, _)| is_point(id)));
        for (id, facts) in found {
            if facts.manifest {
                folders.pins.extend(facts.pins.iter().map(|(name, _)| (id.clone(), name.clone())));
            }
            match (facts.manifest, facts.marked_at.is_some()) {
                (true, false) => {
                    folders.stored.insert(id.clone(), facts.stored);
                    folders.published.push(id);
                }
                (true, true) => {
                    folders.marked_at.extend(facts.newest_mark_at.map(|at| (id.clone(), at)));
                    folders.withdrawn.push(id);
                }
                (false, _) => folders.orphans.push(facts.orphan(id)),
            }
        }
        Ok(folders)
    }
}

/// What a list shows of one folder.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) manifest: bool,
    /// What is there that a backup stores, with its length.
    stored: BTreeMap<String, u64>,
    verification: bool,
    /// When the oldest mark of a withdrawal was written.
    marked_at: Option<DateTime<Utc>>,
    newest_mark_at: Option<DateTime<Utc>>,
    pins: Vec<(String, DateTime<Utc>)>,
    bytes: u64,
    newest_at: Option<DateTime<Utc>>,
}

impl Facts {
    /// Adds an object by its name within the folder.
    pub(super) fn add(&mut self, name: &str, object: &ObjectInfo) {
        self.bytes += object.size_bytes;
        self.newest_at = self.newest_at.max(Some(object.modified_at));
        if name == "manifest.json" {
            self.manifest = true;
        } else if name.starts_with("withdrawn/") {
            self.newest_mark_at = self.newest_mark_at.max(Some(object.modified_at));
            self.marked_at = Some(self.marked_at.map_or(object.modified_at, |at| at.min(object.modified_at)));
        } else if let Some(pin) = name.strip_prefix("pins/") {
            self.pins.push((pins::named(pin), object.modified_at));
        } else if name.starts_with("verifications/") {
            self.verification = true;
        } else if !name.contains('/') {
            self.stored.insert(name.to_owned(), object.size_bytes);
        }
    }

    /// The pins of a folder without a manifest that tell of a lost one. A pin that is younger than a mark was refused,
    /// and one beside which nothing is stored outlived a withdrawal: whoever may not delete leaves it.
    pub(super) fn pins(&self) -> Vec<String> {
        let seen = |at: &DateTime<Utc>| self.marked_at.is_none_or(|marked| *at < marked);
        let pins = self
            .pins
            .iter()
            .filter(|(name, at)| !self.stored.is_empty() && seen(at) && !Repository::is_stray_pin(name));
        pins.map(|(name, _)| name.clone()).collect()
    }

    /// Whether a folder without a manifest was a restore point that nobody withdrew: only what is published is verified, and
    /// whoever withdraws one leaves a mark until everything else is gone.
    pub(super) fn verified(&self) -> bool {
        !self.stored.is_empty() && self.verification && self.marked_at.is_none()
    }

    fn orphan(&self, id: PointId) -> OrphanFolder {
        OrphanFolder {
            id,
            bytes: self.bytes,
            newest_at: self.newest_at,
            pins: self.pins(),
            verified: self.verified(),
            lacks_manifest_only: self.stored.contains_key("index.jsonl.zst") && self.marked_at.is_none(),
        }
    }
}
