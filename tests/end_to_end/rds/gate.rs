//! Guarded runs that rely on a snapshot of the instance: proven at level instance, with a window that covers now.

use holdpoint_testkit::NEWEST;
use holdpoint_tests::Outcome;
use serde_json::{Value, json};

use crate::rds::shop::config;
use crate::rds::undo::{MIGRATES, Shop, way};

/// What a gate asks for that relies on snapshots.
const GATE: &str = "[gate]\nlevel = \"instance\"\nmax_age = \"1d\"\nwait_for_instant = \"2m\"\n";

fn shop(major: u32) -> Shop {
    let shop = Shop::new(major);
    shop.place.write_config(&config(GATE));
    shop
}

fn words<'a>(verb: &'a str, flags: &[&'a str]) -> Vec<&'a str> {
    let project = ["--json", "--tool", "plain-sql", "--migrations", "sql", "--applied-through", "none"];
    let yes: &[&str] = if verb == "guard" { &["--yes"] } else { &[] };
    [&[verb], &project[..], yes, flags, &MIGRATES].concat()
}

fn guard(shop: &Shop, flags: &[&str]) -> Outcome {
    shop.place.holdpoint(&words("guard", flags))
}

/// A snapshot that is a restore point; its id.
fn snapshot(shop: &Shop, name: &str) -> String {
    let made = shop.place.holdpoint(&["rds", "snapshot", "create", "shop", "--name", name, "--json"]);
    made.ended_with(0).json()["point"].as_str().unwrap().to_owned()
}

fn proven(shop: &Shop, name: &str) -> String {
    let id = snapshot(shop, name);
    shop.place.holdpoint(&["verify", &id, "--json"]).ended_with(0);
    id
}

/// The run was refused for this reason: the command did not run, and nothing was made.
fn refused(shop: &Shop, says: &[&str]) {
    guard(shop, &[]).ended_with(3).failure().says(says);
    shop.server.settle();
    assert_eq!((shop.orders("shop").as_str(), shop.server.identifiers()), ("1", vec!["shop".to_owned()]));
}

/// With a project of SQL files the schema, and not the tool's table, tells whether the instant is before the migration.
fn relied_on_and_undone(major: u32) {
    let shop = shop(major);
    refused(&shop, &["no restore point yet that is a snapshot", "holdpoint rds snapshot create"]);
    // An archive does not do, however far it is proven.
    shop.place.holdpoint(&["backup", "--verify=stored", "--json"]).ended_with(0);
    refused(&shop, &["no restore point yet that is a snapshot"]);
    let id = snapshot(&shop, "held");
    refused(&shop, &[&format!("{id}: not proven"), "no run makes one"]);
    shop.place.holdpoint(&["verify", &id, "--json"]).ended_with(0);
    let shown = shop.place.holdpoint(&["show", &id, "--json"]).ended_with(0).json();
    let schema = shown["verifications"][0]["schema"].as_array().unwrap();
    assert!(schema.iter().any(|one| one["tag"] == "orders"), "{shown:#}");
    shop.server.psql("shop", "INSERT INTO events VALUES (1)");
    // RDS restores to whole seconds: what was written in the second of the command's beginning is lost with it.
    std::thread::sleep(std::time::Duration::from_millis(1100));

    let prepared = shop.place.holdpoint(&words("prepare", &[])).ended_with(0).json();
    assert_eq!(prepared["point"], json!(id), "{prepared:#}");
    let report = guard(&shop, &[]).ended_with(0).json();
    assert_eq!((&report["point"], &report["verification"]), (&json!(id), &Value::Null), "{report:#}");
    assert!(report["not_rehearsed"].as_str().unwrap().contains("a snapshot of the instance"), "{report:#}");
    let reasons = report["decision"]["reasons"].to_string();
    assert!(reasons.contains(&format!("{id} is proven (instance)")), "{reasons}");
    assert!(report["decision"]["losses"].to_string().contains("the newest instant is"), "{report:#}");
    let ways: Vec<&str> =
        report["ways_back"].as_array().unwrap().iter().map(|one| one["way"].as_str().unwrap()).collect();
    assert_eq!(ways, ["rds", "beside"], "{report:#}");
    let beside = way(&report, "beside")["command"].as_str().unwrap();
    assert!(beside.starts_with("holdpoint rds snapshot restore held --into shop-beside-"), "{beside}");
    let by_rds = way(&report, "rds");
    assert!(by_rds["conditions"].to_string().contains("RDS could restore that instant before"), "{by_rds:#}");
    let since = by_rds["command"].as_str().unwrap().rsplit(' ').next().unwrap();

    // As long as the run may be undone, nobody drops what it relies on.
    let run = report["run"].as_str().unwrap();
    let pins = shop.place.holdpoint(&["show", &id, "--json"]).ended_with(0).json()["pins"].to_string();
    assert!(pins.contains(&format!("run-{run}")), "{pins}");
    assert_eq!(shop.orders("shop"), "0", "the migration dropped it");
    for other in ["rollback", "recover", "restore"] {
        let own = ["undo", "latest", "--way", other, "--yes", "--tool", "plain-sql", "--migrations", "sql", "--json"];
        let told = shop.place.holdpoint(&own).ended_with(3);
        told.failure().says(&[&format!("no way back by {other}"), "is a snapshot of the instance"]);
    }
    let undone = shop.undo(&["--yes", "--accept-data-loss-since", since]).ended_with(0).json();
    let proof = undone["undo"]["proof"].to_string();
    assert!(proof.contains("as in the restore point, which is a snapshot"), "{proof}");
    assert!(proof.contains("tables were read to their ends"), "{proof}");
    assert_eq!(shop.server.psql("shop", "SELECT count(*), min(note) FROM orders"), "500|note 1");
    assert_eq!(
        shop.server.psql("shop", "SELECT count(*) FROM events"),
        "1",
        "written after the snapshot, before the run"
    );
}

#[test]
fn a_run_relies_on_a_proven_snapshot_and_is_undone_by_the_instant_before_it() {
    relied_on_and_undone(NEWEST);
}

#[test]
fn a_run_on_an_older_major_relies_on_a_proven_snapshot_too() {
    relied_on_and_undone(16);
}

#[test]
fn a_snapshot_that_does_not_do_lets_nothing_run() {
    let shop = shop(NEWEST);
    let id = proven(&shop, "held");
    shop.server.psql("shop", "CREATE TABLE since ()");
    refused(&shop, &[&id, "the schema changed since", "since"]);
    shop.server.psql("shop", "DROP TABLE since");

    shop.place.write_config(&config(&GATE.replace("1d", "1s")));
    std::thread::sleep(std::time::Duration::from_millis(2100));
    refused(&shop, &[&id, "1 s allowed"]);
    shop.place.write_config(&config(GATE));

    // Without a window nothing brings back what was written since.
    shop.server.set("shop", "BackupRetentionPeriod", "0");
    refused(&shop, &[&id, "no point-in-time window covers"]);
    shop.server.set("shop", "BackupRetentionPeriod", "7");

    // Nobody can tell whether it is there, and then it is not.
    shop.server.deny("DescribeDBSnapshots");
    refused(&shop, &[&id, "whether the snapshot held is there is not known"]);
    shop.server.allow("DescribeDBSnapshots");
    assert_eq!(shop.server.call("DeleteDBSnapshot", &[("DBSnapshotIdentifier", "held")]).status, 200);
    shop.server.settle();
    refused(&shop, &[&id, "the snapshot held is not in"]);
}

#[test]
fn what_level_instance_cannot_go_with_is_refused_before_anything_is_asked() {
    let shop = shop(NEWEST);
    let wrong = |text: &str, flags: &[&str], says: &str| {
        shop.place.write_config(&config(text));
        guard(&shop, flags).ended_with(2).failure().says(&["level instance asks for a snapshot", says]);
    };
    wrong("[gate]\nlevel = \"instance\"\nwait_for_instant = \"2m\"\n", &[], "gate.max_age");
    wrong("[gate]\nlevel = \"instance\"\nmax_age = \"1d\"\n", &[], "gate.wait_for_instant");
    wrong("[gate]\nmax_age = \"1d\"\n", &["--level", "instance"], "gate.wait_for_instant");
    wrong(
        "[risk]\ndestroys_data = \"instance\"\n[gate]\nwait_for_instant = \"2m\"\n",
        &[],
        "destroys_data needs an age",
    );
    wrong(GATE, &["--on-failure", "rollback"], "leave --on-failure out");
    assert_eq!((shop.orders("shop").as_str(), shop.place.points()), ("1", Vec::new()));
}
