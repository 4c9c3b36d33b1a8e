//! What RDS does although its answer is lost, or whoever asked is gone, is done once, and gone on with.

use std::time::Duration;

use holdpoint_testkit::{NEWEST, Pace, RdsFault, RdsInstance, RdsServer};
use holdpoint_tests::Place;
use serde_json::json;

use crate::rds::shop::{config, rds, shop_on};

const WITHIN: Duration = Duration::from_secs(300);

fn shop() -> (RdsServer, Place) {
    let instance = RdsInstance::new("shop", NEWEST).with("DeletionProtection", "true");
    let (server, place) = shop_on(&instance, NEWEST, "CREATE TABLE orders (id int PRIMARY KEY)");
    place.write_config(&config(""));
    (server, place)
}

#[test]
fn an_answer_that_is_lost_makes_nothing_twice_and_fails_nothing() {
    let (server, place) = shop();
    // The first call is done and not answered; the SDK asks once more, and RDS refuses that.
    let lost = |action: &str, words: &[&str]| {
        server.forget_calls();
        server.fail(action, 1, RdsFault::AnswerLost);
        let report = rds(&place, words).ended_with(0).json();
        assert!(server.count(action) >= 2, "{action}: {:?}", server.calls());
        report
    };
    let report = lost("RestoreDBInstanceToPointInTime", &["restore", "shop", "--at", "latest", "--into", "new"]);
    assert_eq!((&report["begun"]["name"], &report["finished"]["is_checked"]), (&json!("new"), &json!(true)));
    let made = lost("CreateDBSnapshot", &["snapshot", "create", "shop", "--name", "held"]);
    assert!(made["point"].is_string(), "{made:#}");
    lost("CopyDBSnapshot", &["snapshot", "copy", "held", "kept"]);
    assert_eq!(server.snapshots().len(), 2, "{:?}", server.snapshots());
    let look = ["snapshot", "restore", "held", "--into", "look", "--temporary"];
    lost("RestoreDBInstanceFromDBSnapshot", &look);
    assert_eq!(server.identifiers(), ["shop", "new", "look"]);
    lost("DeleteDBInstance", &["drop", "look", "--final-snapshot", "last", "--yes"]);
    lost("ModifyDBInstance", &["cut-over", "new", "--yes"]);
    assert_eq!(server.identifiers(), ["shop-old", "shop"]);
    lost("ModifyDBInstance", &["cut-over", "shop", "--back", "--yes"]);
    assert_eq!((server.identifiers(), server.snapshots().len()), (vec!["shop".to_owned(), "new".to_owned()], 3));

    // What somebody else has under the name is his.
    let failure = rds(&place, &["snapshot", "create", "shop", "--name", "held"]).ended_with(3).failure();
    failure.says(&["the name held is taken"]).hints(&["--name"]);
}

#[test]
fn a_last_snapshot_whose_name_is_taken_leaves_the_protection() {
    let (server, place) = shop();
    rds(&place, &["restore", "shop", "--at", "latest", "--into", "new"]).ended_with(0);
    rds(&place, &["snapshot", "create", "shop", "--name", "held"]).ended_with(0);
    server.forget_calls();
    let drop = ["drop", "new", "--lift-protection", "--final-snapshot", "held", "--yes"];
    let failure = rds(&place, &drop).ended_with(3).failure();
    failure.says(&["the name held is taken by another snapshot"]).hints(&["--final-snapshot"]);
    assert_eq!((server.count("ModifyDBInstance"), server.count("DeleteDBInstance")), (0, 0));
    // Who may not look at snapshots hears of it from RDS.
    server.deny("DescribeDBSnapshots");
    let failure = rds(&place, &drop).ended_with(3).failure();
    failure.says(&["the name held is taken by another snapshot", "the drop of new did not come to its end"]);
    server.allow("DescribeDBSnapshots");
    rds(&place, &["drop", "new", "--final-snapshot", "last", "--yes"]).ended_with(0);
    assert_eq!(server.identifiers(), ["shop"]);
}

