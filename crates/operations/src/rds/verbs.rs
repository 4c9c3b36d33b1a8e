//! The verbs: one call each.

use holdpoint_core::RunId;
use holdpoint_core::quantity::milliseconds;
use holdpoint_rds::{
    CutOverPlan, CutOverReport, DropOptions, DropPlan, Instance, Made, RestoreOptions, RestorePlan, RestoreReport,
    Steps, Window, drop_command, estimate_seconds,
};
use serde::Serialize;

use super::ControlPlane;
use super::data_check::DataCheck;
use super::left::Made as Left;
use super::service::Followed;
use crate::Error;

/// What `rds restore` did.
#[derive(Debug, Serialize)]
pub struct RestoreOutcome {
    /// The instance that was begun.
    pub begun: Instance,
    /// What it became; `None` when it was not waited for.
    pub finished: Option<RestoreReport>,
}

/// What holdpoint made and did not drop.
#[derive(Debug, Serialize)]
pub struct ListReport {
    /// The region.
    pub region: String,
    /// The instances, the oldest first.
    pub instances: Vec<Made>,
    /// The clusters, the oldest first; their instances are theirs.
    pub clusters: Vec<Made>,
}

/// What `rds drop` did.
#[derive(Debug, Serialize)]
pub struct DropReport {
    /// What was to be done.
    pub plan: DropPlan,
    /// Whether it was done; a dry run does not.
    pub dropped: bool,
}

/// What `rds cut-over` did.
#[derive(Debug, Serialize)]
pub struct CutOverOutcome {
    /// What was to be done.
    pub plan: CutOverPlan,
    /// What was found of the data that are put into service, for each configured database of the instance.
    pub checks: Vec<DataCheck>,
    /// What was done; a dry run does nothing.
    pub done: Option<CutOverReport>,
    /// The folders that belong to the serving instance now.
    pub followed: Vec<Followed>,
    /// What became of guarded runs by it, one entry a run.
    pub runs: Vec<RunTakenBack>,
    /// What is left to be done.
    pub open: Vec<String>,
}

/// What became of a guarded run when the instance that its undo, or it itself, had worked on went out of service.
#[derive(Clone, Debug, Serialize)]
pub struct RunTakenBack {
    /// The folder's database.
    pub database: String,
    /// The run.
    pub run: RunId,
    /// In words.
    pub told: String,
}

impl CutOverOutcome {
    /// What is to be done, and was not.
    #[must_use]
    pub fn planned(plan: CutOverPlan, checks: Vec<DataCheck>) -> Self {
        Self { plan, checks, done: None, followed: Vec::new(), runs: Vec::new(), open: Vec::new() }
    }
}

/// Tells what can be restored of an instance or a cluster.
///
/// # Errors
/// What RDS refuses; a source that cannot be restored is no error but says what is missing.
pub async fn window(plane: &ControlPlane, source: &str) -> Result<Window, Error> {
    plane.unless_ended(plane.rds.window(source, (plane.clock)())).await
}

/// Plans a restore.
///
/// # Errors
/// What RDS refuses; what stands against the restore is in the plan.
pub async fn plan(plane: &ControlPlane, options: &RestoreOptions) -> Result<RestorePlan, Error> {
    plane.unless_ended(plane.rds.plan_restore(options, (plane.clock)())).await
}

/// The name of a new instance where nobody says one.
///
/// # Errors
/// What RDS refuses.
pub async fn name_for_restore(plane: &ControlPlane, source: &str) -> Result<String, Error> {
    plane.unless_ended(plane.rds.name_for_restore(source)).await
}

/// Does what was planned; `waits` for the end.
///
/// # Errors
/// What RDS refuses, and how the new instance ended; [`Error::LeftBehind`] where it is there, or may be.
pub async fn restore(plane: &ControlPlane, plan: &RestorePlan, waits: bool) -> Result<RestoreOutcome, Error> {
    if plane.cancel.is_cancelled() {
        return Err(Error::Interrupted);
    }
    let begun = plane.unless_ended(plane.rds.begin_restore(plan)).await;
    let begun = begun.map_err(|failure| plane.may_be_left(Left::Instance, &plan.target, failure))?;
    plane.progress.note(&format!("{} is being made: it costs from now on", begun.name));
    if !waits {
        return Ok(RestoreOutcome { begun, finished: None });
    }
    let finished = async {
        plane.unless_ended(plane.rds.wait_seen(&begun.name, &plane.waiting)).await?;
        Box::pin(finish(plane, &begun.name)).await
    };
    let finished = finished.await.map_err(|failure| plane.left(Left::Instance, &begun.name, failure))?;
    Ok(RestoreOutcome { begun, finished: Some(finished) })
}

