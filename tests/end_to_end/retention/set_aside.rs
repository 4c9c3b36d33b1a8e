//! What lets no other restore point go: parts, labels, wrong clocks, and those of which objects are missing.

use serde_json::{Value, json};

use super::{FOLDER, LAST, fates, of, points};
use crate::scene::Scene;

/// Restore points and their fates, the oldest first.
fn assert_fates(report: &Value, made: &[String], wanted: &[&str]) {
    let newest_first: Vec<&str> = wanted.iter().rev().copied().collect();
    assert_eq!(fates(report), of(made, &newest_first), "{report:#}");
}

/// The kinds of the reasons for which a restore point is kept or dropped.
fn kinds(report: &Value, point: &str) -> Vec<String> {
    let entry = report["entries"].as_array().unwrap().iter().find(|one| one["id"] == point).unwrap();
    let reasons = entry["reasons"].as_array().unwrap();
    reasons.iter().map(|one| one["kind"].as_str().unwrap().to_owned()).collect()
}

/// Makes a restore point, changes its manifest, and proves what is there then.
fn changed(scene: &Scene, change: impl FnOnce(&mut Value)) -> String {
    let id = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    let key = format!("{FOLDER}/restore-points/{id}/manifest.json");
    let mut manifest: Value = serde_json::from_slice(&scene.place.object(&key)).unwrap();
    change(&mut manifest);
    scene.place.put_object(&key, &serde_json::to_vec(&manifest).unwrap());
    scene.prove_stored(&id);
    id
}

#[test]
fn parts_and_labelled_ones_take_no_place_and_go_by_a_rule_of_their_own() {
    let scene = Scene::local();
    let part = || {
        let made =
            scene.place.holdpoint(&["backup", "--json", "--exclude-table-data", "shop.orders"]).ended_with(0).json();
        let id = made["manifest"]["id"].as_str().unwrap().to_owned();
        scene.prove_stored(&id);
        id
    };
    let made = [points(&scene, &[true]), vec![part()], points(&scene, &[true]), vec![part()]].concat();
    let made = [made, vec![changed(&scene, |one| one["label"] = json!("before-undo-x"))]].concat();
    let report = scene.place.holdpoint(&[&LAST[..], &["--dry-run"]].concat()).ended_with(0).json();
    assert_fates(&report, &made, &["drop", "drop", "keep", "keep", "keep"]);
    assert_eq!(kinds(&report, &made[1]), ["beyond_its_kind"], "{report:#}");
    assert!(kinds(&report, &made[2]).contains(&"newest_proven".to_owned()), "{report:#}");
    assert_eq!(kinds(&report, &made[3]), ["newest_of_its_kind"], "{report:#}");
    let text = scene.place.holdpoint(&["prune", "--keep-last", "1", "--minimum-age", "0", "--dry-run"]).ended_with(0);
    for said in
        ["part of the database (--exclude-table-data=shop.orders)", "labelled before-undo-x", "newest of its kind (1)"]
    {
        assert!(text.stdout.contains(said), "{said}: {text:?}");
    }
    // Two of each kind are asked for.
    let two = [&LAST[..], &["--minimum-count", "2"]].concat();
    assert_fates(&scene.place.holdpoint(&two).ended_with(0).json(), &made, &["keep"; 5]);
    // The whole ones are gone: what is left is all there is, however it is proven.
    for id in [&made[0], &made[2]] {
        let manifest = format!("{FOLDER}/restore-points/{id}/manifest.json");
        std::fs::remove_file(scene.place.repository().join(manifest)).unwrap();
    }
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_fates(&report, &[made[1].clone(), made[3].clone(), made[4].clone()], &["keep"; 3]);
    // Unattended they are no proof of the database, and so nothing keeps the next verification off.
    scene.place.write_config("[cron]\nverify = \"stored\"\nverify_every = \"30d\"\n");
    let report = scene.place.holdpoint(&["cron", "--json"]).json();
    let shop = &report["databases"][0];
    assert_eq!(shop["steps"][1]["end"], "done", "{report:#}");
    assert!(shop["events"].as_array().unwrap().contains(&json!("first_proof")), "{report:#}");
}

