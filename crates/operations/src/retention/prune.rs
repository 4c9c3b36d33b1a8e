//! `holdpoint prune`: a plan by policy, then restore points withdrawn one by one, the oldest first.

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::listed;
use holdpoint_core::retention::{Entry, RetentionPlan, RetentionPolicy};
use holdpoint_core::{DatabaseName, PointId};
use holdpoint_postgres::{Session, SessionPurpose, identity, preflight};
use holdpoint_repository::{Leftover, PointFolders};
use serde::Serialize;

use super::dead::{self, Dead, Outcome};
use super::fillers;
use super::hidden::{self, Hidden};
use super::holds::Holds;
use super::pins::pins_over;
use crate::backup::{FolderOwner, apart_from_store, folder_owner};
use crate::catalogue::{Owners, Surveyed, Unreadable, survey};
use crate::check::Finding;
use crate::error::LISTED;
use crate::{Context, Error, Source, reading};

/// A newest restore point that is older is worth a warning where nobody but the store tells the time.
const FAR_PAST_DAYS: i64 = 14;

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
    /// What becomes of each restore point, the newest first.
    #[serde(flatten)]
    pub plan: RetentionPlan,
    /// Restore points whose manifest cannot be read: they stay.
    pub unreadable: Vec<Unreadable>,
    /// Restore points that a prune hid and did not drop; what the policy says of them decides.
    pub hidden: Vec<Hidden>,
    /// What became of those that were to be dropped, in that order; empty for a dry run.
    pub dropped: Vec<Dropped>,
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
        !hidden && !self.dropped.iter().any(failed) && self.swept.iter().all(|one| one.problem.is_none())
    }
}

/// Drops the restore points of a database that its policy does not keep, and sweeps what belongs to none.
///
/// With a `source` the database must be the one that the folder belongs to. Each restore point goes by itself, the
/// oldest first, and stays where somebody relies on it by then; an interruption leaves the others as they were.
///
/// In a directory whose disk is full, room that was kept aside is given up for it, and kept aside again afterwards.
///
/// # Errors
/// [`Error::NothingAlive`] when no restore point can be read, [`Error::AnotherDatabase`],
/// [`Error::AnotherRepository`], and [`Error::WrongClock`] where the server's clock and the store's differ: nothing is dropped then. [`Error::Core`] for an empty policy.
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
    let mut warnings = Vec::new();
    if let Some(source) = source {
        warnings.extend(same_database(context, source, !options.dry_run).await?);
    }
    let PointFolders { withdrawn, pins, .. } = context.repository.folders(&context.database).await?;
    let (now, unwritable) = context.time(!options.dry_run).await?;
    warnings.extend(unwritable);
    let (mut points, unreadable) = survey(context, now).await?;
    let owners = Owners::read(context).await?;
    owners.set_aside_others(&mut points);
    refuse(context, &points, &unreadable)?;
    let skew = now.signed_duration_since((context.clock)()).num_seconds();
    if skew.abs() > 60 {
        warnings.push(format!("the store's clock is {skew} s ahead of this machine's; ages are by the store's"));
    }
    if source.is_none() {
        warnings.extend(far_past(&points, now));
    }
    let mut holds = Holds::new(context);
    let mut held = holds.held(&points).await?;
    let findings = fillers::set_aside(context, &points, &mut held, &options.policy, now).await?;
    let hidden = hidden::judge(context, &mut holds, &held, (withdrawn, &owners), &options.policy, now).await?;
    // What is hidden may go any moment: nothing else is dropped for its sake.
    let plan = holds.plan(&mut held, &options.policy, now).await?;
    warnings.extend(doubted(&plan));
    let mut report = PruneReport {
        database: context.database.clone(),
        dry_run: options.dry_run,
        plan,
        unreadable,
        hidden,
        dropped: Vec::new(),
        keeps_versions: keeps_versions(context).await,
        swept: Vec::new(),
        findings,
        warnings,
    };
    if !options.dry_run {
        apply(context, &mut report, &mut holds, now).await?;
        remove_over(context, &pins, now).await;
    }
    let dead = match dead::look(context, options.sweep_min_age, now).await {
        Ok(dead) => dead,
        Err(error) if report.dropped.is_empty() || matches!(error, Error::Interrupted) => return Err(error),
        // What is gone by now is told.
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
    report.swept = sweep(context, options, dead).await;
    if !options.dry_run {
        dead::remove_empty_folders(context, options.sweep_min_age, now).await;
    }
    Ok(report)
}

/// Whether the store keeps what is deleted; that it does not say so keeps nobody from pruning.
async fn keeps_versions(context: &Context) -> Option<bool> {
    let asked = context.repository.store().keeps_versions().await;
    asked.inspect_err(|error| tracing::debug!(%error, "whether the store keeps versions is not known")).ok()
}

/// Asks the database whether the folder is its own, and what time it is: what is dropped goes by the store's clock, which in a
/// directory is this machine's, and one clock alone may be wrong.
async fn same_database(context: &Context, source: &Source, writes: bool) -> Result<Option<String>, Error> {
    let session = Session::connect(&source.settings, &SessionPurpose::new("holdpoint prune")).await?;
    let now = identity::read(&session).await?.identity;
    let server = preflight::clock(&session).await?;
    session.close().await;
    apart_from_store("the server's", server, context.time(writes).await?.0)?;
    Ok(match folder_owner(context, &now).await? {
        FolderOwner::Nobody => None,
        FolderOwner::Ours(warning) => warning,
    })
}

