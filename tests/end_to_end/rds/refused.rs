//! What RDS does not let somebody do, and what an instance does not become: each told with what to do, and no call in a tight
//! loop.

use std::collections::BTreeSet;
use std::time::Duration;

use holdpoint_testkit::{NEWEST, Pace, RdsFault, RdsInstance, RdsServer, workspace_directory};
use holdpoint_tests::{Outcome, Place};
use serde_json::{Value, json};

use crate::rds::shop::uses;

const WITHIN: Duration = Duration::from_secs(300);

/// An endpoint with an instance that is restored by a call and a modification.
struct Account {
    server: RdsServer,
    place: Place,
}

impl Account {
    fn new() -> Self {
        let server = RdsServer::start();
        server.create(&RdsInstance::new("shop", NEWEST).with("DeletionProtection", "true"));
        let mut place = Place::bare();
        uses(&mut place, &server);
        Self { server, place }
    }

    fn rds(&self, words: &[&str]) -> Outcome {
        self.place.holdpoint(&[&["rds"], words, &["--poll", "20ms", "--json"]].concat())
    }
}

const RESTORE: [&str; 6] = ["restore", "shop", "--at", "latest", "--into", "new"];

/// The actions of the policy in docs/rds.md, without `rds:`.
fn policy() -> BTreeSet<String> {
    let page = std::fs::read_to_string(workspace_directory().join("docs/rds.md")).unwrap();
    let text = page.split("## The least policy").nth(1).unwrap();
    let text = text.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let policy: Value = serde_json::from_str(text).unwrap();
    let mut actions = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        let action = &statement["Action"];
        let several = action.as_array().cloned().unwrap_or_else(|| vec![action.clone()]);
        actions.extend(several.iter().map(|one| one.as_str().unwrap().trim_start_matches("rds:").to_owned()));
    }
    actions
}

#[test]
fn each_permission_of_the_policy_is_named_where_it_is_missing() {
    let account = Account::new();
    let server = &account.server;
    let mut denied = BTreeSet::new();
    let mut without = |action: &str, words: &[&str]| {
        server.deny(action);
        let missing = format!("the permission rds:{action} is missing");
        account.rds(words).ended_with(9).failure().says(&[&missing]).hints(&["docs/rds.md"]);
        server.allow(action);
        denied.insert(action.to_owned());
    };
    without("DescribeDBInstances", &["window", "shop"]);
    without("DescribeDBInstanceAutomatedBackups", &["window", "shop"]);
    // What is no instance may be a cluster.
    without("DescribeDBClusters", &["window", "nobody"]);
    without("RestoreDBInstanceToPointInTime", &RESTORE);
    assert_eq!(server.identifiers(), ["shop"], "nothing was made");
    // What is made goes on where it stopped, once the permission is there.
    without("ModifyDBInstance", &RESTORE);
    without("AddTagsToResource", &["wait", "new"]);
    account.rds(&["wait", "new"]).ended_with(0);
    assert_eq!(server.count("RestoreDBInstanceToPointInTime"), 2, "one was denied, one was made");
    without("ModifyDBInstance", &["drop", "new", "--lift-protection", "--yes"]);
    without("DeleteDBInstance", &["drop", "new", "--lift-protection", "--yes"]);
    without("CreateDBSnapshot", &["snapshot", "create", "shop", "--name", "held"]);
    without("DescribeDBSnapshots", &["snapshot", "list"]);
    account.rds(&["snapshot", "create", "shop", "--name", "held"]).ended_with(0);
    without("CopyDBSnapshot", &["snapshot", "copy", "held", "kept"]);
    without("RestoreDBInstanceFromDBSnapshot", &["snapshot", "restore", "held", "--into", "look"]);
    without("DeleteDBSnapshot", &["snapshot", "drop", "held", "--yes"]);
    // Begun, it counts as in service until it is gone on with, or taken back.
    without("ModifyDBInstance", &["cut-over", "new", "--unchecked", "a test", "--yes"]);
    assert_eq!((server.identifiers(), server.snapshots()), (vec!["shop".into(), "new".into()], vec!["held".into()]));

    // Two only help: without them a plan lacks its quotas, and a wait its events.
    for action in ["DescribeAccountAttributes", "DescribeEvents"] {
        server.deny(action);
        denied.insert(action.to_owned());
    }
    let plan = account.rds(&["plan", "shop", "--at", "latest", "--into", "another"]).ended_with(0).json();
    assert!(plan["warnings"].to_string().contains("quotas"), "{plan:#}");
    account.rds(&["restore", "shop", "--at", "latest", "--into", "another", "--temporary"]).ended_with(0);
    assert_eq!(denied, policy(), "the policy is what is used");
}

