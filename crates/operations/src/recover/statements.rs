//! The statements that compare a side table with a live one and change the live one.
//!
//! In all of them `s` is a row of the restore point, in the live table's columns, and `t` a live row.

use std::collections::BTreeSet;

use holdpoint_core::name::quote_identifier as quoted;

use super::RecoverMode;
use super::keys::UniqueIndex;
use super::leaves::SourceLeaves;
use super::live::LiveTable;
use super::mapping::Filled;

/// A live table, the side table whose rows come back into it, and how.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// The name for people.
    pub(super) name: String,
    pub(super) live: LiveTable,
    /// The side table as statements write it.
    pub(super) side: String,
    pub(super) filled: Vec<Filled>,
    /// Side columns whose type has no cast to the live one's but through text.
    pub(super) through_text: BTreeSet<String>,
    pub(super) key: Option<UniqueIndex>,
    pub(super) unique: Vec<UniqueIndex>,
    /// Only some columns are filled, of rows that are there.
    pub(super) part: bool,
    pub(super) mode: RecoverMode,
    /// `None` where the table was not partitioned in the source.
    pub(super) source_leaves: Option<SourceLeaves>,
}

impl Change {
    /// The side table's rows in the live table's columns and types.
    pub(super) fn mapped(&self) -> String {
        let columns: Vec<String> = self.filled.iter().map(|one| self.value(one)).collect();
        format!("(SELECT {} FROM {})", columns.join(", "), self.side)
    }

    fn value(&self, filled: &Filled) -> String {
        let (then, now) = (quoted(&filled.then), quoted(&filled.now.name));
        match &filled.was {
            None => format!("{then} AS {now}"),
            Some(_) if self.through_text.contains(&filled.then) => {
                format!("CAST(CAST({then} AS text) AS {}) AS {now}", filled.now.type_name)
            }
            Some(_) => format!("CAST({then} AS {}) AS {now}", filled.now.type_name),
        }
    }

    /// Whether `s` and `t` are the same row.
    pub(super) fn same_key(&self) -> String {
        self.same_key_as("t")
    }

    /// Whether `s` and another live row are the same.
    pub(super) fn same_key_as(&self, live: &str) -> String {
        let Some(key) = &self.key else { return "false".to_owned() };
        let equal = key.columns.iter().zip(&key.operators);
        let equal: Vec<String> =
            equal.map(|(name, operator)| format!("s.{n} {operator} {live}.{n}", n = quoted(name))).collect();
        equal.join(" AND ")
    }

    /// Whether two rows `a` and `b` have different keys.
    pub(super) fn other_key(&self, a: &str, b: &str) -> String {
        let Some(key) = &self.key else { return "true".to_owned() };
        let columns = key.columns.iter().zip(&key.operators);
        let equal: Vec<String> =
            columns.map(|(name, operator)| format!("{a}.{n} {operator} {b}.{n}", n = quoted(name))).collect();
        format!("NOT ({})", equal.join(" AND "))
    }

    /// Whether a live column gets values of the restore point.
    pub(super) fn fills(&self, column: &str) -> bool {
        self.filled.iter().any(|one| one.now.name == column)
    }

    /// Whether a change of a row sets this column.
    pub(super) fn sets(&self, column: &str) -> bool {
        self.set().any(|one| one.now.name == column)
    }

    /// The live columns that a change of a row sets.
    fn set(&self) -> impl Iterator<Item = &Filled> {
        let key = self.key.iter().flat_map(|key| key.columns.iter().zip(&key.exact));
        // Equal keys of some types may be written differently, and whole rows come back to the byte.
        let kept: Vec<&String> = key.filter(|(_, exact)| self.part || **exact).map(|(name, _)| name).collect();
        self.filled.iter().filter(move |one| !kept.contains(&&one.now.name))
    }

    /// Whether a change sets a column that only ever gets values of its own.
    pub(super) fn sets_identity(&self) -> Vec<String> {
        let always = |one: &&Filled| one.now.identity == super::mapping::Identity::Always;
        self.set().filter(always).map(|one| one.now.name.clone()).collect()
    }

