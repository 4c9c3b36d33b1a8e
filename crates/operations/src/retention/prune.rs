//! `holdpoint prune`: a plan by policy, then restore points withdrawn one by one, the oldest first.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::progress::Phase;
use holdpoint_core::retention::{Entry, RetentionPlan, RetentionPolicy};
use holdpoint_core::{DatabaseName, PointId};
use holdpoint_repository::Leftover;
use serde::Serialize;

use super::dead::{self, Dead, Outcome, Removal, Sweeping};
use super::fillers;
use super::hidden::{self, Hidden};
use super::holds::Holds;
use crate::catalogue::Unreadable;
use crate::check::Finding;
use crate::{Context, Error, Source};
use gone_pins::remove_pins;
use planned::{Planned, planned};

pub use gone_pins::GonePin;

/// How restore points are dropped.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    /// What is kept.
    pub policy: RetentionPolicy,
    /// Only plan.
    pub dry_run: bool,
    /// Objects and uploads that belong to no restore point are removed when they are older, by the store's clock.
    pub sweep_min_age: TimeDelta,
}

/// What became of one restore point that was to be dropped.
#[derive(Clone, Debug, Serialize)]
pub struct Dropped {
    /// Which.
    pub point: PointId,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Something that belonged to no restore point.
#[derive(Clone, Debug, Serialize)]
pub struct Swept {
    /// What.
    pub what: String,
    /// When it was last worked on, by the store's clock.
    pub at: Option<DateTime<Utc>>,
    /// Bytes, where that is known.
    pub bytes: Option<u64>,
    /// Why it could not be removed.
    pub problem: Option<String>,
}

/// What was dropped, or would be.
#[derive(Clone, Debug, Serialize)]
pub struct PruneReport {
    /// The database.
    pub database: DatabaseName,
    /// Nothing was done.
    pub dry_run: bool,
    /// A signal ended it after something had gone: what is not told of was left as it was.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub interrupted: bool,
    /// What becomes of each restore point, the newest first.
    #[serde(flatten)]
    pub plan: RetentionPlan,
    /// Restore points whose manifest cannot be read: they stay.
    pub unreadable: Vec<Unreadable>,
    /// Restore points that a prune hid and did not drop; what the policy says of them decides.
    pub hidden: Vec<Hidden>,
    /// What became of those that were to be dropped, in that order; empty for a dry run.
    pub dropped: Vec<Dropped>,
    /// Those that were to be dropped, and that a signal left as they were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<PointId>,
    /// Pins that went with their restore points, or were over; for a dry run those that would go.
    pub pins: Vec<GonePin>,
    /// The store keeps what is deleted as older versions, which are billed until a lifecycle rule for noncurrent versions
    /// removes them; `None` where it does not say.
    pub keeps_versions: Option<bool>,
    /// What belonged to no restore point and was old enough; for a dry run what would be removed.
    pub swept: Vec<Swept>,
    /// What is missing of restore points because of which others would have gone: nothing goes because of them.
    pub findings: Vec<Finding>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

impl PruneReport {
    /// Whether everything that was to go is gone, or had a reason to stay.
    pub fn is_complete(&self) -> bool {
        let failed = |one: &Dropped| matches!(one.outcome, Outcome::Failed { .. } | Outcome::Remains { .. });
        let hidden = self.hidden.iter().any(|one| one.failed);
        let swept = self.swept.iter().all(|one| one.problem.is_none());
        !self.interrupted && !hidden && !self.dropped.iter().any(failed) && swept
    }

