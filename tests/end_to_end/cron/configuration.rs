//! What is configured for a night: sections and files that are wrong, who is told by environment and file, and the splay.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::{SECRET, ends, is_signed, pings, samples, told};
use crate::scene::Scene;
use crate::web::Web;

#[test]
fn a_database_whose_section_is_wrong_keeps_no_other_from_its_night() {
    let mut scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let web = Web::answering(&[200]);
    let metrics = scene.place.path().join("holdpoint.prom");
    let url = scene.place.environment()["DATABASE_URL"].clone();
    scene.place.set("SHOP_URL", &url).set("HOOK", &web.url("/hook")).set("KEY", SECRET).set("PING", &web.url("/ping"));
    let rest = format!(
        "[database.shop]\nurl = \"env:SHOP_URL\"\n\
         [cron]\nverify = \"none\"\nmetrics_file = \"{}\"\nping = \"env:PING\"\n\
         webhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\n",
        metrics.display()
    );
    // One without a URL of its own, one that cannot be read, a trial that nobody works on at night anyway, and one whose
    // name no folder can have.
    let wrong = "[database.bare]\n[database.crm]\nurll = \"env:CRM_URL\"\n[database.trial]\nurl = 5\nenvironment = \"staging\"\n\
                 [database.\"z b\"]\nurl = \"env:SHOP_URL\"\n";
    scene.place.write_config(&format!("{wrong}{rest}"));
    let report = scene.place.holdpoint(&["cron", "--all", "--json"]).ended_with(2).json();
    let named: Vec<_> =
        report["databases"].as_array().unwrap().iter().map(|one| one["database"].as_str().unwrap()).collect();
    assert_eq!(named, ["bare", "crm", "shop", "z_b-9c92cf6b"], "{report:#}");
    assert_eq!(ends(&report, "shop"), ["done", "off", "off", "done"], "{report:#}");
    let failure = |at: usize| report["databases"][at]["failure"].clone();
    assert_eq!(
        (&failure(0)["kind"], &failure(1)["kind"], &failure(2)),
        (&json!("usage"), &json!("usage"), &Value::Null)
    );
    let message = |at: usize| failure(at)["message"].as_str().unwrap().to_owned();
    assert!(message(0).contains("[database.bare] names no url"), "{report:#}");
    assert!(message(1).contains("holdpoint.toml:3: unknown key \"urll\" (did you mean \"url\"?)"), "{report:#}");
    assert!(message(3).contains("holdpoint.toml:7: \"z b\" cannot name a database"), "{report:#}");
    assert_eq!(told(&web, 0), ["bare failed", "crm failed", "z_b-9c92cf6b failed"]);
    assert_eq!(pings(&web, 0), ["/ping/start", "/ping/fail"]);
    let text = std::fs::read_to_string(&metrics).unwrap();
    let of = |name: &str| samples(&text).get(name).copied();
    assert_eq!(of("holdpoint_cron_failures_total{database=\"crm\",kind=\"usage\"}"), Some(1.0), "{text}");
    assert_eq!(of("holdpoint_cron_last_run_success{database=\"shop\"}"), Some(1.0), "{text}");
    // A share holds those that are wrong as well, and by itself each is refused before anything is done.
    let shards =
        ["0/2", "1/2"].map(|shard| scene.place.holdpoint(&["cron", "--all", "--shard", shard, "--json"]).json());
    let named = shards.iter().flat_map(|one| one["databases"].as_array().unwrap());
    let mut named: Vec<_> = named.map(|one| one["database"].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, ["bare", "crm", "shop", "z_b-9c92cf6b"], "{shards:#?}");
    let refused = scene.place.holdpoint(&["cron", "--database", "shop"]).ended_with(2);
    assert!(refused.stderr.contains("unknown key \"urll\""), "{refused:?}");
}