#[test]
fn a_source_that_cannot_be_restored_says_why_and_nothing_is_made() {
    let account = Account::new();
    let server = &account.server;
    server.create(&RdsInstance::new("silent", NEWEST).with("BackupRetentionPeriod", "0"));
    server.create(&RdsInstance::new("other", NEWEST).with_engine("mysql"));
    server.create(&RdsInstance::new("reader", NEWEST).with("ReadReplicaSourceDBInstanceIdentifier", "shop"));
    for (source, told, hint) in [
        ("silent", "silent keeps no automated backups", "backup-retention-period"),
        ("other", "other runs mysql, not PostgreSQL", "aurora-postgresql"),
        ("reader", "reader is a read replica of shop", "shop"),
    ] {
        let window = account.rds(&["window", source]).ended_with(15).json();
        assert_eq!(window["missing"].as_array().map(Vec::len), Some(1), "{window:#}");
        let at = ["--at", "latest", "--into", "new"];
        let plan = account.rds(&[&["plan", source], &at[..]].concat()).ended_with(15).json();
        let says = |one: &Value, key: &str, text: &str| one[key].as_str().is_some_and(|said| said.contains(text));
        let problems = plan["problems"].as_array().unwrap();
        assert!(problems.iter().any(|one| says(one, "what", told) && says(one, "hint", hint)), "{problems:#?}");
        account.rds(&[&["restore", source], &at[..]].concat()).ended_with(3).failure().says(&[told]);
    }
    // A stopped one has its past still; its window stands.
    server.set_status("shop", "stopped");
    let window = account.rds(&["window", "shop"]).ended_with(0).json();
    assert!(window["warnings"].to_string().contains("it is stopped: its window does not move"), "{window:#}");
    account.rds(&RESTORE).ended_with(0);
    assert_eq!(server.count("RestoreDBInstanceToPointInTime"), 1);
    // Whoever wants something of it that only a running one does is told what RDS says.
    let stopped = RdsFault::Error(400, "InvalidDBInstanceState".into(), "Instance shop is stopped.".into());
    server.fail("CreateDBSnapshot", 1, stopped);
    let failure = account.rds(&["snapshot", "create", "shop", "--name", "held"]).ended_with(9).failure();
    failure.says(&["shop is stopped"]).hints(&["start-db-instance --db-instance-identifier shop"]);
}

#[test]
fn an_instance_that_never_comes_is_told_by_its_end_or_after_a_while_with_few_calls() {
    let account = Account::new();
    let server = &account.server;
    for status in ["failed", "incompatible-restore", "insufficient-capacity"] {
        server.end_next_restore_as(status);
        let failure = account.rds(&RESTORE).ended_with(9).failure();
        failure.says(&[&format!("new ended as {status}")]).hints(&["holdpoint rds drop new"]);
        // It stays, costs, and is no obstacle to its own end.
        account.rds(&["wait", "new"]).ended_with(9).failure().says(&[status]);
        account.rds(&["drop", "new", "--yes"]).ended_with(0);
        assert_eq!(server.identifiers(), ["shop"]);
    }

    // Never available: given up after the time, with a call a poll, and gone on with.
    server.set_pace("creating", Pace::Held);
    server.forget_calls();
    let short = ["--poll", "100ms", "--wait-for", "2s", "--json"];
    let failure = account.place.holdpoint(&[&["rds"], &RESTORE[..], &short].concat()).ended_with(14).failure();
    failure.says(&["new is still creating after"]).hints(&["holdpoint rds wait"]);
    let polls = server.count("DescribeDBInstances");
    assert!((10..40).contains(&polls), "{polls} calls for 21 readings");
    assert_eq!(server.count("RestoreDBInstanceToPointInTime"), 1);

    // Killed while it waits, by calls that came at the pace that was asked for.
    server.forget_calls();
    let began = std::time::Instant::now();
    let mut running = account.place.start(&["rds", "wait", "new", "--poll", "50ms"]);
    running.wait_until("it polls", WITHIN, || server.count("DescribeDBInstances") >= 10);
    running.kill();
    running.finish().ended_with(137);
    let most = began.elapsed().as_millis() / 50 + 10;
    let polls = server.count("DescribeDBInstances") as u128;
    assert!(polls <= most, "{polls} calls in the time of {most}");

    // Throttled now and then, and slow: it comes all the same.
    server.fail("DescribeDBInstances", 2, RdsFault::Throttling);
    server.set_pace("creating", Pace::Polls(3));
    server.set_relapses(&["modifying", "backing-up"]);
    let report = account.rds(&["wait", "new"]).ended_with(0).json();
    assert_eq!(
        (&report["is_checked"], &report["instance"]["status"]),
        (&json!(true), &json!("available")),
        "{report:#}"
    );
}

