//! Tables, sequences, and which rows of extensions' tables belong to the user.
//!
//! Nothing here calls `pg_relation_size` or its like before the caller holds locks: with an ALTER TABLE queued behind
//! pg_dump that is a deadlock which PostgreSQL cannot see (measured). Sizes come from `relpages`, which is stale.

use serde::Serialize;

use crate::Error;
use crate::session::Session;

/// A relation as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Relation {
    /// Its OID, which stays through renames.
    pub oid: u32,
    /// The schema.
    pub schema: String,
    /// The name.
    pub name: String,
    /// `schema.name`, quoted where needed: what a statement uses.
    pub quoted: String,
    /// `pg_class.relkind`: `r` table, `p` partitioned, `f` foreign, `m` materialized view, `S` sequence.
    pub kind: char,
    /// `pg_class.relpersistence`: `p` permanent, `u` unlogged.
    pub persistence: char,
    /// The table access method, such as `heap`; none for what has no storage.
    pub access_method: Option<String>,
    /// `pg_class.relfilenode`: another one later means that the table was rewritten or truncated.
    pub file_node: u32,
    /// Bytes of the table by the last statistics, without TOAST; 0 when never counted.
    pub estimated_bytes: u64,
    /// Bytes of its TOAST table by the last statistics.
    pub estimated_toast_bytes: u64,
    /// Whether it is a partition.
    pub is_partition: bool,
    /// The extension that it belongs to.
    pub extension: Option<String>,
}

/// A table of an extension whose rows are the user's, in whole or in part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigurationTable {
    /// The table.
    pub oid: u32,
    /// The extension.
    pub extension: String,
    /// The condition with its `WHERE`, as the extension wrote it; `None` for all rows.
    pub condition: Option<String>,
}

/// The columns of [`Relation`], of `c` (pg_class), `n` (its namespace) and `t` (its TOAST table).
const COLUMNS: &str = "c.oid, n.nspname::text, c.relname::text, pg_catalog.format('%I.%I', n.nspname, c.relname), \
    c.relkind::text, c.relpersistence::text, \
    (SELECT amname::text FROM pg_catalog.pg_am WHERE oid = c.relam), c.relfilenode, \
    GREATEST(c.relpages, 0)::int8 * pg_catalog.current_setting('block_size')::int8, \
    GREATEST(t.relpages, 0)::int8 * pg_catalog.current_setting('block_size')::int8, c.relispartition, \
    (SELECT extname::text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e' \
        AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass LIMIT 1)";