    /// Whether the live row `t` differs from `s` in what is brought back: byte for byte, since equal values may be
    /// written differently.
    pub(super) fn differs(&self) -> String {
        let names: Vec<String> = self.set().map(|one| quoted(&one.now.name)).collect();
        if names.is_empty() {
            return "false".to_owned();
        }
        if self.part && self.mode == RecoverMode::Missing {
            let empty: Vec<String> = names.iter().map(|n| format!("(t.{n} IS NULL AND s.{n} IS NOT NULL)")).collect();
            return format!("({})", empty.join(" OR "));
        }
        let row = |of: &str| names.iter().map(|name| format!("{of}.{name}")).collect::<Vec<_>>().join(", ");
        // As records: of two ROWs the parser would compare the columns one by one.
        format!("ROW({})::record OPERATOR(pg_catalog.*<>) ROW({})::record", row("s"), row("t"))
    }

    /// Which rows are written, of the side table joined with the live one.
    pub(super) fn written(&self) -> String {
        match (self.part, self.mode) {
            (_, RecoverMode::Side) => "false".to_owned(),
            (true, _) => format!("t.ctid IS NOT NULL AND {}", self.differs()),
            (false, RecoverMode::Missing) => "t.ctid IS NULL".to_owned(),
            (false, RecoverMode::Upsert | RecoverMode::Replace) if self.key.is_some() => {
                format!("(t.ctid IS NULL OR {})", self.differs())
            }
            (false, RecoverMode::Upsert | RecoverMode::Replace) => "true".to_owned(),
        }
    }

    /// Side rows joined with their live ones.
    pub(super) fn joined(&self) -> String {
        format!("{} s LEFT JOIN {} t ON {}", self.mapped(), self.live.only(), self.same_key())
    }

    /// Counts side rows, those without a live one, and those whose live one differs.
    pub(super) fn count(&self) -> String {
        format!(
            "SELECT count(*), count(*) FILTER (WHERE t.ctid IS NULL), \
               count(*) FILTER (WHERE t.ctid IS NOT NULL AND {}) FROM {}",
            self.differs(),
            self.joined()
        )
    }

    /// Counts live rows that are not in the restore point.
    pub(super) fn count_beyond(&self) -> String {
        format!("SELECT count(*) FROM {} t WHERE {}", self.live.only(), self.beyond())
    }

    /// The same, by schema and name of the table or partition that holds them.
    pub(super) fn count_beyond_by_leaf(&self) -> String {
        format!(
            "SELECT n.nspname::text, c.relname::text, count(*) FROM {} t JOIN pg_catalog.pg_class c ON c.oid = t.tableoid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {} GROUP BY 1, 2 ORDER BY 1, 2",
            self.live.only(),
            self.beyond()
        )
    }

    /// Whether the live row `t` is not in the restore point.
    pub(super) fn beyond(&self) -> String {
        match self.key {
            Some(_) => format!("NOT EXISTS (SELECT FROM {} s WHERE {})", self.mapped(), self.same_key()),
            None => "true".to_owned(),
        }
    }

    /// Deletes the live rows that are not in the restore point.
    pub(super) fn delete(&self) -> String {
        format!("DELETE FROM {} t WHERE {}", self.live.only(), self.beyond())
    }

    /// Brings back the live rows that changed; `None` where nothing is set.
    pub(super) fn update(&self) -> Option<String> {
        let only_empty = self.part && self.mode == RecoverMode::Missing;
        let set = self.set().map(|one| {
            let name = quoted(&one.now.name);
            if only_empty { format!("{name} = coalesce(t.{name}, s.{name})") } else { format!("{name} = s.{name}") }
        });
        let set: Vec<String> = set.collect();
        self.key.as_ref().filter(|_| !set.is_empty())?;
        Some(format!(
            "UPDATE {} t SET {} FROM {} s WHERE {} AND {}",
            self.live.only(),
            set.join(", "),
            self.mapped(),
            self.same_key(),
            self.differs()
        ))
    }

    /// Inserts the rows that are not there.
    pub(super) fn insert(&self) -> String {
        let names: Vec<String> = self.filled.iter().map(|one| quoted(&one.now.name)).collect();
        let names = names.join(", ");
        let missing = match self.key {
            Some(_) => format!("WHERE NOT EXISTS (SELECT FROM {} t WHERE {})", self.live.only(), self.same_key()),
            None => String::new(),
        };
        let columns = if names.is_empty() { String::new() } else { format!("({names}) OVERRIDING SYSTEM VALUE ") };
        format!("INSERT INTO {} {columns}SELECT {names} FROM {} s {missing}", self.live.quoted, self.mapped())
    }

