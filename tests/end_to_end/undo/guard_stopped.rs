//! A guard that is killed, or interrupted, at each of its named steps: `runs` tells the truth, and `undo` or `settle` works
//! from there.

use std::time::Duration;

use holdpoint_tests::{Running, wait_until_gone};
use serde_json::json;

use super::project::Project;

const MOMENT: Duration = Duration::from_secs(300);
const GUARD: [&str; 3] = ["guard", "--json", "--yes"];
const COMMAND: [&str; 5] = ["--", "npm", "run", "--silent", "db:migrate"];

fn paused(project: &Project, flags: &[&str], phase: &str) -> Running {
    let mut guard = project.scene.place.start_paused(&[&GUARD, flags, &COMMAND].concat(), phase);
    guard.wait_for_pause();
    guard
}

/// Kills it; how its run stands once the server has noticed.
#[track_caller]
fn killed(project: &Project, guard: Running) -> String {
    guard.kill();
    guard.finish().ended_with(137);
    let mut now = project.stands();
    while now.0 == "running" {
        std::thread::sleep(std::time::Duration::from_millis(50));
        now = project.stands();
    }
    now.0
}

#[track_caller]
fn found(project: &Project) -> serde_json::Value {
    let shown = project.scene.place.holdpoint(&["show", "run:latest", "--json"]).ended_with(0).json();
    shown["found"]["applied"].clone()
}

#[test]
fn killed_before_its_command_there_is_nothing_to_undo_and_killed_at_its_start_it_can_be_settled() {
    let project = Project::that_adds_a_table();
    // Only what rehearses needs a copy, and a young proof would spare it.
    let (stored, full) = (["--level", "stored"], ["--max-age", "0s"]);
    for (phase, flags) in [
        ("planning", &stored[..]),
        ("copying-data", &stored),
        ("recording-verification", &stored),
        ("rehearsing", &full),
        ("rehearsing-rollback", &full),
        ("taking-run-lock", &stored),
    ] {
        let guard = paused(&project, flags, phase);
        assert_eq!(killed(&project, guard), "interrupted_before_its_command", "{phase}");
        project.undo("latest", &[], 3).failure().says(&["cannot be undone"]);
        assert!(!project.has_added_table(), "{phase}");
    }
    let guard = paused(&project, &stored, "running-command");
    // It lost its connections, and lives: what it started may go on.
    project.scene.sql(
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name LIKE 'holdpoint guard%'",
    );
    assert_eq!(project.stands().0, "running");
    let words = ["settle", "latest", "--reason", "it looks dead", "--json"];
    let failure = project.scene.place.holdpoint(&words).ended_with(14).failure();
    failure.says(&["still at work", "lives, without a connection"]);
    project.undo("latest", &[], 14).failure().says(&["still at work"]);
    assert_eq!(killed(&project, guard), "interrupted");
    // Its command never came to run: all is pending, and nothing is to be undone. Who else writes on the server leaves it
    // open whether rows were written.
    let shown = project.scene.place.holdpoint(&["show", "run:latest", "--json"]).ended_with(0).json();
    let found_now = &shown["found"];
    assert_eq!((&found_now["still_pending"], &found_now["schema_changes"]), (&json!(["0001_adds.sql"]), &json!([])));
    assert!(["unchanged", "unknown"].contains(&found_now["applied"].as_str().unwrap()), "{found_now:#}");
    project.undo("latest", &["--way", "rollback"], 3).failure().says(&["nothing of it is there"]);
    project.scene.place.holdpoint(&["settle", "latest", "--reason", "nothing ran", "--json"]).ended_with(0);
    project.guard(&[], 0);
    assert!(project.pending().is_empty());
}

#[test]
fn killed_after_its_command_it_is_judged_afresh_and_undone_or_settled() {
    let project = Project::that_adds_a_table();
    let before = project.shop();
    for phase in ["judging", "recording-run"] {
        let guard = paused(&project, &["--level", "stored"], phase);
        assert_eq!(project.stands().0, "running", "{phase}");
        project.undo("latest", &[], 14).failure().says(&["still at work"]);
        assert_eq!(killed(&project, guard), "interrupted", "{phase}");
        assert_eq!((found(&project), project.has_added_table()), ("fully".into(), true), "{phase}");
        if phase == "judging" {
            let undone = project.undo("latest", &["--way", "rollback"], 0).json();
            assert_eq!(undone["state"], "undone", "{undone:#}");
            assert_eq!((project.shop(), project.pending()), (before.clone(), vec!["0001_adds.sql".to_owned()]));
        }
    }
    project.scene.place.holdpoint(&["settle", "latest", "--reason", "all of it is there", "--json"]).ended_with(0);
    assert_eq!(project.stands(), ("settled".to_owned(), false));
    assert!(project.has_added_table() && project.pending().is_empty());
    project.undo("latest", &["--way", "rollback"], 3);
    assert!(project.has_added_table(), "who declared it done is believed");
}

#[test]
fn interrupted_before_its_command_nothing_runs_and_after_it_the_run_is_judged_to_its_end() {
    let project = Project::that_adds_a_table_alone();
    let (stored, full) = (["--level", "stored"], ["--max-age", "0s"]);
    for (phase, flags) in [
        ("planning", &stored[..]),
        ("recording-verification", &stored),
        ("rehearsing", &full),
        ("rehearsing-rollback", &full),
        ("taking-run-lock", &stored),
    ] {
        let guard = paused(&project, flags, phase);
        guard.interrupt();
        assert_eq!(guard.finish().ended_with(130).failure().kind, "interrupted", "{phase}");
        assert_eq!(project.stands(), ("refused".to_owned(), false), "{phase}");
        // The kernel ends a rehearsal's cell with the guard, a moment after it.
        wait_until_gone(project.scene.place.path(), MOMENT);
        assert!(!project.has_added_table(), "{phase}");
    }
    let guard = paused(&project, &stored, "running-command");
    guard.interrupt();
    let report = guard.finish().ended_with(130).json();
    assert_eq!((&report["state"], &report["interrupted"]), (&"rolled_back".into(), &true.into()), "{report:#}");
    assert!(!project.has_added_table());
    // What has ended cannot be interrupted: it is told what it did.
    for phase in ["judging", "recording-run"] {
        let guard = paused(&project, &stored, phase);
        guard.interrupt();
        let report = guard.finish().ended_with(0).json();
        assert_eq!((&report["state"], &report["interrupted"]), (&"succeeded".into(), &false.into()), "{phase}");
        assert_eq!(project.stands(), ("succeeded".to_owned(), false), "{phase}");
        project.undo("latest", &["--way", "rollback"], 0);
    }
}

#[test]
fn interrupted_while_the_proof_runs_the_restore_point_is_named_and_can_be_proven() {
    let project = Project::that_adds_a_table();
    let guard = paused(&project, &[], "starting-scratch");
    guard.interrupt();
    let failure = guard.finish().ended_with(130).failure();
    let listed = project.scene.place.holdpoint(&["list", "--json"]).ended_with(0).json();
    let point = listed["points"][0]["id"].as_str().unwrap().to_owned();
    let verify = format!("{point} is there, and not proven: holdpoint verify {point}");
    let failure = failure.says(&[&format!("interrupted before restore point {point} was proven")]);
    failure.hints(&["no command was started", &verify]);
    assert_eq!(project.stands(), ("refused".to_owned(), false));
    assert!(!project.has_added_table());
    // The hint is true: it is there whole, and is proven by that.
    project.scene.prove_stored(&point);
    project.guard(&["--level", "stored"], 0);
    assert!(project.has_added_table());
}