/// Waits for what a restore began, in whatever process, and finishes it.
///
/// # Errors
/// As [`restore`].
pub async fn wait(plane: &ControlPlane, name: &str) -> Result<RestoreReport, Error> {
    Box::pin(finish(plane, name)).await.map_err(|failure| match failure {
        Error::Interrupted => plane.left(Left::Instance, name, failure),
        // Whether there is one of the name need not be known by now; their hints say what to do.
        failure => failure,
    })
}

async fn finish(plane: &ControlPlane, name: &str) -> Result<RestoreReport, Error> {
    let most = u64::try_from(plane.waiting.give_up_after.as_millis()).unwrap_or(u64::MAX);
    plane.progress.note(&format!(
        "{name} is waited for, {} at most (--wait-for); ending that stops nothing in RDS: holdpoint rds wait {name}",
        milliseconds(most)
    ));
    let made = plane.unless_ended(plane.rds.made()).await?;
    let mut listen = plane.listener(expected(&made, name));
    let clock = &*plane.clock;
    plane.unless_ended(plane.rds.finish_restore(name, &plane.waiting, clock, &mut listen)).await
}

/// How many seconds a restore that was begun is expected to take, by those of its source that are still there.
pub(super) fn expected(made: &[Made], name: &str) -> Option<i64> {
    let own = made.iter().find(|one| one.name.eq_ignore_ascii_case(name))?;
    estimate_seconds(made, own.source.as_deref()?)
}

/// Lists what holdpoint made.
///
/// # Errors
/// What RDS refuses.
pub async fn list(plane: &ControlPlane) -> Result<ListReport, Error> {
    let instances = plane.unless_ended(plane.rds.made()).await?;
    let clusters = plane.unless_ended(plane.rds.made_clusters()).await?;
    Ok(ListReport { region: plane.rds.region().to_owned(), instances, clusters })
}

/// Plans a cut-over, or its way back.
///
/// # Errors
/// An instance that is not ready or not holdpoint's, a name that is taken.
pub async fn plan_cut_over(
    plane: &ControlPlane,
    new: &str,
    aside: Option<&str>,
    goes_back: bool,
) -> Result<CutOverPlan, Error> {
    plane.unless_ended(plane.rds.plan_cut_over(new, aside, goes_back)).await
}

/// Makes the renames of a plan; what is left after an end is planned anew. A way back ends with [`note_taken_back`].
///
/// # Errors
/// What RDS refuses; [`Error::Halfway`] where something was renamed, or is being. That the end of it could not be noted is no error
/// but told in the report.
pub async fn cut_over(plane: &ControlPlane, plan: CutOverPlan) -> Result<CutOverOutcome, Error> {
    let mut listen = plane.listener(None);
    let now = (plane.clock)();
    let steps = Steps::default();
    let done = match plane.unless_ended(plane.rds.cut_over(&plan, &steps, &plane.waiting, now, &mut listen)).await {
        Ok(done) => done,
        Err(failure) => return Err(Box::pin(plane.between_renames(&plan, &steps, failure)).await),
    };
    let open = done.not_noted.as_ref().map(|why| {
        format!(
            "the tags of {0} do not say that this came to its end ({why}): holdpoint rds cut-over {0} --region {1}",
            plan.name,
            plane.rds.region()
        )
    });
    let open = open.into_iter().collect();
    Ok(CutOverOutcome { done: Some(done), open, ..CutOverOutcome::planned(plan, Vec::new()) })
}

/// Notes that a way back came to its end; without that note the same command goes on with what is left of it.
///
/// # Errors
/// What RDS refuses.
pub async fn note_taken_back(plane: &ControlPlane, plan: &CutOverPlan) -> Result<(), Error> {
    plane.unless_ended(plane.rds.note_taken_back(plan)).await
}

/// Plans a drop.
///
/// # Errors
/// Whatever holdpoint did not make, a source, what is in service or protected.
pub async fn plan_drop(plane: &ControlPlane, options: &DropOptions) -> Result<DropPlan, Error> {
    plane.unless_ended(plane.rds.plan_drop(options)).await
}

/// Drops what was planned, and waits until it is gone.
///
/// # Errors
/// What RDS refuses; [`Error::Halfway`] where it is ended.
pub async fn drop_instance(plane: &ControlPlane, plan: DropPlan) -> Result<DropReport, Error> {
    let mut listen = plane.listener(None);
    let now = (plane.clock)();
    let dropped = plane.unless_ended(plane.rds.drop_made(&plan, &plane.waiting, now, &mut listen)).await;
    if let Err(failure) = dropped {
        let command = drop_command(&plan.instance.name, plan.final_snapshot.as_deref(), plan.lifts_protection);
        return Err(plane.ended_drop(&plan.instance, command, plane.rds.made(), failure).await);
    }
    Ok(DropReport { plan, dropped: true })
}
