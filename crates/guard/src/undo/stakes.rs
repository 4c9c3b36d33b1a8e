//! What a run put at stake, table by table: as its review says, and as its rehearsal saw.

use holdpoint_core::ledger::RunStep;
use holdpoint_core::rehearsal::LISTED;
use holdpoint_core::undoing::{AtRisk, Way};

use super::recover::taken;
use super::rows::Stake;

/// What a run put at stake.
#[derive(Debug, Default)]
pub(super) struct Stakes {
    /// The command was not read: it may take anything.
    everything: bool,
    /// Nor is it known where it adds rows.
    anywhere: bool,
    tables: Vec<AtRisk>,
    written: Vec<String>,
}

impl Stakes {
    /// Reads the newest step of a run.
    pub(super) fn of(step: &RunStep) -> Self {
        let risk = step.risk.clone().unwrap_or_default();
        let everything = step.risk.is_none() || risk.everything;
        let effects = step.rehearsal.as_ref().map(|one| one.tables.as_slice());
        let (mut tables, mut written) = (risk.tables, risk.written);
        for effect in effects.unwrap_or_default().iter().filter(|effect| !effect.added) {
            if let Some(more) = taken(effect).filter(|more| !tables.iter().any(|one| one.table == more.table)) {
                tables.push(more);
            }
            // Rows without a key are told by the server's counters alone.
            if effect.rows.or(effect.written).is_some_and(|rows| rows.inserted > 0) {
                written.push(effect.table.clone());
            }
        }
        let seen = effects.is_some_and(|effects| effects.len() < LISTED);
        Self { everything, anywhere: everything && !seen, tables, written }
    }

    /// What is at stake in a table, when a way is gone.
    pub(super) fn in_table(&self, table: &str, way: Way) -> Stake {
        let known = self.tables.iter().find(|one| one.table == table).map(|one| one.columns.clone());
        Stake {
            at_risk: known.or(self.everything.then(Vec::new)),
            written: self.anywhere || self.written.iter().any(|one| one == table),
            brought_back: way == Way::Recover,
        }
    }

    /// The tables, and sequences, that are known by name.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> =
            self.tables.iter().map(|one| one.table.as_str()).chain(self.written.iter().map(String::as_str)).collect();
        names.sort_unstable();
        names.dedup();
        names
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
        let stakes = Stakes::of(&step(&risk));
        assert_eq!(stakes.names(), ["s.orders", "s.tags"]);
        let orders = stakes.in_table("s.orders", Way::Rollback);
        assert_eq!((orders.at_risk, orders.written), (Some(vec!["note".to_owned()]), false));
        let tags = stakes.in_table("s.tags", Way::Recover);
        assert_eq!((tags.at_risk, tags.written, tags.brought_back), (None, true, true));
        assert_eq!(stakes.in_table("s.other", Way::Rollback), Stake::default());
    }

    #[test]
    fn where_nothing_was_read_or_seen_everything_is_at_stake() {
        for risk in [serde_json::json!({ "everything": true }), serde_json::Value::Null] {
            let any = Stakes::of(&step(&risk)).in_table("s.any", Way::Rollback);
            assert_eq!((any.at_risk, any.written), (Some(Vec::new()), true), "{risk}");
        }
    }
}
