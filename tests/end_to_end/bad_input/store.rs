//! What an S3 store answers that the tests' engine cannot be made to: canned answers between it and the program.

use std::time::{Duration, Instant};

use holdpoint_testkit::fake::FakePrograms;
use holdpoint_testkit::{ADMIN, Fault, FaultProxy, NEWEST, Rule, S3Server};
use holdpoint_tests::{Failure, Place};
use serde_json::json;

use super::failed;
use crate::scene::{Scene, behind_proxy};

const WRITES: [&str; 2] = ["PutObject", "CreateMultipartUpload"];

/// Answers every request of some operations so, during one backup that must end with 8 and leave nothing.
fn answered(scene: &Scene, proxy: &FaultProxy, operations: &'static [&'static str], answer: &Fault) -> Failure {
    let before = scene.place.tree();
    for _ in 0..20 {
        proxy.push_when(|request| operations.contains(&request.operation()), answer.clone());
    }
    let failure = failed(scene, &["backup"], 8);
    assert!(proxy.pending() < 20, "the answer was never given");
    proxy.clear();
    assert_eq!(before, scene.place.tree());
    assert_eq!(scene.place.unfinished_uploads(), [""; 0]);
    failure
}

#[test]
fn clock_of_this_machine_is_off() {
    let (scene, proxy) = behind_proxy();
    let skewed = Fault::s3_error(403, "RequestTimeTooSkewed");
    answered(&scene, &proxy, &WRITES, &skewed).says(&["clock"]).hints(&["clock"]);
    answered(&scene, &proxy, &["GetObject"], &skewed).says(&["clock"]).hints(&["clock"]);
    scene.place.backup();
}

#[test]
fn a_store_that_lives_at_another_time() {
    let (scene, proxy) = behind_proxy();
    scene.place.backup();
    let before = scene.place.tree();
    for date in ["Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"] {
        let headers = vec![("date".to_owned(), date.to_owned())];
        proxy.push_for("HeadBucket", Fault::Answer { status: 200, headers, body: String::new() });
        failed(&scene, &["backup"], 3).says(&["clock shows", "the store's shows"]).hints(&["timedatectl"]);
        assert_eq!(proxy.pending(), 0, "nobody asked for the time");
    }
    assert_eq!((before, scene.place.unfinished_uploads()), (scene.place.tree(), vec![]));
    scene.place.backup();
}

#[test]
fn wrong_region() {
    let (scene, proxy) = behind_proxy();
    let Fault::Answer { status, mut headers, body } = Fault::s3_error(301, "PermanentRedirect") else { panic!() };
    headers.push(("x-amz-bucket-region".into(), "eu-west-1".into()));
    let answer = Fault::Answer { status, headers, body };
    answered(&scene, &proxy, &["GetObject"], &answer).says(&["region", "eu-west-1"]).hints(&["AWS_REGION"]);
}

#[test]
fn key_that_may_not_be_used() {
    let (scene, proxy) = behind_proxy();
    for code in ["KMS.DisabledException", "KMS.NotFoundException", "AccessDenied"] {
        let failure = answered(&scene, &proxy, &WRITES, &Fault::s3_error(400, code));
        assert!(failure.told.contains(code), "{failure:?}");
    }
    scene.place.backup();
}

#[test]
fn store_that_is_busy_for_a_while_or_loses_answers() {
    let (scene, proxy) = behind_proxy();
    for fault in [
        Fault::s3_error(503, "SlowDown"),
        Fault::s3_error(500, "InternalError"),
        Fault::ResetAtOnce,
        Fault::ResetAfterRequestBytes(100),
        Fault::LoseResponse,
    ] {
        for operation in ["PutObject", "UploadPart", "CompleteMultipartUpload", "GetObject"] {
            proxy.push_for(operation, fault.clone());
        }
        let before = scene.place.points().len();
        scene.place.backup();
        proxy.clear();
        assert_eq!(scene.place.points().len(), before + 1, "{fault:?}");
        scene.place.holdpoint(&["verify", "--level", "stored"]).ended_with(0);
    }
}

