//! Which tables of another database are read: those that were asked for and what belongs to them, and no other.
//!
//! pg_dump locks every table that it describes, and needs the right to read it; to describe a view it waits for the
//! tables that the view reads from, and to describe a sequence for the one that owns it. Told to leave those out, it
//! still describes types, functions and schemas; told which tables to take, it would not.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::fingerprint::qualified;
use holdpoint_core::name::quote_identifier;
use holdpoint_postgres::catalog::roles;
use holdpoint_postgres::programs::DumpSelection;
use holdpoint_postgres::{Row, Session};

use super::RecoverError;
use super::find::{Known, Wanted, find};
use crate::Error;

const WHAT: &str = "listing the other database's tables";
/// Names in one pattern: each pattern is a query of pg_dump.
const NAMES: usize = 200;

/// The tables of another database.
#[derive(Debug)]
pub(super) struct OtherTables {
    /// All of them that are the user's.
    pub(super) known: Vec<Known>,
    /// What pg_dump is to leave out.
    pub(super) selection: DumpSelection,
    /// What is worth knowing.
    pub(super) notes: Vec<String>,
}

impl OtherTables {
    /// Finds what has to be read to bring tables back; `gone` says of the live database that it has no such table.
    pub(super) async fn find(session: &Session, wanted: &Wanted, live: &Session, place: &str) -> Result<Self, Error> {
        let sql = "SELECT n.nspname::text, c.relname::text, c.oid, c.relkind IN ('r', 'p') FROM pg_class c \
                   JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
                     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid \
                                       AND d.deptype = 'e') ORDER BY 1, 2";
        let rows = session.query(WHAT, sql, &[]).await?;
        let table = |row: &Row| ((row.get::<_, String>(0), row.get::<_, String>(1)), row.get::<_, u32>(2));
        let all: BTreeMap<Known, u32> = rows.iter().map(table).collect();
        let tables = rows.iter().filter(|row| row.get(3)).map(table);
        let known: Vec<Known> = tables.map(|(known, _)| known).collect();
        let asked = find(wanted, &known, place)?;
        let mut gone = Vec::new();
        for one in &asked {
            let name = format!("{}.{}", quote_identifier(&one.0), quote_identifier(&one.1));
            let row =
                live.query_one("looking for live tables", "SELECT to_regclass($1::text) IS NULL", &[&name]).await?;
            if row.get(0) {
                gone.extend(all.get(one).copied());
            }
        }
        let oids: Vec<u32> = asked.iter().filter_map(|one| all.get(one).copied()).collect();
        let (mut read, notes) = related(session, &oids, &gone, place).await?;
        read.extend(beside(session, &read, &gone).await?);
        let others = all.iter().filter(|(_, oid)| !read.contains(oid)).map(|(known, _)| known);
        let selection = DumpSelection { exclude_tables: patterns(others), ..DumpSelection::default() };
        Ok(Self { known, selection, notes })
    }
}

/// The tables that are read with some: their partitions; their parents; and for those that are made again, others whose
/// foreign keys point to them. Fails where this role may not read rows that were asked for.
async fn related(
    session: &Session,
    asked: &[u32],
    gone: &[u32],
    place: &str,
) -> Result<(BTreeSet<u32>, Vec<String>), Error> {
    let sql = "WITH RECURSIVE own AS (SELECT t AS oid FROM unnest($1::oid[]) t \
                   UNION SELECT p.relid::oid FROM unnest($1::oid[]) t, pg_partition_tree(t::regclass) p), \
                 up AS (SELECT oid FROM own UNION SELECT h.inhparent FROM up JOIN pg_inherits h ON h.inhrelid = up.oid), \
                 pointing AS (SELECT k.conrelid AS oid FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid IN ( \
                   SELECT t FROM unnest($2::oid[]) t UNION SELECT p.relid::oid FROM unnest($2::oid[]) t, pg_partition_tree(t::regclass) p)), \
                 every AS (SELECT oid, 1 AS rank FROM own UNION ALL SELECT oid, 2 FROM up UNION ALL SELECT oid, 3 FROM pointing) \
               SELECT DISTINCT ON (c.oid) c.oid, e.rank, n.nspname::text, c.relname::text, \
                 has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') \
               FROM every e JOIN pg_class c ON c.oid = e.oid AND c.relkind IN ('r', 'p') \
               JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY c.oid, e.rank";
    let (mut read, mut hidden, mut notes) = (BTreeSet::new(), Vec::new(), Vec::new());
    for row in session.query(WHAT, sql, &[&asked, &gone]).await? {
        let name = qualified(Some(row.get(2)), row.get(3));
        match (row.get::<_, i32>(1), row.get::<_, bool>(4)) {
            (_, true) => {
                read.insert(row.get::<_, u32>(0));
            }
            (1, false) => hidden.push(name),
            (2, false) => {}
            (_, false) => notes.push(format!(
                "foreign keys of {name} to a table that is made again do not come back: this role may not read it there"
            )),
        }
    }
    if hidden.is_empty() {
        return Ok((read, notes));
    }
    hidden.sort();
    let role = roles::own_rights(session).await?.name;
    Err(RecoverError::Unreadable { role, tables: hidden, place: place.to_owned() }.into())
}

/// Sequences that the tables use, or that no table owns, and views over the tables that are made again.
async fn beside(session: &Session, read: &BTreeSet<u32>, gone: &[u32]) -> Result<Vec<u32>, Error> {
    let sql = "WITH RECURSIVE views AS (SELECT t AS oid FROM unnest($2::oid[]) t \
                   UNION SELECT r.ev_class FROM views JOIN pg_depend d ON d.refobjid = views.oid \
                     AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_rewrite'::regclass \
                   JOIN pg_rewrite r ON r.oid = d.objid) \
               SELECT oid FROM views UNION SELECT s.oid FROM pg_class s WHERE s.relkind = 'S' AND ( \
                 NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = s.oid \
                   AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjid <> ALL ($1::oid[])) \
                 OR EXISTS (SELECT FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid AND a.adrelid = ANY ($1::oid[]) \
                   WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid))";
    let read: Vec<u32> = read.iter().copied().collect();
    let rows = session.query(WHAT, sql, &[&read, &gone]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Patterns of pg_dump that match exactly these tables: of one schema, names in quotes, any of them.
fn patterns<'a>(tables: impl Iterator<Item = &'a Known>) -> Vec<String> {
    let mut schemas: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (schema, name) in tables {
        schemas.entry(schema).or_default().push(in_quotes(name));
    }
    let of_schema = |(schema, names): (&str, Vec<String>)| {
        let schema = in_quotes(schema);
        names.chunks(NAMES).map(|some| format!("{schema}.{}", some.join("|"))).collect::<Vec<_>>()
    };
    schemas.into_iter().flat_map(of_schema).collect()
}

/// Within quotes no sign of a pattern means anything but itself.
fn in_quotes(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_names_as_they_are() {
        let known = |schema: &str, name: &str| (schema.to_owned(), name.to_owned());
        let tables = [known("a", "t"), known("a", "T*|\"x\""), known("b c", "t.u")];
        assert_eq!(patterns(tables.iter()), ["\"a\".\"t\"|\"T*|\"\"x\"\"\"", "\"b c\".\"t.u\""]);
        let many: Vec<Known> = (0..450).map(|nth| known("a", &nth.to_string())).collect();
        assert_eq!(patterns(many.iter()).len(), 3);
    }
}
