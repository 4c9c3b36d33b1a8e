//! What runs unattended: nights of two databases with everybody who is told, and what the other tests read of such runs.

mod check;
mod configuration;
mod lease;
mod store;
mod webhook;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::scene::{Scene, name};
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
