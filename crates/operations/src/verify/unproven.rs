//! Which restore points lack a proof, and in which order they get one.

use std::cmp::Reverse;
use std::time::Duration;

use chrono::{DateTime, Utc};
use holdpoint_core::verification::{Level, Standing, Verdict};
use holdpoint_core::{DatabaseName, PointId};
use serde::Serialize;

use super::plan::estimate;
use super::{VerifyOptions, VerifyReport};
use crate::catalogue::{Attempt, Surveyed, Unreadable, survey};
use crate::rds::SnapshotVerifyReport;
use crate::{Context, Error, ErrorKind, Source};

/// How the restore points that lack a proof are verified.
#[derive(Clone, Debug)]
pub struct UnprovenOptions {
    /// How each is verified; its level is the proof that is wanted.
    pub verify: VerifyOptions,
    /// When to end: a verification that would end later is not begun, and one that is under way then is ended.
    pub max_runtime: Option<Duration>,
    /// Snapshots that are proven besides; `None`: none, as each makes an instance, which costs.
    pub snapshots: Option<SnapshotProofs>,
}

/// How snapshots that lack a proof are proven.
#[derive(Clone, Debug)]
pub struct SnapshotProofs {
    /// At most so many, the newest first.
    pub at_most: usize,
    /// How the database is reached at present; roles have the passwords of the snapshot's instant.
    pub login: Source,
}

/// A restore point that lacks the proof.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unproven {
    /// Which.
    pub point: PointId,
    /// Its snapshot's instant.
    pub snapshot_at: DateTime<Utc>,
    /// What its verifications say: unproven, or proven at a lower level.
    pub standing: Standing,
    /// When its verification at this level was last tried and could not run.
    pub tried_at: Option<DateTime<Utc>>,
    /// Bytes to read from the repository.
    pub read_bytes: u64,
    /// Seconds it will take, estimated from earlier verifications of the level; `None` when there were none.
    pub estimated_seconds: Option<f64>,
    /// It can be expected to end in time, after those before it.
    pub in_time: bool,
}

/// What will be verified, in this order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnprovenPlan {
    /// The database.
    pub database: DatabaseName,
    /// The proof that is wanted.
    pub level: Level,
    /// How long all of it may take.
    pub max_runtime_seconds: Option<u64>,
    /// The restore points that lack the proof, in the order in which they get it: those never tried at this level, the
    /// oldest first; then those whose verification could not run, the longest untried first, so that one that never can
    /// keeps no other from its proof.
    pub points: Vec<Unproven>,
    /// Restore points that are disproved: that is known, and they are left alone.
    pub disproved: Vec<PointId>,
    /// Restore points whose manifest cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Snapshots that get a proof after those, at level *instance*; the newest first, those whose verification could not run
    /// last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Unproven>,
    /// How many more snapshots lack a proof.
    #[serde(skip_serializing_if = "is_none_left")]
    pub snapshots_left: usize,
}

fn is_none_left(count: &usize) -> bool {
    *count == 0
}

/// Why a restore point was left without a proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftReason {
    /// Its verification would not have ended in time, or the time was over.
    NoTime,
    /// Its verification was under way when the time was over, and was ended; nothing of it remains.
    TimeOver,
    /// Somebody else proved or disproved it meanwhile.
    Concluded,
    /// It was withdrawn meanwhile.
    Withdrawn,
    /// The repository failed before.
    NotTried,
}

/// A restore point that was left.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Left {
    /// Which.
    pub point: PointId,
    /// Why.
    pub reason: LeftReason,
    /// Seconds its verification would take, estimated.
    pub estimated_seconds: Option<f64>,
}

/// A restore point whose verification failed without a verdict.
#[derive(Clone, Debug, Serialize)]
pub struct FailedPoint {
    /// Which.
    pub point: PointId,
    /// What kind of failure it was.
    pub kind: ErrorKind,
    /// What failed.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// What became of the restore points that lacked the proof.
#[derive(Clone, Debug, Serialize)]
pub struct UnprovenReport {
    /// What was planned.
    pub plan: UnprovenPlan,
    /// The verifications that were made and recorded, in their order.
    pub verified: Vec<VerifyReport>,
    /// Those of snapshots.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotVerifyReport>,
    /// Restore points that were left.
    pub left: Vec<Left>,
    /// Verifications that failed without a verdict.
    pub failed: Vec<FailedPoint>,
    /// How long all of it took, in milliseconds.
    pub took_ms: u64,
}

/// What is known of a restore point before it is chosen.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    point: PointId,
    snapshot_at: DateTime<Utc>,
    standing: Standing,
    read_bytes: u64,
    pub(super) attempts: Vec<Attempt>,
}

impl From<Surveyed> for Candidate {
    fn from(point: Surveyed) -> Self {
        Self {
            snapshot_at: point.summary.snapshot_at,
            standing: point.summary.standing,
            point: point.summary.id,
            read_bytes: point.archive_bytes,
            attempts: point.attempts,
        }
    }
}

