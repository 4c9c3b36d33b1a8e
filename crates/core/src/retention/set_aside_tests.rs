//! What counts for no other one: parts, labels, missing objects, wrong clocks, and proofs that went less far.

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::PointId;
use crate::verification::{Level, Standing};

const NOW: &str = "2026-11-21T12:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn proven(level: Level) -> Standing {
    Standing::Proven { level, at: at("2026-11-21T00:00:00Z") }
}

/// A whole one of a day of November 2026, fully proven.
fn of(day: u32) -> Held {
    let snapshot_at = at(&format!("2026-11-{day:02}T03:00:00Z"));
    let standing = proven(Level::Full);
    Held {
        kind: crate::PointKind::Archive,
        id: PointId::new(snapshot_at, u64::from(day)),
        snapshot_at,
        by_store: Some(snapshot_at + TimeDelta::seconds(2)),
        standing,
        aside: None,
        holds: Vec::new(),
    }
}

fn set_aside(day: u32, aside: Aside) -> Held {
    Held { aside: Some(aside), ..of(day) }
}

fn part(table: &str) -> Aside {
    Aside::Partial { selection: vec![format!("--table={table}")] }
}

fn label(run: &str) -> Aside {
    Aside::Labelled { label: format!("before-undo-{run}") }
}

fn last(count: u32) -> RetentionPolicy {
    RetentionPolicy { last: count, minimum_count: 1, minimum_age: TimeDelta::zero(), ..RetentionPolicy::default() }
}

fn planned(points: &[Held], policy: &RetentionPolicy) -> RetentionPlan {
    plan(points, policy, at(NOW)).unwrap()
}

/// The days whose restore points are dropped, the oldest first.
fn dropped(points: &[Held], policy: &RetentionPolicy) -> Vec<String> {
    planned(points, policy).drops().map(|entry| entry.snapshot_at.format("%-d").to_string()).collect()
}

fn fate(points: &[Held], policy: &RetentionPolicy, of: &Held) -> Fate {
    planned(points, policy).entries.into_iter().find(|entry| entry.id == of.id).unwrap().fate
}

#[test]
fn what_is_set_aside_never_takes_the_place_of_a_whole_one() {
    let daily = RetentionPolicy { daily: 1, ..last(1) };
    for aside in [part("a"), label("r1"), Aside::Incomplete, Aside::AnotherDatabase] {
        let newer = Held { snapshot_at: at("2026-11-20T09:00:00Z"), by_store: None, ..set_aside(20, aside.clone()) };
        for policy in [last(1), daily.clone(), RetentionPolicy { yearly: 1, ..last(1) }] {
            assert_eq!(dropped(&[of(20), newer.clone()], &policy), [""; 0], "{aside:?}");
            assert_eq!(dropped(&[of(19), of(20), newer.clone()], &policy), ["19"], "{aside:?}");
        }
        // Nothing whole is proven: nothing goes, however well a part is.
        let unproven = Held { standing: Standing::Unproven, ..of(18) };
        let disproved = Held { standing: Standing::Disproved { at: at(NOW) }, ..of(17) };
        let points = [unproven, disproved, newer.clone(), set_aside(16, aside.clone())];
        assert_eq!(dropped(&points, &last(1)), [""; 0], "{aside:?}");
        // The newest whole one is the newest, whatever follows it.
        let newest = Held { standing: Standing::Unproven, ..of(20) };
        let kept = fate(&[of(19), newest.clone(), newer], &last(1), &newest);
        assert!(matches!(kept, Fate::Keep(why) if why.contains(&KeepReason::Newest)), "{aside:?}");
    }
}