#[test]
fn store_that_dies() {
    let server: &'static S3Server = Box::leak(Box::new(S3Server::start()));
    let bucket = server.new_bucket();
    let mut place = Place::bare();
    place.use_bucket(server, &bucket, &server.endpoint());
    place.holdpoint(&["init"]).ended_with(0);
    let scene = Scene::with(place);
    scene.place.backup();
    let before = scene.place.tree();
    let mut run = scene.place.start_paused(&["backup", "--json"], "copying-data");
    run.wait_for_pause();
    server.kill();
    run.go_on();
    assert_eq!(run.finish().ended_with(8).failure().kind, "repository");
    server.resume();
    // It answers for a while before it finds its own files again.
    let deadline = Instant::now() + Duration::from_secs(300);
    let path = format!("/{bucket}/backups/holdpoint.json");
    while server.request(&ADMIN, "GET", &path, &[], &[], b"").status != 200 {
        assert!(Instant::now() < deadline, "the store does not come back");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(before, scene.place.tree());
    scene.place.backup();
    scene.place.prove();
}

/// Neither a stall nor an end: what trickles in would take hours.
#[test]
fn store_whose_answers_trickle() {
    let (scene, proxy) = behind_proxy();
    scene.place.backup();
    let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap();
    let trickle = || {
        let slow = Fault::Trickle(Duration::from_secs(3));
        proxy.rule(Rule::new(slow).operation("GetObject").target("manifest.json").always());
    };
    let reads: [&[&str]; 4] = [&["list"], &["status"], &["check"], &["prune", "--dry-run", "--keep-last", "1"]];
    // The time-outs of three attempts are over in some twenty seconds.
    scene.place.write_config(&format!("{config}[repository.timeouts]\nstall = \"5s\"\nattempts = 3\n"));
    trickle();
    let began = Instant::now();
    failed(&scene, &["list"], 8).says(&["manifest.json", "timed out", "given up after 3 attempts"]);
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
    proxy.clear();
    // With times that no test would wait for, one signal ends it.
    let patient = "[repository.timeouts]\nanswer = \"600s\"\nrequest = \"1800s\"\nstall = \"600s\"\n";
    scene.place.write_config(&format!("{config}{patient}"));
    let cron: &[&str] = &["cron"];
    for arguments in reads.iter().chain([&cron]) {
        trickle();
        let met = proxy.met();
        let mut run = scene.place.start(arguments);
        run.wait_until("it reads a manifest", Duration::from_secs(300), || proxy.met() > met);
        let signalled = Instant::now();
        run.interrupt();
        run.finish().ended_with(130);
        assert!(signalled.elapsed() < Duration::from_secs(60), "{arguments:?}: {:?}", signalled.elapsed());
        proxy.clear();
    }
    scene.place.write_config(&config);
    scene.place.holdpoint(&["list"]).ended_with(0);
}

/// A writer that may not even abort: the upload remains, and that is told and listed.
#[test]
fn aborting_refused_too() {
    let (mut scene, proxy) = behind_proxy();
    // More than a few parts.
    scene.sql("CREATE TABLE shop.noise AS SELECT n, md5(n::text) || md5((-n)::text) AS body FROM generate_series(1, 800000) n");
    let programs = FakePrograms::new(NEWEST);
    programs.kill_after("pg_dump", 55_000_000);
    scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &programs.path().to_string_lossy());
    let before = scene.place.tree();
    for _ in 0..20 {
        proxy.push_for("AbortMultipartUpload", Fault::s3_error(403, "AccessDenied"));
    }
    failed(&scene, &["backup", "--compress", "none", "--jobs", "1"], 7)
        .says(&["pg_dump", "upload", "archive.dump"])
        .hints(&["holdpoint leftovers"]);
    proxy.clear();
    assert_eq!(before, scene.place.tree());
    assert_eq!(scene.place.unfinished_uploads().len(), 1);
    let report = scene.place.holdpoint(&["leftovers", "--json"]).ended_with(0).json();
    assert_eq!(report["leftovers"][0]["kind"], "unfinished_upload", "{report:#}");
    scene.place.holdpoint(&["leftovers", "--remove", "--min-age", "0s"]).ended_with(0);
    assert_eq!(scene.place.unfinished_uploads(), [""; 0]);
}

