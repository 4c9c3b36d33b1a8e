//! Drizzle 1.0: a folder for each migration, told apart by their names.
//!
//! Source: drizzle-orm 1.0.0-rc.5, `migrator.js`, `migrator.utils.js`, `up-migrations/pg.js`, `pg-core/async/session.js`.
//! What is not recorded by name is run, in the order of `localeCompare`. A table of 0.x gets its columns and names
//! first, by the time to the second, then by hash; a row that fits none makes the tool refuse.

use super::collation::{is_uncertain, locale_compare};
use super::drizzle_journal::hash;
use super::pending::{State, Unit};
use super::rollback::is_rollback;
use super::tracking::{Row, TrackingTable};
use super::{File, Finding, OrderEffect, ProjectFiles, SkipReason, Tracking};

/// How many digits of a name are its time.
const TIME_DIGITS: usize = 14;

pub(super) fn compare<'a>(files: &'a ProjectFiles, tracking: &Tracking) -> State<'a> {
    let files = &files.migrations;
    let mut findings = Vec::new();
    let with_file = |name: &'a str| Some((name, files.get(&format!("{name}/migration.sql"))?));
    let mut migrations: Vec<(&str, &File)> = files.top_folders().filter_map(with_file).collect();
    migrations.sort_by(|(one, _), (other, _)| locale_compare(one, other));
    for pair in migrations.windows(2).filter(|pair| is_uncertain(pair[0].0, pair[1].0)) {
        findings.push(Finding::OrderUncertain { one: pair[0].0.to_owned(), other: pair[1].0.to_owned() });
    }
    for (name, _) in migrations.iter().filter(|(name, _)| !has_time(name)) {
        findings.push(Finding::UnsupportedLayout {
            what: format!("{name} does not begin with a time of {TIME_DIGITS} digits, which Drizzle records"),
            cure: "name the folder as drizzle-kit generate does".to_owned(),
        });
    }
    let records = tracking.table().map(|table| records(table, &migrations, &mut findings)).unwrap_or_default();
    let applied = |name: &str| records.iter().any(|record| record.name.as_deref() == Some(name));
    let latest = migrations.iter().rev().map(|(name, _)| *name).find(|name| applied(name));
    let mut units = Vec::new();
    for (name, file) in &migrations {
        let is_applied = applied(name);
        if let Some(after) = latest.filter(|latest| !is_applied && locale_compare(name, latest).is_lt()) {
            let (migration, after) = ((*name).to_owned(), after.to_owned());
            findings.push(Finding::OutOfOrder { migration, after, effect: OrderEffect::Runs });
        }
        let edited =
            records.iter().find(|record| record.name.as_deref() == Some(*name)).filter(|one| one.hash != hash(file));
        findings.extend(edited.map(|record| Finding::EditedAfterApplied {
            migration: (*name).to_owned(),
            recorded: record.hash.clone(),
            found: hash(file),
            refused: false,
        }));
        units.push(Unit::new(*name, Some(file), is_applied));
    }
    let known = |name: &str| migrations.iter().any(|(one, _)| *one == name);
    for name in records.iter().filter_map(|record| record.name.as_deref()).filter(|name| !known(name)) {
        findings.push(Finding::Orphan { recorded: name.to_owned(), refused: false });
    }
    let flat = files.top().filter(|file| file.path.ends_with(".sql") && !is_rollback(&file.path));
    findings.extend(
        flat.map(|file| Finding::SilentlySkipped { migration: file.path.clone(), reason: SkipReason::NotLookedAt }),
    );
    let runs = units.iter().filter(|unit| !unit.applied).map(|unit| unit.name.clone()).collect();
    State { units, runs, findings, callbacks: Vec::new(), numbered: true, wants_baseline: false }
}

fn has_time(name: &str) -> bool {
    name.len() >= TIME_DIGITS && name.bytes().take(TIME_DIGITS).all(|byte| byte.is_ascii_digit())
}

/// A row with the name by which the tool will know it.
struct Record {
    name: Option<String>,
    hash: String,
}

fn records(table: &TrackingTable, migrations: &[(&str, &File)], findings: &mut Vec<Finding>) -> Vec<Record> {
    let record = |row: Row<'_>, name: Option<String>| Record { name, hash: row.text("hash").to_owned() };
    if table.has("name") {
        return table.rows().map(|row| record(row, row.get("name").map(str::to_owned))).collect();
    }
    findings.push(Finding::TableUpgrade { table: table.name.to_string() });
    let mut unknown = 0;
    let found = table.rows().map(|row| {
        let name = name_of(row, migrations);
        unknown += usize::from(name.is_none());
        record(row, name)
    });
    let found = found.collect();
    if unknown > 0 {
        findings.push(Finding::UnsupportedLayout {
            what: format!(
                "{unknown} rows of {} fit no migration, and Drizzle 1.0 will not take over the table",
                table.name
            ),
            cure: "run drizzle-kit up on the files that were applied, and check out the state that was deployed last"
                .to_owned(),
        });
    }
    found
}

