//! What goes with a command: lines before and after it, health checks, a webhook, its output.

use serde_json::Value;

use super::{Bench, judged};
use crate::web::Web;

const MIGRATES: [&str; 3] =
    ["sh", "-c", "psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE shop.made ()' && echo migrated >> log"];

fn log(bench: &Bench) -> String {
    std::fs::read_to_string(bench.scene.place.work().join("log")).unwrap_or_default()
}

#[test]
fn maintenance_mode_is_on_before_and_off_after_success() {
    let bench = Bench::new();
    let flags = ["--before", "echo on $HOLDPOINT_RUN >> log", "--after", "echo off >> log"];
    let report = bench.guard(&flags, &MIGRATES, 0);
    let run = report["run"].as_str().unwrap();
    assert_eq!(log(&bench), format!("on {run}\nmigrated\noff\n"));
}

#[test]
fn maintenance_mode_that_cannot_be_set_stops_the_run() {
    let bench = Bench::new();
    let before = bench.scene.before();
    let flags = ["--before", "exit 7", "--after", "echo off >> log"];
    let failure = bench.try_guard(&flags, &MIGRATES).ended_with(3).failure();
    failure.says(&["--before", "exit code 7"]);
    assert_eq!(log(&bench), "", "neither the command nor --after ran");
    holdpoint_tests::assert_same("the database", &before.database, &bench.scene.before().database);
}

#[test]
fn maintenance_mode_stays_on_after_a_failure_and_goes_off_where_the_command_never_ran() {
    let bench = Bench::new();
    let flags = ["--before", "echo on >> log", "--after", "echo off >> log"];
    let fails = ["sh", "-c", "psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE shop.half ()'; exit 1"];
    let report = bench.guard(&flags, &fails, 11);
    assert!(report["warnings"].to_string().contains("--after was not run"), "{report:#}");
    assert_eq!(log(&bench), "on\n");
    // What --before runs changes the schema, so that the run is refused under its lock.
    let sneaks = "echo on >> log; psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE shop.sneaked ()'";
    let flags = ["--before", sneaks, "--after", "echo off >> log"];
    bench.try_guard(&flags, &MIGRATES).ended_with(3).failure().says(&["the schema changed"]);
    assert_eq!(log(&bench), "on\non\noff\n");
}

#[test]
fn a_health_check_that_turns_green_late_is_waited_for() {
    let bench = Bench::new();
    let web = Web::answering(&[503, 503, 200]);
    let url = web.url("/health");
    let report = bench.guard(&["--health-url", &url, "--health-cmd", "true"], &MIGRATES, 0);
    assert_eq!((judged(&report).2, &report["judgement"]["health"]), ("succeeded", &Value::from("green")));
    assert_eq!(web.asked().iter().filter(|asked| asked.line == "GET /health HTTP/1.1").count(), 3);
}

#[test]
fn a_health_check_that_never_turns_green_fails_the_run_after_it_was_applied() {
    let bench = Bench::new();
    let web = Web::answering(&[500]);
    let url = web.url("/secret-path");
    let flags = ["--health-url", &url, "--health-retries", "1", "--after", "echo off >> log"];
    let outcome = bench.try_guard(&flags, &MIGRATES).ended_with(11);
    let report = outcome.json();
    assert_eq!(
        (judged(&report).2, &report["judgement"]["health"]),
        ("failed", &Value::from("never_green")),
        "{report:#}"
    );
    assert!(report["warnings"].to_string().contains("the application is not well: the health check answered 500"));
    assert!(!report["ways_back"].as_array().unwrap().is_empty(), "{report:#}");
    assert_eq!((log(&bench).as_str(), web.asked().len()), ("migrated\n", 2));
    assert!(!outcome.stdout.contains("secret-path") && !outcome.stderr.contains("secret-path"));
}

