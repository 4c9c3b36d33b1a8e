//! node-pg-migrate: every file of a folder, told apart by its name without the extension.
//!
//! Source: node-pg-migrate 9.0.0, `migration.js`, `migrationLoader.js`, `runner.js`, `sqlMigration.js`,
//! `utils/{comparators,fileNameUtils}.js`. No checksums. Rows and files are compared pair by pair, in the order of rows
//! and of files, up to the shorter list: that is how a missing or an earlier file is noticed, or not.

use std::cmp::Ordering;

use chrono::NaiveDateTime;

use super::collation::{is_uncertain, numeric_compare};
use super::pending::{State, Unit};
use super::prefix::number;
use super::{File, Finding, NodePgMigrateOptions, OrderEffect, ProjectFiles, Tracking};

/// What the tool can load.
const KINDS: [&str; 7] = ["sql", "js", "ts", "cjs", "mjs", "cts", "mts"];

pub(super) fn compare<'a>(options: &NodePgMigrateOptions, files: &'a ProjectFiles, tracking: &Tracking) -> State<'a> {
    let mut findings = Vec::new();
    let mut found: Vec<&File> = files.migrations.top().filter(|file| !file.path.starts_with('.')).collect();
    let numberless: Vec<&&File> = found.iter().filter(|file| number(&file.path).is_empty()).collect();
    if let (Some(file), true) = (numberless.first(), found.len() > 1) {
        findings.push(Finding::UnsupportedLayout {
            what: format!(
                "{} does not begin with a number, and node-pg-migrate refuses a folder with such a file",
                file.path
            ),
            cure: "number it, or move it out of the folder".to_owned(),
        });
    }
    for file in found.iter().filter(|file| !KINDS.contains(&extension(&file.path))) {
        findings.push(Finding::UnsupportedLayout {
            what: format!("{} is no migration, and node-pg-migrate tries to load it as one", file.path),
            cure: "move it out of the folder".to_owned(),
        });
    }
    found.sort_by(|one, other| order(&one.path, &other.path));
    for pair in found.windows(2) {
        let (one, other) = (&pair[0].path, &pair[1].path);
        if time(one) == time(other) && is_uncertain(one, other) {
            findings.push(Finding::OrderUncertain { one: one.clone(), other: other.clone() });
        }
    }
    let rows: Vec<&str> =
        tracking.table().into_iter().flat_map(|table| table.rows()).map(|row| row.text("name")).collect();
    let names: Vec<&str> = found.iter().map(|file| name(&file.path)).collect();
    let out_of_order = out_of_order(&rows, &names, options.check_order, &mut findings);
    for recorded in rows.iter().filter(|row| !names.contains(row)) {
        // Where the order does not show it, the tool does not notice.
        findings.push(Finding::Orphan { recorded: (*recorded).to_owned(), refused: out_of_order });
    }
    let latest = names.iter().rposition(|name| rows.contains(name));
    let mut units = Vec::new();
    for (place, (file, name)) in found.iter().zip(&names).enumerate() {
        let applied = rows.contains(name);
        if let Some(latest) = latest.filter(|latest| !applied && place < *latest) {
            let effect = if options.check_order { OrderEffect::Refuses } else { OrderEffect::Runs };
            let (migration, after) = ((*name).to_owned(), names[latest].to_owned());
            findings.push(Finding::OutOfOrder { migration, after, effect });
        }
        units.push(Unit::new(*name, Some(file), applied));
    }
    let runs = units.iter().filter(|unit| !unit.applied).map(|unit| unit.name.clone()).collect();
    State { units, runs, findings, callbacks: Vec::new(), numbered: true, wants_baseline: false }
}

/// The tool's own check: rows and files are the same, as far as both go.
fn out_of_order(rows: &[&str], names: &[&str], checks: bool, findings: &mut Vec<Finding>) -> bool {
    let Some((row, name)) = rows.iter().zip(names).find(|(row, name)| row != name).filter(|_| checks) else {
        return false;
    };
    // A file that is pending is told by itself; this is about rows in another order than their files.
    if rows.contains(name) {
        findings.push(Finding::UnsupportedLayout {
            what: format!("{row} is recorded where {name} comes by the files' order, and node-pg-migrate refuses that"),
            cure: "bring the missing file back; where the order was changed on purpose: --no-check-order".to_owned(),
        });
    }
    true
}

/// The name that is recorded: without the last extension.
fn name(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(name, _)| name)
}

