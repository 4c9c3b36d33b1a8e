//! Drizzle 0.x: a journal orders the migrations, and only what is later than the last row is run.
//!
//! Source: drizzle-orm 0.45.4, `migrator.js` and `pg-core/dialect.js`. The tool reads one row, `ORDER BY created_at DESC
//! LIMIT 1`, once before its loop, and runs each entry of the journal whose `when` is greater. Names and hashes are
//! recorded and never compared.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::drizzle::JOURNAL;
use super::files::sha256;
use super::pending::{State, Unit};
use super::rollback::is_rollback;
use super::tracking::TrackingTable;
use super::{File, Files, Finding, ProjectFiles, SkipReason, Tracking};

#[derive(Deserialize)]
struct Journal {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    when: serde_json::Number,
    tag: String,
}

impl Entry {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds as JavaScript has them: whole numbers below 2^53"
    )]
    fn at(&self) -> i64 {
        self.when.as_i64().or_else(|| self.when.as_f64().map(|when| when as i64)).unwrap_or(i64::MAX)
    }
}

/// A row of the table, and whether an entry of the journal stands for it.
struct Row {
    at: Option<i64>,
    hash: String,
    taken: bool,
}

pub(super) fn compare<'a>(files: &'a ProjectFiles, tracking: &Tracking) -> State<'a> {
    let files = &files.migrations;
    let mut findings = Vec::new();
    let journal = files.get(JOURNAL).map(|file| serde_json::from_slice::<Journal>(&file.content));
    let entries = match journal {
        Some(Ok(journal)) => journal.entries,
        Some(Err(error)) => {
            findings.push(Finding::UnsupportedLayout {
                what: format!("{JOURNAL} cannot be understood: {error}"),
                cure: "bring back the journal that drizzle-kit wrote; a merge may have left its marks in it".to_owned(),
            });
            Vec::new()
        }
        None => Vec::new(),
    };
    let mut rows = tracking.table().map(rows).unwrap_or_default();
    // NULL sorts first in the tool's descending order, and JavaScript takes it for 0.
    let undated = rows.iter().any(|row| row.at.is_none());
    let last = if undated { None } else { rows.iter().filter_map(|row| row.at).max() };
    let applied = matched(&entries, files, &mut rows, &mut findings);

    let mut units = Vec::new();
    let mut runs = Vec::new();
    for (entry, applied) in entries.iter().zip(applied) {
        let path = format!("{}.sql", entry.tag);
        let file = files.get(&path);
        if file.is_none() {
            findings.push(Finding::MissingFile { migration: entry.tag.clone(), path });
        }
        let would_run = last.is_none_or(|last| entry.at() > last);
        if would_run {
            runs.push(entry.tag.clone());
        }
        match (would_run, applied, last) {
            (false, false, Some(last)) => {
                let reason = SkipReason::NotAfterLast { when: entry.at(), last };
                findings.push(Finding::SilentlySkipped { migration: entry.tag.clone(), reason });
            }
            (true, true, _) => {
                let why = if undated {
                    "a row of the tracking table has no created_at, so the tool takes nothing for applied"
                } else {
                    "its \"when\" in meta/_journal.json is later than the last row"
                };
                findings.push(Finding::RunAgain { migration: entry.tag.clone(), why: why.to_owned() });
            }
            _ => {}
        }
        units.push(Unit::new(entry.tag.clone(), file, applied));
    }
    for row in rows.iter().filter(|row| !row.taken) {
        let at = row.at.map_or_else(|| "none".to_owned(), |at| at.to_string());
        let recorded = format!("the row with created_at {at} and hash {}", row.hash);
        findings.push(Finding::Orphan { recorded, refused: false });
    }
    findings.extend(equal_times(&entries));
    findings.extend(strays(&entries, files));
    State { units, runs, findings, callbacks: Vec::new(), numbered: true, wants_baseline: false }
}

/// The time and the hash by which the tool records a migration of the journal.
pub(super) fn recorded(files: &ProjectFiles, name: &str) -> Option<(i64, String)> {
    let journal: Journal = serde_json::from_slice(&files.migrations.get(JOURNAL)?.content).ok()?;
    let entry = journal.entries.iter().find(|entry| entry.tag == name)?;
    Some((entry.at(), files.migrations.get(&format!("{name}.sql")).map(hash).unwrap_or_default()))
}

/// The times of all migrations of the journal.
pub(super) fn times(files: &ProjectFiles) -> Vec<i64> {
    let journal = files.migrations.get(JOURNAL).and_then(|file| serde_json::from_slice::<Journal>(&file.content).ok());
    journal.map(|journal| journal.entries.iter().map(Entry::at).collect()).unwrap_or_default()
}

fn rows(table: &TrackingTable) -> Vec<Row> {
    let row = |row: super::tracking::Row<'_>| Row {
        at: row.number("created_at"),
        hash: row.text("hash").to_owned(),
        taken: false,
    };
    table.rows().map(row).collect()
}

