//! Every rule in a case of its own.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::*;
use crate::Error;
use crate::verification::{Level, Standing};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn proven() -> Standing {
    Standing::Proven { level: Level::Full, at: at("2026-11-21T00:00:00Z") }
}

const DISPROVED: Standing = Standing::Disproved { at: DateTime::UNIX_EPOCH };

fn held(text: &str, standing: Standing) -> Held {
    let snapshot_at = at(text);
    Held {
        kind: crate::PointKind::Archive,
        id: crate::PointId::new(snapshot_at, 7),
        snapshot_at,
        by_store: None,
        standing,
        aside: None,
        holds: Vec::new(),
    }
}

fn policy() -> RetentionPolicy {
    RetentionPolicy { minimum_count: 0, minimum_age: TimeDelta::zero(), ..RetentionPolicy::default() }
}

const NOW: &str = "2026-11-21T12:00:00Z";

/// The instants that are kept, the newest first, as they were written.
fn kept(points: &[Held], policy: &RetentionPolicy) -> Vec<String> {
    let plan = plan(points, policy, at(NOW)).unwrap();
    plan.keeps().map(|entry| entry.snapshot_at.format("%Y-%m-%dT%H:%M").to_string()).collect()
}

fn reasons(points: &[Held], policy: &RetentionPolicy, text: &str) -> Fate {
    let plan = plan(points, policy, at(NOW)).unwrap();
    plan.entries.into_iter().find(|entry| entry.snapshot_at == at(text)).unwrap().fate
}

fn all_proven(texts: &[&str]) -> Vec<Held> {
    texts.iter().map(|text| held(&format!("{text}:00Z"), proven())).collect()
}

#[test]
fn a_policy_without_a_rule_is_refused() {
    assert!(matches!(policy().check(), Err(Error::EmptyRetention)));
    let only_a_floor = RetentionPolicy { minimum_count: 5, minimum_age: TimeDelta::days(9), ..policy() };
    assert!(matches!(plan(&[], &only_a_floor, at(NOW)), Err(Error::EmptyRetention)));
    assert!(matches!(
        RetentionPolicy { within: Some(TimeDelta::zero()), ..policy() }.check(),
        Err(Error::EmptyRetention)
    ));
    for below in [
        RetentionPolicy { last: 1, within: Some(TimeDelta::seconds(-1)), ..policy() },
        RetentionPolicy { last: 1, minimum_age: TimeDelta::seconds(-1), ..policy() },
    ] {
        assert!(matches!(below.check(), Err(Error::NegativeRetention { .. })));
    }
}

#[test]
fn each_unit_keeps_the_newest_proven_point_of_its_newest_slots() {
    let hours = ["2026-11-21T10:05", "2026-11-21T10:55", "2026-11-21T09:10", "2026-11-21T09:50", "2026-11-21T07:00"];
    let by_hour = kept(&all_proven(&hours), &RetentionPolicy { hourly: 2, ..policy() });
    assert_eq!(by_hour, ["2026-11-21T10:55", "2026-11-21T09:50"]);

    let days = ["2026-11-21T01:00", "2026-11-20T23:59", "2026-11-20T00:00", "2026-11-18T10:00", "2026-11-17T10:00"];
    let by_day = kept(&all_proven(&days), &RetentionPolicy { daily: 3, ..policy() });
    assert_eq!(by_day, ["2026-11-21T01:00", "2026-11-20T23:59", "2026-11-18T10:00"], "days without a point count not");

    // Monday is 16 November; 1 January 2027 lies in the last week of 2026.
    let weeks = ["2026-11-16T00:00", "2026-11-15T23:59", "2026-11-09T00:00", "2026-11-08T23:59"];
    let by_week = kept(&all_proven(&weeks), &RetentionPolicy { weekly: 2, ..policy() });
    assert_eq!(by_week, ["2026-11-16T00:00", "2026-11-15T23:59"]);
    assert_eq!(Slot::of(Unit::Weekly, at("2027-01-01T00:00:00Z"), Tz::UTC), Slot::Week(2026, 53));

    let months = ["2026-11-01T00:00", "2026-10-31T23:59", "2026-10-01T00:00", "2026-09-30T12:00"];
    let by_month = kept(&all_proven(&months), &RetentionPolicy { monthly: 2, ..policy() });
    assert_eq!(by_month, ["2026-11-01T00:00", "2026-10-31T23:59"]);

    let years = ["2026-01-01T00:00", "2025-12-31T23:59", "2025-01-01T00:00", "2024-02-29T12:00"];
    let by_year = kept(&all_proven(&years), &RetentionPolicy { yearly: 3, ..policy() });
    assert_eq!(by_year, ["2026-01-01T00:00", "2025-12-31T23:59", "2024-02-29T12:00"]);

    let last = kept(&all_proven(&hours), &RetentionPolicy { last: 3, ..policy() });
    assert_eq!(last, ["2026-11-21T10:55", "2026-11-21T10:05", "2026-11-21T09:50"]);
}

