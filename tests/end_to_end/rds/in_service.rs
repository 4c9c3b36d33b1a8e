//! What is put into service is modified no more, and is what was planned when it is renamed or dropped, however long a question
//! took.

use std::time::Duration;

use holdpoint_testkit::{NEWEST, RdsInstance, RdsServer};
use holdpoint_tests::{Outcome, Place};
use serde_json::{Value, json};

use crate::rds::shop::{config, shop_on};

const WITHIN: Duration = Duration::from_secs(300);
const TABLES: &str = "CREATE TABLE orders (id int PRIMARY KEY);
    INSERT INTO orders SELECT generate_series(1, 500)";

/// A shop, and an instance that was restored from it.
struct Shop {
    server: RdsServer,
    place: Place,
}

impl Shop {
    fn new() -> Self {
        let (server, place) = shop_on(&RdsInstance::new("shop", NEWEST), NEWEST, TABLES);
        place.write_config(&config(""));
        place.backup();
        // RDS restores to full seconds, and has them once something later was written.
        std::thread::sleep(Duration::from_millis(1100));
        let at = server.instant();
        std::thread::sleep(Duration::from_millis(1100));
        server.psql("shop", "CREATE TABLE later ()");
        let shop = Self { server, place };
        shop.rds(&["restore", "shop", "--at", &at, "--into", "new"]).ended_with(0);
        shop
    }

    fn rds(&self, words: &[&str]) -> Outcome {
        self.place.holdpoint(&[&["rds"], words, &["--json"]].concat())
    }

    fn modify(&self, identifier: &str, values: &[(&str, &str)]) {
        let own = [("DBInstanceIdentifier", identifier), ("ApplyImmediately", "true")];
        assert_eq!(self.server.call("ModifyDBInstance", &[&own[..], values].concat()).status, 200);
        self.server.settle();
    }

    fn listed(&self) -> Value {
        self.rds(&["list"]).ended_with(0).json()["instances"][0].clone()
    }
}

#[test]
fn a_wait_modifies_nothing_of_what_was_ready_or_is_in_service() {
    let shop = Shop::new();
    shop.rds(&["cut-over", "new", "--yes"]).ended_with(0);
    let grown = [
        ("DBInstanceClass", "db.r6g.4xlarge"),
        ("MultiAZ", "true"),
        ("BackupRetentionPeriod", "30"),
        ("DeletionProtection", "true"),
    ];
    shop.modify("shop", &grown);
    shop.server.forget_calls();
    let failure = shop.rds(&["wait", "shop"]).ended_with(3).failure();
    failure.says(&["shop is in service in the place of its source"]).hints(&["holdpoint rds list"]);
    assert_eq!((shop.server.count("ModifyDBInstance"), shop.server.count("AddTagsToResource")), (0, 0));

    // The name that it goes back to is kept.
    let plan = shop.rds(&["plan", "shop", "--at", "latest", "--into", "new"]).ended_with(15).json();
    assert_eq!(
        plan["problems"][0]["what"], "the name new is kept for the cut-over of shop, or its way back",
        "{plan:#}"
    );

    // Out of service it stays what its owner made of it, and that is told.
    shop.rds(&["cut-over", "shop", "--back", "--yes"]).ended_with(0);
    shop.server.forget_calls();
    let report = shop.rds(&["wait", "new"]).ended_with(0).json();
    assert_eq!((&report["modified"], shop.server.count("ModifyDBInstance")), (&json!([]), 0), "{report:#}");
    let properties = &report["instance"]["properties"];
    let is = ["class", "multi_az", "retention_days", "deletion_protection"].map(|name| properties[name].clone());
    assert_eq!(is, [json!("db.r6g.4xlarge"), json!(true), json!(30), json!(true)], "{report:#}");
    let remains: Vec<&str> =
        report["remains"].as_array().unwrap().iter().map(|one| one["property"].as_str().unwrap()).collect();
    for property in ["class", "Multi-AZ", "backup retention, days"] {
        assert!(remains.contains(&property), "{property}: {report:#}");
    }
}

#[test]
fn a_cut_over_that_is_overtaken_at_its_question_renames_nothing() {
    let shop = Shop::new();
    let overtaken = |words: &str, meanwhile: &dyn Fn()| {
        let ended = shop.place.at_a_terminal_once_asked(words, "yes", meanwhile).ended_with(3);
        assert!(ended.stdout.contains("is not as the cut-over was planned"), "{ended:?}");
    };
    let done = |words: &[&str]| drop(shop.rds(&[&["cut-over"], words, &["--yes"]].concat()).ended_with(0));
    // The first is the source, whatever its name. Another cut-over gives it another name.
    overtaken("rds cut-over new", &|| done(&["new", "--aside", "shop-b"]));
    assert_eq!(shop.server.identifiers(), ["shop-b", "shop"]);
    assert_eq!(shop.listed()["is_in_service"], true);
    // It shall go back, while somebody else takes it back and does it anew.
    overtaken("rds cut-over shop --back", &|| {
        done(&["shop", "--back"]);
        done(&["new", "--aside", "shop-c"]);
    });
    assert_eq!(shop.server.identifiers(), ["shop-c", "shop"]);
    done(&["shop", "--back"]);
    // Renamed by hand: nobody has the name that was planned, and the tags say nothing of it.
    overtaken("rds cut-over new", &|| shop.modify("shop", &[("NewDBInstanceIdentifier", "shop-d")]));
    assert_eq!(shop.server.identifiers(), ["shop-d", "new"]);
    assert_eq!(shop.listed()["is_in_service"], false);
}

