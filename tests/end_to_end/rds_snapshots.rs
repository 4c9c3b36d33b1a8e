//! Snapshots of the instance as restore points: recorded, listed, checked, and refused where an archive is needed.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use holdpoint_testkit::{ADMIN, NEWEST, Pace, RdsFault, RdsInstance, RdsServer};
use holdpoint_tests::{Outcome, Place};
use serde_json::{Value, json};

use crate::rds_shop::{config, shop_on};

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

    /// Overwrites the head of the first block of a file on an instance, before anybody has read it there.
    fn damage(&self, identifier: &str, path: &str) {
        let (_, data, _) = self.server.server(identifier);
        let mut file = std::fs::OpenOptions::new().write(true).open(data.join(path)).unwrap();
        file.seek(SeekFrom::Start(8)).unwrap();
        file.write_all(&[0xA5; 64]).unwrap();
        file.sync_all().unwrap();
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

#[test]
fn a_snapshot_is_proved_by_a_temporary_instance_that_is_read_and_dropped_again() {
    for major in [16, NEWEST] {
        let shop = Shop::new(major);
        let id = shop.snapshot("held");
        let plan = shop.json(&["verify", &id, "--dry-run"], 0);
        assert!(plan["target"].as_str().unwrap().starts_with("shop-verify-"), "{plan:#}");
        assert_eq!((&plan["snapshot"]["name"], shop.server.identifiers()), (&json!("held"), vec!["shop".to_owned()]));
        let proof = shop.verified(&id, 0);
        assert_eq!((&proof["verdict"], &proof["compared"]["tables"]), (&json!("proved"), &json!(1)), "{proof:#}");
        assert_eq!(proof["compared"]["rows"], 500, "PostgreSQL {major}: {proof:#}");
        let listed = shop.json(&["list"], 0);
        assert_eq!(
            listed["points"][0]["standing"],
            json!({"standing": "proven", "level": "instance", "at": proof["started_at"]})
        );
        assert_eq!(shop.json(&["check"], 15)["last_proof"]["level"], "instance");
        shop.run(&["verify", &id, "--level", "stored"]).ended_with(2).failure().says(&["at level instance alone"]);
    }
}

#[test]
fn a_snapshot_that_cannot_be_read_or_is_gone_is_disproved_and_what_lies_elsewhere_says_nothing() {
    let shop = Shop::new(NEWEST);
    let id = shop.snapshot("held");
    shop.server.end_next_restore_as("failed");
    let verdict = shop.verified(&id, 5);
    assert!(verdict["obstacles"][0]["reason"].as_str().unwrap().contains("ended as failed"), "{verdict:#}");
    shop.server.deny("RestoreDBInstanceFromDBSnapshot");
    let verdict = shop.verified(&id, 5);
    let denied = verdict["obstacles"][0]["reason"].as_str().unwrap();
    assert!(denied.contains("rds:RestoreDBInstanceFromDBSnapshot"), "{verdict:#}");
    shop.server.allow("RestoreDBInstanceFromDBSnapshot");

    // Ended by Ctrl-C while it waits: nothing is recorded, and nothing is left.
    shop.server.set_pace("creating", Pace::Held);
    let mut running = shop.place.start(&["verify", &id, "--json"]);
    running.wait_until("the instance is made", WITHIN, || shop.server.identifiers().len() == 2);
    running.interrupt();
    shop.server.set_pace("creating", Pace::Polls(1));
    running.finish().ended_with(130);
    shop.server.settle();
    assert_eq!(shop.server.identifiers(), ["shop"]);
    assert_eq!(shop.json(&["show", &id], 0)["verifications"].as_array().unwrap().len(), 2);

    // A block that cannot be read on the instance that was made of it.
    let path = shop.server.psql("shop", "SELECT pg_relation_filepath('orders')");
    shop.server.set_relapses(&["modifying"]);
    shop.server.set_pace("modifying", Pace::Held);
    let mut running = shop.place.start(&["verify", &id, "--json"]);
    let temporary = || shop.server.identifiers().into_iter().find(|name| name.starts_with("shop-verify-"));
    let stands = || temporary().and_then(|name| shop.server.status(&name));
    running.wait_until("the instance runs", WITHIN, || stands().is_some_and(|status| status == "modifying"));
    shop.damage(&temporary().unwrap(), path.trim());
    shop.server.set_relapses(&[]);
    shop.server.set_pace("modifying", Pace::Polls(1));
    let verdict = running.finish().ended_with(4).json()["verification"].clone();
    assert_eq!(
        (&verdict["verdict"], &verdict["differences"][0]["name"]),
        (&json!("disproved"), &json!("public.orders"))
    );
    shop.server.settle();
    assert_eq!(shop.server.identifiers(), ["shop"]);
    for again in [false, true] {
        shop.replace("held", again);
        let verdict = shop.verified(&id, 4);
        assert_eq!(verdict["differences"][0]["name"], "snapshot", "{verdict:#}");
    }
    shop.run(&["verify", "latest"]).ended_with(6).failure().says(&["latest selects no restore point"]);
}

#[test]
fn retention_withdraws_a_snapshot_and_deletes_it_unless_it_is_pinned_refused_or_another_one() {
    let shop = Shop::new(NEWEST);
    let ids = ["one", "two", "three"].map(|name| {
        let id = shop.snapshot(name);
        shop.verified(&id, 0);
        id
    });
    let kept = || (shop.place.points(), shop.server.snapshots());
    let three = || (ids.to_vec(), vec!["one".to_owned(), "two".to_owned(), "three".to_owned()]);
    let planned = shop.prune(&["--dry-run"]).ended_with(0).json();
    let fates: Vec<_> = planned["entries"].as_array().unwrap().iter().map(|one| (&one["kind"], &one["fate"])).collect();
    let kind = &json!("rds_snapshot");
    assert_eq!(fates, [(kind, &json!("keep")), (kind, &json!("drop")), (kind, &json!("drop"))], "{planned:#}");
    assert_eq!(kept(), three());

    shop.json(&["pin", &ids[0], "--name", "audit", "--reason", "the auditors"], 0);
    shop.server.deny("DeleteDBSnapshot");
    let report = shop.prune(&[]).ended_with(8).json();
    let dropped = &report["dropped"][0];
    assert_eq!((&dropped["point"], &dropped["outcome"]), (&json!(ids[1]), &json!("failed")), "{report:#}");
    assert!(dropped["reason"].as_str().unwrap().contains("rds:DeleteDBSnapshot"), "{report:#}");
    assert_eq!(kept(), three(), "what RDS does not delete is no restore point less");
    shop.server.allow("DeleteDBSnapshot");
    shop.run(&["rds", "snapshot", "drop", "one", "--yes"]).ended_with(3).failure().says(&["pinned: audit"]);
    assert_eq!(kept(), three());

    let report = shop.prune(&[]).ended_with(0).json();
    assert_eq!(report["dropped"][0]["outcome"], "gone", "{report:#}");
    shop.server.settle();
    assert_eq!(kept(), (vec![ids[0].clone(), ids[2].clone()], vec!["one".to_owned(), "three".to_owned()]));

    // Another snapshot of the name is nobody's to delete: the recorded one is gone.
    shop.json(&["unpin", &ids[0], "--name", "audit"], 0);
    shop.replace("one", true);
    shop.prune(&[]).ended_with(0);
    assert_eq!((shop.place.points(), shop.server.snapshots().len()), (vec![ids[2].clone()], 2));

    // By hand both go.
    shop.json(&["rds", "snapshot", "drop", "three", "--yes"], 0);
    shop.server.settle();
    assert_eq!((shop.place.points(), shop.server.snapshots()), (Vec::new(), vec!["one".to_owned()]));
}

/// What RDS has no more, has under the name of another one, or does not tell of, lets nothing go.
#[test]
fn a_snapshot_that_is_not_known_to_be_there_lets_no_other_one_go() {
    let shop = Shop::new(NEWEST);
    let ids = shop.proven(["one", "two"]);
    let both = ids.to_vec();
    let stays = |snapshots: &[&str], said: &str| {
        let report = shop.prune(&[]).ended_with(15).json();
        assert_eq!(report["dropped"], json!([]), "{said}: {report:#}");
        let finding = &report["findings"][0];
        assert_eq!((&finding["place"], finding["reason"].as_str().unwrap().contains(said)), (&json!(ids[1]), true));
        let snapshots: Vec<String> = snapshots.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(shop.there(), (both.clone(), snapshots), "{said}");
    };
    shop.server.deny("DescribeDBSnapshots");
    stays(&["one", "two"], "not known");
    shop.server.allow("DescribeDBSnapshots");
    shop.replace("two", false);
    stays(&["one"], "not in us-east-1 any more");
    shop.replace("two", true);
    stays(&["one", "two"], "another one");
}

/// Where another account is asked, what is not found, or has the name, says nothing of what was recorded.
#[test]
fn in_another_account_nothing_is_taken_for_gone() {
    let mut shop = Shop::new(NEWEST);
    let [id] = shop.proven(["held"]);
    let asked = "lies in account 123456789012 in us-east-1, and account 210987654321 in us-east-1 was asked";
    for gone in [false, true] {
        if gone {
            shop.replace("held", false);
        }
        shop.server.set_account(Some("210987654321"));
        let verdict = shop.verified(&id, 5);
        assert!(verdict["obstacles"][0]["reason"].as_str().unwrap().contains(asked), "{gone}: {verdict:#}");
        assert_eq!(shop.kinds(), ["snapshot"], "{gone}");
        shop.server.set_account(None);
    }
    assert_eq!(shop.verified(&id, 4)["verdict"], "disproved", "in its own account it is gone");

    // Where nothing is seen nobody knows which account it is; the disproved one would go first.
    let proven = shop.proven(["next"]);
    let other = RdsServer::start();
    for (name, value) in other.environment(&ADMIN) {
        shop.place.set(name, &value);
    }
    let report = shop.prune(&[]).ended_with(15).json();
    assert!(report["findings"][0]["reason"].as_str().unwrap().contains("which account was asked is not known"));
    assert_eq!(shop.there(), (vec![id.clone(), proven[0].clone()], vec!["next".to_owned()]), "{report:#}");

    // What the flags name is asked to the end, not what the environment names.
    let flags = ["rds", "--endpoint-url", &shop.server.endpoint(), "snapshot", "drop", "next", "--yes"];
    shop.json(&flags, 0);
    assert_eq!(shop.there(), (vec![id], Vec::new()));
}

/// Tags are copied with a snapshot: only the one that the manifest names is the restore point.
#[test]
fn a_copy_with_the_tags_of_a_restore_point_is_dropped_alone() {
    let shop = Shop::new(NEWEST);
    let id = shop.snapshot("held");
    let names = [("SourceDBSnapshotIdentifier", "held"), ("TargetDBSnapshotIdentifier", "copy"), ("CopyTags", "true")];
    assert_eq!(shop.server.call("CopyDBSnapshot", &names).status, 200);
    shop.server.settle();
    let tags = shop.server.snapshot_tags("copy");
    assert!(tags.contains(&("holdpoint:point".to_owned(), id.clone())), "{tags:?}");
    shop.json(&["rds", "snapshot", "drop", "copy", "--yes"], 0);
    assert_eq!(shop.there(), (vec![id], vec!["held".to_owned()]));
}

/// Pins lie in the repository of a restore point: where that is another one, nobody can look at them.
#[test]
fn a_snapshot_of_another_repository_is_refused() {
    let shop = Shop::new(NEWEST);
    let id = shop.snapshot("held");
    let own = shop.server.snapshot_tags("held");
    let drop = ["rds", "snapshot", "drop", "held", "--yes"];
    for (tag, value, said) in [
        ("holdpoint:repository", "elsewhere", "made in repository elsewhere"),
        ("holdpoint:folder", "../shop", "no folder is tagged"),
    ] {
        shop.server.tag_snapshot("held", &[(tag, value)]);
        let failure = shop.run(&drop).ended_with(3).failure();
        failure.says(&[&id, said]).hints(&["--repository", "aws rds delete-db-snapshot"]);
        assert_eq!(shop.there(), (vec![id.clone()], vec!["held".to_owned()]), "{tag}");
    }
    // Another restore point's id, and no tag at all: the manifest says what it is.
    let own: Vec<(&str, &str)> = own.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    shop.server.tag_snapshot("held", &own);
    shop.server.tag_snapshot("held", &[("holdpoint:point", "20200101T000000Z-aaaa")]);
    let told = format!("held is restore point {id} of shop, though its tags do not say so");
    for removed in [false, true] {
        if removed {
            let arn = "arn:aws:rds:us-east-1:123456789012:snapshot:held";
            let keys = [("ResourceName", arn), ("TagKeys.member.1", "holdpoint:point")];
            assert_eq!(shop.server.call("RemoveTagsFromResource", &keys).status, 200);
        }
        shop.run(&drop).ended_with(3).failure().says(&[&told]).hints(&["add-tags-to-resource", &id]);
        assert_eq!(shop.there(), (vec![id.clone()], vec!["held".to_owned()]), "{removed}");
    }
}

/// A deletion of which nothing is known may have been done: the restore point stays hidden, and the next prune asks again.
#[test]
fn what_a_killed_or_unanswered_withdrawal_left_is_settled_by_asking_rds() {
    let shop = Shop::new(NEWEST);
    let [one, two, three] = shop.proven(["one", "two", "three"]);
    // Nobody knows: RDS answers what is no refusal.
    let odd = RdsFault::Error(400, "SomethingElse".to_owned(), "who knows".to_owned());
    shop.json(&["pin", &two, "--reason", "the auditors"], 0);
    shop.server.fail("DeleteDBSnapshot", 1, odd);
    let report = shop.prune(&[]).ended_with(8).json();
    assert!(report["dropped"][0]["reason"].as_str().unwrap().contains("is not known"), "{report:#}");
    assert_eq!(shop.place.points(), [two.clone(), three.clone()], "it is hidden");
    let report = shop.prune(&[]).ended_with(0).json();
    assert_eq!((&report["dropped"][0]["point"], &report["dropped"][0]["outcome"]), (&json!(one), &json!("gone")));
    assert_eq!(shop.there().1, ["two", "three"]);

    // A kill after the snapshot went: whatever the policy says, it is no restore point to be shown again.
    shop.json(&["unpin", &two], 0);
    shop.hide(&two);
    shop.replace("two", false);
    let keeping = ["prune", "--keep-last", "9", "--json"];
    shop.server.deny("DescribeDBSnapshots");
    let report = shop.place.holdpoint(&keeping).json();
    assert!(report["hidden"][0]["problem"].as_str().unwrap().contains("not known"), "{report:#}");
    let manifest = shop.place.repository().join("shop/restore-points").join(&two).join("manifest.json");
    assert_eq!((shop.place.points(), manifest.exists()), (vec![three.clone()], true));
    shop.server.allow("DescribeDBSnapshots");
    shop.place.holdpoint(&keeping).ended_with(0);
    assert_eq!(shop.there(), (vec![three.clone()], vec!["three".to_owned()]));
    assert!(!manifest.exists());

    // One that is there is shown again.
    let [four] = shop.proven(["four"]);
    shop.hide(&three);
    assert_eq!(shop.place.points(), std::slice::from_ref(&four));
    shop.place.holdpoint(&keeping).ended_with(0);
    assert_eq!(shop.place.points(), [three, four]);
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
