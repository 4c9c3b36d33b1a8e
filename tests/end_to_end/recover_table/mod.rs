//! `recover-table` as a person or a script runs it: modes, errors; and in `faults` what goes wrong on the way.

mod faults;
mod sources;

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use holdpoint_testkit::{Cluster, MAJORS};
use holdpoint_tests::{Place, assert_same, contents};
use serde_json::Value;

use crate::scene::Scene;

const DAMAGE: &str = "UPDATE shop.orders SET note = 'wrong' WHERE id <= 7; ALTER TABLE shop.orders DISABLE TRIGGER ALL;
     DELETE FROM shop.orders WHERE id BETWEEN 101 AND 110; ALTER TABLE shop.orders ENABLE TRIGGER ALL";
const CONTENT: &str = "SELECT md5(string_agg(o::text, '|' ORDER BY id)) FROM shop.orders o";

impl Scene {
    fn side_schemas(&self) -> String {
        self.sql("SELECT coalesce(string_agg(nspname, ','), '') FROM pg_namespace WHERE nspname LIKE 'holdpoint%'")
    }

    /// A shop with a restore point, damaged afterwards; returns what the table held and what it holds.
    fn damaged(&self) -> (String, String) {
        self.place.backup();
        let whole = self.sql(CONTENT);
        self.sql(DAMAGE);
        (whole, self.sql(CONTENT))
    }

    fn table(&self, words: &[&str]) -> Value {
        let report = self.place.holdpoint(&[&["recover-table"], words, &["--json"]].concat()).ended_with(0).json();
        assert_eq!(report["tables"].as_array().map(Vec::len), Some(1), "{report:#}");
        report
    }
}

fn every_mode(scene: &Scene) {
    scene.place.backup();
    let everything = || contents(scene.cluster, &scene.database);
    let (whole, rows) = (everything(), scene.sql(CONTENT));
    scene.sql(DAMAGE);
    let (before, damaged) = (scene.before(), scene.sql(CONTENT));
    let side = scene.table(&["shop.orders", "--from", "latest"]);
    let schema = side["side_schema"].as_str().unwrap().to_owned();
    assert_eq!(scene.sql(&CONTENT.replace("shop.orders", &format!("{schema}.orders"))), rows);
    assert_eq!(scene.sql(CONTENT), damaged);
    let left = scene.place.holdpoint(&["leftovers", "--json"]).ended_with(0).json();
    let listed = left["leftovers"].as_array().unwrap().iter().find(|one| one["id"] == schema.as_str()).unwrap();
    assert_eq!((&listed["kind"], &listed["dead"]), (&"side_schema".into(), &false.into()), "it may be looked at now");
    scene.place.holdpoint(&["leftovers", "--remove", "--min-age", "0s"]).ended_with(0);
    assert_eq!(scene.side_schemas(), "");
    let numbers =
        |report: &Value| ["inserted", "changed", "deleted"].map(|what| report["tables"][0][what].as_u64().unwrap());
    let mode = |mode: &str, last: &str| scene.table(&["orders", "--from", "latest", "--mode", mode, last]);
    assert_eq!(numbers(&mode("upsert", "--dry-run")), [10, 7, 0]);
    scene.assert_untouched(&before);
    let report = mode("missing", "--yes");
    assert_eq!((numbers(&report), &report["changed"]), ([10, 0, 0], &true.into()));
    assert_eq!(scene.sql("SELECT count(*) FROM shop.orders WHERE note = 'wrong'"), "7");
    assert_eq!(numbers(&mode("upsert", "--yes")), [0, 7, 0]);
    assert_same("after missing and upsert", &whole, &everything());
    scene.sql(DAMAGE);
    scene.sql(
        "INSERT INTO shop.orders (id, customer, status, placed) OVERRIDING SYSTEM VALUE VALUES (-1, 1, 'paid', now())",
    );
    assert_eq!(numbers(&mode("replace", "--yes")), [10, 7, 1]);
    assert_same("after replace", &whole, &everything());
    assert_eq!(scene.side_schemas(), "");
    scene.assert_repository_untouched(&before);
    let again = scene.place.holdpoint(&["recover-table", "orders", "--from", "latest", "--mode", "replace", "--yes"]);
    assert!(again.ended_with(0).stdout.contains("nothing was to be changed"));
}

