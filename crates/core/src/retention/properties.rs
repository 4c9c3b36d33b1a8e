//! What holds for every policy and every set of restore points; and three years of an unlucky team.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::verification::{Level, Standing};
use crate::{PointId, PointKind};

const HOUR: i64 = 3600;

pub(super) fn start() -> DateTime<Utc> {
    "2024-01-01T00:00:00Z".parse().unwrap()
}

fn standing(kind: u8) -> Standing {
    match kind {
        0 | 1 => Standing::Proven { level: Level::Full, at: start() },
        2 => Standing::Proven { level: Level::Sampled, at: start() },
        3 | 4 => Standing::Proven { level: Level::Stored, at: start() },
        5 | 6 => Standing::Unproven,
        _ => Standing::Disproved { at: start() },
    }
}

/// A snapshot is proven at its one level.
fn standing_of(kind: PointKind, standing: Standing) -> Standing {
    match (kind, standing) {
        (PointKind::RdsSnapshot, Standing::Proven { at, .. }) => Standing::Proven { level: Level::Instance, at },
        (_, standing) => standing,
    }
}

/// What may be the case of a snapshot, which is of the whole database and has no label.
fn aside_of(kind: PointKind, aside: Option<Aside>) -> Option<Aside> {
    aside.filter(|aside| kind == PointKind::Archive || *aside == Aside::AnotherDatabase)
}

const KINDS: [PointKind; 2] = [PointKind::Archive, PointKind::RdsSnapshot];

fn of_kind(points: &[Held], kind: PointKind) -> Vec<Held> {
    points.iter().filter(|one| one.kind == kind).cloned().collect()
}

/// Most count; some are set aside.
fn aside(kind: u8) -> Option<Aside> {
    match kind {
        0 | 1 => Some(Aside::Partial { selection: vec![format!("--table={kind}")] }),
        2 => Some(Aside::Labelled { label: "before-undo".to_owned() }),
        3 => Some(Aside::Incomplete),
        4 => Some(Aside::AnotherDatabase),
        _ => None,
    }
}

prop_compose! {
    fn some_point()(hours in 0_i64..20_000, minutes in 0_i64..60, kind in 0_u8..10, pinned in prop::bool::weighted(0.1),
                    aside_kind in 0_u8..12, store_knows in any::<bool>(), off in prop::sample::select(vec![0_i64, 3, -50, 59, 200, -90_000]),
                    future in prop::bool::weighted(0.03), is_snapshot in prop::bool::weighted(0.3))
                    -> Held {
        let hours = if future { hours + 30_000 } else { hours };
        let snapshot_at = start() + TimeDelta::seconds(hours * HOUR + minutes * 60);
        let holds = if pinned { vec![Hold::Pin { name: "p".to_owned(), until: None }] } else { Vec::new() };
        let point_kind = if is_snapshot { PointKind::RdsSnapshot } else { PointKind::Archive };
        Held {
            kind: point_kind,
            id: PointId::new(snapshot_at, hours.unsigned_abs() * 60 + minutes.unsigned_abs()),
            snapshot_at,
            by_store: store_knows.then_some(snapshot_at + TimeDelta::minutes(off)),
            standing: standing_of(point_kind, standing(kind)),
            aside: aside_of(point_kind, aside(aside_kind)),
            holds,
        }
    }
}

fn some_points() -> impl Strategy<Value = Vec<Held>> {
    vec(some_point(), 0..60).prop_map(|mut points| {
        points.sort_by(|a, b| a.id.cmp(&b.id));
        points.dedup_by(|a, b| a.id == b.id);
        points
    })
}

prop_compose! {
    fn some_policy()(last in 0_u32..6, hourly in 0_u32..6, daily in 0_u32..6, weekly in 0_u32..4, monthly in 0_u32..4,
                     yearly in 0_u32..3, days in prop::option::of(1_i64..30), count in 0_u32..4, age in 0_i64..72,
                     zone in prop::sample::select(vec![Tz::UTC, Tz::Europe__Vienna, Tz::America__New_York, Tz::Australia__Lord_Howe]))
                     -> RetentionPolicy {
        RetentionPolicy {
            // At least one rule.
            last: if hourly + daily + weekly + monthly + yearly == 0 && days.is_none() { last + 1 } else { last },
            hourly, daily, weekly, monthly, yearly, within: days.map(TimeDelta::days), minimum_count: count,
            minimum_age: TimeDelta::hours(age), zone,
        }
    }
}

/// The same policy, and a little more of one rule.
fn more(policy: &RetentionPolicy, rule: u8) -> RetentionPolicy {
    let mut more = policy.clone();
    match rule {
        0 => more.last += 1,
        1 => more.hourly += 1,
        2 => more.daily += 1,
        3 => more.weekly += 1,
        4 => more.monthly += 1,
        5 => more.yearly += 1,
        6 => more.minimum_count += 1,
        7 => more.minimum_age += TimeDelta::hours(7),
        _ => more.within = Some(more.within.unwrap_or_default() + TimeDelta::days(2)),
    }
    more
}