#[test]
fn bytes_that_are_spoiled_on_the_way_are_told_from_those_that_rotted() {
    let (scene, proxy) = behind_proxy();
    // Long enough to be read in ranges, of which the store keeps no checksum.
    scene.sql(
        "CREATE TABLE shop.noise AS SELECT i, repeat(md5(i::text), 64) AS text FROM generate_series(1, 6000) AS i",
    );
    scene.place.holdpoint(&["backup", "--compress", "none"]).ended_with(0);
    let spoiled = |times: Option<usize>| {
        let fits = |request: &holdpoint_testkit::SeenRequest| {
            request.target.contains("archive.dump")
                && request.header("range").is_some_and(|range| range == "bytes=0-8388607")
        };
        let rule = holdpoint_testkit::Rule::new(Fault::FlipResponseByte(3_000_000)).when(fits);
        proxy.rule(match times {
            Some(times) => rule.times(times),
            None => rule.always(),
        });
    };
    let verify = ["verify", "--level", "stored", "--json"];
    spoiled(Some(1));
    let made = scene.place.holdpoint(&verify).ended_with(0).json()["verification"].clone();
    assert_eq!(proxy.pending(), 0, "nothing was spoiled: {made:#}");
    let note =
        |made: &serde_json::Value| made["notes"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
    assert!(made["verdict"] == "proved" && note(&made).contains("arrived damaged once"), "{made:#}");
    spoiled(Some(1));
    let report = scene.place.holdpoint(&["check", "--read-data", "--json"]).ended_with(0).json();
    assert_eq!((&report["findings"], proxy.pending()), (&serde_json::json!([]), 0), "{report:#}");
    assert!(note(&report).contains("arrived damaged once"), "{report:#}");
    // So is what is compared, of which the store keeps a checksum.
    let index = Rule::new(Fault::FlipResponseByte(1)).operation("GetObject").target("/index");
    proxy.rule(index.times(1));
    let made = scene.place.holdpoint(&verify).ended_with(0).json()["verification"].clone();
    assert!(made["verdict"] == "proved" && note(&made).contains("arrived damaged once"), "{made:#}");
    // Every time: nobody can tell that from a disk that rotted.
    spoiled(None);
    let made = scene.place.holdpoint(&verify).ended_with(4).json()["verification"].clone();
    assert!(made["verdict"] == "disproved" && note(&made).contains("read twice"), "{made:#}");
    proxy.clear();
}

/// The store keeps a checksum of each record.
#[test]
fn a_manifest_that_rotted_hides_no_other() {
    let (scene, proxy) = behind_proxy();
    let _both = [scene.place.backup(), scene.place.backup()];
    let made = scene.place.points();
    proxy.rule(
        Rule::new(Fault::FlipResponseByte(1)).operation("GetObject").target(format!("{}/manifest", made[0])).always(),
    );
    let listed = scene.place.holdpoint(&["list", "--json"]).ended_with(15).json();
    assert_eq!((&listed["points"][0]["id"], &listed["unreadable"][0]["id"]), (&json!(made[1]), &json!(made[0])));
    let checked = scene.place.holdpoint(&["check", "--json"]).ended_with(15).json();
    let found: Vec<_> =
        checked["findings"].as_array().unwrap().iter().map(|one| (&one["kind"], &one["place"])).collect();
    assert_eq!(found, [(&json!("unreadable"), &json!(made[0]))]);
    let pruned = scene.place.holdpoint(&["prune", "--json", "--keep-last", "1"]).ended_with(0).json();
    assert_eq!(pruned["unreadable"][0]["id"], *made[0], "it stays: {pruned:#}");
    proxy.clear();
    assert_eq!(scene.place.points(), made);
    // What is compared, and the roles: a restore point without them was once proven for good.
    for (object, point) in ["index", "globals"].into_iter().zip(&made) {
        let spoilt = Rule::new(Fault::FlipResponseByte(1)).operation("GetObject");
        proxy.rule(spoilt.target(format!("{point}/{object}")).always());
        let checked = scene.place.holdpoint(&["check", "--read-data", "--json"]).ended_with(15).json();
        let of_it = |one: &&serde_json::Value| one["place"] == **point && one["kind"] == "damaged";
        let found = checked["findings"].as_array().unwrap().iter().find(of_it);
        let reason = found.unwrap_or_else(|| panic!("{object}: {checked:#}"))["reason"].as_str().unwrap();
        let told = checked["notes"].to_string();
        assert!(reason.contains(object) && told.contains("everything was read twice"), "{checked:#}");
        let words = ["verify", point, "--level", "stored", "--json"];
        let verified = scene.place.holdpoint(&words).ended_with(4).json();
        assert_eq!(verified["verification"]["verdict"], "disproved", "{object}: {verified:#}");
        proxy.clear();
    }
}
