//! What an archive's contents say of tables: their definitions and everything that is theirs.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdpoint_archive::{
    Entry, Head, Selection, first_statement, quoted_name, retargeted, table_entry, tables, unique_constraint,
};
use holdpoint_core::name::archive_text;

use super::find::Known;
use super::leaves;
use super::source::{Recovered, Rows};

/// The contents of an archive.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) head: Arc<Head>,
    pub(super) encoding: String,
}

impl Catalogue {
    fn text(&self, bytes: &[u8]) -> String {
        archive_text(bytes, &self.encoding)
    }

    pub(super) fn name_of(&self, entry: &Entry) -> Known {
        (self.text(entry.namespace.as_deref().unwrap_or_default()), self.text(&entry.tag))
    }

    /// How an entry is called for people, such as `type shop.mood`.
    pub(super) fn called(&self, entry: &Entry) -> String {
        let (schema, name) = self.name_of(entry);
        let kind = self.text(&entry.description).to_lowercase();
        if schema.is_empty() { format!("{kind} {name}") } else { format!("{kind} {schema}.{name}") }
    }

    /// Every table.
    pub(super) fn known(&self) -> Vec<Known> {
        tables(&self.head).map(|entry| self.name_of(entry)).collect()
    }

    pub(super) fn entry(&self, known: &Known) -> Option<&Entry> {
        // Names that decode to themselves are found at once.
        table_entry(&self.head, known.0.as_bytes(), known.1.as_bytes())
            .or_else(|| tables(&self.head).find(|entry| self.name_of(entry) == *known))
    }

    /// Which of these tables are partitions of another of them.
    pub(super) fn below(&self, all: &[Known]) -> BTreeSet<Known> {
        let mut below = BTreeSet::new();
        for id in all.iter().filter_map(|known| self.entry(known)).map(|entry| entry.dump_id) {
            let mut open = Selection::partitions(&self.head, id);
            while let Some(part) = open.pop() {
                open.extend(Selection::partitions(&self.head, part));
                below.extend(self.head.entry(part).map(|entry| self.name_of(entry)));
            }
        }
        below
    }

    /// What makes a table whole; `None` for a table that is not there.
    pub(super) fn selection(&self, known: &Known) -> Option<(&Entry, Selection)> {
        let entry = self.entry(known)?;
        Some((entry, Selection::of_tables(&self.head, &[entry.dump_id])))
    }

    /// The entries of a selection, in the order of the contents.
    pub(super) fn entries<'a>(&'a self, ids: &'a [i32]) -> impl Iterator<Item = &'a Entry> {
        ids.iter().filter_map(|id| self.head.entry(*id))
    }

    /// Whether a table is partitioned and so holds no rows itself.
    fn is_partitioned(&self, entry: &Entry) -> bool {
        // Old archives have no kind.
        entry.relkind == i32::from(b'p') || leaves::is_partitioned(entry.definition.as_deref().unwrap_or_default())
    }

    /// The tables of a selection that hold rows.
    pub(super) fn leaves<'a>(&'a self, selection: &'a Selection) -> impl Iterator<Item = &'a Entry> {
        let tables = selection.tables.iter().filter_map(|id| self.head.entry(*id));
        tables.filter(|entry| !self.is_partitioned(entry))
    }

    /// Everything about a table but its rows.
    pub(super) fn recovered(&self, known: &Known, entry: &Entry, selection: &Selection, rows: Rows) -> Recovered {
        let quoted = quoted_name(entry).map(|name| name.to_vec()).unwrap_or_default();
        let of_table = self.entries(&selection.entries).filter_map(|entry| entry.definition.as_deref());
        let indexes = of_table.filter(|definition| {
            let index = !definition.starts_with(b"ALTER ") || unique_constraint(definition, &quoted);
            index && !definition.starts_with(b"CREATE TABLE") && retargeted(definition, &quoted, &quoted).is_some()
        });
        let indexes = indexes.filter(|definition| !definition.starts_with(b"CREATE UNLOGGED")).map(<[u8]>::to_vec);
        Recovered {
            known: known.clone(),
            definition: entry.definition.as_deref().unwrap_or_default().to_vec(),
            prerequisites: self.prerequisites(selection),
            indexes: indexes.collect(),
            quoted,
            rows,
            leaves: self.is_partitioned(entry).then(|| self.leaves(selection).map(|leaf| self.name_of(leaf)).collect()),
        }
    }

    /// What a definition may need and the live database may have lost.
    fn prerequisites(&self, selection: &Selection) -> Vec<(Vec<u8>, Vec<u8>)> {
        let kinds: [&[u8]; 5] = [b"SCHEMA", b"TYPE", b"DOMAIN", b"FUNCTION", b"SEQUENCE"];
        let sequences = self.entries(&selection.entries).filter(|entry| entry.description == b"SEQUENCE"[..]);
        self.entries(&selection.prerequisites)
            .chain(sequences)
            .filter(|entry| kinds.contains(&&entry.description[..]))
            .filter_map(|entry| {
                let make = first_statement(entry.definition.as_deref()?)?;
                let drop = first_statement(entry.drop_statement.as_deref()?)?;
                // An identity's sequence is made by altering the table.
                make.starts_with(b"CREATE ").then(|| (make.to_vec(), drop.to_vec()))
            })
            .collect()
    }
}