/// Tells whether a standing is less than the proof that is wanted; `None` where nothing can prove it any more.
pub(super) fn lacks(standing: Standing, level: Level) -> Option<bool> {
    match standing {
        Standing::Proven { level: proven, .. } => Some(proven < level),
        Standing::Unproven => Some(true),
        Standing::Disproved { .. } => None,
    }
}

/// Says which restore points would be verified, in which order, and which of them in time. Reads only.
pub async fn plan_unproven(context: &Context, options: &UnprovenOptions) -> Result<UnprovenPlan, Error> {
    Ok(survey_unproven(context, options).await?.0)
}

pub(super) async fn survey_unproven(
    context: &Context,
    options: &UnprovenOptions,
) -> Result<(UnprovenPlan, Vec<Attempt>), Error> {
    let (points, unreadable) = survey(context, context.time(false).await?.0).await?;
    let (archives, snapshots): (Vec<Surveyed>, Vec<Surveyed>) = points.into_iter().partition(Surveyed::is_archive);
    let candidates: Vec<Candidate> = archives.into_iter().map(Candidate::from).collect();
    let mut plan = choose(&context.database, &candidates, options.verify.level, options.max_runtime);
    plan.unreadable = unreadable;
    if let Some(wanted) = &options.snapshots {
        let snapshots: Vec<Candidate> = snapshots.into_iter().map(Candidate::from).collect();
        (plan.snapshots, plan.snapshots_left) = choose_snapshots(&snapshots, wanted.at_most);
    }
    Ok((plan, history(&candidates)))
}

/// Chooses the snapshots that get a proof, and tells how many more lack one. The newest comes first, since it is what a run
/// relies on; one whose verification could not run keeps no other from its proof.
fn choose_snapshots(candidates: &[Candidate], at_most: usize) -> (Vec<Unproven>, usize) {
    let level = Level::Instance;
    let took = history(candidates).into_iter().rev().find(|one| one.level == level && one.verdict == Verdict::Proved);
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let estimated_seconds = took.map(|one| one.took_ms as f64 / 1000.0);
    let in_vain = |one: &&Attempt| one.verdict == Verdict::CouldNotRun;
    let lacking = candidates.iter().filter(|one| lacks(one.standing, level) == Some(true));
    let mut lacking: Vec<Unproven> = lacking
        .map(|one| Unproven {
            point: one.point.clone(),
            snapshot_at: one.snapshot_at,
            standing: one.standing,
            tried_at: one.attempts.iter().filter(in_vain).map(|tried| tried.started_at).max(),
            read_bytes: 0,
            estimated_seconds,
            in_time: true,
        })
        .collect();
    lacking.sort_by_key(|one| (one.tried_at, Reverse(one.snapshot_at), one.point.clone()));
    let left = lacking.len().saturating_sub(at_most);
    lacking.truncate(at_most);
    (lacking, left)
}

/// Every verification of the candidates, oldest first.
fn history(candidates: &[Candidate]) -> Vec<Attempt> {
    let mut all: Vec<Attempt> = candidates.iter().flat_map(|one| one.attempts.clone()).collect();
    all.sort_by_key(|one| one.started_at);
    all
}