    /// Whether the live table's rows, in the side table's columns, must be those of the restore point to the byte.
    pub(super) fn comparable(&self) -> bool {
        self.mode == RecoverMode::Replace && self.filled.iter().all(|one| one.was.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::super::mapping::{Column, Identity};
    use super::*;

    fn filled(then: &str, now: &str, was: Option<&str>) -> Filled {
        let now = Column {
            name: now.into(),
            type_name: "bigint".into(),
            not_null: true,
            filled: false,
            default: None,
            identity: Identity::None,
            generated: false,
            generated_from: Vec::new(),
        };
        Filled { then: then.into(), now, was: was.map(Into::into), nullable: true }
    }

    fn change(mode: RecoverMode, part: bool) -> Change {
        let live = LiveTable {
            oid: 1,
            quoted: "s.t".into(),
            kind: 'r',
            tree: vec![1],
            row_security: false,
            is_owner: true,
            lacks: Vec::new(),
            columns: Vec::new(),
            triggers: Vec::new(),
            rules: Vec::new(),
            sequences: Vec::new(),
            unidentified_for: Vec::new(),
            publications: Vec::new(),
            subscriptions: Vec::new(),
            materialized_views: Vec::new(),
            has_children: false,
            checks: Vec::new(),
            exclusions: Vec::new(),
            bounds: None,
            of_partitions: Vec::new(),
        };
        let key = UniqueIndex {
            name: "t_pkey".into(),
            columns: vec!["id".into()],
            expressions: vec!["id".into()],
            operators: vec!["OPERATOR(pg_catalog.=)".into()],
            exact: vec![true],
            condition: None,
            is_key: true,
            immediate: true,
            nulls_not_distinct: false,
        };
        Change {
            name: "s.t".into(),
            live,
            side: "side.t".into(),
            filled: vec![filled("id", "id", None), filled("old", "a b", Some("integer"))],
            through_text: BTreeSet::new(),
            key: Some(key),
            unique: Vec::new(),
            part,
            mode,
            source_leaves: None,
        }
    }

    const MAPPED: &str = "(SELECT \"id\" AS \"id\", CAST(\"old\" AS bigint) AS \"a b\" FROM side.t)";

    #[test]
    fn rows_that_are_there_are_never_inserted_and_children_never_touched() {
        let upsert = change(RecoverMode::Upsert, false);
        assert_eq!(
            upsert.insert(),
            format!(
                "INSERT INTO s.t (\"id\", \"a b\") OVERRIDING SYSTEM VALUE SELECT \"id\", \"a b\" FROM {MAPPED} s WHERE \
                 NOT EXISTS (SELECT FROM ONLY s.t t WHERE s.\"id\" OPERATOR(pg_catalog.=) t.\"id\")"
            )
        );
        assert_eq!(
            upsert.update().unwrap(),
            format!(
                "UPDATE ONLY s.t t SET \"a b\" = s.\"a b\" FROM {MAPPED} s WHERE s.\"id\" OPERATOR(pg_catalog.=) t.\"id\" \
                 AND ROW(s.\"a b\")::record OPERATOR(pg_catalog.*<>) ROW(t.\"a b\")::record"
            )
        );
        assert!(upsert.delete().starts_with("DELETE FROM ONLY s.t t WHERE NOT EXISTS"));
    }

    #[test]
    fn only_empty_values_are_filled_where_that_is_asked_for() {
        let part = change(RecoverMode::Missing, true);
        let update = part.update().unwrap();
        assert!(update.contains("SET \"a b\" = coalesce(t.\"a b\", s.\"a b\")"), "{update}");
        assert!(update.ends_with("(t.\"a b\" IS NULL AND s.\"a b\" IS NOT NULL))"), "{update}");
    }

    #[test]
    fn a_table_of_keys_alone_has_nothing_to_update() {
        let mut bare = change(RecoverMode::Upsert, false);
        bare.filled.truncate(1);
        assert_eq!((bare.update(), bare.differs().as_str()), (None, "false"));
        bare.key = None;
        assert_eq!(bare.update(), None);
        assert_eq!(bare.delete(), "DELETE FROM ONLY s.t t WHERE true");
    }

    #[test]
    fn a_type_without_a_cast_goes_through_text() {
        let mut odd = change(RecoverMode::Upsert, false);
        odd.through_text.insert("old".into());
        assert!(odd.mapped().contains("CAST(CAST(\"old\" AS text) AS bigint) AS \"a b\""), "{}", odd.mapped());
    }
}