/// Which entries are applied: a row of the same time and hash, else of the same time, else of the same hash.
fn matched(entries: &[Entry], files: &Files, rows: &mut [Row], findings: &mut Vec<Finding>) -> Vec<bool> {
    let hash = |entry: &Entry| files.get(&format!("{}.sql", entry.tag)).map(hash);
    let mut applied = vec![false; entries.len()];
    for rule in 0..3 {
        for (entry, applied) in entries.iter().zip(&mut applied) {
            let fits = |row: &&mut Row| {
                let (time, same) = (row.at == Some(entry.at()), Some(&row.hash) == hash(entry).as_ref());
                !row.taken && [time && same, time, same][rule]
            };
            if *applied {
                continue;
            }
            if let Some(row) = rows.iter_mut().find(fits) {
                (*applied, row.taken) = (true, true);
                let edited = hash(entry).filter(|hash| *hash != row.hash);
                findings.extend(edited.map(|found| Finding::EditedAfterApplied {
                    migration: entry.tag.clone(),
                    recorded: row.hash.clone(),
                    found,
                    refused: false,
                }));
            }
        }
    }
    applied
}

/// The hash that the tool records: of the file's text, which for UTF-8 is that of its bytes.
pub(super) fn hash(file: &File) -> String {
    sha256(file.text().as_bytes())
}

fn equal_times(entries: &[Entry]) -> Vec<Finding> {
    let mut by_time: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for entry in entries {
        by_time.entry(entry.at()).or_default().push(entry.tag.clone());
    }
    let several = by_time.into_iter().filter(|(_, tags)| tags.len() > 1);
    several.map(|(at, migrations)| Finding::EqualTimestamps { at, migrations }).collect()
}

