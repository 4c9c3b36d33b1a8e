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
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds as JavaScript has them: whole numbers below 2^53")]
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
    State { units, runs, findings, numbered: true, wants_baseline: false }
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
