//! The tables of the copy at one moment: names, files, columns, and what the server counted.

use std::collections::BTreeMap;

use holdpoint_core::fingerprint::qualified;
use holdpoint_core::rehearsal::RowEffect;
use holdpoint_postgres::Session;

use super::locks::OWN_SCHEMA;
use crate::Error;

/// Up to 14 counters come from a collector that answers up to half a second late.
const COLLECTOR_DELAY: std::time::Duration = std::time::Duration::from_millis(1100);

/// A table, partitioned table, materialized view or foreign table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    /// The name as comparisons write it.
    pub(super) name: String,
    pub(super) file: u32,
    /// It has a file, and there is nothing in it.
    pub(super) is_empty: bool,
    /// The tables that it is a partition or a child of.
    pub(super) parents: Vec<u32>,
    pub(super) columns: Vec<String>,
    /// The numbers that the columns keep, whatever they are called; 0 for those that make their values themselves.
    pub(super) numbers: Vec<i16>,
    pub(super) counted: Option<RowEffect>,
}

/// All of them, by OID.
pub(super) type Relations = BTreeMap<u32, Relation>;

/// Reads all of them.
pub(super) async fn relations(session: &Session) -> Result<Relations, Error> {
    if session.server().major <= 14 {
        tokio::time::sleep(COLLECTOR_DELAY).await;
    }
    session.run("reading the copy's counters", "SELECT pg_catalog.pg_stat_clear_snapshot()").await?;
    let sql = "SELECT c.oid, n.nspname::text, c.relname::text, c.relfilenode, \
                      ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a \
                            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum), \
                      s.n_tup_ins, s.n_tup_upd, s.n_tup_del, pg_catalog.pg_relation_size(c.oid) = 0, \
                      ARRAY(SELECT i.inhparent FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid), \
                      ARRAY(SELECT CASE a.attgenerated WHEN '' THEN a.attnum ELSE 0::int2 END FROM pg_catalog.pg_attribute a \
                            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) \
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = c.oid \
               WHERE c.relkind IN ('r', 'p', 'm', 'f') AND c.relpersistence <> 't' AND n.nspname <> $1 \
                 AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'";
    let rows = session.query("reading the copy's tables", sql, &[&OWN_SCHEMA]).await?;
    let relation = |row: &holdpoint_postgres::Row| {
        let (schema, name): (String, String) = (row.get(1), row.get(2));
        let count = |place| row.get::<_, Option<i64>>(place).map(i64::unsigned_abs);
        let counted = match (count(5), count(6), count(7)) {
            (Some(inserted), Some(updated), Some(deleted)) => Some(RowEffect { inserted, updated, deleted }),
            _ => None,
        };
        let one = Relation {
            name: qualified(Some(&schema), &name),
            file: row.get(3),
            is_empty: row.get::<_, Option<bool>>(8).unwrap_or_default(),
            parents: row.get(9),
            columns: row.get(4),
            numbers: row.get(10),
            counted,
        };
        (row.get(0), one)
    };
    Ok(rows.iter().map(relation).collect())
}

/// Indexes that are not usable, such as a failed CREATE INDEX CONCURRENTLY leaves.
pub(super) async fn invalid_indexes(session: &Session) -> Result<Vec<String>, Error> {
    let sql = "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_index i \
               JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) AND c.relkind = 'i' ORDER BY 1, 2";
    let rows = session.query("looking for invalid indexes", sql, &[]).await?;
    Ok(rows.iter().map(|row| qualified(Some(row.get(0)), row.get(1))).collect())
}
