//! What the review says, against what a real server does: every entry of the corpus runs in a transaction that is rolled
//! back, after data, locks and files of the tables were compared.

use holdpoint_review::{Dialect, MigrationSql, ReviewOptions, Unreviewable, review};
use holdpoint_testkit::Cluster;

use crate::shown::corpus;
use crate::truth::{Agreement, Watched};

const SCHEMA: &str = include_str!("../fixtures/schema.sql");

fn compare(major: u32) {
    let cluster = Cluster::new(major);
    cluster.create_database("corpus");
    cluster.psql("corpus", SCHEMA);
    let watched = Watched::new(&cluster, "corpus", "app, public");
    let before = watched.look();
    let mut agreement = Agreement::default();
    for entry in corpus() {
        watched.compare(entry.trim(), &entry, &before, false, &mut agreement);
    }
    agreement.assert_nothing_is_missed();
    // Without the catalog nobody knows what a view, a default or a check calls, and which trigger or rule fires.
    let unknowable = |entry: &&String| !["wiping", "stamped", "checked"].iter().any(|name| entry.contains(name));
    let silent: Vec<&String> = agreement.silent.iter().filter(unknowable).collect();
    assert!(silent.is_empty(), "{silent:#?}");
    // An entry that the server refuses shows nothing; what is said beyond the truth wears the reader out.
    let Agreement { ran, lost, named, exact, beyond, refused, .. } = agreement;
    let enough = ran > 375 && lost > 280 && named > 170 && exact > 500;
    assert!(enough, "{ran} ran, {lost} losses, {named} named, {exact} locks; refused: {refused:#?}");
    assert!(beyond.len() < 4, "{beyond:#?}");
}

/// The scripts of PostgreSQL itself and of its extensions: thousands of statements of every kind.
#[test]
fn every_script_that_the_server_brings_is_read() {
    let cluster = Cluster::new(18);
    let mut open = vec![cluster.bin_directory().join("../share")];
    let (mut files, mut statements, mut broken) = (0, 0, Vec::new());
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let Some(text) = std::fs::read(&path).ok().and_then(|bytes| String::from_utf8(bytes).ok()) else {
                continue;
            };
            if path.extension().is_none_or(|extension| extension != "sql") {
                continue;
            }
            files += 1;
            let file = MigrationSql::new(path.display().to_string(), text, Dialect::Psql);
            let reviewed = review(&[file], &ReviewOptions::default());
            statements += reviewed.files[0].statements.len();
            for (_, finding) in reviewed.findings().filter(|(_, one)| one.unreviewable == Some(Unreviewable::Broken)) {
                broken.push(format!("{}:{}", path.display(), finding.line));
            }
        }
    }
    assert!(files > 100 && statements > 4_000, "{files} files, {statements} statements");
    assert!(broken.len() < 20, "{broken:#?}");
}

#[test]
fn nothing_that_is_lost_on_18_is_missed() {
    compare(18);
}

#[test]
fn nothing_that_is_lost_on_17_is_missed() {
    compare(17);
}

#[test]
fn nothing_that_is_lost_on_16_is_missed() {
    compare(16);
}

#[test]
fn nothing_that_is_lost_on_15_is_missed() {
    compare(15);
}

#[test]
fn nothing_that_is_lost_on_14_is_missed() {
    compare(14);
}