/// The migration that the tool takes an old row for.
fn name_of(row: Row<'_>, migrations: &[(&str, &File)]) -> Option<String> {
    let second = row.number("created_at")?.div_euclid(1000);
    let of_time: Vec<&(&str, &File)> = migrations.iter().filter(|(name, _)| seconds(name) == Some(second)).collect();
    let by_hash = |(_, file): &&&(&str, &File)| hash(file) == row.text("hash");
    let found = match of_time.as_slice() {
        [one] => Some(*one),
        // The last of those with a hash is the one in the tool's map.
        [] => migrations.iter().rev().find(|(_, file)| hash(file) == row.text("hash")),
        several => several.iter().find(|one| by_hash(one)).copied(),
    };
    found.map(|(name, _)| (*name).to_owned())
}

/// The time in a name, in seconds since 1970.
fn seconds(name: &str) -> Option<i64> {
    let part = |from: usize, to: usize| name.get(from..to)?.parse::<u32>().ok();
    let day = chrono::NaiveDate::from_ymd_opt(i32::try_from(part(0, 4)?).ok()?, part(4, 6)?, part(6, 8)?)?;
    let at = day.and_hms_opt(part(8, 10)?, part(10, 12)?, part(12, 14)?)?;
    Some(at.and_utc().timestamp())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{scene, table};
    use super::super::{DrizzleOptions, Severity, Tool};
    use super::*;

    const COLUMNS: [&str; 4] = ["id", "hash", "created_at", "name"];
    const FILES: [(&str, &str); 3] = [
        ("20240101000000_a/migration.sql", "a"),
        ("20240102000000_b/migration.sql", "b"),
        ("20240103000000_c/migration.sql", "c"),
    ];

    fn tool(major: u32) -> Tool {
        Tool::Drizzle(DrizzleOptions { major: Some(major) })
    }

    #[test]
    fn names_tell_what_is_pending_also_out_of_order() {
        let scene = scene(tool(1), &FILES);
        let hash = |nth: usize| scene.hash(FILES[nth].0);
        let tracking = table(
            &COLUMNS,
            &[
                &["1", hash(0), "1", "20240101000000_a"],
                &["2", hash(2), "1", "20240103000000_c"],
                &["3", "h", "1", "gone"],
            ],
        );
        let pending = scene.pending(&tracking);
        assert_eq!(pending.names(), ["20240102000000_b"]);
        assert_eq!(pending.runs, ["20240102000000_b"]);
        assert_eq!(
            pending.said(),
            [
                (
                    Severity::Warn,
                    "20240102000000_b is pending and comes before 20240103000000_c, which is applied; the tool runs it now".to_owned()
                ),
                (Severity::Warn, "gone is recorded as applied and has no file here".to_owned()),
            ]
        );
        let edited = table(&COLUMNS, &[&["1", "other", "1", "20240101000000_a"]]);
        let pending = scene.pending(&edited);
        assert!(matches!(pending.findings[0], Finding::EditedAfterApplied { refused: false, .. }));
    }

    #[test]
    fn a_table_of_the_old_version_is_matched_by_time_then_by_hash() {
        let scene = scene(tool(1), &FILES);
        // 2024-01-01 00:00:00 UTC and a bit; the second row fits by its hash alone.
        let rows: &[&[&str]] = &[&["1", "edited", "1704067200123"], &["2", scene.hash(FILES[1].0), "17"]];
        let pending = scene.pending(&table(&COLUMNS[..3], rows));
        assert_eq!(pending.names(), ["20240103000000_c"]);
        let said = pending.said();
        assert!(
            said.contains(&(Severity::Note, "the tool will add columns to s.journal first".to_owned())),
            "{said:?}"
        );
        let unmatched = scene.pending(&table(&COLUMNS[..3], &[&["1", "unknown", "17"]]));
        assert!(unmatched.stops().count() == 1 && unmatched.runs.is_empty(), "{:?}", unmatched.findings);
    }

    #[test]
    fn layouts_of_the_other_version_stop() {
        let journal = ("meta/_journal.json", "{\"entries\":[]}");
        for (major, files) in [
            (1, vec![journal]),
            (0, FILES.to_vec()),
            (1, vec![("0000_flat.sql", "")]),
            (1, vec![("x/migration.sql", "")]),
        ] {
            let pending = scene(tool(major), &files).pending(&table(&COLUMNS, &[]));
            assert!(pending.stops().next().is_some(), "{major} {files:?}: {:?}", pending.findings);
        }
    }
}
