//! The five runbooks' own SQL: every block of theirs, reviewed, as a snapshot.

use std::path::{Path, PathBuf};

use holdpoint_review::{Dialect, MigrationSql, ReviewOptions, RiskPolicy, assess, markdown, review};

use crate::shown::{lines, snapshot};

const RUNBOOKS: [(&str, Dialect); 5] = [
    ("drizzle-blue-green", Dialect::Drizzle),
    ("flyway-node-pg-migrate", Dialect::Flyway),
    ("nuclom-drizzle", Dialect::Psql),
    ("prisma-dubbing-platform", Dialect::Driver),
    ("sdk-db-drizzle-rds", Dialect::Drizzle),
];

fn files(runbook: &str, dialect: Dialect) -> Vec<MigrationSql> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/runbooks").join(runbook);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        MigrationSql::new(name, std::fs::read_to_string(path).expect("it is read"), dialect)
    };
    paths.iter().map(read).collect()
}

#[test]
fn their_sql_is_read_as_it_was_looked_at() {
    for (runbook, dialect) in RUNBOOKS {
        let mut text = String::new();
        for file in files(runbook, dialect) {
            // Each block stands for itself: they are examples, not one migration.
            let name = file.name.clone();
            let reviewed = review(&[file], &ReviewOptions::default());
            text.push_str(&format!("{name}\n"));
            for line in lines(&reviewed) {
                text.push_str(&format!("    {line}\n"));
            }
            for note in &reviewed.files[0].notes {
                text.push_str(&format!("    note: {note:?}\n"));
            }
            for advice in &reviewed.files[0].advice {
                text.push_str(&format!("    advice: {} {}\n", advice.line, advice.rule));
            }
            let assessment = assess(&reviewed, &RiskPolicy::default(), &[], None);
            text.push_str(&format!("    asked: {:?}\n", assessment.requirement));
        }
        snapshot(&format!("runbooks/{runbook}.txt"), &text);
    }
}

#[test]
fn the_text_for_a_pull_request_is_as_it_was_looked_at() {
    for (runbook, dialect) in RUNBOOKS {
        let reviewed = review(&files(runbook, dialect), &ReviewOptions::default());
        let assessment = assess(&reviewed, &RiskPolicy::default(), &[], None);
        snapshot(&format!("runbooks/{runbook}.md"), &markdown(&reviewed, &assessment));
    }
}
