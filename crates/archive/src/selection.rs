//! Which entries of an archive belong to a table.
//!
//! `pg_restore -t` gives a table without indexes, constraints, defaults, sequences, triggers, policies and grants, and
//! matches its name in every schema. The entries that make it whole are found by what they depend on and by the table's
//! quoted name in their statements; that name is cut out of the table's own drop statement, so no rule of quoting is
//! needed.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::statement::alters;
use crate::{Entry, Head, Section};

/// The entries that make tables whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// The tables: those asked for and the partitions below them.
    pub tables: BTreeSet<i32>,
    /// Everything that is theirs, the tables and their data included, in the order of the contents.
    pub entries: Vec<i32>,
    /// Foreign keys of other tables that point to them.
    pub pointing: Vec<i32>,
    /// What must be there before they can be made, in the order of the contents: schemas, types, functions, parents.
    pub prerequisites: Vec<i32>,
    /// Views and materialized views that read from them, directly or through others, in the order of the contents.
    pub views: Vec<i32>,
}

/// Returns a table's name as statements write it, cut out of its own drop statement.
pub fn quoted_name(table: &Entry) -> Option<Bytes> {
    let drop = table.drop_statement.as_ref()?;
    let rest = drop.strip_prefix(b"DROP TABLE ")?;
    let name = rest.strip_suffix(b";\n")?;
    Some(drop.slice_ref(name))
}

/// Returns the entry of a table, partitioned ones included.
pub fn table_entry<'a>(head: &'a Head, schema: &[u8], name: &[u8]) -> Option<&'a Entry> {
    head.entries().iter().find(|entry| {
        entry.description == b"TABLE"[..] && entry.tag == name && entry.namespace.as_deref() == Some(schema)
    })
}

/// Returns the entries of every table, those without data included.
pub fn tables(head: &Head) -> impl Iterator<Item = &Entry> {
    head.entries().iter().filter(|entry| entry.description == b"TABLE"[..])
}

impl Selection {
    /// Selects what makes the tables with these ids whole; ids of other entries are passed over.
    pub fn of_tables(head: &Head, tables: &[i32]) -> Self {
        let mut work = Work { head, names: BTreeMap::new(), selected: BTreeSet::new(), pointing: BTreeSet::new() };
        for id in tables {
            work.table(*id);
        }
        while work.round() {}
        let in_order = |ids: &BTreeSet<i32>| -> Vec<i32> {
            head.entries().iter().map(|entry| entry.dump_id).filter(|id| ids.contains(id)).collect()
        };
        let selection = Self {
            tables: work.names.keys().copied().collect(),
            entries: in_order(&work.selected),
            pointing: in_order(&work.pointing),
            prerequisites: Vec::new(),
            views: in_order(&views(head, &work.selected)),
        };
        let needed = prerequisites(head, &work.selected);
        Self { prerequisites: in_order(&needed), ..selection }
    }

    /// Returns the partitions directly below a table, by what attaches them.
    pub fn partitions(head: &Head, table: i32) -> Vec<i32> {
        let attach = head.entries().iter().filter(|entry| entry.description == b"TABLE ATTACH"[..]);
        attach
            .filter_map(|entry| attached(entry).filter(|(_, parent)| *parent == table))
            .map(|(child, _)| child)
            .collect()
    }
}

/// The child and the parent that a `TABLE ATTACH` joins: pg_dump lists them in this order.
fn attached(entry: &Entry) -> Option<(i32, i32)> {
    match entry.dependencies[..] {
        [child, parent, ..] => Some((child, parent)),
        _ => None,
    }
}

struct Work<'a> {
    head: &'a Head,
    names: BTreeMap<i32, Bytes>,
    selected: BTreeSet<i32>,
    pointing: BTreeSet<i32>,
}