#[test]
fn a_cut_over_that_is_killed_while_a_name_changes_waits_for_it_and_goes_on() {
    let (server, place) = shop();
    rds(&place, &["restore", "shop", "--at", "latest", "--into", "new"]).ended_with(0);
    let renaming = || server.identifiers().iter().any(|name| server.status(name).as_deref() == Some("renaming"));
    let there = ["rds", "cut-over", "new", "--unchecked", "a test", "--yes", "--json"];
    let back = ["rds", "cut-over", "shop", "--back", "--yes", "--json"];
    server.forget_calls();
    let (goes_on, goes_back) = ("rds cut-over new --region us-east-1", "rds cut-over new --back --region us-east-1");
    for (words, becomes, hints) in [
        (&there[..], "shop and becomes shop-old", vec!["the same command goes on", goes_on, goes_back]),
        (&back, "shop and becomes new", vec!["the same command goes on", goes_back]),
    ] {
        for is_last in [false, true] {
            server.set_pace("renaming", Pace::Held);
            let mut running = place.start(words);
            running.wait_until("an instance is renamed", WITHIN, renaming);
            if is_last {
                running.interrupt();
                let failure = running.finish().ended_with(130).failure();
                let told = ["nothing has the name shop now: the source is shop-old", "restored instance is new"];
                failure.says(&told).hints(&hints);
            } else {
                running.kill();
                running.finish().ended_with(137);
            }
            // The other direction is for when RDS is done: by the names of now it would find nothing to do.
            let other = if words == &there[..] { &["new", "--back"][..] } else { &["new", "--unchecked", "a test"] };
            let busy = rds(&place, &[&["cut-over"], other, &["--yes"]].concat()).ended_with(14).failure();
            busy.says(&["RDS renames it to"]);
            // The same command waits for the rename that RDS is at, and asks for no other.
            let mut again = place.start(words);
            let polled = server.count("DescribeDBInstances") + 20;
            again.wait_until("it waits", WITHIN, || server.count("DescribeDBInstances") > polled);
            if is_last {
                server.set_pace("renaming", Pace::Polls(1));
                let report = again.finish().ended_with(0).json();
                assert_eq!(report["plan"]["renames"].as_array().map(Vec::len), Some(1), "{report:#}");
            } else {
                again.interrupt();
                let failure = again.finish().ended_with(130).failure();
                failure.says(&["nothing has the name shop once RDS has made the first rename", becomes]).hints(&hints);
                server.set_pace("renaming", Pace::Polls(1));
                server.settle();
            }
        }
    }
    assert_eq!(
        (server.identifiers(), server.count("ModifyDBInstance")),
        (vec!["shop".to_owned(), "new".to_owned()], 4)
    );
}

#[test]
fn a_way_back_that_was_killed_goes_on_with_the_instance_that_served_last() {
    let (server, place) = shop();
    let cut_over = |words: &[&str]| drop(rds(&place, &[&["cut-over"], words, &["--yes"]].concat()).ended_with(0));
    for (name, aside) in [("first", "shop-gen0"), ("second", "shop-gen1")] {
        rds(&place, &["restore", "shop", "--at", "latest", "--into", name]).ended_with(0);
        cut_over(&[name, "--aside", aside, "--unchecked", "a test"]);
    }
    assert_eq!(server.identifiers(), ["shop-gen0", "shop-gen1", "shop"]);
    server.set_pace("renaming", Pace::Held);
    let mut running = place.start(&["rds", "cut-over", "shop", "--back", "--yes", "--poll", "20ms"]);
    running.wait_until("it gives the name up", WITHIN, || server.status("shop").as_deref() == Some("renaming"));
    running.kill();
    running.finish().ended_with(137);
    server.set_pace("renaming", Pace::Polls(1));
    server.settle();
    // Nothing has the production name now; both had it.
    assert_eq!(server.identifiers(), ["shop-gen0", "shop-gen1", "second"]);
    cut_over(&["shop", "--back"]);
    assert_eq!(server.identifiers(), ["shop-gen0", "shop", "second"]);
    cut_over(&["first", "--back"]);
    assert_eq!(server.identifiers(), ["shop", "first", "second"]);
    let failure = rds(&place, &["cut-over", "shop", "--back", "--yes"]).ended_with(3).failure();
    failure.says(&["shop was not made by holdpoint"]);
}

#[test]
fn what_rds_does_not_show_for_some_readings_is_waited_for_and_dropped_again() {
    let (server, place) = shop();
    let made = rds(&place, &["snapshot", "create", "shop", "--name", "held"]).ended_with(0).json();
    let point = made["point"].as_str().unwrap();
    let restore = ["rds", "restore", "shop", "--at", "latest", "--into", "new", "--json"];
    let verify = ["verify", point, "--json"];
    for words in [&verify[..], &restore] {
        server.set_pace("creating", Pace::Held);
        let mut running = place.start(words);
        running.wait_until("the instance is made", WITHIN, || server.identifiers().len() == 2);
        server.forget_calls();
        running.wait_until("it is waited for", WITHIN, || server.count("DescribeDBInstances") > 6);
        let hidden = RdsFault::Error(404, "DBInstanceNotFound".into(), "DBInstance not found.".into());
        server.forget_calls();
        server.fail("DescribeDBInstances", 2, hidden);
        running.wait_until("it is looked for again", WITHIN, || server.count("DescribeDBInstances") > 4);
        server.set_pace("creating", Pace::Polls(1));
        running.finish().ended_with(0);
        server.settle();
    }
    assert_eq!(server.identifiers(), ["shop", "new"]);
}
