//! `recover-table` as a person or a script runs it: modes, errors, kills and faults.

use std::time::Duration;

use holdpoint_testkit::{Cluster, ClusterOptions, Fault, FaultProxy, S3Server, SeenRequest};
use holdpoint_tests::Place;
use serde_json::Value;

use crate::scene::Scene;

const PHASES: [&str; 6] =
    ["fetching-tables", "matching-tables", "counting-changes", "changing-tables", "committing-change", "removing-side"];
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
    let (whole, damaged) = scene.damaged();
    let before = scene.before();
    let side = scene.table(&["shop.orders", "--from", "latest"]);
    let schema = side["side_schema"].as_str().unwrap().to_owned();
    assert_eq!(scene.sql(&CONTENT.replace("shop.orders", &format!("{schema}.orders"))), whole);
    assert_eq!(scene.sql(CONTENT), damaged);
    let left = scene.place.holdpoint(&["leftovers", "--json"]).ended_with(0).json();
    assert_eq!(left["leftovers"][0]["kind"], "side_schema", "{left:#}");
    assert_eq!(left["leftovers"][0]["dead"], false, "it may be looked at now");
    scene.place.holdpoint(&["leftovers", "--remove", "--min-age", "0s"]).ended_with(0);
    assert_eq!(scene.side_schemas(), "");
    let plan = scene.table(&["orders", "--from", "latest", "--mode", "upsert", "--dry-run"]);
    assert_eq!((&plan["tables"][0]["inserted"], &plan["tables"][0]["changed"]), (&10.into(), &7.into()), "{plan:#}");
    scene.assert_untouched(&before);
    let report = scene.table(&["orders", "--from", "latest", "--mode", "upsert", "--yes"]);
    assert_eq!(report["changed"], true);
    assert_eq!(scene.sql(CONTENT), whole);
    assert_eq!(scene.side_schemas(), "");
    scene.assert_repository_untouched(&before);
    let again = scene.place.holdpoint(&["recover-table", "orders", "--from", "latest", "--mode", "replace", "--yes"]);
    assert!(again.ended_with(0).stdout.contains("nothing was to be changed"));
}

#[test]
fn every_mode_with_a_folder() {
    every_mode(&Scene::local());
}

#[test]
fn every_mode_with_a_bucket() {
    every_mode(&Scene::on_s3());
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
    run(&["shop.orders"]).ended_with(2).failure().says(&["--from"]);
    run(&["--schema", "shpo", "--from", "latest"]).ended_with(6);
    run(&["shop.orders", "--from", "latest", "--mode", "replace", "--where", "true", "--yes"]).ended_with(2);
    let refused = ["shop.customers", "--from", "latest", "--mode", "replace", "--yes"];
    scene.sql("INSERT INTO shop.customers (name, email, country, since) VALUES ('n', 'e', 'DE', now()); INSERT INTO shop.orders (customer, status, placed) SELECT max(id), 'paid', now() FROM shop.customers");
    run(&refused).ended_with(3).failure().says(&["foreign key orders_customer_fkey", "1 rows of shop.orders"]);
    assert_eq!(scene.side_schemas(), "");
    scene.assert_repository_untouched(&before);
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

/// Killed anywhere, live rows are as before or wholly changed, never half; and what is left is found and removed.
#[test]
fn killed_at_every_phase() {
    let scene = Scene::local();
    let (whole, damaged) = scene.damaged();
    for phase in PHASES {
        let words = ["recover-table", "shop.orders", "--from", "latest", "--mode", "replace", "--yes"];
        let mut run = scene.place.start_paused(&words, phase);
        run.wait_for_pause();
        run.kill();
        run.finish().ended_with(137);
        let sessions = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE 'holdpoint%'",
            scene.database
        );
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while scene.cluster.psql("postgres", &sessions) != "0" {
            assert!(std::time::Instant::now() < deadline, "{phase}: sessions are left");
            std::thread::sleep(Duration::from_millis(20));
        }
        let expected = if phase == "removing-side" { &whole } else { &damaged };
        assert_eq!(scene.sql(CONTENT), *expected, "{phase}");
        let report =
            scene.place.holdpoint(&["leftovers", "--remove", "--min-age", "0s", "--json"]).ended_with(0).json();
        let removed = report["leftovers"].as_array().unwrap().iter().filter(|one| one["kind"] == "side_schema").count();
        assert_eq!(removed, usize::from(phase != "fetching-tables"), "{phase}: {report:#}");
        assert_eq!(scene.side_schemas(), "", "{phase}");
    }
}

