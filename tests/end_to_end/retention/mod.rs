//! What stays and what goes: `prune`, `pin` and `unpin`, on both adapters.

mod refused;
mod set_aside;

use holdpoint_testkit::{Fault, Rule, SeenRequest};
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

/// Each reader at a phase where it reads: nothing goes under it; and whoever is killed leaves a pin that ends.
fn what_is_read_stays(scene: &Scene) {
    let made = points(scene, &[true, true]);
    let copy = crate::scene::name("copy");
    scene.cluster.create_database_with(&copy, "TEMPLATE template0");
    let into = scene.cluster.url(&copy);
    let id = made[0].as_str();
    let readers: [(&[&str], &str); 3] = [
        (&["verify", id, "--level", "stored"], "starting-scratch"),
        (&["recover-table", "shop.orders", "--from", id, "--mode", "side"], "matching-tables"),
        (&["restore", "--from", id, "--into", &into], "restoring"),
    ];
    let pins = || {
        let list = scene.place.holdpoint(&["list", "--json"]).ended_with(0).json();
        let first = list["points"].as_array().unwrap().iter().find(|one| one["id"] == *id).unwrap().clone();
        first["pins"].as_array().unwrap().iter().map(|pin| pin.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (words, phase) in readers {
        let mut paused = scene.place.start_paused(words, phase);
        paused.wait_for_pause();
        let report = scene.place.holdpoint(&LAST).ended_with(0).json();
        assert_eq!(fates(&report), of(&made, &["keep", "keep"]), "{words:?}: {report:#}");
        assert!(pins()[0].starts_with("reading-"), "{words:?}: {:?}", pins());
        paused.go_on();
        paused.finish().ended_with(0);
        assert_eq!(pins(), [""; 0], "{words:?}");
    }
    scene.cluster.drop_database(&copy);
    let mut killed = scene.place.start_paused(&["verify", id, "--level", "stored"], "starting-scratch");
    killed.wait_for_pause();
    killed.kill();
    killed.finish().ended_with(137);
    let left = pins();
    assert_eq!(left.len(), 1, "{left:?}");
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    let entry = report["entries"].as_array().unwrap().iter().find(|one| one["id"] == *id).unwrap();
    let held = entry["reasons"].as_array().unwrap().iter().find(|one| one["kind"] == "held").unwrap();
    assert!(held["hold"]["until"].is_string(), "it ends: {report:#}");
    scene.place.holdpoint(&["unpin", id, "--name", &left[0]]).ended_with(0);
    scene.place.holdpoint(&LAST).ended_with(0);
    assert_eq!(scene.place.points(), made[1..]);
}

#[test]
fn what_is_read_stays_in_a_directory() {
    what_is_read_stays(&Scene::local());
}

#[test]
fn what_is_read_stays_in_a_bucket() {
    what_is_read_stays(&Scene::on_s3());
}

/// As by somebody who removes files, since no prune does that under a pin.
#[test]
fn what_is_dropped_under_a_reader_is_told_so() {
    let scene = Scene::local();
    for level in ["stored", "full"] {
        let made = points(&scene, &[false]).remove(0);
        let mut paused = scene.place.start_paused(&["verify", &made, "--level", level], "starting-scratch");
        paused.wait_for_pause();
        let folder = scene.place.repository().join("shop/restore-points").join(&made);
        std::fs::remove_dir_all(&folder).unwrap();
        paused.go_on();
        let told = paused.finish().ended_with(6);
        assert!(told.stderr.contains("was dropped while it was read"), "{told:?}");
        assert!(!folder.exists(), "nothing is recorded");
    }
}

/// A backup that stands still for longer than a sweep leaves young objects alone, as a suspended process does.
fn what_was_swept_is_not_published(scene: &Scene) {
    let made = points(scene, &[true]);
    let mut paused = scene.place.start_paused(&["backup"], "publishing-manifest");
    paused.wait_for_pause();
    let sweep = [&LAST[..], &["--sweep-min-age", "0"]].concat();
    // Ages are in the store's seconds.
    while scene.place.holdpoint(&sweep).ended_with(0).json()["swept"] == json!([]) {}
    paused.go_on();
    let failed = paused.finish().ended_with(8);
    for said in ["manifest.json is not published", "archive.dump is gone", "--sweep-min-age"] {
        assert!(failed.stderr.contains(said), "{failed:?}");
    }
    assert_eq!(scene.place.points(), made);
    assert!(scene.place.holdpoint(&["check", "--json"]).json()["points"].as_array().is_some_and(|all| all.len() == 1));
    let leftovers = scene.place.holdpoint(&["leftovers", "--json"]).ended_with(0).json();
    // Other tests prove restore points on the same server.
    let own = leftovers["leftovers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| !one["kind"].as_str().unwrap().ends_with("_database"));
    assert_eq!(own.count(), 0, "{leftovers:#}");
}

#[test]
fn what_was_swept_from_a_directory_is_not_published() {
    what_was_swept_is_not_published(&Scene::local());
}

#[test]
fn what_was_swept_from_a_bucket_is_not_published() {
    what_was_swept_is_not_published(&Scene::on_s3());
}

#[test]
fn the_point_of_a_run_stays_for_a_week_and_that_of_a_failed_one_until_it_is_settled() {
    let scene = Scene::local();
    let run = |sql: &str| {
        let psql = scene.cluster.bin_directory().join("psql").display().to_string();
        let command = ["guard", "--json", "--no-plan", "--max-age", "0", "--", &psql, "-XqAt", "-c", sql];
        scene.place.holdpoint(&[&command[..], &[&scene.cluster.url(&scene.database)]].concat()).json()
    };
    let good = run("CREATE TABLE shop.well (i int)");
    let bad = run("CREATE TABLE shop.half (i int); COMMIT; SELECT 1/0");
    let newest = points(&scene, &[true]);
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_eq!(report["dropped"], json!([]), "{report:#}");
    let reasons = |run: &Value| {
        let point = &run["point"];
        let entry = report["entries"].as_array().unwrap().iter().find(|one| one["id"] == *point).unwrap();
        let held = entry["reasons"].as_array().unwrap().iter().find(|one| one["kind"] == "held").unwrap();
        held["hold"]["until"].clone()
    };
    assert!(reasons(&good).is_string(), "a week: {report:#}");
    assert!(reasons(&bad).is_null(), "without end: {report:#}");
    let pin = format!("run-{}", good["run"].as_str().unwrap());
    let refused = scene.place.holdpoint(&["unpin", good["point"].as_str().unwrap(), "--name", &pin]).ended_with(2);
    assert!(refused.stderr.contains("seven days"), "{refused:?}");
    assert_eq!(scene.place.points().len(), 3, "{newest:?}");
}

#[test]
fn pins_have_names_ends_and_reasons() {
    let scene = Scene::local();
    let made = points(&scene, &[true]);
    let pin = |words: &[&str]| scene.place.holdpoint(&[&["pin", "latest", "--reason", "why"], words].concat());
    assert!(pin(&[]).ended_with(0).stdout.contains("for ever"));
    let twice = pin(&[]).ended_with(2);
    assert!(twice.stderr.contains("has a pin by-hand already"), "{twice:?}");
    assert!(pin(&["--name", "legal", "--until", "2h"]).ended_with(0).stdout.contains("until 2"));
    for (words, said) in [
        (&["--name", "run-x"][..], "names no pin"),
        (&["--name", "a/b"], "names no pin"),
        (&["--name", "past", "--until", "2001-01-01T00:00:00Z"], "would be over already"),
        (&["--name", "odd", "--until", "tomorrow"], "is no end"),
    ] {
        let refused = pin(words).ended_with(2);
        assert!(refused.stderr.contains(said), "{refused:?}");
    }
    let missing = scene.place.holdpoint(&["unpin", &made[0], "--name", "audit"]).ended_with(6);
    assert!(missing.stderr.contains("it has by-hand, legal"), "{missing:?}");
    let left = scene.place.holdpoint(&["unpin", &made[0]]).ended_with(0);
    assert!(left.stdout.contains("pinned by legal"), "{left:?}");
    scene.place.holdpoint(&["pin", "20200101T000000Z-0000", "--reason", "none"]).ended_with(6);
}

#[test]
fn every_database_of_the_repository_is_pruned_by_one_call() {
    let mut scene = Scene::local();
    let made = points(&scene, &[true, true]);
    let second = crate::scene::name("second");
    holdpoint_testkit::sample::load_shop(scene.cluster, &second, 100);
    scene.place.source(scene.cluster, &second).set("HOLDPOINT_DATABASE", "second");
    let others = points(&scene, &[true, true]);
    let all = ["prune", "--all", "--json", "--keep-last", "1", "--minimum-age", "0"];
    let report = scene.place.holdpoint(&all).ended_with(0).json();
    let databases = report["databases"].as_array().unwrap();
    assert_eq!((databases.len(), &report["failed"]), (2, &json!([])), "{report:#}");
    let gone: Vec<&Value> = databases.iter().map(|one| &one["dropped"][0]["point"]).collect();
    assert!(gone.contains(&&json!(made[0])) && gone.contains(&&json!(others[0])), "{report:#}");

    // One folder belongs to another database, of another nobody says where its database is: each is told for itself, and
    // the worst decides.
    let own = scene.cluster.url(&scene.database);
    scene.place.unset("HOLDPOINT_DATABASE").unset("DATABASE_URL").set("SHOP_URL", &own);
    scene.place.write_config("[database.shop]\n[database.second]\nurl = \"env:SHOP_URL\"\n[database.empty]\n");
    let report = scene.place.holdpoint(&all).ended_with(3).json();
    let failed = report["failed"].as_array().unwrap();
    let kinds: Vec<(&Value, &Value)> = failed.iter().map(|one| (&one["database"], &one["kind"])).collect();
    assert_eq!(kinds, [(&json!("empty"), &json!("not_found")), (&json!("second"), &json!("refused"))], "{report:#}");
    let warning = &report["databases"][0]["warnings"];
    assert_eq!(warning, &json!(["no URL is given: whose folder shop is was not asked"]), "{report:#}");
    scene.cluster.drop_database(&second);
}

/// Whatever ends it, what was seen and done by then is told.
#[test]
fn what_was_done_of_all_is_told_after_a_signal_and_where_the_last_list_fails() {
    let (mut scene, proxy) = crate::scene::behind_proxy();
    scene.place.backup();
    scene.place.unset("HOLDPOINT_DATABASE");
    let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap();
    scene.place.write_config(&format!("{config}[database.first]\n[database.shop]\n[database.third]\n"));
    let all = ["check", "--all", "--json"];
    let last = |request: &SeenRequest| {
        let has = |part: &str| request.target.split(['?', '&']).any(|one| one == part);
        request.operation() == "ListObjects" && has("prefix=backups%2F") && !has("delimiter=%2F")
    };
    proxy.rule(Rule::new(Fault::s3_error(403, "AccessDenied")).when(last).always());
    let report = scene.place.holdpoint(&all).ended_with(8).json();
    let failed = |report: &Value| {
        let all = report["failed"].as_array().unwrap().clone();
        all.into_iter().map(|one| [one["database"].clone(), one["kind"].clone()]).collect::<Vec<_>>()
    };
    assert_eq!(report["databases"].as_array().unwrap().len(), 3, "{report:#}");
    assert_eq!(failed(&report), [[Value::Null, json!("repository")]], "{report:#}");
    proxy.clear();

    proxy.rule(Rule::new(Fault::Silence).operation("ListObjects").target("prefix=backups%2Fshop%2F").always());
    let met = proxy.met();
    let mut run = scene.place.start(&all);
    run.wait_until("it looks at the second", std::time::Duration::from_secs(300), || proxy.met() > met);
    run.interrupt();
    let report = run.finish().ended_with(130).json();
    assert_eq!(report["databases"].as_array().unwrap().len(), 1, "{report:#}");
    let interrupted = ["shop", "third"].map(|name| [json!(name), json!("interrupted")]);
    assert_eq!(failed(&report), interrupted, "{report:#}");
}

/// What the engine answers when a restore point's object is asked for: a header of the answer.
fn header(scene: &Scene, point: &str, object: &str, name: &str) -> Option<String> {
    let (server, bucket) = scene.place.bucket().unwrap();
    let path = format!("/{bucket}/backups/{FOLDER}/restore-points/{point}/{object}");
    let answer = server.request(&holdpoint_testkit::ADMIN, "HEAD", &path, &[], &[], b"");
    assert_eq!(answer.status, 200, "{path}");
    answer.header(name).map(str::to_owned)
}

#[test]
fn what_the_store_locks_stays_and_is_told_and_a_pin_extends_the_lock() {
    const UNTIL: &str = "x-amz-object-lock-retain-until-date";
    let server = holdpoint_testkit::S3Server::shared();
    let bucket = format!("locked-{}", std::process::id());
    server.create_bucket_with_lock(&bucket);
    let mut place = holdpoint_tests::Place::bare();
    place.use_bucket(server, &bucket, &server.endpoint());
    let config = std::fs::read_to_string(place.work().join("holdpoint.toml")).unwrap();
    place.holdpoint(&["init"]).ended_with(0);
    let scene = Scene::with(place);
    let made = points(&scene, &[true, true]);
    scene.place.write_config(&format!("{config}object_lock_mode = \"governance\"\nobject_lock_days = 1\n"));
    let locked = points(&scene, &[true, true]);
    // A legal hold on one object of a restore point that has no other lock.
    let held = format!("/{bucket}/backups/{FOLDER}/restore-points/{}/archive.dump", made[0]);
    let hold = |status: &str| {
        let body = format!("<LegalHold><Status>{status}</Status></LegalHold>");
        let answer =
            server.request(&holdpoint_testkit::ADMIN, "PUT", &held, &[("legal-hold", "")], &[], body.as_bytes());
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
    let versions =
        server.request(&holdpoint_testkit::ADMIN, "GET", &path, &[("prefix", &prefix), query], &[], b"").text();
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
