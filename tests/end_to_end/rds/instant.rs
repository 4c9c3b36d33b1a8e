//! Guarded runs that wait, right before their command, until RDS can restore the instant before it.

use std::time::Duration;

use holdpoint_testkit::{ADMIN, NEWEST, Shipping};
use holdpoint_tests::{Outcome, Running, alive_with};
use serde_json::Value;

use crate::rds::shop::config;
use crate::rds::undo::{MIGRATES, PROJECT, Shop, WITHIN, way};

const AROUND: [&str; 4] = ["--before", "echo on >> log", "--after", "echo off >> log"];
const WAITING: &str = "waiting-for-instant";

/// A shop whose log is archived only when the test says so, and whose runs wait for so long.
fn shop(wait: &str) -> Shop {
    let shop = Shop::new(NEWEST);
    shop.server.set_shipping(Shipping::Held);
    waits(&shop, wait);
    // Instants are whole seconds: the one that a run notes is after what was archived when the instance was made.
    std::thread::sleep(Duration::from_millis(1100));
    shop
}

fn waits(shop: &Shop, wait: &str) {
    shop.place.write_config(&config(&format!("[gate]\nwait_for_instant = \"{wait}\"\n")));
}

fn words() -> Vec<&'static str> {
    [&["guard", "--json", "--yes"], &PROJECT[..], &AROUND, &MIGRATES].concat()
}

fn guard(shop: &Shop) -> Outcome {
    shop.place.holdpoint(&words())
}

/// A run that has noted its instant and is about to wait for it.
fn paused(shop: &Shop) -> Running {
    let mut run = shop.place.start_paused(&words(), WAITING);
    run.wait_for_pause();
    run
}

/// Lets a paused run go on, until it has asked for the window several times.
fn asks(shop: &Shop, run: &mut Running) {
    let before = shop.server.count("DescribeDBInstances");
    run.go_on();
    run.wait_until("it asks for the window", WITHIN, || shop.server.count("DescribeDBInstances") >= before + 3);
}

fn newest(shop: &Shop) -> Value {
    shop.place.holdpoint(&["show", "run:latest", "--json"]).ended_with(0).json()
}

fn log(shop: &Shop) -> String {
    std::fs::read_to_string(shop.place.work().join("log")).unwrap_or_default()
}

/// The command did not run, and maintenance mode is over.
fn nothing_ran(shop: &Shop, log_says: &str) {
    assert_eq!((shop.orders("shop").as_str(), log(shop).as_str()), ("1", log_says));
    assert_eq!((shop.server.identifiers(), alive_with(shop.place.path())), (vec!["shop".to_owned()], Vec::new()));
}

#[test]
fn a_run_waits_for_the_instant_before_its_command_which_is_gone_back_to_at_once() {
    let shop = shop("2m");
    let mut run = paused(&shop);
    asks(&shop, &mut run);
    assert_eq!(shop.orders("shop"), "1", "the command waits");
    shop.server.psql("shop", "INSERT INTO events VALUES (1)");
    shop.server.ship("shop");
    let report = run.finish().ended_with(0).json();
    assert_eq!((shop.orders("shop").as_str(), log(&shop).as_str()), ("0", "on\noff\n"));
    let by_rds = way(&report, "rds");
    let since = by_rds["command"].as_str().unwrap().rsplit(' ').next().unwrap();
    assert_eq!(
        by_rds["data_lost"].as_str().unwrap().split(", into").next().unwrap(),
        format!("everything written since {since}, before the command")
    );
    let conditions = by_rds["conditions"].to_string();
    assert!(conditions.contains("which waited ") && !conditions.contains("some minutes after"), "{conditions}");
    let shown = newest(&shop).to_string();
    assert!(shown.contains(&format!("waits until RDS can restore shop to {since}, for 2 min 00 s at most")), "{shown}");

    // Nothing more is archived: the instant is there already.
    let accepts = ["--yes", "--accept-data-loss-since", since];
    shop.undo(&accepts).ended_with(0);
    assert_eq!(shop.server.psql("shop", "SELECT count(*), min(note) FROM orders"), "500|note 1");
    assert_eq!(shop.server.psql("shop", "SELECT count(*) FROM events"), "0", "written while the run waited");
}

