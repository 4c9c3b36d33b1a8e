//! Whether everything that the repository promises is there: each finding made to happen, on both adapters.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use holdpoint_tests::is_root;
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

/// A directory in which nothing can be written, until it is dropped: mounted so, where this process may mount.
struct ReadOnly<'a>(&'a Path);

impl<'a> ReadOnly<'a> {
    fn made_of(folder: &'a Path) -> Self {
        match is_root() {
            true => system(&format!("mount --bind '{0}' '{0}' && mount -o remount,bind,ro '{0}'", folder.display())),
            false => system(&format!("chmod 500 '{}'", folder.display())),
        }
        Self(folder)
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        match is_root() {
            true => system(&format!("umount -l '{}'", self.0.display())),
            false => system(&format!("chmod 700 '{}'", self.0.display())),
        }
    }
}

fn system(script: &str) {
    let path = BTreeMap::from([("PATH".to_owned(), "/usr/sbin:/usr/bin:/sbin:/bin".to_owned())]);
    let ended = holdpoint_tests::shell(Path::new("/"), &path, script);
    assert!(std::thread::panicking() || ended.code == 0, "{ended:?}");
}

#[test]
fn what_cannot_be_written_can_be_checked_and_planned_for() {
    let scene = private();
    for _ in 0..2 {
        let id = scene.place.backup()["manifest"]["id"].as_str().unwrap().to_owned();
        scene.prove_stored(&id);
    }
    let prune = ["prune", "--json", "--keep-last", "1", "--minimum-age", "0"];
    {
        let _mounted = ReadOnly::made_of(scene.place.repository());
        let report = scene.place.holdpoint(&READ).ended_with(0).json();
        let said = |what: &Value| {
            what.as_array().unwrap().iter().any(|one| one.as_str().unwrap().contains("this machine's clock"))
        };
        assert!(said(&report["notes"]) && report["last_proof"]["level"] == "stored", "{report:#}");
        let plan = scene.place.holdpoint(&[&prune[..], &["--dry-run"]].concat()).ended_with(0).json();
        assert!(said(&plan["warnings"]), "{plan:#}");
        let fates = plan["entries"].as_array().unwrap();
        assert_eq!(fates.iter().filter(|one| one["fate"] == "drop").count(), 1, "{plan:#}");
        // Whoever writes is refused.
        for writes in [&["check", "--repair"][..], &prune[..]] {
            scene.place.holdpoint(writes).ended_with(8);
        }
    }
    assert_eq!(scene.place.points().len(), 2);
    scene.place.holdpoint(&prune).ended_with(0);
    assert_eq!(scene.place.points().len(), 1);
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
