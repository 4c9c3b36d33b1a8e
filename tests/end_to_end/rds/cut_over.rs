//! `rds cut-over` of an instance whose database is configured: its data are checked before, and its folder follows.

use std::time::Duration;

use holdpoint_testkit::{NEWEST, Pace, RdsInstance, RdsServer};
use holdpoint_tests::{Outcome, Place};
use serde_json::json;

use crate::rds::shop::{config, damage, shop_on};

const WITHIN: Duration = Duration::from_secs(300);
const TABLES: &str = "CREATE TABLE orders (id int PRIMARY KEY, note text);
    INSERT INTO orders SELECT n, 'note ' || n FROM generate_series(1, 500) n;
    CREATE TABLE events (id int PRIMARY KEY)";

/// A shop on an instance, with a folder of restore points.
struct Shop {
    server: RdsServer,
    place: Place,
}

impl Shop {
    fn new(major: u32) -> Self {
        let (server, place) = shop_on(&RdsInstance::new("shop", major), major, TABLES);
        place.write_config(&config(""));
        Self { server, place }
    }

    /// Restores the shop as it is now.
    fn restored(&self) -> &Self {
        // RDS restores to full seconds, and has them once something later was written.
        std::thread::sleep(Duration::from_millis(1100));
        let at = self.server.instant();
        std::thread::sleep(Duration::from_millis(1100));
        self.server.psql("shop", "DROP TABLE orders");
        self.rds(&["restore", "shop", "--at", &at, "--into", "shop-restored"]).ended_with(0);
        self
    }

    fn rds(&self, words: &[&str]) -> Outcome {
        self.place.holdpoint(&[&["rds"], words, &["--json"]].concat())
    }

    /// [`damage`] to what somebody may have read: the server is stopped meanwhile.
    fn damage_unread(&self, identifier: &str, path: &str) {
        self.stopped(identifier, || damage(&self.server, identifier, path));
    }

    /// Does something to the files of an instance while its server is stopped.
    fn stopped(&self, identifier: &str, act: impl FnOnce()) {
        let reboot = |action| self.server.call(action, &[("DBInstanceIdentifier", identifier)]);
        assert_eq!(reboot("StopDBInstance").status, 200);
        self.server.settle();
        act();
        assert_eq!(reboot("StartDBInstance").status, 200);
        self.server.settle();
    }

    fn orders(&self) -> String {
        self.server.psql("shop", "SELECT count(*) FROM pg_tables WHERE tablename = 'orders'")
    }
}

#[test]
fn the_data_are_held_against_a_restore_point_and_the_folder_follows_there_and_back() {
    for major in [16, NEWEST] {
        let shop = Shop::new(major);
        let backup = shop.place.backup();
        shop.server.psql("shop", "INSERT INTO events VALUES (1)");
        shop.restored();
        let at = backup["manifest"]["snapshot"]["at"].as_str().unwrap();
        let plan = shop.rds(&["plan", "shop", "--at", backup["manifest"]["id"].as_str().unwrap(), "--into", "x"]);
        let at_point = plan.ended_with(0).json()["at"].as_str().unwrap().to_owned();
        assert_eq!(at_point[..19], at[..19], "{at}");
        let planned = shop.rds(&["cut-over", "shop-restored", "--dry-run"]).ended_with(0).json();
        let check = &planned["checks"][0];
        assert_eq!((&check["point"], &check["database"]), (&backup["manifest"]["id"], &json!("shop")), "{planned:#}");
        assert_eq!((&check["tables"], &check["equal"]), (&json!(2), &json!(1)), "{planned:#}");
        assert_eq!((&check["differing"], &check["objects"]), (&json!(["public.events"]), &json!([])), "{planned:#}");
        assert!(planned["done"].is_null() && shop.orders() == "0", "{planned:#}");

        let report = shop.rds(&["cut-over", "shop-restored", "--yes"]).ended_with(0).json();
        assert_eq!(report["checks"][0]["equal"], 1, "{report:#}");
        let reason = report["followed"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("1 of 2 tables hold exactly the rows of") && reason.contains("events"), "{reason}");
        assert_eq!(shop.orders(), "1", "PostgreSQL {major}");
        shop.place.backup();

        let back = shop.rds(&["cut-over", "shop", "--back", "--yes"]).ended_with(0).json();
        assert_eq!((&back["checks"], &back["open"]), (&json!([]), &json!([])), "{back:#}");
        assert!(back["followed"][0]["reason"].as_str().unwrap().contains("--back"), "{back:#}");
        assert_eq!(shop.orders(), "0");
        shop.place.backup();
    }
}

