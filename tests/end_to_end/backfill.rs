//! `backfill`: a large table, filled batch by batch, whatever happens in between.

use std::time::Duration;

use crate::scene::Scene;
use crate::watch::Client;
use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};
use holdpoint_tests::{Place, Running};

const WITHIN: Duration = Duration::from_secs(300);

/// Rows whose `n` says how often each was changed.
fn table(scene: &Scene, rows: u32) {
    scene.sql(&format!(
        "CREATE TABLE public.counted (id int PRIMARY KEY, n int NOT NULL DEFAULT 0);
         INSERT INTO counted SELECT i * 3 FROM generate_series(1, {rows}) i; ANALYZE counted"
    ));
}

/// How many rows there are by how often they were changed, such as `1:5000`.
fn changed(scene: &Scene) -> String {
    scene.sql("SELECT string_agg(n || ':' || rows, ' ' ORDER BY n) FROM (SELECT n, count(*) AS rows FROM counted GROUP BY n) c")
}

fn wait_until(running: &mut Running, what: &str, scene: &Scene, condition: &str) {
    running.wait_until(what, WITHIN, || scene.sql(&format!("SELECT {condition}")) == "t");
}

const ONCE: [&str; 4] = ["backfill", "public.counted", "--set", "n = n + 1"];
/// No batch is done in so short a time: they stay at their smallest.
const SLOWLY: [&str; 6] = ["--batch", "100", "--batch-time", "1ms", "--pause", "30ms"];

/// Begins one on the table, and kills it once it has changed some rows.
fn killed_in_the_middle(scene: &Scene) {
    let mut running = scene.place.start(&[&ONCE[..], &SLOWLY].concat());
    wait_until(&mut running, "some rows are changed", scene, "count(*) > 300 FROM counted WHERE n > 0");
    running.kill();
    running.finish().ended_with(137);
    // The server may still be at the last batch.
    scene.wait_until_left();
    assert!(changed(scene).starts_with("0:"), "it was killed in the middle: {}", changed(scene));
}

#[test]
fn one_whose_table_has_another_name_by_now_is_not_begun_anew() {
    let scene = Scene::local();
    table(&scene, 4_000);
    killed_in_the_middle(&scene);
    scene.sql("ALTER TABLE counted RENAME TO later");
    let anew = ["backfill", "public.later", "--set", "n = n + 1"];
    let refused = scene.place.holdpoint(&[&anew[..], &["--json"]].concat()).ended_with(3);
    refused
        .failure()
        .says(&["public.later, which was public.counted then, has not been finished", "backfill-"])
        .hints(&["the same command with --resume", "remove"]);
    scene.place.holdpoint(&[&anew[..], &["--resume", "--json"]].concat()).ended_with(0);
    scene.sql("ALTER TABLE later RENAME TO counted");
    assert_eq!(changed(&scene), "1:4000");
    // It is done: no file is left under either name.
    let done = scene.place.holdpoint(&[&ONCE[..], &["--resume", "--json"]].concat()).ended_with(6);
    done.failure().says(&["there is no backfill of public.counted to go on with"]);
}

