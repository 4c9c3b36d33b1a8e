//! Snapshots of the instance as restore points: recorded, listed, checked, and refused where an archive is needed.

mod create;
mod drop_by_name;
mod retention;
mod verify;

use std::time::Duration;

use holdpoint_testkit::{NEWEST, RdsInstance, RdsServer};
use holdpoint_tests::{Outcome, Place};
use serde_json::{Value, json};

use crate::rds::shop::{config, shop_on};

const WITHIN: Duration = Duration::from_secs(300);

/// A shop on an instance, with a folder of restore points.
struct Shop {
    server: RdsServer,
    place: Place,
}

impl Shop {
    fn new(major: u32) -> Self {
        let tables = "CREATE TABLE orders (id int PRIMARY KEY, note text);
             INSERT INTO orders SELECT n, 'note ' || n FROM generate_series(1, 500) n";
        let (server, place) = shop_on(&RdsInstance::new("shop", major), major, tables);
        place.write_config(&config(""));
        Self { server, place }
    }

    fn json(&self, words: &[&str], code: i32) -> Value {
        self.run(words).ended_with(code).json()
    }

    fn run(&self, words: &[&str]) -> Outcome {
        self.place.holdpoint(&[words, &["--json"]].concat())
    }

    /// A snapshot that is recorded as a restore point; its id.
    fn snapshot(&self, name: &str) -> String {
        let made = self.json(&["rds", "snapshot", "create", "shop", "--name", name, "--reason", "before the sale"], 0);
        assert_eq!((&made["status"], &made["name"]), (&json!("available"), &json!(name)), "{made:#}");
        made["point"].as_str().unwrap_or_else(|| panic!("{made:#}")).to_owned()
    }

    /// Deletes a snapshot past holdpoint; `again`: another one gets its name.
    fn replace(&self, name: &str, again: bool) {
        let named = [("DBSnapshotIdentifier", name)];
        if self.server.snapshots().contains(&name.to_owned()) {
            assert_eq!(self.server.call("DeleteDBSnapshot", &named).status, 200);
            self.server.settle();
        }
        if again {
            std::thread::sleep(Duration::from_millis(1100));
            let made = self.server.call("CreateDBSnapshot", &[("DBInstanceIdentifier", "shop"), named[0]]);
            assert_eq!(made.status, 200);
            self.server.settle();
        }
    }

    /// What the verification of a snapshot ended with; nothing of it is left.
    fn verified(&self, id: &str, code: i32) -> Value {
        let report = self.json(&["verify", id], code);
        self.server.settle();
        assert_eq!(self.server.identifiers(), ["shop"], "the temporary instance is dropped: {report:#}");
        assert_eq!(report["verification"]["level"], "instance", "{report:#}");
        report["verification"].clone()
    }

    fn prune(&self, words: &[&str]) -> Outcome {
        let rules = ["prune", "--keep-last", "1", "--minimum-age", "0s", "--json"];
        self.place.holdpoint(&[&rules[..], words].concat())
    }

    /// Snapshots of these names, each proven.
    fn proven<const N: usize>(&self, names: [&str; N]) -> [String; N] {
        names.map(|name| {
            let id = self.snapshot(name);
            self.verified(&id, 0);
            id
        })
    }

    /// What is there: restore points that are shown, and snapshots in RDS.
    fn there(&self) -> (Vec<String>, Vec<String>) {
        self.server.settle();
        (self.place.points(), self.server.snapshots())
    }

    /// Hides a restore point as a prune does that is killed, longer ago than any may be at work.
    fn hide(&self, id: &str) {
        let folder = self.place.repository().join("shop/restore-points").join(id).join("withdrawn");
        std::fs::create_dir(&folder).unwrap();
        let mark = std::fs::File::create(folder.join("01.json")).unwrap();
        mark.set_modified(mark.metadata().unwrap().modified().unwrap() - Duration::from_secs(20 * 60)).unwrap();
    }

    fn kinds(&self) -> Vec<String> {
        let report = self.place.holdpoint(&["check", "--json"]).json();
        let findings = report["findings"].as_array().unwrap();
        let kinds = findings.iter().map(|one| one["kind"].as_str().unwrap().to_owned());
        // The directory of a test is open to others.
        kinds.filter(|kind| kind != "permissions").collect()
    }
}

