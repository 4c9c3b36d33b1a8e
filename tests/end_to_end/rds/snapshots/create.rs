//! What `rds snapshot create` records, whether it is waited for, killed, refused or asked twice.

use holdpoint_testkit::{NEWEST, Pace, RdsInstance};
use serde_json::{Value, json};

use super::{Shop, WITHIN};

#[test]
fn a_snapshot_that_nobody_waited_for_or_whose_maker_was_killed_is_recorded_by_the_same_command() {
    let shop = Shop::new(NEWEST);
    let create = ["rds", "snapshot", "create", "shop", "--name", "held"];
    let begun = shop.json(&[&create[..], &["--no-wait"]].concat(), 0);
    assert_eq!(begun["point"], Value::Null, "{begun:#}");
    assert!(begun["remarks"].to_string().contains("holdpoint rds snapshot create shop --name held"), "{begun:#}");
    assert!(shop.place.points().is_empty(), "nothing is published before it is available");
    let id = shop.json(&create, 0)["point"].as_str().unwrap().to_owned();
    assert_eq!((shop.place.points(), shop.server.count("CreateDBSnapshot")), (vec![id], 2), "it went on with that one");
    shop.run(&create).ended_with(3).failure().says(&["held is taken"]);

    shop.server.set_pace("creating", Pace::Held);
    let mut running = shop.place.start(&["rds", "snapshot", "create", "shop", "--name", "next"]);
    running.wait_until("the snapshot is begun", WITHIN, || shop.server.snapshots().contains(&"next".to_owned()));
    running.kill();
    running.finish().ended_with(137);
    shop.server.set_pace("creating", Pace::Polls(2));
    let went_on = shop.json(&["rds", "snapshot", "create", "shop", "--name", "next"], 0);
    assert!(went_on["remarks"].to_string().contains("was begun before"), "{went_on:#}");
    assert_eq!(shop.place.points().len(), 2);
    let status = shop.json(&["status"], 0);
    assert_eq!((&status["newest"], &status["points"]), (&Value::Null, &json!(2)), "{status:#}");
    assert!(status["warnings"].to_string().contains("no restore point but 2 snapshots"), "{status:#}");

    // Two go on with one snapshot: the second to record it says what it is, and advises nobody to drop it.
    shop.server.set_pace("creating", Pace::Held);
    let create = ["rds", "snapshot", "create", "shop", "--name", "both", "--json"];
    let mut first = shop.place.start(&create);
    first.wait_until("the snapshot is begun", WITHIN, || shop.server.snapshots().contains(&"both".to_owned()));
    first.freeze();
    let asked = shop.server.count("DescribeDBSnapshots");
    let mut second = shop.place.start(&create);
    second.wait_until("it waits too", WITHIN, || shop.server.count("DescribeDBSnapshots") >= asked + 3);
    shop.server.set_pace("creating", Pace::Polls(1));
    let second = second.finish().ended_with(0).json();
    first.thaw();
    let first = first.finish().ended_with(0).json();
    assert_eq!((&first["point"], shop.place.points().len()), (&second["point"], 3), "{first:#}");
    assert!(first["remarks"].to_string().contains("another process recorded it"), "{first:#}");
}

#[test]
fn what_is_not_of_the_database_or_ends_badly_is_recorded_as_nothing() {
    let mut shop = Shop::new(NEWEST);
    let alone = shop.json(&["rds", "snapshot", "create", "shop", "--name", "alone", "--unrecorded"], 0);
    assert_eq!((&alone["point"], &alone["status"]), (&Value::Null, &json!("available")), "{alone:#}");
    shop.run(&["rds", "snapshot", "create", "shop", "--name", "alone"])
        .ended_with(3)
        .failure()
        .says(&["alone is taken"]);

    // The configured database is on another server than the instance.
    shop.server.create(&RdsInstance::new("other", NEWEST));
    let (own, url) = (shop.server.url("shop", "shop"), shop.server.url("other", "shop"));
    shop.place.set("DATABASE_URL", &url);
    let failure = shop.run(&["rds", "snapshot", "create", "shop", "--name", "held"]).ended_with(3).failure();
    failure.says(&["the RDS instance shop is not that of"]).hints(&["rds_instance"]);
    assert_eq!(shop.server.snapshots(), ["alone"], "nothing was made");

    shop.place.set("DATABASE_URL", &own);
    shop.server.deny("CreateDBSnapshot");
    let failure = shop.run(&["rds", "snapshot", "create", "shop", "--name", "held"]).ended_with(9).failure();
    failure.says(&["rds:CreateDBSnapshot"]);
    shop.server.allow("CreateDBSnapshot");
    // The repository fails after the snapshot is there: it is told, and the same command goes on.
    shop.server.set_pace("creating", Pace::Held);
    let mut running = shop.place.start(&["rds", "snapshot", "create", "shop", "--name", "held", "--json"]);
    running.wait_until("the snapshot is begun", WITHIN, || shop.server.snapshots().contains(&"held".to_owned()));
    running.interrupt();
    let failure = running.finish().ended_with(130).failure();
    failure.says(&["the snapshot held in us-east-1 may be there", "holdpoint rds snapshot create shop --name held"]);
    shop.server.set_pace("creating", Pace::Polls(1));
    assert!(shop.place.points().is_empty());
    shop.json(&["rds", "snapshot", "create", "shop", "--name", "held"], 0);
    assert_eq!(shop.place.points().len(), 1);
}

/// Only where nobody made a repository yet is a snapshot made that is no restore point; what cannot be read may hold many.
#[test]
fn a_default_repository_that_cannot_be_read_is_not_taken_for_none() {
    let mut shop = Shop::new(NEWEST);
    let data = shop.place.path().join("data");
    shop.place.unset("HOLDPOINT_REPOSITORY").set("XDG_DATA_HOME", data.to_str().unwrap());
    let alone = shop.json(&["rds", "snapshot", "create", "shop", "--name", "alone"], 0);
    assert_eq!(alone["point"], Value::Null, "{alone:#}");
    assert!(alone["remarks"].to_string().contains("there is no repository yet"), "{alone:#}");
    let repository = data.join("holdpoint/repository");
    std::fs::create_dir_all(&repository).unwrap();
    std::fs::write(repository.join("holdpoint.json"), "{").unwrap();
    let failure = shop.run(&["rds", "snapshot", "create", "shop", "--name", "held"]).ended_with(8).failure();
    failure.says(&["holdpoint.json is something else"]);
    assert_eq!(shop.server.snapshots(), ["alone"], "nothing was made");
}