/// What happens to the table beside a running one, which then says so, keeps its file and changes nothing more.
#[test]
fn one_whose_table_changes_beside_it_stops_and_is_not_gone_on_with_in_another_order() {
    let scene = Scene::local();
    table(&scene, 4_000);
    let stopped = |table: &'static str, more: &[&'static str], change: &str, said: &[&str], hint: &str| {
        let slowly = ["--batch", "50", "--batch-time", "1ms", "--pause", "20ms"];
        let words = [&["backfill", table], &ONCE[2..], &slowly, &["--json"], more].concat();
        let already: u32 = scene.sql(&format!("SELECT count(*) FROM {table} WHERE n > 0")).parse().unwrap();
        let mut running = scene.place.start(&words);
        let more = format!("count(*) > {} FROM {table} WHERE n > 0", already + 150);
        wait_until(&mut running, "some rows are changed", &scene, &more);
        scene.sql(change);
        running.finish().ended_with(3).failure().says(said).hints(&[hint]);
        assert_eq!(scene.sql(&format!("SELECT count(*) FROM {table} WHERE n > 1")), "0");
    };
    // Others put a copy in its place.
    stopped(
        "public.counted",
        &[],
        "BEGIN; ALTER TABLE counted RENAME TO early; CREATE TABLE counted (LIKE early INCLUDING ALL); \
         INSERT INTO counted SELECT id, 1 FROM early; COMMIT",
        &["public.counted is not as it was when the backfill began: another table has its name now"],
        "under the name that it has now: --resume",
    );
    scene.sql("DROP TABLE counted; ALTER TABLE early RENAME TO counted");
    stopped(
        "public.counted",
        &["--resume"],
        "CREATE TABLE child () INHERITS (counted)",
        &["other tables inherit from it now"],
        "NO INHERIT",
    );
    scene.sql("DROP TABLE child");
    // The same texts mean other places in the order of another type.
    stopped(
        "public.counted",
        &["--resume"],
        "ALTER TABLE counted ALTER id TYPE text",
        &["column id of its key was integer and is text"],
        "let --where leave out what is done",
    );
    let before = changed(&scene);
    for more in [&["--json"][..], &["--resume", "--json"], &["--resume", "--dry-run", "--json"]] {
        let refused = scene.place.holdpoint(&[&ONCE[..], more].concat()).ended_with(3);
        refused
            .failure()
            .says(&["public.counted is not as it was", "column id of its key was integer and is text"])
            .hints(&["begin anew: remove", "backfill-", "let --where leave out what is done"]);
    }
    assert_eq!(changed(&scene), before);
    std::fs::remove_file(noted(&scene).0).unwrap();
    scene.place.holdpoint(&[&ONCE[..], &["--where", "n = 0", "--json"]].concat()).ended_with(0);
    assert_eq!(changed(&scene), "1:4000");

    // A trigger keeps rows as they are.
    scene.sql(
        "CREATE FUNCTION kept() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TRIGGER kept BEFORE UPDATE ON counted FOR EACH ROW WHEN (old.id < '2') EXECUTE FUNCTION kept()",
    );
    let kept = scene.sql("SELECT count(*) FROM counted WHERE id < '2'");
    let report = scene.place.holdpoint(&[&ONCE[..], &["--json"]].concat()).ended_with(0).json();
    let warned = report["warnings"].to_string();
    let kept = format!("{},{} were not changed", &kept[..1], &kept[1..]);
    assert!(warned.contains(&kept), "{kept} is not in: {report:#}");
}

#[test]
fn a_killed_one_goes_on_and_changes_every_row_once() {
    let scene = Scene::local();
    table(&scene, 4_000);
    let slow = [&ONCE[..], &SLOWLY].concat();
    killed_in_the_middle(&scene);
    let again = scene.place.holdpoint(&[&ONCE[..], &["--json"]].concat()).ended_with(3);
    again
        .failure()
        .says(&["an earlier backfill of public.counted has not been finished"])
        .hints(&["--resume", ".holdpoint"]);
    let other = ["backfill", "counted", "--set", "n = n + 2", "--resume", "--json"];
    scene.place.holdpoint(&other).ended_with(2).failure().says(&["is of another backfill: --set differs"]);
    let report = scene.place.holdpoint(&[&ONCE[..], &["--resume", "--json"]].concat()).ended_with(0).json();
    assert_eq!(changed(&scene), "1:4000");
    assert_eq!(
        (report["finished"].as_bool(), report["rows_updated"].as_u64()),
        (Some(true), Some(4_000)),
        "{report:#}"
    );
    assert!(report["resumed"]["rows_updated"].as_u64().unwrap() >= 300);
    // It is done: nothing is left to go on with.
    let done = scene.place.holdpoint(&[&ONCE[..], &["--resume", "--json"]].concat()).ended_with(6);
    done.failure().says(&["there is no backfill of public.counted to go on with"]);

    // One that hangs, loses its sessions, and comes back when somebody else has come to the end.
    scene.sql("UPDATE counted SET n = 0");
    let mut running = scene.place.start(&[&slow[..], &["--json"]].concat());
    wait_until(&mut running, "some rows are changed", &scene, "count(*) > 300 FROM counted WHERE n > 0");
    running.freeze();
    scene.sql(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name LIKE 'holdpoint %'",
    );
    scene.place.holdpoint(&[&ONCE[..], &["--resume", "--json"]].concat()).ended_with(0);
    assert_eq!(changed(&scene), "1:4000");
    running.thaw();
    let late = running.finish().ended_with(14);
    late.failure().says(&["another backfill of public.counted went on meanwhile"]).hints(&["came to the end"]);
    assert_eq!(changed(&scene), "1:4000");
}

