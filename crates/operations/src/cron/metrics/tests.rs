use holdpoint_core::PointId;
use holdpoint_core::cron::{CronEvent, CronHistory, LeftLease, Step, Turn, Unrecorded};
use holdpoint_core::verification::Level;

use super::*;
use crate::ErrorKind;
use crate::cron::{Failed, LeaseLeft, StepReport};
use crate::retention::{NewestPoint, NewestProof, Outlook};

fn at(hour: u32) -> DateTime<Utc> {
    format!("2026-11-21T{hour:02}:00:00Z").parse().unwrap()
}

fn step(step: Step, end: StepEnd) -> StepReport {
    StepReport { step, end, reason: None, failure: None, facts: None, took_ms: 1500 }
}

fn turn(hour: u32) -> Turn {
    Turn { id: format!("t{hour}"), began_at: at(hour) }
}

fn report() -> CronReport {
    let failure = Failed { kind: ErrorKind::Busy, message: String::new(), hint: None };
    let mut report = CronReport::refused("shop".parse().unwrap(), &turn(3), failure);
    report.failure = None;
    report.took_ms = 2_000;
    report.steps = vec![step(Step::Backup, StepEnd::Done), step(Step::Verify, StepEnd::NotDue)];
    report.outlook = Some(Outlook {
        points: 3,
        proven: 2,
        unusable: 1,
        stored_bytes: 3000,
        newest: Some(NewestPoint { point: PointId::new(at(3), 1), snapshot_at: at(3), stored_bytes: 1000, rows: 5 }),
        proofs: vec![NewestProof {
            level: Level::Full,
            point: PointId::new(at(2), 1),
            snapshot_at: at(2),
            proven_at: at(3),
        }],
        next_drop_at: None,
    });
    report.history = Some(CronHistory {
        succeeded_at: Some(at(4)),
        failures: [("postgres".to_owned(), 2), ("killed".to_owned(), 1)].into(),
        ..CronHistory::default()
    });
    report.recorded = true;
    report
}

/// A run that failed before it had the lease.
fn refused(hour: u32, kind: ErrorKind) -> CronReport {
    let failure = Failed { kind, message: String::new(), hint: None };
    let mut refused = CronReport::refused("shop".parse().unwrap(), &turn(hour), failure);
    refused.events.extend((kind != ErrorKind::Busy).then_some(CronEvent::Failed));
    refused
}

fn counts(counts: &[(&str, u64)]) -> std::collections::BTreeMap<String, u64> {
    counts.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect()
}

/// What is left of those that had no lease.
fn without_lease(failures: &[(&str, u64)], since: u32) -> Unrecorded {
    Unrecorded { failures: counts(failures), since: Some(at(since)), succeeded_at: Some(at(4)), left: None }
}

