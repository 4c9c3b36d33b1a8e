//! Restore points that are hidden, by a prune that was killed or a clock that ran ahead, and what must hide none of them.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

use serde_json::json;

use super::{ASK, READ, kinds, private};

#[test]
fn a_repair_removes_what_is_dead_and_nothing_else() {
    let scene = private();
    let kept = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    let gone = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    let folder = |id: &str| scene.place.repository().join("shop/restore-points").join(id);
    // A prune that was killed after its mark, and another one after the manifest.
    let hidden = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    std::fs::create_dir(folder(&hidden).join("withdrawn")).unwrap();
    let mark = std::fs::File::create(folder(&hidden).join("withdrawn/01.json")).unwrap();
    for (path, mode) in [("withdrawn", 0o700), ("withdrawn/01.json", 0o600)] {
        std::fs::set_permissions(folder(&hidden).join(path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    mark.set_modified(mark.metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(20 * 60)).unwrap();
    std::fs::remove_file(folder(&gone).join("manifest.json")).unwrap();

    // Whoever asks for what is hidden is told what becomes of it.
    let into = scene.cluster.url(&scene.database);
    let asking: [&[&str]; 3] = [
        &["show", &hidden],
        &["restore", "--from", &hidden, "--into", &into],
        &["recover-table", "shop.orders", "--from", &hidden],
    ];
    for words in asking {
        let said = scene.place.holdpoint(words).ended_with(6).stderr;
        assert!(said.contains("a prune hides it") && said.contains("check --repair"), "{words:?}: {said}");
    }

    // Young, it may be a backup that runs now.
    let young = scene.place.holdpoint(&ASK).ended_with(15).json();
    assert_eq!(kinds(&young), ["hidden"], "{young:#}");
    let found = ["check", "--json", "--min-age", "0"];
    assert_eq!(kinds(&scene.place.holdpoint(&found).ended_with(15).json()), ["hidden", "leftover"]);
    let repaired = scene.place.holdpoint(&["check", "--json", "--min-age", "0", "--repair"]).ended_with(0).json();
    assert_eq!(repaired["repaired"].as_array().unwrap().len(), 2, "{repaired:#}");
    // What was hidden is whole: a check has no policy by which it could go.
    assert!(!folder(&gone).exists());
    assert_eq!(scene.place.points(), [kept, hidden]);
    assert_eq!(kinds(&scene.place.holdpoint(&READ).ended_with(0).json()), [""; 0]);
}

/// By a clock that ran ahead: whose age nobody can tell.
#[test]
fn a_mark_of_the_future_hides_no_restore_point_for_ever() {
    let scene = private();
    let id = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    let marks = scene.place.repository().join("shop/restore-points").join(&id).join("withdrawn");
    std::fs::DirBuilder::new().mode(0o700).create(&marks).unwrap();
    let year = std::time::Duration::from_secs(365 * 86_400);
    let move_by = |ahead: bool| {
        let entry = std::fs::read_dir(&marks).unwrap().next().unwrap().unwrap();
        let file = std::fs::File::open(entry.path()).unwrap();
        let now = file.metadata().unwrap().modified().unwrap();
        file.set_modified(if ahead { now + year } else { now - std::time::Duration::from_secs(1_000) }).unwrap();
        now
    };
    std::fs::write(marks.join("0123.json"), "{}").unwrap();
    let written = move_by(true);
    let found = scene.place.holdpoint(&ASK).ended_with(15).json();
    let finding = found["findings"].as_array().unwrap().iter().find(|one| one["kind"] == "hidden").unwrap();
    assert!(finding["reason"].as_str().unwrap().contains("a clock ran ahead"), "{found:#}");
    scene.place.holdpoint(&["check", "--repair", "--json"]);
    assert!(scene.place.points().is_empty(), "somebody may be at work on it");
    let dated = move_by(false);
    assert!(dated < written + year / 2, "it ages from now on");
    scene.place.holdpoint(&["check", "--repair", "--json"]);
    assert_eq!(scene.place.points(), [id]);
}

#[test]
fn a_verification_that_cannot_be_read_hides_no_restore_point() {
    let scene = private();
    let id = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    scene.prove_stored(&id);
    let record = format!("shop/restore-points/{id}/verifications/20991121T024300000Z-disproved.json");
    std::fs::write(scene.place.repository().join(&record), b"{\"format\": 1, \"point").unwrap();
    std::fs::set_permissions(scene.place.repository().join(&record), std::fs::Permissions::from_mode(0o600)).unwrap();
    let list = scene.place.holdpoint(&["list"]).ended_with(0).stdout;
    assert!(list.contains("unproven") && list.contains(&record), "{list}");
    assert!(scene.place.holdpoint(&["show", &id]).ended_with(0).stdout.contains(&record));
    let found = scene.place.holdpoint(&ASK).ended_with(15).json();
    assert_eq!((kinds(&found), &found["findings"][0]["place"]), (vec!["unreadable".to_owned()], &json!(record)));
    // Whoever restores gets the whole, and is told before anything is loaded.
    let empty = scene.empty_database();
    let url = scene.cluster.url(&empty);
    let restored = scene.place.holdpoint(&["restore", "--from", &id, "--into", &url, "--json"]).ended_with(0).json();
    assert!(restored["warnings"].to_string().contains(&record), "{restored:#}");
    assert_eq!(
        scene.cluster.psql(&empty, "SELECT count(*) FROM shop.orders"),
        scene.sql("SELECT count(*) FROM shop.orders")
    );
    scene.prove_stored(&id);
    scene.place.holdpoint(&["pin", &id, "--reason", "looked at"]).ended_with(0);
    // Without it, what the others say counts again.
    std::fs::remove_file(scene.place.repository().join(&record)).unwrap();
    assert_eq!(kinds(&scene.place.holdpoint(&ASK).ended_with(0).json()), [""; 0]);
    assert!(scene.place.holdpoint(&["list"]).ended_with(0).stdout.contains("proven (stored)"));
}
