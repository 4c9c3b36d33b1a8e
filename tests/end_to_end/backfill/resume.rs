//! One that was killed, or stood still, and is gone on with: once, and only where the table and the server are the same.

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};
use holdpoint_tests::Place;

use super::{ONCE, SLOWLY, changed, table, wait_until};
use crate::scene::Scene;

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
