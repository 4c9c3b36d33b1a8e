//! Pins: those that people set, and those of guarded runs.

use serde_json::{Value, json};

use super::{LAST, points};
use crate::scene::Scene;

#[test]
fn the_point_of_a_run_stays_for_a_week_and_that_of_a_failed_one_until_it_is_settled() {
    let scene = Scene::local();
    let run = |sql: &str| {
        let psql = scene.cluster.bin_directory().join("psql").display().to_string();
        let command = ["guard", "--json", "--no-plan", "--max-age", "0", "--", &psql, "-XqAt", "-c", sql];
        scene.place.holdpoint(&[&command[..], &[&scene.cluster.url(&scene.database)]].concat()).json()
    };
    let good = run("CREATE TABLE shop.well (i int)");
    let bad = run("CREATE TABLE shop.half (i int); COMMIT; SELECT 1/0");
    let newest = points(&scene, &[true]);
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_eq!(report["dropped"], json!([]), "{report:#}");
    let reasons = |run: &Value| {
        let point = &run["point"];
        let entry = report["entries"].as_array().unwrap().iter().find(|one| one["id"] == *point).unwrap();
        let held = entry["reasons"].as_array().unwrap().iter().find(|one| one["kind"] == "held").unwrap();
        held["hold"]["until"].clone()
    };
    assert!(reasons(&good).is_string(), "a week: {report:#}");
    assert!(reasons(&bad).is_null(), "without end: {report:#}");
    let pin = format!("run-{}", good["run"].as_str().unwrap());
    let refused = scene.place.holdpoint(&["unpin", good["point"].as_str().unwrap(), "--name", &pin]).ended_with(2);
    assert!(refused.stderr.contains("seven days"), "{refused:?}");
    assert_eq!(scene.place.points().len(), 3, "{newest:?}");
}

#[test]
fn pins_have_names_ends_and_reasons() {
    let scene = Scene::local();
    let made = points(&scene, &[true]);
    let pin = |words: &[&str]| scene.place.holdpoint(&[&["pin", "latest", "--reason", "why"], words].concat());
    assert!(pin(&[]).ended_with(0).stdout.contains("for ever"));
    let twice = pin(&[]).ended_with(2);
    assert!(twice.stderr.contains("has a pin by-hand already"), "{twice:?}");
    assert!(pin(&["--name", "legal", "--until", "2h"]).ended_with(0).stdout.contains("until 2"));
    for (words, said) in [
        (&["--name", "run-x"][..], "names no pin"),
        (&["--name", "a/b"], "names no pin"),
        (&["--name", "past", "--until", "2001-01-01T00:00:00Z"], "would be over already"),
        (&["--name", "odd", "--until", "tomorrow"], "is no end"),
    ] {
        let refused = pin(words).ended_with(2);
        assert!(refused.stderr.contains(said), "{refused:?}");
    }
    let missing = scene.place.holdpoint(&["unpin", &made[0], "--name", "audit"]).ended_with(6);
    assert!(missing.stderr.contains("it has by-hand, legal"), "{missing:?}");
    let left = scene.place.holdpoint(&["unpin", &made[0]]).ended_with(0);
    assert!(left.stdout.contains("pinned by legal"), "{left:?}");
    scene.place.holdpoint(&["pin", "20200101T000000Z-0000", "--reason", "none"]).ended_with(6);
}
