//! Kills, restarts and cut links: live rows are as before or wholly changed, never half.

use std::time::{Duration, Instant};

use holdpoint_testkit::{Cluster, ClusterOptions, Fault, FaultProxy, NEWEST, Rule, S3Server, SeenRequest};
use holdpoint_tests::Place;

use super::{CONTENT, DAMAGE};
use crate::scene::Scene;

const PHASES: [&str; 7] = [
    "preflight",
    "fetching-tables",
    "matching-tables",
    "counting-changes",
    "changing-tables",
    "committing-change",
    "removing-side",
];

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
        scene.wait_until_left();
        let expected = if phase == "removing-side" { &whole } else { &damaged };
        assert_eq!(scene.sql(CONTENT), *expected, "{phase}");
        let report =
            scene.place.holdpoint(&["leftovers", "--remove", "--min-age", "0s", "--json"]).ended_with(0).json();
        let removed = report["leftovers"].as_array().unwrap().iter().filter(|one| one["kind"] == "side_schema").count();
        assert_eq!(removed, usize::from(!["preflight", "fetching-tables"].contains(&phase)), "{phase}: {report:#}");
        assert_eq!(scene.side_schemas(), "", "{phase}");
    }
}

#[test]
fn interrupted_at_every_phase() {
    let scene = Scene::local();
    let (_, damaged) = scene.damaged();
    for phase in &PHASES[..5] {
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
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(ClusterOptions::major(NEWEST))));
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
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(ClusterOptions::major(NEWEST))));
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
            let deadline = Instant::now() + Duration::from_secs(300);
            while copying() != "0" {
                assert!(Instant::now() < deadline, "its session is left");
                std::thread::sleep(Duration::from_millis(20));
            }
            scene.place.holdpoint(&["leftovers", "--remove", "--min-age", "0s"]).ended_with(0);
        } else {
            cluster.restart();
            // The store answers again: what comes now meets a session that is gone.
            proxy.clear();
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
    // A refusal is looked into: the block is there, and asked for once more.
    proxy.rule(Rule::new(Fault::s3_error(403, "AccessDenied")).when(is_of_rows).times(2));
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
