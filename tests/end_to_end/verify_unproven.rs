//! Proofs that come later than the backups, such as at night: every restore point that lacks one.

use std::time::Duration;

use holdpoint_tests::{Place, alive_with};
use serde_json::{Value, json};

use crate::scene::Scene;

const FULL: [&str; 3] = ["verify", "--oldest-unproven", "--json"];
const STORED: [&str; 5] = ["verify", "--oldest-unproven", "--json", "--level", "stored"];

fn points(scene: &Scene, count: usize) -> Vec<Value> {
    (0..count).map(|_| scene.place.backup()["manifest"].clone()).collect()
}

/// Which were verified, with their verdicts.
fn verdicts(report: &Value) -> Vec<(Value, Value)> {
    let verified = report["verified"].as_array().unwrap().iter().map(|one| &one["verification"]);
    verified.map(|one| (one["point"].clone(), one["verdict"].clone())).collect()
}

fn left(report: &Value) -> Vec<(Value, Value)> {
    let left = report["left"].as_array().unwrap().iter();
    left.map(|one| (one["point"].clone(), one["reason"].clone())).collect()
}

/// Nothing of a verification that was ended is left, and nothing new is recorded.
#[track_caller]
fn assert_nothing_is_left(scene: &Scene, before: &holdpoint_tests::Tree) {
    assert_eq!(alive_with(scene.place.path()), []);
    assert_eq!(std::fs::read_dir(scene.place.scratch()).unwrap().count(), 0, "a scratch directory is left");
    assert_eq!(*before, scene.place.tree());
}

fn the_oldest_first(scene: &Scene) {
    let made = points(scene, 3);
    let key = made[1]["archive"]["key"].as_str().unwrap();
    let whole = scene.place.object(key);
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    scene.place.put_object(key, &flipped);
    let id = |number: usize| made[number]["id"].clone();

    // What would be done is told and not done.
    let before = scene.place.tree();
    let plan = scene.place.holdpoint(&[&STORED[..], &["--dry-run"]].concat()).ended_with(0).json();
    let order: Vec<&Value> = plan["points"].as_array().unwrap().iter().map(|one| &one["point"]).collect();
    assert_eq!(order, [&id(0), &id(1), &id(2)], "{plan:#}");
    assert_eq!(before, scene.place.tree());

    let report = scene.place.holdpoint(&STORED).ended_with(4).json();
    let all = [(id(0), json!("proved")), (id(1), json!("disproved")), (id(2), json!("proved"))];
    assert_eq!(verdicts(&report), all, "{report:#}");
    assert_eq!(report["plan"], plan, "what was told is what was done");
    // That is known by now, and ends no other night.
    let again = scene.place.holdpoint(&STORED).ended_with(0).json();
    assert_eq!((&again["verified"], &again["plan"]["disproved"]), (&json!([]), &json!([id(1)])), "{again:#}");

    let text = scene.place.holdpoint(&["verify", "--oldest-unproven", "--max-runtime", "2h"]).ended_with(0).stdout;
    for words in ["at level full: 2 proved", "known as disproved", id(0).as_str().unwrap(), id(2).as_str().unwrap()] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let none = scene.place.holdpoint(&["verify", "--oldest-unproven"]).ended_with(0).stdout;
    assert!(none.contains("none lacks the proof"), "{none}");
}

#[test]
fn the_oldest_first_and_a_disproved_one_stops_none_in_a_folder() {
    the_oldest_first(&Scene::local());
}

#[test]
fn the_oldest_first_and_a_disproved_one_stops_none_in_a_bucket() {
    the_oldest_first(&Scene::on_s3());
}

#[test]
fn one_that_cannot_be_read_stops_none() {
    let scene = Scene::local();
    let made = points(&scene, 2);
    let folder = made[0]["archive"]["key"].as_str().unwrap().rsplit_once('/').unwrap().0.to_owned();
    scene.place.put_object(&format!("{folder}/manifest.json"), b"not json");
    let report = scene.place.holdpoint(&STORED).ended_with(8).json();
    assert_eq!(verdicts(&report), [(made[1]["id"].clone(), json!("proved"))], "{report:#}");
    assert_eq!(report["plan"]["unreadable"][0]["id"], made[0]["id"], "{report:#}");
}

#[test]
fn what_would_not_end_in_time_is_not_begun() {
    let scene = Scene::local();
    let made = points(&scene, 2);
    scene.place.prove();
    // As if that proof had taken ten hours.
    let proof = scene.place.tree().ending_with("-proved.json").next().unwrap().to_owned();
    let mut record: Value = serde_json::from_slice(&scene.place.object(&proof)).unwrap();
    record["took_ms"] = json!(10 * 3_600_000);
    scene.place.put_object(&proof, record.to_string().as_bytes());
    let before = scene.place.tree();
    let limited = [&FULL[..], &["--max-runtime", "2h"]].concat();
    let report = scene.place.holdpoint(&limited).ended_with(5).json();
    assert_eq!(left(&report), [(made[0]["id"].clone(), json!("no_time"))], "{report:#}");
    assert!(report["left"][0]["estimated_seconds"].as_f64().unwrap() > 7200.0, "{report:#}");
    assert_nothing_is_left(&scene, &before);
    let plan = scene.place.holdpoint(&["verify", "--oldest-unproven", "--max-runtime", "2h", "--dry-run"]);
    let plan = plan.ended_with(0).stdout;
    assert!(plan.contains("would not end in time"), "{plan}");
    let text = scene.place.holdpoint(&["verify", "--oldest-unproven", "--max-runtime", "2h"]).ended_with(5).stdout;
    assert!(text.contains("would not end in time") && text.contains("--max-runtime"), "{text}");
    // With time enough it is done.
    let report = scene.place.holdpoint(&[&FULL[..], &["--max-runtime", "1d"]].concat()).ended_with(0).json();
    assert_eq!(verdicts(&report), [(made[0]["id"].clone(), json!("proved"))], "{report:#}");
}

