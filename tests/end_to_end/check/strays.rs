//! What belongs to nothing, in a folder and beside all of them: told, and nobody fails by it.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{ASK, kinds, private};
use crate::scene::Scene;

#[test]
fn what_belongs_to_nothing_and_what_nobody_looks_after_is_found() {
    for scene in [private(), Scene::on_s3()] {
        let manifest = scene.place.backup()["manifest"].clone();
        scene.place.holdpoint(&ASK).ended_with(0);
        let archive = manifest["archive"]["key"].as_str().unwrap();
        let put = |key: &str| {
            if scene.place.bucket().is_none() {
                let path = scene.place.repository().join(key);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, b"12345").unwrap();
            } else {
                scene.place.put_object(key, b"12345");
            }
        };
        put("shop/notes.txt");
        put(&format!("{archive}.bak"));
        let stray = scene.place.holdpoint(&ASK).ended_with(15).json();
        assert!(kinds(&stray).contains(&"stray".to_owned()), "{stray:#}");
        let finding = stray["findings"].as_array().unwrap().iter().find(|one| one["kind"] == "stray").unwrap();
        assert_eq!(finding["place"], json!("shop/notes.txt"), "{stray:#}");
        assert!(finding["reason"].as_str().unwrap().contains("1 more like it; 10 "), "{stray:#}");

        // Beside the databases: only a look at all of them sees it.
        put("readme.txt");
        put("photos/cat.jpeg");
        put("bank/identities/20261121T024300000000Z.json");
        let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap_or_default();
        let section = "[database.shop]\nurl = \"env:DATABASE_URL\"\n";
        let whole = if config.contains("[database.shop]") { config.clone() } else { format!("{config}{section}") };
        scene.place.write_config(&whole);
        let all = scene.place.holdpoint(&["check", "--all", "--json"]).ended_with(15).json();
        let beside = all["findings"].as_array().unwrap();
        let of = |at: usize| (beside[at]["kind"].as_str().unwrap(), beside[at]["place"].as_str().unwrap());
        assert_eq!((of(0), of(1)), (("stray", "photos/cat.jpeg"), ("not_configured", "bank/")), "{all:#}");
        assert!(beside[0]["reason"].as_str().unwrap().contains("1 more like it"), "{all:#}");
        assert_eq!((beside.len(), all["databases"].as_array().unwrap().len()), (2, 1), "{all:#}");
        // It is told once, by the first share.
        let told = ["0/2", "1/2"].map(|share| {
            let outcome = scene.place.holdpoint(&["check", "--all", "--json", "--shard", share]);
            outcome.json()["findings"].as_array().unwrap().len()
        });
        assert_eq!(told, [2, 0]);
        let text = scene.place.holdpoint(&["check", "--all"]).ended_with(15).stdout;
        assert!(text.contains("not configured") && text.contains("[database.bank]"), "{text}");
    }
}

/// What an editor or a copier leaves: told, and nobody fails by it.
#[test]
fn names_that_holdpoint_does_not_write_are_told_and_fail_nobody() {
    for scene in [private(), Scene::on_s3()] {
        let made = [0, 1, 2].map(|_| {
            let id = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
            scene.prove_stored(&id);
            id
        });
        let put = |key: &str| {
            if scene.place.bucket().is_none() {
                let path = scene.place.repository().join(key);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, b"12345").unwrap();
                for (path, mode) in [(path.as_path(), 0o600), (path.parent().unwrap(), 0o700)] {
                    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
                }
            } else {
                scene.place.put_object(key, b"12345");
            }
        };
        let point = |n: usize| format!("shop/restore-points/{}", made[n]);
        put(&format!("{}/verifications/20261121T024300125Z-proved.json~", point(0)));
        put(&format!("{}/pins/audit.json~", point(1)));
        let list = scene.place.holdpoint(&["list", "--json"]).ended_with(0).json();
        assert_eq!(list["points"].as_array().unwrap().len(), 3, "{list:#}");
        scene.place.holdpoint(&["status"]).ended_with(0);
        let report = scene.place.holdpoint(&ASK).ended_with(15).json();
        assert_eq!(kinds(&report), ["stray"], "{report:#}");
        assert!(report["findings"][0]["place"].as_str().unwrap().ends_with("proved.json~"), "{report:#}");
        assert!(report["findings"][0]["reason"].as_str().unwrap().contains("1 more like it"), "{report:#}");
        // It may be meant as a pin: its restore point stays, and no other because of it.
        let prune = ["prune", "--keep-last", "1", "--minimum-age", "0"];
        let text = scene.place.holdpoint(&prune).ended_with(0).stdout;
        assert!(text.contains("1 restore point dropped") && text.contains("pinned by pins/audit.json~"), "{text}");
        assert_eq!(scene.place.points(), [&made[1], &made[2]].map(Clone::clone));
        let kept = scene.place.holdpoint(&["unpin", &made[1], "--name", "pins/audit.json~"]).ended_with(2).stderr;
        assert!(kept.contains("audit.json~") && kept.contains("by hand"), "{kept}");
        // What was beside the dropped one is still a stray, and nothing that a sweep could remove again and again.
        let again =
            scene.place.holdpoint(&[&prune[..], &["--json", "--sweep-min-age", "0"]].concat()).ended_with(0).json();
        assert_eq!(again["swept"], json!([]), "{again:#}");
        assert_eq!(kinds(&scene.place.holdpoint(&ASK).ended_with(15).json()), ["stray"]);
    }
}
