//! The rows of the table "Bad input" in `docs/exit-codes.md`: each ends with its code, a clear error and a hint, and
//! leaves database and repository as they were.

mod configuration;
mod connection;
pub(crate) mod database;
mod pg_dump;
mod plan;
mod production;
mod repository;
mod restore_point;
mod scratch;
mod store;
mod target;
mod volume;

use std::collections::BTreeSet;
use std::path::Path;

use holdpoint_testkit::workspace_directory;
use holdpoint_tests::Failure;

use crate::scene::Scene;

/// Runs a verb that must fail, and demands its exit code and that nothing was touched.
#[track_caller]
pub(crate) fn refused(scene: &Scene, arguments: &[&str], code: i32) -> Failure {
    let before = scene.before();
    let failure = failed(scene, arguments, code);
    scene.assert_untouched(&before);
    failure
}

/// Runs a verb that must fail, and demands its exit code.
#[track_caller]
pub(crate) fn failed(scene: &Scene, arguments: &[&str], code: i32) -> Failure {
    scene.place.holdpoint(&[arguments, &["--json"]].concat()).ended_with(code).failure()
}

/// Every row of the table names tests that exist, and every test of this folder stands in a row.
#[test]
fn the_table_is_the_tests() {
    let page = include_str!("../../../docs/exit-codes.md").split("## Bad input").nth(1).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    let mut named = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells.len(), 5, "{row}");
        let tests = cells[4].trim_end_matches(" |").split(", ");
        named.extend(tests.map(|test| test.trim_matches('`').to_owned()));
    }
    let own = [
        ("configuration", include_str!("configuration.rs")),
        ("connection", include_str!("connection.rs")),
        ("database", include_str!("database.rs")),
        ("pg_dump", include_str!("pg_dump.rs")),
        ("plan", include_str!("plan.rs")),
        ("production", include_str!("production.rs")),
        ("repository", include_str!("repository.rs")),
        ("restore_point", include_str!("restore_point.rs")),
        ("scratch", include_str!("scratch.rs")),
        ("store", include_str!("store.rs")),
        ("target", include_str!("target.rs")),
        ("volume", include_str!("volume.rs")),
        ("phases", include_str!("../phases/mod.rs")),
        ("phases::upload", include_str!("../phases/upload.rs")),
        ("clock", include_str!("../../../crates/operations/tests/operations/clock.rs")),
    ];
    // Of all others, some tests alone are about bad input.
    let others = modules(&workspace_directory().join("tests/end_to_end"), "");
    let mut others: Vec<(&str, &str)> =
        others.iter().map(|(module, source)| (module.as_str(), source.as_str())).collect();
    others.push(("control", include_str!("../../../crates/rds/tests/control/main.rs")));
    others.push(("control::cut_over", include_str!("../../../crates/rds/tests/control/cut_over.rs")));
    let (own, others) = (tests(&own), tests(&others));
    let missing: Vec<&String> = own.difference(&named).collect();
    assert!(missing.is_empty(), "in no row: {missing:?}");
    let absent: Vec<&String> = named.iter().filter(|name| !own.contains(*name) && !others.contains(*name)).collect();
    assert!(absent.is_empty(), "no such tests: {absent:?}");
}

/// The table of guarded runs by tool names tests that exist, and has no empty cell.
#[test]
fn the_table_of_tools_names_tests() {
    let page = include_str!("../../../docs/testing.md").split("## Guarded runs by tool").nth(1).unwrap();
    let page = page.split("\n## ").next().unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert_eq!(rows.len(), 12, "{rows:#?}");
    let modules = modules(&workspace_directory().join("tests/end_to_end"), "");
    let sources: Vec<(&str, &str)> = modules.iter().map(|(name, source)| (name.as_str(), source.as_str())).collect();
    let there = tests(&sources);
    for row in rows {
        let cells: Vec<&str> = row.trim_matches(['|', ' ']).split(" | ").collect();
        assert!(cells.len() == 5 && cells.iter().all(|cell| cell.len() > 2), "{row}");
        for test in row.split('`').skip(1).step_by(2).filter(|word| word.contains("::")) {
            assert!(there.contains(test), "no such test: {test}");
        }
    }
}

/// The modules of a folder with their sources.
fn modules(folder: &Path, within: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        let module = |name: &str| if within.is_empty() { name.to_owned() } else { format!("{within}::{name}") };
        if path.is_dir() {
            found.extend(modules(&path, &module(&name)));
        } else if let Some(name) = name.strip_suffix(".rs") {
            let module = if name == "mod" { within.to_owned() } else { module(name) };
            found.push((module, std::fs::read_to_string(path).unwrap()));
        }
    }
    found
}

/// Names of the tests in sources.
fn tests(sources: &[(&str, &str)]) -> BTreeSet<String> {
    let mut written = BTreeSet::new();
    for (module, source) in sources {
        for test in source.split("test]\n").chain(source.split("test(flavor = \"multi_thread\")]\n")).skip(1) {
            let name = test.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            written.extend(name.map(|name| format!("{module}::{name}")));
        }
    }
    written
}
