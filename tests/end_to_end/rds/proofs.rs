//! Proofs of snapshots by schedule: as many as are asked for, within the time that is given; and what they count for.

use std::time::Duration;

use holdpoint_testkit::{NEWEST, Pace, RdsInstance, RdsServer};
use holdpoint_tests::Place;
use serde_json::{Value, json};

use crate::rds::shop::{config, shop_on};

const WITHIN: Duration = Duration::from_secs(300);
const PROVE: [&str; 7] = ["verify", "--oldest-unproven", "--level", "stored", "--snapshots", "1", "--json"];

fn shop() -> (RdsServer, Place) {
    let tables = "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders SELECT generate_series(1, 500)";
    let (server, place) = shop_on(&RdsInstance::new("shop", NEWEST), NEWEST, tables);
    place.write_config(&config(""));
    (server, place)
}

fn snapshot(place: &Place, name: &str) -> String {
    let made = place.holdpoint(&["rds", "snapshot", "create", "shop", "--name", name, "--json"]).ended_with(0).json();
    made["point"].as_str().unwrap().to_owned()
}

/// Which snapshots got which verdict.
fn verdicts(report: &Value) -> Vec<(String, String)> {
    let made = report["snapshots"].as_array().cloned().unwrap_or_default();
    let of = |one: &Value, key: &str| one["verification"][key].as_str().unwrap().to_owned();
    made.iter().map(|one| (of(one, "point"), of(one, "verdict"))).collect()
}

#[test]
fn snapshots_are_proven_by_schedule_the_newest_first_and_no_more_than_are_asked_for() {
    let (server, place) = shop();
    let [first, second] = ["first", "second"].map(|name| snapshot(&place, name));
    // Ids are of whole seconds; the order is that of the instants.
    let plan = place.holdpoint(&[&PROVE[..], &["--dry-run"]].concat()).ended_with(0).json();
    assert_eq!((&plan["snapshots"][0]["point"], &plan["snapshots_left"]), (&json!(second), &json!(1)), "{plan:#}");
    let unasked = place.holdpoint(&["verify", "--oldest-unproven", "--level", "stored", "--json"]).ended_with(0).json();
    assert_eq!((&unasked["snapshots"], &unasked["plan"]["snapshots"]), (&Value::Null, &Value::Null), "{unasked:#}");
    assert_eq!(server.count("RestoreDBInstanceFromDBSnapshot"), 0, "nothing is made unasked");

    // Its time is over while the instance is made: that is dropped, and the snapshot left.
    server.set_pace("creating", Pace::Held);
    let mut running = place.start(&[&PROVE[..], &["--max-runtime", "30s"]].concat());
    running.wait_until("the instance is made", WITHIN, || server.identifiers().len() == 2);
    // Its drop waits for nothing that the time has ended.
    running.wait_until("it is dropped", WITHIN, || server.count("DeleteDBInstance") == 1);
    server.set_pace("creating", Pace::Polls(1));
    let report = running.finish().ended_with(5).json();
    assert_eq!((&report["left"][0]["point"], &report["left"][0]["reason"]), (&json!(second), &json!("time_over")));
    server.settle();
    assert_eq!(server.identifiers(), ["shop"], "{report:#}");

    let archive = place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    let report = place.holdpoint(&PROVE).ended_with(0).json();
    assert_eq!(report["verified"][0]["verification"]["point"], json!(archive), "archives come before: {report:#}");
    assert_eq!(verdicts(&report), [(second.clone(), "proved".to_owned())], "{report:#}");
    let told = place.holdpoint(&PROVE[..6]).ended_with(0).stdout;
    assert!(told.contains("1 proved") && told.contains(&first), "{told}");
    let report = place.holdpoint(&PROVE).ended_with(0).json();
    assert_eq!((verdicts(&report), &report["left"]), (Vec::new(), &json!([])), "none lacks a proof: {report:#}");
    server.settle();
    assert_eq!((server.identifiers(), server.count("RestoreDBInstanceFromDBSnapshot")), (vec!["shop".to_owned()], 3));
}

#[test]
fn a_snapshot_that_cannot_be_proven_by_schedule_is_told_and_keeps_no_other_from_its_proof() {
    let (server, place) = shop();
    let [first, second] = ["first", "second"].map(|name| snapshot(&place, name));
    server.deny("RestoreDBInstanceFromDBSnapshot");
    let report = place.holdpoint(&PROVE).ended_with(5).json();
    assert_eq!(verdicts(&report), [(second.clone(), "could_not_run".to_owned())], "{report:#}");
    server.allow("RestoreDBInstanceFromDBSnapshot");
    let report = place.holdpoint(&PROVE).ended_with(0).json();
    assert_eq!(verdicts(&report), [(first, "proved".to_owned())], "{report:#}");
    assert_eq!(server.call("DeleteDBSnapshot", &[("DBSnapshotIdentifier", "second")]).status, 200);
    server.settle();
    let report = place.holdpoint(&PROVE).ended_with(4).json();
    assert_eq!(verdicts(&report), [(second, "disproved".to_owned())], "{report:#}");
}

#[test]
fn a_proof_of_a_snapshot_hides_no_missing_proof_of_an_archive() {
    let (_server, place) = shop();
    let id = snapshot(&place, "held");
    place.holdpoint(&["verify", &id, "--json"]).ended_with(0);
    let proof = |place: &Place| {
        let report = place.holdpoint(&["check", "--max-proof-age", "7d", "--json"]).json();
        assert_eq!(report["last_proof"]["level"], "instance", "{report:#}");
        let found = report["findings"].as_array().unwrap().iter().find(|one| one["kind"] == "proof_too_old");
        found.map(|one| one["reason"].as_str().unwrap().to_owned())
    };
    let told = proof(&place);
    assert_eq!(told.as_deref(), Some("no archive is proven: the newest proof is of a snapshot"));
    place.write_config(&config("[risk]\ndestroys_data = \"instance 1d\"\n"));
    assert_eq!(proof(&place), None, "where runs rely on snapshots, their proofs count");
}

#[test]
fn a_snapshot_is_held_against_the_archive_before_it_by_its_proof_and_before_a_cut_over() {
    let (server, place) = shop();
    let lonely = snapshot(&place, "lonely");
    let notes = |id: &str| {
        let report = place.holdpoint(&["verify", id, "--json"]).ended_with(0).json();
        report["verification"]["notes"].to_string()
    };
    assert!(notes(&lonely).contains("held against no archive"), "{}", notes(&lonely));
    server.psql("shop", "CREATE TABLE events (id int PRIMARY KEY)");
    let archive = place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    server.psql("shop", "INSERT INTO events VALUES (1)");
    let held = snapshot(&place, "held");
    let told = notes(&held);
    assert!(told.contains(&format!("1 of 2 tables hold exactly the rows of {archive}")), "{told}");
    assert!(told.contains("public.events do not"), "{told}");

    let own = ["rds", "snapshot", "restore", "held", "--into", "shop-look", "--json"];
    place.holdpoint(&own).ended_with(0);
    let plan = place.holdpoint(&["rds", "cut-over", "shop-look", "--dry-run", "--json"]).ended_with(0).json();
    let check = &plan["checks"][0];
    assert_eq!((&check["point"], &check["differing"]), (&json!(archive), &json!(["public.events"])), "{plan:#}");
}
