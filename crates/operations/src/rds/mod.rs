//! `holdpoint rds`: the control plane's work, ended by the same cancellation as any other verb.
//!
//! Nothing is undone by an end: what was asked of RDS goes on there, and `wait` takes it up again.

mod clusters;
mod data_check;
mod found;
mod halfway;
mod instant;
mod left;
mod maker;
mod proof;
mod reach;
mod record;
mod service;
mod serving;
mod snapshots;
mod source;
mod temporary;
mod tokens;
mod verbs;
mod withdrawn;

use std::future::Future;

use holdpoint_core::quantity::milliseconds;
use holdpoint_rds::{Rds, Reading};
use tokio_util::sync::CancellationToken;

pub use clusters::{
    ClusterDropReport, ClusterOutcome, drop_cluster, is_cluster, plan_cluster, plan_drop_cluster, restore_cluster,
    wait_cluster,
};
pub use data_check::{DataCheck, HeldToTheEnd, ServedDatabase, compare_to_the_end, read_to_the_end};
pub(crate) use found::{Found, recorded_snapshot};
pub use holdpoint_rds::marks::{FOLDER as FOLDER_TAG, POINT as POINT_TAG};
pub use holdpoint_rds::{
    ClusterPlan, ClusterReport, CredentialSource, CutOverPlan, CutOverReport, DropOptions, DropPlan, Endpoint, How,
    Made, Maker, Missing, Problem, PropertyLine, Quota, RdsOptions, RestoreOptions, RestorePlan, RestoreReport,
    Snapshot, Timing, Waiting, When, Window, region_of, was_taken_back,
};
pub use instant::{Moment, resolve};
pub(crate) use maker::{lives, told};
pub use proof::{
    SnapshotPoint, SnapshotVerifyReport, plan_snapshot_verification, snapshot_point, unusable_snapshot, verify_snapshot,
};
pub use reach::RdsReach;
pub use record::{RecordOptions, SnapshotMade, create_recorded};
pub use service::{Followed, check_before_cut_over, cut_over_served, lacks_a_check};
pub use serving::{identity_behind, serves_another};
pub use snapshots::{
    SnapshotDropReport, SnapshotsReport, copy_snapshot, create_snapshot, drop_snapshot, list_snapshots,
    plan_drop_snapshot, source_of_snapshot,
};
pub use source::{PlaceTaken, RdsSource, Restorable};
pub(crate) use temporary::Temporary;
pub use tokens::passwords;
pub use verbs::{
    CutOverOutcome, DropReport, ListReport, RestoreOutcome, RunTakenBack, cut_over, drop_instance, list,
    name_for_restore, note_taken_back, plan, plan_cut_over, plan_drop, restore, wait, window,
};
pub(crate) use withdrawn::drop_recorded;
pub use withdrawn::{RecordedAs, Withdrawn, recorded_as, withdraw_snapshot};

use crate::{Clock, Error};

/// What every verb of `rds` needs to know.
#[derive(Clone)]
pub struct ControlPlane {
    /// The account and region.
    pub rds: Rds,
    /// How patiently instances are waited for.
    pub waiting: Waiting,
    /// The clock of this machine.
    pub clock: Clock,
    /// Cancelled when the work shall end.
    pub cancel: CancellationToken,
    /// Whom to tell about progress.
    pub progress: std::sync::Arc<dyn holdpoint_core::progress::Progress>,
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlPlane").field("rds", &self.rds).finish_non_exhaustive()
    }
}

impl ControlPlane {
    /// Makes the client.
    ///
    /// # Errors
    /// A region or certificate that is missing.
    pub async fn connect(
        reach: RdsReach,
        clock: Clock,
        cancel: CancellationToken,
        progress: std::sync::Arc<dyn holdpoint_core::progress::Progress>,
    ) -> Result<Self, Error> {
        let chain = holdpoint_rds::CredentialSource::Chain;
        let RdsReach { options, waiting, timing } = reach;
        let rds = Box::pin(Rds::connect(&options, &chain, &timing)).await?;
        Ok(Self { rds, waiting, clock, cancel, progress })
    }

    /// Does it unless it is ended.
    pub(crate) async fn unless_ended<T>(
        &self,
        work: impl Future<Output = Result<T, holdpoint_rds::Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            done = work => Ok(done?),
            () = self.cancel.cancelled() => Err(Error::Interrupted),
        }
    }

    /// Tells what a wait reads: each change of the status once, with what RDS says happened.
    pub(crate) fn listener(&self, expected_seconds: Option<i64>) -> impl FnMut(&Reading) + Send + use<> {
        let progress = std::sync::Arc::clone(&self.progress);
        let mut last = String::new();
        move |reading: &Reading| {
            if reading.status == last {
                return;
            }
            last.clone_from(&reading.status);
            let for_so_long = milliseconds(reading.waited_seconds * 1000);
            let estimate = match expected_seconds.and_then(|seconds| u64::try_from(seconds).ok()) {
                Some(seconds) => format!(" (earlier ones took {})", milliseconds(seconds * 1000)),
                None => String::new(),
            };
            progress.note(&format!("{} is {} after {for_so_long}{estimate}", reading.name, reading.status));
            for event in &reading.events {
                progress.note(&format!("{}: {}", reading.name, event.message));
            }
        }
    }
}
