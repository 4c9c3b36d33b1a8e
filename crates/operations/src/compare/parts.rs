//! Sides that hold a part of a database: of what they leave out nobody can tell how it was, or how it is.

use holdpoint_core::fingerprint::Difference;

use super::{ObjectChange, ObjectDifference, TableChange, TablesReport};

/// Which sides leave out what the other one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    then: bool,
    now: bool,
}

impl Parts {
    /// Judges by what pg_dump was told to take; the same part on both sides is everything that there is to compare.
    pub(super) fn of(then: &[String], now: &[String]) -> Self {
        let differ = then != now;
        Self { then: differ && !then.is_empty(), now: differ && !now.is_empty() }
    }

    /// Whether either side leaves anything out.
    pub(super) fn any(self) -> bool {
        self.then || self.now
    }

    /// Whether the second side leaves anything out, so that it is never called equal.
    pub(super) fn now(self) -> bool {
        self.now
    }

    /// Drops tables that only look added, and tells of those that only look gone that they were not compared.
    pub(super) fn tables(self, report: &mut TablesReport, now: &str) {
        report.differences.retain(|one| !(self.then && one.change == TableChange::Added));
        for one in report.differences.iter_mut().filter(|one| self.now && one.change == TableChange::Gone) {
            one.change = TableChange::NotCompared;
            one.why = Some(format!("not in {now}, which holds a part of the database"));
        }
    }

    /// Drops schema objects that only look added or gone.
    pub(super) fn objects(self, found: &mut Vec<ObjectDifference>) {
        found.retain(|one| match one.change {
            ObjectChange::Added => !self.then,
            ObjectChange::Gone => !self.now,
            ObjectChange::Definition | ObjectChange::Owner => true,
        });
    }

    /// Drops sequences that only look added or gone.
    pub(super) fn sequences(self, found: &mut Vec<Difference>) {
        found.retain(|one| (one.expected.is_some() || !self.then) && (one.found.is_some() || !self.now));
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
        let part = list(&["--schema", "shop"]);
        assert!(!Parts::of(&part, &part).any() && !Parts::of(&[], &[]).any());
        assert_eq!(Parts::of(&part, &[]), Parts { then: true, now: false });
        assert_eq!(Parts::of(&[], &part), Parts { then: false, now: true });
        assert!(Parts::of(&part, &list(&["--schema", "other"])).now());
    }

    #[test]
    fn what_a_side_left_out_is_neither_gone_nor_added() {
        let table = |name: &str, change| TableDifference {
            table: name.to_owned(),
            change,
            rows_then: None,
            rows_now: None,
            estimated: false,
            rows_equal: None,
            columns_added: Vec::new(),
            columns_gone: Vec::new(),
            why: None,
        };
        let report = TablesReport {
            differences: vec![
                table("gone", TableChange::Gone),
                table("added", TableChange::Added),
                table("rows", TableChange::Rows),
            ],
            ..TablesReport::default()
        };
        let told = |parts: Parts| -> Vec<TableChange> {
            let mut report = report.clone();
            parts.tables(&mut report, "P");
            report.differences.iter().map(|one| one.change).collect()
        };
        assert_eq!(told(Parts { then: true, now: false }), [TableChange::Gone, TableChange::Rows]);
        assert_eq!(
            told(Parts { then: false, now: true }),
            [TableChange::NotCompared, TableChange::Added, TableChange::Rows]
        );
    }
}
