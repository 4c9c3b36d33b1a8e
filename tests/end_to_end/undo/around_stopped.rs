//! A guard that is killed, or interrupted, while a line beside its command runs: `--before`, a health check, `--after`. `runs`
//! tells the truth, and `undo` or `settle` works from there; nobody undoes, or migrates, while `--after` runs.

use std::time::Duration;

use holdpoint_tests::{Running, wait_until_gone};
use serde_json::Value;

use super::project::Project;

const WITHIN: Duration = Duration::from_secs(300);
const GUARD: [&str; 5] = ["guard", "--json", "--yes", "--level", "stored"];
const COMMAND: [&str; 5] = ["--", "npm", "run", "--silent", "db:migrate"];
/// Says that it began, and ends once it may.
const WAITS: &str = "touch began; while [ ! -e go ]; do sleep 0.05; done; rm -f began";

/// Guards until the line has begun.
fn began(project: &Project, flags: &[&str]) -> Running {
    let began = project.scene.place.work().join("began");
    for left in ["began", "go"] {
        std::fs::remove_file(project.scene.place.work().join(left)).ok();
    }
    let mut guard = project.scene.place.start(&[&GUARD, flags, &COMMAND].concat());
    guard.wait_until("the line runs", WITHIN, || began.exists());
    guard
}

/// Lets the line come to its end.
fn go(project: &Project) {
    std::fs::write(project.scene.place.work().join("go"), "").unwrap();
}

/// Kills the guard alone, and lets the line end; how the run stands once the server has noticed.
#[track_caller]
fn killed(project: &Project, guard: Running) -> String {
    guard.kill();
    guard.finish().ended_with(137);
    go(project);
    wait_until_gone(project.scene.place.path(), Duration::from_secs(300));
    let mut now = project.stands();
    while now.0 == "running" {
        std::thread::sleep(Duration::from_millis(50));
        now = project.stands();
    }
    now.0
}

#[track_caller]
fn shown(project: &Project) -> Value {
    project.scene.place.holdpoint(&["show", "run:latest", "--json"]).ended_with(0).json()
}

/// What the newest step says.
fn remarks(project: &Project) -> String {
    shown(project)["steps"].as_array().unwrap().last().unwrap()["remarks"].to_string()
}

#[track_caller]
fn undone(project: &Project, before: &str) {
    let undone = project.undo("latest", &["--way", "rollback"], 0).json();
    assert_eq!((&undone["state"], project.shop().as_str()), (&"undone".into(), before), "{undone:#}");
    assert_eq!(project.stands(), ("undone".to_owned(), false));
}

#[test]
fn ended_while_before_runs_nothing_ran_and_nothing_is_to_be_undone() {
    let project = Project::that_adds_a_table();
    let flags = ["--before", WAITS, "--after", "touch after"];
    let guard = began(&project, &flags);
    assert_eq!(killed(&project, guard), "interrupted_before_its_command");
    project.undo("latest", &[], 3).failure().says(&["its command never ran"]);
    let guard = began(&project, &flags);
    guard.interrupt();
    let failure = guard.finish().ended_with(130).failure();
    failure.says(&["while what --before runs was at work"]).hints(&["--after has not been run"]);
    assert_eq!(holdpoint_tests::alive_with(project.scene.place.path()), [], "the line is ended");
    assert_eq!(project.stands(), ("refused".to_owned(), false));
    project.undo("latest", &[], 3).failure().says(&["its command never ran"]);
    assert!(!project.has_added_table() && !project.scene.place.work().join("after").exists());
    project.guard(&["--level", "stored"], 0);
    assert!(project.has_added_table(), "nothing is in the way of the next");
}

#[test]
fn ended_while_the_application_is_asked_the_run_is_undone_or_settled() {
    let project = Project::that_adds_a_table();
    let before = project.shop();
    let flags = ["--health-cmd", WAITS, "--health-timeout", "10m", "--after", "touch after"];
    for then in ["undo", "settle", "ctrl-c"] {
        let guard = began(&project, &flags);
        assert_eq!(project.stands().0, "running", "{then}");
        project.undo("latest", &[], 14).failure().says(&["still at work"]);
        match then {
            "ctrl-c" => {
                guard.interrupt();
                let report = guard.finish().ended_with(130).json();
                let judgement = &report["judgement"];
                assert_eq!((&report["state"], &report["interrupted"]), (&"succeeded".into(), &true.into()));
                assert_eq!(judgement["health"], "interrupted", "{report:#}");
                let warnings = report["warnings"].to_string();
                assert!(warnings.contains("--after was not run, because nobody knows"), "{warnings}");
                assert_eq!(project.stands(), ("succeeded".to_owned(), false));
            }
            _ => {
                assert_eq!(killed(&project, guard), "interrupted", "{then}");
                assert_eq!(shown(&project)["found"]["applied"], "fully", "{then}");
            }
        }
        assert!(project.has_added_table() && !project.scene.place.work().join("after").exists(), "{then}");
        if then == "settle" {
            let words = ["settle", "latest", "--reason", "the application is well", "--json"];
            project.scene.place.holdpoint(&words).ended_with(0);
            assert_eq!(project.stands(), ("settled".to_owned(), false));
            // As it was for the next round: by hand, for who declared it done is believed.
            project.scene.sql("DROP TABLE shop.tags; DELETE FROM drizzle.__drizzle_migrations WHERE created_at > 1000");
        } else {
            undone(&project, &before);
        }
    }
}

#[test]
fn while_after_runs_nobody_undoes_and_ended_then_the_run_stands_and_can_be_undone() {
    let project = Project::that_adds_a_table();
    let before = project.shop();
    for then in ["end", "kill", "ctrl-c"] {
        let guard = began(&project, &["--after", WAITS]);
        assert_eq!(project.stands(), ("succeeded".to_owned(), false), "{then}: it is judged");
        assert!(remarks(&project).contains("what --after runs begins"), "{then}");
        project.undo("latest", &["--way", "rollback"], 14).failure().says(&["is still at work", "has its run lock"]);
        assert!(project.has_added_table(), "{then}");
        if then == "kill" {
            assert_eq!(killed(&project, guard), "succeeded");
            assert!(remarks(&project).contains("what --after runs begins"), "nobody says how it went");
        } else {
            if then == "ctrl-c" {
                guard.interrupt();
            }
            go(&project);
            // What has ended cannot be interrupted: maintenance mode is not left half ended.
            let report = guard.finish().ended_with(0).json();
            assert_eq!((&report["state"], &report["interrupted"]), (&"succeeded".into(), &false.into()), "{then}");
            assert!(remarks(&project).contains("what --after runs was run"), "{then}: {}", remarks(&project));
        }
        let steps = shown(&project)["steps"].as_array().unwrap().clone();
        let numbers: Vec<u64> = steps.iter().map(|step| step["n"].as_u64().unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        project.scene.wait_until_left();
        undone(&project, &before);
    }
}
