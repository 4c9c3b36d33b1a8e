//! A guarded run of a database on RDS, and its undo by the instance's own past.

use std::time::Duration;

use holdpoint_testkit::{NEWEST, Pace, RdsInstance, RdsServer, Shipping};
use holdpoint_tests::{Outcome, Place};
use serde_json::{Value, json};

use crate::rds::shop::{config, rds, shop_on};

pub(crate) const WITHIN: Duration = Duration::from_secs(300);
const TABLES: &str = "CREATE TABLE orders (id int PRIMARY KEY, note text);
    INSERT INTO orders SELECT n, 'note ' || n FROM generate_series(1, 500) n;
    CREATE TABLE events (id int PRIMARY KEY)";

/// How the project is found; its restore points need no scratch server.
pub(crate) const PROJECT: [&str; 8] =
    ["--tool", "plain-sql", "--migrations", "sql", "--level", "stored", "--applied-through", "none"];
/// What migrates.
pub(crate) const MIGRATES: [&str; 4] =
    ["--", "sh", "-c", "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f sql/0001_drops.sql"];

/// A shop on an instance, and a project of plain SQL files whose only migration drops its table.
pub(crate) struct Shop {
    pub(crate) server: RdsServer,
    pub(crate) place: Place,
}

impl Shop {
    pub(crate) fn new(major: u32) -> Self {
        let (server, place) = shop_on(&RdsInstance::new("shop", major), major, TABLES);
        place.write_config(&config("[gate]\nrequire_window = true\n"));
        std::fs::create_dir(place.work().join("sql")).unwrap();
        std::fs::write(place.work().join("sql/0001_drops.sql"), "DROP TABLE orders;\n").unwrap();
        Self { server, place }
    }

    fn guard(&self) -> Value {
        let words = [&["guard", "--json", "--yes"], &PROJECT[..], &MIGRATES].concat();
        self.place.holdpoint(&words).ended_with(0).json()
    }

    /// Makes a table in another database of the instance, and gives the run.
    fn guard_cart(&mut self, table: &str) -> String {
        let [shop, cart] = ["DATABASE_URL", "CART_URL"].map(|name| self.place.environment()[name].clone());
        let makes = format!("psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -c 'CREATE TABLE {table} ()'");
        let command = ["--", "sh", "-c", &makes];
        let words = [&["guard", "--database", "cart", "--json", "--yes"], &PROJECT[..], &command].concat();
        self.place.set("DATABASE_URL", &cart);
        let run = self.place.holdpoint(&words).ended_with(0).json()["run"].as_str().unwrap().to_owned();
        self.place.set("DATABASE_URL", &shop);
        run
    }

    pub(crate) fn undo(&self, flags: &[&str]) -> Outcome {
        let own = ["undo", "latest", "--way", "rds", "--json", "--tool", "plain-sql", "--migrations", "sql"];
        self.place.holdpoint(&[&own[..], flags].concat())
    }

    pub(crate) fn orders(&self, identifier: &str) -> String {
        self.server.psql(identifier, "SELECT count(*) FROM pg_tables WHERE tablename = 'orders'")
    }
}

pub(crate) fn way<'a>(report: &'a Value, way: &str) -> &'a Value {
    let ways = report["ways_back"].as_array().unwrap();
    ways.iter().find(|one| one["way"] == way).unwrap_or_else(|| panic!("no way {way} in {ways:#?}"))
}