impl Work<'_> {
    fn table(&mut self, id: i32) {
        let table = self.head.entry(id).filter(|entry| entry.description == b"TABLE"[..]);
        if let Some(name) = table.and_then(quoted_name) {
            self.names.insert(id, name);
            self.selected.insert(id);
        }
    }

    /// Goes through the contents once; says whether anything was added.
    fn round(&mut self) -> bool {
        let before = (self.selected.len(), self.pointing.len());
        for entry in self.head.entries() {
            if self.selected.contains(&entry.dump_id) {
                continue;
            }
            if entry.description == b"TABLE ATTACH"[..] {
                if let Some((child, parent)) = attached(entry) {
                    if self.names.contains_key(&parent) {
                        self.table(child);
                    }
                    if self.names.contains_key(&child) {
                        self.selected.insert(entry.dump_id);
                    }
                }
                continue;
            }
            if self.belongs(entry) {
                self.selected.insert(entry.dump_id);
            } else if entry.description == b"FK CONSTRAINT"[..] && self.of_table(entry) {
                self.pointing.insert(entry.dump_id);
            }
        }
        before != (self.selected.len(), self.pointing.len())
    }

    fn of_table(&self, entry: &Entry) -> bool {
        entry.dependencies.iter().any(|id| self.names.contains_key(id))
    }

    fn of_selected(&self, entry: &Entry, descriptions: &[&[u8]]) -> bool {
        entry.dependencies.iter().any(|id| {
            self.selected.contains(id)
                && (descriptions.is_empty()
                    || self.head.entry(*id).is_some_and(|on| descriptions.contains(&&on.description[..])))
        })
    }

    /// Whether a statement is about one of the tables.
    fn about(&self, entry: &Entry, then: &[u8]) -> bool {
        let definition = entry.definition.as_deref().unwrap_or_default();
        self.names.values().any(|name| alters(definition, name, then))
    }

    fn dropped_from(&self, entry: &Entry) -> bool {
        let drop = entry.drop_statement.as_deref().unwrap_or_default();
        self.names.values().any(|name| {
            drop.strip_suffix(b";\n")
                .and_then(|drop| drop.strip_suffix(&name[..]))
                .is_some_and(|rest| rest.ends_with(b" ON "))
        })
    }

    fn belongs(&self, entry: &Entry) -> bool {
        match &entry.description[..] {
            b"TABLE DATA" | b"ROW SECURITY" | b"STATISTICS" | b"INDEX" | b"SEQUENCE" | b"PUBLICATION TABLE" => {
                self.of_table(entry)
            }
            b"INDEX ATTACH" => self.of_selected(entry, &[b"TABLE", b"INDEX", b"CONSTRAINT"]),
            b"STATISTICS DATA" => self.of_selected(entry, &[b"TABLE", b"INDEX", b"CONSTRAINT"]),
            b"CONSTRAINT" | b"CHECK CONSTRAINT" | b"FK CONSTRAINT" => self.of_table(entry) && self.about(entry, b"\n"),
            b"DEFAULT" => self.of_table(entry) && self.about(entry, b" ALTER COLUMN "),
            b"TRIGGER" | b"RULE" | b"POLICY" => self.of_table(entry) && self.dropped_from(entry),
            b"SEQUENCE OWNED BY" | b"SEQUENCE SET" => self.of_selected(entry, &[b"SEQUENCE"]),
            b"COMMENT" | b"ACL" | b"SECURITY LABEL" => self.of_selected(entry, &[]),
            _ => false,
        }
    }
}

/// What selected entries depend on before data, to its end.
fn prerequisites(head: &Head, selected: &BTreeSet<i32>) -> BTreeSet<i32> {
    let mut needed = BTreeSet::new();
    let mut open: Vec<i32> = selected.iter().copied().collect();
    while let Some(id) = open.pop() {
        let Some(entry) = head.entry(id) else { continue };
        // A foreign key needs the other table, but a table can be made without it.
        if entry.section == Section::PostData {
            continue;
        }
        for on in &entry.dependencies {
            let before = head.entry(*on).is_some_and(|on| on.section == Section::PreData);
            if before && !selected.contains(on) && needed.insert(*on) {
                open.push(*on);
            }
        }
    }
    needed
}

fn views(head: &Head, selected: &BTreeSet<i32>) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for entry in head.entries() {
            let view = matches!(&entry.description[..], b"VIEW" | b"MATERIALIZED VIEW");
            let on_view = |id: &i32| found.contains(id);
            let on_table =
                |id: &i32| selected.contains(id) && head.entry(*id).is_some_and(|on| on.description == b"TABLE"[..]);
            if view && entry.dependencies.iter().any(|id| on_view(id) || on_table(id)) {
                found.insert(entry.dump_id);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}
