//! What runs unattended: nights of two databases with everybody who is told, and runs that meet, are killed, or take too
//! long.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use holdpoint_testkit::{Fault, Rule, S3Server};
use serde_json::{Value, json};

use crate::scene::{Scene, behind_proxy, name};
use crate::web::{Asked, Web};

const SECRET: &str = "shared-between-two";

/// How each step of a database ended.
fn ends(report: &Value, database: &str) -> Vec<String> {
    let of = report["databases"].as_array().unwrap().iter().find(|one| one["database"] == database);
    let steps = of.unwrap_or_else(|| panic!("no {database}: {report:#}"))["steps"].as_array().unwrap();
    steps.iter().map(|one| one["end"].as_str().unwrap().to_owned()).collect()
}

/// The samples of a metrics file, by name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

/// What openssl makes of the body, as a receiver would.
#[expect(clippy::disallowed_methods, reason = "a signature is checked by another program than the one that made it")]
fn is_signed(asked: &Asked) -> bool {
    let time = &asked.headers["x-holdpoint-timestamp"];
    let script = "import hashlib, hmac, sys; print(hmac.new(sys.argv[1].encode(), sys.stdin.buffer.read(), hashlib.sha256).hexdigest())";
    let mut child = Command::new("python3")
        .args(["-c", script, SECRET])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{time}.{}", asked.body).as_bytes()).unwrap();
    let made = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    asked.headers["x-holdpoint-signature"] == format!("v1={}", made.trim())
}

/// What the webhook was told since, as database and event, sorted; every message is signed and holds no secret.
fn told(web: &Web, since: usize) -> Vec<String> {
    let mut told = Vec::new();
    for asked in web.asked().iter().skip(since).filter(|asked| asked.line.starts_with("POST ")) {
        assert!(is_signed(asked), "{asked:?}");
        assert!(!asked.body.contains("s3cret") && !asked.body.contains(SECRET), "{asked:?}");
        let body: Value = serde_json::from_str(&asked.body).unwrap();
        assert!(body["text"].as_str().unwrap().contains("holdpoint cron: "), "{body:#}");
        told.push(format!("{} {}", body["database"].as_str().unwrap(), body["event"].as_str().unwrap()));
    }
    told.sort();
    told
}

