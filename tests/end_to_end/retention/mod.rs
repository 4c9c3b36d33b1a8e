//! What stays and what goes: `prune`, `pin` and `unpin`, on both adapters.

mod every_database;
mod locked;
mod pins;
mod readers;
mod refused;
mod set_aside;

use serde_json::{Value, json};

use crate::scene::Scene;

const LAST: [&str; 6] = ["prune", "--json", "--keep-last", "1", "--minimum-age", "0"];

/// The database's folder in the repository, as a place names it.
const FOLDER: &str = "shop";

/// Restore points, the oldest first; `proven` says which of them were verified.
fn points(scene: &Scene, proven: &[bool]) -> Vec<String> {
    let make = |proven: &bool| {
        let id = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
        if *proven {
            scene.prove_stored(&id);
        }
        id
    };
    proven.iter().map(make).collect()
}

fn fates(report: &Value) -> Vec<(String, String)> {
    let entry = |one: &Value| (one["id"].as_str().unwrap().to_owned(), one["fate"].as_str().unwrap().to_owned());
    report["entries"].as_array().unwrap().iter().map(entry).collect()
}

fn outcomes(report: &Value) -> Vec<(&str, &str)> {
    report["dropped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["point"].as_str().unwrap(), one["outcome"].as_str().unwrap()))
        .collect()
}

fn of(points: &[String], fates: &[&str]) -> Vec<(String, String)> {
    points.iter().rev().cloned().zip(fates.iter().map(|fate| (*fate).to_owned())).collect()
}

fn what_nobody_keeps_goes(scene: &Scene) {
    let made = points(scene, &[true, true, false, true, false]);
    scene.place.holdpoint(&["pin", &made[0], "--reason", "the audit", "--until", "90d"]).ended_with(0);
    // What would be done is told as it is done, and nothing is.
    let before = scene.before();
    let plan = scene.place.holdpoint(&[&LAST[..], &["--dry-run"]].concat()).ended_with(0).json();
    scene.assert_untouched(&before);
    let wanted = of(&made, &["keep", "keep", "drop", "drop", "keep"]);
    assert_eq!(fates(&plan), wanted, "{plan:#}");
    let done = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_eq!(fates(&done), wanted, "{done:#}");
    let gone: Vec<&Value> = done["dropped"].as_array().unwrap().iter().map(|one| &one["point"]).collect();
    assert_eq!(gone, [&json!(made[1]), &json!(made[2])], "the oldest first: {done:#}");
    assert!(done["dropped"].as_array().unwrap().iter().all(|one| one["bytes"].as_u64().unwrap() > 1000), "{done:#}");
    assert_eq!(scene.place.points(), [&made[0], &made[3], &made[4]].map(Clone::clone));
    let objects = scene.place.tree().objects;
    let of_gone = |key: &&String| made[1..3].iter().any(|id| key.contains(id.as_str()));
    assert_eq!(objects.keys().filter(of_gone).collect::<Vec<_>>(), [""; 0], "nothing of them is left");
    // Everything that is left can still be restored and matched.
    scene.prove_stored(&made[0]);
    // Again: nothing more goes, until the pin does.
    assert_eq!(scene.place.holdpoint(&LAST).ended_with(0).json()["dropped"], json!([]));
    scene.place.holdpoint(&["unpin", &made[0]]).ended_with(0);
    let text = scene.place.holdpoint(&["prune", "--keep-last", "1", "--minimum-age", "0"]).ended_with(0).stdout;
    assert!(text.contains("1 restore point dropped") && text.contains(&made[0]), "{text}");
    assert_eq!(scene.place.points(), [&made[3], &made[4]].map(Clone::clone));
}

#[test]
fn what_nobody_keeps_goes_from_a_directory() {
    what_nobody_keeps_goes(&Scene::local());
}

#[test]
fn what_nobody_keeps_goes_from_a_bucket() {
    what_nobody_keeps_goes(&Scene::on_s3());
}

#[test]
fn nothing_goes_while_nothing_is_proven_or_everything_is_young() {
    let scene = Scene::local();
    let made = points(&scene, &[false, false]);
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_eq!(fates(&report), of(&made, &["keep", "keep"]), "{report:#}");
    scene.prove_stored(&made[1]);
    let young = scene.place.holdpoint(&["prune", "--json", "--keep-last", "1"]).ended_with(0).json();
    assert_eq!(fates(&young), of(&made, &["keep", "keep"]), "{young:#}");
    let text = scene.place.holdpoint(&["prune", "--keep-last", "1"]).ended_with(0).stdout;
    assert!(text.contains("younger than the minimum age"), "{text}");
    assert_eq!(fates(&scene.place.holdpoint(&LAST).ended_with(0).json()), of(&made, &["keep", "drop"]));
}

#[test]
fn a_policy_of_the_file_needs_no_flags_and_an_empty_one_is_refused() {
    let scene = Scene::local();
    let made = points(&scene, &[true, true]);
    let before = scene.before();
    let empty = scene.place.holdpoint(&["prune"]).ended_with(2);
    assert!(empty.stderr.contains("has no rule") && empty.stderr.contains("--keep-daily"), "{empty:?}");
    scene.place.write_config("[retention]\nkeep_dayly = 7\n");
    let wrong = scene.place.holdpoint(&["prune"]).ended_with(2);
    assert!(wrong.stderr.contains("keep_daily"), "{wrong:?}");
    scene.assert_untouched(&before);
    scene.place.write_config("[retention]\nkeep_daily = 7\nminimum_age = \"0\"\ntime_zone = \"Europe/Vienna\"\n");
    let report = scene.place.holdpoint(&["prune", "--json"]).ended_with(0).json();
    assert_eq!(fates(&report), of(&made, &["keep", "drop"]), "{report:#}");
}

#[test]
fn a_folder_that_shows_nothing_alive_or_is_anothers_is_left_alone() {
    let mut scene = Scene::local();
    let made = points(&scene, &[true, true]);
    // Another database may not drop these.
    let other = crate::scene::name("other");
    scene.cluster.create_database_with(&other, "TEMPLATE template0");
    let before = scene.before();
    let own = scene.cluster.url(&scene.database);
    scene.place.set("DATABASE_URL", &scene.cluster.url(&other));
    let refused = scene.place.holdpoint(&LAST).ended_with(3);
    assert!(refused.stdout.contains("belongs to another database"), "{refused:?}");
    // Nobody asks the database.
    let plan = scene.place.holdpoint(&[&LAST[..], &["--offline", "--dry-run"]].concat()).ended_with(0).json();
    assert_eq!(fates(&plan), of(&made, &["keep", "drop"]));
    scene.place.set("DATABASE_URL", &own);
    scene.assert_untouched(&before);
    // Manifests that nobody can read are no reason to remove what they name.
    for id in &made {
        let key = format!("{FOLDER}/restore-points/{id}/manifest.json");
        scene.place.put_object(&key, b"{\"format\": 99}");
    }
    let before = scene.before();
    let refused = scene.place.holdpoint(&LAST).ended_with(6);
    assert!(refused.stdout.contains("no restore point that can be read (2 restore points that cannot)"), "{refused:?}");
    scene.assert_untouched(&before);
    scene.cluster.drop_database(&other);
}

#[test]
fn what_a_killed_prune_hid_goes_or_comes_back_as_the_policy_says() {
    let scene = Scene::local();
    let made = points(&scene, &[true, true]);
    // As a kill after the mark leaves it: nobody sees the point any more.
    let folder = scene.place.repository().join(FOLDER).join("restore-points").join(&made[0]).join("withdrawn");
    let mark = |minutes: u64| {
        std::fs::create_dir_all(&folder).unwrap();
        let file = std::fs::File::create(folder.join("0123.json")).unwrap();
        file.set_modified(file.metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(60 * minutes))
            .unwrap();
    };
    let keep = ["prune", "--json", "--keep-last", "9"];
    mark(0);
    assert_eq!(scene.place.points(), made[1..]);
    // Somebody may be at work on it.
    let report = scene.place.holdpoint(&keep).ended_with(0).json();
    let hidden = &report["hidden"][0];
    assert_eq!((&hidden["point"], &hidden["entry"]["fate"]), (&json!(made[0]), &json!("keep")), "{report:#}");
    assert!(hidden["problem"].as_str().unwrap().contains("still be at work"), "{report:#}");
    assert_eq!((&report["dropped"], scene.place.points()), (&json!([]), made[1..].to_vec()));

    // It is the only proven one: nothing goes, not even what was hidden, and it is shown again.
    mark(20);
    let record =
        scene.place.tree().objects.into_keys().find(|key| key.contains(&made[1]) && key.contains("/verifications/"));
    std::fs::remove_file(scene.place.repository().join(record.unwrap())).unwrap();
    let before = scene.before();
    let planned = scene.place.holdpoint(&[&LAST[..], &["--dry-run"]].concat()).ended_with(0).json();
    assert_eq!(planned["hidden"][0]["entry"]["fate"], "keep", "{planned:#}");
    scene.assert_repository_untouched(&before);
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_eq!((&report["hidden"][0]["shown"], &report["dropped"]), (&json!(true), &json!([])), "{report:#}");
    assert_eq!(scene.place.points(), made);

    // The policy drops it: it goes, whoever hid it.
    scene.prove_stored(&made[1]);
    mark(0);
    // As many as a dry run says.
    let people = ["prune", "--keep-last", "1", "--minimum-age", "0"];
    let planned = scene.place.holdpoint(&[&people[..], &["--dry-run"]].concat()).ended_with(0).stdout;
    assert!(planned.contains("1 restore point kept, 1 restore point would be dropped"), "{planned}");
    let done = scene.place.holdpoint(&people).ended_with(0).stdout;
    assert!(done.contains("1 restore point kept, 1 restore point dropped"), "{done}");
    let left = scene.place.tree().objects.into_keys().filter(|key| key.contains(made[0].as_str())).count();
    assert_eq!(left, 0);
}

#[test]
fn what_is_disproved_while_a_prune_is_at_work_saves_the_others() {
    let scene = Scene::local();
    let made = points(&scene, &[true, true]);
    let mut paused = scene.place.start_paused(&LAST, "pruning");
    paused.wait_for_pause();
    let record =
        scene.place.tree().objects.into_keys().find(|key| key.contains(&made[1]) && key.contains("/verifications/"));
    std::fs::remove_file(scene.place.repository().join(record.unwrap())).unwrap();
    paused.go_on();
    let report = paused.finish().ended_with(8).json();
    let outcome = &report["dropped"][0];
    assert!(outcome["reason"].as_str().unwrap().contains("is not proven any more"), "{report:#}");
    assert_eq!(scene.place.points(), made);
}

#[test]
fn what_is_pinned_in_the_last_moment_stays_and_a_killed_prune_drops_nothing() {
    let scene = Scene::local();
    let made = points(&scene, &[true, true, true]);
    let before = scene.before();
    let mut paused = scene.place.start_paused(&LAST, "pruning");
    paused.wait_for_pause();
    paused.kill();
    paused.finish();
    scene.assert_untouched(&before);
    let mut paused = scene.place.start_paused(&LAST, "pruning");
    paused.wait_for_pause();
    scene.place.holdpoint(&["pin", &made[0], "--reason", "wait"]).ended_with(0);
    paused.go_on();
    let report = paused.finish().ended_with(0).json();
    let outcomes: Vec<&Value> = report["dropped"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, ["pinned", "gone"], "{report:#}");
    assert_eq!(scene.place.points(), [&made[0], &made[2]].map(Clone::clone));
}
