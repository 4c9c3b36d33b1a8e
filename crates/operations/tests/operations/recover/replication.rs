//! Subscribers of the live database: they get the change and nothing else, and go on.

use std::time::{Duration, Instant};

use holdpoint_operations::recover::{RecoverMode, Target};
use holdpoint_testkit::{Cluster, ClusterOptions};

use super::Scene;
use crate::support;

const CONTENT: &str = "SELECT md5(string_agg(o::text, '|' ORDER BY id)) FROM orders o";

#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 2 minutes");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A publication of all tables would send side tables too, and a subscriber that has no such table stops.
async fn a_publication_of_all_tables(major: u32) {
    let options = ClusterOptions::major(major).with_configuration("wal_level = logical");
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(options)));
    let scene = Scene::on(cluster, super::SHOP).await;
    let copy = format!("{}_copy", scene.database);
    cluster.create_database_with(&copy, &format!("TEMPLATE {}", scene.database));
    scene.sql(
        "CREATE PUBLICATION everything FOR ALL TABLES; SELECT pg_create_logical_replication_slot('copied', 'pgoutput')",
    );
    let (host, port) = (cluster.socket_directory().display(), cluster.port());
    cluster.psql(
        &copy,
        &format!(
            "CREATE SUBSCRIPTION copies CONNECTION 'host={host} port={port} user=postgres dbname={}' PUBLICATION everything
             WITH (create_slot = false, slot_name = 'copied', copy_data = false)",
            scene.database
        ),
    );
    let whole = scene.sql(CONTENT);
    scene.sql("UPDATE orders SET note = 'wrong' WHERE id <= 5; DELETE FROM orders WHERE id BETWEEN 11 AND 20");
    let mut beside = scene.options(&["orders"], RecoverMode::Side);
    beside.condition = Some("id <= 20".to_owned());
    let report = scene.run(&beside).await.unwrap();
    assert!(
        report.plan.warnings.iter().any(|one| one.contains("unlogged") && one.contains("everything")),
        "{report:?}"
    );
    assert_eq!(scene.sql(&format!("SELECT count(*) FROM {}.orders", report.plan.side_schema.unwrap())), "20");
    let mut kept = scene.options(&["orders"], RecoverMode::Upsert);
    kept.keep_side = true;
    let report = scene.run(&kept).await.unwrap();
    assert_eq!((report.plan.tables[0].inserted, report.plan.tables[0].changed), (10, 5), "{report:?}");
    scene.sql("INSERT INTO other VALUES (99, 'the last')");
    let last = || cluster.psql(&copy, "SELECT count(*) FROM other WHERE id = 99") == "1";
    wait_until("the subscriber gets what came last", last);
    assert_eq!((scene.sql(CONTENT), cluster.psql(&copy, CONTENT)), (whole.clone(), whole));

    // Into a table that another server writes: that is said.
    let mut there = scene.options(&["orders"], RecoverMode::Missing);
    (there.into, there.target, there.dry_run) = (support::settings(cluster, &copy), Target::Named, true);
    let notes = scene.run(&there).await.unwrap().plan.tables[0].notes.join("\n");
    assert!(notes.contains("another server writes into it too") && notes.contains("copies"), "{notes}");

    cluster.psql(
        &copy,
        "ALTER SUBSCRIPTION copies DISABLE; ALTER SUBSCRIPTION copies SET (slot_name = NONE); DROP SUBSCRIPTION copies",
    );
    let free = || scene.sql("SELECT count(*) FROM pg_replication_slots WHERE active") == "0";
    wait_until("the slot is free", free);
    scene.sql("SELECT pg_drop_replication_slot('copied')");
    cluster.drop_database(&copy);
    drop(scene);
    cluster.stop();
}

on_every_major! {
    a_publication_of_all_tables,
}
