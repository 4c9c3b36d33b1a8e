//! A live table as far as its rows are compared with others: columns, keys, rights.

use crate::Error;
use crate::session::Session;

/// A live table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableForm {
    /// Its OID.
    pub oid: u32,
    /// `schema.name`, quoted where needed.
    pub quoted: String,
    /// It is partitioned: its rows are its partitions'.
    pub partitioned: bool,
    /// Its partitions that hold rows here, quoted, where others are foreign tables.
    pub partitions: Vec<String>,
    /// Its partitions that are foreign tables, quoted.
    pub foreign_partitions: Vec<String>,
    /// The columns that COPY gives, in their order: generated ones are left out.
    pub columns: Vec<String>,
    /// Their types, as definitions write them.
    pub types: Vec<String>,
    /// Its keys, the primary one first, then those with fewer columns: every row has one, and no other row has it.
    pub keys: Vec<Vec<String>>,
    /// Unique indexes that are no keys, and why.
    pub no_keys: Vec<String>,
    /// The role may read it whole.
    pub readable: bool,
    /// Row security would hide rows from the role.
    pub row_security: bool,
    /// Rows by the last statistics; `None` where they were never counted.
    pub estimated_rows: Option<u64>,
}

/// Reads a table, or a partitioned one; `None` where there is none of that name.
pub async fn table_form(session: &Session, schema: &str, name: &str) -> Result<Option<TableForm>, Error> {
    const WHAT: &str = "reading a table's columns and keys";
    let sql = "SELECT c.oid, pg_catalog.format('%I.%I', n.nspname, c.relname), c.relkind = 'p', \
                 ARRAY(SELECT attname::text FROM pg_catalog.pg_attribute \
                       WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' \
                       ORDER BY attnum), \
                 pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT'), \
                 pg_catalog.row_security_active(c.oid), \
                 (SELECT CASE WHEN pg_catalog.min(p.reltuples) >= 0 \
                              THEN pg_catalog.sum(p.reltuples)::pg_catalog.int8 END \
                  FROM pg_catalog.pg_class p WHERE p.relkind = 'r' AND (p.oid = c.oid OR p.oid IN \
                    (SELECT relid FROM pg_catalog.pg_partition_tree(c.oid::pg_catalog.regclass)))), \
                 ARRAY(SELECT pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute \
                       WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '' \
                       ORDER BY attnum) \
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1::text AND c.relname = $2::text AND c.relkind IN ('r', 'p')";
    let rows = session.query(WHAT, sql, &[&schema, &name]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let oid: u32 = row.get(0);
    let mut table = TableForm {
        oid,
        quoted: row.get(1),
        partitioned: row.get(2),
        partitions: Vec::new(),
        foreign_partitions: Vec::new(),
        columns: row.get(3),
        types: row.get(7),
        keys: Vec::new(),
        no_keys: Vec::new(),
        readable: row.get(4),
        row_security: row.get(5),
        estimated_rows: row.get::<_, Option<i64>>(6).map(i64::unsigned_abs),
    };
    if table.partitioned {
        let sql = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), c.relkind = 'f' \
                   FROM pg_catalog.pg_partition_tree($1::pg_catalog.oid::pg_catalog.regclass) p \
                   JOIN pg_catalog.pg_class c ON c.oid = p.relid \
                   JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                   WHERE c.relkind IN ('r', 'f') ORDER BY 1";
        let leaves = session.query("reading a table's partitions", sql, &[&oid]).await?;
        let (foreign, own): (Vec<_>, Vec<_>) = leaves.iter().partition(|leaf| leaf.get(1));
        if !foreign.is_empty() {
            table.partitions = own.iter().map(|leaf| leaf.get(0)).collect();
            table.foreign_partitions = foreign.iter().map(|leaf| leaf.get(0)).collect();
        }
    }
    let sql = "SELECT ic.relname::text, \
                 ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, nth) \
                       JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
                       WHERE k.nth <= i.indnkeyatts ORDER BY k.nth), \
                 i.indexprs IS NULL, i.indpred IS NULL, i.indimmediate, i.indisvalid, \
                 NOT EXISTS (SELECT FROM pg_catalog.unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, nth) \
                             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
                             WHERE k.nth <= i.indnkeyatts AND NOT a.attnotnull) \
               FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid \
               WHERE i.indrelid = $1 AND i.indisunique ORDER BY i.indisprimary DESC, i.indnkeyatts, 1";
    for row in session.query(WHAT, sql, &[&oid]).await? {
        let is = |place: usize| -> bool { row.get(place) };
        let why = match (is(2), is(3), is(4), is(5), is(6)) {
            (false, ..) => "is on an expression",
            (_, false, ..) => "is on some rows only",
            (_, _, false, ..) => "is checked at the end of a transaction",
            (_, _, _, false, _) => "is invalid",
            (.., false) => "allows NULL",
            _ => {
                table.keys.push(row.get(1));
                continue;
            }
        };
        table.no_keys.push(format!("{} {why}", row.get::<_, &str>(0)));
    }
    Ok(Some(table))
}

/// Lists the schema and name of every table and partitioned table that is the user's.
pub async fn table_names(session: &Session) -> Result<Vec<(String, String)>, Error> {
    let sql = "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
               ORDER BY 1, 2";
    let rows = session.query("listing tables", sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
