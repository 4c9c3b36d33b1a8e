//! What a run put at stake, table by table: as its review says, and as its rehearsal saw.

use std::collections::BTreeMap;

use holdpoint_core::ledger::{RunStep, WrittenMeanwhile};
use holdpoint_core::rehearsal::{LISTED, Rehearsal, RowEffect};
use holdpoint_core::undoing::{AtRisk, Way};

use super::at_risk::{changed_by_rehearsal, reviewed, taken, widened};
use super::last_writers::LastWriters;
use super::rows::Stake;

/// Tables with the others under whose names the same rows are known: partitions, those above them, and what is loaded
/// through one root.
pub(super) type Relatives = BTreeMap<String, Vec<String>>;

/// What a run put at stake.
#[derive(Debug, Default)]
pub(super) struct Stakes {
    /// The command was not read: it may take anything.
    everything: bool,
    /// Nor is it known where it adds rows.
    anywhere: bool,
    tables: Vec<AtRisk>,
    written: Vec<String>,
    /// What the run did to the rows of each table, where that is known; what is not listed it left alone.
    rehearsed: Option<BTreeMap<String, RowEffect>>,
    relatives: Relatives,
    /// Where rows were written while the command ran, by it or by others; `None`: nobody knows.
    meanwhile: Option<Vec<WrittenMeanwhile>>,
    /// Tables of which the rehearsal shows that rows which stayed were changed.
    changed: Vec<String>,
    /// The rehearsal, where everything that was rehearsed was applied.
    applied: Option<Box<Rehearsal>>,
    /// Who wrote the rows of tables at risk last, as it was right before the undo.
    writers: BTreeMap<String, LastWriters>,
}

impl Stakes {
    /// Reads the newest step of a run; `fully`: everything that was rehearsed was applied.
    pub(super) fn of(step: &RunStep, fully: bool, relatives: Relatives) -> Self {
        let risk = reviewed(step).unwrap_or_default();
        let everything = step.risk.is_none() || risk.everything;
        let effects = step.rehearsal.as_ref().map(|one| one.tables.as_slice());
        let rehearsal = step.rehearsal.as_deref();
        let (mut tables, mut written, mut changed) = (widened(risk.tables, rehearsal), risk.written, Vec::new());
        let mut rehearsed = BTreeMap::new();
        for effect in effects.unwrap_or_default() {
            // Rows without a key are told by the server's counters alone.
            let rows = effect.rows.filter(|_| !effect.added).or(effect.written);
            rehearsed.extend(rows.map(|rows| (effect.table.clone(), rows)));
            if effect.added {
                continue;
            }
            if let Some(more) = taken(effect).filter(|more| !tables.iter().any(|one| one.table == more.table)) {
                tables.push(more);
            }
            if rows.is_some_and(|rows| rows.updated > 0) {
                changed.push(effect.table.clone());
            }
            if rows.is_some_and(|rows| rows.inserted > 0) {
                written.push(effect.table.clone());
            }
        }
        let seen = effects.is_some_and(|effects| effects.len() < LISTED);
        let rehearsed = Some(rehearsed).filter(|_| seen && fully);
        let meanwhile = step.transactions.as_ref().and_then(|seen| seen.written.clone());
        let (anywhere, writers) = (everything && !seen, BTreeMap::new());
        let applied = step.rehearsal.clone().filter(|_| fully);
        Self { everything, anywhere, tables, written, changed, rehearsed, relatives, meanwhile, applied, writers }
    }

    /// With who wrote the rows of tables at risk last.
    pub(super) fn with_writers(mut self, writers: BTreeMap<String, LastWriters>) -> Self {
        self.writers = writers;
        self
    }

    /// The tables of which a part is at risk, so that others may have written the rest; with the columns that are.
    pub(super) fn in_part(&self) -> impl Iterator<Item = &AtRisk> {
        self.tables.iter().filter(|one| !one.columns.is_empty() || self.rows_only_go(&one.table))
    }

    /// The columns of a table whose values the run changed, as its rehearsal surely tells; of parts of it as well.
    pub(super) fn changed_columns(&self, table: &str) -> Option<Vec<String>> {
        changed_by_rehearsal(self.applied.as_deref()?, table)
    }