fn extension(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

fn order(one: &str, other: &str) -> Ordering {
    let by_time = time(one).zip(time(other)).map(|(one, other)| one.cmp(&other));
    by_time.filter(|order| order.is_ne()).unwrap_or_else(|| numeric_compare(one, other))
}

/// The number that a name begins with; 17 digits are an instant in UTC, in milliseconds.
fn time(name: &str) -> Option<i128> {
    let digits = number(name);
    if digits.len() == 17 {
        let at = NaiveDateTime::parse_from_str(digits.get(..14)?, "%Y%m%d%H%M%S").ok()?;
        return Some(i128::from(at.and_utc().timestamp_millis()) + digits[14..].parse::<i128>().ok()?);
    }
    digits.parse().ok()
}

/// The part of a SQL migration that is run upwards, on the lines where it stands: all of it where nothing marks a part.
pub(super) fn up_part(text: &str) -> String {
    let (up, down) = (marker(text, "up"), marker(text, "down"));
    match (up, down) {
        (Some(up), Some(down)) if down > up => blank(&text[..up]) + &text[up..down],
        (Some(up), _) => blank(&text[..up]) + &text[up..],
        // Without a mark for the way up all of it is run, also what is marked as the way down.
        (None, _) => text.to_owned(),
    }
}

/// As many empty lines as the text has.
fn blank(text: &str) -> String {
    "\n".repeat(text.matches('\n').count())
}

/// Whether a SQL migration has a part that undoes it.
pub(super) fn has_down(text: &str) -> bool {
    marker(text, "down").is_some()
}

/// Where a line like `-- Up Migration` begins.
///
/// The tool's own expression is `^\s*--[\s-]*up\s+migration`, in any case; its spaces may be line ends.
fn marker(text: &str, direction: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let rest = line.trim_start_matches(is_space);
        let begins = rest.strip_prefix("--").is_some_and(|rest| {
            let rest =
                text[at + (line.len() - rest.len())..].trim_start_matches(|sign: char| is_space(sign) || sign == '-');
            let word = rest.get(..direction.len()).filter(|word| word.eq_ignore_ascii_case(direction));
            let after = word.map(|_| &rest[direction.len()..]);
            after.is_some_and(|after| {
                let next = after.trim_start_matches(is_space);
                next.len() < after.len() && next.get(..9).is_some_and(|word| word.eq_ignore_ascii_case("migration"))
            })
        });
        if begins {
            return Some(at);
        }
        at += line.len();
    }
    None
}

/// White space as JavaScript's expressions know it.
fn is_space(sign: char) -> bool {
    (sign.is_whitespace() && sign != '\u{85}') || sign == '\u{feff}'
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{scene, table};
    use super::super::{Pending, Rollback, Severity, Tool};
    use super::*;

    const FILES: [(&str, &str); 3] =
        [("1_a.sql", "SELECT 1"), ("2_b.js", "exports.up"), ("10_c.sql", "-- Down Migration\nSELECT 2")];

    fn pending(files: &[(&str, &str)], rows: &[&str], check_order: bool) -> Pending {
        let options =
            NodePgMigrateOptions { check_order, single_transaction: true, schemas: vec!["public".to_owned()] };
        let rows: Vec<Vec<&str>> = rows.iter().map(|name| vec!["1", *name, "now"]).collect();
        let tracking = table(&["id", "name", "run_on"], &rows.iter().map(Vec::as_slice).collect::<Vec<_>>());
        scene(Tool::NodePgMigrate(options), files).pending(&tracking)
    }

    #[test]
    fn names_without_extension_tell_what_is_pending_by_their_numbers() {
        let found = pending(&FILES, &["1_a"], true);
        assert_eq!(found.names(), ["2_b", "10_c"]);
        assert_eq!(found.runs, ["2_b", "10_c"]);
        let said = found.said();
        assert_eq!(said, [(Severity::Warn, "2_b is a program: what it does cannot be read".to_owned())]);
        assert!(found.findings[0].advice().contains("--dry-run"));
        assert_eq!(found.migrations[0].rollback, Rollback::Program);
        assert_eq!(found.migrations[1].rollback, Rollback::SameFile);
    }

    #[test]
    fn an_earlier_file_is_refused_or_run() {
        let refused = pending(&FILES, &["1_a", "10_c"], true);
        assert_eq!((refused.names(), refused.runs.len()), (vec!["2_b"], 0));
        assert_eq!(refused.said()[0].0, Severity::Stop);
        let run = pending(&FILES, &["1_a", "10_c"], false);
        assert_eq!(run.runs, ["2_b"]);
    }

    #[test]
    fn a_missing_file_is_noticed_only_where_the_order_shows_it() {
        let last = pending(&FILES, &["1_a", "2_b", "10_c", "11_gone"], true);
        assert!(last.is_empty() && last.stops().count() == 0, "{:?}", last.findings);
        assert_eq!(last.said()[0].0, Severity::Warn);
        let middle = pending(&FILES, &["1_a", "2_gone", "2_b", "10_c"], true);
        assert!(middle.stops().count() > 0 && middle.is_empty(), "{:?}", middle.findings);
    }

    #[test]
    fn files_that_the_tool_cannot_take_stop() {
        for other in ["README.md", "helper.js"] {
            let found = pending(&[FILES[0], (other, "")], &[], true);
            assert!(found.stops().count() > 0 && found.runs.is_empty(), "{other}");
        }
        assert_eq!(pending(&[FILES[0], (".keep", ""), ("lib/x.js", "")], &[], true).stops().count(), 0);
    }

    #[test]
    fn times_of_17_digits_are_instants() {
        let mut names = ["20240101000000000_b.sql", "1704067199999_a.sql", "1704067200001_c.sql"];
        names.sort_by(|one, other| order(one, other));
        assert_eq!(names, ["1704067199999_a.sql", "20240101000000000_b.sql", "1704067200001_c.sql"]);
    }

    #[test]
    fn parts_are_cut_as_the_tool_cuts_them() {
        let text = "intro;\n-- Up Migration\nup;\n  --- down  MIGRATION x\ndown;\n";
        assert_eq!(up_part(text), "\n-- Up Migration\nup;\n");
        assert!(has_down(text));
        assert_eq!(up_part("-- Down Migration\ndown;\n-- Up Migration\nup;\n"), "\n\n-- Up Migration\nup;\n");
        assert_eq!(up_part("one;\n-- Down Migration\ntwo;"), "one;\n-- Down Migration\ntwo;");
        assert!(!has_down("-- Downmigration\n-- migrate down\n-- down"));
    }
}
