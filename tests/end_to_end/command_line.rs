//! What every verb has in common.

use holdpoint_tests::Place;

use crate::scene::Scene;

const VERBS: [&str; 19] = [
    "init",
    "doctor",
    "backup",
    "list",
    "show",
    "verify",
    "restore",
    "recover-table",
    "compare",
    "adopt",
    "leftovers",
    "plan",
    "guard",
    "undo",
    "runs",
    "settle",
    "status",
    "demo",
    "completions",
];

#[test]
fn every_verb_has_help_with_examples() {
    let place = Place::bare();
    let general = place.holdpoint(&["--help"]).ended_with(0);
    for verb in VERBS {
        assert!(general.stdout.lines().any(|line| line.trim_start().starts_with(verb)), "{verb} is not in the help");
        let help = place.holdpoint(&[verb, "--help"]).ended_with(0);
        assert!(help.stdout.contains("Examples:") && help.stdout.contains(&format!("holdpoint {verb}")), "{help:?}");
        assert!(help.stderr.is_empty(), "{help:?}");
    }
    assert!(!general.stdout.contains("scratch-keeper"));
}

#[test]
fn help_shows_no_value_of_the_environment() {
    let mut place = Place::bare();
    place.set("HOLDPOINT_SCRATCH_URL", "postgresql://ann:hunter2@h/x").set("HOLDPOINT_REPOSITORY", "s3://secret/x");
    for verb in VERBS {
        for flag in ["--help", "-h"] {
            let help = place.holdpoint(&[verb, flag]).ended_with(0);
            assert!(!help.stdout.contains("hunter2") && !help.stdout.contains("s3://secret"), "{}", help.stdout);
        }
    }
}

#[test]
fn version_is_told() {
    let version = Place::bare().holdpoint(&["--version"]).ended_with(0);
    assert!(version.stdout.starts_with("holdpoint "), "{version:?}");
}

#[test]
fn unknown_words_end_with_two() {
    let place = Place::bare();
    for words in
        [&["bakcup"][..], &["backup", "--fast"], &["backup", "--jobs", "0"], &["restore"], &["guard", "--"], &[]]
    {
        let outcome = place.holdpoint(words).ended_with(2);
        assert!(outcome.stdout.is_empty() && !outcome.stderr.is_empty(), "{outcome:?}");
    }
    let failure = place.holdpoint(&["bakcup", "--json"]).ended_with(2).failure();
    assert_eq!(failure.kind, "usage");
}

/// A failure is on stderr with its hint; with `--json` it is the one document on stdout. Every verb alike.
#[test]
fn every_verb_tells_a_failure_in_one_way() {
    let mut place = Place::bare();
    place.set("HOLDPOINT_REPOSITORY", "ftp://nowhere/x").set("DATABASE_URL", "postgresql:///nowhere");
    let given: [(&str, &[&str]); 6] = [
        ("restore", &["--from", "latest", "--into", "postgresql:///nowhere"]),
        ("recover-table", &["t", "--from", "latest"]),
        ("adopt", &["--reason", "x"]),
        ("guard", &["--", "true"]),
        ("undo", &["latest", "--yes"]),
        ("settle", &["latest", "--reason", "x"]),
    ];
    // The demo makes its own places, and completions need none.
    for verb in VERBS.into_iter().filter(|verb| !["demo", "completions"].contains(verb)) {
        let words = given.iter().find(|(name, _)| *name == verb).map_or(&[][..], |(_, words)| words);
        let told = place.holdpoint(&[&[verb], words].concat()).ended_with(2);
        assert!(told.stdout.is_empty(), "{verb}: {told:?}");
        let lines: Vec<&str> = told.stderr.lines().collect();
        assert!(lines[0].starts_with("error: ") && lines.iter().any(|line| line.starts_with("hint: ")), "{told:?}");
        let json = place.holdpoint(&[&[verb, "--json"], words].concat()).ended_with(2);
        assert!(json.stderr.is_empty(), "{verb}: {json:?}");
        let failure = json.failure();
        assert!(lines[0].contains(failure.told.split(": ").next().unwrap()), "{verb}: {failure:?} {lines:?}");
    }
}

#[test]
fn completions_are_scripts() {
    let place = Place::bare();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.holdpoint(&["completions", shell]).ended_with(0).stdout;
        for verb in VERBS {
            assert!(script.contains(verb), "{shell}: {verb}");
        }
    }
    let script = place.holdpoint(&["completions", "bash"]).ended_with(0).stdout;
    std::fs::write(place.work().join("complete.bash"), script).unwrap();
    holdpoint_tests::shell(&place.work(), &place.environment(), "bash -n complete.bash").ended_with(0);
}

