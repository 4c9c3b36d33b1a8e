//! What the store refuses or does not answer, and plans that another prune made out of date.

use holdpoint_testkit::{ADMIN, Fault, FaultProxy, Rule};
use serde_json::{Value, json};

use super::{FOLDER, LAST, fates, of, outcomes, points};
use crate::scene::{Scene, behind_proxy};

#[test]
fn what_the_store_refuses_to_delete_is_told_and_goes_later() {
    let (scene, proxy) = with_few_attempts(8);
    let (server, bucket) = scene.place.bucket().unwrap();
    let made = points(&scene, &[false, false, false, true]);
    let key = |n: usize, object: &str| format!("backups/{FOLDER}/restore-points/{}/{object}", made[n]);
    // The engine refuses one object of many to nobody, so the answer to all three attempts is canned.
    let errors = format!(
        "<DeleteResult><Deleted><Key>{}</Key></Deleted><Deleted><Key>{}</Key></Deleted><Error><Key>{}</Key>\
         <Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>",
        key(0, "globals.sql"),
        key(0, "index.jsonl.zst"),
        key(0, "archive.dump")
    );
    proxy.rule(Rule::new(Fault::answer(200, &errors)).operation("DeleteObjects").times(3));
    // Who may not delete the manifest is refused by the engine itself.
    server.set_policy(
        bucket,
        &format!(
            "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Deny\",\"Principal\":\"*\",\
             \"Action\":\"s3:DeleteObject\",\"Resource\":\"arn:aws:s3:::{bucket}/{}\"}}]}}",
            key(1, "manifest.json")
        ),
    );
    let report = scene.place.holdpoint(&LAST).ended_with(8).json();
    let [first, second, third] = [0, 1, 2].map(|n| made[n].as_str());
    assert_eq!(outcomes(&report), [(first, "remains"), (second, "failed"), (third, "gone")], "{report:#}");
    let remains = report["dropped"][0]["objects"].as_array().unwrap();
    assert!(remains.len() == 1 && remains[0].as_str().unwrap().contains("archive.dump: "), "{report:#}");
    assert!(report["dropped"][1]["reason"].as_str().unwrap().contains("manifest.json"), "{report:#}");
    // What lost its manifest is no restore point any more; what kept it is one, and whole.
    assert_eq!(scene.place.points(), [&made[1], &made[3]].map(Clone::clone));
    scene.prove_stored(second);
    let left: Vec<String> = scene.place.tree().objects.into_keys().filter(|key| key.contains(first)).collect();
    assert!(left.contains(&key(0, "archive.dump")) && !left.contains(&key(0, "manifest.json")), "{left:?}");

    // Once it may be deleted, the next one goes on.
    let answer = server.request(&ADMIN, "DELETE", &format!("/{bucket}"), &[("policy", "")], &[], b"");
    assert!(answer.status < 300, "{}", answer.text());
    let sweep = [&LAST[..], &["--sweep-min-age", "0"]].concat();
    // Ages are in the store's seconds.
    let swept = (0..50).any(|_| {
        let report = scene.place.holdpoint(&sweep).ended_with(0).json();
        !report["swept"].as_array().unwrap().is_empty()
    });
    assert!(swept, "what is left of them is swept");
    assert_eq!(scene.place.points(), made[3..]);
    let left =
        scene.place.tree().objects.into_keys().filter(|key| made[..3].iter().any(|id| key.contains(id.as_str())));
    assert_eq!(left.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn a_plan_that_another_prune_made_out_of_date_drops_nothing() {
    let scene = Scene::local();
    let mut made = points(&scene, &[false, true]);
    let mut paused = scene.place.start_paused(&LAST, "pruning");
    paused.wait_for_pause();
    // There is a newer one by now, because of which another prune dropped the one that was to stay.
    made.extend(points(&scene, &[true]));
    scene.place.holdpoint(&["pin", &made[0], "--reason", "for now"]).ended_with(0);
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_eq!(outcomes(&report), [(made[1].as_str(), "gone")], "{report:#}");
    scene.place.holdpoint(&["unpin", &made[0]]).ended_with(0);
    paused.go_on();
    let report = paused.finish().ended_with(0).json();
    assert_eq!(outcomes(&report), [(made[0].as_str(), "unjustified")], "{report:#}");
    let reason = report["dropped"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("until the next prune") && reason.contains(&made[1]), "{report:#}");
    assert_eq!(scene.place.points(), [&made[0], &made[2]].map(Clone::clone));
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_eq!(outcomes(&report), [(made[0].as_str(), "gone")], "{report:#}");
}

/// A bucket behind a proxy, and few attempts.
fn with_few_attempts(attempts: u32) -> (Scene, FaultProxy) {
    let (scene, proxy) = behind_proxy();
    let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap();
    scene.place.write_config(&format!("{config}[repository.timeouts]\nattempts = {attempts}\n"));
    (scene, proxy)
}

#[test]
fn nothing_goes_because_of_one_whose_objects_the_store_does_not_tell() {
    let (scene, proxy) = with_few_attempts(3);
    let made = points(&scene, &[false, true]);
    for object in ["archive.dump", "index.jsonl.zst", "globals.sql"] {
        let asked = format!("{}/{object}", made[1]);
        let fault = Fault::s3_error(503, "SlowDown");
        // Before the plan, and again before the first goes.
        for nth in [1, 2] {
            proxy.rule(Rule::new(fault.clone()).operation("HeadObject").target(&asked).from_nth(nth).always());
            let told = scene.place.holdpoint(&LAST).ended_with(8);
            assert!(told.stdout.contains(object) && told.stdout.contains("given up after 3 attempts"), "{told:?}");
            assert!(proxy.met() > 0, "{object} was not asked for");
            proxy.clear();
            assert_eq!(scene.place.points(), made, "{object}, {nth}");
        }
    }
    // Once is got over.
    proxy.rule(Rule::new(Fault::ResetAtOnce).operation("HeadObject").target(&made[1]));
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_eq!(fates(&report), of(&made, &["keep", "drop"]), "{report:#}");
}

#[test]
fn what_is_dropped_while_a_check_reads_its_data_is_no_finding() {
    let (scene, proxy) = with_few_attempts(8);
    let made = points(&scene, &[false, true]);
    let asked = format!("{}/archive.dump", made[0]);
    proxy.rule(Rule::new(Fault::s3_error(503, "SlowDown")).operation("GetObject").target(&asked).always());
    let mut check = scene.place.start(&["check", "--json", "--read-data"]);
    check.wait_until("it reads the data", std::time::Duration::from_secs(300), || proxy.met() > 0);
    let report = scene.place.holdpoint(&LAST).ended_with(0).json();
    assert_eq!(outcomes(&report), [(made[0].as_str(), "gone")], "{report:#}");
    proxy.clear();
    let report = check.finish().ended_with(0).json();
    let read: Vec<(&Value, &Value)> =
        report["points"].as_array().unwrap().iter().map(|one| (&one["point"], &one["read"])).collect();
    assert_eq!((read, &report["findings"]), (vec![(&json!(made[1]), &json!(true))], &json!([])), "{report:#}");
}

/// The oldest object of a folder is the first that a lifecycle rule by age takes.
#[test]
fn a_folder_that_lost_its_identity_records_is_still_its_databases() {
    let mut scene = Scene::local();
    let made = points(&scene, &[true, true]);
    let records = scene.place.repository().join("shop/identities");
    let check = |scene: &Scene| {
        let report = scene.place.holdpoint(&["check", "--json"]).json();
        let findings = report["findings"].as_array().unwrap().iter();
        let of_identity = findings.filter(|one| one["place"].as_str().unwrap().starts_with("shop/identities"));
        of_identity.map(|one| one["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(check(&scene), [""; 0]);
    std::fs::remove_dir_all(&records).unwrap();
    assert_eq!(check(&scene), ["identity_missing"]);

    let own = scene.place.environment()["DATABASE_URL"].clone();
    let another = scene.cluster.url(&scene.empty_database());
    scene.place.set("DATABASE_URL", &another);
    let before = scene.before();
    for arguments in [&["backup"][..], &LAST] {
        let refused = scene.place.holdpoint(arguments).ended_with(3);
        let told = format!("{}{}", refused.stdout, refused.stderr);
        assert!(told.contains("another database") && told.contains("holdpoint adopt"), "{told}");
    }
    scene.assert_untouched(&before);

    // Its own goes on, and the record is written anew when somebody says so.
    scene.place.set("DATABASE_URL", &own);
    assert_eq!(outcomes(&scene.place.holdpoint(&LAST).ended_with(0).json()), [(made[0].as_str(), "gone")]);
    let adopt = ["adopt", "--json", "--yes", "--reason", "the record was lost"];
    let adopted = scene.place.holdpoint(&adopt).ended_with(0).json();
    assert_eq!(adopted["before"], adopted["now"], "{adopted:#}");
    assert_eq!(check(&scene), [""; 0]);

    // One that is damaged is told, with the way on.
    let mut keys: Vec<_> = std::fs::read_dir(&records).unwrap().map(|one| one.unwrap().path()).collect();
    keys.sort();
    let newest = keys.pop().unwrap();
    std::fs::remove_file(&newest).unwrap();
    std::fs::write(&newest, "x").unwrap();
    assert_eq!(check(&scene), ["unreadable"]);
    let refused = scene.place.holdpoint(&["backup"]).ended_with(8).stderr;
    assert!(refused.contains("holdpoint adopt") && !refused.contains("holdpoint list"), "{refused}");
    scene.place.holdpoint(&adopt).ended_with(0);
    scene.place.backup();
    std::fs::remove_file(&newest).unwrap();
    assert_eq!(check(&scene), [""; 0]);
    scene.place.set("DATABASE_URL", &another);
    scene.place.holdpoint(&["backup"]).ended_with(3);
}