/// Kills it between the note of a batch of ten and the server's word on it, which whoever is given holds up.
fn held_at_its_commit(scene: &Scene) -> Client<'_> {
    table(scene, 50);
    scene.sql(
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS \
               'BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN NULL; END';
             CREATE CONSTRAINT TRIGGER hold AFTER UPDATE ON counted DEFERRABLE INITIALLY DEFERRED \
               FOR EACH ROW EXECUTE FUNCTION hold()",
    );
    let holder = Client::running(scene, "holder", "BEGIN; SELECT pg_advisory_xact_lock(77);").idle_in_transaction();
    let small = [&ONCE[..], &["--batch", "10", "--lock-wait", "10m"]].concat();
    let mut running = scene.place.start(&small);
    let committing = "EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' \
                          AND application_name LIKE 'holdpoint backfill %' AND wait_event = 'advisory')";
    wait_until(&mut running, "it commits", scene, committing);
    running.kill();
    running.finish().ended_with(137);
    assert_eq!(changed(scene), "0:50");
    holder
}

/// As [`held_at_its_commit`], and lets the server end it; gives how it is gone on with.
fn killed_at_its_commit(scene: &Scene, commits: bool) -> Vec<&'static str> {
    let mut holder = held_at_its_commit(scene);
    let resume = [&ONCE[..], &["--resume", "--json"]].concat();
    let busy = scene.place.holdpoint(&resume).ended_with(14);
    busy.failure().says(&["another backfill is at public.counted"]).hints(&["holdpoint watch"]);
    if !commits {
        scene.sql(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name LIKE 'holdpoint backfill %'",
        );
    }
    holder.say("COMMIT;");
    scene.wait_until_left();
    assert_eq!(changed(scene), if commits { "0:40 1:10" } else { "0:50" });
    resume
}

/// Between the note of the batch and the server's word on it.
#[test]
fn a_batch_that_was_being_committed_counts_as_the_server_says() {
    for commits in [true, false] {
        let scene = Scene::local();
        let resume = killed_at_its_commit(&scene, commits);
        let report = scene.place.holdpoint(&resume).ended_with(0).json();
        assert_eq!(changed(&scene), "1:50", "{report:#}");
        assert_eq!(report["rows_updated"], 50, "{report:#}");
        assert_eq!(report["resumed"]["rows_updated"], if commits { 10 } else { 0 }, "{report:#}");
    }
}

/// What was not on the disk is lost.
fn crash(cluster: &Cluster) {
    cluster.kill();
    cluster.resume();
}

/// The file of the one backfill, and what it says.
fn noted(scene: &Scene) -> (std::path::PathBuf, serde_json::Value) {
    let mut files =
        std::fs::read_dir(scene.place.work().join(".holdpoint")).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|file| file.extension().is_some_and(|end| end == "json")).unwrap();
    let state = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    (file, state)
}

#[test]
fn no_crash_gives_the_number_of_a_batch_to_another_transaction() {
    for major in [14, NEWEST] {
        let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(ClusterOptions::major(major))));
        let scene = Scene::on(cluster, Place::local());
        let _holder = held_at_its_commit(&scene);
        let number = noted(&scene).1["pending"]["transaction"].as_str().unwrap().to_owned();
        crash(cluster);
        let later = format!("SELECT pg_current_xact_id()::text::bigint > {number}, pg_xact_status('{number}'::xid8)");
        assert_eq!(scene.sql(&later), "t|aborted", "PostgreSQL {major}");
        let resume = [&ONCE[..], &["--resume", "--json"]].concat();
        let report = scene.place.holdpoint(&resume).ended_with(0).json();
        assert_eq!((changed(&scene).as_str(), &report["warnings"]), ("1:50", &serde_json::json!([])), "{report:#}");
    }
}