#[test]
fn a_run_is_undone_by_the_instance_as_it_was_right_before_the_command() {
    let shop = Shop::new(NEWEST);
    let report = shop.guard();
    let by_rds = way(&report, "rds");
    let command = by_rds["command"].as_str().unwrap();
    let (_, since) = command.split_once(" --accept-data-loss-since ").unwrap();
    assert!(since.len() == "2026-11-21T02:43:00Z".len() && since.ends_with('Z'), "{command}");
    assert_eq!(by_rds["loss"], "of_instance");
    let shown = shop.place.holdpoint(&["show", "run:latest", "--json"]).ended_with(0).json().to_string();
    assert!(shown.contains(since), "{shown}");
    assert_eq!(shop.orders("shop"), "0", "the migration dropped it");
    shop.server.psql("shop", "INSERT INTO events VALUES (1)");
    // The run by its id is that instant, for the whole instance and for one table of it.
    let before = format!("before:{}", report["run"].as_str().unwrap());
    let whole = rds(&shop.place, &["plan", "shop", "--at", &before]).ended_with(0).json();
    let from = format!("rds:{before}");
    let table = ["recover-table", "orders", "--mode", "missing", "--from", &from, "--dry-run", "--json"];
    let table = shop.place.holdpoint(&table).ended_with(0).json();
    assert_eq!((whole["at"].as_str(), table["at"].as_str()), (Some(since), Some(since)), "{whole:#} {table:#}");

    shop.undo(&["--yes"])
        .ended_with(3)
        .failure()
        .says(&["everything in shop would be lost"])
        .hints(&["--way rds", since.trim_end_matches('Z')]);
    let planned = shop.undo(&["--dry-run"]).ended_with(0).json();
    let warnings = planned["plan"]["warnings"].to_string();
    assert!(warnings.contains("--accept-data-loss-since"), "{warnings}");
    assert_eq!(shop.server.identifiers(), ["shop"]);
    assert_eq!(shop.server.count("RestoreDBInstanceToPointInTime"), 0);

    // Killed while the new instance is made: the same command goes on.
    shop.server.set_pace("creating", Pace::Held);
    let accepts = ["--yes", "--accept-data-loss-since", since];
    let own = ["undo", "latest", "--way", "rds", "--tool", "plain-sql", "--migrations", "sql"];
    let mut running = shop.place.start(&[&own[..], &accepts].concat());
    running.wait_until("the instance is made", WITHIN, || shop.server.identifiers().len() == 2);
    running.kill();
    running.finish().ended_with(137);
    shop.server.set_pace("creating", Pace::Polls(1));
    let stands = shop.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
    assert!(stands.to_string().contains("undo"), "{stands:#}");

    // Killed between the renames, when the database's name leads nowhere: the same again.
    shop.server.set_pace("renaming", Pace::Held);
    let mut running = shop.place.start(&[&own[..], &accepts].concat());
    let renames = || shop.server.calls().iter().filter(|call| *call == "ModifyDBInstance").count();
    let renamed =
        || shop.server.identifiers().iter().any(|name| shop.server.status(name).as_deref() == Some("renaming"));
    running.wait_until("the live one is renamed", WITHIN, || renames() > 0 && renamed());
    running.kill();
    running.finish().ended_with(137);
    shop.server.set_pace("renaming", Pace::Polls(1));
    shop.server.settle();
    assert!(!shop.server.identifiers().contains(&"shop".to_owned()), "{:?}", shop.server.identifiers());

    let undone = shop.undo(&accepts).ended_with(0).json();
    assert_eq!((&undone["state"], &undone["plan"]["way"]), (&json!("undone"), &json!("rds")), "{undone:#}");
    assert_eq!(shop.server.count("RestoreDBInstanceToPointInTime"), 1, "the killed one's instance is gone on with");
    let proof = undone["undo"]["proof"].to_string();
    assert!(proof.contains("schema objects are as in the restore point"), "{proof}");
    let identifiers = shop.server.identifiers();
    let aside = identifiers.iter().find(|name| name.starts_with("shop-before-undo-")).unwrap();
    assert!(proof.contains(aside) && proof.contains("holdpoint rds cut-over shop --back"), "{proof}");
    assert_eq!(shop.server.psql("shop", "SELECT count(*), min(note) FROM orders"), "500|note 1");
    assert_eq!(shop.server.psql("shop", "SELECT count(*) FROM events"), "0", "written after the instant");
    assert_eq!(shop.server.psql(aside, "SELECT count(*) FROM events"), "1", "and kept aside");
    let polls = shop.server.count("DescribeDBInstances");
    assert!(polls < 600, "{polls} calls: a tight loop");

    // The folder belongs to the new instance: it is backed up, and the migration can run again.
    let report = shop.guard();
    assert_eq!(shop.orders("shop"), "0");
    let since = way(&report, "rds")["command"].as_str().unwrap().rsplit(' ').next().unwrap();
    shop.undo(&["--yes", "--accept-data-loss-since", since]).ended_with(0);
    assert_eq!(shop.orders("shop"), "1", "undone once more, beside what the first undo kept");
}