#[test]
fn data_of_another_database_are_never_put_into_service_and_one_that_is_away_is_no_obstacle() {
    let mut shop = Shop::new(NEWEST);
    shop.restored();
    shop.server.create(&RdsInstance::new("other", NEWEST));
    let names = shop.server.identifiers();
    shop.rds(&["cut-over", "shop-restored"]).ended_with(16);

    // The configured database is on another server.
    let url = shop.server.url("other", "shop");
    shop.place.set("DATABASE_URL", &url);
    let failure = shop.rds(&["cut-over", "shop-restored", "--yes"]).ended_with(3).failure();
    failure.says(&["the RDS instance shop is not that of", "is another than the one"]).hints(&["rds_instance"]);
    assert_eq!(shop.server.identifiers(), names, "nothing is renamed");

    // One that cannot be reached any more keeps nobody from putting another into service.
    let url = shop.server.url("shop", "shop");
    let (credentials, _) = url.rsplit_once('@').unwrap();
    shop.place.set("DATABASE_URL", &format!("{credentials}@127.0.0.1:1/shop"));
    let away = shop.place.holdpoint(&["rds", "cut-over", "shop-restored", "--dry-run"]).ended_with(0);
    assert!(away.stderr.contains("held against its folder's record alone"), "{away:?}");
    assert!(away.stdout.contains("all of 2 tables were read to their ends"), "{away:?}");
    shop.place.set("DATABASE_URL", &url);

    // Without a restore point every table is read to its end.
    let read = shop.rds(&["cut-over", "shop-restored", "--dry-run"]).ended_with(0).json();
    assert_eq!((&read["checks"][0]["point"], &read["checks"][0]["tables"]), (&json!(null), &json!(2)), "{read:#}");
    assert!(shop.orders() == "0" && shop.server.identifiers() == names, "a dry run renames nothing");
}

#[test]
fn a_damaged_block_of_the_restored_instance_is_found_before_it_serves() {
    for with_a_point in [false, true] {
        let shop = Shop::new(NEWEST);
        let path = shop.server.psql("shop", "SELECT pg_relation_filepath('orders')");
        if with_a_point {
            shop.place.backup();
        }
        damage(&shop.restored().server, "shop-restored", &path);
        let failure = shop.rds(&["cut-over", "shop-restored", "--yes"]).ended_with(4).failure();
        failure.says(&["shop-restored is not put into service", "orders", "invalid page in block 0"]);
        assert_eq!(shop.server.identifiers(), ["shop", "shop-restored"], "nothing is renamed");
        assert_eq!(shop.orders(), "0", "the source serves as before");
    }
}