#[test]
fn a_wrong_clock_neither_hides_others_nor_exposes_its_own() {
    let scene = Scene::local();
    let by_store = |time: &'static str| move |one: &mut Value| one["timings"]["started_at_by_store"] = json!(time);
    // Made long ago by the store's clock, and long after; their own instants lie between those of good ones.
    let made = [
        points(&scene, &[true]),
        vec![changed(&scene, by_store("2001-01-01T00:00:00Z")), changed(&scene, by_store("2100-01-01T00:00:00Z"))],
    ]
    .concat();
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_fates(&report, &made, &["keep", "keep", "keep"]);
    assert!(kinds(&report, &made[0]).contains(&"newest_proven".to_owned()), "{report:#}");
    for doubted in &made[1..] {
        assert_eq!(kinds(&report, doubted), ["clock_doubted"], "{report:#}");
        assert!(report["warnings"][0].as_str().unwrap().contains(doubted.as_str()), "{report:#}");
    }
    let good = points(&scene, &[true]);
    let all = [made.clone(), good].concat();
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_fates(&report, &all, &["drop", "keep", "keep", "keep"]);
    let text = scene.place.holdpoint(&["prune", "--keep-last", "1"]).ended_with(0).stdout;
    assert!(text.contains("clock doubted: 2001-01-01"), "{text}");
    // Where the manifest does not tell, it tells by when it was written.
    let key = format!("{FOLDER}/restore-points/{}/manifest.json", all[3]);
    let mut manifest: Value = serde_json::from_slice(&scene.place.object(&key)).unwrap();
    manifest["timings"].as_object_mut().unwrap().remove("started_at_by_store").unwrap();
    scene.place.put_object(&key, &serde_json::to_vec(&manifest).unwrap());
    let file = std::fs::File::options().append(true).open(scene.place.repository().join(&key)).unwrap();
    scene.prove_stored(&all[3]);
    let believed = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert!(kinds(&believed, &all[3]).contains(&"newest_proven".to_owned()), "{believed:#}");
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_eq!(kinds(&report, &all[3]), ["nothing_proven", "clock_doubted"], "{report:#}");
}

fn what_is_missing_of_one_saves_the_others(scene: &Scene) {
    let made = points(scene, &[true, true]);
    let key = |object: &str| format!("{FOLDER}/restore-points/{}/{object}", made[1]);
    for object in ["archive.dump", "index.jsonl.zst", "globals.sql"] {
        let bytes = scene.place.object(&key(object));
        scene.place.put_object(&key(object), &bytes[..bytes.len() - 1]);
        let before = scene.before();
        for words in [[&LAST[..], &["--dry-run"]].concat(), LAST.to_vec()] {
            let report = scene.place.holdpoint(&words).ended_with(15).json();
            assert_fates(&report, &made, &["keep", "keep"]);
            assert!(kinds(&report, &made[1]).contains(&"incomplete".to_owned()), "{report:#}");
            let finding = &report["findings"][0];
            assert_eq!(
                (&finding["kind"], &finding["place"]),
                (&json!("wrong_size"), &json!(key(object))),
                "{report:#}"
            );
        }
        scene.assert_untouched(&before);
        scene.place.put_object(&key(object), &bytes);
    }
    assert_fates(&scene.place.holdpoint(&LAST).ended_with(0).json(), &made, &["drop", "keep"]);
}

#[test]
fn what_is_missing_of_one_saves_the_others_in_a_directory() {
    what_is_missing_of_one_saves_the_others(&Scene::local());
}

#[test]
fn what_is_missing_of_one_saves_the_others_in_a_bucket() {
    what_is_missing_of_one_saves_the_others(&Scene::on_s3());
}

#[test]
fn what_goes_missing_while_a_prune_is_at_work_saves_the_others() {
    let scene = Scene::local();
    let made = points(&scene, &[true, true, true]);
    let archive = scene.place.repository().join(format!("{FOLDER}/restore-points/{}/archive.dump", made[2]));
    let mut paused = scene.place.start_paused(&LAST, "pruning");
    paused.wait_for_pause();
    std::fs::rename(&archive, scene.place.path().join("away")).unwrap();
    paused.go_on();
    let report = paused.finish().ended_with(15).json();
    let outcomes: Vec<&Value> = report["dropped"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, ["unjustified", "unjustified"], "{report:#}");
    assert_eq!((&report["findings"][0]["kind"], scene.place.points()), (&json!("missing"), made.clone()));
    let text = scene.place.holdpoint(&["prune", "--keep-last", "1", "--minimum-age", "0", "--dry-run"]).ended_with(15);
    assert!(text.stdout.contains("NOT ALL THERE") && text.stdout.contains("missing, so nothing goes"), "{text:?}");
    // Those that are all there justify what they did: the oldest goes because of the second.
    let report = scene.place.holdpoint(&LAST).ended_with(15).json();
    assert_fates(&report, &made, &["drop", "keep", "keep"]);
    // Unattended it is a failed step.
    scene.place.write_config("[cron]\nverify = \"none\"\n[retention]\nkeep_last = 1\nminimum_age = \"0\"\n");
    let report = scene.place.holdpoint(&["cron", "--json"]).ended_with(15).json();
    let step = &report["databases"][0]["steps"][2];
    assert_eq!((&step["end"], &step["failure"]["kind"]), (&json!("failed"), &json!("differences")), "{report:#}");
    std::fs::rename(scene.place.path().join("away"), &archive).unwrap();
    assert_eq!(scene.place.holdpoint(&LAST).ended_with(0).json()["findings"], json!([]));
}
