//! Prisma Migrate: a folder for each migration; `migrate deploy` runs what has no row, and nothing while a row has failed.
//!
//! Source: prisma-engines, `schema-engine/commands/src/commands/{apply_migrations,diagnose_migration_history}.rs`,
//! `schema-connector/src/checksum.rs`. Deploy compares neither checksums nor missing files; `rolled_back_at` takes a row
//! out of account, and several rows of one name are normal.

use std::collections::BTreeMap;

use super::files::sha256;
use super::pending::{State, Unit};
use super::tracking::Row;
use super::{File, Finding, OrderEffect, ProjectFiles, Tracking};

/// Files of a newer layout, in which a migration is no longer one SQL file.
const NEXT_LAYOUT: [&str; 2] = ["ops.json", "migration.json"];

pub(super) fn compare<'a>(files: &'a ProjectFiles, tracking: &Tracking) -> State<'a> {
    let files = &files.migrations;
    let mut findings = Vec::new();
    let mut by_name: BTreeMap<&str, Vec<Row<'_>>> = BTreeMap::new();
    for row in tracking.table().into_iter().flat_map(|table| table.rows()) {
        if row.get("rolled_back_at").is_none() {
            by_name.entry(row.text("migration_name")).or_default().push(row);
        }
    }
    let is_applied = |row: &&Row<'_>| row.get("finished_at").is_some();
    for (name, rows) in &by_name {
        if rows.iter().any(|row| !is_applied(&row)) {
            findings.push(Finding::FailedRow { migration: (*name).to_owned() });
        }
        if !files.top_folders().any(|folder| folder == *name) && rows.iter().any(|row| is_applied(&row)) {
            findings.push(Finding::Orphan { recorded: (*name).to_owned(), refused: false });
        }
    }
    let latest = by_name.iter().rev().find(|(_, rows)| rows.iter().any(|row| is_applied(&row))).map(|(name, _)| *name);
    let (mut units, mut runs) = (Vec::new(), Vec::new());
    for name in files.top_folders() {
        let path = format!("{name}/migration.sql");
        let file = files.get(&path);
        if let Some(next) = NEXT_LAYOUT.iter().find(|next| files.get(&format!("{name}/{next}")).is_some()) {
            findings.push(Finding::UnsupportedLayout {
                what: format!("{name}/{next} belongs to a layout of Prisma that is not known here"),
                cure: "name the pending migrations by --pending-cmd".to_owned(),
            });
        } else if file.is_none() {
            findings.push(Finding::MissingFile { migration: name.to_owned(), path });
        }
        let rows = by_name.get(name);
        let applied_row = rows.and_then(|rows| rows.iter().find(is_applied));
        if rows.is_none() {
            runs.push(name.to_owned());
            if let Some(after) = latest.filter(|latest| name < *latest) {
                let (migration, after) = (name.to_owned(), after.to_owned());
                findings.push(Finding::OutOfOrder { migration, after, effect: OrderEffect::Runs });
            }
        }
        if let (Some(row), Some(file)) = (applied_row, file) {
            findings.extend(edited(name, row.text("checksum"), file));
        }
        units.push(Unit::new(name, file, applied_row.is_some()));
    }
    if let Some(lock) = files.get("migration_lock.toml") {
        findings.extend(other_provider(&lock.text()));
    }
    State { units, runs, findings, numbered: true, wants_baseline: true }
}

fn edited(name: &str, recorded: &str, file: &File) -> Option<Finding> {
    let fits = checksums(file).iter().any(|checksum| same(checksum, recorded));
    let finding = || Finding::EditedAfterApplied {
        migration: name.to_owned(),
        recorded: recorded.to_owned(),
        found: file.sha256.clone(),
        refused: false,
    };
    (!fits).then(finding)
}

/// The checksums that count as the file's: as it is, and with either kind of line ending.
fn checksums(file: &File) -> [String; 3] {
    let unix = file.text().replace("\r\n", "\n");
    [file.sha256.clone(), sha256(unix.as_bytes()), sha256(unix.replace('\n', "\r\n").as_bytes())]
}

/// Very old versions wrote each byte without its leading zero.
fn same(checksum: &str, recorded: &str) -> bool {
    let unpadded = || {
        let bytes = checksum.as_bytes().chunks(2);
        bytes.map(|two| if two[0] == b'0' { &two[1..] } else { two }).flatten().copied().collect::<Vec<u8>>()
    };
    checksum == recorded || recorded.len() < checksum.len() && unpadded() == recorded.as_bytes()
}

fn other_provider(lock: &str) -> Option<Finding> {
    let table: toml::Table = lock.parse().ok()?;
    let provider = table.get("provider")?.as_str()?.to_owned();
    let finding = || Finding::UnsupportedLayout {
        what: format!("migration_lock.toml says that the migrations are for {provider}"),
        cure: "only PostgreSQL is handled; check the folder: --migrations DIR".to_owned(),
    };
    (!matches!(provider.as_str(), "postgresql" | "postgres")).then(finding)
}