#[test]
fn a_cut_over_whose_first_rename_is_refused_is_checked_and_planned_anew() {
    let shop = Shop::new();
    shop.server.deny("ModifyDBInstance");
    shop.rds(&["cut-over", "new", "--yes"]).ended_with(9).failure().says(&["rds:ModifyDBInstance"]);
    shop.server.allow("ModifyDBInstance");
    assert_eq!(shop.listed()["is_in_service"], false, "nothing was renamed");
    shop.rds(&["drop", "new", "--lift-protection", "--dry-run"]).ended_with(0);
    // It never served, so there is nothing to take back.
    let failure = shop.rds(&["cut-over", "new", "--back", "--yes"]).ended_with(3).failure();
    failure.says(&["there is no cut-over to take back"]).hints(&["nothing was renamed"]);
    let failure = shop.rds(&["cut-over", "new", "--aside", "Shop", "--yes"]).ended_with(2).failure();
    failure.says(&["is the source's own name"]).hints(&["--aside NAME"]);

    // What became of it meanwhile is seen, and another name is taken.
    shop.server.psql("new", "DROP TABLE orders");
    let planned = shop.rds(&["cut-over", "new", "--aside", "shop-kept", "--dry-run"]).ended_with(0).json();
    let check = &planned["checks"][0];
    assert_eq!((&check["equal"], &check["differing"]), (&json!(0), &json!(["public.orders"])), "{planned:#}");
    assert_eq!((&planned["plan"]["is_begun"], &planned["plan"]["aside"]), (&json!(false), &json!("shop-kept")));
    shop.rds(&["cut-over", "new", "--aside", "shop-kept", "--yes"]).ended_with(0);
    assert_eq!(shop.server.identifiers(), ["shop-kept", "shop"]);
}

#[test]
fn the_source_is_not_renamed_aside_before_the_new_instance_can_take_its_name() {
    let shop = Shop::new();
    let cut_over = ["rds", "cut-over", "new", "--unchecked", "a test", "--yes", "--json"];
    shop.server.forget_calls();
    for status in ["storage-full", "stopped", "incompatible-parameters", "failed"] {
        shop.server.set_status("new", status);
        shop.place.holdpoint(&cut_over).ended_with(9).failure().says(&["new", status]);
        assert_eq!(
            (shop.server.identifiers().join(" "), shop.server.count("ModifyDBInstance")),
            ("shop new".into(), 0)
        );
    }
    // What RDS is at is waited for.
    shop.server.set_status("new", "backing-up");
    shop.server.forget_calls();
    let mut running = shop.place.start(&cut_over);
    running.wait_until("it waits", WITHIN, || shop.server.count("DescribeDBInstances") > 20);
    assert_eq!((shop.server.identifiers().join(" "), shop.server.count("ModifyDBInstance")), ("shop new".into(), 0));
    // What goes aside may be as broken as it is.
    shop.server.set_status("shop", "storage-full");
    shop.server.set_status("new", "available");
    running.finish().ended_with(0);
    assert_eq!(shop.server.identifiers(), ["shop-old", "shop"]);
    assert_eq!(shop.server.status("shop-old").as_deref(), Some("storage-full"));
}

#[test]
fn an_instance_that_is_renamed_while_its_drop_is_asked_for_is_not_dropped() {
    let shop = Shop::new();
    let meanwhile = || shop.modify("new", &[("NewDBInstanceIdentifier", "mine")]);
    let ended = shop.place.at_a_terminal_once_asked("rds drop new", "yes", meanwhile).ended_with(9);
    assert!(ended.stdout.contains("new is gone: somebody deleted or renamed it"), "{ended:?}");
    let meanwhile = || drop(shop.rds(&["cut-over", "mine", "--yes"]).ended_with(0));
    let ended = shop.place.at_a_terminal_once_asked("rds drop mine", "yes", meanwhile).ended_with(9);
    assert!(ended.stdout.contains("mine is gone"), "{ended:?}");
    assert_eq!((shop.server.count("DeleteDBInstance"), shop.server.identifiers().len()), (0, 2));
}

#[test]
fn a_name_that_is_empty_names_nothing() {
    let shop = Shop::new();
    shop.rds(&["snapshot", "create", "shop", "--name", "held"]).ended_with(0);
    shop.server.forget_calls();
    for words in [
        &["drop", "", "--lift-protection", "--yes"][..],
        &["wait", ""],
        &["cut-over", "", "--yes"],
        &["cut-over", " ", "--back", "--yes"],
        &["window", ""],
        &["plan", "", "--at", "latest", "--into", "other"],
        &["restore", "", "--at", "latest", "--into", "other"],
        &["restore", "shop", "--at", "latest", "--into", ""],
        &["snapshot", "create", ""],
        &["snapshot", "copy", "", "other"],
        &["snapshot", "restore", "", "--into", "other"],
        &["snapshot", "drop", "", "--yes"],
    ] {
        let ended = shop.rds(words);
        assert_ne!(ended.code, 0, "{words:?}: {ended:?}");
    }
    let changed = |call: &String| !call.starts_with("Describe") && !call.starts_with("ListTags");
    assert_eq!(shop.server.calls().into_iter().filter(changed).collect::<Vec<_>>(), [""; 0]);
}