/// What pg_dump dumps: no system schema, and of extensions only configuration tables; an alias `c` and `n`.
pub(crate) const DUMPED: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND ( \
    NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
      WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e') \
    OR EXISTS (SELECT FROM pg_catalog.pg_extension e WHERE c.oid = ANY (e.extconfig)))";

/// Lists the tables that pg_dump dumps: ordinary, partitioned and foreign ones, and materialized views.
pub async fn tables(session: &Session) -> Result<Vec<Relation>, Error> {
    list(session, &format!("c.relkind IN ('r', 'p', 'f', 'm') AND {DUMPED}")).await
}

/// Lists the sequences that pg_dump dumps.
pub async fn sequences(session: &Session) -> Result<Vec<Relation>, Error> {
    list(session, &format!("c.relkind = 'S' AND {DUMPED}")).await
}

/// Reads relations by OID, whatever they are; those that are gone are left out.
pub async fn by_oids(session: &Session, oids: &[u32]) -> Result<Vec<Relation>, Error> {
    let sql = statement("c.oid = ANY ($1)");
    let rows = session.query("reading tables by OID", &sql, &[&oids]).await?;
    rows.iter().map(relation).collect()
}

async fn list(session: &Session, condition: &str) -> Result<Vec<Relation>, Error> {
    let rows = session.query("listing tables", &statement(condition), &[]).await?;
    rows.iter().map(relation).collect()
}

fn statement(condition: &str) -> String {
    format!(
        "SELECT {COLUMNS} FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid WHERE {condition} ORDER BY n.nspname, c.relname"
    )
}

fn relation(row: &tokio_postgres::Row) -> Result<Relation, Error> {
    // A name that is not UTF-8 (SQL_ASCII) cannot be said in a statement of ours.
    let text = |index: usize| -> Result<String, Error> {
        row.try_get(index).map_err(|source| Error::Query { what: "reading a table's name".to_owned(), source })
    };
    let letter = |index: usize| -> Result<char, Error> { Ok(text(index)?.chars().next().unwrap_or('?')) };
    Ok(Relation {
        oid: row.get(0),
        schema: text(1)?,
        name: text(2)?,
        quoted: text(3)?,
        kind: letter(4)?,
        persistence: letter(5)?,
        access_method: row.get(6),
        file_node: row.get(7),
        estimated_bytes: row.get::<_, i64>(8).unsigned_abs(),
        estimated_toast_bytes: row.get::<_, i64>(9).unsigned_abs(),
        is_partition: row.get(10),
        extension: row.get(11),
    })
}

/// Lists the configuration tables of all extensions with their conditions, which the archive's contents do not have.
pub async fn configuration_tables(session: &Session) -> Result<Vec<ConfigurationTable>, Error> {
    let sql = "SELECT config.oid, extname::text, config.condition FROM pg_catalog.pg_extension, \
               ROWS FROM (pg_catalog.unnest(extconfig), pg_catalog.unnest(extcondition)) AS config (oid, condition) \
               WHERE config.oid IS NOT NULL ORDER BY 1";
    let rows = session.query("reading extensions' configuration tables", sql, &[]).await?;
    let table = |row: &tokio_postgres::Row| ConfigurationTable {
        oid: row.get(0),
        extension: row.get(1),
        condition: row.get::<_, Option<String>>(2).filter(|condition| !condition.trim().is_empty()),
    };
    Ok(rows.iter().map(table).collect())
}

/// Reads the file nodes that relations have in the transaction's snapshot; 0 for what has no file of its own.
pub async fn file_nodes(session: &Session, oids: &[u32]) -> Result<Vec<(u32, u32)>, Error> {
    let sql = "SELECT oid, relfilenode FROM pg_catalog.pg_class WHERE oid = ANY ($1)";
    let rows = session.query("reading the tables' files", sql, &[&oids]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Reads the file nodes that relations have *now*, not in the snapshot; takes no lock. Those that are gone are left out.
pub async fn current_file_nodes(session: &Session, oids: &[u32]) -> Result<Vec<(u32, u32)>, Error> {
    let sql = "SELECT wanted.oid, pg_catalog.pg_relation_filenode(wanted.oid::pg_catalog.regclass) \
               FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS wanted (oid) \
               WHERE pg_catalog.pg_relation_filenode(wanted.oid::pg_catalog.regclass) IS NOT NULL";
    let rows = session.query("reading the tables' current files", sql, &[&oids]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// What a table takes on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskSize {
    /// Pages of the table itself.
    pub pages: u64,
    /// Bytes of a page.
    pub page_bytes: u64,
    /// Bytes of its TOAST table.
    pub toast_bytes: u64,
}

impl DiskSize {
    /// Bytes of both.
    pub fn bytes(&self) -> u64 {
        self.pages * self.page_bytes + self.toast_bytes
    }
}

/// Reads what tables take on disk now. Only for tables that this session has locked: others may make it wait for ever.
pub async fn disk_sizes(session: &Session, oids: &[u32]) -> Result<Vec<(u32, DiskSize)>, Error> {
    let sql = "SELECT c.oid, pg_catalog.pg_relation_size(c.oid::pg_catalog.regclass), \
                 pg_catalog.pg_relation_size(NULLIF(c.reltoastrelid, 0)::pg_catalog.regclass), \
                 pg_catalog.current_setting('block_size')::int8 \
               FROM pg_catalog.pg_class c WHERE c.oid = ANY ($1)";
    let rows = session.query("reading the tables' sizes", sql, &[&oids]).await?;
    let bytes = |value: Option<i64>| value.map_or(0, i64::unsigned_abs);
    let size = |row: &tokio_postgres::Row| {
        let page_bytes = bytes(row.get(3)).max(1);
        let size =
            DiskSize { pages: bytes(row.get(1)).div_ceil(page_bytes), page_bytes, toast_bytes: bytes(row.get(2)) };
        (row.get(0), size)
    };
    Ok(rows.iter().map(size).collect())
}

/// Locks tables against changes of their definition, without waiting; names are quoted ones.
///
/// # Errors
/// SQLSTATE 55P03 where somebody holds or waits for an exclusive lock.
pub async fn lock(session: &Session, quoted: &[&str]) -> Result<(), Error> {
    const TOGETHER: usize = 500;
    for names in quoted.chunks(TOGETHER) {
        session.run("locking tables", &lock_statement(names)).await?;
    }
    Ok(())
}

/// Writes the statement of [`lock`].
pub fn lock_statement(quoted: &[&str]) -> String {
    format!("LOCK TABLE ONLY {} IN ACCESS SHARE MODE NOWAIT", quoted.join(", ONLY "))
}

/// Tells whether this session holds a lock on each of the tables, and whether another one does too.
///
/// The second is how a session whose process is gone, or about to go, shows: it holds nothing any more.
pub async fn held_by_us_and_another(session: &Session, oids: &[u32]) -> Result<(bool, bool), Error> {
    let sql = "SELECT pid = pg_catalog.pg_backend_pid() FROM pg_catalog.pg_locks \
               WHERE locktype = 'relation' AND granted AND relation = ANY ($1) AND database = \
                 (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
               GROUP BY pid HAVING pg_catalog.count(DISTINCT relation) = $2";
    let wanted = oids.len() as i64;
    let rows = session.query("reading the locks held", sql, &[&oids, &wanted]).await?;
    let ours: Vec<bool> = rows.iter().map(|row| row.get(0)).collect();
    Ok((oids.is_empty() || ours.contains(&true), oids.is_empty() || ours.contains(&false)))
}