#[test]
fn parts_of_one_selection_and_labels_have_a_minimum_of_their_own() {
    let points =
        [of(1), set_aside(2, part("a")), set_aside(3, part("b")), set_aside(4, part("a")), set_aside(5, part("a"))];
    assert_eq!(dropped(&points, &last(1)), ["2", "4"], "of each selection the newest stays");
    let two = RetentionPolicy { minimum_count: 2, ..last(1) };
    assert_eq!(dropped(&points, &two), ["2"]);
    let third = KeepReason::NewestOfItsKind { place: 1 };
    assert_eq!(fate(&points, &last(1), &points[2]), Fate::Keep(vec![third]));
    assert_eq!(fate(&points, &last(1), &points[1]), Fate::Drop(vec![DropReason::BeyondItsKind]));
    // Labels are one kind, since each is another one.
    let labelled = [of(1), set_aside(2, label("r1")), set_aside(3, label("r2")), of(4)];
    assert_eq!(dropped(&labelled, &last(2)), ["2"]);
    // A disproved one is no newest of its kind, and goes first.
    let disproved = Held { standing: Standing::Disproved { at: at(NOW) }, ..set_aside(3, label("r2")) };
    assert_eq!(dropped(&[of(1), set_aside(2, label("r1")), disproved, of(4)], &last(2)), ["3"]);
    // Objects that are missing may come back: nobody else decides about them.
    let hollow = [set_aside(1, Aside::Incomplete), set_aside(2, Aside::Incomplete), of(3)];
    assert_eq!(dropped(&hollow, &last(1)), [""; 0]);
}

#[test]
fn what_nobody_proved_takes_no_place_from_what_is_proven() {
    for aside in [part("a"), label("r1")] {
        let unproven = |day| Held { standing: Standing::Unproven, ..set_aside(day, aside.clone()) };
        let proven = |day| set_aside(day, aside.clone());
        let points = [of(1), unproven(2), proven(3), proven(4), unproven(5), unproven(6)];
        assert_eq!(dropped(&points, &last(1)), ["2", "3", "5"], "{aside:?}");
        let two = RetentionPolicy { minimum_count: 2, ..last(1) };
        assert_eq!(dropped(&points, &two), ["2"], "{aside:?}");
        // What goes, goes because of what is kept: a proven one because of a proven one.
        let plan = planned(&points, &last(1));
        let entry = |day: usize| plan.entries.iter().find(|one| one.id == points[day - 1].id).unwrap();
        let because = |day| plan.newer_of_its_kind(entry(day)).map(|one| one.id.clone()).collect::<Vec<_>>();
        assert_eq!(because(3), [points[3].id.clone()], "{aside:?}");
        assert_eq!(because(5), [points[5].id.clone(), points[3].id.clone()], "{aside:?}");
        assert!(because(4).is_empty(), "it is kept");
        assert!(entry(4).justifies() && entry(6).justifies(), "{aside:?}");
    }
    // Another selection is another kind.
    let points = [of(1), set_aside(2, part("a")), set_aside(3, part("a")), set_aside(4, part("b"))];
    let plan = planned(&points, &last(1));
    let gone = plan.drops().next().unwrap();
    assert_eq!(plan.newer_of_its_kind(gone).map(|one| &one.id).collect::<Vec<_>>(), [&points[2].id]);
}

#[test]
fn age_span_pins_and_locks_keep_what_is_set_aside() {
    let points = |day| vec![of(1), set_aside(day, part("a")), set_aside(20, part("a")), of(21)];
    assert_eq!(dropped(&points(18), &last(9)), ["18"]);
    let young = RetentionPolicy { minimum_age: TimeDelta::days(5), ..last(9) };
    assert_eq!(dropped(&points(18), &young), [""; 0]);
    let within = RetentionPolicy { within: Some(TimeDelta::days(5)), ..last(9) };
    assert_eq!(dropped(&points(18), &within), [""; 0]);
    assert_eq!(dropped(&points(12), &within), ["12"]);
    let mut pinned = points(12);
    pinned[1].holds = vec![Hold::Pin { name: "audit".to_owned(), until: None }];
    assert_eq!(dropped(&pinned, &last(9)), [""; 0]);
    pinned[1].holds = vec![Hold::ObjectLock { until: Some(at("2026-12-01T00:00:00Z")) }];
    assert_eq!(dropped(&pinned, &last(9)), [""; 0]);
}

