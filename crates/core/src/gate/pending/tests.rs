use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::verification::{Level, Standing};

fn now() -> DateTime<Utc> {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn point(age: i64, standing: Standing) -> Point {
    let snapshot_at = now() - Duration::seconds(age);
    let point = PointId::new(snapshot_at, u64::try_from(age.rem_euclid(1000)).unwrap());
    let candidate =
        Candidate { point, kind: PointKind::Archive, snapshot_at, standing, complete: true, labelled: false };
    Point { candidate, identity: IdentityMatch::Same, schema: SchemaSince::Unchanged, lost: None }
}

fn proven(age: i64) -> Point {
    point(age, Standing::Proven { level: Level::Full, at: now() })
}

fn risk(class: RiskClass) -> Asked {
    Asked { class, place: "0001.sql:1".to_owned(), waived: None }
}

fn pending<'a>(asked: &'a [Asked], policy: &'a RiskPolicy, points: &'a [Point]) -> Pending<'a> {
    let window_policy = WindowPolicy::default();
    Pending { migrations: Some(1), asked, policy, window_policy, points, window: None, now: now() }
}

fn reasons(decision: &Decision) -> &[String] {
    match decision {
        Decision::Go { reasons, .. } | Decision::MakeRestorePoint { reasons, .. } | Decision::Refuse { reasons } => {
            reasons
        }
    }
}

#[test]
fn each_class_asks_for_what_the_table_says() {
    use RiskClass as C;
    let policy = RiskPolicy::default();
    let (hour, days) = ([proven(3_600)], [proven(3 * 86_400)]);
    for class in C::ALL {
        let asked = [risk(class)];
        let with = |points| decide(&pending(&asked, &policy, points));
        match class {
            C::ServerWide => assert!(matches!(with(&hour), Decision::Refuse { .. }), "{class:?}"),
            C::Unreviewable | C::DestroysData | C::ChangesData | C::NoWayBack => {
                assert!(matches!(with(&hour), Decision::MakeRestorePoint { .. }), "{class:?}");
            }
            C::Additive => assert!(matches!(with(&days), Decision::Go { point: Some(_), .. })),
            _ => {
                assert!(matches!(with(&hour), Decision::Go { point: Some(_), .. }), "{class:?}");
                assert!(matches!(with(&days), Decision::MakeRestorePoint { .. }), "{class:?}");
            }
        }
    }
}

#[test]
fn what_nobody_can_list_is_unreviewable() {
    let (policy, points) = (RiskPolicy::default(), [proven(60)]);
    let unknown = Pending { migrations: None, ..pending(&[], &policy, &points) };
    let decision = decide(&unknown);
    assert!(matches!(decision, Decision::MakeRestorePoint { policy: Policy { max_age_seconds: 0, .. }, .. }));
    assert!(reasons(&decision)[0].contains("the list of pending migrations"), "{decision:?}");
    // A waiver for what can be read lets nothing else pass.
    let waived = [Asked { waived: Some("agreed".to_owned()), ..risk(RiskClass::Unreviewable) }];
    let decision = decide(&Pending { asked: &waived, ..unknown });
    assert!(matches!(decision, Decision::MakeRestorePoint { .. }), "{decision:?}");
}