#[test]
fn what_the_restore_point_cannot_tell_of_is_read_to_its_end() {
    let shop = Shop::new(NEWEST);
    let wide = |values: &str| format!("SELECT n, repeat(md5(n::text), 400){values} FROM generate_series(1, 20) n");
    shop.server.psql(
        "shop",
        &format!(
            "CREATE TABLE moved (id int, big text); CREATE TABLE named (id int, big text); CREATE TABLE wider (id int, note text);
             CREATE TABLE made (id int, note text, big text GENERATED ALWAYS AS (repeat(note, 400)) STORED);
             ALTER TABLE moved ALTER big SET STORAGE EXTERNAL; ALTER TABLE named ALTER big SET STORAGE EXTERNAL;
             ALTER TABLE made ALTER big SET STORAGE EXTERNAL;
             INSERT INTO moved {0}; INSERT INTO named {0}; INSERT INTO wider SELECT n FROM generate_series(1, 20) n;
             INSERT INTO made SELECT n, md5(n::text) FROM generate_series(1, 20) n",
            wide("")
        ),
    );
    shop.place.backup();
    shop.server.psql(
        "shop",
        &format!(
            "ALTER TABLE moved RENAME TO elsewhere; ALTER TABLE named RENAME big TO large;
             ALTER TABLE wider ADD more text; ALTER TABLE wider ALTER more SET STORAGE EXTERNAL;
             UPDATE wider SET more = repeat(md5(id::text), 400);
             CREATE TABLE late (id int PRIMARY KEY, big text); ALTER TABLE late ALTER big SET STORAGE EXTERNAL;
             INSERT INTO late {}; CREATE MATERIALIZED VIEW seen AS SELECT id, id || ' seen' AS note FROM late",
            wide("")
        ),
    );
    shop.server.psql("shop", "VACUUM ANALYZE late");
    let path = |of: &str| shop.server.psql("shop", &format!("SELECT pg_relation_filepath({of})"));
    let toast = |table: &str| path(&format!("(SELECT reltoastrelid FROM pg_class WHERE oid = '{table}'::regclass)"));
    let damaged: Vec<(&str, String)> = ["elsewhere", "named", "wider", "made", "late"]
        .into_iter()
        .map(|table| (table, toast(table)))
        .chain([("late", path("'late'::regclass")), ("seen", path("'seen'::regclass"))])
        .collect();
    shop.restored();

    // What is sound is told with what it was held against, and what was read besides.
    let read = shop.rds(&["cut-over", "shop-restored", "--dry-run"]).ended_with(0).json();
    let check = &read["checks"][0];
    assert_eq!((&check["tables"], &check["equal"], &check["besides"]), (&json!(6), &json!(3), &json!(6)), "{read:#}");
    let told = shop.place.holdpoint(&["rds", "cut-over", "shop-restored", "--dry-run"]).ended_with(0).stdout;
    assert!(told.contains("3 of 6 tables hold exactly the rows of"), "{told}");
    assert!(told.contains("6 more were read to their ends"), "{told}");
    let (_, data, _) = shop.server.server("shop-restored");
    for (table, path) in damaged {
        let sound = std::fs::read(data.join(&path)).unwrap();
        shop.damage_unread("shop-restored", &path);
        let failure = shop.rds(&["cut-over", "shop-restored", "--yes"]).ended_with(4).failure();
        failure.says(&["shop-restored is not put into service", &format!("public.{table}"), "invalid page"]);
        assert_eq!(shop.server.identifiers(), ["shop", "shop-restored"], "nothing is renamed");
        shop.stopped("shop-restored", || std::fs::write(data.join(&path), &sound).unwrap());
    }
    let report = shop.rds(&["cut-over", "shop-restored", "--yes"]).ended_with(0).json();
    assert_eq!(report["checks"][0]["besides"], 6, "{report:#}");
}

#[test]
fn large_objects_are_read_to_their_ends_and_a_damaged_one_is_found() {
    for with_a_point in [false, true] {
        let shop = Shop::new(NEWEST);
        let large = "SELECT lo_from_bytea(4711, decode(repeat('a1b2', 400000), 'hex')), lo_from_bytea(4712, 'x')";
        shop.server.psql("shop", large);
        if with_a_point {
            shop.place.backup();
        }
        let path = shop.server.psql("shop", "SELECT pg_relation_filepath('pg_largeobject')");
        shop.restored();
        let read = shop.rds(&["cut-over", "shop-restored", "--dry-run"]).ended_with(0).json();
        let count = if with_a_point { json!(null) } else { json!(2) };
        assert_eq!(
            (&read["checks"][0]["large_objects"], &read["checks"][0]["tables"]),
            (&count, &json!(2)),
            "{read:#}"
        );
        assert_eq!(read["checks"][0]["differing"], json!([]), "{read:#}");
        // What the server has read is in its memory; after a restart it is read from its file.
        shop.damage_unread("shop-restored", &path);
        let failure = shop.rds(&["cut-over", "shop-restored", "--yes"]).ended_with(4).failure();
        let failure = failure.says(&["shop-restored is not put into service", "invalid page in block 0"]);
        if !with_a_point {
            failure.says(&["large object 4711"]);
        }
        assert_eq!(shop.server.identifiers(), ["shop", "shop-restored"], "nothing is renamed");
    }
}