/// Nothing is begun, and whoever can still be read of the file is told.
#[test]
fn a_configuration_that_cannot_be_read_is_told_by_what_can() {
    let mut scene = Scene::local();
    let web = Web::answering(&[200]);
    scene.place.set("HOOK", &web.url("/hook/s3cret")).set("KEY", SECRET).set("PING", &web.url("/ping/s3cret"));
    let hook = "webhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\n";
    let ping = "ping = \"env:PING\"\n";
    let cron = |lines: &[&str]| format!("[cron]\nverify = \"none\"\n{}", lines.concat());
    // What is wrong, who is told of it, and how often each.
    let night = |file: String, words: &[&str], code: i32, said: &str, posts: usize, pings: usize| {
        let seen = web.asked().len();
        scene.place.write_config(&file);
        let refused = scene.place.holdpoint(words).ended_with(code);
        assert!(refused.stderr.contains(said), "{refused:?}");
        assert!(!refused.stderr.contains("s3cret") && !refused.stderr.contains(SECRET), "{refused:?}");
        let asked = web.asked().split_off(seen);
        let (told, pinged): (Vec<_>, Vec<_>) = asked.into_iter().partition(|one| one.line.starts_with("POST "));
        assert_eq!((told.len(), pinged.len()), (posts, pings), "{file}{told:?}{pinged:?}");
        for one in told {
            assert!(is_signed(&one) && !one.body.contains("s3cret") && !one.body.contains(SECRET), "{one:?}");
            let body: Value = serde_json::from_str(&one.body).unwrap();
            assert_eq!((&body["event"], &body["database"]), (&json!("failed"), &Value::Null), "{body:#}");
            let text = body["text"].as_str().unwrap();
            assert!(text.contains("nothing was begun") && text.contains(said), "{text}");
        }
        assert!(pinged.iter().all(|one| one.line.starts_with("GET /ping/s3cret/fail")), "{pinged:?}");
    };
    for words in [&["cron", "--all"][..], &["cron"]] {
        night(cron(&[hook, ping, "paralel = 2\n"]), words, 2, "unknown key", 1, 1);
    }
    night(cron(&[hook, ping, "parallel = \"two\"\n"]), &["cron"], 2, "holdpoint.toml:6", 1, 1);
    night(format!("retention = 5\n{}", cron(&[hook, ping])), &["cron"], 2, "holdpoint.toml:1", 1, 1);
    night(cron(&[hook, "ping = 5\n"]), &["cron"], 2, "holdpoint.toml", 1, 0);
    // What is to be signed is not sent unsigned.
    night(cron(&["webhook = \"env:HOOK\"\nwebhook_secret = 5\n", ping]), &["cron"], 2, "holdpoint.toml", 0, 1);
    night(cron(&[hook, "ping = \"env:NOT_SET\"\n"]), &["cron"], 2, "NOT_SET", 1, 0);
    night(
        cron(&[hook, ping, "metrics_file = \"nowhere/at/all.prom\"\n"]),
        &["cron"],
        2,
        "its folder is not there",
        1,
        1,
    );
    // No TOML at all: the exit code and what is printed tell it, and the ping that stays away.
    night(format!("{}[[[", cron(&[hook, ping])), &["cron"], 2, "holdpoint.toml", 0, 0);
    // Other verbs tell nobody.
    night(cron(&[hook, ping, "paralel = 2\n"]), &["list"], 2, "unknown key", 0, 0);
    scene.place.write_config("");
    assert_eq!(scene.place.points(), [""; 0]);
}

#[test]
fn who_is_told_may_come_from_the_environment_alone_and_beats_the_file() {
    let mut scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let (web, others) = (Web::answering(&[200]), Web::answering(&[200]));
    scene.place.set("HOLDPOINT_WEBHOOK", &web.url("/hook/s3cret")).set("HOLDPOINT_WEBHOOK_SECRET", SECRET);
    scene.place.set("HOLDPOINT_PING", &web.url("/ping/s3cret"));
    let night = |scene: &Scene, code: u8, arguments: &[&str]| -> (Vec<String>, Vec<String>) {
        let seen = web.asked().len();
        let ran = scene.place.holdpoint(&[&["cron", "--verify", "stored"], arguments].concat()).ended_with(code.into());
        assert!(![&ran.stdout, &ran.stderr].iter().any(|text| text.contains("s3cret") || text.contains(SECRET)));
        (told(&web, seen).iter().map(|one| one.split_once(' ').unwrap().1.to_owned()).collect(), pings(&web, seen))
    };
    let well = ["/ping/s3cret/start", "/ping/s3cret"].map(str::to_owned).to_vec();
    assert_eq!(night(&scene, 0, &[]), (vec!["first_proof".to_owned()], well.clone()));
    // A file says otherwise, and is beaten.
    scene.place.set("HOOK", &others.url("/hook")).set("KEY", "another").set("PING", &others.url("/ping"));
    scene.place.write_config("[cron]\nwebhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\nping = \"env:PING\"\n");
    assert_eq!(night(&scene, 0, &[]), (Vec::new(), well));
    assert_eq!(others.asked().len(), 0);
    // A file that is no TOML: what the environment says is known all the same.
    scene.place.write_config("[cron\n");
    let seen = web.asked().len();
    scene.place.holdpoint(&["cron"]).ended_with(2);
    let since: Vec<_> = web.asked().into_iter().skip(seen).collect();
    assert!(since.iter().any(|one| one.line.starts_with("POST ") && is_signed(one)), "{since:?}");
    assert!(pings(&web, seen).contains(&"/ping/s3cret/fail".to_owned()), "{since:?}");
    // Set and empty, as CI services set a secret that is not there: nobody is told.
    scene.place.write_config("");
    for name in ["HOLDPOINT_WEBHOOK", "HOLDPOINT_WEBHOOK_SECRET", "HOLDPOINT_PING"] {
        scene.place.set(name, "");
    }
    let seen = web.asked().len();
    scene.place.holdpoint(&["cron", "--verify", "none"]).ended_with(0);
    assert_eq!((web.asked().len(), others.asked().len()), (seen, 0));
}

#[test]
fn a_run_that_waits_its_splay_begins_nothing_and_can_be_ended() {
    let scene = Scene::local();
    scene.place.write_config("[cron]\nverify = \"none\"\nsplay = \"3650d\"\n");
    let mut waiting = scene.place.start(&["cron", "-v"]);
    waiting.wait_until_said("waiting, so that not everybody begins at once");
    assert!(!scene.place.repository().join("shop").exists(), "nothing is begun, not even the lease taken");
    waiting.interrupt();
    waiting.finish().ended_with(130);
    assert_eq!(scene.place.points(), [""; 0]);
    // A flag beats the file.
    scene.place.holdpoint(&["cron", "--splay", "0", "--quiet"]);
    assert_eq!(scene.place.points().len(), 1);
}