    /// What is at stake in a table, when a way is gone: under its own name, and for a partition under those of the tables
    /// that it is a part of.
    pub(super) fn in_table(&self, table: &str, way: Way) -> Stake {
        let names: Vec<&str> = std::iter::once(table).chain(self.relatives(table)).collect();
        let at_risk = self.tables.iter().filter(|one| names.contains(&one.table.as_str()));
        let columns = at_risk
            .map(|one| one.columns.clone())
            .reduce(|all, more| if all.is_empty() || more.is_empty() { Vec::new() } else { [all, more].concat() });
        Stake {
            at_risk: columns.or(self.everything.then(Vec::new)),
            written: self.anywhere || self.written.iter().any(|one| names.contains(&one.as_str())),
            inserted: self.inserted(table),
            brought_back: way == Way::Recover,
            rows_only_go: self.rows_only_go(table),
            meanwhile: self.meanwhile(table, &self.parts_of_group(table)),
            changed: self.changed_columns(table),
            writers: names.iter().find_map(|name| self.writers.get(*name)).cloned(),
        }
    }

    /// The partitions that are loaded through one root, where a table stands for them.
    fn parts_of_group(&self, table: &str) -> Vec<String> {
        let group = table.ends_with(".*");
        self.relatives(table).filter(|_| group).map(str::to_owned).collect()
    }

    /// What was written into a table, and into these parts of it, while the command ran; `None` where nobody knows.
    pub(super) fn meanwhile(&self, table: &str, parts: &[String]) -> Option<WrittenMeanwhile> {
        let is = |name: &str| name == table || parts.iter().any(|part| part == name);
        let mut sum = WrittenMeanwhile { table: table.to_owned(), ..WrittenMeanwhile::default() };
        for one in self.meanwhile.as_ref()?.iter().filter(|one| is(&one.table)) {
            sum.inserted += one.inserted;
            sum.updated += one.updated;
            sum.deleted += one.deleted;
            sum.new_file |= one.new_file;
        }
        Some(sum)
    }

    /// How many rows the run added to a table; of partitions that are loaded through one root to all of them.
    pub(super) fn inserted(&self, table: &str) -> Option<u64> {
        let rehearsed = self.rehearsed.as_ref()?;
        let own = rehearsed.get(table).map(|rows| rows.inserted);
        let parts = || self.relatives(table).filter_map(|part| rehearsed.get(part)).map(|rows| rows.inserted).sum();
        Some(own.unwrap_or_else(|| if table.ends_with(".*") { parts() } else { 0 }))
    }

    /// The tables above a partition, the nearest first; of a group of them its parts, too.
    pub(super) fn relatives(&self, table: &str) -> impl Iterator<Item = &str> {
        self.relatives.get(table).into_iter().flatten().map(String::as_str)
    }

    /// Whether the run deletes rows of a table and changes none that stays: what has other values is others'.
    pub(super) fn rows_only_go(&self, table: &str) -> bool {
        let reviewed = self.tables.iter().any(|one| one.table == table && one.rows_only_go);
        let is = |names: &[String]| names.iter().any(|name| name == table);
        reviewed && !self.everything && !is(&self.written) && !is(&self.changed)
    }

