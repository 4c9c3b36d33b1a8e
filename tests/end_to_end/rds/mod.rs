//! `rds`: an instance restored to an instant, with its rows and its properties; put in its source's place and back.

mod aurora;
mod cluster_refused;
mod cut_over;
mod gate;
mod in_service;
mod instant;
mod lost_answers;
mod moto;
mod proofs;
mod recover;
mod refused;
mod shop;
mod snapshots;
mod tokens;
mod undo;

use std::time::{Duration, Instant};

use holdpoint_testkit::{NEWEST, Pace, READ_ONLY, RdsFault, RdsInstance, RdsServer};
use holdpoint_tests::Place;

use shop::{rds, uses};

const WITHIN: Duration = Duration::from_secs(300);

/// A place that uses the endpoint, and an endpoint with an instance whose properties are not RDS's defaults.
fn scene(major: u32) -> (RdsServer, Place) {
    let server = RdsServer::start();
    let shop = RdsInstance::new("shop", major)
        .with("MultiAZ", "true")
        .with("DeletionProtection", "true")
        .with("PreferredMaintenanceWindow", "sun:04:00-sun:04:30")
        .with_security_groups(&["sg-1", "sg-2"])
        .with_parameter_group("shop-pg", &["work_mem = '7MB'"])
        .with_subnet_group("private")
        .with_tag("team", "a");
    server.create(&shop);
    let mut place = Place::bare();
    uses(&mut place, &server);
    (server, place)
}