/// Rows that others wrote since say nothing of a batch; its number, which no crash loses, does.
#[test]
fn a_batch_whose_rows_were_all_written_by_others_since_is_not_done_again() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(ClusterOptions::major(NEWEST))));
    let scene = Scene::on(cluster, Place::local());
    let resume = killed_at_its_commit(&scene, true);
    scene.sql("UPDATE counted SET n = n WHERE n = 1");
    crash(cluster);
    let report = scene.place.holdpoint(&resume).ended_with(0).json();
    assert_eq!(changed(&scene), "1:50", "{report:#}");
    assert_eq!((&report["resumed"]["rows_updated"], &report["rows_updated"]), (&10.into(), &50.into()), "{report:#}");
    assert_eq!(report["warnings"], serde_json::json!([]), "{report:#}");
}

/// A crash may lose the number of a batch that could not be made durable, which another transaction gets then.
#[test]
fn where_the_server_was_started_again_rows_of_the_batch_say_whether_it_was_committed() {
    for commits in [true, false] {
        let scene = Scene::local();
        let resume = killed_at_its_commit(&scene, commits);
        let (file, mut state) = noted(&scene);
        assert!(state["pending"]["server_began"].is_string(), "{state:#}");
        assert_eq!(state["pending"]["durable"], true, "{state:#}");
        state["pending"]["server_began"] = "1".into();
        state["pending"]["durable"] = false.into();
        if !commits {
            scene.sql("CREATE TABLE another AS SELECT pg_current_xact_id()::text AS number");
            state["pending"]["transaction"] = scene.sql("SELECT number FROM another").into();
        }
        std::fs::write(&file, state.to_string()).unwrap();
        let report = scene.place.holdpoint(&resume).ended_with(0).json();
        assert_eq!(changed(&scene), "1:50", "no row is left out, and none changed twice: {report:#}");
        assert_eq!(report["resumed"]["rows_updated"], if commits { 10 } else { 0 }, "{report:#}");
        let told = report["warnings"].to_string().contains("the server was started again");
        assert_eq!(told, !commits, "{report:#}");
    }
}

#[test]
fn a_server_with_another_history_is_not_gone_on_with() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(ClusterOptions::major(NEWEST))));
    let scene = Scene::on(cluster, Place::local());
    table(&scene, 4_000);
    let slow = [&ONCE[..], &SLOWLY, &["--json"]].concat();
    let mut running = scene.place.start(&slow);
    wait_until(&mut running, "some rows are changed", &scene, "count(*) > 300 FROM counted WHERE n > 0");
    running.freeze();
    // A restore to an instant, which nobody meets before it is over: the server begins another timeline.
    for setting in ["restore_command = 'false'", "hot_standby = off"] {
        scene.sql(&format!("ALTER SYSTEM SET {setting}"));
    }
    cluster.stop();
    std::fs::write(cluster.data_directory().join("recovery.signal"), "").unwrap();
    cluster.resume();
    running.thaw();
    let lost = ["on timeline 2", "on timeline 1", "may be lost"];
    running.finish().ended_with(3).failure().says(&lost).hints(&["begin again: remove", "--where"]);
    let resume = [&ONCE[..], &["--resume", "--json"]].concat();
    let failure = scene.place.holdpoint(&resume).ended_with(3).failure();
    failure.says(&lost);
    let state = std::fs::read_dir(scene.place.work().join(".holdpoint")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(state).unwrap();
    let anew = [&ONCE[..], &["--where", "n = 0", "--json"]].concat();
    scene.place.holdpoint(&anew).ended_with(0);
    assert_eq!(changed(&scene), "1:4000");
}

#[test]
fn a_standby_that_is_behind_is_waited_for_and_a_monitor_that_is_lost_is_replaced() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(ClusterOptions::major(NEWEST))));
    let standby = cluster.standby();
    let scene = Scene::on(cluster, Place::local());
    table(&scene, 6_000);
    standby.psql("postgres", "SELECT pg_wal_replay_pause()");
    let slow = [&ONCE[..], &["--json", "--batch", "10", "--pause", "50ms", "--max-lag", "500ms"]];
    let mut running = scene.place.start(&[&slow.concat()[..], &["--progress", "log"]].concat());
    running.wait_until_said("waiting: standby standby is");
    let waits = changed(&scene);
    assert!(waits.starts_with("0:"), "{waits}");
    // It loses what it looks at standbys with, and nothing else: its own lock is not somebody else's.
    scene.sql(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'holdpoint watch'",
    );
    running.wait_until_said("connecting again");
    assert_eq!(changed(&scene), waits, "nothing is changed while the standby is behind");
    standby.psql("postgres", "SELECT pg_wal_replay_resume()");
    let report = running.finish().ended_with(0).json();
    assert!(report["waited_for_lag_ms"].as_u64().unwrap() > 0, "{report:#}");
    assert_eq!((changed(&scene).as_str(), &report["rows_updated"]), ("1:6000", &6_000.into()), "{report:#}");
}

