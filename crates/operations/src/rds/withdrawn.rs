//! The snapshot of a restore point that is withdrawn: dropped while the restore point is hidden, before its manifest goes.

use std::time::Duration;

use holdpoint_core::{PointId, SnapshotManifest};
use holdpoint_rds::{Error as Rds, Snapshot};

use super::ControlPlane;
use super::record::{is_the_recorded, point_of};
use crate::retention::{Outcome, dead};
use crate::{Context, Error};

/// So long RDS may take to answer: whoever withdraws gives up later, and others take it for dead later still.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// Drops the snapshot that a manifest names; one that is gone counts as dropped. Automated snapshots, and those whose tags do not
/// say that they are of this restore point, are never dropped.
///
/// # Errors
/// Why it is there as before, in words.
pub(crate) async fn drop_recorded(context: &Context, manifest: &SnapshotManifest) -> Result<(), String> {
    let made = &manifest.snapshot;
    let work = async {
        let plane = ControlPlane::of(context, &made.region).await?;
        let found = match plane.rds.snapshot(&made.name).await {
            Ok(found) => found,
            Err(Rds::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if !is_the_recorded(made, &found) || found.status == "deleting" {
            // What was recorded is gone; another one of the name is nobody's to drop.
            return Ok(());
        }
        if point_of(context, &found).as_ref() != Some(&manifest.id) {
            return Err(Rds::NotOurs { subject: format!("the snapshot {} for {}", found.name, manifest.id) }.into());
        }
        match plane.rds.drop_snapshot(&found).await {
            Ok(()) => Ok(()),
            Err(error) => match plane.rds.snapshot(&made.name).await {
                // An answer that was lost.
                Err(Rds::NotFound { .. }) => Ok(()),
                Ok(now) if now.status == "deleting" => Ok(()),
                _ => Err(Error::from(error)),
            },
        }
    };
    match tokio::time::timeout(ANSWERS_WITHIN, work).await {
        Ok(done) => done.map_err(|error| format!("the snapshot {} is there as before: {}", made.name, error.line())),
        Err(_) => {
            Err(format!("whether the snapshot {} is dropped is not known: RDS did not answer in time", made.name))
        }
    }
}

/// Withdraws the restore point that a snapshot is, and drops both; or tells why they stay. `None` where the snapshot is no
/// restore point of this folder.
///
/// # Errors
/// Those of the repository.
pub async fn withdraw_snapshot(context: &Context, snapshot: &Snapshot) -> Result<Option<(PointId, Outcome)>, Error> {
    let Some(id) = point_of(context, snapshot) else { return Ok(None) };
    match context.repository.hidden(&context.database, &id).await {
        Ok(_) => {}
        // It was never recorded, or is withdrawn by now.
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    Ok(dead::withdraw(context, &id, &[]).await.map(|outcome| (id, outcome)))
}