fn on_major(major: u32) -> Scene {
    assert!(MAJORS.contains(&major));
    Scene::on(Cluster::shared(major), Place::local())
}

#[test]
fn every_mode_on_14() {
    every_mode(&on_major(14));
}

#[test]
fn every_mode_on_15() {
    every_mode(&on_major(15));
}

#[test]
fn every_mode_on_16() {
    every_mode(&on_major(16));
}

#[test]
fn every_mode_on_17() {
    every_mode(&on_major(17));
}

#[test]
fn every_mode_on_18() {
    every_mode(&on_major(18));
}

#[test]
fn every_mode_with_a_bucket() {
    every_mode(&Scene::on_s3());
}

/// A person sees the plan first, and is asked.
#[test]
fn a_person_says_yes_or_no() {
    let scene = Scene::local();
    let (whole, _) = scene.damaged();
    let before = scene.before();
    let words = "recover-table orders --from latest --mode upsert --no-progress";
    let shown = scene.place.at_a_terminal(words, "no").ended_with(16).stdout;
    for says in ["the plan:", "10 inserted, 7 changed, 0 deleted", "will be changed", "Type yes"] {
        assert!(shown.contains(says), "{says} is not in {shown}");
    }
    scene.assert_untouched(&before);
    let shown = scene.place.at_a_terminal(words, "yes").ended_with(0).stdout;
    assert!(shown.contains("the change is committed"), "{shown}");
    assert_eq!((scene.sql(CONTENT), scene.side_schemas()), (whole, String::new()));
}

/// What was done to the table since is said by flags.
#[test]
fn a_table_that_was_altered_since() {
    let scene = Scene::local();
    let (whole, _) = scene.damaged();
    let run = |words: &[&str]| scene.table(&[&["--from", "latest", "--yes"], words].concat());
    scene.sql("ALTER TABLE shop.orders DROP COLUMN note; ALTER TABLE shop.orders ADD COLUMN note text");
    let report = run(&["shop.orders", "--mode", "missing", "--columns", "note"]);
    assert_eq!(report["tables"][0]["inserted"], 0, "no row comes back, only values: {report:#}");
    run(&["shop.orders", "--mode", "missing", "--where", "id between 101 and 105"]);
    assert_eq!(scene.sql("SELECT count(*) FROM shop.orders WHERE id BETWEEN 101 AND 110"), "5");
    let kept = run(&["shop.orders", "--mode", "missing", "--keep-side"]);
    assert_eq!(
        (scene.sql(CONTENT), scene.side_schemas()),
        (whole.clone(), kept["side_schema"].as_str().unwrap().to_owned())
    );
    scene.place.holdpoint(&["leftovers", "--remove", "--min-age", "0s"]).ended_with(0);
    scene.sql("ALTER TABLE shop.orders RENAME note TO remark; UPDATE shop.orders SET remark = 'wrong' WHERE id < 10");
    run(&["shop.orders", "--mode", "upsert", "--renamed", "note=remark"]);
    scene.sql("ALTER TABLE shop.orders RENAME remark TO note");
    assert_eq!(scene.sql(CONTENT), whole);
    scene.sql(
        "DELETE FROM shop.order_lines; DELETE FROM shop.orders WHERE id < 50; ALTER TABLE shop.orders RENAME TO old",
    );
    run(&["shop.orders", "--mode", "replace", "--as", "shop.old"]);
    assert_eq!(scene.sql(&CONTENT.replace("shop.orders", "shop.old")), whole);
    assert_eq!(scene.side_schemas(), "");
}

