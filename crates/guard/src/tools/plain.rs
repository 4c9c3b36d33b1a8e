//! A folder of SQL files without a tool: what was applied is kept in the ledger.
//!
//! `docs/decisions/0013-plain-folders-keep-their-list-in-the-ledger.md` says why it is not a table of the database.

use std::collections::BTreeMap;

use super::collation::numeric_compare;
use super::pending::{State, Unit};
use super::prefix::number;
use super::rollback::is_rollback;
use super::{Error, File, Finding, OrderEffect, ProjectFiles, TableName, Tracking, TrackingTable};

/// Makes what the ledger knows of a folder into rows: paths and SHA-256 of the files that runs applied, oldest first.
///
/// `others` says whether the database holds tables; it counts only where `applied` is `None`, which means that no run
/// and no person ever recorded anything.
pub fn ledger_rows<'a>(applied: Option<impl IntoIterator<Item = (&'a str, &'a str)>>, others: bool) -> Tracking {
    let Some(applied) = applied else { return Tracking::Absent { others } };
    let row = |(path, sha256): (&str, &str)| vec![Some(path.to_owned()), Some(sha256.to_owned())];
    Tracking::Present(TrackingTable {
        name: TableName::new("ledger", "runs"),
        columns: vec!["path".to_owned(), "sha256".to_owned()],
        rows: applied.into_iter().map(row).collect(),
    })
}

/// Makes rows of what a person says: all files up to the one that is named were applied, as they are now; none where
/// the name is `none`.
///
/// # Errors
/// [`Error::UnknownFile`] where the name is no file of the folder.
pub fn applied_through(files: &ProjectFiles, name: &str) -> Result<Tracking, Error> {
    let found = in_order(files);
    let count = match found.iter().position(|file| file.path == name || file.name() == name) {
        Some(place) => place + 1,
        None if name == "none" => 0,
        None => return Err(Error::UnknownFile { name: name.to_owned() }),
    };
    Ok(ledger_rows(Some(found[..count].iter().map(|file| (file.path.as_str(), file.sha256.as_str()))), false))
}

/// The files that do something, in the order in which they are run.
fn in_order(files: &ProjectFiles) -> Vec<&File> {
    let is_up = |file: &&File| file.path.to_lowercase().ends_with(".sql") && !is_rollback(&file.path);
    let mut found: Vec<&File> = files.migrations.iter().filter(is_up).collect();
    found.sort_by(|one, other| order(one.name(), other.name()).then_with(|| one.path.cmp(&other.path)));
    found
}

pub(super) fn compare<'a>(files: &'a ProjectFiles, tracking: &Tracking) -> State<'a> {
    let found = in_order(files);
    // The last row of a path counts: it may have been undone and applied again.
    let rows: BTreeMap<&str, &str> = tracking
        .table()
        .into_iter()
        .flat_map(|table| table.rows())
        .map(|row| (row.text("path"), row.text("sha256")))
        .collect();
    let mut findings = Vec::new();
    if matches!(tracking, Tracking::Absent { others: true }) {
        findings.push(Finding::NothingRecorded);
    }
    let latest = found.iter().rposition(|file| rows.contains_key(file.path.as_str()));
    let mut units = Vec::new();
    for (place, file) in found.iter().enumerate() {
        let recorded = rows.get(file.path.as_str()).copied();
        if let Some(recorded) = recorded.filter(|recorded| *recorded != file.sha256) {
            let (recorded, found) = (recorded.to_owned(), file.sha256.clone());
            findings.push(Finding::EditedAfterApplied {
                migration: file.path.clone(),
                recorded,
                found,
                refused: false,
            });
        }
        if let Some(latest) = latest.filter(|latest| recorded.is_none() && place < *latest) {
            let (migration, after) = (file.path.clone(), found[latest].path.clone());
            findings.push(Finding::OutOfOrder { migration, after, effect: OrderEffect::Runs });
        }
        units.push(Unit::new(&file.path, Some(file), recorded.is_some()));
    }
    for path in rows.keys().filter(|path| files.migrations.get(path).is_none()) {
        findings.push(Finding::Orphan { recorded: (*path).to_owned(), refused: false });
    }
    let runs = units.iter().filter(|unit| !unit.applied).map(|unit| unit.name.clone()).collect();
    State { units, runs, findings, callbacks: Vec::new(), numbered: true, wants_baseline: false }
}

/// By the number first, so that 9 comes before 10; files without one come last.
fn order(one: &str, other: &str) -> std::cmp::Ordering {
    let value = |name: &str| {
        let digits = number(name).trim_start_matches('0');
        (number(name).is_empty(), digits.len(), digits.to_owned())
    };
    value(one).cmp(&value(other)).then_with(|| numeric_compare(one, other)).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::scene;
    use super::super::{Rollback, Severity, Tool};
    use super::*;

    const FILES: [(&str, &str); 4] =
        [("9_a.sql", "a"), ("10_b.sql", "b"), ("11_c.up.sql", "c"), ("11_c.down.sql", "not c")];

    #[test]
    fn the_ledger_tells_what_is_applied() {
        let scene = scene(Tool::PlainSql, &FILES);
        let applied = [("9_a.sql", "old"), ("9_a.sql", scene.hash("9_a.sql"))];
        let found = scene.pending(&ledger_rows(Some(applied), true));
        assert_eq!(found.names(), ["10_b.sql", "11_c.up.sql"]);
        assert_eq!(found.said(), []);
        assert!(matches!(&found.migrations[1].rollback, Rollback::Script { path, .. } if path == "11_c.down.sql"));

        let others = [("10_b.sql", "edited"), ("8_gone.sql", "x")];
        let said = scene.pending(&ledger_rows(Some(others), true)).said();
        assert!(said.iter().all(|(severity, _)| *severity == Severity::Warn));
        assert_eq!(said.len(), 3, "edited, out of order, orphan: {said:?}");
    }

    #[test]
    fn a_person_may_say_how_far_a_database_is() {
        let scene = scene(Tool::PlainSql, &FILES);
        let names = |through: &str| {
            let found = scene.pending(&applied_through(scene.files(), through).unwrap());
            assert_eq!(found.said(), []);
            found.migrations.iter().map(|one| one.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names("10_b.sql"), ["11_c.up.sql"]);
        assert_eq!(names("none").len(), 3);
        for wrong in ["12_d.sql", "11_c.down.sql", ""] {
            assert!(matches!(applied_through(scene.files(), wrong), Err(Error::UnknownFile { .. })), "{wrong}");
        }
    }

    #[test]
    fn a_database_of_which_nothing_is_known_stops() {
        let scene = scene(Tool::PlainSql, &FILES);
        let none: Option<[(&str, &str); 0]> = None;
        assert_eq!(scene.pending(&ledger_rows(none, true)).stops().count(), 1);
        assert_eq!(scene.pending(&ledger_rows(none, false)).stops().count(), 0);
        assert_eq!(scene.pending(&ledger_rows(Some([]), true)).stops().count(), 0, "said to begin with none");
    }
}
