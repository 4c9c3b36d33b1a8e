//! What lies beside a database's restore points: what was one, was hidden, or never became one.

use chrono::{DateTime, Utc};
use holdpoint_core::identity::IdentityRecord;
use holdpoint_core::{PointId, layout};
use holdpoint_repository::{Leftover, LostPoint, NoLongerHidden};

use super::CheckOptions;
use super::findings::{Finding, FindingKind};
use super::report::{CheckReport, Repair, Repaired};
use crate::catalogue::Owners;
use crate::retention::dead::{self, Removal, Sweeping};
use crate::{Context, Error};

/// What lies beside the restore points.
pub(super) async fn folder(
    context: &Context,
    options: &CheckOptions,
    owners: &Owners,
    now: DateTime<Utc>,
    report: &mut CheckReport,
) -> Result<(), Error> {
    let folders = context.repository.folders(&context.database).await?;
    if folders.published.is_empty() && folders.withdrawn.is_empty() {
        let reason = match owners.0.records.last() {
            Some(IdentityRecord { identity, .. }) => {
                format!(
                    "the folder belongs to {} on {}, and holds no restore point",
                    identity.database, identity.endpoint
                )
            }
            None => "there is no restore point of it".to_owned(),
        };
        let cure =
            "make one: holdpoint backup; if there were some, look at the repository's URL and at versions or copies";
        report.findings.push(Finding::new(FindingKind::NothingThere, context.database.as_str(), reason, cure));
    }
    for id in &folders.withdrawn {
        // Whether it goes is the policy's to say, and so a prune's.
        if options.repair {
            let (how, problem) = match dead::show_again(context, id).await {
                Ok(NoLongerHidden::Shown) => (Repair::ShowAgain, None),
                Ok(NoLongerHidden::Dropped) => (Repair::FindGone, None),
                // It is none of this repair's, and nothing is wrong with it yet.
                Err(still) if !still.failed && folders.marked_ahead(id, now).is_none() => {
                    report.notes.push(format!("{id} is hidden: {}", still.reason));
                    continue;
                }
                Err(still) => {
                    let cure = "holdpoint prune goes on, or tells more";
                    report.findings.push(Finding::new(FindingKind::Hidden, id.as_str(), still.reason.clone(), cure));
                    (Repair::ShowAgain, Some(still.reason))
                }
            };
            let what = format!("restore point {id}, which a prune had hidden");
            report.repaired.push(Repaired { what, how, problem });
        } else if folders.is_at_work(id, now) {
            report.notes.push(format!("{id} is hidden: a prune is at work on it, or was killed a moment ago"));
        } else {
            let ahead = folders.marked_ahead(id, now).map(|at| at.format("%Y-%m-%d %H:%MZ"));
            let reason = match &ahead {
                None => "a prune was killed at work on it".to_owned(),
                Some(at) => format!("a prune hid it, and its mark is dated {at}: a clock ran ahead"),
            };
            // Where nothing alive is to be seen no prune does anything.
            let cure = match (ahead.is_some(), report.points.is_empty()) {
                (false, false) => "holdpoint prune goes on",
                (false, true) => {
                    "no other one is to be seen, so prune refuses; show it again: holdpoint check --repair"
                }
                (true, false) => {
                    "see that the clocks are right; holdpoint prune dates the mark anew, and the next one goes on, a quarter \
                     of an hour later"
                }
                (true, true) => {
                    "see that the clocks are right; holdpoint check --repair dates the mark anew, and shows it again a quarter \
                     of an hour later"
                }
            };
            report.findings.push(Finding::new(FindingKind::Hidden, id.as_str(), reason, cure));
        }
    }
    let dead = dead::look(context, options.min_age, now).await?;
    report.findings.extend(dead.lost.iter().map(|one| manifest_lost(context, one)));
    report.findings.extend(dead.doubted.iter().map(|id| manifest_doubted(context, id)));
    report.notes.extend(dead.unaged.iter().map(dead::unaged).map(|(what, problem)| format!("{what}: {problem}")));
    for leftover in dead.leftovers {
        let (place, what) = match &leftover {
            Leftover::Upload(upload) => (upload.key.clone(), "an upload that nobody finished"),
            Leftover::Orphan { id, .. } => (id.to_string(), "objects without a manifest"),
        };
        let lacks_manifest_only = match &leftover {
            Leftover::Orphan { id, .. } => dead.lacking.iter().find(|(lacking, _)| lacking == id).map(|(id, _)| id),
            Leftover::Upload(_) => None,
        };
        if options.repair {
            let problem = match dead::remove(context, &leftover).await {
                Removal::Published => {
                    report.notes.push(format!("{place} was published meanwhile: it is no leftover"));
                    continue;
                }
                removal => removal.problem(),
            };
            if let Some(problem) = &problem {
                let (reason, cure) =
                    (format!("{what}, which could not be removed: {problem}"), "holdpoint check --repair");
                report.findings.push(Finding::new(FindingKind::Leftover, &place, reason, cure));
            }
            let sweeping = if problem.is_none() { Sweeping::Done } else { Sweeping::Asked };
            report.notes.extend(lacks_manifest_only.map(|id| dead::lacking(id, sweeping)));
            report.repaired.push(Repaired { what: format!("{what}: {place}"), how: Repair::Remove, problem });
        } else {
            let cure = match lacks_manifest_only {
                None => "holdpoint check --repair",
                // Nobody is told to remove what may be wanted.
                Some(_) => "to keep them: bring manifest.json back; else: holdpoint check --repair",
            };
            report.notes.extend(lacks_manifest_only.map(|id| dead::lacking(id, Sweeping::Asked)));
            report.findings.push(Finding::new(FindingKind::Leftover, &place, what, cure));
        }
    }
    let young = dead.lacking.iter().filter(|(_, old)| !old);
    report.notes.extend(young.map(|(id, _)| dead::lacking(id, Sweeping::Asked)));
    if options.repair {
        dead::remove_empty_folders(context, options.min_age, now).await;
    }
    Ok(())
}

/// What was a restore point, and lost its manifest.
fn manifest_lost(context: &Context, one: &LostPoint) -> Finding {
    let (id, folder) = (one.id.as_str(), layout::point(&context.database, &one.id));
    let reason = format!("its manifest is gone, and {}", dead::evidence(one));
    let unpin = one.pins.first().map(|pin| format!("holdpoint unpin {id} --name={pin}"));
    let give_up = match (unpin, one.verified) {
        (Some(unpin), false) => format!("{unpin}, and holdpoint check --repair removes its objects"),
        (Some(unpin), true) => format!("{unpin}, and delete {folder}"),
        (None, _) => format!("delete {folder}"),
    };
    let cure = format!("bring manifest.json back from a version or copy of the bucket; to give it up: {give_up}");
    Finding::new(FindingKind::ManifestMissing, id, reason, cure)
}

/// What may have been one, where nothing at all is left that can be seen.
fn manifest_doubted(context: &Context, id: &PointId) -> Finding {
    let reason = "everything but its manifest is there, and no restore point is to be seen: the listing is more likely \
                  wrong than true, and nothing is removed";
    let cure = format!(
        "look at the repository's URL, and bring manifest.json back from a version or copy of the bucket; if it never was a \
         restore point, as its backup was killed: delete {}, or make a new one, after which it is a leftover like others",
        layout::point(&context.database, id)
    );
    Finding::new(FindingKind::ManifestMissing, id.as_str(), reason, cure)
}
