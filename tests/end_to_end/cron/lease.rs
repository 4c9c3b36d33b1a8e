//! Runs that share one database's lease: damaged, held by another, left by one that was killed, or overtaken.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{SECRET, ends, pings, samples, told};
use crate::scene::Scene;
use crate::web::Web;

/// What a machine that lost power in mid-write leaves.
#[test]
fn a_damaged_lease_keeps_runs_off_for_a_while_and_no_longer() {
    let scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    scene.place.backup();
    let lease = scene.place.repository().join("shop/lease");
    std::fs::write(&lease, "{\"format\": 1, \"own").unwrap();
    let cron = ["cron", "--json", "--verify", "none"];
    let refused = scene.place.holdpoint(&cron).ended_with(8).json();
    let hint = refused["databases"][0]["failure"]["hint"].as_str().unwrap();
    assert!(hint.contains("a quarter of an hour old takes it over"), "{refused:#}");
    let found = scene.place.holdpoint(&["check", "--json"]).ended_with(15).json();
    assert_eq!(
        (&found["findings"][0]["kind"], &found["findings"][0]["place"]),
        (&json!("unreadable"), &json!("shop/lease"))
    );
    let file = std::fs::File::open(&lease).unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(901)).unwrap();
    let report = scene.place.holdpoint(&cron).ended_with(0).json();
    assert!(
        report["databases"][0]["warnings"].to_string().contains("could not be read, and was taken over"),
        "{report:#}"
    );
    assert_eq!(scene.place.points().len(), 2);
    let next = scene.place.holdpoint(&cron).ended_with(0).json();
    assert_eq!(next["databases"][0]["warnings"], json!([]), "{next:#}");
}

#[test]
fn runs_that_meet_are_killed_or_take_too_long() {
    const CRON: [&str; 4] = ["cron", "--json", "--verify", "none"];
    let mut scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let metrics = scene.place.path().join("holdpoint.prom");
    let web = Web::answering(&[200]);
    scene.place.set("PING", &web.url("/ping"));
    let file = format!("[cron]\nping = \"env:PING\"\nmetrics_file = \"{}\"\n", metrics.display());
    scene.place.write_config(&file);
    scene.place.holdpoint(&CRON).ended_with(0);
    let points = scene.place.points();

    // Time is over in the middle of the backup, which would take minutes at this rate: nothing of it is left, and the next
    // run may begin at once. What never had a restore point came first, and what is left out for it counts as failed.
    let two = "[database.later]\nurl = \"env:DATABASE_URL\"\n[database.shop]\nurl = \"env:DATABASE_URL\"\n";
    scene.place.write_config(&format!("{file}[backup]\nmax_rate = \"1K\"\n{two}"));
    let mut cut = 0;
    for seconds in ["1s", "2s", "4s", "8s", "16s", "32s", "64s"] {
        let words = [&CRON[..], &["--all", "--max-runtime", seconds]].concat();
        let report = scene.place.holdpoint(&words).ended_with(5).json();
        cut += 1;
        for (at, database) in [(0, "later"), (1, "shop")] {
            assert_eq!(ends(&report, database), ["failed", "not_run", "not_run", "not_run"], "{report:#}");
            let one = &report["databases"][at];
            assert_eq!(one["failure"]["kind"], "could_not_run", "{report:#}");
            assert_eq!(
                (&one["events"], &one["history"]["failures"]),
                (&json!(["failed"]), &json!({"could_not_run": cut}))
            );
        }
        assert_eq!((scene.place.points(), scene.place.unfinished_uploads()), (points.clone(), vec![]));
        // A busy machine may not even begin in that time.
        if !report["databases"][0]["history"]["begun_at"].is_null() {
            break;
        }
        assert_ne!(seconds, "64s", "nothing is ever begun: {report:#}");
    }
    scene.place.write_config(&file);

    // Somebody ends it.
    let mut paused = scene.place.start_paused(&CRON, "snapshot-exported");
    paused.wait_for_pause();
    paused.interrupt();
    let report = paused.finish().ended_with(130).json();
    assert_eq!(report["databases"][0]["steps"][0]["failure"]["kind"], "interrupted", "{report:#}");
    assert_eq!((scene.place.points(), scene.place.unfinished_uploads()), (points.clone(), vec![]));

    // While one works, another is refused, and says nothing about the database.
    let before = std::fs::read_to_string(&metrics).unwrap();
    let mut paused = scene.place.start_paused(&CRON, "snapshot-exported");
    paused.wait_for_pause();
    let seen = web.asked().len();
    let busy = scene.place.holdpoint(&CRON).ended_with(14).json();
    assert!(busy["databases"][0]["failure"]["message"].as_str().unwrap().contains("runs cron on it since"), "{busy:#}");
    assert_eq!(std::fs::read_to_string(&metrics).unwrap(), before);
    let told = scene.place.holdpoint(&["cron", "--verify", "none"]).ended_with(14).stdout;
    assert!(told.contains("another run is at it") && told.contains("nothing failed, 1 busy"), "{told}");
    assert!(!told.contains("failed:") && !told.contains("shop: shop"), "{told}");
    let quiet = scene.place.holdpoint(&["cron", "--quiet", "--verify", "none"]).ended_with(14);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""), "crond would mail it");
    // Of two databases one is worked on: that is a run, and nothing failed in it.
    scene.place.write_config(&format!("{file}{two}"));
    assert_eq!(pings(&web, seen), [""; 0], "the run that is at work pings for itself");
    let both = [&CRON[..], &["--all"]].concat();
    let report = scene.place.holdpoint(&both).ended_with(14).json();
    assert_eq!(ends(&report, "later")[0], "done", "{report:#}");
    assert_eq!(pings(&web, seen), ["/ping/start", "/ping"]);
    scene.place.write_config(&file);
    // It is killed; until its lease is over, nobody can know that.
    paused.kill();
    paused.finish();
    scene.place.holdpoint(&CRON).ended_with(14);
    let lease = scene.place.repository().join("shop/lease");
    let mut record: Value = serde_json::from_slice(&std::fs::read(&lease).unwrap()).unwrap();
    record["holds_for_seconds"] = json!(1);
    scene.place.put_object("shop/lease", &serde_json::to_vec(&record).unwrap());
    let report = loop {
        let outcome = scene.place.holdpoint(&CRON);
        if outcome.json()["exit_code"] != json!(14) {
            break outcome.ended_with(0).json();
        }
    };
    let history = &report["databases"][0]["history"];
    assert_eq!(history["failures"], json!({"could_not_run": cut, "interrupted": 1, "killed": 1}), "{report:#}");
    assert_eq!(report["databases"][0]["events"], json!(["recovered"]), "{report:#}");
    assert_eq!(scene.place.points().len(), points.len() + 1);
    // A repository that nobody named is gone with the machine.
    scene.place.unset("HOLDPOINT_REPOSITORY");
    let refused = scene.place.holdpoint(&CRON).ended_with(3);
    assert!(refused.stdout.contains("--allow-local-repository"), "{refused:?}");
}

