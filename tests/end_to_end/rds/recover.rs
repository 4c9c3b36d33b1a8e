//! `recover-table --from rds:`: tables out of the past of an instance, by a temporary one that is gone afterwards.

use std::time::Duration;

use holdpoint_testkit::{NEWEST, Pace, RdsFault, RdsInstance, RdsServer, Shipping};
use holdpoint_tests::{Outcome, Place};
use serde_json::Value;

use crate::rds::shop::shop_on;

const WITHIN: Duration = Duration::from_secs(300);
const TABLES: &str = "CREATE TABLE customers (id int PRIMARY KEY, name text);
    CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, note text);
    INSERT INTO customers SELECT n, 'customer ' || n FROM generate_series(1, 20) n;
    INSERT INTO orders SELECT n, n % 20 + 1, 'note ' || n FROM generate_series(1, 500) n";
const CONTENT: &str = "SELECT count(*), md5(string_agg(o::text, '|' ORDER BY id)) FROM orders o";

/// A shop on an instance, as it was at an instant, and damaged since.
struct Shop {
    server: RdsServer,
    place: Place,
    /// The instant before the damage.
    at: String,
    /// The orders of then.
    content: String,
}

impl Shop {
    fn new(major: u32, damage: &str) -> Self {
        let shop = RdsInstance::new("shop", major).with("MultiAZ", "true").with("DeletionProtection", "true");
        let (server, place) = shop_on(&shop, major, TABLES);
        let content = server.psql("shop", CONTENT);
        // RDS restores to full seconds: what comes later is written in a later one.
        std::thread::sleep(Duration::from_millis(1100));
        let at = server.instant();
        std::thread::sleep(Duration::from_millis(1100));
        server.psql("shop", damage);
        let shop = Self { server, place, at, content };
        shop.configure("shop");
        shop
    }

    fn configure(&self, instance: &str) {
        self.place.write_config(&format!(
            "[database.shop]\nurl = \"env:DATABASE_URL\"\nrds_instance = \"{instance}\"\n[rds]\npoll = \"20ms\"\n\
             wait_for = \"20s\"\n"
        ));
    }

    fn from(&self) -> String {
        format!("rds:{}", self.at)
    }

    fn recover(&self, words: &[&str]) -> Outcome {
        let from = self.from();
        self.place.holdpoint(&[&["recover-table"], words, &["--from", &from, "--json"]].concat())
    }

    fn orders(&self) -> String {
        self.server.psql("shop", CONTENT)
    }

    fn side_schemas(&self) -> String {
        let sql = "SELECT count(*) FROM pg_namespace WHERE nspname ~ '^holdpoint_'";
        self.server.psql("shop", sql)
    }

    fn leftovers(&self, flags: &[&str]) -> Value {
        let found = self.place.holdpoint(&[&["leftovers", "--json"], flags].concat()).ended_with(0).json();
        let all = found["leftovers"].as_array().unwrap();
        Value::from_iter(all.iter().filter(|one| one["kind"] == "temporary_instance").cloned())
    }

    /// Only the shop is there, once RDS has come to the end of what it began.
    #[track_caller]
    fn assert_alone(&self) {
        self.server.settle();
        assert_eq!(self.server.identifiers(), ["shop"]);
    }
}