#[test]
fn whoever_waits_goes_first_and_locked_rows_are_tried_again() {
    let scene = Scene::local();
    table(&scene, 200);
    // A batch that takes seconds, and longer than others want to wait.
    let slow = ["backfill", "counted", "--set", "n = n + 1 + length(pg_sleep(0.03)::text)", "--max-blocked", "200ms"];
    let mut running = scene.place.start(&slow);
    // Not while it is planned, which takes the lock, too.
    let at_work = "EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.datname = current_database() \
                   AND a.application_name LIKE 'holdpoint backfill %' AND l.mode = 'RowExclusiveLock' AND l.granted AND a.wait_event = 'PgSleep' \
                   AND l.relation = 'counted'::regclass)";
    wait_until(&mut running, "a batch is at work", &scene, at_work);
    let mut first = Client::running(&scene, "first", "BEGIN; LOCK TABLE counted IN SHARE MODE;").idle_in_transaction();
    running.wait_until_said("it was in the way: process");
    first.say("COMMIT;");
    running.finish().ended_with(0);
    assert_eq!(changed(&scene), "1:200");

    let mut holder = Client::running(&scene, "holder", "BEGIN; SELECT FROM counted WHERE id = 300 FOR UPDATE;")
        .idle_in_transaction();
    let again = [&ONCE[..], &["--lock-wait", "100ms", "--where", "n = 1"]].concat();
    let mut running = scene.place.start(&again);
    running.wait_until_said("lock timeout");
    holder.say("COMMIT;");
    running.finish().ended_with(0);
    assert_eq!(changed(&scene), "2:200");
}