/// The way itself, on an older major; kills do not depend on it.
#[test]
fn a_run_on_an_older_major_is_undone_the_same_way() {
    let mut shop = Shop::new(16);
    // Another database of the instance, which is in its own folder.
    shop.server.psql("shop", "CREATE DATABASE cart");
    let cart_url = shop.server.url("shop", "cart");
    shop.place.set("CART_URL", &cart_url);
    let both = "[gate]\nrequire_window = true\n[database.cart]\nurl = \"env:CART_URL\"\nrds_instance = \"shop\"\n";
    shop.place.write_config(&config(both));
    let report = shop.guard();
    let older = shop.guard_cart("one");
    let since = way(&report, "rds")["command"].as_str().unwrap().rsplit(' ').next().unwrap();
    assert_eq!(shop.orders("shop"), "0", "the migration dropped it");
    let undone = shop.undo(&["--yes", "--accept-data-loss-since", since]).ended_with(0).json();
    assert_eq!((&undone["state"], &undone["plan"]["way"]), (&json!("undone"), &json!("rds")), "{undone:#}");
    let warnings = undone["plan"]["warnings"].to_string();
    assert!(warnings.contains(&format!("ledgers do not say so: {older} of cart")), "{warnings}");
    let content = "SELECT count(*), min(note), current_setting('server_version_num')::int / 10000 FROM orders";
    assert_eq!(shop.server.psql("shop", content), "500|note 1|16");

    // Younger runs on that instance; then the undo is taken back, and the ledgers say so of all. First of all nobody has the
    // folder at hand: it is told, and the same command records it later.
    shop.guard();
    let younger_cart = shop.guard_cart("two");
    let back = ["rds", "cut-over", "shop", "--back", "--yes", "--json"];
    let repository = shop.place.environment()["HOLDPOINT_REPOSITORY"].clone();
    shop.place.unset("HOLDPOINT_REPOSITORY");
    let told = shop.place.holdpoint(&back).ended_with(15).json();
    let open = told["open"].to_string();
    assert!(open.contains("the ledger does not say") && open.contains("--back"), "{told:#}");
    shop.place.set("HOLDPOINT_REPOSITORY", &repository);
    let apart = told["plan"]["apart"].as_str().unwrap().to_owned();
    let back = ["rds", "cut-over", &apart, "--back", "--yes", "--json"];
    let back = shop.place.holdpoint(&back).ended_with(0).json();
    assert_eq!((back["runs"].as_array().map(Vec::len), &back["open"]), (Some(3), &json!([])), "{back:#}");
    let of_cart = shop.place.holdpoint(&["runs", "--database", "cart", "--json"]).ended_with(0).json();
    let stand = |n: usize| [&of_cart["runs"][n]["run"], &of_cart["runs"][n]["standing"]].map(Clone::clone);
    assert_eq!(stand(0), [json!(younger_cart), json!("settled")], "{of_cart:#}");
    assert_eq!(stand(1), [json!(older), json!("succeeded")], "{of_cart:#}");
    let runs = shop.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
    let (younger, own) = (&runs["runs"][0], &runs["runs"][1]);
    assert_eq!((&younger["standing"], &younger["verdict"]), (&json!("settled"), &json!("unchanged")), "{runs:#}");
    assert_eq!((&own["standing"], &own["taken_back"]["run"]), (&json!("succeeded"), &own["run"]), "{runs:#}");
    let run = runs["runs"][1]["run"].as_str().unwrap();
    let text = shop.place.holdpoint(&["show", &format!("run:{run}")]).ended_with(0).stdout;
    assert!(text.contains("succeeded, its undo taken back"), "{text}");
    assert_eq!(shop.orders("shop"), "0", "as the run left it");
    // What was in service holds what was written meanwhile: it undoes nothing again, and does not serve again.
    let again = ["undo", run, "--json", "--way", "rds", "--yes", "--tool", "plain-sql", "--migrations", "sql"];
    let told = shop.place.holdpoint(&again).ended_with(3).failure();
    told.says(&["was put into service, and that was taken back", "holdpoint rds drop"]);
    let names = shop.server.identifiers();
    let forward = shop.place.holdpoint(&["rds", "cut-over", &apart, "--yes", "--json"]).ended_with(3).failure();
    forward
        .says(&["undid run", "the run's ledger wrong"])
        .hints(&["rds drop", &format!("holdpoint undo {run} --way rds")]);
    assert_eq!(shop.server.identifiers(), names, "nothing was renamed");
}

impl Shop {
    pub(crate) fn stands(&self) -> String {
        let runs = self.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
        runs["runs"][0]["standing"].as_str().unwrap().to_owned()
    }
}