    /// The tables, and sequences, that are known by name; for a partitioned table its partitions.
    pub(super) fn names(&self) -> Vec<&str> {
        let known = self.tables.iter().map(|one| one.table.as_str()).chain(self.written.iter().map(String::as_str));
        let mut names = Vec::new();
        for name in known {
            // Rows lie in partitions that are not divided themselves, or in the group that is loaded through their root.
            let holds = |one: &&String| !self.is_above(one) && self.relatives(one).any(|other| other == name);
            let parts: Vec<&str> = self.relatives.keys().filter(holds).map(String::as_str).collect();
            let groups: Vec<&str> = parts.iter().copied().filter(|one| one.ends_with(".*")).collect();
            match (parts.is_empty(), groups.is_empty()) {
                (true, _) => names.push(name),
                (false, true) => names.extend(parts),
                (false, false) => names.extend(groups),
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether a table is divided into partitions.
    fn is_above(&self, table: &str) -> bool {
        self.relatives.iter().any(|(one, others)| !one.ends_with(".*") && others.iter().any(|other| other == table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(risk: &serde_json::Value) -> RunStep {
        serde_json::from_value(serde_json::json!({
            "format": 1, "run": "20261121T024300Z-k3f9", "n": 5, "state": "failed", "at": "2026-11-21T02:43:00Z",
            "identity": { "system_identifier": "7", "database_oid": 5, "database": "shop", "timeline": 1,
                          "endpoint": "db:5432", "resource_id": null },
            "command": ["x"], "point": null, "wal_position": null, "instant": null, "exit_code": 1, "signal": null,
            "operator": null, "risk": risk
        }))
        .unwrap()
    }

    #[test]
    fn tables_that_get_rows_are_at_stake_beside_those_at_risk() {
        let risk =
            serde_json::json!({ "tables": [{ "table": "s.orders", "columns": ["note"] }], "written": ["s.tags"] });
        let stakes = Stakes::of(&step(&risk), true, Relatives::new());
        assert_eq!(stakes.names(), ["s.orders", "s.tags"]);
        let orders = stakes.in_table("s.orders", Way::Rollback);
        assert_eq!((orders.at_risk, orders.written), (Some(vec!["note".to_owned()]), false));
        let tags = stakes.in_table("s.tags", Way::Recover);
        assert_eq!((tags.at_risk, tags.written, tags.brought_back), (None, true, true));
        assert_eq!(stakes.in_table("s.other", Way::Rollback), Stake::default());
    }

    #[test]
    fn a_table_whose_name_needs_quotes_is_the_one_that_the_review_names_as_sql_does() {
        let risk = serde_json::json!({ "tables": [{ "table": "\"Odd shop\".\"my table\"", "columns": ["x"] }],
            "written": ["s.\"Orders\"", "s.\"a.b\""] });
        let stakes = Stakes::of(&step(&risk), true, Relatives::new());
        assert_eq!(stakes.names(), ["Odd shop.my table", "s.\"a.b\"", "s.Orders"]);
        assert_eq!(stakes.in_table("Odd shop.my table", Way::Recover).at_risk, Some(vec!["x".to_owned()]));
        assert!(stakes.in_table("s.Orders", Way::Recover).written);
    }

    #[test]
    fn rows_only_go_where_review_and_rehearsal_agree() {
        let only_go = |more: &serde_json::Value| {
            let mut risk = serde_json::json!({ "tables": [{ "table": "s.orders", "rows_only_go": true }] });
            risk.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            Stakes::of(&step(&risk), true, Relatives::new()).in_table("s.orders", Way::Recover).rows_only_go
        };
        assert!(only_go(&serde_json::json!({})));
        assert!(!only_go(&serde_json::json!({ "written": ["s.orders"] })), "it may be filled again with other rows");
        assert!(!only_go(&serde_json::json!({ "everything": true })));
    }

    #[test]
    fn where_nothing_was_read_or_seen_everything_is_at_stake() {
        for risk in [serde_json::json!({ "everything": true }), serde_json::Value::Null] {
            let any = Stakes::of(&step(&risk), true, Relatives::new()).in_table("s.any", Way::Rollback);
            assert_eq!((any.at_risk, any.written), (Some(Vec::new()), true), "{risk}");
        }
    }

    #[test]
    fn a_partition_is_at_stake_with_the_table_that_it_is_a_part_of() {
        let risk = serde_json::json!({ "tables": [{ "table": "s.events", "columns": ["kind"] }, { "table": "s.log" }],
            "written": ["s.events", "s.tags"] });
        let list = |names: &[&str]| names.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let relatives = Relatives::from([
            ("s.e_2026".to_owned(), list(&["s.events"])),
            ("s.e_2027".to_owned(), list(&["s.events"])),
            ("s.e_2027_a".to_owned(), list(&["s.e_2027", "s.events"])),
            ("s.log_1".to_owned(), list(&["s.log"])),
            ("s.log.*".to_owned(), list(&["s.log", "s.log_1"])),
        ]);
        let stakes = Stakes::of(&step(&risk), true, relatives);
        assert_eq!(stakes.names(), ["s.e_2026", "s.e_2027_a", "s.log.*", "s.tags"]);
        let part = stakes.in_table("s.e_2027_a", Way::Rollback);
        assert_eq!((part.at_risk, part.written), (Some(list(&["kind"])), true));
        assert_eq!(stakes.in_table("s.log.*", Way::Rollback).at_risk, Some(Vec::new()));
        assert_eq!(stakes.in_table("s.other", Way::Rollback), Stake::default());
    }

    #[test]
    fn what_was_written_meanwhile_is_summed_over_partitions_that_are_one_group() {
        let mut step = step(&serde_json::json!({}));
        let relatives = || Relatives::from([("s.log.*".to_owned(), vec!["s.log".to_owned(), "s.log_1".to_owned()])]);
        let of =
            |step: &RunStep, table: &str| Stakes::of(step, true, relatives()).in_table(table, Way::Rollback).meanwhile;
        assert_eq!(of(&step, "s.log.*"), None, "an older version");
        let seen = serde_json::json!({ "before": "7:7:", "after": "9:9:", "written": [
            { "table": "s.log", "deleted": 1 }, { "table": "s.log_1", "deleted": 2 }, { "table": "s.a", "updated": 5 }] });
        step.transactions = Some(serde_json::from_value(seen).unwrap());
        assert_eq!(of(&step, "s.log.*").unwrap().deleted, 3);
        assert_eq!(of(&step, "s.log_1").unwrap().deleted, 2);
        assert_eq!(of(&step, "s.b").unwrap(), WrittenMeanwhile { table: "s.b".into(), ..WrittenMeanwhile::default() });
    }

    #[test]
    fn how_many_rows_a_run_added_is_known_where_all_of_it_was_rehearsed_and_ran() {
        let mut step = step(&serde_json::json!({}));
        let effects = serde_json::json!([
            { "table": "s.orders", "rows": { "inserted": 3, "updated": 0, "deleted": 0 } },
            { "table": "s.log_1", "written": { "inserted": 5, "updated": 0, "deleted": 0 } },
            { "table": "s.new", "added": true, "written": { "inserted": 7, "updated": 0, "deleted": 0 } },
        ]);
        let rehearsal = serde_json::json!({
            "format": 1, "point": "20261121T024300Z-k3f9", "started_at": "2026-11-21T02:43:00Z", "outcome": "as_planned",
            "reasons": [], "command": [], "exit_code": 0, "signal": null, "took_ms": 1, "measured_on": "x", "role": "app",
            "isolation": { "namespace": false, "why_not": null, "rewritten": [], "harmless": [], "held": null,
                           "watched": false },
            "tracking": { "table": null, "pending": [], "recorded": [], "exact": null }, "tables": effects,
            "sampling": { "samples": 0, "every_us": 0, "longest_gap_us": 0, "at_ddl": false }, "objects": [],
            "invalid_indexes": [], "sequences": [], "large_objects": null, "rollback": null, "not_told": [],
            "warnings": [], "looked_for_ms": 1
        });
        step.rehearsal = Some(serde_json::from_value(rehearsal).unwrap());
        let relatives = Relatives::from([("s.log.*".to_owned(), vec!["s.log".to_owned(), "s.log_1".to_owned()])]);
        let stakes = Stakes::of(&step, true, relatives);
        let inserted = |table: &str| stakes.in_table(table, Way::Rollback).inserted;
        assert_eq!((inserted("s.orders"), inserted("s.log.*"), inserted("s.other")), (Some(3), Some(5), Some(0)));
        assert_eq!(stakes.inserted("s.new"), Some(7));
        assert_eq!(stakes.names(), ["s.log.*", "s.orders"]);
        assert_eq!(Stakes::of(&step, false, Relatives::new()).inserted("s.orders"), None, "a part of it ran");
        step.rehearsal = None;
        assert_eq!(Stakes::of(&step, true, Relatives::new()).inserted("s.orders"), None);
    }
}
