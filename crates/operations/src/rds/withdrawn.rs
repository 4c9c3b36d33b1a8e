//! The snapshot of a restore point that is withdrawn: dropped while the restore point is hidden, before its manifest goes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use holdpoint_core::{DatabaseName, PointId, Recorded, SnapshotManifest};
use holdpoint_rds::{Error as Rds, Snapshot, marks};
use holdpoint_repository::{NotDropped, Repository};

use super::ControlPlane;
use super::found::{Found, is_the_recorded, recorded_snapshot};
use super::record::{point_of, tags_of};
use crate::retention::{Outcome, dead};
use crate::{Context, Error};

/// So long RDS may take to answer: whoever withdraws gives up later, and others take it for dead later still.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// Drops the snapshot that a manifest names; one that is gone from its account and region counts as dropped. Automated snapshots,
/// and those whose tags do not say that they are of this restore point, are never dropped.
///
/// # Errors
/// Why it is there as before, or that nobody knows.
pub(crate) async fn drop_recorded(context: &Context, manifest: &SnapshotManifest) -> Result<(), NotDropped> {
    let made = &manifest.snapshot;
    let asked_for = AtomicBool::new(false);
    let as_before = |error: Error| NotDropped {
        reason: format!("the snapshot {} is there as before: {}", made.name, error.line()),
        in_doubt: false,
    };
    let unknown = |why: &str| NotDropped {
        reason: format!("whether the snapshot {} is dropped is not known: {why}", made.name),
        in_doubt: true,
    };
    let not_known_to_be_it = |error: Error| NotDropped {
        reason: format!("the snapshot {} was not touched: {}", made.name, error.line()),
        in_doubt: false,
    };
    let work = async {
        let plane = ControlPlane::of(context, &made.region).await.map_err(not_known_to_be_it)?;
        let found = match recorded_snapshot(&plane, made).await.map_err(not_known_to_be_it)? {
            Found::Recorded(found) if found.status != "deleting" => found,
            // Another one of the name is nobody's to drop.
            Found::Recorded(_) | Found::Another | Found::Gone => return Ok(()),
        };
        if point_of(context, &found).as_ref() != Some(&manifest.id) {
            let subject = format!("the snapshot {} for {}", found.name, manifest.id);
            return Err(as_before(Rds::NotOurs { subject }.into()));
        }
        asked_for.store(true, Ordering::SeqCst);
        let Err(error) = plane.rds.drop_snapshot(&found).await else { return Ok(()) };
        // Whatever is no refusal may have been heard, and may still be done.
        let is_refused = matches!(
            error,
            Rds::AccessDenied { .. }
                | Rds::Credentials { .. }
                | Rds::WrongState { .. }
                | Rds::Throttled { .. }
                | Rds::NotOurs { .. }
        );
        let error = Error::from(error);
        match recorded_snapshot(&plane, made).await {
            // An answer that was lost.
            Ok(Found::Another | Found::Gone) => Ok(()),
            Ok(Found::Recorded(now)) if now.status == "deleting" => Ok(()),
            Ok(Found::Recorded(_)) if is_refused => Err(as_before(error)),
            _ => Err(unknown(&error.line())),
        }
    };
    match tokio::time::timeout(ANSWERS_WITHIN, work).await {
        Ok(done) => done,
        Err(_) if asked_for.load(Ordering::SeqCst) => Err(unknown("RDS did not answer in time")),
        Err(_) => Err(NotDropped {
            reason: format!("the snapshot {} was not touched: RDS did not answer in time", made.name),
            in_doubt: false,
        }),
    }
}

/// What came of withdrawing the restore point that a snapshot may be.
#[derive(Debug)]
pub enum Withdrawn {
    /// It is no restore point of this repository and says of none that it is: a copy, or one that was never recorded.
    IsNone,
    /// Its tags say that it is a restore point elsewhere, whose pins nobody can look at here.
    Elsewhere {
        /// The restore point, as tagged.
        point: String,
        /// The id of its repository, as tagged.
        repository: String,
    },
    /// It is one, and this came of it; `None` where it was withdrawn meanwhile.
    Point(PointId, Option<Outcome>),
}

/// The restore point that a snapshot is by a manifest, whatever its tags say.
#[derive(Debug)]
pub struct RecordedAs {
    /// Whose folder.
    pub database: DatabaseName,
    /// The restore point, which may be withdrawn and not gone yet.
    pub point: PointId,
    /// The tags by which it would be known.
    pub tags: marks::Tags,
}

/// Looks in every folder of a repository for the manifest that names a snapshot, by its ARN and when it was made. Manifests are read
/// where no stored object lies beside them, as with an archive.
///
/// # Errors
/// Those of the repository, also where a manifest cannot be read, and what leaves in doubt whether it is the recorded one.
pub async fn recorded_as(repository: &Repository, snapshot: &Snapshot) -> Result<Option<RecordedAs>, Error> {
    for database in repository.databases().await? {
        let folders = repository.folders(&database).await?;
        let is_archive = |id: &PointId| folders.stored.get(id).is_some_and(|stored| !stored.is_empty());
        for point in folders.published.iter().filter(|id| !is_archive(id)).chain(&folders.withdrawn) {
            let recorded = match repository.hidden(&database, point).await {
                Ok(stored) => stored.recorded,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(error.into()),
            };
            let Recorded::Snapshot(manifest) = recorded else { continue };
            if is_the_recorded(&manifest.snapshot, snapshot)? {
                let tags = tags_of(&database, repository.id(), point);
                return Ok(Some(RecordedAs { database, point: point.clone(), tags }));
            }
        }
    }
    Ok(None)
}

/// Withdraws the restore point that a snapshot is, and drops both; or tells why they stay. What is done goes by the manifest:
/// tags are copied with a snapshot.
///
/// # Errors
/// Those of the repository, and what leaves in doubt whether it is the recorded one.
pub async fn withdraw_snapshot(context: &Context, snapshot: &Snapshot) -> Result<Withdrawn, Error> {
    let Some(id) = point_of(context, snapshot) else {
        let tag = |key| snapshot.tags.get(key).cloned();
        return Ok(match tag(marks::POINT) {
            None => Withdrawn::IsNone,
            Some(point) => Withdrawn::Elsewhere { point, repository: tag(marks::REPOSITORY).unwrap_or_default() },
        });
    };
    let recorded = match context.repository.hidden(&context.database, &id).await {
        Ok(stored) => stored.recorded,
        // It was never recorded, or is withdrawn by now.
        Err(error) if error.is_not_found() => return Ok(Withdrawn::IsNone),
        Err(error) => return Err(error.into()),
    };
    match recorded {
        Recorded::Snapshot(manifest) if is_the_recorded(&manifest.snapshot, snapshot)? => {}
        _ => return Ok(Withdrawn::IsNone),
    }
    let outcome = dead::withdraw(context, &id, &[]).await;
    Ok(Withdrawn::Point(id, outcome))
}
