//! The rows that a change writes as they are afterwards, so that what the live table forbids can be counted before.

use holdpoint_core::name::quote_identifier as quoted;

use super::RecoverMode;
use super::keys::UniqueIndex;
use super::mapping::{Column, Identity};
use super::statements::Change;

/// Which rows of the side table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// Those that are inserted or changed.
    Written,
    /// Also those that are there as they were; where only some columns are filled, those that are changed.
    All,
}

impl Change {
    /// Whether a live column's value after the change can be told before.
    pub(super) fn knows(&self, column: &str) -> bool {
        let Some(live) = self.live.columns.iter().find(|one| one.name == column) else { return false };
        match live.generated {
            true => live.generated_from.iter().all(|one| self.knows(one)),
            false => self.after(live).is_some(),
        }
    }

    /// Whether a change of a row may give a live column another value.
    pub(super) fn touches(&self, column: &str) -> bool {
        let from = |live: &&Column| live.generated && live.name == column;
        let generated = self.live.columns.iter().find(from);
        self.sets(column) || generated.is_some_and(|live| live.generated_from.iter().any(|one| self.touches(one)))
    }

    /// Rows of the restore point as they are in the live table afterwards, in all of its columns that can be told.
    pub(super) fn image(&self, which: Which) -> String {
        self.image_with(which, "")
    }

    fn image_with(&self, which: Which, beside: &str) -> String {
        let told = self.live.columns.iter().filter(|column| !column.generated);
        let told = told.filter_map(|column| Some(format!("{} AS {}", self.after(column)?, quoted(&column.name))));
        let alone = self.live.columns.iter().all(|column| column.generated || self.fills(&column.name));
        let (from, rows) = match (which, self.part) {
            // Nothing is asked of the live rows.
            (Which::All, false) if alone && beside.is_empty() => (format!("{} s", self.mapped()), "true".to_owned()),
            (Which::All, false) => (self.joined(), "true".to_owned()),
            _ => (self.joined(), self.written()),
        };
        let columns = told.collect::<Vec<_>>().join(", ");
        let separated = if columns.is_empty() || beside.is_empty() { "" } else { ", " };
        let plain = format!("SELECT {columns}{separated}{beside} FROM {from} WHERE {rows}");
        let generated = self.live.columns.iter().filter(|column| column.generated && self.knows(&column.name));
        let generated =
            generated.filter_map(|one| Some(format!(", ({}) AS {}", one.default.as_ref()?, quoted(&one.name))));
        format!("(SELECT i.*{} FROM ({plain}) i)", generated.collect::<String>())
    }

    /// What a column holds after `s` was brought into `t`; `None` where only the server will know.
    fn after(&self, column: &Column) -> Option<String> {
        let name = quoted(&column.name);
        if self.fills(&column.name) {
            let only_empty = self.part && self.mode == RecoverMode::Missing && self.sets(&column.name);
            return Some(if only_empty { format!("coalesce(t.{name}, s.{name})") } else { format!("s.{name}") });
        }
        if self.part {
            return Some(format!("t.{name}"));
        }
        // A default that calls something may give another value each time.
        let constant =
            column.identity == Identity::None && column.default.as_ref().is_none_or(|one| !one.contains('('));
        let default = column.default.as_deref().unwrap_or("NULL");
        constant
            .then(|| format!("CASE WHEN t.ctid IS NULL THEN CAST({default} AS {}) ELSE t.{name} END", column.type_name))
    }

    /// Counts, for each of some expressions over the live table's columns, the rows to be written that it forbids.
    pub(super) fn count_forbidden(&self, expressions: &[&str]) -> String {
        let counts = expressions.iter().map(|one| format!("count(*) FILTER (WHERE NOT ({one}\n))"));
        let counts = counts.collect::<Vec<_>>().join(", ");
        format!("SELECT ARRAY[{counts}] FROM {} s", self.image(Which::Written))
    }

    /// Counts rows to be written whose values in a unique index another row has, or would have on the way: an UPDATE
    /// of several rows meets the values that the others still have.
    pub(super) fn count_taken(&self, index: &UniqueIndex) -> String {
        let keys: Vec<&str> = self.key.iter().flat_map(|key| &key.columns).map(String::as_str).collect();
        let fresh = |start: &str| -> String {
            let mut name = start.to_owned();
            while self.live.columns.iter().any(|column| column.name == name) {
                name.push('_');
            }
            name
        };
        let comes = fresh("comes");
        let names: Vec<String> = (1..=index.expressions.len()).map(|nth| fresh(&format!("e{nth}"))).collect();
        let values = |source: &str, beside: &str| {
            let values = index.expressions.iter().zip(&names).map(|(value, name)| format!("{value} AS {name}"));
            let with: String = keys.iter().map(|name| format!(", {}", quoted(name))).collect();
            let condition = index.condition.as_deref().unwrap_or("true");
            format!("(SELECT {}{with}{beside} FROM {source} WHERE {condition})", values.collect::<Vec<_>>().join(", "))
        };
        let known: Vec<String> = names.iter().map(|name| format!("v.{name} IS NOT NULL")).collect();
        let known = if index.nulls_not_distinct { "true".to_owned() } else { known.join(" AND ") };
        let among = if self.mode == RecoverMode::Missing { Which::Written } else { Which::All };
        let doubled = format!(
            "(SELECT coalesce(sum(n - 1), 0)::int8 FROM (SELECT count(*) AS n FROM {} v WHERE {known} GROUP BY {} \
             HAVING count(*) > 1) doubled)",
            values(&format!("{} s", self.image(among)), ""),
            names.join(", ")
        );
        if self.key.is_none() {
            // Every live row is deleted first.
            return format!("SELECT {doubled}");
        }
        let equal = names.iter().zip(&index.operators).map(|(name, operator)| match index.nulls_not_distinct {
            true => format!("(v.{name} {operator} o.{name} OR (v.{name} IS NULL AND o.{name} IS NULL))"),
            false => format!("v.{name} {operator} o.{name}"),
        });
        let written = self.image_with(Which::Written, &format!("t.ctid IS NULL AS {comes}"));
        let (new, old) = (values(&format!("{written} s"), &format!(", {comes}")), values(&self.live.only(), ""));
        let has = format!("EXISTS (SELECT FROM {} s WHERE {})", self.mapped(), self.same_key_as("o"));
        // Rows that come meet what the others have by then: those of the restore point are counted above.
        let met_by_new = match self.mode {
            RecoverMode::Replace => "false".to_owned(),
            RecoverMode::Upsert => format!("NOT {has}"),
            RecoverMode::Side | RecoverMode::Missing => "true".to_owned(),
        };
        let met_by_changed = match (self.mode, index.immediate) {
            (RecoverMode::Replace, true) => has,
            (RecoverMode::Replace, false) => "false".to_owned(),
            (RecoverMode::Upsert, false) if !self.part => format!("NOT {has}"),
            _ => "true".to_owned(),
        };
        format!(
            "SELECT {doubled} + (SELECT count(*) FROM {new} v JOIN {old} o ON {} WHERE {} AND {known} \
             AND CASE WHEN v.{comes} THEN {met_by_new} ELSE {met_by_changed} END)",
            equal.collect::<Vec<_>>().join(" AND "),
            self.other_key("v", "o"),
        )
    }
}
