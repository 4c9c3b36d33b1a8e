//! One that is killed while a batch is committed: whether it was is what the server says, even after a crash.

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};
use holdpoint_tests::Place;

use super::{ONCE, changed, noted, table, wait_until};
use crate::scene::Scene;
use crate::watch::Client;

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