#[test]
fn a_slot_is_of_the_zone_that_the_policy_names() {
    let points = all_proven(&["2026-11-20T23:30", "2026-11-20T22:30"]);
    assert_eq!(kept(&points, &RetentionPolicy { daily: 9, ..policy() }).len(), 1);
    let vienna = RetentionPolicy { daily: 9, zone: Tz::Europe__Vienna, ..policy() };
    assert_eq!(kept(&points, &vienna).len(), 2, "midnight in Vienna lies between them");
}

#[test]
fn the_hour_that_comes_twice_is_two() {
    // Clocks went back from 3 to 2 on 25 October 2026 in Vienna, at 01:00 UTC.
    let points = all_proven(&["2026-10-25T00:30", "2026-10-25T01:30"]);
    let hourly = RetentionPolicy { hourly: 9, zone: Tz::Europe__Vienna, ..policy() };
    assert_eq!(kept(&points, &hourly).len(), 2);
    let half = RetentionPolicy { hourly: 9, zone: Tz::Asia__Kolkata, ..policy() };
    assert_eq!(
        kept(&all_proven(&["2026-10-25T00:20", "2026-10-25T00:40"]), &half).len(),
        2,
        "half past begins an hour"
    );
    assert_eq!(kept(&all_proven(&["2026-10-25T00:40", "2026-10-25T01:20"]), &half).len(), 1);
}

#[test]
fn leap_days_are_days() {
    let points = all_proven(&["2024-02-28T12:00", "2024-02-29T12:00", "2024-03-01T12:00"]);
    assert_eq!(kept(&points, &RetentionPolicy { daily: 3, ..policy() }).len(), 3);
    assert_eq!(kept(&points, &RetentionPolicy { monthly: 3, ..policy() }), ["2024-03-01T12:00", "2024-02-29T12:00"]);
}

#[test]
fn within_ends_at_the_newest_proven_point_so_that_time_alone_drops_nothing() {
    let old = all_proven(&["2025-01-10T00:00", "2025-01-08T00:00", "2025-01-01T00:00"]);
    let within = RetentionPolicy { within: Some(TimeDelta::days(3)), ..policy() };
    assert_eq!(kept(&old, &within), ["2025-01-10T00:00", "2025-01-08T00:00"], "two years later, too");
    let mut newer = old.clone();
    newer.push(held("2026-11-01T00:00:00Z", Standing::Unproven));
    assert_eq!(kept(&newer, &within), ["2026-11-01T00:00", "2025-01-10T00:00", "2025-01-08T00:00"]);
}

#[test]
fn a_point_that_is_not_proven_fills_no_slot_and_waits_for_one_that_is() {
    let daily = RetentionPolicy { daily: 1, ..policy() };
    let mut points = vec![held("2026-11-21T03:00:00Z", Standing::Unproven), held("2026-11-20T03:00:00Z", proven())];
    assert_eq!(kept(&points, &daily), ["2026-11-21T03:00", "2026-11-20T03:00"]);
    let waits = KeepReason::AwaitsProof { unit: Some(Unit::Daily) };
    assert!(matches!(reasons(&points, &daily, "2026-11-21T03:00:00Z"), Fate::Keep(why) if why.contains(&waits)));
    // Proven, it takes the slot.
    points[0].standing = proven();
    assert_eq!(kept(&points, &daily), ["2026-11-21T03:00"]);
    // A proven one of the same day takes the place of those that wait.
    points[0].standing = Standing::Unproven;
    points.push(held("2026-11-21T05:00:00Z", proven()));
    assert_eq!(kept(&points, &daily), ["2026-11-21T05:00"]);
    let taken = reasons(&points, &daily, "2026-11-21T03:00:00Z");
    assert!(matches!(&taken, Fate::Drop(why) if matches!(why[..], [DropReason::Superseded { unit: Unit::Daily, .. }])));
    // Among the newest ones it waits as long as it is newer than the last of them.
    let last = RetentionPolicy { last: 1, ..policy() };
    let mut points = vec![held("2026-11-21T03:00:00Z", Standing::Unproven), held("2026-11-20T03:00:00Z", proven())];
    points.push(held("2026-11-19T03:00:00Z", Standing::Unproven));
    assert_eq!(kept(&points, &last), ["2026-11-21T03:00", "2026-11-20T03:00"]);
}

#[test]
fn a_disproved_point_goes_first_and_is_never_what_is_left() {
    let last = RetentionPolicy { last: 9, ..policy() };
    let newest = held("2026-11-21T03:00:00Z", DISPROVED);
    let older = held("2026-11-20T03:00:00Z", DISPROVED);
    let good = held("2026-11-19T03:00:00Z", proven());
    assert_eq!(kept(&[newest.clone(), older.clone(), good.clone()], &last), ["2026-11-21T03:00", "2026-11-19T03:00"]);
    let fate = reasons(&[newest.clone(), older.clone(), good], &last, "2026-11-20T03:00:00Z");
    assert_eq!(fate, Fate::Drop(vec![DropReason::Disproved { at: DateTime::UNIX_EPOCH }]));
    // Without anything proven nobody knows what still helps.
    let unproven = held("2026-11-18T03:00:00Z", Standing::Unproven);
    assert_eq!(kept(&[newest, older, unproven], &last).len(), 3);
}

