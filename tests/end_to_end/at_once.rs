//! Two backups, two prunes and a check at once, some of them killed, on both adapters. Many rounds of the same with
//! processes that know the repository alone are in `crates/repository/tests/rounds`.

use std::time::Duration;

use holdpoint_tests::Place;
use serde_json::Value;

use crate::scene::Scene;

const PRUNE: [&str; 7] = ["prune", "--json", "--keep-last", "1", "--minimum-age", "0", "--offline"];

/// Where the first backup and the first prune are killed.
const ROUNDS: [(&str, &str); 2] = [("storing-index", "pruning"), ("publishing-manifest", "checking-objects")];

fn ids(report: &Value) -> Vec<&str> {
    report["dropped"].as_array().unwrap().iter().filter_map(|one| one["point"].as_str()).collect()
}

/// What a check finds, once the store's clock, which tells seconds, says that the leftovers are from the past.
fn found_with_leftovers(place: &Place) -> Vec<String> {
    for _ in 0..100 {
        let report = place.holdpoint(&["check", "--json", "--read-data", "--min-age", "0"]).json();
        let found = report["findings"].as_array().unwrap();
        let kinds: Vec<String> = found.iter().filter_map(|one| Some(one["kind"].as_str()?.to_owned())).collect();
        if kinds.iter().any(|kind| kind == "leftover") {
            return kinds;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("what the killed backup left is not found");
}

fn at_once(scene: &Scene) {
    let place = &scene.place;
    let prove = || place.holdpoint(&["verify", "latest", "--level", "stored"]).ended_with(0);
    let pinned = place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    prove();
    place.holdpoint(&["pin", &pinned, "--reason", "the audit"]).ended_with(0);
    let mut dropped_in_all = 0;
    for (backup_at, other_at) in ROUNDS {
        let before: Vec<String> = (0..2)
            .map(|_| {
                let id = place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
                prove();
                id
            })
            .collect();
        let mut killed_backup = place.start_paused(&["backup"], backup_at);
        let other = if other_at == "pruning" { &PRUNE[..] } else { &["check"] };
        let mut killed_other = place.start_paused(other, other_at);
        killed_backup.wait_for_pause();
        killed_other.wait_for_pause();
        let running = [&["backup", "--json"][..], &PRUNE, &["check", "--json"]].map(|words| place.start(words));
        killed_backup.kill();
        killed_other.kill();
        killed_backup.finish();
        killed_other.finish();
        let [backup, prune, check] = running.map(holdpoint_tests::Running::finish);
        let made = backup.ended_with(0).json()["manifest"]["id"].as_str().unwrap().to_owned();
        let report = prune.ended_with(0).json();
        // What goes while it looks is no finding; what the killed ones left may be one.
        assert!(matches!(check.code, 0 | 15), "{check:?}");

        // What was published is listed, unless a prune says that it dropped it.
        let listed = place.points();
        let dropped = ids(&report);
        dropped_in_all += dropped.len();
        for id in before.iter().chain([&pinned, &made]) {
            assert!(listed.contains(id) || dropped.contains(&id.as_str()), "{id} is lost: {report:#} {listed:?}");
        }
        assert!(listed.contains(&pinned) && listed.contains(&made) && listed.contains(&before[1]), "{listed:?}");
        // Everything that is listed is whole, and what the killed backup left is found and swept.
        let kinds = found_with_leftovers(place);
        let expected = |kind: &String| ["leftover", "permissions", "hidden"].contains(&kind.as_str());
        assert!(kinds.iter().all(expected), "{kinds:?}");
        place.holdpoint(&["check", "--repair", "--min-age", "0"]);
        let report = place.holdpoint(&["check", "--json", "--read-data", "--min-age", "0"]).json();
        assert!(!report.to_string().contains("\"leftover\""), "{report:#}");
    }
    assert!(dropped_in_all > 0);
}

#[test]
fn in_a_directory_nothing_published_is_lost() {
    at_once(&Scene::local());
}

#[test]
fn in_a_bucket_nothing_published_is_lost() {
    at_once(&Scene::on_s3());
}