#[test]
fn a_snapshot_is_a_restore_point_of_its_own_kind_that_lists_shows_and_checks_know() {
    let shop = Shop::new(NEWEST);
    let id = shop.snapshot("held");
    let archive = shop.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    let listed = shop.json(&["list"], 0);
    let points = listed["points"].as_array().unwrap();
    let of = |key: &str| points.iter().map(|one| one[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("id"), [json!(id), json!(archive)], "{listed:#}");
    assert_eq!(of("stored_as"), [json!("rds_snapshot"), json!("archive")]);
    assert_eq!((&points[0]["snapshot"], &points[0]["rows"]), (&json!("held"), &Value::Null), "{listed:#}");
    assert_eq!(points[0]["standing"]["standing"], "unproven");
    assert!(shop.place.holdpoint(&["list"]).ended_with(0).stdout.contains("snapshot held"));

    let shown = shop.json(&["show", &id], 0);
    let (manifest, made) = (&shown["manifest"], &shown["manifest"]["snapshot"]);
    assert_eq!((&manifest["format"], &manifest["kind"]), (&json!(2), &json!("rds_snapshot")), "{shown:#}");
    assert_eq!((&manifest["reason"], &made["instance"]), (&json!("before the sale"), &json!("shop")), "{shown:#}");
    assert_eq!((&made["name"], &made["is_encrypted"]), (&json!("held"), &json!(false)), "{shown:#}");
    assert!(made["arn"].as_str().unwrap().contains(":snapshot:held"), "{shown:#}");
    for key in ["created_at", "region", "resource_id", "storage_gib", "engine_version"] {
        assert!(!made[key].is_null(), "{key}: {shown:#}");
    }
    assert_eq!(manifest["identity"]["database"], "shop");
    let told = shop.place.holdpoint(&["show", &id]).ended_with(0).stdout;
    for words in ["held of the RDS instance shop", "holdpoint rds snapshot restore held", "aws rds restore-db-instance"]
    {
        assert!(told.contains(words), "{words}: {told}");
    }

    // What selectors choose from are archives; an archive's verbs refuse the snapshot by its id, and say what to do.
    let latest = shop.json(&["show", "latest"], 0);
    assert_eq!(latest["manifest"]["id"], json!(archive));
    let target = shop.server.url("shop", "rdsadmin");
    for words in [
        &["restore", "--from", &id, "--into", &target][..],
        &["recover-table", "orders", "--from", &id],
        &["compare", &id],
        &["compare", "latest", "--against", &id],
    ] {
        let failure = shop.run(words).ended_with(2).failure();
        let failure = failure.says(&[&id, "is the snapshot held of the RDS instance shop, and no archive"]);
        failure.hints(&["holdpoint rds snapshot restore held --into shop-restored"]);
    }

    assert_eq!(shop.kinds(), [""; 0]);
    let doctor = shop.place.holdpoint(&["doctor", "--json"]).json();
    let checks = doctor["checks"].as_array().unwrap_or_else(|| panic!("{doctor:#}"));
    let manifests = checks.iter().find(|one| one["name"] == "manifests").unwrap_or_else(|| panic!("{doctor:#}"));
    assert_eq!(manifests["outcome"], "ok", "{manifests:#}");
    shop.server.deny("DescribeDBSnapshots");
    let report = shop.json(&["check"], 15);
    assert_eq!(
        (shop.kinds(), &report["findings"][0]["place"]),
        (vec!["snapshot".to_owned()], &json!(id)),
        "{report:#}"
    );
    assert!(report["findings"][0]["reason"].as_str().unwrap().contains("not known"), "{report:#}");
    shop.server.allow("DescribeDBSnapshots");
    for again in [false, true] {
        shop.replace("held", again);
        let report = shop.json(&["check"], 15);
        assert_eq!((shop.kinds(), &report["findings"][0]["place"]), (vec!["missing".to_owned()], &json!(id)));
    }
    assert_eq!(shop.json(&["list"], 0)["points"].as_array().unwrap().len(), 2, "the catalogue hides nothing");
}