#[test]
fn what_could_not_be_written_down_in_the_repository_stays_in_the_file_until_it_can() {
    let shop = "shop".parse().unwrap();
    let first = metrics(&[report()], "");
    let nothing = Unrecorded { succeeded_at: Some(at(4)), ..Unrecorded::default() };
    assert_eq!(unrecorded(&first, &shop), nothing);
    let mut text = first;
    for (hour, kind) in
        [(4, ErrorKind::Repository), (5, ErrorKind::Usage), (6, ErrorKind::Repository), (7, ErrorKind::Busy)]
    {
        text = metrics(&[refused(hour, kind)], &text);
    }
    let left = without_lease(&[("repository", 2), ("usage", 1)], 4);
    assert_eq!(unrecorded(&text, &shop), left, "{text}");
    for line in ["postgres\"} 2", "killed\"} 1", "repository\"} 2", "usage\"} 1"] {
        let line = format!("holdpoint_cron_failures_total{{database=\"shop\",kind=\"{line}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    assert_eq!(unrecorded(&text, &"shop2".parse().unwrap()), Unrecorded::default());
    // The next run that gets there writes it down, and the file forgets.
    let text = metrics(&[report()], &text);
    assert_eq!(unrecorded(&text, &shop), nothing, "{text}");
}

#[test]
fn a_lease_that_was_left_is_known_with_what_its_run_would_have_written_down() {
    let shop = "shop".parse().unwrap();
    let before = metrics(&[refused(1, ErrorKind::Usage)], &metrics(&[report()], ""));
    // It had the lease and could not give it back: what it counts holds what was left before.
    let unwritten = Some(counts(&[("postgres", 1), ("usage", 1)]));
    let mut left = report();
    (left.recorded, left.left) = (false, Some(LeaseLeft { turn: "t3".to_owned(), unwritten }));
    (left.failure, left.events) = (refused(3, ErrorKind::Postgres).failure, vec![CronEvent::Failed]);
    left.history.as_mut().unwrap().failing_since = Some(at(1));
    let lease = |failures| Some(LeftLease { turn: "t3".to_owned(), failures: counts(failures) });
    let text = metrics(std::slice::from_ref(&left), &before);
    let known = Unrecorded {
        failures: counts(&[]),
        since: Some(at(1)),
        succeeded_at: Some(at(4)),
        left: lease(&[("postgres", 1), ("usage", 1)]),
    };
    assert_eq!(unrecorded(&text, &shop), known, "{text}");
    // Whatever runs since, which lease was left is known, and what its run did not know is told apart.
    let since = [refused(5, ErrorKind::Repository), refused(6, ErrorKind::Repository), refused(7, ErrorKind::Busy)];
    let text = since.iter().fold(text, |text, one| metrics(std::slice::from_ref(one), &text));
    let failures = counts(&[("repository", 2)]);
    assert_eq!(unrecorded(&text, &shop), Unrecorded { failures, ..known }, "{text}");
    // One that was given up does not know what it would have written: all that there is, and itself.
    let mut given_up = refused(8, ErrorKind::CouldNotRun);
    given_up.left = Some(LeaseLeft { turn: "t8".to_owned(), unwritten: None });
    let all = [("could_not_run", 1), ("postgres", 1), ("repository", 2), ("usage", 1)];
    let found = unrecorded(&metrics(&[given_up], &text), &shop);
    assert_eq!(found.left.unwrap(), LeftLease { turn: "t8".to_owned(), failures: counts(&all) });
    assert_eq!((found.failures.len(), found.since), (0, Some(at(1))));
    // In one that could not give it back nothing failed: since it nothing does.
    let mut good = report();
    (good.recorded, good.left) =
        (false, Some(LeaseLeft { turn: "t9".to_owned(), unwritten: left.left.unwrap().unwritten }));
    let found = unrecorded(&metrics(&[good], &text), &shop);
    assert_eq!((found.since, found.left.unwrap().failures), (None, counts(&[("postgres", 1), ("usage", 1)])));
}

#[test]
fn every_number_has_its_line() {
    let text = metrics(&[report()], "");
    let three = at(3).timestamp();
    for line in [
        &format!("holdpoint_cron_last_run_timestamp_seconds{{database=\"shop\"}} {three}"),
        "holdpoint_cron_last_run_success{database=\"shop\"} 1",
        &format!("holdpoint_cron_last_success_timestamp_seconds{{database=\"shop\"}} {}", at(4).timestamp()),
        "holdpoint_cron_duration_seconds{database=\"shop\"} 2",
        "holdpoint_cron_step_duration_seconds{database=\"shop\",step=\"backup\"} 1.500",
        "holdpoint_cron_step_success{database=\"shop\",step=\"verify\"} 1",
        "holdpoint_cron_failures_total{database=\"shop\",kind=\"postgres\"} 2",
        "# TYPE holdpoint_cron_failures_total counter",
        "holdpoint_restore_points_proven{database=\"shop\"} 2",
        "holdpoint_stored_bytes{database=\"shop\"} 3000",
        &format!("holdpoint_newest_restore_point_timestamp_seconds{{database=\"shop\"}} {three}"),
        "holdpoint_newest_restore_point_bytes{database=\"shop\"} 1000",
        &format!(
            "holdpoint_proven_restore_point_timestamp_seconds{{database=\"shop\",level=\"full\"}} {}",
            at(2).timestamp()
        ),
        &format!("holdpoint_last_proof_timestamp_seconds{{database=\"shop\",level=\"full\"}} {three}"),
    ] {
        assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
    }
    let mut soon = report();
    soon.outlook.as_mut().unwrap().next_drop_at = Some(at(5));
    let due = metrics(&[soon], "");
    for line in [
        &format!("holdpoint_next_drop_timestamp_seconds{{database=\"shop\"}} {}", at(5).timestamp()),
        "# TYPE holdpoint_next_drop_timestamp_seconds gauge",
    ] {
        assert!(due.lines().any(|one| one == line), "{line} is not in\n{due}");
    }
    assert!(!text.contains("next_drop") && !text.contains("step_duration_seconds{database=\"shop\",step=\"verify\"}"));
    // Every family is told once, with help and type, and is named after its unit.
    for family in FAMILIES {
        assert!(text.matches(&format!("# TYPE {} ", family.name)).count() <= 1);
        assert!(family.name.starts_with("holdpoint_") && family.help.ends_with('.'), "{}", family.name);
        assert_eq!(family.kind == "counter", family.name.ends_with("_total"), "{}", family.name);
        let instant = family.help.contains("since 1970");
        assert_eq!(instant, family.name.ends_with("_timestamp_seconds"), "{}", family.name);
    }
}

/// A repository that cannot be reached must not silence the alert that asks for the age of the last success.
#[test]
fn what_is_not_known_stays_as_it_was() {
    let before = metrics(&[report()], "");
    let mut failed = report();
    failed.started_at = at(9);
    failed.failure = Some(Failed { kind: ErrorKind::Repository, message: String::new(), hint: None });
    (failed.steps, failed.outlook, failed.history) = (Vec::new(), None, None);
    let mut other = report();
    other.database = "shop-2".parse().unwrap();
    let text = metrics(&[failed.clone(), other.clone()], &before);
    let line = |text: &str, name: &str, database: &str| {
        let head = format!("{name}{{database=\"{database}\"");
        text.lines().find_map(|line| line.strip_prefix(&head)).map(str::to_owned)
    };
    for name in
        ["holdpoint_cron_last_success_timestamp_seconds", "holdpoint_stored_bytes", "holdpoint_cron_failures_total"]
    {
        assert_eq!(line(&text, name, "shop"), line(&before, name, "shop"), "{name}");
        assert!(line(&text, name, "shop").is_some() && line(&text, name, "shop-2").is_some(), "{name}");
    }
    assert_eq!(line(&text, "holdpoint_cron_last_run_success", "shop").unwrap(), "} 0");
    assert_eq!(line(&text, "holdpoint_cron_last_run_success", "shop-2").unwrap(), "} 1");
    // A run that another one kept from beginning was none.
    let mut busy = failed;
    busy.failure = Some(Failed { kind: ErrorKind::Busy, message: String::new(), hint: None });
    assert_eq!(metrics(&[busy], &before), before);
    // A database that is gone from the configuration goes from the file.
    assert!(!metrics(&[other], &before).contains("database=\"shop\""));
}

#[test]
fn values_of_labels_are_escaped() {
    assert_eq!(label("a", "x\"y\\z\n"), "a=\"x\\\"y\\\\z\\n\"");
}