#[test]
fn one_that_is_under_way_when_the_time_is_over_is_ended_and_leaves_nothing() {
    let scene = Scene::local();
    let made = points(&scene, 2);
    let before = scene.place.tree();
    let time = Duration::from_secs(10);
    let words = [&FULL[..], &["--max-runtime", "10s"]].concat();
    let mut run = scene.place.start_paused(&words, "starting-scratch");
    run.wait_for_pause();
    // It has begun to count before, so its time is over then.
    std::thread::sleep(time);
    run.go_on();
    let report = run.finish().ended_with(5).json();
    let both = [(made[0]["id"].clone(), json!("time_over")), (made[1]["id"].clone(), json!("no_time"))];
    assert_eq!((left(&report), &report["verified"]), (both.to_vec(), &json!([])), "{report:#}");
    assert_nothing_is_left(&scene, &before);
}

#[test]
fn interrupted() {
    let scene = Scene::local();
    points(&scene, 2);
    let before = scene.place.tree();
    for phase in ["starting-scratch", "restoring", "comparing"] {
        let mut run = scene.place.start_paused(&FULL, phase);
        run.wait_for_pause();
        run.interrupt();
        assert_eq!(run.finish().ended_with(130).failure().kind, "interrupted", "{phase}");
        assert_nothing_is_left(&scene, &before);
    }
}

#[test]
fn two_at_once_do_no_harm() {
    let scene = Scene::local();
    let made = points(&scene, 2);
    let mut run = scene.place.start_paused(&STORED, "starting-scratch");
    run.wait_for_pause();
    let other = scene.place.holdpoint(&STORED).ended_with(0).json();
    assert_eq!(verdicts(&other).len(), 2, "{other:#}");
    run.go_on();
    let report = run.finish().ended_with(0).json();
    // It was at the first already; the second is left as it is by then.
    assert_eq!(verdicts(&report), [(made[0]["id"].clone(), json!("proved"))], "{report:#}");
    assert_eq!(left(&report), [(made[1]["id"].clone(), json!("concluded"))], "{report:#}");
    let listed = scene.place.holdpoint(&["list", "--json"]).ended_with(0).json();
    for point in listed["points"].as_array().unwrap() {
        assert_eq!(point["standing"]["standing"], "proven", "{listed:#}");
    }
}

#[test]
fn flags_that_do_not_fit() {
    let place = Place::bare();
    for words in [
        &["latest", "--oldest-unproven"][..],
        &["--max-runtime", "2h"],
        &["--oldest-unproven", "--as", "owner"],
        &["--oldest-unproven", "--max-runtime", "soon"],
        &["--oldest-unproven", "--sample", "5"],
    ] {
        let failure = place.holdpoint(&[&["verify", "--json"], words].concat()).ended_with(2).failure();
        assert_eq!(failure.kind, "usage", "{words:?}");
    }
}

/// A check that looks at a table which a restore fills later: reading the archive says nothing of that.
const NEVER_RESTORES: &str = "
    CREATE TABLE zz_codes (code int PRIMARY KEY);
    INSERT INTO zz_codes VALUES (1);
    CREATE FUNCTION known(wanted int) RETURNS boolean LANGUAGE plpgsql
        AS 'BEGIN RETURN EXISTS (SELECT FROM public.zz_codes WHERE code = wanted); END';
    CREATE TABLE aa_orders (code int CHECK (known(code)));
    INSERT INTO aa_orders VALUES (1);
";

#[test]
fn a_failed_restore_is_not_made_good_by_reading() {
    let cluster = holdpoint_testkit::Cluster::shared(holdpoint_testkit::NEWEST);
    let scene = Scene::of_sql(cluster, Place::local(), NEVER_RESTORES);
    let id = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    scene.place.holdpoint(&["verify", &id]).ended_with(4);
    scene.prove_stored(&id);
    let list = scene.place.holdpoint(&["list"]).ended_with(0).stdout;
    assert!(list.contains("DISPROVED"), "{list}");
    let shown = scene.place.holdpoint(&["show", &id, "--json"]).ended_with(0).json();
    assert_eq!(shown["verifications"].as_array().unwrap().len(), 2, "{shown:#}");
    assert_eq!(shown["standing"]["standing"], "disproved", "{shown:#}");
}

/// 077 is what root has on many a machine, and what the unit of systemd under `config/` sets.
#[test]
#[expect(clippy::disallowed_methods, reason = "a shell sets the umask that the program inherits")]
fn a_scratch_server_starts_whatever_the_umask_is() {
    let scene = Scene::local();
    scene.place.backup();
    let directory = scene.place.scratch().join("made/anew");
    scene.place.write_config(&format!("[scratch]\ndirectory = \"{}\"\n", directory.display()));
    for arguments in [&["verify", "--json"][..], &["doctor", "--json"]] {
        let inner = scene.place.command(arguments);
        let mut masked = std::process::Command::new("/bin/sh");
        masked.args(["-c", "umask 077 && exec \"$0\" \"$@\""]).arg(inner.get_program()).args(inner.get_args());
        masked.env_clear().envs(scene.place.environment()).current_dir(scene.place.work());
        let output = masked.output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        if arguments[0] == "verify" {
            assert_eq!(report["verification"]["verdict"], "proved", "{report:#}");
        } else {
            let found = report;
            let all = found["checks"].as_array().unwrap();
            let start = all.iter().find(|one| one["name"] == "start").unwrap();
            assert!(start.to_string().contains("answered in"), "{found:#}");
        }
    }
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "a scratch directory is left");
}