#[test]
fn a_dropped_table_comes_back_out_of_an_instants_instance_which_is_gone_afterwards() {
    for major in [16, NEWEST] {
        let shop = Shop::new(major, "DROP TABLE orders; INSERT INTO customers VALUES (21, 'came since')");
        let planned = shop.recover(&["orders", "--mode", "missing", "--dry-run"]).ended_with(0).json();
        assert!(planned["target"].as_str().unwrap().starts_with("shop-recover-table-2"), "{planned:#}");
        assert_eq!(planned["new"]["multi_az"], false, "{planned:#}");
        assert_eq!(shop.server.count("RestoreDBInstanceToPointInTime"), 0, "a dry run makes nothing");

        let report = shop.recover(&["orders", "--mode", "missing", "--yes"]).ended_with(0).json();
        assert_eq!((&report["changed"], &report["from"]), (&true.into(), &shop.from().into()), "{report:#}");
        assert_eq!(report["tables"][0]["inserted"], 500, "{report:#}");
        assert_eq!(shop.orders(), shop.content, "PostgreSQL {major}");
        assert_eq!(shop.server.psql("shop", "SELECT count(*) FROM customers"), "21", "what came since stays");
        let keys = "SELECT count(*) FROM pg_constraint WHERE conrelid = 'orders'::regclass AND contype IN ('p', 'f')";
        assert_eq!(shop.server.psql("shop", keys), "2");
        assert_eq!(shop.side_schemas(), "0");
        shop.assert_alone();
        assert_eq!(shop.server.count("RestoreDBInstanceToPointInTime"), 1);
        let polls = shop.server.count("DescribeDBInstances");
        assert!(polls < 60, "{polls} calls: a tight loop");
    }
}

#[test]
fn rows_of_an_instant_come_back_and_what_is_younger_is_waited_for() {
    let damage = "DELETE FROM orders WHERE id <= 10; UPDATE orders SET note = 'spoiled' WHERE id = 11;
        INSERT INTO orders VALUES (501, 1, 'came since')";
    let shop = Shop::new(NEWEST, damage);
    let side = shop.recover(&["orders"]).ended_with(0).json();
    assert_eq!((&side["changed"], &side["side_kept"]), (&false.into(), &true.into()), "{side:#}");
    let beside = format!("SELECT count(*) FROM {}", side["tables"][0]["side"].as_str().unwrap());
    assert_eq!(shop.server.psql("shop", &beside), "500");
    let report = shop.recover(&["public.orders", "--mode", "upsert", "--yes"]).ended_with(0).json();
    assert_eq!((&report["tables"][0]["inserted"], &report["tables"][0]["changed"]), (&10.into(), &1.into()));
    assert_eq!(shop.server.psql("shop", "SELECT count(*) FROM orders WHERE id = 501"), "1", "what came since stays");
    shop.assert_alone();

    // RDS stores its log every five minutes: what it cannot restore yet is waited for, and given up some time.
    shop.server.set_shipping(Shipping::Held);
    std::thread::sleep(Duration::from_millis(1100));
    let at = format!("rds:{}", shop.server.instant());
    let words = ["recover-table", "public.orders", "--from", &at, "--mode", "replace", "--yes"];
    let mut running = shop.place.start(&words);
    let windows = || shop.server.count("DescribeDBInstanceAutomatedBackups");
    let before = windows();
    running.wait_until("the window is read again", WITHIN, || windows() > before + 4);
    assert_eq!(shop.server.identifiers(), ["shop"], "nothing is made before");
    shop.server.psql("shop", "SELECT txid_current()");
    std::thread::sleep(Duration::from_millis(1100));
    shop.server.psql("shop", "SELECT txid_current()");
    shop.server.ship("shop");
    running.finish().ended_with(0);
    shop.assert_alone();
}

