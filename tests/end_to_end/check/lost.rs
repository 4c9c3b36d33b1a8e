//! Records that were lost: manifests, whose objects nobody takes for leftovers, and the repository's own.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{ASK, kinds, private};

/// Nobody may take its objects for leftovers while somebody relies on them.
#[test]
fn a_lost_manifest_is_found_while_a_pin_names_it() {
    let scene = private();
    let kept = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    let lost = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    scene.prove_stored(&kept);
    scene.place.holdpoint(&["pin", &lost, "--reason", "the audit"]).ended_with(0);
    let folder = scene.place.repository().join("shop/restore-points").join(&lost);
    std::fs::remove_file(folder.join("manifest.json")).unwrap();
    let objects = || std::fs::read_dir(&folder).unwrap().count();
    let before = objects();
    let found = scene.place.holdpoint(&["check", "--json", "--min-age", "0", "--repair"]).ended_with(15).json();
    assert_eq!(kinds(&found), ["manifest_missing"], "{found:#}");
    let finding = &found["findings"][0];
    assert_eq!(finding["place"], json!(lost), "{found:#}");
    assert!(finding["cure"].as_str().unwrap().contains(&format!("holdpoint unpin {lost} --name=by-hand")), "{found:#}");
    let prune = ["prune", "--json", "--keep-last", "1", "--minimum-age", "0", "--sweep-min-age", "0"];
    let report = scene.place.holdpoint(&prune).ended_with(0).json();
    assert_eq!(report["swept"], json!([]), "{report:#}");
    assert!(report["warnings"].to_string().contains("the manifest of"), "{report:#}");
    let leftovers = scene.place.holdpoint(&["leftovers", "--json", "--remove", "--min-age", "0"]).ended_with(0).json();
    // Others restore into databases of the same server.
    let own = leftovers["leftovers"].as_array().unwrap().iter();
    assert_eq!(own.filter(|one| !one["kind"].as_str().unwrap().ends_with("_database")).count(), 0, "{leftovers:#}");
    assert_eq!(objects(), before);
    // Nobody relies on it any more.
    scene.place.holdpoint(&["unpin", &lost]).ended_with(0);
    let report = scene.place.holdpoint(&prune).ended_with(0).json();
    assert_eq!(report["swept"].as_array().map(Vec::len), Some(1), "{report:#}");
    assert!(!folder.exists());
    assert_eq!(scene.place.points(), [kept]);
}

/// A listing that shows nothing alive is more likely wrong than true: manifests went, by a rule of the bucket or by hand.
#[test]
fn a_folder_whose_manifests_are_gone_is_emptied_by_nobody() {
    let scene = private();
    let made = || scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    let (proven, plain) = (made(), made());
    scene.prove_stored(&proven);
    let manifest = |id: &str| scene.place.repository().join("shop/restore-points").join(id).join("manifest.json");
    let aside = scene.place.path().join("aside");
    std::fs::create_dir(&aside).unwrap();
    let lose = |id: &String| std::fs::rename(manifest(id), aside.join(id)).unwrap();
    let repair = ["check", "--json", "--min-age", "0", "--repair"];
    let prune = ["prune", "--keep-last", "1", "--minimum-age", "0", "--sweep-min-age", "0"];

    // One of two: at once, whatever its age, and no sweep takes it.
    lose(&proven);
    let before = scene.place.tree();
    let found = scene.place.holdpoint(&ASK).ended_with(15).json();
    assert_eq!((kinds(&found), &found["findings"][0]["place"]), (vec!["manifest_missing".to_owned()], &json!(proven)));
    assert!(found["findings"][0]["reason"].as_str().unwrap().contains("it was verified"), "{found:#}");
    scene.place.holdpoint(&repair).ended_with(15);
    let pruned = scene.place.holdpoint(&[&prune[..], &["--json"]].concat()).ended_with(0).json();
    assert_eq!(pruned["swept"], json!([]), "{pruned:#}");
    scene.place.holdpoint(&["leftovers", "--remove", "--min-age", "0"]).ended_with(0);
    assert_eq!(before, scene.place.tree());

    // Both.
    lose(&plain);
    let before = scene.place.tree();
    let found = scene.place.holdpoint(&repair).ended_with(15).json();
    assert_eq!(kinds(&found), ["nothing_there", "manifest_missing", "manifest_missing"], "{found:#}");
    assert_eq!(found["repaired"], json!([]), "{found:#}");
    let plain_finding = found["findings"].as_array().unwrap().iter().find(|one| one["place"] == json!(plain)).unwrap();
    assert!(plain_finding["reason"].as_str().unwrap().contains("more likely wrong than true"), "{found:#}");
    scene.place.holdpoint(&prune).ended_with(6);
    let left = scene.place.holdpoint(&["leftovers", "--json", "--remove", "--min-age", "0"]).ended_with(0).json();
    let left = left["leftovers"].as_array().unwrap().iter().find(|one| one["id"] == json!(plain)).unwrap().clone();
    assert_eq!((&left["dead"], &left["removed"]), (&json!(false), &json!(false)), "{left:#}");
    assert!(left["reason"].as_str().unwrap().contains("more likely wrong than true"), "{left:#}");
    assert_eq!(before, scene.place.tree());
    for id in [&proven, &plain] {
        std::fs::rename(aside.join(id), manifest(id)).unwrap();
    }
    assert_eq!(kinds(&scene.place.holdpoint(&ASK).ended_with(0).json()), [""; 0]);
    assert_eq!(scene.place.points(), [proven, plain]);
}

#[test]
fn a_repository_that_lost_its_record_gets_it_back() {
    let scene = private();
    let made = scene.place.backup()["manifest"].clone();
    let record = scene.place.repository().join("holdpoint.json");
    std::fs::remove_file(&record).unwrap();
    let id = made["repository_id"].as_str().unwrap();
    let refused = scene.place.holdpoint(&["init"]).ended_with(8).stderr;
    assert!(refused.contains(id) && refused.contains("holdpoint init --adopt"), "{refused}");
    assert!(!record.exists());
    scene.place.holdpoint(&["list"]).ended_with(8);
    let adopted = scene.place.holdpoint(&["init", "--adopt", "--json"]).ended_with(0).json();
    assert_eq!(
        (&adopted["id"], &adopted["created"], &adopted["warnings"]),
        (&made["repository_id"], &json!(true), &json!([]))
    );
    assert_eq!(kinds(&scene.place.holdpoint(&ASK).ended_with(0).json()), [""; 0]);
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(scene.place.holdpoint(&["init"]).ended_with(0).stdout.contains("chmod 700"));
}
