//! What the proofs of restore points are worth: the newest that counts, its age, and those that count for nothing.

use chrono::{DateTime, Utc};
use holdpoint_core::layout;
use holdpoint_core::verification::{Standing, Verdict, is_ahead};

use super::CheckOptions;
use super::findings::{Finding, FindingKind};
use super::report::{CheckReport, Proof};
use crate::Context;
use crate::catalogue::{Attempt, Surveyed};

/// The newest proof among restore points that tell what the database can be brought back from.
pub(super) fn last_proof<'a>(points: impl Iterator<Item = &'a Surveyed>, now: DateTime<Utc>) -> Option<Proof> {
    let counting = points.filter(|one| one.counts(now));
    let proven = counting.filter_map(|one| match one.summary.standing {
        // What was proven in the future was so by a wrong clock: when, nobody knows.
        Standing::Proven { level, at } if !is_ahead(at, now) => Some((one, level, at)),
        _ => None,
    });
    let (one, level, at) = proven.max_by_key(|(_, _, at)| *at)?;
    let age_seconds = now.signed_duration_since(at).num_seconds();
    Some(Proof { point: one.id().clone(), level, at, age_seconds })
}

/// `counting`: the newest proof that counts.
pub(super) fn proof_age(
    options: &CheckOptions,
    now: DateTime<Utc>,
    counting: Option<&Proof>,
    report: &mut CheckReport,
) {
    let Some(most) = options.max_proof_age else { return };
    let reason = match counting {
        None if report.last_proof.is_some() => "no archive is proven: the newest proof is of a snapshot".to_owned(),
        None => "nothing is proven".to_owned(),
        Some(proof) if now.signed_duration_since(proof.at) > most => {
            format!("the newest proof is of {}", proof.at.format("%Y-%m-%d %H:%MZ"))
        }
        Some(_) => return,
    };
    let place = report.database.to_string();
    report.findings.push(Finding::new(FindingKind::ProofTooOld, &place, reason, "holdpoint verify latest"));
}

/// A proof that no clock can have dated rightly: it counts for nothing.
pub(super) fn proof_ahead(context: &Context, point: &Surveyed, now: DateTime<Utc>) -> Option<Finding> {
    let ahead = |one: &&Attempt| one.verdict == Verdict::Proved && is_ahead(one.started_at, now);
    let at = point.attempts.iter().find(ahead)?.started_at;
    let key = layout::verification(&context.database, point.id(), at, Verdict::Proved.word());
    let reason = format!("it is dated {}, which lies in the future: it proves nothing", at.format("%Y-%m-%d %H:%MZ"));
    let cure = format!(
        "see that the clocks are right; prove the restore point anew, and remove this record: holdpoint verify {}",
        point.id()
    );
    Some(Finding::new(FindingKind::WrongClock, &key, reason, cure))
}

/// A verdict that counts for nothing although its date is right: it is of another manifest.
pub(super) fn proven_otherwise(context: &Context, point: &Surveyed, now: DateTime<Utc>) -> Option<Finding> {
    let counts = |one: &&Attempt| match one.verdict {
        Verdict::Proved => !is_ahead(one.started_at, now),
        Verdict::Disproved => true,
        Verdict::CouldNotRun => false,
    };
    let at = point.attempts.iter().find(counts)?.started_at;
    if point.summary.standing != Standing::Unproven || !point.summary.unreadable.is_empty() {
        return None;
    }
    let key = layout::manifest(&context.database, point.id());
    let reason = format!("it is not the one that was verified on {}: it was written anew since", at.format("%Y-%m-%d"));
    let cure = format!(
        "bring the manifest back from a version or copy of the bucket; or see who wrote it, and prove what is there: holdpoint \
         verify {}",
        point.id()
    );
    Some(Finding::new(FindingKind::ManifestChanged, &key, reason, cure))
}