/// A warning where no server was asked for the time, and the store's clock is far past the newest restore point: either the
/// database was not backed up for long, or the clock is wrong.
fn far_past(points: &[Surveyed], now: DateTime<Utc>) -> Option<String> {
    let newest = points.iter().map(|one| one.summary.taken_at()).max()?;
    let days = now.signed_duration_since(newest).num_days();
    let why = "if that is not so its clock is wrong, and too much is dropped; without --offline the server's is asked";
    (days >= FAR_PAST_DAYS).then(|| format!("by the store's clock the newest restore point is {days} days old: {why}"))
}

/// A listing that shows nothing alive is more likely wrong than true; so is one of another repository.
fn refuse(context: &Context, points: &[Surveyed], unreadable: &[Unreadable]) -> Result<(), Error> {
    if points.is_empty() {
        let unreadable = unreadable.len();
        return Err(Error::NothingAlive { database: context.database.to_string(), unreadable });
    }
    let elsewhere = |point: &&Surveyed| point.repository_id != context.repository.id();
    match points.iter().find(elsewhere) {
        None => Ok(()),
        Some(point) => Err(Error::AnotherRepository {
            point: point.id().to_string(),
            made_in: point.repository_id.clone(),
            found: context.repository.id().to_owned(),
        }),
    }
}

async fn apply(
    context: &Context,
    report: &mut PruneReport,
    holds: &mut Holds<'_>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let drops = report.hidden.iter().filter_map(Hidden::drop);
    let drops: Vec<Entry> = drops.chain(report.plan.drops()).cloned().collect();
    context.progress.phase(Phase::Pruning, None);
    for entry in drops {
        if context.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let outcome = match drop_one(context, &report.plan, &entry, &mut report.findings, holds, now).await {
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            // The others are none the worse for it, and what is gone by now is told.
            Err(error) => Some(Outcome::Failed { reason: error.line() }),
            Ok(outcome) => outcome,
        };
        report.dropped.extend(outcome.map(|outcome| Dropped { point: entry.id, outcome }));
    }
    hidden::show(context, &mut report.hidden).await;
    Ok(())
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
    if let Some(outcome) = fillers::unjustified(context, (plan, now), entry, findings).await? {
        return Ok(Some(outcome));
    }
    let over = over(holds, &entry.id, now).await?;
    Ok(dead::withdraw(context, &entry.id, &over).await)
}

/// A warning of those whose clock is not believed: nobody else tells that they are never dropped.
fn doubted(plan: &RetentionPlan) -> Option<String> {
    let ids: Vec<String> = plan.keeps().filter(|one| one.has_doubtful_clock()).map(|one| one.id.to_string()).collect();
    let those = match ids.len() {
        0 => return None,
        1 => "this restore point lies",
        _ => "these restore points lie",
    };
    let ids = listed(&ids, LISTED);
    Some(format!("the instant of {those} in the future, or far from the store's clock; kept, and not counted: {ids}"))
}

/// The pins of a restore point that are over.
async fn over(holds: &mut Holds<'_>, point: &PointId, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
    let over = |hold| match hold {
        holdpoint_core::retention::Hold::Pin { name, until: Some(until) } if until <= now => Some(name),
        _ => None,
    };
    Ok(holds.of(point).await?.into_iter().filter_map(over).collect())
}

/// Removes pins that are over: what readers left that were killed or may not delete, and those by hand whose end is past,
/// so that their names are free again. Nobody is held by them.
async fn remove_over(context: &Context, pins: &[(PointId, String)], now: DateTime<Utc>) {
    for (point, name) in pins {
        // The record is read at the last moment: under a name that was free meanwhile there may be another pin.
        if !reading::is_over(name, now) && pins_over(context, point, std::slice::from_ref(name), now).await.is_empty() {
            continue;
        }
        if let Err(error) = context.repository.unpin(&context.database, point, name).await {
            tracing::debug!(%error, name, "a pin that is over stays");
        }
    }
}

async fn sweep(context: &Context, options: &PruneOptions, dead: Dead) -> Vec<Swept> {
    let mut swept = Vec::new();
    for leftover in dead.leftovers {
        let (what, bytes) = match &leftover {
            Leftover::Upload(upload) => (format!("unfinished upload of {}", upload.key), None),
            Leftover::Orphan { id, size_bytes, .. } => {
                (format!("objects of {id}, which is no restore point"), Some(*size_bytes))
            }
        };
        let at = leftover.at();
        let problem = match options.dry_run {
            true => None,
            false => dead::remove(context, &leftover).await,
        };
        swept.push(Swept { what, at, bytes, problem });
    }
    let unaged = dead.unaged.iter().map(dead::unaged);
    swept.extend(unaged.map(|(what, problem)| Swept { what, at: None, bytes: None, problem: Some(problem) }));
    swept
}

#[cfg(test)]
mod tests;
