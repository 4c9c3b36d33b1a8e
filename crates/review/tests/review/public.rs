//! Migrations of others (`tests/fixtures/public`): all are read, and all run against a real server in their order.

use std::path::{Path, PathBuf};

use holdpoint_review::{Dialect, MigrationSql, Review, ReviewOptions, RiskClass, Unreviewable, review};
use holdpoint_testkit::Cluster;

use crate::shown::{line, snapshot};
use crate::truth::{Agreement, Watched};

const PROJECTS: [&str; 3] = ["graphile-worker", "procrastinate", "synapse"];

/// The migrations of a project by name, with what their tool puts in.
fn migrations(project: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/public").join(project);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    let read = |path: &PathBuf| {
        let text =
            std::fs::read_to_string(path).expect("it is read").replace(":GRAPHILE_WORKER_SCHEMA", "graphile_worker");
        (path.file_name().expect("a name").to_string_lossy().into_owned(), text)
    };
    paths.iter().map(read).collect()
}

fn read(sql: &str) -> Review {
    review(&[MigrationSql::new("m.sql", sql, Dialect::Driver)], &ReviewOptions { advice: false, ..Default::default() })
}

#[test]
fn every_statement_of_theirs_is_understood() {
    let mut files = 0;
    for project in PROJECTS {
        let mut text = String::new();
        for (name, sql) in migrations(project) {
            files += 1;
            let reviewed = read(&sql);
            let broken = |one: &Unreviewable| matches!(one, Unreviewable::Broken | Unreviewable::BrokenBody);
            let broken: Vec<_> =
                reviewed.findings().filter(|(_, one)| one.unreviewable.as_ref().is_some_and(broken)).collect();
            assert!(broken.is_empty(), "{project}/{name}: {broken:#?}");
            let risks: Vec<&str> = reviewed.risks().into_iter().map(RiskClass::word).collect();
            text.push_str(&format!("{name}: {}\n", risks.join(", ")));
            for (_, finding) in reviewed.findings().filter(|(_, finding)| finding.risks() != [RiskClass::Additive]) {
                text.push_str(&format!("    {} {}\n", finding.line, line(finding)));
            }
        }
        snapshot(&format!("public/{project}.txt"), &text);
    }
    assert!(files > 110, "{files} files");
}

#[test]
fn what_they_do_on_a_real_server_is_said_before() {
    compare(18);
}

#[test]
fn what_they_do_on_the_oldest_server_is_said_before() {
    compare(14);
}

fn compare(major: u32) {
    let cluster = Cluster::new(major);
    let mut all = Agreement::default();
    for project in PROJECTS {
        let database = project.replace('-', "_");
        cluster.create_database(&database);
        if project == "graphile-worker" {
            // Its tool makes the schema before the first migration.
            cluster.psql(&database, "create schema graphile_worker");
        }
        let watched = Watched::new(&cluster, &database, "public");
        for (name, sql) in migrations(project) {
            let before = watched.look();
            watched.compare(&format!("{project}/{name}"), &sql, &before, true, &mut all);
            watched.fill();
            if project == "graphile-worker" && ("000002.sql".."000011.sql").contains(&name.as_str()) {
                // A later one of theirs refuses to run while a job is being worked on.
                let free = "update graphile_worker.jobs set locked_at = null; update graphile_worker.job_queues set locked_at = null";
                cluster.psql(&database, &format!("set session_replication_role = replica; {free}"));
            }
        }
    }
    all.assert_nothing_is_missed();
    let Agreement { ran, lost, named, exact, refused, beyond, .. } = all;
    assert!(refused.is_empty(), "{refused:#?}");
    assert!(
        ran > 115 && lost > 12 && named > 12 && exact > 100,
        "{ran} ran, {lost} losses, {named} named, {exact} locks"
    );
    assert!(beyond.len() < 3, "{beyond:#?}");
}
