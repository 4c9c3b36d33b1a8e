//! Whether what lets other restore points go is really there: its objects, as long as recorded; of a snapshot, RDS is asked.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use holdpoint_core::retention::{Aside, Entry, Held, RetentionPlan, RetentionPolicy, plan};
use holdpoint_core::verification::Standing;
use holdpoint_core::{PointId, Recorded};

use super::dead::Outcome;
use crate::catalogue::{RecordedObject, Surveyed, show_at};
use crate::check::Finding;
use crate::check::objects::ask;
use crate::check::snapshots::Snapshots;
use crate::{Context, Error};

/// Asks the store for the objects of every restore point because of which another one would go, a request an object, and RDS for
/// the snapshot that one is.
///
/// Where something is missing, short, not available or cannot be asked for, that restore point is set aside and the plan is made
/// anew, until each that lets another one go was asked for. One that is withdrawn meanwhile is taken out of `held`.
pub(super) async fn set_aside(
    context: &Context,
    points: &[Surveyed],
    held: &mut Vec<Held>,
    policy: &RetentionPolicy,
    now: DateTime<Utc>,
) -> Result<Vec<Finding>, Error> {
    let points: BTreeMap<&PointId, &Surveyed> = points.iter().map(|one| (one.id(), one)).collect();
    let mut snapshots = Snapshots::new(context);
    let (mut asked, mut findings) = (BTreeSet::new(), Vec::new());
    loop {
        let plan = plan(held, policy, now)?;
        let unasked = plan.keeps().filter(|one| one.justifies() && !asked.contains(&one.id));
        let unasked: Vec<PointId> = unasked.map(|one| one.id.clone()).collect();
        if unasked.is_empty() {
            return Ok(findings);
        }
        for id in unasked {
            let Some(point) = points.get(&id) else {
                return Err(Error::Internal(format!("{id} is planned for and was never read")));
            };
            let mut found = ask(context, &id, &point.objects).await?;
            if let Some(snapshot) = &point.snapshot {
                found.extend(snapshots.ask(&id, snapshot).await?);
            }
            if !found.is_empty() {
                if is_gone(context, &id).await? {
                    held.retain(|one| one.id != id);
                } else {
                    held.iter_mut().filter(|one| one.id == id).for_each(|one| one.aside = Some(Aside::Incomplete));
                    findings.extend(found);
                }
            }
            asked.insert(id);
        }
    }
}

/// Whether a restore point was withdrawn since it was read.
async fn is_gone(context: &Context, id: &PointId) -> Result<bool, Error> {
    match context.repository.recorded(&context.database, id).await {
        Ok(_) => Ok(false),
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Looks once more, right before a restore point goes, at what is kept in its stead: why it stays after all, where that is
/// not proven any more, or not all there; what is missing is added to the findings. What stands in the stead of one that
/// nobody proved, and is of its kind, need not be proven.
pub(super) async fn unjustified(
    context: &Context,
    (plan, now): (&RetentionPlan, DateTime<Utc>),
    entry: &Entry,
    findings: &mut Vec<Finding>,
) -> Result<Option<Outcome>, Error> {
    let newest = plan.keeps().filter(|one| one.is_newest_proven()).map(|one| &one.id);
    let of_its_kind = plan.newer_of_its_kind(entry);
    let unproven: BTreeSet<&PointId> = plan
        .newer_of_its_kind(entry)
        .filter(|one| matches!(one.standing, Standing::Unproven))
        .map(|one| &one.id)
        .collect();
    let others = newest.chain(entry.superseded_by()).chain(of_its_kind.map(|one| &one.id));
    for other in others.collect::<BTreeSet<_>>() {
        let good_enough = |standing: &Standing| match standing {
            Standing::Proven { .. } => true,
            Standing::Unproven => unproven.contains(other),
            Standing::Disproved { .. } => false,
        };
        let proven = match show_at(context, other, now).await {
            Ok(point) if good_enough(&point.standing) => Some(point.manifest),
            Ok(_) => None,
            // Another prune was first: the plan is out of date, and the next one says what goes.
            Err(Error::NoSuchPoint { .. }) => {
                let reason = format!("it stays until the next prune: {other}, which was to be kept, was dropped");
                return Ok(Some(Outcome::Unjustified { reason }));
            }
            Err(error) => return Err(error),
        };
        let Some(manifest) = proven else {
            let reason = format!("it stays: {other}, which was to be kept, is not proven any more");
            return Ok(Some(Outcome::Failed { reason }));
        };
        let mut found = ask(context, other, &RecordedObject::all_of(&manifest)).await?;
        if let Recorded::Snapshot(manifest) = &manifest {
            found.extend(Snapshots::new(context).ask(other, &manifest.snapshot).await?);
        }
        if let Some(first) = found.first() {
            let reason = format!("it stays: {other}, which was to be kept, is not all there: {}", first.place);
            findings.extend(found.into_iter().filter(|one| !findings.contains(one)).collect::<Vec<_>>());
            return Ok(Some(Outcome::Unjustified { reason }));
        }
    }
    Ok(None)
}