/// With `--json` stdout is one document, whatever the log says.
#[test]
fn json_is_one_document() {
    let mut scene = Scene::local();
    scene.place.set("HOLDPOINT_LOG", "debug");
    let target = scene.empty_database();
    let url = scene.cluster.url(&target);
    for words in [
        &["init"][..],
        &["doctor"],
        &["backup"],
        &["backup", "--format", "plain", "--reason", "text"],
        &["backup", "--verify=stored"],
        &["verify", "--dry-run"],
        &["verify"],
        &["list"],
        &["show"],
        &["status"],
        &["runs"],
        &["restore", "--from", "latest", "--into", &url, "--dry-run"],
        &["restore", "--from", "latest", "--into", &url],
        &["recover-table", "shop.orders", "--from", "latest", "--dry-run"],
        &["recover-table", "shop.orders", "--from", "latest"],
        &["leftovers"],
        &["leftovers", "--remove", "--dry-run"],
    ] {
        let outcome = scene.place.holdpoint(&[words, &["--json"]].concat());
        assert!(matches!(outcome.code, 0) || (words == ["doctor"] && outcome.code == 15), "{words:?}: {outcome:?}");
        assert!(outcome.json().is_object(), "{words:?}");
    }
    scene.cluster.drop_database(&target);
}

#[test]
fn people_get_text_and_progress_stays_off_stdout() {
    let scene = Scene::local();
    let made = scene.place.holdpoint(&["backup", "--progress", "log"]).ended_with(0);
    assert!(made.stdout.contains("holdpoint verify"), "the next step is told: {}", made.stdout);
    assert!(made.stderr.contains("copying"), "{}", made.stderr);
    let listed = scene.place.holdpoint(&["list"]).ended_with(0);
    assert!(listed.stdout.contains("unproven"), "{}", listed.stdout);
    let quiet = scene.place.holdpoint(&["verify", "--quiet"]).ended_with(0);
    assert!(quiet.stderr.is_empty(), "{}", quiet.stderr);
    assert!(quiet.stdout.contains("proved"), "{}", quiet.stdout);
    let silent = scene.place.holdpoint(&["backup"]).ended_with(0);
    assert!(silent.stderr.is_empty(), "no terminal, nothing worth knowing: {}", silent.stderr);
    for (words, named) in [
        (["backup"], ["preflight", "copying-data", "publishing-manifest"]),
        (["verify"], ["starting-scratch", "restored", "comparing"]),
    ] {
        let json = scene.place.holdpoint(&[words.as_slice(), &["--progress", "json"]].concat()).ended_with(0);
        let lines: Vec<serde_json::Value> =
            json.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        assert!(lines.iter().all(|line| line["event"].is_string() && line["elapsed_ms"].is_u64()), "{json:?}");
        let phases: Vec<&str> =
            lines.iter().filter(|line| line["event"] == "phase").flat_map(|line| line["phase"].as_str()).collect();
        for name in named {
            assert!(phases.contains(&name), "{words:?}: {phases:?}");
        }
        // What moved is told at least once, when its phase ends.
        assert!(lines.iter().any(|line| line["event"] == "moved" && line["bytes"].as_u64() > Some(0)), "{json:?}");
    }
}

#[test]
fn policies_of_roles_are_json() {
    let mut place = Place::bare();
    place.set("HOLDPOINT_REPOSITORY", "s3://acme-backups/pg");
    for role in ["writer", "verifier", "guard", "pruner", "restorer", "cron"] {
        let policy = place.holdpoint(&["init", "--print-policy", role]).ended_with(0);
        let policy: serde_json::Value = serde_json::from_str(&policy.stdout).unwrap();
        assert!(policy.to_string().contains("acme-backups"), "{policy}");
        // Whoever writes may delete what doctor tried out, and nothing else.
        let statements = policy["Statement"].as_array().unwrap().iter();
        let deletes =
            statements.filter(|one| one["Effect"] == "Allow" && one["Action"].to_string().contains("s3:DeleteObject"));
        let resources = deletes.flat_map(|one| one["Resource"].as_array().unwrap());
        let others = resources.filter(|one| !one.as_str().unwrap().ends_with("/pg/*/.doctor/*")).count();
        assert_eq!(others > 0, matches!(role, "pruner" | "cron"), "{role}: {policy}");
    }
}

#[test]
fn passwords_never_reach_arguments() {
    let scene = Scene::local();
    let server = holdpoint_testkit::Cluster::start(holdpoint_testkit::ClusterOptions::major(18).with_tcp());
    holdpoint_testkit::sample::load_shop(&server, "shop", 40_000);
    let mut place = Place::local();
    place.set("DATABASE_URL", &server.tcp_url("shop")).set("HOLDPOINT_LOG", "trace");
    let secret = server.password().unwrap().to_owned();
    let mut run = place.start_paused(&["backup"], "copying-data");
    run.wait_for_pause();
    let children = holdpoint_tests::processes_with(place.path());
    assert!(children.iter().any(|child| child.line.contains("pg_dump")), "{children:?}");
    for child in children {
        assert!(!child.line.contains(&secret), "{child:?}");
    }
    run.go_on();
    let outcome = run.finish().ended_with(0);
    assert!(!outcome.stderr.contains(&secret), "the log tells the password");
    for key in place.tree().objects.keys().filter(|key| key.ends_with(".json") || key.ends_with(".sql")) {
        assert!(!String::from_utf8_lossy(&place.object(key)).contains(&secret), "{key}");
    }
    drop(scene);
}
