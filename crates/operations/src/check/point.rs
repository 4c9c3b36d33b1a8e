//! One restore point: whether everything that it is made of is there, and its bytes are what was written.

use chrono::{DateTime, Utc};
use holdpoint_core::verification::{Standing, UnreadableVerification};
use holdpoint_core::{PointId, layout};
use holdpoint_repository::StoredManifest;

use super::findings::{Finding, FindingKind};
use super::objects::ReadAgain;
use super::proofs::{proof_ahead, proven_otherwise};
use super::report::{CheckReport, PointChecked};
use super::snapshots::Snapshots;
use super::{CheckOptions, objects};
use crate::catalogue::Surveyed;
use crate::retention::UnreadablePin;
use crate::verify::{DamageFound, record_damage};
use crate::{Context, Error, expected, reading};

/// Looks at a restore point; whether everything that it is made of is there, as far as that was looked at. One that is found
/// damaged is disproved from now on.
pub(super) async fn one_point(
    context: &Context,
    point: &mut Surveyed,
    read: bool,
    (options, now): (&CheckOptions, DateTime<Utc>),
    (report, snapshots): (&mut CheckReport, &mut Snapshots<'_>),
) -> Result<bool, Error> {
    let id = point.id().clone();
    let mut found = context.reading(objects::ask(context, &id, &point.objects)).await?;
    if let Some(snapshot) = &point.snapshot {
        found.extend(context.reading(snapshots.ask(&id, snapshot)).await?);
    }
    // A sum of the store's alone may be wrong: reading tells.
    let mut readable = found.iter().all(|one| one.kind == FindingKind::WrongChecksum);
    let mut all_there = found.is_empty();
    if point.repository_id != context.repository.id() {
        let reason = format!("it was made in repository {}", point.repository_id);
        let cure = "look at the repository's URL, and where its objects came from";
        found.push(Finding::new(FindingKind::AnotherRepository, id.as_str(), reason, cure));
        readable = false;
    }
    if let Standing::Disproved { at } = point.summary.standing {
        let reason = format!("a verification of {} disproved it", at.format("%Y-%m-%d"));
        let cure = format!("what differs: holdpoint show {id}; make a new one: holdpoint backup --verify");
        found.push(Finding::new(FindingKind::Disproved, id.as_str(), reason, cure));
        readable = false;
    }
    found.extend(point.summary.unreadable.iter().map(|one| unreadable_verification(&id, one)));
    found.extend(point.summary.unreadable_pins.iter().map(|one| unreadable_pin(context, &id, one)));
    found.extend(proof_ahead(context, point, now));
    found.extend(proven_otherwise(context, point, now));
    if read && readable {
        // What is found damaged is recorded; until then nothing is written.
        match context.reading(read_again(context, &id, options, report)).await {
            Ok((_, Ok(bytes))) => report.read_bytes += bytes,
            Err(error @ Error::Interrupted) => return Err(error),
            outcome => {
                // What was dropped since it was listed says nothing.
                if context.reading(reading::is_dropped(context, &id)).await? {
                    return Ok(false);
                }
                let (stored, outcome) = outcome?;
                let Err((mut finding, damage)) = outcome else { return Ok(false) };
                all_there = false;
                if let Some(damage) = damage {
                    point.summary.standing = Standing::Disproved { at: damage.dates.at };
                    if let Err(error) = record_damage(context, &stored, damage).await {
                        finding.reason =
                            format!("{}; that it is disproved could not be recorded: {}", finding.reason, error.line());
                        finding.cure = format!("record it by a role that may: holdpoint verify {id}; {}", finding.cure);
                    }
                }
                found.push(finding);
            }
        }
    } else if !found.is_empty() && context.reading(reading::is_dropped(context, &id)).await? {
        return Ok(false);
    }
    report.points.push(PointChecked {
        point: id,
        standing: point.summary.standing,
        stored_bytes: point.summary.stored_bytes,
        read,
        findings: found.len(),
    });
    report.findings.extend(found);
    Ok(all_there)
}

/// Reads a restore point's manifest and bytes again: how many, or what is wrong and, where that is damage, the damage.
async fn read_again(
    context: &Context,
    id: &PointId,
    options: &CheckOptions,
    report: &mut CheckReport,
) -> Result<(StoredManifest, Result<u64, (Finding, Option<DamageFound>)>), Error> {
    let stored = expected::manifest(context, id).await?;
    let ReadAgain { outcome, damage } = objects::read(context, stored.clone(), options.jobs, &mut report.notes).await?;
    Ok((stored, outcome.map_err(|finding| (finding, damage))))
}

/// A verification that may be a disproof, for all that anybody knows.
fn unreadable_verification(id: &PointId, one: &UnreadableVerification) -> Finding {
    let reason = format!("{}: whether it disproves {id} nobody knows", one.reason);
    let cure = format!(
        "bring it back from a version or copy, or read it with the newer holdpoint that wrote it; else remove it, and \
         prove the restore point anew: holdpoint verify {id} --level full"
    );
    Finding::new(FindingKind::Unreadable, &one.key, reason, cure)
}

/// A pin of which nobody knows when it ends.
fn unreadable_pin(context: &Context, id: &PointId, one: &UnreadablePin) -> Finding {
    let reason = format!("{}: when it ends nobody knows, so it keeps {id}", one.reason);
    let cure = "bring it back from a version or copy, or read it with the newer holdpoint that wrote it; else, where nobody \
                relies on the restore point, remove the pin's file";
    Finding::new(FindingKind::Unreadable, &layout::pin(&context.database, id, &one.name), reason, cure)
}