fn now() -> DateTime<Utc> {
    start() + TimeDelta::hours(20_100)
}

fn dropped(points: &[Held], policy: &RetentionPolicy) -> BTreeSet<PointId> {
    plan(points, policy, now()).unwrap().drops().map(|entry| entry.id.clone()).collect()
}

proptest! {
    #[test]
    fn more_policy_never_drops_more(points in some_points(), policy in some_policy(), rule in 0_u8..9) {
        prop_assert!(dropped(&points, &more(&policy, rule)).is_subset(&dropped(&points, &policy)));
    }

    #[test]
    fn the_order_of_the_points_does_not_matter(points in some_points().prop_shuffle(), policy in some_policy()) {
        let mut sorted = points.clone();
        sorted.sort_by(|a, b| a.id.cmp(&b.id));
        prop_assert_eq!(plan(&points, &policy, now()).unwrap(), plan(&sorted, &policy, now()).unwrap());
    }

    #[test]
    fn a_second_plan_drops_nothing(points in some_points(), policy in some_policy()) {
        let gone = dropped(&points, &policy);
        let left: Vec<Held> = points.into_iter().filter(|point| !gone.contains(&point.id)).collect();
        prop_assert_eq!(dropped(&left, &policy), BTreeSet::new());
    }

    #[test]
    fn pinned_newest_and_the_newest_proven_of_each_level_stay(all in some_points(), policy in some_policy()) {
        let gone = dropped(&all, &policy);
        for points in KINDS.map(|kind| of_kind(&all, kind)) {
            let place = |point: &&Held| (point.snapshot_at, point.id.clone());
            let trusted = || points.iter().filter(|point| !point.is_doubtful(now()));
            let counting = || trusted().filter(|point| point.aside.is_none());
            let good = |level: Level| counting().filter(move |point| point.level() >= Some(level)).max_by_key(place);
            let best = [Level::Stored, Level::Sampled, Level::Full, Level::Instance].into_iter().filter_map(good);
            let newest = trusted().max_by_key(place).into_iter().chain(counting().max_by_key(place));
            let doubtful = points.iter().filter(|point| point.is_doubtful(now()));
            for point in points.iter().filter(|point| !point.holds.is_empty()).chain(newest).chain(best).chain(doubtful) {
                prop_assert!(!gone.contains(&point.id), "{point:?}");
            }
            let none_is_gone = points.iter().all(|point| !gone.contains(&point.id));
            prop_assert!(good(Level::Stored).is_some() || none_is_gone, "none is proven, and something is dropped");
        }
    }

    #[test]
    fn archives_and_snapshots_are_planned_for_each_by_itself(points in some_points(), policy in some_policy()) {
        let together = plan(&points, &policy, now()).unwrap().entries;
        for kind in KINDS {
            let alone = plan(&of_kind(&points, kind), &policy, now()).unwrap().entries;
            let own: Vec<Entry> = together.iter().filter(|entry| entry.kind == kind).cloned().collect();
            prop_assert_eq!(own, alone);
        }
    }

    #[test]
    fn the_newest_proven_one_of_each_kind_stays(points in some_points(), policy in some_policy()) {
        let gone = dropped(&points, &policy);
        let sound = |one: &&Held| one.level().is_some() && !one.is_doubtful(now());
        for point in points.iter().filter(sound).filter(|one| one.aside.is_some()) {
            let place = |one: &Held| (one.snapshot_at, one.id.clone());
            let like = |one: &Held| one.kind == point.kind && one.is_like(point);
            let newer = points.iter().filter(sound).any(|one| like(one) && place(one) > place(point));
            prop_assert!(newer || !gone.contains(&point.id), "{point:?}");
        }
    }

    #[test]
    fn what_does_not_count_changes_the_fate_of_no_other(points in some_points(), policy in some_policy()) {
        let counting: Vec<Held> = points.iter().filter(|point| point.counts(now())).cloned().collect();
        let of = |points: &[Held]| -> Vec<Entry> {
            let entries = plan(points, &policy, now()).unwrap().entries;
            entries.into_iter().filter(|entry| counting.iter().any(|one| one.id == entry.id)).collect()
        };
        prop_assert_eq!(of(&points), of(&counting));
    }

    #[test]
    fn every_fate_has_a_reason(points in some_points(), policy in some_policy()) {
        let plan = plan(&points, &policy, now()).unwrap();
        prop_assert_eq!(plan.entries.len(), points.len());
        for entry in plan.entries {
            let reasons = match &entry.fate {
                Fate::Keep(why) => why.len(),
                Fate::Drop(why) => why.len(),
            };
            prop_assert!(reasons > 0, "{entry:?}");
        }
    }

    #[test]
    fn a_proof_more_never_takes_the_last_proven_point_of_a_slot(points in some_points(), policy in some_policy()) {
        // Whatever is dropped as superseded is superseded by something that is proven and kept.
        let plan = plan(&points, &policy, now()).unwrap();
        let kept: BTreeSet<_> = plan.keeps().map(|entry| entry.id.clone()).collect();
        for entry in plan.drops() {
            let Fate::Drop(why) = &entry.fate else { unreachable!() };
            for reason in why {
                if let DropReason::Superseded { by, .. } = reason {
                    let filler = points.iter().find(|point| point.id == *by).unwrap();
                    prop_assert!(kept.contains(by) && *by != entry.id && filler.counts(now()));
                    prop_assert_eq!(filler.kind, entry.kind);
                }
            }
        }
    }
}

