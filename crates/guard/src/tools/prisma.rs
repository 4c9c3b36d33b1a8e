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
    State { units, runs, findings, callbacks: Vec::new(), numbered: true, wants_baseline: true }
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
        bytes.flat_map(|two| if two[0] == b'0' { &two[1..] } else { two }).copied().collect::<Vec<u8>>()
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

#[cfg(test)]
mod tests {
    use super::super::fixture::{Scene, scene, table};
    use super::super::{PrismaOptions, Severity, Tool, Transactions};
    use super::*;

    const COLUMNS: [&str; 4] = ["migration_name", "checksum", "finished_at", "rolled_back_at"];

    fn project() -> Scene {
        let files = [
            ("1_a/migration.sql", "a\r\nb\n"),
            ("2_b/migration.sql", "b"),
            ("3_c/migration.sql", "c"),
            ("migration_lock.toml", "provider = \"postgresql\"\n"),
        ];
        scene(Tool::Prisma(PrismaOptions::default()), &files)
    }

    #[test]
    fn what_has_no_row_that_counts_is_pending() {
        let scene = project();
        let hash = |path: &str| scene.hash(path).to_owned();
        let (a, b) = (hash("1_a/migration.sql"), hash("2_b/migration.sql"));
        let tracking =
            table(&COLUMNS, &[&["1_a", &a, "now", "NULL"], &["2_b", &b, "NULL", "now"], &["2_b", &b, "now", "now"]]);
        let pending = scene.pending(&tracking);
        assert_eq!(pending.names(), ["2_b", "3_c"]);
        assert_eq!(pending.runs, ["2_b", "3_c"]);
        assert_eq!(pending.said(), []);
    }

    #[test]
    fn a_failed_row_stops_everything() {
        let tracking = table(&COLUMNS, &[&["1_a", "x", "NULL", "NULL"]]);
        let pending = project().pending(&tracking);
        assert_eq!(pending.names(), ["1_a", "2_b", "3_c"]);
        assert_eq!(pending.runs, [""; 0]);
        assert_eq!(pending.said()[0].0, Severity::Stop);
        assert!(pending.said()[0].1.contains("1_a failed earlier"));
    }

    #[test]
    fn checksums_pass_over_line_ends_and_missing_zeros() {
        let scene = project();
        let unix = sha256(b"a\nb\n");
        let windows = sha256(b"a\r\nb\r\n");
        let bytes = |text: &str| (0..text.len()).step_by(2).map(|at| text[at..at + 2].to_owned()).collect::<Vec<_>>();
        let unpadded: String = bytes(&unix).iter().map(|two| two.strip_prefix('0').unwrap_or(two).to_owned()).collect();
        assert!(unpadded.len() < 64);
        for checksum in [scene.hash("1_a/migration.sql"), &unix, &windows, &unpadded] {
            let pending = scene.pending(&table(&COLUMNS, &[&["1_a", checksum, "now", "NULL"]]));
            assert_eq!(pending.said(), [], "{checksum}");
        }
        let pending = scene.pending(&table(&COLUMNS, &[&["1_a", &sha256(b"else"), "now", "NULL"]]));
        assert_eq!(pending.said()[0].0, Severity::Warn);
    }

    #[test]
    fn order_orphans_layouts_and_databases_without_history_are_told() {
        let scene = project();
        let c = scene.hash("3_c/migration.sql").to_owned();
        let pending = scene.pending(&table(&COLUMNS, &[&["3_c", &c, "now", "NULL"], &["0_gone", "x", "now", "NULL"]]));
        assert_eq!(pending.runs, ["1_a", "2_b"]);
        let kinds: Vec<&str> = pending
            .findings
            .iter()
            .map(|finding| match finding {
                Finding::OutOfOrder { effect: OrderEffect::Runs, .. } => "order",
                Finding::Orphan { refused: false, .. } => "orphan",
                Finding::NoRollback { .. } => "rollback",
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(kinds, ["orphan", "order", "order", "rollback", "rollback"]);

        let filled = scene.pending(&Tracking::Absent { others: true });
        assert!(filled.stops().count() == 1 && filled.runs.is_empty(), "deploy refuses (P3005)");
        let empty = scene.pending(&Tracking::Absent { others: false });
        assert_eq!(empty.runs, ["1_a", "2_b", "3_c"]);

        let tool = || Tool::Prisma(PrismaOptions { driver_adapter: true });
        assert_eq!(tool().transactions(), Transactions::None);
        for files in [
            vec![("1_a/ops.json", "")],
            vec![("1_a/notes.md", "")],
            vec![("1_a/migration.sql", ""), ("migration_lock.toml", "provider = \"mysql\"")],
        ] {
            let pending = super::super::fixture::scene(tool(), &files).pending(&table(&COLUMNS, &[]));
            assert!(pending.stops().count() == 1, "{files:?} {:?}", pending.findings);
        }
    }
}