#[test]
fn an_instance_goes_back_to_an_instant_takes_its_sources_place_and_returns_it() {
    let (server, place) = scene(NEWEST);
    server.psql("shop", "CREATE TABLE orders (n int); INSERT INTO orders SELECT generate_series(1, 100)");
    // RDS restores to full seconds: what comes later is written in a later one.
    std::thread::sleep(Duration::from_millis(1100));
    let before = server.instant();
    std::thread::sleep(Duration::from_millis(1100));
    server.psql("shop", "DROP TABLE orders");
    server.ship("shop");

    let window = rds(&place, &["window", "shop"]).ended_with(0).json();
    assert!(window["missing"].as_array().is_some_and(Vec::is_empty) && window["latest_at"].is_string(), "{window:#}");
    let plan = rds(&place, &["plan", "shop", "--at", &before]).ended_with(0).json();
    assert_eq!(plan["target"], "shop-restored", "{plan:#}");
    assert_eq!(server.count("RestoreDBInstanceToPointInTime"), 0);

    // Killed while it waits: another process goes on.
    server.set_pace("creating", Pace::Held);
    let mut running = place.start(&["rds", "restore", "shop", "--at", &before, "--poll", "20ms"]);
    running.wait_until("the instance is made", WITHIN, || server.status("shop-restored").is_some());
    running.kill();
    running.finish().ended_with(137);
    server.set_pace("creating", Pace::Polls(2));
    let report = rds(&place, &["wait", "shop-restored"]).ended_with(0).json();
    assert_eq!(report["is_checked"], true, "{report:#}");
    assert_eq!(report["remains"].as_array().map(Vec::len), Some(0), "{report:#}");
    let properties = &report["instance"]["properties"];
    for (name, value) in [
        ("multi_az", serde_json::json!(true)),
        ("deletion_protection", serde_json::json!(true)),
        ("maintenance_window", serde_json::json!("sun:04:00-sun:04:30")),
        ("security_groups", serde_json::json!(["sg-1", "sg-2"])),
        ("parameter_group", serde_json::json!("shop-pg")),
        ("subnet_group", serde_json::json!("private")),
    ] {
        assert_eq!(properties[name], value, "{name} in {properties:#}");
    }
    assert_eq!(report["instance"]["tags"]["team"], "a");
    assert_eq!(server.psql("shop-restored", "SELECT count(*) FROM orders"), "100");
    assert_eq!(server.psql("shop-restored", "SHOW work_mem"), "7MB");
    let polls = server.count("DescribeDBInstances");
    assert!(polls < 400, "{polls} calls: a tight loop");

    let cut_over = ["cut-over", "shop-restored"];
    let failure = rds(&place, &[&cut_over[..], &["--yes"]].concat()).ended_with(3).failure();
    failure.says(&["nothing is there to check shop-restored with"]).hints(&["rds_instance = \"shop\"", "--unchecked"]);
    let cut_over = [&cut_over[..], &["--unchecked", "the rows were counted"]].concat();
    rds(&place, &cut_over).ended_with(16);
    let planned = rds(&place, &[&cut_over[..], &["--dry-run"]].concat()).ended_with(0).json();
    assert!(planned["done"].is_null() && server.identifiers().contains(&"shop-restored".to_owned()), "{planned:#}");
    let report = rds(&place, &[&cut_over[..], &["--yes"]].concat()).ended_with(0).json();
    assert_eq!(report["plan"]["unchecked"], "the rows were counted", "{report:#}");
    assert_eq!(report["done"]["serving"]["tags"]["holdpoint:unchecked"], "the rows were counted", "{report:#}");
    assert_eq!(report["done"]["way_back"], "holdpoint rds cut-over shop --back", "{report:#}");
    assert_eq!(server.psql("shop", "SELECT count(*) FROM orders"), "100");
    rds(&place, &["drop", "shop", "--lift-protection", "--yes"]).ended_with(3).failure().says(&["in service"]);
    rds(&place, &["cut-over", "shop", "--back", "--yes"]).ended_with(0);
    assert_eq!(server.psql("shop", "SELECT count(*) FROM pg_tables WHERE tablename = 'orders'"), "0");

    rds(&place, &["drop", "shop", "--yes"]).ended_with(3).failure().says(&["shop was not made by holdpoint"]);
    rds(&place, &["drop", "shop-restored", "--yes"]).ended_with(3).failure().says(&["protected"]);
    let drop = ["drop", "shop-restored", "--lift-protection", "--final-snapshot", "last"];
    rds(&place, &drop).ended_with(16);
    rds(&place, &[&drop[..], &["--dry-run"]].concat()).ended_with(0);
    assert_eq!(server.identifiers().len(), 2);
    rds(&place, &[&drop[..], &["--yes"]].concat()).ended_with(0);
    assert_eq!(server.identifiers(), ["shop"]);
    assert_eq!(server.snapshots(), ["last"]);

    // The last snapshot is not holdpoint's to drop; a copy is, and goes back to rows and properties as well.
    rds(&place, &["snapshot", "drop", "last", "--yes"]).ended_with(3).failure().says(&["not made by holdpoint"]);
    let made = rds(&place, &["snapshot", "create", "shop", "--name", "held"]).ended_with(0).json();
    assert_eq!((made["status"].as_str(), made["is_ours"].as_bool()), (Some("available"), Some(true)), "{made:#}");
    rds(&place, &["snapshot", "create", "shop", "--name", "held"]).ended_with(3).failure().says(&["held is taken"]);
    rds(&place, &["snapshot", "copy", "held", "kept"]).ended_with(0);
    rds(&place, &["snapshot", "drop", "held", "--yes"]).ended_with(0);
    server.psql("shop", "CREATE TABLE late (n int)");
    let look = ["snapshot", "restore", "kept", "--into", "look", "--temporary"];
    let report = rds(&place, &look).ended_with(0).json();
    let properties = &report["finished"]["instance"]["properties"];
    assert_eq!((&properties["parameter_group"], &properties["multi_az"]), (&"shop-pg".into(), &false.into()));
    assert_eq!(server.psql("look", "SELECT count(*) FROM pg_tables WHERE tablename IN ('late', 'orders')"), "0");
    rds(&place, &["drop", "look", "--yes"]).ended_with(0);
    rds(&place, &["snapshot", "drop", "kept", "--dry-run"]).ended_with(0);
    let list = rds(&place, &["snapshot", "list", "shop"]).ended_with(0).json();
    assert_eq!(list["snapshots"].as_array().map(Vec::len), Some(1), "{list:#}");
    rds(&place, &["snapshot", "drop", "kept", "--yes"]).ended_with(0);
    let list = rds(&place, &["list"]).ended_with(0).json();
    assert_eq!(list["instances"].as_array().map(Vec::len), Some(0), "{list:#}");
}

