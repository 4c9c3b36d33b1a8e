//! The check itself: every restore point, the folder around them, and what a repair may remove.

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::progress::Phase;
use holdpoint_core::quantity::listed;
use holdpoint_core::verification::{Level, Standing, UnreadableVerification, Verdict, is_ahead};
use holdpoint_core::{DatabaseName, PointId, layout};
use holdpoint_repository::StoredManifest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::findings::{Finding, FindingKind};
use super::folder::folder;
use super::objects::ReadAgain;
use super::snapshots::Snapshots;
use super::{identity, objects, permissions, stray};
use crate::catalogue::{Attempt, Owners, Surveyed, survey};
use crate::error::LISTED;
use crate::retention::UnreadablePin;
use crate::verify::{DamageFound, record_damage};
use crate::{Context, Error, expected, reading};

/// How far a check goes.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// So many percent of the stored bytes are read again, whole restore points of a seeded choice; at least one.
    pub read_data: Option<u8>,
    /// How many pieces are checked at a time.
    pub jobs: usize,
    /// An older proof is a finding, and so is none.
    pub max_proof_age: Option<TimeDelta>,
    /// Whether proofs of snapshots count for that: where nothing relies on snapshots, one must not hide that no archive is
    /// proven.
    pub snapshots_count: bool,
    /// What belongs to no restore point is left alone when it is younger, by the store's clock.
    pub min_age: TimeDelta,
    /// Remove what is provably dead.
    pub repair: bool,
}

impl CheckOptions {
    /// Whether nothing is written: data that are read and found damaged are recorded as disproved.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        !self.repair && self.read_data.is_none()
    }
}

/// A restore point that was checked.
#[derive(Clone, Debug, Serialize)]
pub struct PointChecked {
    /// Which.
    pub point: PointId,
    /// What its verifications say.
    pub standing: Standing,
    /// Bytes that it stores.
    pub stored_bytes: u64,
    /// Whether its bytes were read again.
    pub read: bool,
    /// How many findings it has.
    pub findings: usize,
}

/// The newest proof of a whole restore point.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Of which restore point.
    pub point: PointId,
    /// How far.
    pub level: Level,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// Seconds since then, by the store's clock.
    pub age_seconds: i64,
}

/// What a repair does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repair {
    /// It removes what is dead.
    Remove,
    /// It shows a restore point again that is whole.
    ShowAgain,
    /// Nothing: another one dropped it meanwhile.
    FindGone,
}

/// Something that was repaired, or could not be.
#[derive(Clone, Debug, Serialize)]
pub struct Repaired {
    /// What.
    pub what: String,
    /// How.
    pub how: Repair,
    /// Why it is as it was.
    pub problem: Option<String>,
}

/// What a check saw.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The database.
    pub database: DatabaseName,
    /// Restore points, the oldest first.
    pub points: Vec<PointChecked>,
    /// The newest proof of a whole restore point.
    pub last_proof: Option<Proof>,
    /// Bytes that were read again.
    pub read_bytes: u64,
    /// What is not as it should be.
    pub findings: Vec<Finding>,
    /// What a repair did.
    pub repaired: Vec<Repaired>,
    /// What is worth knowing although it is no finding.
    pub notes: Vec<String>,
}

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

/// Looks at a restore point; whether everything that it is made of is there, as far as that was looked at. One that is found
/// damaged is disproved from now on.
async fn one_point(
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

/// A proof that no clock can have dated rightly: it counts for nothing.
fn proof_ahead(context: &Context, point: &Surveyed, now: DateTime<Utc>) -> Option<Finding> {
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
fn proven_otherwise(context: &Context, point: &Surveyed, now: DateTime<Utc>) -> Option<Finding> {
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

/// What retention keeps and counts for nothing, as nobody knows of when it is.
fn doubted(points: &[Surveyed], now: DateTime<Utc>) -> Option<String> {
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

/// The newest proof among restore points that tell what the database can be brought back from.
fn last_proof<'a>(points: impl Iterator<Item = &'a Surveyed>, now: DateTime<Utc>) -> Option<Proof> {
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
fn proof_age(options: &CheckOptions, now: DateTime<Utc>, counting: Option<&Proof>, report: &mut CheckReport) {
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

#[cfg(test)]
mod tests;
