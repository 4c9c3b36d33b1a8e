//! The verbs of `rds` for clusters of Aurora, without a word for anybody.

use holdpoint_rds::{Cluster, ClusterDropPlan, ClusterPlan, ClusterReport, DropOptions, RestoreOptions, drop_command};
use serde::Serialize;

use super::ControlPlane;
use super::left::Made as Left;
use super::verbs::expected;
use crate::Error;

/// What `rds restore` did with a cluster.
#[derive(Debug, Serialize)]
pub struct ClusterOutcome {
    /// The cluster that was begun.
    pub begun: Cluster,
    /// What it became; `None` when it was not waited for: it has no instance then.
    pub finished: Option<ClusterReport>,
}

/// What `rds drop` did with a cluster.
#[derive(Debug, Serialize)]
pub struct ClusterDropReport {
    /// What was to be done.
    pub plan: ClusterDropPlan,
    /// Whether it was done; a dry run does not.
    pub dropped: bool,
}

/// Whether a name is a cluster's, and not an instance's.
///
/// # Errors
/// What RDS refuses.
pub async fn is_cluster(plane: &ControlPlane, name: &str) -> Result<bool, Error> {
    plane.unless_ended(plane.rds.is_cluster(name)).await
}

/// Plans the restore of a cluster.
///
/// # Errors
/// What RDS refuses; what stands against the restore is in the plan.
pub async fn plan_cluster(plane: &ControlPlane, options: &RestoreOptions) -> Result<ClusterPlan, Error> {
    plane.unless_ended(plane.rds.plan_cluster_restore(options, (plane.clock)())).await
}

/// Does what was planned; `waits` for the end, which makes the cluster's instance.
///
/// # Errors
/// What RDS refuses, and how the new cluster or its instance ended; [`Error::LeftBehind`] where it is there, or may be.
pub async fn restore_cluster(plane: &ControlPlane, plan: &ClusterPlan, waits: bool) -> Result<ClusterOutcome, Error> {
    if plane.cancel.is_cancelled() {
        return Err(Error::Interrupted);
    }
    let begun = plane.unless_ended(plane.rds.begin_cluster_restore(plan)).await;
    let begun = begun.map_err(|failure| plane.may_be_left(Left::Instance, &plan.target, failure))?;
    plane.progress.note(&format!("{} is being made: it costs from now on", begun.name));
    let finished = match waits {
        true => {
            let finished = wait_cluster(plane, &begun.name).await;
            Some(finished.map_err(|failure| plane.left(Left::Instance, &begun.name, failure))?)
        }
        false => None,
    };
    Ok(ClusterOutcome { begun, finished })
}

/// Waits for the cluster that a restore began, in whatever process, makes its instance and finishes both.
///
/// # Errors
/// As [`restore_cluster`].
pub async fn wait_cluster(plane: &ControlPlane, name: &str) -> Result<ClusterReport, Error> {
    Box::pin(finish(plane, name)).await.map_err(|failure| match failure {
        Error::Interrupted => plane.left(Left::Instance, name, failure),
        failure => failure,
    })
}

async fn finish(plane: &ControlPlane, name: &str) -> Result<ClusterReport, Error> {
    let made = plane.unless_ended(plane.rds.made_clusters()).await?;
    let mut listen = plane.listener(expected(&made, name));
    let clock = &*plane.clock;
    plane.unless_ended(plane.rds.finish_cluster_restore(name, &plane.waiting, clock, &mut listen)).await
}

/// Plans the drop of a cluster.
///
/// # Errors
/// Whatever holdpoint did not make, a source, what is protected.
pub async fn plan_drop_cluster(plane: &ControlPlane, options: &DropOptions) -> Result<ClusterDropPlan, Error> {
    plane.unless_ended(plane.rds.plan_drop_cluster(options)).await
}

/// Drops what was planned, and waits until it is gone.
///
/// # Errors
/// What RDS refuses; [`Error::Halfway`] where it is ended.
pub async fn drop_cluster(plane: &ControlPlane, plan: ClusterDropPlan) -> Result<ClusterDropReport, Error> {
    let mut listen = plane.listener(None);
    let now = (plane.clock)();
    let dropped = plane.unless_ended(plane.rds.drop_cluster(&plan, &plane.waiting, now, &mut listen)).await;
    if let Err(failure) = dropped {
        let command = drop_command(&plan.cluster.name, plan.final_snapshot.as_deref(), plan.lifts_protection);
        return Err(plane.ended_drop(&plan.cluster, command, plane.rds.made_clusters(), failure).await);
    }
    Ok(ClusterDropReport { plan, dropped: true })
}
