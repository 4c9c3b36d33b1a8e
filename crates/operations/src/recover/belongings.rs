//! Which entries of an archive's contents make tables that are gone whole again, and in which order.

use std::collections::BTreeSet;

use holdpoint_archive::{Entry, EntryKind, Section, Selection};
use holdpoint_postgres::Session;

use super::catalogue::Catalogue;
use super::source::Facts;
use crate::Error;

const WHAT: &str = "looking for what went with a table";

/// What tables and the views over them need, each with its comment and grants; no other tables, which have rows.
pub(super) fn needed<'a>(catalogue: &'a Catalogue, selection: &Selection, views: &[i32]) -> Vec<Vec<&'a Entry>> {
    let has_rows: [&[u8]; 5] = [b"TABLE", b"TABLE ATTACH", b"FOREIGN TABLE", b"MATERIALIZED VIEW", b"FK CONSTRAINT"];
    let own = |id: &i32| selection.entries.contains(id) || views.contains(id);
    let mut open: Vec<i32> = selection.entries.iter().chain(views).copied().collect();
    let (mut seen, mut ids) = (BTreeSet::new(), BTreeSet::new());
    while let Some(entry) = open.pop().and_then(|id| catalogue.head.entry(id)) {
        if !seen.insert(entry.dump_id) || entry.description == b"FK CONSTRAINT"[..] {
            continue;
        }
        for on in entry.dependencies.iter().filter_map(|id| catalogue.head.entry(*id)) {
            let makes = on.section == Section::PreData && !has_rows.contains(&&on.description[..]);
            if makes && !own(&on.dump_id) {
                ids.insert(on.dump_id);
            }
            if makes || own(&on.dump_id) {
                open.push(on.dump_id);
            }
        }
    }
    let all = catalogue.head.entries();
    let needed = all.iter().filter(|entry| ids.contains(&entry.dump_id));
    let with_theirs = needed.map(|entry| {
        let theirs = all.iter().filter(|one| {
            let about: [&[u8]; 3] = [b"COMMENT", b"ACL", b"SECURITY LABEL"];
            about.contains(&&one.description[..]) && one.dependencies.contains(&entry.dump_id)
        });
        std::iter::once(entry).chain(theirs).collect()
    });
    with_theirs.collect()
}

/// Default privileges of the schemas of some tables that are not there.
pub(super) async fn default_privileges(
    session: &Session,
    catalogue: &Catalogue,
    selection: &Selection,
) -> Result<Vec<i32>, Error> {
    let tables = selection.tables.iter().filter_map(|id| catalogue.head.entry(*id));
    let schemas: BTreeSet<String> = tables.map(|entry| catalogue.name_of(entry).0).collect();
    let mut found = Vec::new();
    for schema in schemas {
        let sql = "SELECT NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1::text)";
        if !session.query_one(WHAT, sql, &[&schema]).await?.get::<_, bool>(0) {
            continue;
        }
        let of_it = |entry: &&Entry| entry.description == b"DEFAULT ACL"[..] && catalogue.name_of(entry).0 == schema;
        found.extend(catalogue.head.entries().iter().filter(of_it).map(|entry| entry.dump_id));
    }
    Ok(found)
}

/// Entries that are made before the rows: the tables, their sequences and defaults.
pub(super) fn before_rows(catalogue: &Catalogue, selection: &Selection) -> Vec<i32> {
    let entries = catalogue.entries(&selection.entries);
    let before = entries.filter(|entry| entry.section == Section::PreData && !joins_another(entry, selection));
    before.map(|entry| entry.dump_id).collect()
}

/// Whether an entry attaches a partition to a table that is there.
///
/// That comes when the partition has its indexes: otherwise it gets new ones for those of the table.
fn joins_another(entry: &Entry, selection: &Selection) -> bool {
    let parent = entry.dependencies.get(1);
    entry.description == b"TABLE ATTACH"[..] && parent.is_some_and(|parent| !selection.tables.contains(parent))
}

/// Entries that are made behind the rows: the sequences' values, indexes, constraints, triggers, views, grants.
pub(super) fn after_rows(catalogue: &Catalogue, selection: &Selection, views: &[i32]) -> Vec<i32> {
    let of_views = |entry: &&Entry| {
        let theirs: [&[u8]; 5] = [b"ACL", b"COMMENT", b"INDEX", b"RULE", b"MATERIALIZED VIEW DATA"];
        theirs.contains(&&entry.description[..]) && entry.dependencies.iter().any(|id| views.contains(id))
    };
    let rows = |entry: &Entry| matches!(entry.kind(), EntryKind::TableData | EntryKind::StatisticsData);
    let rank = |entry: &Entry| match &entry.description[..] {
        b"TABLE ATTACH" => 1,
        b"INDEX ATTACH" => 2,
        _ if entry.section == Section::None => 4,
        _ => 0,
    };
    let own = catalogue.entries(&selection.entries).filter(|entry| {
        let late = entry.section != Section::PreData || joins_another(entry, selection);
        late && !rows(entry) && entry.description != b"FK CONSTRAINT"[..]
    });
    let over = catalogue.entries(views).chain(catalogue.head.entries().iter().filter(of_views));
    let mut all: Vec<(u8, i32)> = own.map(|entry| (rank(entry), entry.dump_id)).collect();
    all.extend(over.map(|entry| (3, entry.dump_id)));
    // The order of the contents within each rank.
    all.sort_by_key(|(rank, _)| *rank);
    all.into_iter().map(|(_, id)| id).collect()
}

/// Views over the table that went with it.
pub(super) async fn absent_views(
    session: &Session,
    catalogue: &Catalogue,
    facts: &Facts,
    selection: &Selection,
) -> Result<Vec<i32>, Error> {
    let mut absent = Vec::new();
    for entry in catalogue.entries(&selection.views) {
        let drop = entry.drop_statement.as_deref().unwrap_or_default();
        let name = drop.strip_prefix(b"DROP VIEW ").or_else(|| drop.strip_prefix(b"DROP MATERIALIZED VIEW "));
        let Some(name) = name.and_then(|name| name.strip_suffix(b";\n")).and_then(|name| facts.sql(name)) else {
            continue;
        };
        let row = session.query_one(WHAT, "SELECT to_regclass($1::text) IS NULL", &[&name]).await?;
        if row.get(0) {
            absent.push(entry.dump_id);
        }
    }
    Ok(absent)
}

pub(super) fn counted(catalogue: &Catalogue, selection: &Selection, views: usize) -> String {
    let entries = || catalogue.entries(&selection.entries);
    let count = |kinds: &[&[u8]]| entries().filter(|entry| kinds.contains(&&entry.description[..])).count();
    let parts: [(&str, usize); 9] = [
        ("indexes and constraints", count(&[b"INDEX", b"CONSTRAINT", b"CHECK CONSTRAINT"])),
        ("sequences", count(&[b"SEQUENCE"])),
        ("triggers and rules", count(&[b"TRIGGER", b"RULE"])),
        ("policies", count(&[b"POLICY"])),
        ("grants", count(&[b"ACL"])),
        ("comments", count(&[b"COMMENT"])),
        ("foreign keys", count(&[b"FK CONSTRAINT"])),
        ("foreign keys of other tables", selection.pointing.len()),
        ("views", views),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{what}: {count}")).collect();
    if parts.is_empty() { "its columns alone".to_owned() } else { parts.join(", ") }
}
