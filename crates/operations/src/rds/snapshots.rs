//! The verbs of snapshots.

use holdpoint_rds::Snapshot;
use serde::Serialize;

use super::ControlPlane;
use super::left::Made;
use crate::Error;

/// The snapshots of a region.
#[derive(Debug, Serialize)]
pub struct SnapshotsReport {
    /// The region.
    pub region: String,
    /// The snapshots, the oldest first.
    pub snapshots: Vec<Snapshot>,
}

/// What `rds snapshot drop` did.
#[derive(Debug, Serialize)]
pub struct SnapshotDropReport {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Whether it was dropped; a dry run does not.
    pub dropped: bool,
}

/// Makes a snapshot of an instance; `waits` for its end.
///
/// # Errors
/// What RDS refuses, and how the snapshot ended; [`Error::LeftBehind`] where it is there, or may be.
pub async fn create_snapshot(plane: &ControlPlane, instance: &str, name: &str, waits: bool) -> Result<Snapshot, Error> {
    begun(plane, name, plane.rds.create_snapshot(instance, name, (plane.clock)()), waits).await
}

/// Copies a snapshot; `waits` for its end.
///
/// # Errors
/// As [`create_snapshot`].
pub async fn copy_snapshot(
    plane: &ControlPlane,
    from: &str,
    name: &str,
    kms_key: Option<&str>,
    waits: bool,
) -> Result<Snapshot, Error> {
    begun(plane, name, plane.rds.copy_snapshot(from, name, kms_key, (plane.clock)()), waits).await
}

/// Lets a snapshot be made, and says of a failure what is left of it.
async fn begun(
    plane: &ControlPlane,
    name: &str,
    call: impl Future<Output = Result<Snapshot, holdpoint_rds::Error>>,
    waits: bool,
) -> Result<Snapshot, Error> {
    if plane.cancel.is_cancelled() {
        return Err(Error::Interrupted);
    }
    let made = plane.unless_ended(call).await;
    let made = made.map_err(|failure| plane.may_be_left(Made::Snapshot, name, failure))?;
    finished(plane, made, waits).await.map_err(|failure| plane.left(Made::Snapshot, name, failure))
}

/// Waits for a snapshot's end, where that is asked for.
pub(super) async fn finished(plane: &ControlPlane, made: Snapshot, waits: bool) -> Result<Snapshot, Error> {
    if !waits {
        return Ok(made);
    }
    let mut listen = plane.listener(None);
    plane.unless_ended(plane.rds.wait_snapshot(&made.name, &plane.waiting, &mut listen)).await
}

/// Lists snapshots, of one instance or of all.
///
/// # Errors
/// What RDS refuses.
pub async fn list_snapshots(plane: &ControlPlane, instance: Option<&str>) -> Result<SnapshotsReport, Error> {
    let snapshots = plane.unless_ended(plane.rds.snapshots(instance)).await?;
    Ok(SnapshotsReport { region: plane.rds.region().to_owned(), snapshots })
}

/// The present name of the instance that a snapshot is of: what is made of it shall be like that one.
///
/// # Errors
/// The instance is gone.
pub async fn source_of_snapshot(plane: &ControlPlane, snapshot: &str) -> Result<String, Error> {
    let find = async {
        let snapshot = plane.rds.snapshot(snapshot).await?;
        let source = plane.rds.find_resource(&snapshot.resource_id).await?;
        source.map(|source| source.name).ok_or(holdpoint_rds::Error::Gone { subject: snapshot.instance })
    };
    plane.unless_ended(find).await
}

/// The snapshot that a drop would remove.
///
/// # Errors
/// One that holdpoint did not make.
pub async fn plan_drop_snapshot(plane: &ControlPlane, name: &str) -> Result<Snapshot, Error> {
    plane.unless_ended(plane.rds.plan_drop_snapshot(name)).await
}

/// Drops it.
///
/// # Errors
/// What RDS refuses.
pub async fn drop_snapshot(plane: &ControlPlane, snapshot: &Snapshot) -> Result<(), Error> {
    plane.unless_ended(plane.rds.drop_snapshot(snapshot)).await
}
