//! What others do beside a running one: they change its table, lock rows, wait for it, and fall behind it.

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};
use holdpoint_tests::Place;

use super::{ONCE, changed, noted, table, wait_until};
use crate::scene::Scene;
use crate::watch::Client;

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

/// Each database has its own locks, also where tables of several have the same OID.
#[test]
fn another_at_the_table_is_named_and_not_who_is_at_one_of_another_database() {
    let scenes = [Scene::local(), Scene::local()];
    scenes.iter().for_each(|scene| table(scene, 10));
    let oids = scenes.each_ref().map(|scene| scene.sql("SELECT 'counted'::regclass::oid"));
    // "bafi", and the OID of either's table.
    let locks = oids.map(|oid| format!("SELECT pg_advisory_lock({}, {oid});", 0x6261_6669));
    let holding = "(SELECT count(*) FROM pg_locks l WHERE l.pid = pg_stat_activity.pid AND locktype = 'advisory') = 2";
    let [one, other] = scenes.each_ref().map(|scene| Client::running(scene, "another", &locks.concat()).once(holding));
    for (scene, holder) in scenes.iter().zip([&one, &other]) {
        let refused = scene.place.holdpoint(&[&ONCE[..], &["--json"]].concat()).ended_with(14);
        let named = format!("another backfill is at public.counted: process {} of the server", holder.pid());
        refused.failure().says(&[&named]).hints(&["wait for its end"]);
        assert_eq!(changed(scene), "0:10");
    }
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