#[test]
fn the_instance_is_dropped_after_every_failure_or_what_is_left_is_said() {
    let shop = Shop::new(NEWEST, "DELETE FROM orders WHERE id <= 10");
    let damaged = shop.orders();
    let recover = || shop.recover(&["orders", "--mode", "missing", "--yes"]);

    // Whatever can be known before is told before anything costs.
    shop.recover(&["orders", "--mode", "missing"]).ended_with(16);
    shop.place.holdpoint(&["recover-table", "orders", "--from", "rds:2020-01-01T00:00:00Z"]).ended_with(3);
    let future = ["recover-table", "orders", "--from", "rds:2120-01-01T00:00:00Z", "--json"];
    shop.place.holdpoint(&future).ended_with(2).failure().says(&["is in the future"]);
    shop.server.create(&RdsInstance::new("other", NEWEST));
    shop.configure("other");
    shop.server.psql("other", TABLES);
    recover().ended_with(3).failure().says(&["the RDS instance other is not that of", "is another than the one"]);
    shop.configure("");
    recover().ended_with(2).failure().says(&["no RDS instance is configured"]).hints(&["rds_instance"]);
    shop.configure("shop");
    assert_eq!(shop.server.count("RestoreDBInstanceToPointInTime"), 0);

    // It ends in a state that it does not leave; it has no such table; its answer was lost: dropped each time.
    let only_these = || {
        shop.server.settle();
        assert_eq!(shop.server.identifiers(), ["shop", "other"]);
        assert_eq!((shop.orders(), shop.side_schemas()), (damaged.clone(), "0".to_owned()));
    };
    shop.server.end_next_restore_as("incompatible-restore");
    recover().ended_with(9).failure().says(&["ended as incompatible-restore"]);
    only_these();
    shop.recover(&["nothing", "--mode", "missing", "--yes"]).ended_with(6).failure().says(&["no table nothing"]);
    only_these();

    // Ended by Ctrl-C while it waits.
    shop.server.set_pace("creating", Pace::Held);
    let from = shop.from();
    let mut running = shop.place.start(&["recover-table", "orders", "--from", &from, "--mode", "missing", "--yes"]);
    running.wait_until("the instance is made", WITHIN, || shop.server.identifiers().len() == 3);
    running.interrupt();
    running.finish().ended_with(130);
    shop.server.set_pace("creating", Pace::Polls(1));
    only_these();

    // It cannot be dropped: the failure says what remains, and leftovers finds it.
    let denied = RdsFault::AccessDenied;
    shop.server.fail("DeleteDBInstance", 1, denied);
    let told = shop.recover(&["nothing", "--mode", "missing", "--yes"]).ended_with(6).failure();
    told.says(&[
        "no table nothing",
        "may remain and cost",
        "rds:DeleteDBInstance",
        "holdpoint rds drop shop-recover-table-",
    ]);
    let found = shop.leftovers(&["--remove"]);
    assert_eq!(found[0]["removed"], true, "{found:#}");
    only_these();

    // Where it is only the answers that are lost, all goes well.
    shop.server.fail("RestoreDBInstanceToPointInTime", 1, RdsFault::AnswerLost);
    shop.server.fail("DeleteDBInstance", 1, RdsFault::AnswerLost);
    recover().ended_with(0);
    shop.server.settle();
    assert_eq!((shop.server.identifiers(), shop.orders()), (vec!["shop".into(), "other".into()], shop.content.clone()));
}

#[test]
fn killed_while_the_instance_is_made_it_is_a_leftover() {
    let shop = Shop::new(NEWEST, "DELETE FROM orders WHERE id <= 10");
    shop.server.set_pace("creating", Pace::Held);
    let from = shop.from();
    let mut running = shop.place.start(&["recover-table", "orders", "--from", &from]);
    running.wait_until("the instance is made", WITHIN, || shop.server.identifiers().len() == 2);
    let found = shop.leftovers(&["--remove", "--min-age", "0s"]);
    assert_eq!((&found[0]["dead"], &found[0]["removed"]), (&false.into(), &false.into()), "{found:#}");
    assert!(found[0]["reason"].as_str().unwrap().contains("which runs"), "{found:#}");
    running.kill();
    running.finish().ended_with(137);
    shop.server.set_pace("creating", Pace::Polls(1));
    let found = shop.leftovers(&[]);
    assert_eq!((found[0]["dead"].as_bool(), found[0]["removed"].as_bool()), (Some(true), Some(false)), "{found:#}");
    let reason = found[0]["reason"].as_str().unwrap();
    assert!(reason.contains("made for recover-table by process") && reason.contains("ended"), "{found:#}");
    assert_eq!(shop.server.identifiers().len(), 2);
    let found = shop.leftovers(&["--remove"]);
    assert_eq!(found[0]["removed"], true, "{found:#}");
    shop.assert_alone();
    assert_eq!(shop.leftovers(&[]).as_array().map(Vec::len), Some(0));

    // Who cannot ask RDS is told that something may be there.
    shop.server.deny("DescribeDBInstances");
    let unseen = shop.place.holdpoint(&["leftovers", "--json"]).ended_with(15).json();
    assert!(unseen["unseen"].to_string().contains("rds:DescribeDBInstances"), "{unseen:#}");
}