#[test]
fn a_health_check_that_never_turns_green_is_undone_where_that_was_asked_for() {
    let bench = Bench::new();
    bench.write("sql/1_adds.sql", "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n");
    bench.write("sql/rollback/1_adds.sql", "DROP TABLE shop.tags;\n");
    let before = bench.scene.before();
    let web = Web::answering(&[503]);
    let url = web.url("/health");
    let script = "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f sql/1_adds.sql && echo migrated >> log";
    let flags = ["--tool", "plain-sql", "--migrations", "sql", "--applied-through", "none"];
    let asks = ["--health-url", &url, "--health-retries", "0", "--after", "echo off >> log", "--on-failure"];
    let accepts = ["restore", "--accept-data-loss-since", "2026-01-01T00:00:00Z"];
    for way in [&["rollback"][..], &accepts] {
        let report = bench.guard(&[&flags, &asks[..], way].concat(), &["sh", "-c", script], 12);
        assert_eq!((judged(&report).2, &report["judgement"]["health"]), ("failed", &Value::from("never_green")));
        let undo = &report["undo"];
        assert_eq!((&undo["state"], &undo["plan"]["way"]), (&"undone".into(), &way[0].into()), "{report:#}");
        holdpoint_tests::assert_same(way[0], &before.database, &bench.scene.before().database);
    }
    assert_eq!(log(&bench), "migrated\noff\nmigrated\noff\n", "maintenance mode is off once it is undone");
    assert_eq!(web.asked().len(), 2);
}

#[test]
fn a_webhook_is_told_of_start_and_end_without_secrets() {
    let mut bench = Bench::new();
    let web = Web::answering(&[200]);
    bench.scene.place.set("HOOK", &web.url("/hook/s3cret-token"));
    bench.write("holdpoint.toml", "[guard]\nnotify = \"env:HOOK\"\n");
    let command =
        ["sh", "-c", "psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE shop.half ()'; exit 4", "PASSWORD=hunter2"];
    let outcome = bench.try_guard(&[], &command).ended_with(11);
    let report = outcome.json();
    let told: Vec<Value> = web.asked().iter().map(|asked| serde_json::from_str(&asked.body).unwrap()).collect();
    let events: Vec<&str> = told.iter().map(|one| one["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["started", "ended"]);
    assert!(told.iter().all(|one| one["run"] == report["run"] && one["restore_point"] == report["point"]));
    assert_eq!((&told[1]["exit_code"], &told[1]["state"]), (&Value::from(4), &Value::from("failed")));
    assert!(told[1]["ways_back"][0]["command"].is_string() && told[1]["text"].is_string(), "{told:#?}");
    let everything = format!("{told:?}{}{}", outcome.stdout, outcome.stderr);
    assert!(!everything.contains("hunter2") && !everything.contains("s3cret"), "{everything}");
}

#[test]
fn a_webhook_that_fails_is_a_warning() {
    let bench = Bench::new();
    let web = Web::answering(&[500]);
    let url = web.url("/hook/s3cret-token");
    let outcome = bench.try_guard(&["--notify", &url], &["true"]).ended_with(0);
    assert!(outcome.json()["warnings"].to_string().contains("the notification was answered with 500"));
    let nobody = "http://127.0.0.1:1/hook/s3cret-token";
    let outcome = bench.try_guard(&["--notify", nobody], &["true"]).ended_with(0);
    let warnings = outcome.json()["warnings"].to_string();
    assert!(warnings.contains("the notification could not be sent") && !warnings.contains("s3cret"), "{warnings}");
    bench.try_guard(&["--notify", "ftp://x"], &["true"]).ended_with(2).failure().says(&["notification"]);
}

#[test]
fn what_a_command_writes_is_shown_and_kept_without_secrets() {
    let bench = Bench::new();
    let script = "echo out; echo err >&2; echo \"url $DATABASE_URL\"; echo API_PASSWORD=hush9; seq 1 500000";
    let outcome = bench.try_guard(&[], &["sh", "-c", script]).ended_with(0);
    assert!(outcome.stderr.contains("out\n") && outcome.stderr.contains("err\n"), "stdout is the document's");
    assert!(outcome.stderr.contains("\n500000\n"), "all of it is shown");
    let report = outcome.json();
    let kept = String::from_utf8(bench.scene.place.object(report["output"].as_str().unwrap())).unwrap();
    let password = bench.scene.cluster.password().unwrap();
    assert!(kept.contains("out\n") && kept.contains("err\n") && kept.ends_with("500000\n"));
    assert!(kept.contains("bytes are left out") && kept.len() < 3 << 20, "{}", kept.len());
    for (what, text) in [("kept", &kept), ("shown", &outcome.stderr)] {
        assert!(!text.contains(password) && !text.contains("hush9"), "a password is {what}");
        assert!(text.contains("url postgres") && text.contains("API_PASSWORD=***\n"), "the rest is {what}");
    }
    // Nothing written, nothing kept.
    assert_eq!(bench.guard(&[], &["true"], 0)["output"], Value::Null);
}