#[test]
fn ages_are_by_the_stores_clock() {
    let hour = RetentionPolicy { minimum_age: TimeDelta::hours(9), ..last(1) };
    // Both clocks are believed; one of the source is forty minutes behind.
    let mut points = [of(20), of(21), of(21)];
    points[1].snapshot_at = at("2026-11-21T02:30:00Z");
    points[1].by_store = Some(at("2026-11-21T03:10:00Z"));
    assert_eq!(dropped(&points, &hour), ["20"], "it is not nine hours old");
    points[1].by_store = None;
    assert_eq!(dropped(&points, &hour), ["20", "21"], "as far as anybody knows");
    let policy = RetentionPolicy { minimum_age: TimeDelta::hours(12), ..last(1) };
    points[1].by_store = Some(at("2026-11-21T03:10:00Z"));
    assert_eq!(next_drop(&points[1..], &policy, at(NOW)).unwrap(), Some(at("2026-11-21T15:10:00Z")));
}

#[test]
fn a_clock_that_is_wrong_by_more_than_an_hour_neither_drops_nor_is_dropped() {
    // A source that believes it is 2001, and one that believes it is 2031.
    for (stamped, by_store) in [
        ("2001-01-01T00:00:00Z", Some("2026-11-20T03:00:00Z")),
        ("2031-01-01T00:00:00Z", Some("2026-11-20T03:00:00Z")),
        ("2031-01-01T00:00:00Z", None),
        ("2026-11-20T01:59:59Z", Some("2026-11-20T03:00:00Z")),
        ("2026-11-20T04:00:01Z", Some("2026-11-20T03:00:00Z")),
        ("2026-11-21T12:01:01Z", Some("2026-11-21T11:59:00Z")),
    ] {
        let wrong = Held { snapshot_at: at(stamped), by_store: by_store.map(at), ..of(9) };
        let points = [of(18), of(19), wrong.clone()];
        for policy in [last(1), RetentionPolicy { daily: 1, within: Some(TimeDelta::hours(1)), ..last(1) }] {
            assert_eq!(dropped(&points, &policy), ["18"], "{stamped}");
            let reason = KeepReason::ClockDoubted { by_store: wrong.by_store };
            assert_eq!(fate(&points, &policy, &wrong), Fate::Keep(vec![reason]), "{stamped}");
        }
        // Nor is it what lets a disproved or a set-aside one go.
        let disproved = Held { standing: Standing::Disproved { at: at(NOW) }, ..of(17) };
        assert_eq!(dropped(&[disproved, set_aside(3, part("a")), wrong], &last(1)), [""; 0], "{stamped}");
    }
    // An hour is believed.
    let near = Held { snapshot_at: at("2026-11-20T02:00:00Z"), by_store: Some(at("2026-11-20T03:00:00Z")), ..of(9) };
    assert_eq!(dropped(&[of(18), near], &last(1)), ["18"]);
}

#[test]
fn what_was_stamped_in_the_future_counts_when_its_time_has_come() {
    let points = [of(19), Held { snapshot_at: at("2026-11-22T03:00:00Z"), by_store: None, ..of(9) }];
    assert_eq!(dropped(&points, &last(1)), [""; 0]);
    assert_eq!(next_drop(&points, &last(1), at(NOW)).unwrap(), Some(at("2026-11-22T03:00:00Z")));
}

#[test]
fn the_newest_proven_one_of_each_level_stays() {
    let of = |day, level| Held { standing: proven(level), ..of(day) };
    use Level::{Full, Sampled, Stored};
    let points = [of(1, Full), of(2, Full), of(3, Stored), of(4, Sampled), of(5, Stored), of(6, Stored)];
    assert_eq!(dropped(&points, &last(1)), ["1", "3", "5"]);
    let kept = |day: usize| fate(&points, &last(1), &points[day - 1]);
    assert_eq!(kept(2), Fate::Keep(vec![KeepReason::NewestProven { level: Full }]));
    assert_eq!(kept(4), Fate::Keep(vec![KeepReason::NewestProven { level: Sampled }]));
    // One that is proven furthest is the newest of every level.
    let points = [of(1, Full), of(2, Sampled), of(3, Stored), of(4, Full)];
    assert_eq!(dropped(&points, &last(1)), ["1", "2", "3"]);
    // A full proof of a part is none of the whole.
    let points = [of(1, Full), set_aside(2, part("a")), of(3, Stored)];
    assert_eq!(dropped(&points, &last(1)), [""; 0]);
}