/// What the database says of itself, in no order: what was made again stands elsewhere in it.
fn sorted_contents(scene: &Scene) -> String {
    let all = contents(scene.cluster, &scene.database);
    let mut lines: Vec<&str> = all.lines().filter(|line| !line.is_empty() && !line.starts_with("--")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Made again, the database says of itself what it said before.
#[test]
fn a_table_that_is_gone() {
    let scene = Scene::local();
    scene.place.backup();
    let lines = || sorted_contents(&scene);
    let whole = lines();
    scene.sql("DROP TABLE shop.orders CASCADE");
    let report = scene.table(&["shop.orders", "--from", "latest", "--mode", "missing", "--yes"]);
    assert_eq!(report["tables"][0]["made_again"], true, "{report:#}");
    assert_same("made again", &whole, &lines());
}

#[test]
fn a_table_that_others_hold() {
    let scene = Scene::local();
    let (_, damaged) = scene.damaged();
    let mut holder = scene.cluster.program("psql");
    holder.args(["-X", "-q", "-d", &scene.database]).stdin(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    writeln!(holder.stdin.as_mut().unwrap(), "BEGIN; LOCK TABLE shop.orders IN ROW EXCLUSIVE MODE;").unwrap();
    let held = "SELECT count(*) FROM pg_locks WHERE relation = 'shop.orders'::regclass AND mode = 'RowExclusiveLock'";
    while scene.sql(held) != "1" {
        std::thread::sleep(Duration::from_millis(10));
    }
    let words =
        ["recover-table", "orders", "--from", "latest", "--mode", "upsert", "--yes", "--lock-wait", "1s", "--json"];
    scene.place.holdpoint(&words).ended_with(14).failure().says(&["stayed locked by others"]).hints(&["--lock-wait"]);
    assert_eq!((scene.sql(CONTENT), scene.side_schemas()), (damaged, String::new()));
    drop(holder.stdin.take());
    holder.wait().unwrap();
    scene.place.holdpoint(&words).ended_with(0);
}

#[test]
fn nobody_to_ask_means_no_change_and_no_wait() {
    let scene = Scene::local();
    scene.damaged();
    let before = scene.before();
    let words = ["recover-table", "orders", "--from", "latest", "--mode", "missing"];
    let told = scene.place.holdpoint(&words).ended_with(16);
    assert!(told.stderr.contains("nobody confirmed") && told.stderr.contains("hint: say --yes"), "{told:?}");
    let json = [&words[..], &["--json"]].concat();
    scene.place.holdpoint(&json).ended_with(16).failure().says(&["nobody confirmed"]).hints(&["--yes"]);
    scene.assert_untouched(&before);
}

#[test]
fn errors_are_clear() {
    let scene = Scene::local();
    scene.damaged();
    scene.sql("CREATE SCHEMA other; CREATE TABLE other.orders (id int)");
    scene.place.backup();
    let before = scene.before();
    let run = |words: &[&str]| scene.place.holdpoint(&[&["recover-table"], words, &["--json"]].concat());
    run(&["shop.ordesr", "--from", "latest"])
        .ended_with(6)
        .failure()
        .says(&["has no table shop.ordesr"])
        .hints(&["did you mean shop.orders"]);
    run(&["orders", "--from", "latest"])
        .ended_with(2)
        .failure()
        .says(&["in several schemas: other.orders, shop.orders"]);
    run(&["shop.orders", "--from", "20200101T000000Z-aaaa"]).ended_with(6);
    run(&["shop.orders", "--from", "latest", "--where", "nonsense ="])
        .ended_with(2)
        .failure()
        .says(&["the condition cannot be used"]);
    run(&["shop.orders", "--from", "latest", "--dry-run", "--where", "nocol = 1"])
        .ended_with(2)
        .failure()
        .says(&["column \"nocol\" does not exist"]);
    let columns = |columns: &str| {
        let words = ["shop.orders", "--from", "latest", "--mode", "upsert", "--yes", "--columns", columns];
        run(&words).ended_with(3).failure()
    };
    columns("id").says(&["\"id\" is what rows are found by"]);
    columns("note=status,status").says(&["would both fill \"status\""]);
    run(&["shop.orders"]).ended_with(2).failure().says(&["--from"]);
    run(&["--schema", "shpo", "--from", "latest"]).ended_with(6);
    run(&["shop.orders", "--from", "latest", "--mode", "replace", "--where", "true", "--yes"]).ended_with(2);
    let refused = ["shop.customers", "--from", "latest", "--mode", "replace", "--yes"];
    scene.sql("INSERT INTO shop.customers (name, email, country, since) VALUES ('n', 'e', 'DE', now()); INSERT INTO shop.orders (customer, status, placed) SELECT max(id), 'paid', now() FROM shop.customers");
    run(&refused).ended_with(3).failure().says(&["foreign key orders_customer_fkey", "1 rows of shop.orders"]);
    assert_eq!(scene.side_schemas(), "");
    scene.assert_repository_untouched(&before);
    scene.sql(
        "CREATE TABLE shop.visits (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE shop.visits_1 PARTITION OF shop.visits FOR VALUES FROM (0) TO (10);
         INSERT INTO shop.visits SELECT generate_series(0, 9)",
    );
    scene.place.backup();
    scene.sql("DROP TABLE shop.visits_1");
    for last in ["--dry-run", "--yes"] {
        let told = run(&["shop.visits", "--from", "latest", "--mode", "missing", last]).ended_with(3);
        assert!(told.stdout.contains("10 rows belong into no partition of shop.visits"), "{told:?}");
    }
    assert_eq!(scene.side_schemas(), "");
}

#[test]
fn a_point_of_another_database_is_refused() {
    let mut scene = Scene::local();
    scene.place.backup();
    let other = scene.empty_database();
    let folder =
        scene.place.holdpoint(&["list", "--json"]).ended_with(0).json()["database"].as_str().unwrap().to_owned();
    let url = scene.cluster.url(&other);
    scene.place.set("DATABASE_URL", &url);
    let words = ["recover-table", "shop.orders", "--from", "latest", "--database", &folder, "--json"];
    scene.place.holdpoint(&words).ended_with(3).failure().says(&["was made of another database"]).hints(&["--into"]);
    scene.cluster.drop_database(&other);
}

/// Side tables in a database that no configuration names are found and removed by the command that is told.
#[test]
fn side_tables_elsewhere_are_found() {
    let mut scene = Scene::local();
    scene.place.backup();
    let other = scene.empty_database();
    let url = scene.cluster.url(&other);
    scene.place.set("ELSEWHERE", &url);
    let side = || {
        let sql = "SELECT coalesce(string_agg(nspname, ','), '') FROM pg_namespace WHERE nspname LIKE 'holdpoint%'";
        scene.cluster.psql(&other, sql)
    };
    for named in ["env:ELSEWHERE", url.as_str()] {
        let words = ["recover-table", "shop.customers", "--from", "latest", "--into", named];
        let told = scene.place.holdpoint(&words).ended_with(0).stdout;
        assert!(told.contains("fetched") && !told.contains(" of 0 B"), "{told}");
        let start = told.find("holdpoint leftovers --into ").unwrap_or_else(|| panic!("no command in {told}"));
        let command = told[start..].lines().next().unwrap().to_owned();
        assert!(!side().is_empty());
        scene.place.holdpoint(&["leftovers", "--remove", "--min-age", "0s"]);
        assert!(!side().is_empty(), "nothing names it");
        // As a person types it, but that nobody waits for a day.
        let words: Vec<&str> = command.split_whitespace().skip(1).map(|word| word.trim_matches('\'')).collect();
        scene.place.holdpoint(&[&words[..], &["--min-age", "0s"]].concat()).ended_with(0);
        assert_eq!(side(), "", "{command}");
    }
    scene.cluster.drop_database(&other);
}

/// A schema that was dropped comes back with its tables and what they need.
#[test]
fn a_schema_that_is_gone() {
    let scene = Scene::local();
    scene.place.backup();
    let lines = || sorted_contents(&scene);
    let whole = lines();
    scene.sql("DROP SCHEMA shop CASCADE");
    let words = ["recover-table", "--schema", "shop", "--from", "latest", "--mode", "missing", "--yes", "--json"];
    let report = scene.place.holdpoint(&words).ended_with(0).json();
    assert!(report["tables"].as_array().unwrap().iter().all(|table| table["made_again"] == true), "{report:#}");
    assert_same("made again", &whole, &lines());
    assert_eq!(scene.side_schemas(), "");
}

#[test]
fn latest_is_refused_while_a_run_is_unsettled() {
    let scene = Scene::local();
    std::fs::write(scene.place.work().join("migration.sql"), "DELETE FROM shop.order_lines; SELECT 1 / 0;").unwrap();
    let psql = "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f migration.sql";
    scene.place.holdpoint(&["guard", "--", "sh", "-c", psql]).ended_with(11);
    scene.place.backup();
    let outcome = scene.place.holdpoint(&["recover-table", "shop.orders", "--from", "latest", "--json"]);
    outcome.ended_with(3).failure().says(&["unsettled"]).hints(&["before:"]);
}
