//! A prune beside others that are at work: nothing goes under whoever reads, and nothing is published of which parts went.

use serde_json::json;

use super::{LAST, fates, of, points};
use crate::scene::Scene;

/// Each reader at a phase where it reads: nothing goes under it; and whoever is killed leaves a pin that ends.
fn what_is_read_stays(scene: &Scene) {
    let made = points(scene, &[true, true]);
    let copy = crate::scene::name("copy");
    scene.cluster.create_database_with(&copy, "TEMPLATE template0");
    let into = scene.cluster.url(&copy);
    let id = made[0].as_str();
    let readers: [(&[&str], &str); 3] = [
        (&["verify", id, "--level", "stored"], "starting-scratch"),
        (&["recover-table", "shop.orders", "--from", id, "--mode", "side"], "matching-tables"),
        (&["restore", "--from", id, "--into", &into], "restoring"),
    ];
    let pins = || {
        let list = scene.place.holdpoint(&["list", "--json"]).ended_with(0).json();
        let first = list["points"].as_array().unwrap().iter().find(|one| one["id"] == *id).unwrap().clone();
        first["pins"].as_array().unwrap().iter().map(|pin| pin.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (words, phase) in readers {
        let mut paused = scene.place.start_paused(words, phase);
        paused.wait_for_pause();
        let report = scene.place.holdpoint(&LAST).ended_with(0).json();
        assert_eq!(fates(&report), of(&made, &["keep", "keep"]), "{words:?}: {report:#}");
        assert!(pins()[0].starts_with("reading-"), "{words:?}: {:?}", pins());
        paused.go_on();
        paused.finish().ended_with(0);
        assert_eq!(pins(), [""; 0], "{words:?}");
    }
    scene.cluster.drop_database(&copy);
    let mut killed = scene.place.start_paused(&["verify", id, "--level", "stored"], "starting-scratch");
    killed.wait_for_pause();
    killed.kill();
    killed.finish().ended_with(137);
    let left = pins();
    assert_eq!(left.len(), 1, "{left:?}");
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    let entry = report["entries"].as_array().unwrap().iter().find(|one| one["id"] == *id).unwrap();
    let held = entry["reasons"].as_array().unwrap().iter().find(|one| one["kind"] == "held").unwrap();
    assert!(held["hold"]["until"].is_string(), "it ends: {report:#}");
    scene.place.holdpoint(&["unpin", id, "--name", &left[0]]).ended_with(0);
    scene.place.holdpoint(&LAST).ended_with(0);
    assert_eq!(scene.place.points(), made[1..]);
}

#[test]
fn what_is_read_stays_in_a_directory() {
    what_is_read_stays(&Scene::local());
}

#[test]
fn what_is_read_stays_in_a_bucket() {
    what_is_read_stays(&Scene::on_s3());
}

/// As by somebody who removes files, since no prune does that under a pin.
#[test]
fn what_is_dropped_under_a_reader_is_told_so() {
    let scene = Scene::local();
    for level in ["stored", "full"] {
        let made = points(&scene, &[false]).remove(0);
        let mut paused = scene.place.start_paused(&["verify", &made, "--level", level], "starting-scratch");
        paused.wait_for_pause();
        let folder = scene.place.repository().join("shop/restore-points").join(&made);
        std::fs::remove_dir_all(&folder).unwrap();
        paused.go_on();
        let told = paused.finish().ended_with(6);
        assert!(told.stderr.contains("was dropped while it was read"), "{told:?}");
        assert!(!folder.exists(), "nothing is recorded");
    }
}

/// A backup that stands still for longer than a sweep leaves young objects alone, as a suspended process does.
fn what_was_swept_is_not_published(scene: &Scene) {
    let made = points(scene, &[true]);
    let mut paused = scene.place.start_paused(&["backup"], "publishing-manifest");
    paused.wait_for_pause();
    let sweep = [&LAST[..], &["--sweep-min-age", "0"]].concat();
    // Ages are in the store's seconds.
    while scene.place.holdpoint(&sweep).ended_with(0).json()["swept"] == json!([]) {}
    paused.go_on();
    let failed = paused.finish().ended_with(8);
    for said in ["manifest.json is not published", "archive.dump is gone", "--sweep-min-age"] {
        assert!(failed.stderr.contains(said), "{failed:?}");
    }
    assert_eq!(scene.place.points(), made);
    assert!(scene.place.holdpoint(&["check", "--json"]).json()["points"].as_array().is_some_and(|all| all.len() == 1));
    let leftovers = scene.place.holdpoint(&["leftovers", "--json"]).ended_with(0).json();
    // Other tests prove restore points on the same server.
    let own = leftovers["leftovers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| !one["kind"].as_str().unwrap().ends_with("_database"));
    assert_eq!(own.count(), 0, "{leftovers:#}");
}

#[test]
fn what_was_swept_from_a_directory_is_not_published() {
    what_was_swept_is_not_published(&Scene::local());
}

#[test]
fn what_was_swept_from_a_bucket_is_not_published() {
    what_was_swept_is_not_published(&Scene::on_s3());
}