/// Files beside the migrations that no entry names: a merge may have lost their entries.
fn strays(entries: &[Entry], files: &Files) -> Vec<Finding> {
    let named = |file: &File| entries.iter().any(|entry| file.path == format!("{}.sql", entry.tag));
    let stray = |file: &&File| file.path.ends_with(".sql") && !named(file) && !is_rollback(&file.path);
    let found = files.top().filter(stray);
    found
        .map(|file| Finding::SilentlySkipped { migration: file.path.clone(), reason: SkipReason::NotInJournal })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Scene, scene, table};
    use super::super::{DrizzleOptions, Severity, Tool, TrackingTable};
    use super::*;

    const COLUMNS: [&str; 3] = ["id", "hash", "created_at"];

    /// Migrations by tag and time; each file holds its tag.
    fn project(entries: &[(&str, i64)]) -> Scene {
        let journal = entries
            .iter()
            .map(|(tag, when)| format!("{{\"idx\":0,\"when\":{when},\"tag\":\"{tag}\",\"breakpoints\":true}}"));
        let journal = format!("{{\"version\":\"7\",\"entries\":[{}]}}", journal.collect::<Vec<_>>().join(","));
        let names: Vec<String> = entries.iter().map(|(tag, _)| format!("{tag}.sql")).collect();
        let mut files = vec![(JOURNAL, journal.as_str())];
        files.extend(names.iter().zip(entries).map(|(path, (tag, _))| (path.as_str(), *tag)));
        scene(Tool::Drizzle(DrizzleOptions { major: Some(0) }), &files)
    }

    fn rows(scene: &Scene, applied: &[(&str, i64)]) -> Tracking {
        let rows: Vec<Vec<Option<String>>> = applied
            .iter()
            .map(|(tag, when)| {
                let hash = if tag.contains('_') { scene.hash(&format!("{tag}.sql")) } else { tag };
                vec![Some("1".to_owned()), Some(hash.to_owned()), Some(when.to_string())]
            })
            .collect();
        let Tracking::Present(empty) = table(&COLUMNS, &[]) else { panic!() };
        Tracking::Present(TrackingTable { rows, ..empty })
    }

    #[test]
    fn what_is_later_than_the_last_row_is_pending() {
        let scene = project(&[("0_a", 1000), ("1_b", 2000), ("2_c", 3000)]);
        let pending = scene.pending(&rows(&scene, &[("0_a", 1000)]));
        assert_eq!(pending.names(), ["1_b", "2_c"]);
        assert_eq!(pending.runs, ["1_b", "2_c"]);
        assert_eq!(pending.applied, ["0_a"]);
        assert_eq!(pending.said(), []);
        assert_eq!(pending.migrations[0].sha256, scene.hash("1_b.sql"));
        let done = scene.pending(&rows(&scene, &[("0_a", 1000), ("1_b", 2000), ("2_c", 3000)]));
        assert!(done.is_empty() && done.said().is_empty());
    }

    #[test]
    fn a_migration_that_a_merge_made_older_is_said_to_be_skipped() {
        let scene = project(&[("0_a", 1000), ("1_b", 3000), ("2_c", 2000)]);
        let pending = scene.pending(&rows(&scene, &[("0_a", 1000), ("1_b", 3000)]));
        assert_eq!(pending.names(), ["2_c"]);
        assert_eq!(pending.runs, [""; 0]);
        let [(severity, said)] = &pending.said()[..] else { panic!("{:?}", pending.findings) };
        assert_eq!(*severity, Severity::Stop);
        assert!(said.contains("2_c is not applied, and the tool will skip it silently"), "{said}");
        assert!(said.contains("2000 is not later than the last applied 3000"), "{said}");
    }

    #[test]
    fn equal_times_hide_a_migration() {
        let scene = project(&[("0_a", 1000), ("1_b", 1000)]);
        let pending = scene.pending(&rows(&scene, &[("0_a", 1000)]));
        assert_eq!(pending.names(), ["1_b"], "the hash tells which of the two is applied");
        assert_eq!(pending.runs, [""; 0]);
        let said = pending.said();
        assert!(said[0].1.contains("skip it silently"), "{said:?}");
        assert!(said.contains(&(Severity::Warn, "0_a and 1_b have the same time 1000".to_owned())), "{said:?}");
    }

    #[test]
    fn edited_files_orphans_and_restamped_entries_are_told() {
        let scene = project(&[("0_a", 1000), ("1_b", 2000)]);
        let edited = scene.pending(&rows(&scene, &[("otherhash", 1000), ("1_b", 2000)]));
        assert!(
            matches!(&edited.findings[..], [Finding::EditedAfterApplied { migration, refused: false, .. }] if migration == "0_a")
        );
        assert!(edited.is_empty());

        let orphan = scene.pending(&rows(&scene, &[("0_a", 1000), ("1_b", 2000), ("gone", 1500)]));
        assert!(orphan.said()[0].1.contains("created_at 1500"), "{:?}", orphan.said());

        let restamped = scene.pending(&rows(&scene, &[("0_a", 1000), ("1_b", 1200)]));
        assert_eq!(restamped.names(), [""; 0]);
        assert_eq!(restamped.runs, ["1_b"]);
        assert!(
            restamped
                .stops()
                .any(|finding| matches!(finding, Finding::RunAgain { migration, .. } if migration == "1_b"))
        );
    }

    #[test]
    fn a_row_without_time_makes_the_tool_run_everything() {
        let scene = project(&[("0_a", 1000)]);
        let tracking = table(&COLUMNS, &[&["1", scene.hash("0_a.sql"), "NULL"]]);
        let pending = scene.pending(&tracking);
        assert_eq!((pending.names().len(), pending.runs.as_slice()), (0, ["0_a".to_owned()].as_slice()));
        assert!(pending.said()[0].1.contains("has no created_at"));
    }

    #[test]
    fn missing_and_stray_files_and_equal_numbers_are_told() {
        let mut files = vec![(JOURNAL, "{\"entries\":[{\"when\":1,\"tag\":\"0_gone\"},{\"when\":2,\"tag\":\"1_x\"}]}")];
        files.extend([("1_x.sql", ""), ("1_y.sql", ""), ("rollbacks/1_rollback_x.sql", ""), ("1_x.down.sql", "")]);
        let scene = scene(Tool::Drizzle(DrizzleOptions::default()), &files);
        let pending = scene.pending(&Tracking::Absent { others: false });
        assert_eq!(pending.names(), ["1_x"]);
        assert_eq!(pending.runs, [""; 0], "the tool stops at the missing file");
        let said: Vec<String> =
            pending.said().into_iter().map(|(severity, said)| format!("{severity:?} {said}")).collect();
        assert_eq!(
            said,
            [
                "Stop the file of 0_gone, 0_gone.sql, is missing",
                "Stop 1_y.sql is not applied, and the tool will skip it silently: meta/_journal.json does not name it",
                "Warn it is not clear which of 1_x.down.sql, rollbacks/1_rollback_x.sql undoes 1_x",
                "Note there is no s.journal: nothing is recorded as applied",
            ]
        );
        let same = project(&[("0002_a", 1), ("0002_b", 2)]).pending(&Tracking::Absent { others: true });
        let said = same.said();
        assert!(said.contains(&(Severity::Warn, "0002_a and 0002_b have the same number 0002".to_owned())), "{said:?}");
        assert!(
            said.iter().any(|(severity, said)| *severity == Severity::Warn && said.contains("yet the database holds"))
        );
    }

    #[test]
    fn a_broken_journal_stops() {
        for journal in ["<<<<<<< HEAD", "{}", "{\"entries\":[{\"tag\":1}]}", "[]"] {
            let scene = scene(Tool::Drizzle(DrizzleOptions::default()), &[(JOURNAL, journal)]);
            let pending = scene.pending(&Tracking::Absent { others: false });
            assert!(pending.stops().any(|finding| matches!(finding, Finding::UnsupportedLayout { .. })), "{journal}");
        }
    }
}
