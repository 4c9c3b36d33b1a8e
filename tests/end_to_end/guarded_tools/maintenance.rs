//! Maintenance mode by `--before` and `--after`: it belongs to one run, and what is still on is told until somebody sees to it.

use serde_json::Value;

use super::{Bench, LONG, wait};

const OFF: &str = "echo off $HOLDPOINT_RUN >> log";
const MIGRATES: [&str; 3] = ["sh", "-c", "psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE shop.made ()'"];

const HOOKS: [&str; 4] = ["--before", "echo second >> log", "--after", "echo over >> log"];

fn log(bench: &Bench) -> String {
    std::fs::read_to_string(bench.scene.place.work().join("log")).unwrap_or_default()
}

fn warned(bench: &Bench) -> String {
    bench.scene.place.holdpoint(&["status", "--json"]).ended_with(0).json()["warnings"].to_string()
}

/// The newest run, as it is listed.
fn newest(bench: &Bench) -> Value {
    bench.scene.place.holdpoint(&["runs", "--json"]).ended_with(0).json()["runs"][0].clone()
}

/// The command in what is told of a run that owes its `--after`.
fn pasted(owed: &str) -> String {
    owed[owed.find("HOLDPOINT_RUN=").unwrap()..].to_owned()
}

#[test]
fn another_run_is_busy_while_one_is_in_its_before_and_switches_nothing_off() {
    let bench = Bench::new();
    let waits = "echo on >> log; while [ ! -e go ]; do sleep 0.1; done";
    let mut first = bench.start(&["--before", waits, "--after", OFF], &MIGRATES);
    first.wait_until("maintenance mode is on", LONG, || log(&bench) == "on\n");
    bench.try_guard(&HOOKS, &MIGRATES).ended_with(14);
    assert_eq!(log(&bench), "on\n");
    bench.write("go", "");
    let report = first.finish().ended_with(0).json();
    assert_eq!(log(&bench), format!("on\noff {}\n", report["run"].as_str().unwrap()));
    assert_eq!(warned(&bench).matches("maintenance").count(), 0);
}

#[test]
fn a_run_that_finds_the_lock_taken_when_it_is_ready_runs_neither_line() {
    let bench = Bench::new();
    let mut late = bench.scene.place.start_paused(
        &[&["guard", "--json", "--level", "stored", "--no-rehearse"], &HOOKS[..], &["--"], &MIGRATES[..]].concat(),
        "taking-run-lock",
    );
    late.wait_for_pause();
    let waits = "echo on >> log; while [ ! -e go ]; do sleep 0.1; done";
    let mut first = bench.start(&["--before", waits, "--after", OFF], &MIGRATES);
    first.wait_until("maintenance mode is on", LONG, || log(&bench) == "on\n");
    late.go_on();
    late.finish().ended_with(14);
    assert_eq!(log(&bench), "on\n", "the first one's maintenance mode stays on");
    bench.write("go", "");
    first.finish().ended_with(0);
}

#[test]
fn a_run_killed_in_its_before_is_told_with_the_line_that_switches_it_off_and_can_be_settled() {
    let bench = Bench::new();
    let waits = "echo on >> log; while [ ! -e go ]; do sleep 0.1; done";
    let mut run = bench.start(&["--before", waits, "--after", OFF], &MIGRATES);
    run.wait_until("maintenance mode is on", LONG, || log(&bench) == "on\n");
    run.kill();
    run.finish();
    bench.write("go", "");
    let listed = newest(&bench);
    let id = listed["run"].as_str().unwrap().to_owned();
    assert_eq!(listed["standing"], "interrupted_before_its_command", "{listed:#}");
    let owed = listed["owed"].as_str().unwrap();
    let told = format!("maintenance mode of run {id} may still be on: its --after did not run: ");
    assert!(owed.starts_with(&told), "{owed}");
    assert!(warned(&bench).contains(&told));
    let settled = bench.scene.place.holdpoint(&["settle", &id, "--reason", "seen", "--json"]).ended_with(0).json();
    assert_eq!(settled["owed"], *owed);
    bench.bare(&pasted(owed));
    assert_eq!(log(&bench), format!("on\noff {id}\n"), "it works as it was pasted");
    assert_eq!((warned(&bench).matches("maintenance").count(), newest(&bench)["owed"].is_null()), (0, true));
    let failure = bench.scene.place.holdpoint(&["settle", &id, "--reason", "again", "--json"]).ended_with(3).failure();
    failure.says(&["settled"]);
}

#[test]
fn a_run_killed_with_maintenance_mode_on_is_told_by_the_next_run_and_by_its_undo() {
    // What others do on a shared server would count as a change by the next run.
    let bench = Bench::alone();
    let hangs =
        "psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE shop.made ()'; echo $$ > pid; touch made; exec sleep 600";
    let mut run = bench.start(&["--before", "echo on >> log", "--after", OFF], &["sh", "-c", hangs]);
    let made = bench.scene.place.work().join("made");
    run.wait_until("its command made something", LONG, || made.exists());
    run.kill();
    run.finish();
    bench.bare("kill -9 $(cat pid) || true");
    wait("nothing of it is at work", || newest(&bench)["standing"] == "interrupted");
    let told = "its --after did not run: HOLDPOINT_RUN=";
    assert!(newest(&bench)["owed"].to_string().contains(told), "{:#}", newest(&bench));
    assert!(warned(&bench).contains("is INTERRUPTED: nobody has settled it"), "{}", warned(&bench));
    let next = bench.guard(&[], &["true"], 0);
    assert!(next["warnings"].to_string().contains(told), "{next:#}");
    let id = newest_but_one(&bench);
    let accept = ["--way", "restore", "--accept-data-loss-since", "2026-01-01T00:00:00Z"];
    let undone =
        bench.scene.place.holdpoint(&[&["undo", &id, "--yes", "--json"][..], &accept].concat()).ended_with(0).json();
    assert!(undone["warnings"].to_string().contains(told), "{undone:#}");
}

#[test]
fn an_after_that_began_and_was_killed_is_not_told_as_one_that_did_not_run() {
    let bench = Bench::new();
    let waits = "touch began; while [ ! -e go ]; do sleep 0.1; done; rm began";
    let mut run = bench.start(&["--before", "echo on >> log", "--after", waits], &MIGRATES);
    let began = bench.scene.place.work().join("began");
    run.wait_until("its --after has begun", LONG, || began.exists());
    let told = "its --after began, and how it ended is not known: look first whether it is still at work";
    run.kill();
    run.finish();
    let owed = newest(&bench)["owed"].as_str().unwrap().to_owned();
    assert!(owed.contains(told) && !owed.contains("did not run"), "{owed}");
    assert!(warned(&bench).contains(told));
    bench.write("go", "");
    wait("the line ended", || !began.exists());
    bench.bare(&pasted(&owed));
}

fn newest_but_one(bench: &Bench) -> String {
    let runs = bench.scene.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
    runs["runs"][1]["run"].as_str().unwrap().to_owned()
}

#[test]
fn an_after_that_fails_is_told_until_a_later_one_runs() {
    let bench = Bench::new();
    let report = bench.guard(&["--before", "echo on >> log", "--after", "exit 4"], &["true"], 0);
    let told =
        format!("maintenance mode of run {} may still be on: its --after failed: ", report["run"].as_str().unwrap());
    assert!(report["warnings"].to_string().contains(&told), "{report:#}");
    assert!(warned(&bench).contains(&told));
    bench.guard(&["--before", "echo on >> log", "--after", OFF], &["true"], 0);
    assert_eq!(warned(&bench).matches("maintenance").count(), 0, "{}", warned(&bench));
}
