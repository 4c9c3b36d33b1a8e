//! Unfinished uploads, objects without a manifest, and what a killed doctor wrote.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use holdpoint_core::layout;
use holdpoint_repository::{Leftover as Stored, ObjectInfo, Unpublished};

use super::{Found, Leftover, LeftoverKind, Unseen, What, doctor_prefix, judge_age};
use crate::{Context, Error};

/// Why what lacks nothing but its manifest stays where no restore point is to be seen: as for `check --repair`, such a listing shows
/// nothing.
const DOUBTED: &str = "it lacks only its manifest, and no restore point is to be seen, which is more likely wrong than true: see \
                       holdpoint check";

/// What is said besides of what may have been a restore point, beside others.
const LACKING: &str =
    "; it lacks only its manifest: its backup was killed right before its end, or the manifest is lost";

/// Finds what is in the database's folder; what the store does not tell is named in `unseen`.
pub(super) async fn find(context: &Context, min_age: TimeDelta, unseen: &mut Vec<Unseen>) -> Vec<Found> {
    let (store, database) = (context.repository.store(), &context.database);
    let prefix = layout::database(database);
    let now = store.server_time().await.ok();
    let mut found = Vec::new();
    let mut not_seen = |what: &str, error: holdpoint_repository::Error| {
        unseen.push(Unseen { place: format!("{what} of {prefix}"), reason: Error::from(error).line() });
    };
    match store.list_uploads(&prefix).await {
        Ok(uploads) => found.extend(uploads.into_iter().map(|upload| of_store(Stored::Upload(upload), now, min_age))),
        Err(error) => not_seen("unfinished uploads", error),
    }
    // What lost its manifest and is pinned is no leftover: `check` tells of it.
    match context.repository.unpublished(database).await {
        Ok(Unpublished { orphans, doubted, lacking, .. }) => found.extend(orphans.into_iter().map(|orphan| {
            let is_doubted = matches!(&orphan, Stored::Orphan { id, .. } if doubted.contains(id));
            let lacks = matches!(&orphan, Stored::Orphan { id, .. } if lacking.contains(id));
            let mut one = of_store(orphan, now, min_age);
            if is_doubted && one.leftover.dead {
                (one.leftover.dead, one.leftover.reason) = (false, DOUBTED.to_owned());
            } else if lacks && one.leftover.dead {
                one.leftover.reason.push_str(LACKING);
            }
            one
        })),
        Err(error) => not_seen("objects", error),
    }
    let tried: Result<Vec<Vec<ObjectInfo>>, _> = store.list(&doctor_prefix(database)).try_collect().await;
    match tried {
        Ok(pages) => found.extend(of_doctor(pages.into_iter().flatten(), &doctor_prefix(database), now, min_age)),
        Err(error) => not_seen("probe objects", error),
    }
    found
}

fn of_store(stored: Stored, now: Option<DateTime<Utc>>, min_age: TimeDelta) -> Found {
    let since = stored.at();
    let (dead, reason) = judge_age(since, now, min_age);
    let (kind, place, id, bytes) = match &stored {
        Stored::Upload(upload) => (LeftoverKind::UnfinishedUpload, upload.key.clone(), upload.id.clone(), None),
        Stored::Orphan { database, id, size_bytes, .. } => {
            (LeftoverKind::OrphanObjects, layout::point(database, id), id.to_string(), Some(*size_bytes))
        }
    };
    let leftover = Leftover { kind, place, id, since, bytes, dead, reason, removed: false, problem: None };
    Found { leftover, what: What::Stored(stored) }
}

/// One leftover for each doctor's folder.
fn of_doctor(
    objects: impl Iterator<Item = ObjectInfo>,
    prefix: &str,
    now: Option<DateTime<Utc>>,
    min_age: TimeDelta,
) -> Vec<Found> {
    let mut folders: BTreeMap<String, Vec<ObjectInfo>> = BTreeMap::new();
    for object in objects {
        let below = object.key.strip_prefix(prefix).unwrap_or(&object.key);
        let folder = below.split('/').next().unwrap_or(below).to_owned();
        folders.entry(folder).or_default().push(object);
    }
    let found = |(folder, objects): (String, Vec<ObjectInfo>)| {
        let since = objects.iter().map(|object| object.modified_at).max();
        let (dead, reason) = judge_age(since, now, min_age);
        let leftover = Leftover {
            kind: LeftoverKind::OrphanObjects,
            place: format!("{prefix}{folder}/"),
            id: folder,
            since,
            bytes: Some(objects.iter().map(|object| object.size_bytes).sum()),
            dead,
            reason,
            removed: false,
            problem: None,
        };
        Found { leftover, what: What::Objects(objects.into_iter().map(|object| object.key).collect()) }
    };
    folders.into_iter().map(found).collect()
}

/// Deletes objects; gives the first failure, after all were tried.
pub(super) async fn delete(context: &Context, keys: &[String]) -> Result<(), Error> {
    let results = context.repository.store().delete_many(keys).await;
    Ok(results.into_iter().try_for_each(|(_, result)| result)?)
}