/// Kills between calls of RDS are in the test above: an instance being made, and the two renames.
#[test]
fn an_undo_that_is_interrupted_or_killed_at_its_other_steps_goes_on_from_there() {
    let shop = Shop::new(NEWEST);
    let report = shop.guard();
    let since = way(&report, "rds")["command"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned();
    let own = ["undo", "latest", "--way", "rds", "--json", "--tool", "plain-sql", "--migrations", "sql"];
    let words = [&own[..], &["--yes", "--accept-data-loss-since", &since]].concat();
    let interrupted = |undo: holdpoint_tests::Running| {
        undo.interrupt();
        let told = undo.finish().ended_with(130).json();
        assert_eq!((&told["state"], &told["interrupted"]), (&json!("undoing"), &json!(true)), "{told:#}");
        assert_eq!(holdpoint_tests::alive_with(shop.place.path()), []);
    };
    let paused = |phase: &str| {
        let mut undo = shop.place.start_paused(&words, phase);
        undo.wait_for_pause();
        undo
    };
    // Its own restore point is not there yet: nothing of it is recorded.
    let undo = paused("copying-data");
    undo.interrupt();
    undo.finish().ended_with(130);
    let undo = paused("copying-data");
    undo.kill();
    undo.finish().ended_with(137);
    assert_eq!((shop.stands().as_str(), shop.server.identifiers()), ("succeeded", vec!["shop".to_owned()]));

    shop.server.set_pace("creating", Pace::Held);
    let mut undo = shop.place.start(&words);
    undo.wait_until("the instance is made", WITHIN, || shop.server.identifiers().len() == 2);
    interrupted(undo);
    assert_eq!(shop.stands(), "interrupted_in_undo");
    shop.server.set_pace("creating", Pace::Polls(1));
    interrupted(paused("proving-undo"));
    assert_eq!(shop.stands(), "interrupted_in_undo");
    let undo = paused("proving-undo");
    undo.kill();
    undo.finish().ended_with(137);
    while shop.stands() == "undoing" {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!((shop.stands().as_str(), shop.orders("shop").as_str()), ("interrupted_in_undo", "0"));

    // Between the renames the database's name leads nowhere: nobody can be asked how it stands.
    shop.server.set_pace("renaming", Pace::Held);
    let mut undo = shop.place.start(&words);
    let renamed =
        || shop.server.identifiers().iter().any(|name| shop.server.status(name).as_deref() == Some("renaming"));
    undo.wait_until("the live one is renamed", WITHIN, renamed);
    interrupted(undo);
    shop.server.set_pace("renaming", Pace::Polls(1));
    shop.server.settle();
    assert_eq!(shop.stands(), "undoing_or_interrupted");

    let undone = shop.place.holdpoint(&words).ended_with(0).json();
    assert_eq!((&undone["state"], shop.stands().as_str()), (&json!("undone"), "undone"), "{undone:#}");
    assert_eq!(shop.server.count("RestoreDBInstanceToPointInTime"), 1, "one instance, however often it broke off");
    assert_eq!(shop.server.psql("shop", "SELECT count(*), min(note) FROM orders"), "500|note 1");
    let labelled = shop.place.holdpoint(&["list", "--json"]).ended_with(0).json();
    let labelled = labelled["points"].as_array().unwrap().iter().filter(|one| one["label"].is_string()).count();
    assert_eq!(labelled, 1, "one restore point before it");
}

#[test]
fn an_instance_that_is_not_the_databases_never_takes_its_place() {
    let shop = Shop::new(NEWEST);
    shop.server.create(&RdsInstance::new("other", NEWEST));
    shop.server.psql("other", TABLES);
    shop.server.ship("other");
    shop.place.write_config(
        "[database.shop]\nurl = \"env:DATABASE_URL\"\nrds_instance = \"other\"\n[rds]\npoll = \"20ms\"\nwait_for = \"30s\"\n",
    );
    let report = shop.guard();
    let warnings = report["warnings"].to_string();
    let told = "the RDS instance other is no way back: the server at its endpoint";
    assert!(warnings.contains(told), "{warnings}");
    assert!(report["ways_back"].as_array().unwrap().iter().all(|one| one["way"] != "rds"), "{report:#}");
    shop.server.set_shipping(Shipping::Asked(1));
    let accepts = ["--yes", "--accept-data-loss-since", "2026-01-01T00:00:00Z"];
    shop.undo(&accepts).ended_with(3).failure().says(&["no way back by rds", "is another than the one"]);
    assert_eq!(shop.server.identifiers().len(), 2, "nothing was made");
    assert_eq!(shop.orders("shop"), "0", "the live one is as it was");
}

#[test]
fn without_an_instance_or_a_window_there_is_no_such_way_and_the_gate_says_so() {
    let mut shop = Shop::new(NEWEST);
    shop.server.set("shop", "BackupRetentionPeriod", "0");
    let report = shop.guard();
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains("the RDS instance shop is no way back") && warnings.contains("automated backups"),
        "{warnings}"
    );
    assert!(report["ways_back"].as_array().unwrap().iter().all(|one| one["way"] != "rds"), "{report:#}");
    shop.undo(&["--yes"]).ended_with(3).failure().says(&["no way back by rds", "automated backups"]);
    // What cannot be reached keeps no other way from being gone.
    let region = shop.place.environment()["AWS_REGION"].clone();
    shop.place.unset("AWS_REGION");
    let by_recover = ["undo", "latest", "--way", "recover", "--dry-run", "--tool", "plain-sql", "--migrations", "sql"];
    shop.place.holdpoint(&by_recover).ended_with(0);
    shop.undo(&["--yes"]).ended_with(2).failure().says(&["region"]);
    shop.place.set("AWS_REGION", &region);
    shop.server.deny("DescribeDBInstances");
    let denied = shop.undo(&["--yes"]).ended_with(9).failure();
    denied.says(&["rds:DescribeDBInstances"]);
    shop.place.write_config("[database.shop]\nurl = \"env:DATABASE_URL\"\n");
    shop.undo(&["--yes"]).ended_with(3).failure().says(&["no RDS instance is configured"]);
}

/// What a killed undo began is waited for by any process, and a kill between the second rename and its end is one more step.
#[test]
fn a_killed_undo_is_waited_for_in_another_process_and_goes_on_after_either_rename() {
    let shop = Shop::new(NEWEST);
    let report = shop.guard();
    let since = way(&report, "rds")["command"].as_str().unwrap().rsplit(' ').next().unwrap().to_owned();
    let own = ["undo", "latest", "--way", "rds", "--json", "--tool", "plain-sql", "--migrations", "sql"];
    let words = [&own[..], &["--yes", "--accept-data-loss-since", &since]].concat();
    let made = || shop.server.identifiers().into_iter().find(|name| name.starts_with("shop-undo-"));
    let killed = |undo: holdpoint_tests::Running| {
        undo.kill();
        undo.finish().ended_with(137);
    };
    shop.server.set_pace("creating", Pace::Held);
    let mut undo = shop.place.start(&words);
    undo.wait_until("the instance is made", WITHIN, || made().is_some());
    killed(undo);
    shop.server.set_pace("creating", Pace::Polls(2));
    let waited =
        shop.place.holdpoint(&["rds", "wait", &made().unwrap(), "--poll", "20ms", "--json"]).ended_with(0).json();
    assert_eq!(waited["is_checked"], true, "{waited:#}");
    assert_eq!(shop.orders("shop"), "0", "the live one is as it was");

    let renaming =
        || shop.server.identifiers().into_iter().find(|name| shop.server.status(name).as_deref() == Some("renaming"));
    for step in 1..=2 {
        shop.server.set_pace("renaming", Pace::Held);
        let mut undo = shop.place.start(&words);
        undo.wait_until("a rename is under way", WITHIN, || renaming().is_some());
        if step == 1 {
            // Nobody goes on beside it, and nobody without being asked.
            shop.place.holdpoint(&words).ended_with(14).failure().says(&["still at work"]);
            // Nobody takes it back while RDS renames, or while it is at work.
            let back = ["rds", "cut-over", &made().unwrap(), "--back", "--yes", "--json"];
            let refused = |told: &str| shop.place.holdpoint(&back).ended_with(14).failure().says(&[told]);
            refused("RDS renames it to");
            undo.freeze();
            shop.server.set_pace("renaming", Pace::Polls(1));
            shop.server.settle();
            refused("is still at work");
        }
        killed(undo);
        shop.server.set_pace("renaming", Pace::Polls(1));
        shop.server.settle();
        if step == 1 {
            shop.place.holdpoint(&[&own[..], &["--accept-data-loss-since", &since]].concat()).ended_with(16);
            assert_eq!(shop.server.count("ModifyDBInstance"), 1, "nothing was renamed");
        }
        let names = shop.server.identifiers();
        assert!(names.iter().any(|name| name.starts_with("shop-before-undo-")), "{names:?}");
        assert_eq!(names.contains(&"shop".to_owned()), step == 2, "{names:?}");
    }
    let undone = shop.place.holdpoint(&words).ended_with(0).json();
    assert_eq!((&undone["state"], shop.stands().as_str()), (&json!("undone"), "undone"), "{undone:#}");
    assert_eq!(shop.server.count("RestoreDBInstanceToPointInTime"), 1, "one instance, however often it was killed");
    assert_eq!(shop.server.count("ModifyDBInstance"), 2, "each rename is asked for once");
    assert_eq!(shop.server.psql("shop", "SELECT count(*), min(note) FROM orders"), "500|note 1");
}
