//! A backup that asks too much of production gives way: nobody waits behind it for longer than they were promised.

use std::process::{Child, Stdio};
use std::time::Duration;

use holdpoint_tests::{Running, alive_with};

use super::failed;
use crate::scene::Scene;

/// About 16 MB of text, so that a rate decides how long a backup takes.
fn with_much_to_copy() -> Scene {
    let scene = Scene::local();
    scene.sql(
        "CREATE TABLE shop.noise AS SELECT n, repeat(md5(n::text), 5) AS body FROM generate_series(1, 100000) n; \
         ANALYZE shop.noise",
    );
    scene
}

/// Starts a backup that has far to go, and waits until it holds its locks.
fn slow_backup(scene: &Scene, flags: &[&str]) -> Running {
    let mut run = scene.place.start(&[&["backup", "--json", "--max-rate", "1M"], flags].concat());
    let held = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.granted \
                AND l.relation = 'shop.noise'::regclass AND a.application_name LIKE 'holdpoint backup%'";
    run.wait_until("the backup holds its locks", Duration::from_secs(300), || scene.sql(held) != "0");
    run
}

/// Wants a table for itself alone.
fn altering(scene: &Scene) -> Child {
    let mut psql = scene.cluster.program("psql");
    psql.args([
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-d",
        &scene.database,
        "-c",
        "ALTER TABLE shop.orders ADD later int",
    ]);
    psql.env("PGAPPNAME", "migration").stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

fn nothing_is_left(scene: &Scene, points: &[String]) {
    assert_eq!(scene.place.points(), points, "nothing is published");
    assert_eq!(scene.place.unfinished_uploads(), [""; 0]);
    assert_eq!(alive_with(scene.place.path()), []);
    scene.wait_until_left();
}

#[test]
fn an_alter_table_gets_its_lock() {
    // pg_dump's own session holds the lock, or several of ours do.
    for jobs in ["1", "3"] {
        in_the_way(&with_much_to_copy(), jobs);
    }
}

fn in_the_way(scene: &Scene, jobs: &str) {
    let run = slow_backup(scene, &["--max-lock-wait", "2s", "--jobs", jobs]);
    let mut migration = altering(scene);
    let failure = run.finish().ended_with(14).failure();
    assert_eq!(failure.kind, "busy");
    failure
        .says(&["(postgres, migration)", "ALTER TABLE", "ACCESS EXCLUSIVE on shop.orders"])
        .hints(&["--max-lock-wait"]);
    assert!(migration.wait().unwrap().success(), "the migration goes on");
    nothing_is_left(scene, &[]);
    scene.place.backup();
}

/// Without a limit nobody is ended, and everybody is told.
#[test]
fn who_waits_is_told() {
    let scene = with_much_to_copy();
    let mut run = slow_backup(&scene, &["--progress", "json"]);
    let mut migration = altering(&scene);
    run.wait_until_said("the backup holds up others: process ");
    let outcome = run.finish().ended_with(0);
    assert!(migration.wait().unwrap().success());
    let warnings = outcome.json()["warnings"].to_string();
    assert!(warnings.contains("ACCESS EXCLUSIVE on shop.orders"), "{warnings}");
    assert!(!warnings.contains("later"), "no more than keywords are told: {warnings}");
}

#[test]
fn a_snapshot_that_grows_too_old_ends_the_backup() {
    let scene = with_much_to_copy();
    for jobs in ["1", "3"] {
        let flags = ["backup", "--max-rate", "1M", "--max-snapshot-age", "2s", "--jobs", jobs];
        failed(&scene, &flags, 5).says(&["held its snapshot for 2 s"]).hints(&["--max-snapshot-age"]);
        nothing_is_left(&scene, &[]);
    }
    // The file sets it, and a flag takes it away.
    scene.place.write_config("[backup]\nmax_rate = \"1M\"\nmax_snapshot_age = \"1s\"\n");
    failed(&scene, &["backup"], 5);
    nothing_is_left(&scene, &[]);
    scene.place.holdpoint(&["backup", "--max-rate", "0", "--max-snapshot-age", "0"]).ended_with(0);
}

/// Once all rows are read production is done with, however long the store takes for the end of the upload.
#[test]
fn a_slow_store_holds_nothing_of_production() {
    let scene = Scene::local();
    for jobs in ["1", "3"] {
        let flags = ["backup", "--json", "--parallel-from", "0", "--jobs", jobs];
        let mut run = scene.place.start_paused(&flags, "completing-upload");
        run.wait_for_pause();
        let held = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND pid <> pg_backend_pid() AND (backend_xmin IS NOT NULL OR state LIKE 'idle in transaction%')";
        run.wait_until("no snapshot is held", Duration::from_secs(300), || scene.sql(held) == "0");
        scene
            .sql("SET lock_timeout = '10s'; ALTER TABLE shop.orders ADD later int; ALTER TABLE shop.orders DROP later");
        run.go_on();
        run.finish().ended_with(0);
    }
}

/// No backup is faster than its rate allows, however many read; how much slower this machine is does not matter.
#[test]
fn a_rate_is_kept() {
    let scene = with_much_to_copy();
    for (jobs, engine) in [("1", "pass-through"), ("3", "parallel")] {
        let flags = ["backup", "--json", "--max-rate", "8M", "--jobs", jobs, "--compress", "none"];
        let report = scene.place.holdpoint(&flags).ended_with(0).json();
        assert_eq!(report["engine"], engine, "{}", report["engine_reason"]);
        let bytes = report["manifest"]["totals"]["data_bytes"].as_u64().unwrap();
        assert!(bytes > 15_000_000, "{bytes}");
        // A fifth of a second may be made up for.
        let least_ms = bytes * 1000 / (8 << 20) - 200;
        let took_ms = report["took_ms"].as_u64().unwrap();
        assert!(took_ms >= least_ms, "{jobs} jobs: {bytes} bytes in {took_ms} ms");
    }
}

/// Copying comes first: where hardly a connection is left, nobody looks who waits, and that is said.
#[test]
fn few_connections_are_enough() {
    let mut scene = with_much_to_copy();
    let role = crate::scene::name("frugal");
    scene.sql(&format!("CREATE ROLE {role} LOGIN BYPASSRLS CONNECTION LIMIT 3; GRANT pg_read_all_data TO {role}"));
    let url = scene.cluster.url_as(&role, &scene.database);
    scene.place.set("DATABASE_URL", &url);
    let outcome = scene.place.holdpoint(&["backup", "--json", "--max-rate", "4M", "--progress", "json"]).ended_with(0);
    assert_eq!(outcome.json()["engine"], "pass-through");
    assert!(outcome.stderr.contains("who waits for the backup cannot be seen now"), "{}", outcome.stderr);
    scene.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