/// The next number of a fixed series (splitmix64).
pub(super) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Three years of hourly backups and a snapshot a day: some fail, some are never proven or late, some disproved; weeks without
/// any proof.
#[test]
fn three_years_of_hourly_backups_never_lose_the_newest_proven_point_or_empty_a_slot() {
    let policy = RetentionPolicy {
        hourly: 24,
        daily: 7,
        weekly: 4,
        monthly: 6,
        yearly: 2,
        minimum_count: 3,
        zone: Tz::Europe__Vienna,
        ..RetentionPolicy::default()
    };
    let mut state = 20_261_121;
    let mut points: Vec<Held> = Vec::new();
    let (mut dropped, mut most, mut taken) = (0, 0, 0);
    for hour in 0..3 * 365 * 24_i64 {
        let now = start() + TimeDelta::hours(hour);
        let drought = (hour / (24 * 7)) % 13 == 12;
        let kinds = if hour % 24 == 7 { &KINDS[..] } else { &KINDS[..1] };
        for kind in kinds {
            if next(&mut state).is_multiple_of(10) {
                continue;
            }
            let id = PointId::new(now, next(&mut state));
            points.push(Held {
                kind: *kind,
                id,
                snapshot_at: now,
                by_store: None,
                standing: Standing::Unproven,
                aside: None,
                holds: Vec::new(),
            });
            taken += 1;
        }
        // A proof, a disproof or none, of any recent point.
        if let Some(len) = std::num::NonZero::new(points.len().min(12) as u64)
            && !drought
        {
            let which = points.len() - 1 - usize::try_from(next(&mut state) % len).unwrap();
            let verdict = next(&mut state) % 20;
            let standing = match verdict {
                0 => Standing::Disproved { at: now },
                1..=14 => Standing::Proven { level: Level::Full, at: now },
                _ => points[which].standing,
            };
            points[which].standing = standing_of(points[which].kind, standing);
        }
        if hour % 3 != 0 {
            continue;
        }
        let plan = plan(&points, &policy, now).unwrap();
        let gone: BTreeSet<PointId> = plan.drops().map(|entry| entry.id.clone()).collect();
        for kind in KINDS {
            check_year(&of_kind(&points, kind), &gone, &policy, now);
        }
        dropped += gone.len();
        points.retain(|point| !gone.contains(&point.id));
        most = most.max(points.len());
    }
    assert!(taken > 20_000 && dropped > taken - most, "{taken} taken, {dropped} dropped, {most} at most");
    assert!(most < 450, "droughts of a week keep their hours, and no more: {most}");
}

/// No drop takes the newest proven point, or the last point of a slot that is not filled by a proven one.
pub(super) fn check_year(points: &[Held], gone: &BTreeSet<PointId>, policy: &RetentionPolicy, now: DateTime<Utc>) {
    let proven = |point: &&Held| matches!(point.standing, Standing::Proven { .. });
    let stays = |point: &&Held| !gone.contains(&point.id);
    let newest = points.iter().filter(proven).max_by_key(|point| point.snapshot_at);
    assert!(newest.is_none_or(|newest| stays(&newest)), "{now}: the newest proven point is gone");
    for unit in Unit::ALL {
        let slot = |point: &Held| Slot::of(unit, point.snapshot_at, policy.zone);
        let mut slots: Vec<Slot> = points.iter().filter(proven).map(slot).collect();
        slots.sort();
        slots.dedup();
        let wanted = policy.slots(unit) as usize;
        let first = slots.len().saturating_sub(wanted);
        let (oldest, full) = (slots.get(first).copied(), slots.len() >= wanted);
        for lost in points.iter().filter(|point| gone.contains(&point.id)) {
            let slot_of = slot(lost);
            let asked = !full || oldest.is_some_and(|oldest| slot_of >= oldest);
            if asked && !matches!(lost.standing, Standing::Disproved { .. }) {
                let filled = points.iter().filter(proven).filter(stays).any(|point| slot(point) == slot_of);
                assert!(filled, "{now}: {} {} was emptied", unit.word(), slot_of);
            }
        }
    }
}