#[test]
fn each_reason_against_a_point_is_told() {
    let (asked, policy) = ([risk(RiskClass::Additive)], RiskPolicy::default());
    let of_another = Point { identity: IdentityMatch::Different(vec!["endpoint was a, is b".into()]), ..proven(10) };
    let timeline = Point { identity: IdentityMatch::TimelineChanged, ..proven(20) };
    let changed = Point { schema: SchemaSince::Changed("table users".into()), ..proven(30) };
    let unknown = Point { schema: SchemaSince::NotCompared, ..proven(40) };
    let lost = Point { lost: Some("archive.dump".into()), ..proven(45) };
    let points = [of_another, timeline, changed, unknown, lost];
    let decision = decide(&pending(&asked, &policy, &points));
    assert!(matches!(decision, Decision::MakeRestorePoint { .. }), "{decision:?}");
    let text = reasons(&decision).join("\n");
    for word in ["endpoint was a", "another timeline", "table users", "not compared", "archive.dump"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn both_losses_are_told_and_a_window_can_be_asked_for() {
    let (asked, policy, points) = ([risk(RiskClass::Access)], RiskPolicy::default(), [proven(600)]);
    let case = pending(&asked, &policy, &points);
    let Decision::Go { losses, .. } = decide(&case) else { panic!() };
    assert!(losses[0].contains("600 s ago") && losses[1].contains("no point-in-time window"), "{losses:?}");
    let window = |lag| Some(Window { earliest: now() - Duration::days(7), latest: now() - Duration::seconds(lag) });
    let Decision::Go { losses, .. } = decide(&Pending { window: window(300), ..case.clone() }) else { panic!() };
    assert!(losses[1].contains("300 s ago"), "{losses:?}");
    let required = WindowPolicy { required: true, ..WindowPolicy::default() };
    for (window, goes) in [(None, false), (window(300), true), (window(601), false)] {
        let decision = decide(&Pending { window, window_policy: required, ..case.clone() });
        assert_eq!(matches!(decision, Decision::Go { .. }), goes, "{decision:?}");
    }
}

#[test]
fn only_a_waiver_with_a_reason_opens_what_is_refused() {
    let (policy, points) = (RiskPolicy::default(), []);
    for (reason, refused) in [(None, true), (Some("  "), true), (Some("agreed with ops"), false)] {
        let asked = [Asked { waived: reason.map(str::to_owned), ..risk(RiskClass::ServerWide) }];
        let decision = decide(&pending(&asked, &policy, &points));
        assert_eq!(matches!(decision, Decision::Refuse { .. }), refused, "{decision:?}");
        assert_eq!(reasons(&decision).join("\n").contains("agreed with ops"), !refused);
    }
}

fn requirement() -> impl Strategy<Value = Requirement> {
    prop_oneof![
        Just(Requirement::Nothing),
        Just(Requirement::Warn),
        proof().prop_map(Requirement::ProvenRestorePoint),
        Just(Requirement::Refuse),
    ]
}

fn proof() -> impl Strategy<Value = Policy> {
    (level(), 0_i64..200).prop_map(|(level, max_age_seconds)| Policy { level, max_age_seconds })
}

fn level() -> impl Strategy<Value = Level> {
    prop_oneof![Just(Level::Stored), Just(Level::Sampled), Just(Level::Full)]
}

fn points() -> impl Strategy<Value = Vec<Point>> {
    let standing = prop_oneof![
        level().prop_map(|level| Standing::Proven { level, at: now() }),
        Just(Standing::Disproved { at: now() }),
        Just(Standing::Unproven),
    ];
    let identity = prop_oneof![
        4 => Just(IdentityMatch::Same),
        1 => Just(IdentityMatch::TimelineChanged),
        1 => Just(IdentityMatch::Different(vec!["endpoint".into()])),
    ];
    let schema = prop_oneof![
        4 => Just(SchemaSince::Unchanged),
        1 => Just(SchemaSince::Changed("x".into())),
        1 => Just(SchemaSince::NotCompared),
    ];
    let one = (-20_i64..200, standing, identity, schema, prop::bool::weighted(0.8)).prop_map(
        |(age, standing, identity, schema, complete)| {
            let mut one = Point { identity, schema, ..point(age, standing) };
            one.candidate.complete = complete;
            one
        },
    );
    prop::collection::vec(one, 0..6)
}

fn asks() -> impl Strategy<Value = Vec<Asked>> {
    let one = (prop::sample::select(RiskClass::ALL.to_vec()), 1..4_u32, prop::bool::weighted(0.2));
    let one = one.prop_map(|(class, line, waived)| Asked {
        class,
        place: format!("a.sql:{line}"),
        waived: waived.then(|| "agreed".to_owned()),
    });
    prop::collection::vec(one, 0..5)
}

fn policies() -> impl Strategy<Value = RiskPolicy> {
    let entry = (prop::sample::select(RiskClass::ALL.to_vec()), requirement());
    prop::collection::vec(entry, 0..11)
        .prop_map(|list| RiskPolicy { requirements: list.into_iter().collect::<BTreeMap<_, _>>() })
}

fn strictness(decision: &Decision) -> u8 {
    match decision {
        Decision::Go { .. } => 0,
        Decision::MakeRestorePoint { .. } => 1,
        Decision::Refuse { .. } => 2,
    }
}

proptest! {
    /// Whatever it goes with is the newest that satisfies everything, and everything that was asked is satisfied.
    #[test]
    fn go_means_that_everything_is_satisfied(asked in asks(), policy in policies(), points in points()) {
        let case = pending(&asked, &policy, &points);
        let decision = decide(&case);
        prop_assert!(!reasons(&decision).is_empty());
        let open: Vec<Requirement> = match asked.is_empty() {
            true => vec![policy.requirement(RiskClass::Additive)],
            false => asked.iter().filter(|one| one.waived.is_none()).map(|one| policy.requirement(one.class)).collect(),
        };
        let satisfies = |point: &Point| {
            let age = (case.now - point.candidate.snapshot_at).num_seconds();
            point.candidate.complete
                && point.identity == IdentityMatch::Same
                && point.schema == SchemaSince::Unchanged
                && open.iter().all(|one| match (one, point.candidate.standing) {
                    (Requirement::ProvenRestorePoint(asked), Standing::Proven { level, .. }) => {
                        level >= asked.level && (0..=asked.max_age_seconds).contains(&age)
                    }
                    (Requirement::ProvenRestorePoint(_), _) => false,
                    _ => true,
                })
        };
        let needs_point = open.iter().any(|one| matches!(one, Requirement::ProvenRestorePoint(_)));
        let newest = points.iter().filter(|point| satisfies(point)).map(|point| point.candidate.snapshot_at).max();
        match &decision {
            _ if open.contains(&Requirement::Refuse) => prop_assert_eq!(strictness(&decision), 2),
            Decision::Go { point: None, .. } => prop_assert!(!needs_point),
            Decision::Go { point: Some(id), losses, .. } => {
                let chosen = points.iter().find(|point| point.candidate.point == *id && satisfies(point));
                prop_assert!(chosen.is_some_and(|point| Some(point.candidate.snapshot_at) == newest));
                prop_assert_eq!(losses.len(), 2);
            }
            Decision::MakeRestorePoint { .. } => prop_assert!(needs_point && newest.is_none()),
            Decision::Refuse { .. } => prop_assert!(false, "nothing is refused"),
        }
    }

    /// One more risk never opens the gate, and one less never closes it; the order of anything decides nothing.
    #[test]
    fn more_risk_is_never_less_strict(asked in asks(), more in asks(), policy in policies(), points in points()) {
        prop_assume!(!asked.is_empty());
        let fewer = decide(&pending(&asked, &policy, &points));
        let mut all: Vec<Asked> = asked.iter().chain(&more).cloned().collect();
        let together = decide(&pending(&all, &policy, &points));
        prop_assert!(strictness(&together) >= strictness(&fewer));
        all.reverse();
        let mut turned = points.clone();
        turned.reverse();
        prop_assert_eq!(strictness(&decide(&pending(&all, &policy, &turned))), strictness(&together));
    }

    /// Nothing pending is go, whatever else is the case.
    #[test]
    fn nothing_pending_is_go(asked in asks(), policy in policies(), points in points()) {
        let case = Pending { migrations: Some(0), ..pending(&asked, &policy, &points) };
        let goes = matches!(decide(&case), Decision::Go { point: None, .. });
        prop_assert!(goes);
    }

    /// A required window takes nothing but *go* away.
    #[test]
    fn a_required_window_only_closes(asked in asks(), policy in policies(), points in points(), lag in 0_i64..1200) {
        let window = Some(Window { earliest: now() - Duration::days(1), latest: now() - Duration::seconds(lag) });
        let without = Pending { window, ..pending(&asked, &policy, &points) };
        let required = WindowPolicy { required: true, ..WindowPolicy::default() };
        let with = decide(&Pending { window_policy: required, ..without.clone() });
        let without = decide(&without);
        prop_assert!(strictness(&with) >= strictness(&without));
        if lag <= 600 {
            prop_assert_eq!(with, without);
        }
    }
}

#[test]
fn a_snapshot_needs_a_window_and_where_none_does_the_run_is_refused() {
    let asked = [risk(RiskClass::DestroysData)];
    let policy = RiskPolicy::default().asking(Some(Level::Instance), Some(86_400));
    let snapshot = |age, standing| {
        let mut one = point(age, standing);
        one.candidate.kind = PointKind::RdsSnapshot;
        one
    };
    let proven_at_instance = Standing::Proven { level: Level::Instance, at: now() };
    let points = [proven(60), snapshot(120, Standing::Unproven), snapshot(3_600, proven_at_instance)];
    let window = Window { earliest: now() - Duration::days(7), latest: now() - Duration::seconds(300) };
    let covered = Pending { window: Some(window), ..pending(&asked, &policy, &points) };
    let decision = decide(&covered);
    let Decision::Go { point: Some(chosen), losses, .. } = &decision else { panic!("{decision:?}") };
    assert_eq!(*chosen, points[2].candidate.point, "neither a younger archive nor one that is not proven");
    assert!(losses[1].contains("the newest instant is 300 s ago"), "{losses:?}");

    // Whatever the policy says of the window.
    let old = Window { latest: now() - Duration::seconds(3_600), ..window };
    for window in [None, Some(old)] {
        let decision = decide(&Pending { window, ..covered.clone() });
        assert!(matches!(decision, Decision::Refuse { .. }), "{decision:?}");
        assert!(reasons(&decision).iter().any(|reason| reason.contains("point-in-time window")), "{decision:?}");
        assert!(reasons(&decision).last().unwrap().contains("no run makes one"), "{decision:?}");
    }
    let decision = decide(&Pending { points: &points[..1], ..covered });
    assert!(reasons(&decision).last().unwrap().contains("no restore point yet that is a snapshot"), "{decision:?}");
    // An archive is asked for: snapshots are not told, and one is made.
    let by_default = RiskPolicy::default();
    let decision = decide(&pending(&asked, &by_default, &points[1..]));
    assert!(matches!(decision, Decision::MakeRestorePoint { .. }), "{decision:?}");
    assert!(reasons(&decision).last().unwrap().contains("no restore point yet"), "{decision:?}");
}
