//! What the store itself locks, as we ask it to or as its bucket does: it stays and is told, and a pin extends the lock.

use holdpoint_testkit::{ADMIN, S3Server};
use holdpoint_tests::Place;
use serde_json::json;

use super::{FOLDER, LAST, fates, of, outcomes, points};
use crate::scene::Scene;

/// A scene whose bucket takes locks, with the bucket's name and the configuration as it is written.
fn in_a_bucket_with_locks(name: &str) -> (Scene, String, String) {
    let server = S3Server::shared();
    let bucket = format!("{name}-{}", std::process::id());
    server.create_bucket_with_lock(&bucket);
    let mut place = Place::bare();
    place.use_bucket(server, &bucket, &server.endpoint());
    let config = std::fs::read_to_string(place.work().join("holdpoint.toml")).unwrap();
    place.holdpoint(&["init"]).ended_with(0);
    (Scene::with(place), bucket, config)
}

/// What the engine answers when a restore point's object is asked for: a header of the answer.
fn header(scene: &Scene, point: &str, object: &str, name: &str) -> Option<String> {
    let (server, bucket) = scene.place.bucket().unwrap();
    let path = format!("/{bucket}/backups/{FOLDER}/restore-points/{point}/{object}");
    let answer = server.request(&ADMIN, "HEAD", &path, &[], &[], b"");
    assert_eq!(answer.status, 200, "{path}");
    answer.header(name).map(str::to_owned)
}