fn pings(web: &Web, since: usize) -> Vec<String> {
    let gets = web.asked().into_iter().skip(since).filter(|asked| asked.line.starts_with("GET "));
    gets.map(|asked| asked.line.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn nights_of_two_databases() {
    let mut scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let second = name("billing");
    holdpoint_testkit::sample::load_shop(scene.cluster, &second, 50);
    let web = Web::answering(&[200]);
    let metrics = scene.place.path().join("holdpoint.prom");
    let urls =
        [("SHOP_URL", &scene.database), ("BILLING_URL", &second)].map(|(key, one)| (key, scene.cluster.url(one)));
    for (key, url) in &urls {
        scene.place.set(key, url);
    }
    scene.place.unset("DATABASE_URL").unset("HOLDPOINT_DATABASE");
    scene.place.set("HOOK", &web.url("/hook/s3cret")).set("KEY", SECRET).set("PING", &web.url("/ping/s3cret?a=b"));
    scene.place.write_config(&format!(
        "[database.shop]\nurl = \"env:SHOP_URL\"\n[database.billing]\nurl = \"env:BILLING_URL\"\n\
         [database.trial]\nurl = \"env:NOBODY_SETS_THIS\"\nenvironment = \"staging\"\n\
         [retention]\nkeep_last = 1\nminimum_age = \"0\"\n\
         [cron]\nverify = \"stored\"\nmetrics_file = \"{}\"\nparallel = 2\nmax_proof_age = \"7d\"\n\
         webhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\nping = \"env:PING\"\n",
        metrics.display()
    ));
    let done = ["done"; 4].map(str::to_owned);

    // The first night: everything, and the first proof is told.
    let report = scene.place.holdpoint(&["cron", "--all", "--json"]).ended_with(0).json();
    assert_eq!((ends(&report, "shop"), ends(&report, "billing")), (done.to_vec(), done.to_vec()), "{report:#}");
    assert_eq!(report["databases"].as_array().unwrap().len(), 2, "a trial is no production: {report:#}");
    assert_eq!(report["databases"][0]["steps"][1]["facts"]["verdict"], "proved", "{report:#}");
    assert_eq!(told(&web, 0), ["billing first_proof", "shop first_proof"]);
    assert_eq!(pings(&web, 0), ["/ping/s3cret/start?a=b", "/ping/s3cret?a=b"]);
    let text = std::fs::read_to_string(&metrics).unwrap();
    let first = samples(&text);
    assert_eq!(first["holdpoint_cron_last_run_success{database=\"shop\"}"], 1.0, "{text}");
    assert_eq!(first["holdpoint_restore_points_proven{database=\"billing\"}"], 1.0, "{text}");
    assert!(first["holdpoint_stored_bytes{database=\"shop\"}"] > 1000.0, "{text}");
    assert_eq!(metrics.metadata().unwrap().permissions().mode() & 0o777, 0o644, "the collector is another user");

    // The second: one is gone. The other is backed up all the same, and what its policy does not keep goes.
    let seen = web.asked().len();
    scene.cluster.psql("postgres", &format!("ALTER DATABASE {second} RENAME TO {second}_away"));
    let report = scene.place.holdpoint(&["cron", "--all", "--json"]).ended_with(7).json();
    assert_eq!((ends(&report, "shop"), &report["exit_code"]), (done.to_vec(), &json!(7)), "{report:#}");
    assert_eq!(ends(&report, "billing"), ["failed", "not_run", "not_run", "not_run"], "{report:#}");
    let shop = &report["databases"][1];
    assert_eq!(shop["steps"][2]["facts"]["dropped"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!((told(&web, seen), &shop["events"]), (vec!["billing failed".to_owned()], &json!([])), "{report:#}");
    assert_eq!(pings(&web, seen)[1], "/ping/s3cret/fail?a=b");
    let second_night = samples(&std::fs::read_to_string(&metrics).unwrap());
    let of = |all: &BTreeMap<String, f64>, name: &str| all.get(name).copied();
    assert_eq!(of(&second_night, "holdpoint_cron_last_run_success{database=\"billing\"}"), Some(0.0));
    assert_eq!(of(&second_night, "holdpoint_cron_failures_total{database=\"billing\",kind=\"postgres\"}"), Some(1.0));
    let success = "holdpoint_cron_last_success_timestamp_seconds{database=\"billing\"}";
    assert_eq!(of(&second_night, success), of(&first, success), "the last success stays");
    assert_eq!(
        of(&second_night, "holdpoint_restore_points{database=\"billing\"}"),
        Some(1.0),
        "nothing of it is dropped"
    );

    // The third: it is back. Machines divide the work, and each works on its share alone.
    let seen = web.asked().len();
    scene.cluster.psql("postgres", &format!("ALTER DATABASE {second}_away RENAME TO {second}"));
    let mut worked = Vec::new();
    for shard in ["0/5", "1/5", "4/5"] {
        let report = scene.place.holdpoint(&["cron", "--all", "--shard", shard, "--json"]).ended_with(0).json();
        let databases = report["databases"].as_array().unwrap().clone();
        worked.extend(databases.iter().map(|one| one["database"].as_str().unwrap().to_owned()));
        assert!(databases.len() < 2, "{shard}: {report:#}");
    }
    worked.sort();
    assert_eq!(
        (worked, told(&web, seen)),
        (vec!["billing".to_owned(), "shop".to_owned()], vec!["billing recovered".to_owned()])
    );

    // The fourth: the repository is gone. Nobody can ask it how the nights before went, and everybody is told all the same.
    let seen = web.asked().len();
    let before = samples(&std::fs::read_to_string(&metrics).unwrap());
    let repository = scene.place.environment()["HOLDPOINT_REPOSITORY"].clone();
    scene.place.set("HOLDPOINT_REPOSITORY", "file:///nowhere/at/all");
    let report = scene.place.holdpoint(&["cron", "--all", "--json"]).ended_with(8).json();
    assert!(report["databases"][0]["failure"]["message"].as_str().unwrap().contains("/nowhere/at/all"), "{report:#}");
    assert_eq!(told(&web, seen), ["billing failed", "shop failed"]);
    assert_eq!(pings(&web, seen)[1], "/ping/s3cret/fail?a=b");
    let after = samples(&std::fs::read_to_string(&metrics).unwrap());
    assert_eq!((of(&after, success), of(&before, success).is_some()), (of(&before, success), true));
    assert_eq!(of(&after, "holdpoint_cron_last_run_success{database=\"billing\"}"), Some(0.0));
    let counted = "holdpoint_cron_failures_total{database=\"billing\",kind=\"repository\"}";
    let unrecorded = "holdpoint_cron_unrecorded_failures{database=\"billing\",kind=\"repository\"}";
    assert_eq!((of(&after, counted), of(&after, unrecorded)), (Some(1.0), Some(1.0)));
    scene.place.set("HOLDPOINT_REPOSITORY", &repository);

    // The fifth: it is back, which nobody could write down there, and everybody is told.
    let seen = web.asked().len();
    let report = scene.place.holdpoint(&["cron", "--all", "--json"]).ended_with(0).json();
    assert_eq!(told(&web, seen), ["billing recovered", "shop recovered"], "{report:#}");
    let after = samples(&std::fs::read_to_string(&metrics).unwrap());
    assert_eq!((of(&after, counted), of(&after, unrecorded)), (Some(1.0), None), "{after:?}");
    assert_eq!(report["databases"][0]["history"]["failures"]["repository"], json!(1), "{report:#}");

    // For people, and what a lack of configuration means.
    let words = ["cron", "--database", "shop", "--verify", "none", "-v", "--log-json"];
    let outcome = scene.place.holdpoint(&words).ended_with(0);
    let text = &outcome.stdout;
    assert!(text.contains("no level is asked for") && text.contains("1 database in "), "{text}");
    let log: Vec<Value> = outcome.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps = log.iter().filter(|line| line["fields"]["message"] == "step ended");
    let steps: Vec<&str> = steps.map(|line| line["fields"]["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["backup", "verify", "prune", "check"], "{log:#?}");
    scene.place.write_config(
        "[database.shop]\nurl = \"env:SHOP_URL\"\n[database.billing]\n[cron]\nverify = \"none\"\nverify_every = \"1d\"\n",
    );
    let quiet = scene.place.holdpoint(&["cron", "--database", "shop", "--quiet"]).ended_with(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""), "crond would mail it");
    scene.place.write_config("[database.trial]\nurl = \"env:X\"\nenvironment = \"staging\"\n");
    let refused = scene.place.holdpoint(&["cron", "--all"]).ended_with(2);
    assert!(refused.stderr.contains("--all finds no database"), "{refused:?}");
    scene.cluster.drop_database(&second);
}

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

#[test]
fn a_check_that_found_something_is_due_again() {
    let mut scene = Scene::local();
    let web = Web::answering(&[200]);
    let metrics = scene.place.path().join("holdpoint.prom");
    scene.place.set("HOOK", &web.url("/hook")).set("KEY", SECRET);
    scene.place.write_config(&format!(
        "[cron]\nverify = \"none\"\ncheck_every = \"30d\"\nmetrics_file = \"{}\"\n\
         webhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\n",
        metrics.display()
    ));
    let open =
        |mode| std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(mode)).unwrap();
    let night = |code: i32| {
        let report = scene.place.holdpoint(&["cron", "--json"]).ended_with(code).json();
        report["databases"][0]["steps"][3]["end"].as_str().unwrap().to_owned()
    };
    open(0o755);
    assert_eq!([night(15), night(15)], ["failed", "failed"]);
    open(0o700);
    assert_eq!([night(0), night(0)], ["done", "not_due"]);
    assert_eq!(told(&web, 0), ["shop failed", "shop failed", "shop recovered"]);

    // A configuration that names no database fails before the lease is got: the next run is told as a recovery all the same.
    let seen = web.asked().len();
    let url = scene.place.environment()["DATABASE_URL"].clone();
    scene.place.set("DATABASE_URL", "postgresql://nobody:@[");
    scene.place.holdpoint(&["cron", "--json"]).ended_with(2);
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert_eq!(samples(&text)["holdpoint_cron_failures_total{database=\"shop\",kind=\"usage\"}"], 1.0, "{text}");
    scene.place.set("DATABASE_URL", &url);
    let report = scene.place.holdpoint(&["cron", "--json"]).ended_with(0).json();
    assert_eq!(told(&web, seen), ["shop failed", "shop recovered"], "{report:#}");
    assert_eq!(report["databases"][0]["history"]["failures"], json!({"differences": 2, "usage": 1}), "{report:#}");
}

/// Damage that a check reads is a disproof: the night after knows it, and so does whoever drops.
#[test]
fn damage_that_a_check_reads_is_not_forgotten() {
    let mut scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let web = Web::answering(&[200]);
    scene.place.set("HOOK", &web.url("/hook")).set("KEY", SECRET);
    scene.place.write_config(
        "[cron]\nverify = \"stored\"\nverify_every = \"7d\"\ncheck_every = \"0\"\nread_data = 100\n\
         webhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\n",
    );
    let made = || {
        let manifest = scene.place.backup()["manifest"].clone();
        scene.prove_stored(manifest["id"].as_str().unwrap());
        manifest
    };
    let (older, newer) = (made(), made());
    let key = newer["archive"]["key"].as_str().unwrap();
    let mut bytes = scene.place.object(key);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let path = scene.place.repository().join(key);
    std::fs::write(&path, &bytes).unwrap();

    let first = scene.place.holdpoint(&["cron", "--json"]).ended_with(15).json();
    let steps = |report: &Value| report["databases"][0]["steps"].as_array().unwrap().clone();
    let ended = |report: &Value| -> Vec<String> {
        steps(report).iter().map(|one| one["end"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ended(&first), ["done", "not_due", "off", "failed"], "{first:#}");
    let standing = |id: &Value| {
        let list = scene.place.holdpoint(&["list", "--json"]).ended_with(0).json();
        let points = list["points"].as_array().unwrap().clone();
        let one = points.iter().find(|one| one["id"] == *id).map(|one| one["standing"]["standing"].clone());
        one.unwrap_or_default()
    };
    assert_eq!((standing(&older["id"]), standing(&newer["id"])), (json!("proven"), json!("disproved")));

    // Nobody goes by the newer one: the older one stays, and what is made next is proven at once.
    let plan = scene.place.holdpoint(&["prune", "--dry-run", "--json", "--keep-last", "1", "--minimum-age", "0"]);
    let plan = plan.ended_with(0).json();
    let fate = |id: &Value| {
        let entries = plan["entries"].as_array().unwrap().clone();
        entries.iter().find(|one| one["id"] == *id).unwrap()["fate"].clone()
    };
    assert_eq!((fate(&older["id"]), fate(&newer["id"])), (json!("keep"), json!("drop")), "{plan:#}");
    let second = scene.place.holdpoint(&["cron", "--json"]).ended_with(15).json();
    assert_eq!(ended(&second), ["done", "done", "off", "failed"], "{second:#}");
    assert_eq!(steps(&second)[3]["facts"]["findings"][0]["kind"], "disproved", "{second:#}");
    let third = scene.place.holdpoint(&["cron", "--json"]).ended_with(15).json();
    assert_eq!(ended(&third)[1], "not_due", "proven since: {third:#}");
    assert_eq!(told(&web, 0), ["shop failed", "shop failed", "shop failed"]);
    let first = web.asked().into_iter().map(|asked| asked.body).next().unwrap();
    assert!(first.contains("damaged") && first.contains(newer["id"].as_str().unwrap()), "{first}");

    // Its bytes come back, and somebody proves it: that it works again is told, once.
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    scene.prove_stored(newer["id"].as_str().unwrap());
    let seen = web.asked().len();
    for _ in 0..2 {
        scene.place.holdpoint(&["cron", "--json"]).ended_with(0);
    }
    assert_eq!(told(&web, seen), ["shop recovered"]);
}

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

#[test]
fn through_an_outage_each_failure_is_counted_and_told_once() {
    let mut scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let web = Web::answering(&[200]);
    let metrics = scene.place.path().join("holdpoint.prom");
    scene.place.set("HOOK", &web.url("/hook")).set("KEY", SECRET);
    scene.place.write_config(&format!(
        "[cron]\nverify = \"none\"\nmetrics_file = \"{}\"\nwebhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\n",
        metrics.display()
    ));
    scene.place.holdpoint(&["cron", "--json"]).ended_with(0);
    let (repository, away) = (scene.place.repository().to_owned(), scene.place.path().join("away"));

    // The repository goes while a run is at work: it can neither go on nor give its lease back. The next finds none.
    let mut paused = scene.place.start_paused(&["cron", "--json"], "snapshot-exported");
    paused.wait_for_pause();
    std::fs::rename(&repository, &away).unwrap();
    paused.go_on();
    let first = paused.finish().json();
    let second = scene.place.holdpoint(&["cron", "--json"]).json();
    let mut kinds = BTreeMap::<String, u64>::new();
    for report in [&first, &second] {
        let kind = report["databases"][0]["failure"]["kind"].as_str().unwrap_or_else(|| panic!("{report:#}"));
        *kinds.entry(kind.to_owned()).or_default() += 1;
    }
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert_eq!(text.matches("\nholdpoint_cron_unreleased_run_timestamp_seconds{").count(), 1, "{text}");

    // It is back, with the lease of the first, whose time is over.
    if repository.exists() {
        std::fs::remove_dir_all(&repository).unwrap();
    }
    std::fs::rename(&away, &repository).unwrap();
    let mut record: Value = serde_json::from_slice(&std::fs::read(repository.join("shop/lease")).unwrap()).unwrap();
    assert_ne!(record["holds_for_seconds"], json!(0), "nobody gave it back");
    record["holds_for_seconds"] = json!(1);
    scene.place.put_object("shop/lease", &serde_json::to_vec(&record).unwrap());
    let report = loop {
        let outcome = scene.place.holdpoint(&["cron", "--json"]);
        if outcome.json()["exit_code"] != json!(14) {
            break outcome.ended_with(0).json();
        }
    };
    assert_eq!(report["databases"][0]["history"]["failures"], json!(kinds), "{report:#}");
    assert_eq!(told(&web, 0), ["shop failed", "shop failed", "shop recovered"]);
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert!(!text.contains("unreleased") && !text.contains("unrecorded") && !text.contains("killed"), "{text}");
}

#[test]
fn a_repository_that_does_not_answer_is_given_up_when_the_time_is_over() {
    let scene = Scene::on_s3();
    // Connections are taken, and nobody reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap();
    let nobody = format!("http://{}", silent.local_addr().unwrap());
    assert!(config.contains(&S3Server::shared().endpoint()), "{config}");
    scene.place.write_config(&config.replace(&S3Server::shared().endpoint(), &nobody));
    let report = scene.place.holdpoint(&["cron", "--json", "--max-runtime", "2s"]).ended_with(5).json();
    let one = &report["databases"][0];
    assert_eq!((&one["failure"]["message"], &one["events"]), (&json!("its time is over"), &json!(["failed"])));
    let warnings = one["warnings"].to_string();
    assert!(warnings.contains("did not answer") && !warnings.contains("was given up"), "{report:#}");
}

/// Whoever opened a page for the failure must hear that it is over.
#[test]
fn a_recovery_that_the_webhook_did_not_take_is_told_by_the_next_run() {
    let mut scene = Scene::local();
    std::fs::set_permissions(scene.place.repository(), std::fs::Permissions::from_mode(0o700)).unwrap();
    // What is refused is not tried again within the run.
    let web = Web::answering(&[200, 400, 200]);
    scene.place.set("HOOK", &web.url("/hook")).set("KEY", SECRET);
    scene.place.write_config("[cron]\nverify = \"none\"\nwebhook = \"env:HOOK\"\nwebhook_secret = \"env:KEY\"\n");
    let url = scene.place.environment()["DATABASE_URL"].clone();
    scene.place.set("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/shop");
    let failed = scene.place.holdpoint(&["cron", "--json"]).json();
    assert_eq!(failed["databases"][0]["events"], json!(["failed"]), "{failed:#}");
    scene.place.set("DATABASE_URL", &url);
    let run = || scene.place.holdpoint(&["cron", "--json"]).ended_with(0).json();
    let good = run();
    assert_eq!(good["databases"][0]["history"]["untold"], json!(["recovered"]), "{good:#}");
    assert!(good["databases"][0]["warnings"].to_string().contains("the webhook was not told"), "{good:#}");
    let next = run();
    assert_eq!(
        (&next["databases"][0]["events"], &next["databases"][0]["history"]["untold"]),
        (&json!(["recovered"]), &Value::Null)
    );
    run();
    assert_eq!(told(&web, 0), ["shop failed", "shop recovered", "shop recovered"]);
}

#[test]
fn a_webhook_that_never_answers_holds_nothing_up_after_a_signal() {
    let mut scene = Scene::local();
    // Connections are taken, and nobody reads them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = scene.place.path().join("holdpoint.prom");
    scene.place.set("HOOK", &format!("http://{}/hook", silent.local_addr().unwrap()));
    let sections: String = (0..20).map(|n| format!("[database.shop{n}]\nurl = \"env:DATABASE_URL\"\n")).collect();
    scene.place.write_config(&format!(
        "{sections}[database.wrong]\nurll = \"x\"\n\
         [cron]\nverify = \"none\"\nmetrics_file = \"{}\"\nwebhook = \"env:HOOK\"\n",
        metrics.display()
    ));
    scene.place.unset("HOLDPOINT_DATABASE");
    let mut paused = scene.place.start_paused(&["cron", "--all", "--json"], "snapshot-exported");
    paused.wait_for_pause();
    let began = std::time::Instant::now();
    paused.interrupt();
    let report = paused.finish().ended_with(130).json();
    // One after the other they would take more than three minutes.
    assert!(began.elapsed() < std::time::Duration::from_secs(90), "{:?}", began.elapsed());
    let databases = report["databases"].as_array().unwrap();
    assert_eq!(databases.len(), 21);
    for one in databases {
        assert!(one["warnings"].to_string().contains("the webhook was not told"), "{one:#}");
    }
    let text = std::fs::read_to_string(&metrics).unwrap();
    let counted = samples(&text).into_iter().filter(|(name, _)| name.starts_with("holdpoint_cron_failures_total{"));
    assert_eq!(counted.count(), 21, "{text}");
}

/// As Amazon answers to who may list below a prefix only: "access denied" for what is not there, the first lease of all.
#[test]
fn a_role_that_may_list_below_its_prefix_only_has_its_nights() {
    let (scene, proxy) = behind_proxy();
    for operation in ["GetObject", "HeadObject"] {
        proxy.rule(Rule::new(Fault::HideAbsence).operation(operation).always());
    }
    let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap();
    let policy = "[cron]\nverify = \"stored\"\n[retention]\nkeep_last = 1\nminimum_age = \"0\"\n";
    scene.place.write_config(&format!("{config}{policy}"));
    for _ in 0..2 {
        let report = scene.place.holdpoint(&["cron", "--json"]).ended_with(0).json();
        assert_eq!(ends(&report, "shop"), ["done"; 4], "{report:#}");
    }
    assert_eq!(scene.place.points().len(), 1, "the first one went");
    scene.place.holdpoint(&["check", "--json", "--repair", "--min-age", "0"]).ended_with(0);
    scene.place.holdpoint(&["leftovers", "--remove"]).ended_with(0);
}

/// What a night of one small database asks of the store, by the tables and the sum of docs/scale.md.
#[test]
fn a_night_costs_as_many_requests_as_is_written() {
    let (scene, proxy) = behind_proxy();
    let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap();
    scene.place.write_config(&format!("{config}[cron]\nverify = \"full\"\n[retention]\nkeep_last = 100\n"));
    let night = || {
        let before = proxy.requests().len();
        scene.place.holdpoint(&["cron", "--json"]).ended_with(0);
        let mut counts = BTreeMap::<&str, i64>::new();
        for one in &proxy.requests()[before..] {
            let kind = match one.operation() {
                "PutObject" => "PUT",
                "ListObjects" | "ListMultipartUploads" => "LIST",
                "GetObject" => "GET",
                "HeadObject" | "HeadBucket" => "HEAD",
                "DeleteObject" | "DeleteObjects" => "DELETE",
                // Whether the bucket keeps versions.
                _ => "others",
            };
            *counts.entry(kind).or_default() += 1;
        }
        counts
    };
    // The first one proves what nothing was proven before.
    let nights = [(); 4].map(|()| night());
    let page = std::fs::read_to_string(format!("{}/../docs/scale.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let mut sums = (0, 0);
    for kind in nights[3].keys() {
        let [second, third, fourth] = [1, 2, 3].map(|n: usize| nights[n][kind]);
        assert_eq!(fourth - third, third - second, "{kind}: {nights:#?}");
        let each = fourth - third;
        let run = second - 2 * each;
        let row = format!("\n| {kind} | {run} | {each} |\n");
        assert!(page.contains(&row), "docs/scale.md has no row {row}\n{nights:#?}");
        sums = (sums.0 + run, sums.1 + each);
    }
    let sum = format!("{} + {} × P", sums.0, sums.1);
    assert!(page.contains(&sum), "docs/scale.md does not say {sum}\n{nights:#?}");
}