#[test]
fn an_instant_that_does_not_come_in_time_lets_nothing_run() {
    let shop = shop("1s");
    let polls = shop.server.count("DescribeDBInstances");
    let refused = guard(&shop).ended_with(3);
    refused
        .failure()
        .says(&["gate.wait_for_instant", "shop cannot be restored to", "restorable until"])
        .hints(&["nothing was changed", "holdpoint rds window shop"]);
    let polls = shop.server.count("DescribeDBInstances") - polls;
    assert!(polls < 70, "{polls} calls in a second at a pause of 20 ms: a tight loop");
    nothing_ran(&shop, "on\noff\n");
    let run = newest(&shop);
    let last = &run["steps"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["state"], &last["instant"]), (&"refused".into(), &Value::Null), "{run:#}");

    // What RDS refuses meanwhile is told, and no key with it.
    waits(&shop, "2m");
    let run = paused(&shop);
    shop.server.deny("DescribeDBInstances");
    run.go_on();
    let refused = run.finish().ended_with(3);
    refused.failure().says(&["gate.wait_for_instant", "rds:DescribeDBInstances"]);
    shop.server.allow("DescribeDBInstances");
    nothing_ran(&shop, "on\noff\non\noff\n");
    let secret = shop.server.environment(&ADMIN).into_iter().find(|(name, _)| name.contains("SECRET")).unwrap().1;
    let told = [refused.stdout, refused.stderr, newest(&shop).to_string()].concat();
    assert!(!told.contains(&secret));
}

#[test]
fn a_run_that_waits_is_interrupted_killed_or_overtaken_and_its_command_never_runs() {
    let shop = shop("10m");
    let mut run = paused(&shop);
    asks(&shop, &mut run);
    run.interrupt();
    assert_eq!(run.finish().ended_with(130).failure().kind, "interrupted");
    nothing_ran(&shop, "on\noff\n");
    assert_eq!(shop.stands(), "refused");

    let mut run = paused(&shop);
    asks(&shop, &mut run);
    // The lock is its own all the while.
    guard(&shop).ended_with(14);
    run.kill();
    run.finish().ended_with(137);
    assert_eq!(shop.orders("shop"), "1");
    let runs = shop.place.holdpoint(&["runs", "--json"]).ended_with(0).json().to_string();
    assert!(runs.contains("interrupted_before_its_command"), "{runs}");

    // What was proven is looked at again after the wait.
    let run = paused(&shop);
    shop.server.psql("shop", "CREATE TABLE meanwhile ()");
    shop.server.ship("shop");
    run.go_on();
    run.finish().ended_with(3).failure().says(&["the schema changed since restore point", "meanwhile"]);
    assert_eq!(shop.orders("shop"), "1");
}

#[test]
fn without_an_instance_that_goes_back_to_an_instant_nothing_is_made_for_the_run() {
    let shop = shop("2m");
    shop.server.set("shop", "BackupRetentionPeriod", "0");
    let refused = guard(&shop).ended_with(3);
    refused.failure().says(&["gate.wait_for_instant", "the RDS instance shop is no way back", "automated backups"]);
    shop.place.write_config("[database.shop]\nurl = \"env:DATABASE_URL\"\n[gate]\nwait_for_instant = \"2m\"\n");
    let refused = guard(&shop).ended_with(3);
    refused.failure().says(&["no RDS instance is known"]).hints(&["rds_instance in holdpoint.toml"]);
    assert_eq!(shop.place.points(), Vec::<String>::new(), "no restore point was made");
    nothing_ran(&shop, "");

    // What needs no restore point needs no instant.
    shop.place.write_config(
        "[database.shop]\nurl = \"env:DATABASE_URL\"\n[gate]\nwait_for_instant = \"2m\"\n[risk]\nadditive = \"nothing\"\n",
    );
    std::fs::write(shop.place.work().join("sql/0001_drops.sql"), "CREATE TABLE added ();\n").unwrap();
    guard(&shop).ended_with(0);
    assert_eq!(shop.server.psql("shop", "SELECT count(*) FROM pg_tables WHERE tablename = 'added'"), "1");
}
