//! What is wrong with a stored restore point.

use serde_json::Value;

use super::{failed, refused};
use crate::scene::Scene;

/// The archive's key and bytes, and the manifest's key.
fn stored(scene: &Scene) -> (String, Vec<u8>, String) {
    let made = scene.place.backup();
    let key = made["manifest"]["archive"]["key"].as_str().unwrap().to_owned();
    let bytes = scene.place.object(&key);
    let manifest = format!("{}/manifest.json", key.rsplit_once('/').unwrap().0);
    (key, bytes, manifest)
}

/// Verifies, and demands that the restore point is disproved for its stored bytes and stays.
fn disproved(scene: &Scene, level: &str) -> Value {
    let before = scene.before();
    let report = scene.place.holdpoint(&["verify", "--level", level, "--json"]).ended_with(4).json();
    let verification = &report["verification"];
    assert_eq!(verification["verdict"], "disproved", "{report:#}");
    let after = scene.before();
    holdpoint_tests::assert_same("the database changed", &before.database, &after.database);
    let new = after.tree.beyond(&before.tree);
    assert!(new.len() == 1 && new[0].contains("/verifications/") && new[0].contains("disproved"), "{new:?}");
    let shown = scene.place.holdpoint(&["show", "--json"]).ended_with(0).json();
    assert_eq!(shown["standing"]["standing"], "disproved", "{shown:#}");
    verification["differences"][0].clone()
}

fn archive_truncated(scene: &Scene) {
    let (key, bytes, _) = stored(scene);
    for length in [bytes.len() - 1, bytes.len() / 2, 100, 0] {
        scene.place.put_object(&key, &bytes[..length]);
        for level in ["stored", "full"] {
            let first = disproved(scene, level);
            assert_eq!(first["aspect"], "stored_bytes", "{length}: {first:#}");
        }
    }
    let target = scene.empty_database();
    let url = scene.cluster.url(&target);
    let before = scene.before();
    let outcome = scene.place.holdpoint(&["restore", "--from", "latest", "--into", &url, "--json"]);
    assert!([4, 8].contains(&outcome.code), "{outcome:?}");
    scene.assert_untouched(&before);
    scene.cluster.drop_database(&target);
    // The bytes as they were: nothing else was wrong.
    scene.place.put_object(&key, &bytes);
    scene.place.prove();
}

#[test]
fn archive_truncated_in_a_folder() {
    archive_truncated(&Scene::local());
}

#[test]
fn archive_truncated_in_a_bucket() {
    archive_truncated(&Scene::on_s3());
}

#[test]
fn one_byte_of_the_archive_flipped() {
    let scene = Scene::local();
    let (key, bytes, _) = stored(&scene);
    // Header, contents, first block, middle, last block's end.
    for offset in [0, 20, 3_000, bytes.len() / 2, bytes.len() - 10, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[offset] ^= 1;
        scene.place.put_object(&key, &flipped);
        let first = disproved(&scene, "stored");
        assert_eq!(first["aspect"], "stored_bytes", "{offset}: {first:#}");
        assert!(!first["name"].as_str().unwrap().is_empty(), "{offset}: {first:#}");
    }
    disproved(&scene, "full");
    scene.place.put_object(&key, &bytes);
    scene.place.prove();
}

#[test]
fn archive_gone() {
    let scene = Scene::local();
    let (key, ..) = stored(&scene);
    std::fs::remove_file(scene.place.repository().join(&key)).unwrap();
    disproved(&scene, "stored");
}

#[test]
fn manifest_cut_or_garbled() {
    let scene = Scene::local();
    let (_, _, damaged) = stored(&scene);
    let whole = scene.place.backup();
    let whole = whole["manifest"]["id"].as_str().unwrap();
    let bytes = scene.place.object(&damaged);
    let id = damaged.rsplit('/').nth(1).unwrap().to_owned();
    for text in [&bytes[..bytes.len() / 2], b"", b"not json", b"{}"] {
        scene.place.put_object(&damaged, text);
        refused(&scene, &["verify", &id], 8).says(&["manifest.json"]);
        refused(&scene, &["show", &id], 8).says(&["manifest.json"]);
        let listed = scene.place.holdpoint(&["list", "--json"]).ended_with(15).json();
        assert_eq!(listed["unreadable"][0]["id"], id.as_str(), "{listed:#}");
        assert_eq!(listed["points"][0]["id"], whole, "the others stay usable: {listed:#}");
        scene.place.holdpoint(&["verify", whole, "--level", "stored"]).ended_with(0);
    }
    scene.place.put_object(&damaged, &bytes);
    scene.place.holdpoint(&["verify", &id]).ended_with(0);
}

