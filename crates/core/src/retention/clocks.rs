//! Three years of machines whose clocks are wrong: proofs of the future and of the past, snapshots of a source that runs ahead.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::properties::{check_year, next, start};
use super::*;
use crate::PointId;
use crate::verification::tests::made;
use crate::verification::{Level, Standing, Verdict, Verification, is_ahead, standing};

/// A restore point, its records, and what is true of it.
struct Real {
    held: Held,
    records: Vec<Verification>,
    /// What the last verification found, whatever it was dated.
    last: Option<Verdict>,
    /// No clock that dated a record of it, or its snapshot, was off by more than a minute.
    rightly_dated: bool,
}

impl Real {
    /// Records a verdict as verify does: after every record of it that is not of the future, and naming those that are.
    fn record(&mut self, verdict: Verdict, clock: DateTime<Utc>) {
        let dates = self.records.iter().map(|one| one.started_at);
        let (newer_than, close): (Vec<_>, Vec<_>) = dates.partition(|at| is_ahead(*at, clock));
        let mut record = made(verdict, Level::Full, 0);
        record.started_at = close.into_iter().max().map_or(clock, |at| clock.max(at + TimeDelta::milliseconds(1)));
        record.newer_than = newer_than;
        self.records.push(record);
        self.last = Some(verdict);
    }
}

/// How far a clock is off.
fn off(state: &mut u64) -> TimeDelta {
    let seconds = |from: i64, to: i64, state: &mut u64| from + (next(state) % (to - from).unsigned_abs()).cast_signed();
    let seconds = match next(state) % 100 {
        0..=79 => 0,
        80..=87 => seconds(-60, 60, state),
        88..=92 => seconds(60, 3540, state),
        93..=96 => seconds(2 * 3600, 40 * 86_400, state),
        _ => seconds(-2 * 86_400, -60, state),
    };
    TimeDelta::seconds(seconds)
}

#[test]
fn three_years_of_wrong_clocks_let_nothing_go_because_of_a_proof_that_is_none() {
    let policy = RetentionPolicy {
        hourly: 12,
        daily: 7,
        weekly: 4,
        monthly: 6,
        yearly: 2,
        minimum_count: 3,
        zone: Tz::Europe__Vienna,
        ..RetentionPolicy::default()
    };
    let mut state = 20_261_123;
    let mut points: Vec<Real> = Vec::new();
    let (mut taken, mut dropped, mut ahead, mut outlived, mut overturned, mut doubted) = (0, 0, 0, 0, 0, 0);
    for hour in 0..3 * 365 * 24_i64 {
        let now = start() + TimeDelta::hours(hour);
        // The source's clock stamps the snapshot, the store's tells when it was written.
        let source = if next(&mut state).is_multiple_of(4) { off(&mut state) } else { TimeDelta::zero() };
        let held = Held {
            kind: crate::PointKind::Archive,
            id: PointId::new(now + source, next(&mut state)),
            snapshot_at: now + source,
            by_store: Some(now),
            standing: Standing::Unproven,
            aside: None,
            holds: Vec::new(),
        };
        let rightly_dated = source.abs() <= TimeDelta::minutes(1);
        points.push(Real { held, records: Vec::new(), last: None, rightly_dated });
        taken += 1;
        // Mostly a recent one; now and then any, as a check reads them.
        let recent = if next(&mut state).is_multiple_of(8) { points.len() } else { points.len().min(6) };
        let which = points.len() - 1 - usize::try_from(next(&mut state) % recent as u64).unwrap();
        let clock = off(&mut state);
        let verdict = match next(&mut state) % 20 {
            0 | 1 => Some(Verdict::Disproved),
            2..=16 => Some(Verdict::Proved),
            _ => None,
        };
        if let Some(verdict) = verdict {
            points[which].record(verdict, now + clock);
            points[which].rightly_dated &= clock.abs() <= TimeDelta::minutes(1);
        }
        if hour % 6 != 0 {
            continue;
        }
        for one in points.iter_mut().filter(|one| !one.records.is_empty()) {
            one.held.standing = standing(&one.records, &[], &one.records[0].manifest_sha256, now);
            let of_the_future = one.records.iter().any(|record| is_ahead(record.started_at, now));
            match (one.last, one.held.standing) {
                // A proof of the future counts once its date has come, and never for what was disproved after it.
                (Some(Verdict::Disproved), Standing::Disproved { .. }) => outlived += usize::from(of_the_future),
                (Some(Verdict::Disproved), other) => panic!("{now}: disproved last, and {other:?}: {:?}", one.held.id),
                // A disproof of the future does not outlive a proof that was made after it.
                (Some(Verdict::Proved), Standing::Proven { .. }) => {
                    let disproved = |record: &Verification| record.verdict == Verdict::Disproved;
                    let later = |record: &Verification| is_ahead(record.started_at, now) && disproved(record);
                    overturned += usize::from(one.records.iter().any(later));
                }
                (Some(Verdict::Proved), other) => {
                    let proof = one.records.last().unwrap();
                    assert!(is_ahead(proof.started_at, now), "{now}: proven, and {other:?}: {:?}", one.records);
                    assert!(!one.rightly_dated, "{now}: {:?}", one.records);
                    ahead += 1;
                }
                (last, other) => panic!("{now}: {last:?}, and {other:?}"),
            }
        }
        let held: Vec<Held> = points.iter().map(|one| one.held.clone()).collect();
        let plan = plan(&held, &policy, now).unwrap();
        let gone: BTreeSet<PointId> = plan.drops().map(|entry| entry.id.clone()).collect();
        let truth = |id: &PointId| points.iter().find(|one| one.held.id == *id).unwrap();
        for entry in plan.drops() {
            let one = truth(&entry.id);
            assert!(!one.held.is_doubtful(now), "{now}: when {} was taken nobody knows, and it goes", entry.id);
            let Fate::Drop(reasons) = &entry.fate else { unreachable!() };
            for reason in reasons {
                if let DropReason::Superseded { by, .. } = reason {
                    let by = truth(by);
                    assert!(by.last == Some(Verdict::Proved) && !gone.contains(&by.held.id), "{now}: {:?}", by.held);
                }
            }
        }
        let counting: Vec<Held> = held.iter().filter(|one| one.counts(now)).cloned().collect();
        check_year(&counting, &gone, &policy, now);
        // What no wrong clock touched is there as ever: the newest of those that are proven, and something to go back to.
        let sound = points.iter().filter(|one| one.rightly_dated && one.last == Some(Verdict::Proved));
        let newest = sound.max_by_key(|one| one.held.snapshot_at);
        let newer_counts = |than: &Real| {
            let proven = |one: &&Held| matches!(one.standing, Standing::Proven { .. });
            counting.iter().filter(proven).any(|one| one.snapshot_at > than.held.snapshot_at && !gone.contains(&one.id))
        };
        assert!(newest.is_none_or(|one| !gone.contains(&one.held.id) || newer_counts(one)), "{now}");
        doubted += held.iter().filter(|one| one.is_doubtful(now)).count();
        dropped += gone.len();
        points.retain(|one| !gone.contains(&one.held.id));
        // A person looks after what no rule ever drops.
        points
            .retain(|one| !one.held.is_doubtful(now) || now.signed_duration_since(one.held.taken_at()).num_days() < 30);
    }
    assert!(taken > 20_000 && dropped > 15_000, "{taken} taken, {dropped} dropped");
    assert!(ahead > 100 && outlived > 100, "{ahead} ahead, {outlived} outlived");
    assert!(overturned > 100 && doubted > 100, "{overturned} overturned, {doubted} doubted");
}