/// What does not depend on kills, on an older major.
#[test]
fn an_instance_of_an_older_major_goes_back_and_returns_too() {
    let (server, place) = scene(16);
    server.psql("shop", "CREATE TABLE orders (n int); INSERT INTO orders SELECT generate_series(1, 100)");
    std::thread::sleep(Duration::from_millis(1100));
    let before = server.instant();
    std::thread::sleep(Duration::from_millis(1100));
    server.psql("shop", "DROP TABLE orders");
    let timed = |words: &[&str]| {
        let began = Instant::now();
        let outcome = rds(&place, words).ended_with(0);
        println!("rds {}: {:.1} s", words.join(" "), began.elapsed().as_secs_f64());
        outcome
    };
    let report = timed(&["restore", "shop", "--at", &before]).json();
    let instance = &report["finished"]["instance"];
    assert!(
        instance["properties"]["engine_version"].as_str().is_some_and(|text| text.starts_with("16.")),
        "{instance:#}"
    );
    assert_eq!(server.psql("shop-restored", "SELECT count(*), current_setting('work_mem') FROM orders"), "100|7MB");
    timed(&["cut-over", "shop-restored", "--unchecked", "a test", "--yes"]);
    assert_eq!(server.psql("shop", "SELECT count(*) FROM orders"), "100");
    timed(&["snapshot", "create", "shop", "--name", "held"]);
    timed(&["cut-over", "shop", "--back", "--yes"]);
    assert_eq!(server.psql("shop", "SELECT count(*) FROM pg_tables WHERE tablename = 'orders'"), "0");
    timed(&["snapshot", "restore", "held", "--into", "look", "--temporary"]);
    assert_eq!(
        server.psql("look", "SELECT count(*), current_setting('server_version_num')::int / 10000 FROM orders"),
        "100|16"
    );
    timed(&["drop", "look", "--yes"]);
}

#[test]
fn what_cannot_be_restored_is_told_with_what_to_do() {
    let (server, mut place) = scene(NEWEST);
    server.create(&RdsInstance::new("silent", NEWEST).with("BackupRetentionPeriod", "0"));
    server.create(&RdsInstance::new("other", NEWEST).with_engine("mysql"));
    let plan = |source: &str, at: &str, into: &str| rds(&place, &["plan", source, "--at", at, "--into", into]);
    for (source, at, into, told) in [
        ("shop", "2020-01-01T00:00:00Z", "new", "its window is"),
        ("shop", "2120-01-01T00:00:00Z", "new", "is in the future"),
        ("shop", "latest", "shop", "the name shop is taken"),
        ("shop", "latest", "new--name", "two hyphens together"),
        ("silent", "latest", "new", "keeps no automated backups"),
        ("other", "latest", "new", "runs mysql, not PostgreSQL"),
    ] {
        let plan = plan(source, at, into).ended_with(15).json();
        let problem = &plan["problems"][0];
        assert!(problem["what"].as_str().is_some_and(|what| what.contains(told)), "{told}: {problem}");
        assert!(problem["hint"].is_string(), "{problem}");
    }
    // What the source has not can be asked for, and is shown.
    let zones = |flags: &[&str]| rds(&place, &[&["plan", "silent", "--at", "latest", "--into", "new"], flags].concat());
    zones(&["--single-az", "--multi-az"]).ended_with(2);
    for (flag, several) in [("--single-az", false), ("--multi-az", true)] {
        let plan = zones(&[flag]).ended_with(15).json();
        assert_eq!(plan["new"]["multi_az"], several, "{plan:#}");
    }
    plan("shop", "2026-11-21T02:43:00", "new").ended_with(2).failure().says(&["with its time zone"]);
    plan("nobody", "latest", "new").ended_with(6).failure().says(&["nobody does not exist"]);
    rds(&place, &["window", "silent"]).ended_with(15);
    let restore = ["restore", "shop", "--at", "latest", "--into", "new"];
    rds(&place, &["restore", "shop", "--at", "latest", "--into", "shop"]).ended_with(3).failure().says(&["is taken"]);

    server.set_quota("DBInstances", 3);
    rds(&place, &restore).ended_with(3).failure().says(&["DBInstances"]);
    server.set_quota("DBInstances", 40);
    server.fail("DescribeDBInstances", 3, RdsFault::Throttling);
    rds(&place, &["window", "shop"]).ended_with(0);
    server.end_next_restore_as("incompatible-restore");
    rds(&place, &restore).ended_with(9).failure().says(&["new ended as incompatible-restore"]).hints(&["rds drop new"]);
    rds(&place, &["drop", "new", "--yes"]).ended_with(0);

    for (name, value) in server.environment(&READ_ONLY) {
        place.set(name, &value);
    }
    let missing = "rds:RestoreDBInstanceToPointInTime";
    rds(&place, &restore).ended_with(9).failure().says(&[missing]).hints(&["docs/rds.md"]);
    place.unset("AWS_REGION");
    rds(&place, &["window", "shop"]).ended_with(2).failure().says(&["region"]).hints(&["--region"]);
}