#[test]
fn what_the_store_locks_stays_and_is_told_and_a_pin_extends_the_lock() {
    const UNTIL: &str = "x-amz-object-lock-retain-until-date";
    let (scene, bucket, config) = in_a_bucket_with_locks("locked");
    let server = S3Server::shared();
    let made = points(&scene, &[true, true]);
    scene.place.write_config(&format!("{config}object_lock_mode = \"governance\"\nobject_lock_days = 1\n"));
    let locked = points(&scene, &[true, true]);
    // A legal hold on one object of a restore point that has no other lock.
    let held = format!("/{bucket}/backups/{FOLDER}/restore-points/{}/archive.dump", made[0]);
    let hold = |status: &str| {
        let body = format!("<LegalHold><Status>{status}</Status></LegalHold>");
        let answer = server.request(&ADMIN, "PUT", &held, &[("legal-hold", "")], &[], body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    hold("ON");

    // The plan names the locks, and is what is done: only what nothing locks goes.
    let plan = scene.place.holdpoint(&[&LAST[..], &["--dry-run"]].concat()).ended_with(0).json();
    let all: Vec<String> = made.iter().chain(&locked).cloned().collect();
    let wanted = of(&all, &["keep", "keep", "drop", "keep"]);
    assert_eq!(fates(&plan), wanted, "{plan:#}");
    let lock = |place: usize| plan["entries"][place]["reasons"][0]["hold"].clone();
    assert_eq!((&lock(1)["kind"], lock(1)["until"].is_string()), (&json!("object_lock"), true), "{plan:#}");
    assert_eq!(lock(3), json!({ "kind": "object_lock", "until": null }), "{plan:#}");
    let people = ["prune", "--keep-last", "1", "--minimum-age", "0"];
    let text = scene.place.holdpoint(&[&people[..], &["--dry-run"]].concat()).ended_with(0).stdout;
    assert!(text.contains("the bucket keeps versions") && text.contains("NoncurrentVersionExpiration"), "{text}");
    let done = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_eq!((fates(&done), &done["dropped"][0]["point"]), (wanted, &json!(made[1])), "{done:#}");
    assert_eq!((&plan["keeps_versions"], &done["keeps_versions"]), (&json!(true), &json!(true)), "{done:#}");
    let text = scene.place.holdpoint(&people).ended_with(0).stdout;
    assert!(text.contains("legal hold") && text.contains("locked by the store until"), "{text}");

    // What was deleted is there as versions, of which no prune knows.
    let (prefix, query) = (format!("backups/{FOLDER}/restore-points/{}/", made[1]), ("versions", ""));
    let path = format!("/{bucket}");
    let versions = server.request(&ADMIN, "GET", &path, &[("prefix", &prefix), query], &[], b"").text();
    assert!(versions.contains("archive.dump") && versions.contains("<DeleteMarker>"), "{versions}");
    assert_eq!(scene.place.points(), [&made[0], &locked[0], &locked[1]].map(Clone::clone));

    // A pin locks for as long as it holds, and what was locked for longer stays so.
    let before = header(&scene, &locked[0], "archive.dump", UNTIL).unwrap();
    let pin = |words: &[&str]| {
        let words = [&["pin", "--json", "--reason", "why"], words].concat();
        scene.place.holdpoint(&words).ended_with(0).json()
    };
    let pinned = pin(&[&locked[0], "--until", "30d"]);
    let until = pinned["locked_until"].as_str().unwrap();
    for object in ["archive.dump", "index.jsonl.zst", "globals.sql", "manifest.json"] {
        let found = header(&scene, &locked[0], object, UNTIL).unwrap();
        assert!(found > before && found[..19] == until[..19], "{object}: {found}, not {until}; it was {before}");
    }
    let shorter = pin(&[&locked[0], "--until", "2h", "--name", "short"]);
    assert_eq!(shorter["warnings"], json!([]), "a lock is not shortened");
    assert!(header(&scene, &locked[0], "archive.dump", UNTIL).unwrap()[..19] == until[..19]);
    // Without the pin the lock stays, and whoever removes it is told.
    let text = scene.place.holdpoint(&["unpin", &locked[0], "--name", "short"]).ended_with(0).stdout;
    let told = format!("; pinned by by-hand; the store itself keeps it until {}", until[..16].replace('T', " "));
    assert!(text.contains(&told) && text.contains("all the same (Object Lock)"), "{text}, not {told}");
    assert_eq!(header(&scene, &made[0], "archive.dump", UNTIL), None);
    pin(&[&made[0]]);
    let text = scene.place.holdpoint(&["unpin", &made[0]]).ended_with(0).stdout;
    assert!(text.contains("nothing else pins it; the store itself keeps it all the same (legal hold)"), "{text}");
    assert!(header(&scene, &made[0], "archive.dump", UNTIL).is_some(), "for the configured time");
    // A run that relies on an older restore point locks it anew from then on.
    let before = header(&scene, &locked[1], "archive.dump", UNTIL).unwrap();
    let guard = ["guard", "--json", "--no-plan", "--level", "stored", "--max-age", "1d", "--", "true"];
    let run = scene.place.holdpoint(&guard).ended_with(0).json();
    assert_eq!(run["point"], json!(locked[1]), "{run:#}");
    assert!(header(&scene, &locked[1], "archive.dump", UNTIL).unwrap() > before, "{run:#}");
    hold("OFF");
}

#[test]
fn what_is_locked_for_compliance_or_by_the_bucket_itself_stays() {
    let (scene, bucket, config) = in_a_bucket_with_locks("complied");
    let server = S3Server::shared();
    let free = points(&scene, &[false]);
    scene.place.write_config(&format!("{config}object_lock_mode = \"compliance\"\nobject_lock_days = 1\n"));
    let complied = points(&scene, &[false]);
    // From here on the bucket itself locks whatever is written, and no setting of ours says so.
    scene.place.write_config(&config);
    let rule = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
                <Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";
    let path = format!("/{bucket}");
    let answer = server.request(&ADMIN, "PUT", &path, &[("object-lock", "")], &[], rule.as_bytes());
    assert!(answer.status < 300, "{}", answer.text());
    let made = [free, complied, points(&scene, &[false, true])].concat();

    let wanted = of(&made, &["keep", "keep", "keep", "drop"]);
    let plan = scene.place.holdpoint(&[&LAST[..], &["--dry-run"]].concat()).ended_with(0).json();
    assert_eq!(fates(&plan), wanted, "{plan:#}");
    for place in [1, 2] {
        let hold = &plan["entries"][place]["reasons"][0]["hold"];
        assert_eq!((&hold["kind"], hold["until"].is_string()), (&json!("object_lock"), true), "{plan:#}");
    }
    let done = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_eq!((fates(&done), outcomes(&done)), (wanted, vec![(made[0].as_str(), "gone")]), "{done:#}");
    // Records that come and go do so all the same: what is deleted stays as a version.
    scene.place.holdpoint(&["pin", &made[3], "--reason", "why", "--until", "2h"]).ended_with(0);
    scene.place.holdpoint(&["unpin", &made[3]]).ended_with(0);
    assert_eq!(scene.place.points(), made[1..]);
    // Nobody can delete what is locked, not even the administrator.
    for point in &made[1..3] {
        let key = format!("backups/{FOLDER}/restore-points/{point}/archive.dump");
        let answer = server.request(&ADMIN, "GET", &path, &[("prefix", &key), ("versions", "")], &[], b"").text();
        let version = answer.split("<VersionId>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
        let object = format!("/{bucket}/{key}");
        let bypass = [("x-amz-bypass-governance-retention", "true")];
        let refused = server.request(&ADMIN, "DELETE", &object, &[("versionId", version)], &bypass, b"");
        assert_eq!(refused.status, 403, "{}", refused.text());
    }
}
