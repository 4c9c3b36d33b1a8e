//! Whether everything that the repository promises is there: each finding made to happen, on both adapters.

mod hidden;
mod lost;
mod read_only;
mod strays;

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::scene::Scene;

const READ: [&str; 3] = ["check", "--json", "--read-data"];
const ASK: [&str; 2] = ["check", "--json"];

/// A shop, and a directory that is its owner's alone.
fn private() -> Scene {
    let scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    scene
}

fn kinds(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    findings.map(|one| one["kind"].as_str().unwrap().to_owned()).collect()
}

fn each_damage_is_found(scene: &Scene) {
    let manifest = scene.place.backup()["manifest"].clone();
    let sound = scene.place.holdpoint(&READ).ended_with(0).json();
    assert_eq!((kinds(&sound), &sound["last_proof"]), (vec![], &Value::Null), "{sound:#}");
    let whole: u64 = ["archive", "index", "globals"].iter().map(|one| manifest[one]["bytes"].as_u64().unwrap()).sum();
    assert_eq!(sound["read_bytes"], json!(whole), "{sound:#}");
    assert_eq!(sound["points"][0]["stored_bytes"], json!(whole), "{sound:#}");

    for object in ["archive", "index", "globals"] {
        let key = manifest[object]["key"].as_str().unwrap();
        let bytes = scene.place.object(key);
        // One bit, in the middle: only reading it tells, or the store's own checksum of another object.
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        scene.place.put_object(key, &flipped);
        let report = scene.place.holdpoint(&READ).ended_with(15).json();
        assert!(["damaged", "wrong_checksum"].contains(&kinds(&report)[0].as_str()), "{object}: {report:#}");
        // From now on everybody knows.
        assert!(kinds(&report).contains(&"damaged".to_owned()), "{object}: {report:#}");
        assert_eq!(
            scene.place.holdpoint(&["list", "--json"]).ended_with(0).json()["points"][0]["standing"]["standing"],
            "disproved"
        );
        scene.place.put_object(key, &bytes[..bytes.len() - 1]);
        let report = scene.place.holdpoint(&ASK).ended_with(15).json();
        assert_eq!(kinds(&report), ["wrong_size", "disproved"], "{object}: {report:#}");
        // Its bytes are back: a proof says so.
        scene.place.put_object(key, &bytes);
        assert_eq!(kinds(&scene.place.holdpoint(&READ).ended_with(15).json()), ["disproved"], "{object}");
        scene.prove_stored("latest");
        assert_eq!(kinds(&scene.place.holdpoint(&READ).ended_with(0).json()), [""; 0], "{object}");
    }
    // Everything was only read.
    let before = scene.before();
    scene.place.holdpoint(&READ).ended_with(0);
    scene.assert_untouched(&before);
}

#[test]
fn each_damage_in_a_directory_is_found() {
    each_damage_is_found(&private());
}

#[test]
fn each_damage_in_a_bucket_is_found() {
    each_damage_is_found(&Scene::on_s3());
}

#[test]
fn a_share_reads_whole_restore_points_and_at_least_one() {
    let scene = private();
    for _ in 0..4 {
        scene.place.backup();
    }
    let read = |percent: &str| {
        let report =
            scene.place.holdpoint(&["check", "--json", &format!("--read-data={percent}")]).ended_with(0).json();
        report["points"].as_array().unwrap().iter().filter(|one| one["read"] == json!(true)).count()
    };
    assert_eq!((read("1"), read("40"), read("100")), (1, 2, 4));
    for wrong in ["0", "101", "all"] {
        scene.place.holdpoint(&["check", &format!("--read-data={wrong}")]).ended_with(2);
    }
}

#[test]
fn what_is_gone_unreadable_or_open_to_others_is_found() {
    let scene = private();
    let first = scene.place.backup()["manifest"].clone();
    let second = scene.place.backup()["manifest"].clone();
    let path = |key: &Value| scene.place.repository().join(key.as_str().unwrap());
    std::fs::remove_file(path(&first["archive"]["key"])).unwrap();
    let manifest = format!("shop/restore-points/{}/manifest.json", second["id"].as_str().unwrap());
    scene.place.put_object(&manifest, b"{\"format\": 1");
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let report = scene.place.holdpoint(&READ).ended_with(15).json();
    assert_eq!(kinds(&report), ["unreadable", "missing", "permissions"], "{report:#}");
    let text = scene.place.holdpoint(&["check"]).ended_with(15).stdout;
    assert!(text.contains("chmod 700") && text.contains("3 findings") && text.contains("nothing is proven"), "{text}");
    // Below the directory, too: one that is open, and one that is somebody else's.
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::set_permissions(path(&first["index"]["key"]), std::fs::Permissions::from_mode(0o604)).unwrap();
    // Only root can give a file away.
    let given = std::os::unix::fs::chown(path(&first["globals"]["key"]), Some(4_242), None).is_ok();
    let report = scene.place.holdpoint(&ASK).ended_with(15).json();
    let wanted = ["unreadable", "missing", "permissions", "permissions"];
    assert_eq!(kinds(&report), wanted[..if given { 4 } else { 3 }], "{report:#}");
    let said = |at: usize| report["findings"][at]["reason"].as_str().unwrap().to_owned();
    assert!(said(2).contains("604") && (!given || said(3).contains("user 4242")), "{report:#}");

    // Every database of the repository, or a share of them, by one call; the worst decides.
    let all = scene.place.holdpoint(&["check", "--all", "--json"]).ended_with(15).json();
    assert_eq!((all["databases"].as_array().unwrap().len(), &all["failed"]), (1, &json!([])), "{all:#}");
    assert_eq!(all["databases"][0]["findings"], report["findings"]);
    let shares = ["0/2", "1/2"].map(|share| {
        let outcome = scene.place.holdpoint(&["check", "--all", "--json", "--shard", share]);
        outcome.json()["databases"].as_array().unwrap().len()
    });
    assert_eq!(shares.iter().sum::<usize>(), 1);
}

#[test]
fn an_old_proof_is_a_finding_where_somebody_says_so() {
    let scene = private();
    scene.place.backup();
    scene.place.holdpoint(&ASK).ended_with(0);
    let none = scene.place.holdpoint(&["check", "--json", "--max-proof-age", "1d"]).ended_with(15).json();
    assert_eq!(kinds(&none), ["proof_too_old"], "{none:#}");
    scene.prove_stored("latest");
    let young = scene.place.holdpoint(&["check", "--json", "--max-proof-age", "1d"]).ended_with(0).json();
    assert_eq!(young["last_proof"]["level"], "stored", "{young:#}");
    let old = scene.place.holdpoint(&["check", "--json", "--max-proof-age", "0"]).ended_with(15).json();
    assert_eq!(kinds(&old), ["proof_too_old"], "{old:#}");
    assert!(scene.place.holdpoint(&["check"]).ended_with(0).stdout.contains("last proven"));
}

#[test]
fn a_check_of_nothing_is_no_success() {
    let scene = private();
    let id = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
    scene.place.holdpoint(&ASK).ended_with(0);
    std::fs::remove_dir_all(scene.place.repository().join("shop/restore-points").join(id)).unwrap();
    let report = scene.place.holdpoint(&ASK).ended_with(15).json();
    assert_eq!(kinds(&report), ["nothing_there"], "{report:#}");
    assert!(report["findings"][0]["reason"].as_str().unwrap().contains(&scene.database), "{report:#}");
    let typed = scene.place.holdpoint(&["check", "--database", "nonexist"]).ended_with(6);
    assert!(typed.stderr.contains("nonexist") && typed.stderr.contains("shop"), "{}", typed.stderr);
}
