//! Sides that hold a part of a database: of what they leave out nobody can tell how it was, or how it is.

use std::collections::BTreeSet;

use holdpoint_core::fingerprint::{Difference, qualified};
use holdpoint_core::index::ObjectRecord;

use super::{ObjectChange, ObjectDifference, TableChange, TablesReport};

/// What a restore point leaves out of its database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    /// Rows of tables whose definitions are there.
    pub(super) rows: bool,
    /// Tables, or anything else, as a whole.
    pub(super) objects: bool,
    /// Large objects, since only what was named was taken.
    pub(super) large_objects: bool,
}

impl LeftOut {
    /// Judges by what pg_dump was told to take.
    pub(super) fn of(options: &[String]) -> Self {
        let words = || options.iter().filter(|word| word.starts_with("--"));
        let rows = |word: &String| word.starts_with("--exclude-table-data");
        let named = words().count() > 0;
        // Told what to leave out, pg_dump takes all the rest, large objects too.
        let leaves_out = |word: &String| word.starts_with("--exclude-");
        Self {
            rows: words().any(rows),
            objects: !options.is_empty() && (!named || !words().all(rows)),
            large_objects: !options.is_empty() && (!named || !words().all(leaves_out)),
        }
    }

    fn anything(self) -> bool {
        self.rows || self.objects
    }
}

/// The names of a side's tables, those without rows included, as comparison groups have them.
pub(super) fn names_of_tables(objects: &[ObjectRecord]) -> BTreeSet<String> {
    let tables = objects.iter().filter(|object| object.description == "TABLE");
    tables.map(|object| qualified(object.namespace.as_deref(), &object.tag)).collect()
}

/// Which sides leave out what the other one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    then: LeftOut,
    now: LeftOut,
}

impl Parts {
    /// Judges by what pg_dump was told to take; the same part on both sides is everything that there is to compare.
    pub(super) fn of(then: &[String], now: &[String]) -> Self {
        match then == now {
            true => Self { then: LeftOut::default(), now: LeftOut::default() },
            false => Self { then: LeftOut::of(then), now: LeftOut::of(now) },
        }
    }

    /// Whether both sides hold the large objects.
    pub(super) fn large_objects(self) -> bool {
        !self.then.large_objects && !self.now.large_objects
    }

    /// Whether the second side leaves anything out, so that it is never called equal.
    pub(super) fn now(self) -> bool {
        self.now.anything()
    }

    /// Drops tables that only look added, and tells of those that only look gone that they were not compared.
    ///
    /// Where a side leaves out rows alone, a table that it does not define was not there.
    pub(super) fn tables(self, report: &mut TablesReport, then: &[ObjectRecord], now: (&[ObjectRecord], &str)) {
        let (was, is) = (names_of_tables(then), names_of_tables(now.0));
        // What is loaded through a root has its own name, and no definition of that name.
        let left_out = |side: LeftOut, defined: &BTreeSet<String>, table: &String| {
            side.objects || (side.rows && (defined.contains(table) || table.ends_with(".*")))
        };
        report.differences.retain(|one| one.change != TableChange::Added || !left_out(self.then, &was, &one.table));
        for one in report.differences.iter_mut().filter(|one| one.change == TableChange::Gone) {
            if left_out(self.now, &is, &one.table) {
                one.change = TableChange::NotCompared;
                one.why = Some(format!("not in {}, which holds a part of the database", now.1));
            }
        }
    }

    /// Drops schema objects that only look added or gone.
    pub(super) fn objects(self, found: &mut Vec<ObjectDifference>) {
        let left_out = |side: LeftOut, one: &ObjectDifference| {
            // The rows of a materialized view are the statement that refreshes it.
            side.objects || (side.rows && one.object.starts_with("MATERIALIZED VIEW DATA "))
        };
        found.retain(|one| match one.change {
            ObjectChange::Added => !left_out(self.then, one),
            ObjectChange::Gone => !left_out(self.now, one),
            ObjectChange::Definition | ObjectChange::Owner => true,
        });
    }

    /// Drops sequences that only look added or gone; one that truly is, is so as a schema object too.
    pub(super) fn sequences(self, found: &mut Vec<Difference>) {
        let (then, now) = (self.then.anything(), self.now.anything());
        found.retain(|one| (one.expected.is_some() || !then) && (one.found.is_some() || !now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::TableDifference;

    fn list(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_same_part_of_both_leaves_nothing_out() {
        let part = list(&["--schema=shop"]);
        let nothing = LeftOut::default();
        for same in [&part[..], &[]] {
            assert_eq!(Parts::of(same, same), Parts { then: nothing, now: nothing });
        }
        let objects = LeftOut { rows: false, objects: true, large_objects: true };
        assert_eq!(Parts::of(&part, &[]), Parts { then: objects, now: nothing });
        assert_eq!(Parts::of(&[], &part), Parts { then: nothing, now: objects });
        assert!(Parts::of(&part, &list(&["--schema=other"])).now());
    }

    #[test]
    fn rows_alone_are_less_than_tables() {
        let told = |words: &[&str]| LeftOut::of(&list(words));
        let rows = LeftOut { rows: true, objects: false, large_objects: false };
        assert_eq!(told(&["--exclude-table-data=a", "--exclude-table-data=b"]), rows);
        assert_eq!(told(&["--exclude-table-data", "a"]), rows);
        for other in ["--exclude-table=a", "--schema=a", "--table=a", "--extension=a"] {
            let large_objects = !other.starts_with("--exclude-");
            assert_eq!(told(&[other]), LeftOut { rows: false, objects: true, large_objects });
            assert_eq!(told(&[other, "--exclude-table-data=b"]), LeftOut { rows: true, objects: true, large_objects });
        }
        let unknown = told(&["what nobody knows"]);
        assert!(unknown.objects && unknown.large_objects);
    }

    #[test]
    fn what_a_side_left_out_is_neither_gone_nor_added() {
        let report = TablesReport {
            differences: vec![
                TableDifference::of("gone", TableChange::Gone),
                TableDifference::of("added", TableChange::Added),
                TableDifference::of("rows", TableChange::Rows),
            ],
            ..TablesReport::default()
        };
        let told = |then: LeftOut, now: LeftOut, defined: &[ObjectRecord]| -> Vec<TableChange> {
            let mut report = report.clone();
            Parts { then, now }.tables(&mut report, defined, (defined, "P"));
            report.differences.iter().map(|one| one.change).collect()
        };
        let nothing = LeftOut::default();
        let (objects, rows) = (LeftOut { objects: true, ..nothing }, LeftOut { rows: true, ..nothing });
        assert_eq!(told(objects, nothing, &[]), [TableChange::Gone, TableChange::Rows]);
        assert_eq!(told(nothing, objects, &[]), [TableChange::NotCompared, TableChange::Added, TableChange::Rows]);
        // Rows that are left out leave the table there; without it the table itself is gone, or new.
        let defined = ["gone", "added"].map(|name| ObjectRecord {
            description: "TABLE".to_owned(),
            namespace: None,
            tag: name.to_owned(),
            owner: None,
            sha256: String::new(),
        });
        assert_eq!(told(rows, nothing, &defined), [TableChange::Gone, TableChange::Rows]);
        assert_eq!(told(nothing, rows, &defined), [TableChange::NotCompared, TableChange::Added, TableChange::Rows]);
        for (then, now) in [(rows, nothing), (nothing, rows)] {
            assert_eq!(told(then, now, &[]), [TableChange::Gone, TableChange::Added, TableChange::Rows]);
        }
    }
}