fn choose(
    database: &DatabaseName,
    candidates: &[Candidate],
    level: Level,
    max_runtime: Option<Duration>,
) -> UnprovenPlan {
    let history = history(candidates);
    let in_vain = |one: &&Attempt| one.verdict == Verdict::CouldNotRun && one.level == level;
    let mut points: Vec<Unproven> = candidates
        .iter()
        .filter(|one| lacks(one.standing, level) == Some(true))
        .map(|one| Unproven {
            point: one.point.clone(),
            snapshot_at: one.snapshot_at,
            standing: one.standing,
            tried_at: one.attempts.iter().filter(in_vain).map(|tried| tried.started_at).max(),
            read_bytes: one.read_bytes,
            estimated_seconds: estimate(&history, level, one.read_bytes),
            in_time: true,
        })
        .collect();
    points.sort_by(|one, other| {
        (one.tried_at, one.snapshot_at, &one.point).cmp(&(other.tried_at, other.snapshot_at, &other.point))
    });
    let mut left = max_runtime.map(|time| time.as_secs_f64());
    for one in &mut points {
        let Some(left) = &mut left else { break };
        let needed = one.estimated_seconds.unwrap_or(0.0);
        one.in_time = *left > 0.0 && needed <= *left;
        if one.in_time {
            *left -= needed;
        }
    }
    let disproved = candidates.iter().filter(|one| lacks(one.standing, level).is_none());
    UnprovenPlan {
        database: database.clone(),
        level,
        max_runtime_seconds: max_runtime.map(|time| time.as_secs()),
        points,
        disproved: disproved.map(|one| one.point.clone()).collect(),
        unreadable: Vec::new(),
        snapshots: Vec::new(),
        snapshots_left: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::took;
    use super::*;

    fn candidate(hour: u32, tried: &[(Level, Verdict, u32)]) -> Candidate {
        let attempt = |(level, verdict, minute): &(Level, Verdict, u32)| Attempt {
            started_at: format!("2026-11-22T03:{minute:02}:00Z").parse().unwrap(),
            ..took(*level, *verdict, 60_000, 1_000)
        };
        let attempts: Vec<Attempt> = tried.iter().map(attempt).collect();
        let standing = match attempts.last() {
            Some(Attempt { verdict: Verdict::Proved, level, started_at: at, .. }) => {
                Standing::Proven { level: *level, at: *at }
            }
            Some(Attempt { verdict: Verdict::Disproved, started_at: at, .. }) => Standing::Disproved { at: *at },
            Some(_) | None => Standing::Unproven,
        };
        Candidate {
            standing,
            snapshot_at: format!("2026-11-21T{hour:02}:00:00Z").parse().unwrap(),
            point: format!("20261121T{hour:02}0000Z-k3f9").parse().unwrap(),
            read_bytes: 1_000,
            attempts,
        }
    }

    fn hours(plan: &UnprovenPlan) -> Vec<u32> {
        use chrono::Timelike as _;
        plan.points.iter().map(|one| one.snapshot_at.hour()).collect()
    }

    fn chosen(candidates: &[Candidate], level: Level, seconds: Option<u64>) -> UnprovenPlan {
        choose(&"shop".parse().unwrap(), candidates, level, seconds.map(Duration::from_secs))
    }

    #[test]
    fn the_oldest_without_the_wanted_proof_comes_first() {
        use Verdict::{CouldNotRun, Disproved, Proved};
        let all = [
            candidate(5, &[]),
            candidate(1, &[(Level::Full, Proved, 1)]),
            candidate(3, &[(Level::Stored, Proved, 1)]),
            candidate(4, &[(Level::Full, Proved, 1), (Level::Stored, Disproved, 2)]),
            candidate(2, &[(Level::Stored, CouldNotRun, 1)]),
        ];
        let full = chosen(&all, Level::Full, None);
        assert_eq!(hours(&full), [2, 3, 5], "an attempt at another level says nothing of this one");
        assert_eq!(full.disproved, [all[3].point.clone()], "a disproof is known");
        assert_eq!(hours(&chosen(&all, Level::Stored, None)), [5, 2]);
        assert_eq!(hours(&chosen(&[], Level::Stored, None)), [0; 0]);
    }

    #[test]
    fn one_that_can_never_run_keeps_no_other_from_its_proof() {
        let vain = |hour, minute| candidate(hour, &[(Level::Full, Verdict::CouldNotRun, minute)]);
        let all = [vain(1, 30), vain(2, 10), candidate(3, &[]), candidate(4, &[])];
        assert_eq!(hours(&chosen(&all, Level::Full, None)), [3, 4, 2, 1], "the longest untried of them first");
    }

    #[test]
    fn what_would_end_too_late_is_not_begun() {
        // A minute each, by the one that is proven.
        let mut all: Vec<Candidate> = (2..6).map(|hour| candidate(hour, &[])).collect();
        let fits = |all: &[Candidate], seconds| -> Vec<bool> {
            chosen(all, Level::Full, seconds).points.iter().map(|one| one.in_time).collect()
        };
        assert_eq!(fits(&all, Some(1)), [true; 4], "nothing is known: it is tried");
        assert_eq!(fits(&all, Some(0)), [false; 4]);
        all.push(candidate(1, &[(Level::Full, Verdict::Proved, 1)]));
        assert_eq!(fits(&all, None), [true; 4]);
        assert_eq!(fits(&all, Some(150)), [true, true, false, false]);
        // One that is too large does not stand in the way of smaller ones.
        all[0].read_bytes = 1_000_000;
        assert_eq!(fits(&all, Some(150)), [false, true, true, false]);
    }

    #[test]
    fn of_snapshots_the_newest_comes_first_and_no_more_than_are_asked_for() {
        use chrono::Timelike as _;
        let tried = [(Level::Instance, Verdict::CouldNotRun, 1)];
        let all = [
            candidate(1, &[]),
            candidate(2, &[(Level::Instance, Verdict::Proved, 2)]),
            candidate(3, &[]),
            candidate(4, &tried),
            candidate(5, &[(Level::Instance, Verdict::Disproved, 3)]),
        ];
        let chosen = |at_most| {
            let (chosen, left) = choose_snapshots(&all, at_most);
            (chosen.iter().map(|one| one.snapshot_at.hour()).collect::<Vec<_>>(), left)
        };
        assert_eq!(chosen(1), (vec![3], 2));
        assert_eq!(chosen(9), (vec![3, 1, 4], 0), "one that could not be verified keeps no other from its proof");
        assert_eq!(chosen(0), (Vec::new(), 3));
        assert_eq!(choose_snapshots(&all, 1).0[0].estimated_seconds, Some(60.0));
    }
}