#[test]
fn a_cut_over_that_is_given_up_goes_on_with_the_same_command() {
    let account = Account::new();
    let server = &account.server;
    account.rds(&RESTORE).ended_with(0);
    server.set_pace("renaming", Pace::Held);
    let cut_over = ["rds", "cut-over", "new", "--unchecked", "a test", "--yes", "--poll", "100ms", "--json"];
    let short = [&cut_over[..], &["--wait-for", "1s"]].concat();
    let failure = account.place.holdpoint(&short).ended_with(14).failure();
    failure.says(&["shop is still renaming after"]).hints(&["the same command goes on"]);
    server.set_pace("renaming", Pace::Polls(1));
    server.settle();
    assert_eq!(server.identifiers(), ["shop-old", "new"]);
    let report = account.place.holdpoint(&cut_over).ended_with(0).json();
    assert_eq!(report["plan"]["renames"].as_array().map(Vec::len), Some(1), "{report:#}");
    assert_eq!(server.identifiers(), ["shop-old", "shop"]);
}

/// What RDS was told to make stays there whatever becomes of who asked for it.
#[test]
fn what_an_ended_command_leaves_in_rds_is_named_with_what_drops_it() {
    let account = Account::new();
    let server = &account.server;
    let ended = |words: &[&str], status: &str, is_there: &dyn Fn() -> bool| {
        server.set_pace(status, Pace::Held);
        let mut running = account.place.start(&[&["rds"], words, &["--poll", "20ms", "--json"]].concat());
        running.wait_until("it is being made", WITHIN, is_there);
        running.interrupt();
        let failure = running.finish().ended_with(130).failure();
        server.set_pace(status, Pace::Polls(1));
        failure
    };
    // The answer is there: its maker looks after it.
    let looks =
        |call: &str, looks: &str| server.count(call) > 0 && server.calls().last().is_some_and(|one| one == looks);
    let restored = || looks("RestoreDBInstanceToPointInTime", "DescribeDBInstances") && server.identifiers().len() == 2;
    let left = ["new is there or being made in us-east-1", "rds wait new --region us-east-1", "rds drop new"];
    ended(&RESTORE, "creating", &restored).says(&left);
    // Whoever goes on meets credentials that are over by then.
    let before = server.count("DescribeDBInstances");
    ended(&["wait", "new"], "creating", &|| server.count("DescribeDBInstances") > before + 1).says(&left);
    // A drop that is ended says how far it is, and what goes on with it.
    server.settle();
    server.set("new", "DeletionProtection", "true");
    let drop = ["drop", "new", "--lift-protection", "--yes"];
    let lifted = "new is modifying, and costs until it is gone; it is not protected against deletion any more";
    for (status, told) in [("modifying", lifted), ("deleting", "new is deleting, and costs until it is gone")] {
        let is_so = || server.status("new").as_deref() == Some(status);
        let goes_on = ["the same command goes on: holdpoint rds drop new", "--region us-east-1"];
        ended(&drop, status, &is_so).says(&[told]).hints(&goes_on);
    }
    server.settle();
    assert_eq!(server.identifiers(), ["shop"]);
    server.fail("AddTagsToResource", 1, RdsFault::ExpiredToken);
    let failure = account.rds(&RESTORE).ended_with(9).failure();
    failure.says(&["no usable credentials", left[0], left[2]]).hints(&["aws sts get-caller-identity"]);

    let create = ["snapshot", "create", "shop", "--name", "held", "--unrecorded"];
    let snapshot = ended(&create, "creating", &|| looks("CreateDBSnapshot", "DescribeDBSnapshots"));
    snapshot.says(&["the snapshot held is there or being made in us-east-1", "rds snapshot drop held"]);
}

#[test]
fn an_endpoint_that_never_answers_holds_nobody_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let mut place = Place::bare();
    place.write_config("[rds]\nregion = \"us-east-1\"\nanswer_within = \"500ms\"\n");
    place.set("AWS_ACCESS_KEY_ID", "AKIATEST").set("AWS_SECRET_ACCESS_KEY", "hush");
    let began = std::time::Instant::now();
    let failure =
        place.holdpoint(&["rds", "window", "shop", "--endpoint-url", &endpoint, "--json"]).ended_with(9).failure();
    failure.says(&["no answer from RDS"]).hints(&["whether the endpoint can be reached"]);
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
}
