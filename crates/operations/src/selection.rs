//! Which restore point a selector names.

use holdpoint_core::ledger::{RunStep, newest};
use holdpoint_core::selector::Selector;
use holdpoint_core::{PointId, RunId};

use crate::catalogue::{PointSummary, list};
use crate::{Context, Error};

/// Finds the restore point that a selector names.
///
/// Points with a label (made by `undo`), points of a part of the database and snapshots of its instance are only found by their id. Foreign dumps and RDS instants are not in the
/// repository and are refused.
pub async fn resolve(context: &Context, selector: &Selector) -> Result<PointId, Error> {
    let nothing = |why: &str| Error::NoSuchPoint {
        selector: selector.to_string(),
        database: context.database.to_string(),
        why: why.to_owned(),
    };
    match selector {
        Selector::Id(id) => Ok(id.clone()),
        Selector::Latest => choose(context, |_| true).await?.ok_or_else(|| nothing("there is none yet")),
        Selector::Proven => {
            choose(context, PointSummary::is_proven_and_there).await?.ok_or_else(|| nothing("none is proven"))
        }
        Selector::BeforeInstant(at) => {
            if *at > (context.clock)() {
                return Err(nothing("the instant is in the future"));
            }
            let before = |point: &PointSummary| point.snapshot_at < *at;
            choose(context, before).await?.ok_or_else(|| nothing("none is that old"))
        }
        Selector::BeforeRun(run) | Selector::Run(run) => {
            let steps = context.repository.steps(&context.database, run).await?;
            let point = steps.iter().rev().find_map(|step| step.point.clone());
            match (point, steps.is_empty()) {
                (Some(point), _) => Ok(point),
                (None, true) => Err(nothing("there is no such run")),
                (None, false) => Err(nothing("that run never had a restore point")),
            }
        }
        Selector::Foreign(_) => {
            Err(Error::Usage(format!("{selector} is a dump, not a restore point of the repository")))
        }
        Selector::RdsInstant(_) | Selector::RdsBeforeRun(_) => Err(Error::Usage(format!(
            "{selector} is the past of an RDS instance, which recover-table reads and holdpoint rds restore makes an \
             instance of; it is no restore point of the repository"
        ))),
    }
}

/// Refuses what `latest` and `proven` select when it was made after a run that nobody settled: it may hold the damage.
///
/// The oldest such run is named: only what was made before it is certainly whole.
pub(crate) async fn refuse_after_unsettled(
    context: &Context,
    selector: &Selector,
    point: &PointId,
) -> Result<(), Error> {
    if !matches!(selector, Selector::Latest | Selector::Proven) {
        return Ok(());
    }
    match unsettled_runs(context).await?.first() {
        // A run's own point is made for it, right after its id.
        Some(step) if step.point.as_ref() != Some(point) && point.at() >= step.run.at() => {
            Err(Error::UnsettledRun { run: step.run.to_string() })
        }
        Some(_) | None => Ok(()),
    }
}

/// The newest step of every run that left the database in question, oldest run first.
pub(crate) async fn unsettled_runs(context: &Context) -> Result<Vec<RunStep>, Error> {
    let mut unsettled = Vec::new();
    for run in context.repository.runs(&context.database).await? {
        if let Some(step) = newest_step(context, &run).await?
            && step.state.unsettled()
        {
            unsettled.push(step);
        }
    }
    Ok(unsettled)
}

async fn newest_step(context: &Context, run: &RunId) -> Result<Option<RunStep>, Error> {
    let steps = context.repository.steps(&context.database, run).await?;
    Ok(newest(&steps).cloned())
}

async fn choose(context: &Context, fits: impl Fn(&PointSummary) -> bool) -> Result<Option<PointId>, Error> {
    let points = list(context).await?.points;
    let chosen =
        points.into_iter().filter(|point| point.is_whole_archive() && fits(point)).max_by_key(PointSummary::taken_at);
    Ok(chosen.map(|point| point.id))
}