#[test]
fn what_somebody_decides_to_cut_over_unchecked_is_recorded() {
    let shop = Shop::new(NEWEST);
    shop.place.backup();
    let path = shop.server.psql("shop", "SELECT pg_relation_filepath('orders')");
    damage(&shop.restored().server, "shop-restored", &path);
    shop.rds(&["cut-over", "shop-restored", "--unchecked", " ", "--yes"]).ended_with(2);
    let reason = "the damage is known, password=hunter2";
    let report = shop.rds(&["cut-over", "shop-restored", "--unchecked", reason, "--yes"]).ended_with(0).json();
    assert_eq!((&report["checks"], &report["open"]), (&json!([]), &json!([])), "{report:#}");
    let told = report["followed"][0]["reason"].as_str().unwrap();
    assert!(told.contains("its data were not checked: the damage is known") && !told.contains("hunter2"), "{told}");
    let tag = report["done"]["serving"]["tags"]["holdpoint:unchecked"].as_str().unwrap();
    assert!(tag.starts_with("the damage is known") && !tag.contains("hunter2"), "{tag}");
    // Taken back and done again, it is not said of what was checked.
    shop.rds(&["cut-over", "shop", "--back", "--yes"]).ended_with(0);
    shop.rds(&["cut-over", "shop-restored", "--dry-run"]).ended_with(4);
}

#[test]
fn a_cut_over_that_was_killed_goes_on_without_a_check_and_says_where_no_folder_follows() {
    let mut shop = Shop::new(NEWEST);
    shop.place.backup();
    shop.restored();
    shop.server.set_pace("renaming", Pace::Held);
    let mut running = shop.place.start(&["rds", "cut-over", "shop-restored", "--yes"]);
    let renaming =
        || shop.server.identifiers().iter().any(|name| shop.server.status(name).as_deref() == Some("renaming"));
    running.wait_until("the source is renamed", WITHIN, renaming);
    running.kill();
    running.finish().ended_with(137);
    shop.server.set_pace("renaming", Pace::Polls(1));
    shop.server.settle();
    let report = shop.rds(&["cut-over", "shop-restored", "--yes"]).ended_with(0).json();
    assert_eq!((&report["checks"], &report["followed"][0]["database"]), (&json!([]), &json!("shop")), "{report:#}");
    assert_eq!(shop.orders(), "1");
    shop.place.backup();

    // An address that does not lead to what serves: the cut-over is done, and says what is left.
    let url = shop.server.url("shop-old", "shop");
    shop.place.set("DATABASE_URL", &url);
    // Nor can its end be noted any more: the report tells both.
    shop.server.set_pace("renaming", Pace::Held);
    let mut running = shop.place.start(&["rds", "cut-over", "shop", "--back", "--yes", "--json"]);
    running.wait_until("the new instance is renamed", WITHIN, renaming);
    shop.server.deny("AddTagsToResource");
    shop.server.set_pace("renaming", Pace::Polls(1));
    shop.server.settle();
    let report = running.finish().ended_with(15).json();
    assert_eq!((&report["plan"]["goes_back"], &report["followed"]), (&json!(true), &json!([])), "{report:#}");
    let open = report["open"][0].as_str().unwrap();
    assert!(open.contains("the folder of shop still belongs") && open.contains("holdpoint adopt"), "{open}");
    let open = report["open"][1].as_str().unwrap();
    assert!(open.contains("do not say that this came to its end") && open.contains("rds:AddTagsToResource"), "{open}");
    assert_eq!(shop.orders(), "0", "the source serves");
}
