//! The plan of a prune: everything that is read before anything goes.

use chrono::{DateTime, Utc};
use holdpoint_core::quantity::listed;
use holdpoint_core::retention::RetentionPlan;
use holdpoint_postgres::{Session, SessionPurpose, identity, preflight};
use holdpoint_repository::PointFolders;

use super::gone_pins::going;
use super::{PruneOptions, PruneReport};
use crate::backup::{FolderOwner, apart_from_store, folder_owner};
use crate::catalogue::{Owners, Surveyed, Unreadable, survey};
use crate::error::LISTED;
use crate::retention::holds::Holds;
use crate::retention::{fillers, hidden};
use crate::{Context, Error, Source};

/// A newest restore point that is older is worth a warning where nobody but the store tells the time.
const FAR_PAST_DAYS: i64 = 14;

/// What is to be done, and by which clock.
pub(super) struct Planned<'a> {
    pub(super) report: PruneReport,
    pub(super) holds: Holds<'a>,
    pub(super) now: DateTime<Utc>,
}

/// Reads all that a prune goes by, and plans. Nothing is written.
pub(super) async fn planned<'a>(
    context: &'a Context,
    source: Option<&Source>,
    options: &PruneOptions,
) -> Result<Planned<'a>, Error> {
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
        interrupted: false,
        plan,
        unreadable,
        hidden,
        dropped: Vec::new(),
        left: Vec::new(),
        pins: Vec::new(),
        keeps_versions: keeps_versions(context).await,
        swept: Vec::new(),
        findings,
        warnings,
    };
    report.pins = going(&report, pins, now);
    Ok(Planned { report, holds, now })
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
pub(super) fn far_past(points: &[Surveyed], now: DateTime<Utc>) -> Option<String> {
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