/// It stood still for so long that another machine took it for dead.
#[test]
fn a_run_that_another_machine_overtakes_ends_with_5_and_is_told_once() {
    let mut scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let web = Web::answering(&[200]);
    let files = ["one.prom", "other.prom"].map(|name| scene.place.path().join(name));
    scene.place.set("HOOK", &web.url("/hook")).set("KEY", SECRET).set("PING", &web.url("/ping"));
    scene.place.write_config(
        "[cron]\nverify = \"none\"\nwebhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\nping = \"env:PING\"\n",
    );
    let on = |machine: usize| ["cron", "--json", "--metrics-file", files[machine].to_str().unwrap()];
    let words = on(0);
    let mut paused = scene.place.start_paused(&words, "snapshot-exported");
    paused.wait_for_pause();
    let lease = scene.place.repository().join("shop/lease");
    let file = std::fs::File::open(&lease).unwrap();
    let hour = std::time::Duration::from_secs(3600);
    file.set_modified(file.metadata().unwrap().modified().unwrap() - hour).unwrap();
    scene.place.holdpoint(&on(1)).ended_with(0);
    assert_eq!(told(&web, 0), ["shop failed", "shop recovered"], "the other one tells of the kill");
    let seen = web.asked().len();
    paused.go_on();
    let report = paused.finish().ended_with(5).json();
    let one = &report["databases"][0];
    assert_eq!(ends(&report, "shop"), ["done", "off", "off", "done"], "what was made stands: {report:#}");
    assert!(one["failure"]["message"].as_str().unwrap().contains("the lease on the database was lost"), "{report:#}");
    assert!(one["warnings"].to_string().contains("counts this one as killed, and tells of it"), "{report:#}");
    assert_eq!((told(&web, seen), pings(&web, seen)), (vec![], vec!["/ping/fail".to_owned()]));
    let text = std::fs::read_to_string(&files[0]).unwrap();
    assert_eq!(samples(&text)["holdpoint_cron_last_run_success{database=\"shop\"}"], 0.0, "{text}");
    assert!(!text.contains("unrecorded") && !text.contains("last_success_timestamp"), "{text}");
    // Its machine's next run counts nothing again.
    let report = scene.place.holdpoint(&words).ended_with(0).json();
    assert_eq!(report["databases"][0]["history"]["failures"], json!({"killed": 1}), "{report:#}");
    assert_eq!(told(&web, seen), [""; 0]);
    assert_eq!(scene.place.points().len(), 3);

    // Somebody removed the lease, and nobody counts the run: it does so itself.
    let mut paused = scene.place.start_paused(&words, "snapshot-exported");
    paused.wait_for_pause();
    std::fs::remove_file(&lease).unwrap();
    paused.go_on();
    paused.finish().ended_with(5);
    assert_eq!(told(&web, seen), ["shop failed"]);
    let report = scene.place.holdpoint(&words).ended_with(0).json();
    assert_eq!(report["databases"][0]["history"]["failures"], json!({"could_not_run": 1}), "{report:#}");
    assert_eq!(told(&web, seen), ["shop failed", "shop recovered"]);
}
