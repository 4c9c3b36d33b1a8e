//! `restore --replace`, killed at every named phase: staging holds the old rows or the new ones, and can be used.

use super::killed::{kill_at, leftovers, of_kind, own_server};
use super::{is_open, others};
use crate::scene::Scene;

#[test]
fn killed_at_every_phase() {
    let scene = Scene::on(own_server(), holdpoint_tests::Place::local());
    scene.place.backup();
    let cluster = scene.cluster;
    let target = scene.empty_database();
    cluster.psql(&target, "CREATE TABLE mine AS SELECT 1 AS a");
    let url = cluster.url(&target);
    scene.place.write_config(&format!("[target.staging]\nurl = \"{url}\"\nproduction = false\n"));
    std::fs::write(scene.place.work().join("mask.sql"), "UPDATE shop.customers SET email = 'x';\n").unwrap();
    let replace = ["restore", "--from", "latest", "--into", "staging", "--replace", "--after-sql", "mask.sql", "--yes"];
    let closed = ["ending-sessions", "swapping"];
    for phase in ["creating-database", "restoring", "restored", "comparing", "fencing", "ending-sessions", "swapping"] {
        kill_at(&scene, &replace, phase);
        assert_eq!(is_open(cluster, &target), !closed.contains(&phase), "{phase}");
        let left = leftovers(&scene, &[]);
        assert_eq!(of_kind(&left, "closed_database").is_some(), closed.contains(&phase), "{phase}: {left:#?}");
        leftovers(&scene, &["--remove", "--min-age", "0s"]);
        assert_eq!(cluster.psql(&target, "SELECT a FROM mine"), "1", "{phase}");
        assert_eq!(others(cluster, &target), [""; 0], "{phase}");
        assert!(leftovers(&scene, &[]).is_empty(), "{phase}");
    }
    scene.place.holdpoint(&replace).ended_with(0);
    assert_eq!(cluster.psql(&target, "SELECT DISTINCT email FROM shop.customers"), "x");
    assert_eq!(others(cluster, &target), [""; 0]);
    assert!(leftovers(&scene, &[]).is_empty());
}
