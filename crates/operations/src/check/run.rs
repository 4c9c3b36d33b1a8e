//! The check itself: every restore point, the folder around them, and what a repair may remove.

use chrono::{DateTime, Utc};
use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::listed;
use holdpoint_core::{PointId, layout};
use sha2::{Digest as _, Sha256};

use super::findings::{Finding, FindingKind};
use super::folder::folder;
use super::point::one_point;
use super::proofs::{last_proof, proof_age};
use super::report::CheckReport;
use super::snapshots::Snapshots;
use super::{CheckOptions, identity, permissions, stray};
use crate::catalogue::{Owners, Surveyed, survey};
use crate::error::LISTED;
use crate::{Context, Error};

/// Looks at every restore point of a database and at its folder. Nothing is changed but by [`CheckOptions::repair`].
///
/// # Errors
/// Those of the repository where it cannot be asked; what it answers is a finding.
pub async fn check(context: &Context, options: &CheckOptions) -> Result<CheckReport, Error> {
    let (now, unwritable) = context.reading(context.time(options.repair)).await?;
    let owners = context.reading(Owners::read(context)).await?;
    let mut report = CheckReport {
        database: context.database.clone(),
        points: Vec::new(),
        last_proof: None,
        read_bytes: 0,
        findings: Vec::new(),
        repaired: Vec::new(),
        notes: unwritable.into_iter().collect(),
    };
    // First, so that what is shown again is looked at like any other.
    if options.repair {
        folder(context, options, &owners, now, &mut report).await?;
    }
    let (mut points, unreadable) = survey(context, now).await?;
    owners.set_aside_others(&mut points);
    let of_identity = identity::look(context, &owners, &points);
    for one in unreadable {
        let cure = "bring the manifest back from a version or copy of the bucket";
        report.findings.push(Finding::new(FindingKind::Unreadable, one.id.as_str(), one.reason, cure));
    }
    let chosen = options.read_data.map(|percent| choose(context, &points, percent)).unwrap_or_default();
    report.notes.extend(doubted(&points, now));
    let total = points.iter().filter(|one| chosen.contains(one.id()));
    context.progress.phase(Phase::Checking, Some(total.map(|one| one.summary.stored_bytes).sum()));
    let (mut all_there, mut snapshots) = (Vec::new(), Snapshots::new(context));
    for mut point in points {
        if context.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let read = chosen.contains(point.id());
        if one_point(context, &mut point, read, (options, now), (&mut report, &mut snapshots)).await? {
            all_there.push(point);
        }
    }
    report.last_proof = last_proof(all_there.iter(), now);
    let counting = all_there.iter().filter(|one| options.snapshots_count || one.is_archive());
    proof_age(options, now, last_proof(counting, now).as_ref(), &mut report);
    report.findings.extend(of_identity);
    report.findings.extend(context.reading(lease(context)).await?);
    report.findings.extend(permissions::look(context)?);
    report.findings.extend(context.reading(stray::look(context)).await?);
    if !options.repair {
        context.reading(folder(context, options, &owners, now, &mut report)).await?;
    }
    Ok(report)
}

/// What retention keeps and counts for nothing, as nobody knows of when it is.
pub(super) fn doubted(points: &[Surveyed], now: DateTime<Utc>) -> Option<String> {
    let doubtful = points.iter().filter(|one| one.held(Vec::new()).is_doubtful(now));
    let ids: Vec<String> = doubtful.map(|one| one.id().to_string()).collect();
    (!ids.is_empty()).then(|| {
        let ids = listed(&ids, LISTED);
        format!(
            "dated in the future, or far from the store's clock; no rule drops it, and it counts for nothing: {ids}"
        )
    })
}

/// Chooses whole restore points, in an order that the seed decides, until so many percent of all bytes are reached.
fn choose(context: &Context, points: &[Surveyed], percent: u8) -> Vec<PointId> {
    let total: u128 = points.iter().map(|one| u128::from(one.summary.stored_bytes)).sum();
    let place =
        |id: &PointId| Sha256::digest([&context.seed.to_be_bytes()[..], id.as_str().as_bytes()].concat()).to_vec();
    let mut order: Vec<&Surveyed> = points.iter().filter(|one| one.is_archive()).collect();
    order.sort_by_key(|one| place(one.id()));
    let mut sum = 0_u128;
    let chosen = order.into_iter().take_while(|one| {
        let more = sum == 0 || sum * 100 < total * u128::from(percent);
        sum += u128::from(one.summary.stored_bytes);
        more
    });
    chosen.map(|one| one.id().clone()).collect()
}

/// A lease that cannot be read: what it remembers of unattended runs is lost, or none begins.
async fn lease(context: &Context) -> Result<Option<Finding>, Error> {
    match context.repository.cron_history(&context.database).await {
        Ok(_) => Ok(None),
        Err(error) if error.is_of_record() => {
            let key = layout::lease(&context.database);
            let error = Error::from(error);
            let cure = error.hint().unwrap_or_default();
            let reason = format!("{}: it keeps holdpoint cron of {} off", error.line(), context.database);
            Ok(Some(Finding::new(FindingKind::Unreadable, &key, reason, cure)))
        }
        Err(error) => Err(error.into()),
    }
}