#[test]
fn interrupted_at_every_phase() {
    let scene = Scene::local();
    let (_, damaged) = scene.damaged();
    for phase in &PHASES[..4] {
        let words = ["recover-table", "shop.orders", "--from", "latest", "--mode", "upsert", "--yes", "--json"];
        let mut run = scene.place.start_paused(&words, phase);
        run.wait_for_pause();
        run.interrupt();
        assert_eq!(run.finish().ended_with(130).failure().kind, "interrupted", "{phase}");
        assert_eq!(scene.sql(CONTENT), damaged, "{phase}");
        assert_eq!(scene.side_schemas(), "", "{phase}: it cleans up itself");
    }
}

/// The server goes away between two steps: what was not committed is as before.
#[test]
fn the_server_is_restarted_in_the_middle() {
    let cluster: &'static Cluster =
        Box::leak(Box::new(Cluster::start(ClusterOptions::major(holdpoint_testkit::NEWEST))));
    let scene = Scene::on(cluster, Place::local());
    let (_, damaged) = scene.damaged();
    for phase in ["matching-tables", "counting-changes", "changing-tables", "committing-change"] {
        let words = ["recover-table", "shop.orders", "--from", "latest", "--mode", "replace", "--yes"];
        let mut run = scene.place.start_paused(&words, phase);
        run.wait_for_pause();
        cluster.restart();
        run.go_on();
        run.finish().ended_with(7);
        assert_eq!(scene.sql(CONTENT), damaged, "{phase}");
        assert_eq!(scene.side_schemas(), "", "{phase}: it is removed when the server is back");
    }
}

/// Whether a request is for rows of the archive, not for its head.
fn is_of_rows(request: &SeenRequest) -> bool {
    let rows = request.header("range").is_some_and(|range| !range.starts_with("bytes=0-"));
    rows && request.target.contains("archive.dump")
}

/// Some rows are loaded and the rest does not come: then the program or the server is gone.
#[test]
fn lost_while_rows_are_loaded() {
    let server = S3Server::shared();
    let proxy = FaultProxy::http(server.address());
    let cluster: &'static Cluster =
        Box::leak(Box::new(Cluster::start(ClusterOptions::major(holdpoint_testkit::NEWEST))));
    let mut scene = Scene::on(cluster, Place::on_s3());
    // Several pieces: what has come of one is loaded when all of it has.
    scene.sql("CREATE TABLE shop.large (id int PRIMARY KEY, t text); INSERT INTO shop.large SELECT n, md5(n::text) || md5('b' || n) || md5('c' || n) FROM generate_series(1, 200000) n");
    let content = "SELECT md5(string_agg(l::text, '|' ORDER BY id)) FROM shop.large l";
    let whole = scene.sql(content);
    scene.place.backup();
    scene.sql("DELETE FROM shop.large WHERE id % 3 = 0; UPDATE shop.large SET t = 'wrong' WHERE id % 7 = 0");
    let damaged = scene.sql(content);
    let (_, bucket) = scene.place.bucket().unwrap();
    let bucket = bucket.to_owned();
    scene.place.use_bucket(server, &bucket, &proxy.endpoint());
    let words = ["recover-table", "shop.large", "--from", "latest", "--mode", "replace", "--yes"];
    let copying = || scene.sql("SELECT count(*) FROM pg_stat_progress_copy WHERE tuples_processed > 0");
    for killed in [true, false] {
        proxy.push_when(is_of_rows, Fault::ResetAfterResponseBytes(6_000_000));
        for _ in 0..3 {
            proxy.push_when(is_of_rows, Fault::Silence);
        }
        let mut run = scene.place.start(&words);
        run.wait_until("rows are loaded", Duration::from_secs(120), || copying() == "1");
        if killed {
            run.kill();
            run.finish().ended_with(137);
            let deadline = std::time::Instant::now() + Duration::from_secs(60);
            while copying() != "0" {
                assert!(std::time::Instant::now() < deadline, "its session is left");
                std::thread::sleep(Duration::from_millis(20));
            }
            scene.place.holdpoint(&["leftovers", "--remove", "--min-age", "0s"]).ended_with(0);
        } else {
            cluster.restart();
            proxy.cut();
            run.finish().ended_with(7);
        }
        proxy.clear();
        assert_eq!(scene.sql(content), damaged, "killed: {killed}");
        assert_eq!(scene.side_schemas(), "", "killed: {killed}");
    }
    scene.place.holdpoint(&words).ended_with(0);
    assert_eq!(scene.sql(content), whole);
}