#[test]
fn what_is_held_young_or_newest_stays() {
    let last = RetentionPolicy { last: 1, minimum_age: TimeDelta::hours(3), ..policy() };
    let mut points = all_proven(&["2026-11-21T11:00", "2026-11-21T09:30", "2026-11-21T08:30", "2026-11-21T07:30"]);
    assert_eq!(kept(&points, &last), ["2026-11-21T11:00", "2026-11-21T09:30"]);
    let pin = |until: Option<&str>| Hold::Pin { name: "audit".to_owned(), until: until.map(at) };
    points[2].holds = vec![pin(None)];
    points[3].holds = vec![pin(Some("2026-11-21T11:59:59Z"))];
    assert_eq!(kept(&points, &last), ["2026-11-21T11:00", "2026-11-21T09:30", "2026-11-21T08:30"], "one pin is over");
    points[3].holds.push(Hold::ObjectLock { until: Some(at("2026-11-21T12:00:01Z")) });
    assert_eq!(kept(&points, &last).len(), 4);
}

#[test]
fn a_clock_that_went_back_or_forward_drops_nothing_more() {
    let daily = RetentionPolicy { daily: 1, minimum_age: TimeDelta::days(1), ..RetentionPolicy::default() };
    let points = all_proven(&["2026-11-19T03:00", "2026-11-18T03:00", "2026-11-17T03:00"]);
    // Whoever asks lives in the past: everything is young.
    let early = plan(&points, &daily, at("2020-01-01T00:00:00Z")).unwrap();
    assert_eq!(early.drops().count(), 0);
    // A point from the future neither fills a slot nor ends the span, and stays.
    let mut strange = points.clone();
    strange.push(held("2031-01-01T00:00:00Z", proven()));
    assert_eq!(kept(&strange, &daily), ["2031-01-01T00:00", "2026-11-19T03:00"]);
    let within = RetentionPolicy { within: Some(TimeDelta::days(1)), ..policy() };
    assert_eq!(kept(&strange, &within), ["2031-01-01T00:00", "2026-11-19T03:00", "2026-11-18T03:00"]);
}

#[test]
fn a_floor_keeps_what_rules_alone_would_not() {
    let floor = RetentionPolicy { yearly: 1, minimum_count: 2, ..policy() };
    assert_eq!(kept(&all_proven(&["2026-11-19T03:00", "2026-11-18T03:00", "2026-11-17T03:00"]), &floor).len(), 2);
}

#[test]
fn drops_begin_with_the_oldest() {
    let last = RetentionPolicy { last: 1, ..policy() };
    let plan =
        plan(&all_proven(&["2026-11-18T03:00", "2026-11-19T03:00", "2026-11-17T03:00"]), &last, at(NOW)).unwrap();
    let drops: Vec<_> = plan.drops().map(|entry| entry.snapshot_at.to_rfc3339()).collect();
    assert_eq!(drops, ["2026-11-17T03:00:00+00:00", "2026-11-18T03:00:00+00:00"]);
}

#[test]
fn snapshots_of_the_instance_and_archives_are_planned_for_each_by_itself() {
    let snapshot = |text: &str, standing| Held { kind: crate::PointKind::RdsSnapshot, ..held(text, standing) };
    let of_snapshot = Standing::Proven { level: Level::Instance, at: at("2026-11-21T00:00:00Z") };
    let archives = all_proven(&["2026-11-18T03:00", "2026-11-19T03:00", "2026-11-20T03:00"]);
    let snapshots = ["2026-11-18T04:00:00Z", "2026-11-19T04:00:00Z", "2026-11-20T04:00:00Z", "2026-11-21T04:00:00Z"];
    let snapshots: Vec<Held> = snapshots.map(|text| snapshot(text, of_snapshot)).into();
    let policy = RetentionPolicy { last: 2, ..policy() };
    let both = [&archives[..], &snapshots].concat();
    let kept = kept(&both, &policy);
    assert_eq!(kept, ["2026-11-21T04:00", "2026-11-20T04:00", "2026-11-20T03:00", "2026-11-19T03:00"]);
    let merged = plan(&both, &policy, at(NOW)).unwrap();
    for alone in [&archives, &snapshots] {
        for entry in plan(alone, &policy, at(NOW)).unwrap().entries {
            assert!(merged.entries.contains(&entry), "one kind changes nothing for the other: {entry:?}");
        }
    }
    // The last archive stays, although nothing of it is proven and every snapshot is.
    let lonely = [&[held("2026-11-01T03:00:00Z", Standing::Unproven)][..], &snapshots].concat();
    let fate = reasons(&lonely, &policy, "2026-11-01T03:00:00Z");
    assert!(matches!(&fate, Fate::Keep(why) if why.contains(&KeepReason::NothingProven)), "{fate:?}");
}