    /// Tells what is gone by now although a signal ends the rest.
    fn interrupt(&mut self) {
        self.interrupted = true;
        self.warnings.push("a signal ended it: what is not told of was left as it was".to_owned());
    }
}

/// Drops the restore points of a database that its policy does not keep, and sweeps what belongs to none.
///
/// With a `source` the database must be the one that the folder belongs to. Each restore point goes by itself, the
/// oldest first, and stays where somebody relies on it by then; an interruption leaves the others as they were.
///
/// In a directory whose disk is full, room that was kept aside is given up for it, and kept aside again afterwards.
///
/// A signal that comes after the first restore point is gone ends it with a report of what went
/// ([`interrupted`](PruneReport::interrupted)).
///
/// # Errors
/// [`Error::NothingAlive`] when no restore point can be read, [`Error::AnotherDatabase`],
/// [`Error::AnotherRepository`], and [`Error::WrongClock`] where the server's clock and the store's differ: nothing is dropped then.
/// [`Error::Interrupted`] before anything went. [`Error::Core`] for an empty policy.
pub async fn prune(context: &Context, source: Option<&Source>, options: &PruneOptions) -> Result<PruneReport, Error> {
    options.policy.check()?;
    if options.dry_run {
        return pruned(context, source, options).await;
    }
    let store = context.repository.store();
    store.open_reserve();
    let report = pruned(context, source, options).await;
    let kept = store.keep_reserve().await;
    let mut report = report?;
    if let Err(error) = kept {
        let why = Error::from(error).line();
        report
            .warnings
            .push(format!("the next prune may find the disk full, no room could be kept aside for it: {why}"));
    }
    Ok(report)
}

async fn pruned(context: &Context, source: Option<&Source>, options: &PruneOptions) -> Result<PruneReport, Error> {
    let Planned { mut report, mut holds, now } = context.reading(planned(context, source, options)).await?;
    if !options.dry_run {
        let gone = apply(context, &mut report, &mut holds, now).await?;
        remove_pins(context, &mut report, &gone, now).await;
        if report.interrupted {
            return Ok(report);
        }
    }
    let dead = match context.reading(dead::look(context, options.sweep_min_age, now)).await {
        Ok(dead) => dead,
        Err(error) if report.dropped.is_empty() => return Err(error),
        // What is gone by now is told.
        Err(Error::Interrupted) => {
            report.interrupt();
            return Ok(report);
        }
        Err(error) => {
            let (what, problem) = ("what belongs to no restore point".to_owned(), Some(error.line()));
            report.swept.push(Swept { what, at: None, bytes: None, problem });
            return Ok(report);
        }
    };
    report.warnings.extend(dead.lost.iter().map(|one| {
        let evidence = dead::evidence(one);
        format!("the manifest of {} is gone, and {evidence}: it is left as it is; holdpoint check", one.id)
    }));
    report.warnings.extend(dead.lacking.iter().map(|(id, _)| dead::lacking(id, Sweeping::Asked)));
    report.warnings.extend(dead.ending.iter().map(|id| dead::lacking(id, Sweeping::Young)));
    report.swept = sweep(context, options, dead).await;
    if !options.dry_run {
        dead::remove_empty_folders(context, options.sweep_min_age, now).await;
    }
    Ok(report)
}

/// Drops what goes, and shows again what was hidden and stays; gives what is gone, by this prune or by another.
async fn apply(
    context: &Context,
    report: &mut PruneReport,
    holds: &mut Holds<'_>,
    now: DateTime<Utc>,
) -> Result<BTreeSet<PointId>, Error> {
    let mut gone = BTreeSet::new();
    let drops = report.hidden.iter().filter_map(Hidden::drop);
    let drops: Vec<Entry> = drops.chain(report.plan.drops()).cloned().collect();
    context.progress.phase(Phase::Pruning, None);
    for (n, entry) in drops.iter().enumerate() {
        let outcome = match drop_one(context, &report.plan, entry, &mut report.findings, holds, now).await {
            Err(Error::Interrupted) if report.dropped.is_empty() => return Err(Error::Interrupted),
            Err(Error::Interrupted) => {
                report.interrupt();
                report.left = drops.iter().skip(n).map(|entry| entry.id.clone()).collect();
                return Ok(gone);
            }
            // The others are none the worse for it, and what is gone by now is told.
            Err(error) => Some(Outcome::Failed { reason: error.line() }),
            Ok(outcome) => outcome,
        };
        if matches!(outcome, None | Some(Outcome::Gone { .. } | Outcome::Remains { .. })) {
            gone.insert(entry.id.clone());
        }
        report.dropped.extend(outcome.map(|outcome| Dropped { point: entry.id.clone(), outcome }));
    }
    hidden::show(context, &mut report.hidden).await;
    Ok(gone)
}

/// Drops one, or says why it stays; nothing where it is gone already.
async fn drop_one(
    context: &Context,
    plan: &RetentionPlan,
    entry: &Entry,
    findings: &mut Vec<Finding>,
    holds: &mut Holds<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Outcome>, Error> {
    if let Some(outcome) = context.reading(fillers::unjustified(context, (plan, now), entry, findings)).await? {
        return Ok(Some(outcome));
    }
    let over = context.reading(over(holds, &entry.id, now)).await?;
    Ok(dead::withdraw(context, &entry.id, &over).await)
}

/// The pins of a restore point that are over.
async fn over(holds: &mut Holds<'_>, point: &PointId, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
    let over = |hold| match hold {
        holdpoint_core::retention::Hold::Pin { name, until: Some(until) } if until <= now => Some(name),
        _ => None,
    };
    Ok(holds.of(point).await?.into_iter().filter_map(over).collect())
}

async fn sweep(context: &Context, options: &PruneOptions, dead: Dead) -> Vec<Swept> {
    let mut swept = Vec::new();
    let to_be_asked = |one: &Leftover| match one {
        Leftover::Orphan { id, .. } => dead.lacking.iter().any(|(lacking, _)| lacking == id),
        Leftover::Upload(_) => false,
    };
    for leftover in dead.leftovers.into_iter().filter(|one| !to_be_asked(one)) {
        let (what, bytes) = match &leftover {
            Leftover::Upload(upload) => (format!("unfinished upload of {}", upload.key), None),
            Leftover::Orphan { id, size_bytes, .. } => {
                (format!("objects of {id}, which is no restore point"), Some(*size_bytes))
            }
        };
        let at = leftover.at();
        let problem = match options.dry_run {
            true => None,
            false => match dead::remove(context, &leftover).await {
                Removal::Published => continue,
                removal => removal.problem(),
            },
        };
        swept.push(Swept { what, at, bytes, problem });
    }
    let unaged = dead.unaged.iter().map(dead::unaged);
    swept.extend(unaged.map(|(what, problem)| Swept { what, at: None, bytes: None, problem: Some(problem) }));
    swept
}

mod gone_pins;
mod planned;

#[cfg(test)]
mod tests;