#[test]
fn a_dry_run_tells_the_plan_and_the_time_ends_it_between_batches() {
    let scene = Scene::local();
    scene.sql(
        "CREATE TABLE shop.parts (a int, \"B\" text, n int NOT NULL DEFAULT 0, old bool, UNIQUE (a, \"B\"));
         ALTER TABLE shop.parts ALTER a SET NOT NULL, ALTER \"B\" SET NOT NULL;
         INSERT INTO shop.parts SELECT i % 7, 'key' || i, 0, i % 2 = 0 FROM generate_series(1, 3000) i; ANALYZE shop.parts",
    );
    let words = ["backfill", "parts", "--set", "n = n + 1 -- all", "--where", "old -- and no more", "--batch", "500"];
    let before = scene.before();
    let dry = scene.place.holdpoint(&[&words[..], &["--dry-run"]].concat()).ended_with(0).stdout;
    for text in [
        "shop.parts would be filled",
        "a, B (index parts_a_B_key)",
        "rows, about     3,000",
        "batches, about  6",
        "last batch:",
    ] {
        assert!(dry.contains(text), "{text} is not in:\n{dry}");
    }
    assert!(
        dry.contains("using parts_a_B_key") || dry.contains("on \"parts_a_B_key\"") || dry.contains("parts_a_B_key"),
        "{dry}"
    );
    assert!(!dry.contains("key3000") && !dry.contains("key2996"), "keys are values: {dry}");
    scene.assert_untouched(&before);

    let none = scene.place.holdpoint(&[&words[..], &["--max-runtime", "0", "--json"]].concat()).ended_with(5).json();
    assert_eq!((none["finished"].as_bool(), none["rows_updated"].as_u64()), (Some(false), Some(0)), "{none:#}");
    let text = scene.place.holdpoint(&[&words[..], &["--resume"]].concat()).ended_with(0).stdout;
    assert!(text.contains("done: 1,500 rows of shop.parts changed") && text.contains("3,000 rows"), "{text}");
    assert_eq!(scene.sql("SELECT count(*) FROM shop.parts WHERE n = CASE WHEN old THEN 1 ELSE 0 END"), "3000");
    let left: Vec<_> = std::fs::read_dir(scene.place.work().join(".holdpoint")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn one_that_goes_on_knows_how_large_a_batch_fits_and_the_end_is_the_end() {
    let scene = Scene::local();
    table(&scene, 400);
    // No batch takes less than 20 ms a row.
    let slow = |more: &[&'static str]| {
        [&ONCE[..], &["--where", "pg_sleep(0.02) IS NOT NULL", "--batch-time", "200ms", "--json"], more].concat()
    };
    let stopped = scene.place.holdpoint(&slow(&["--batch", "200", "--max-runtime", "3s"])).ended_with(5).json();
    assert_eq!((stopped["finished"].as_bool(), stopped["batches"].as_u64()), (Some(false), Some(1)), "{stopped:#}");
    let done = scene.place.holdpoint(&slow(&["--resume"])).ended_with(0).json();
    assert!(done["batches"].as_u64().unwrap() > 10, "it began with all that was left: {done:#}");
    assert_eq!(changed(&scene), "1:400");

    // All rows were walked over by the only batch, although the time is over.
    scene.sql("UPDATE counted SET n = 0");
    let whole = scene.place.holdpoint(&slow(&["--batch", "400", "--max-runtime", "3s"])).ended_with(0).json();
    assert_eq!((whole["finished"].as_bool(), whole["batches"].as_u64()), (Some(true), Some(1)), "{whole:#}");
    assert_eq!((changed(&scene).as_str(), &whole["state_file"]), ("1:400", &serde_json::Value::Null));
}

#[test]
fn what_cannot_be_filled_is_refused_before_anything_is_changed() {
    let scene = Scene::local();
    table(&scene, 20);
    scene.sql(
        "CREATE TABLE made (id int PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED);
         CREATE TABLE without (a int); CREATE TABLE loose (a int UNIQUE); CREATE VIEW seen AS SELECT * FROM counted;
         CREATE TABLE parted (id int PRIMARY KEY, n int) PARTITION BY RANGE (id);
         CREATE TABLE strict (id int PRIMARY KEY, a int CHECK (a < 4711)); INSERT INTO strict VALUES (1, 4000)",
    );
    let before = scene.before();
    let refused = |words: &[&str], code: i32, said: &str| {
        let outcome = scene.place.holdpoint(&[&["backfill"], words, &["--json"]].concat()).ended_with(code);
        outcome.failure().says(&[said]);
        assert!(!outcome.stdout.contains("4711"), "{outcome:?}");
    };
    refused(&["countet", "--set", "n = 1"], 6, "there is no table countet");
    refused(&["seen", "--set", "n = 1"], 2, "public.seen is a view");
    refused(&["parted", "--set", "n = 1"], 2, "public.parted is partitioned");
    refused(&["without", "--set", "a = 1"], 2, "has no key to walk by: it has no unique index");
    refused(&["loose", "--set", "a = 1"], 2, "index loose_a_key takes NULL");
    refused(&["counted", "--set", "n = 1", "--key", "n"], 2, "no unique index is over n");
    refused(&["counted", "--set", "id = 1"], 2, "column id of public.counted cannot be set: it is part of the key");
    refused(&["made", "--set", "b = 1"], 2, "it is generated from others");
    refused(&["made", "--set", "c = 1"], 2, "it is not there");
    refused(&["counted", "--set", "n = nonsense(1)"], 2, "the server does not take it: function nonsense(integer)");
    refused(&["counted", "--set", "n = 1 FROM made"], 2, "it takes rows of another table with FROM");
    refused(&["counted", "--set", "n = 1; DROP TABLE made"], 2, "it holds a semicolon");
    refused(&["counted", "--set", "n = 1", "--where", "true) OR (true"], 2, "it closes a bracket");
    refused(&["counted", "--set", "n = 1", "--where", "n = 'x"], 2, "does not end");
    refused(&["counted", "--set", "n = 1", "--resume"], 6, "there is no backfill of public.counted to go on with");
    scene.place.holdpoint(&["backfill", "counted"]).ended_with(2);
    // A row that the new value does not fit: the batch is rolled back, and no value is told.
    refused(&["strict", "--set", "a = a + 711"], 7, "constraint strict_a_check refuses a row");
    scene.assert_untouched(&before);
}