/// Changes a value of the manifest and stores it again.
fn edit(scene: &Scene, key: &str, change: impl Fn(&mut Value)) {
    let mut manifest: Value = serde_json::from_slice(&scene.place.object(key)).unwrap();
    change(&mut manifest);
    scene.place.put_object(key, &serde_json::to_vec_pretty(&manifest).unwrap());
}

#[test]
fn manifest_edited() {
    let scene = Scene::local();
    let (key, _, manifest) = stored(&scene);
    scene.place.prove();
    edit(&scene, &manifest, |manifest| manifest["reason"] = "nothing to see".into());
    let shown = scene.place.holdpoint(&["show", "--json"]).ended_with(0).json();
    assert_eq!(shown["standing"]["standing"], "unproven", "proofs of the former manifest do not count");
    // One that claims other contents than the archive's is found out.
    for pointer in ["/archive/root_sha256", "/archive/head_sha256"] {
        let before = scene.place.object(&manifest);
        edit(&scene, &manifest, |manifest| *manifest.pointer_mut(pointer).unwrap() = "0".repeat(64).into());
        let outcome = scene.place.holdpoint(&["verify", "--level", "stored", "--json"]);
        assert!([4, 8].contains(&outcome.code), "{pointer}: {outcome:?}");
        scene.place.put_object(&manifest, &before);
    }
    edit(&scene, &manifest, |manifest| manifest["archive"]["key"] = format!("../{key}").into());
    let outcome = scene.place.holdpoint(&["verify", "--level", "stored", "--json"]);
    assert!([4, 8].contains(&outcome.code), "a key that leads elsewhere: {outcome:?}");
}

#[test]
fn manifest_of_a_newer_format() {
    let scene = Scene::local();
    let (_, _, manifest) = stored(&scene);
    edit(&scene, &manifest, |manifest| manifest["format"] = 99.into());
    let id = manifest.rsplit('/').nth(1).unwrap();
    refused(&scene, &["verify", id], 8).says(&["manifest.json", "format 99"]).hints(&["newer holdpoint"]);
    scene.place.holdpoint(&["list", "--json"]).ended_with(15);
    scene.place.backup();
    scene.place.prove();
}

#[test]
fn index_damaged() {
    let scene = Scene::local();
    let (key, ..) = stored(&scene);
    let index = key.replace("archive.dump", "index.jsonl.zst");
    let bytes = scene.place.object(&index);
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for text in [&bytes[..bytes.len() / 2], &flipped[..]] {
        scene.place.put_object(&index, text);
        let outcome = scene.place.holdpoint(&["verify", "--level", "stored", "--json"]);
        assert!([4, 8].contains(&outcome.code), "{outcome:?}");
    }
    scene.place.put_object(&index, &bytes);
    scene.place.prove();
}

#[test]
fn a_dump_that_is_none() {
    let scene = Scene::local();
    let target = scene.empty_database();
    let url = scene.cluster.url(&target);
    let place = scene.place.work();
    std::fs::write(place.join("picture.dump"), [0x89, b'P', b'N', b'G', 0, 1, 2, 3]).unwrap();
    std::fs::create_dir(place.join("a folder")).unwrap();
    std::fs::write(place.join("letter.sql"), "Dear all,\nplease find the dump attached.\n").unwrap();
    holdpoint_tests::shell(&place, &scene.place.environment(), "gzip -k letter.sql").ended_with(0);
    for dump in ["./picture.dump", "./a folder", "./absent.dump", "./letter.sql", "./letter.sql.gz"] {
        failed(&scene, &["restore", "--from", dump, "--into", &url], 6).says(&[dump.trim_start_matches("./")]);
        assert_eq!(scene.cluster.psql(&target, "SELECT count(*) FROM pg_class WHERE oid >= 16384"), "0");
    }
    scene.cluster.drop_database(&target);
}