/// The link to the store is cut in the middle of the block: it is read on, or the whole is given up.
#[test]
fn a_link_that_is_cut_in_mid_block() {
    let server = S3Server::shared();
    let proxy = FaultProxy::http(server.address());
    let mut scene = Scene::on_s3();
    let (whole, damaged) = scene.damaged();
    let (_, bucket) = scene.place.bucket().unwrap();
    let bucket = bucket.to_owned();
    scene.place.use_bucket(server, &bucket, &proxy.endpoint());
    proxy.push_when(is_of_rows, Fault::ResetAfterResponseBytes(1000));
    let report = scene.table(&["shop.orders", "--from", "latest", "--mode", "upsert", "--yes"]);
    assert_eq!(proxy.pending(), 0, "the block was cut");
    assert_eq!(report["changed"], true, "one cut is survived");
    assert_eq!(scene.sql(CONTENT), whole);
    scene.sql(DAMAGE);
    assert_eq!(scene.sql(CONTENT), damaged);
    // Cut again, and then nobody lets it in any more.
    proxy.push_when(is_of_rows, Fault::ResetAfterResponseBytes(1000));
    proxy.push_when(is_of_rows, Fault::s3_error(403, "AccessDenied"));
    let outcome =
        scene.place.holdpoint(&["recover-table", "shop.orders", "--from", "latest", "--mode", "upsert", "--yes"]);
    outcome.ended_with(8);
    assert_eq!(proxy.pending(), 0, "the block was cut, and asked for again");
    assert_eq!(scene.sql(CONTENT), damaged);
    assert_eq!(scene.side_schemas(), "");
    proxy.push_times(50, &Fault::s3_error(503, "SlowDown"));
    scene.place.holdpoint(&["recover-table", "shop.orders", "--from", "latest"]).ended_with(8);
    proxy.clear();
    assert_eq!(scene.sql(CONTENT), damaged);
    assert_eq!(scene.side_schemas(), "");
}

#[test]
fn a_dump_made_elsewhere_needs_no_repository() {
    let scene = Scene::local();
    let (whole, _) = scene.damaged();
    let mut place = Place::bare();
    place.unset("HOLDPOINT_REPOSITORY");
    place.source(scene.cluster, &scene.database);
    let path = place.work().join("old.dump");
    scene.sql("UPDATE shop.orders SET note = note");
    let copy = crate::scene::name("whole");
    holdpoint_testkit::sample::load_shop(scene.cluster, &copy, 4_000);
    std::fs::write(&path, scene.cluster.pg_dump(&copy, &["-Fc"])).unwrap();
    let words = ["recover-table", "shop.orders", "--from", "old.dump", "--mode", "upsert", "--yes", "--json"];
    let report = place.holdpoint(&words).ended_with(0).json();
    assert_eq!(report["tables"][0]["inserted"], 10, "{report:#}");
    assert_eq!(scene.sql(CONTENT), whole);
    scene.cluster.drop_database(&copy);
}
