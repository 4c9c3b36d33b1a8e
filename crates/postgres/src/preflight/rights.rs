//! Tables, sequences and large objects that the role cannot read, so that pg_dump would fail on them.

use serde::Serialize;

use crate::Error;
use crate::catalog::Lossy;
use crate::catalog::relations::DUMPED;
use crate::session::Session;

/// The right that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingRight {
    /// USAGE on the schema.
    SchemaUsage,
    /// SELECT on the table or sequence itself; rights on some columns are not enough for pg_dump's lock.
    Select,
}

/// A relation that pg_dump reads and the role may not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableRelation {
    /// `schema.name`, quoted where needed.
    pub name: String,
    /// `r` table, `p` partitioned table, `S` sequence.
    pub kind: char,
    /// What is missing.
    pub missing: MissingRight,
    /// Who could grant it.
    pub owner: String,
}

/// Lists what pg_dump would lock or read and the connected role may not, by name.
///
/// Views, materialized views and foreign tables are left out: pg_dump reads their definition only. Unlogged tables
/// count, except on a standby, where pg_dump leaves out their data but still locks them.
pub async fn unreadable_relations(session: &Session) -> Result<Vec<UnreadableRelation>, Error> {
    let sql = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), c.relkind::text, \
                pg_catalog.has_schema_privilege(n.oid, 'USAGE'), pg_catalog.pg_get_userbyid(c.relowner)::text \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'S') AND {DUMPED} \
           AND NOT (pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND \
                    CASE c.relkind WHEN 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT') \
                                   ELSE pg_catalog.has_table_privilege(c.oid, 'SELECT') END) \
         ORDER BY n.nspname, c.relname"
    );
    let rows = session.query("looking for tables that cannot be read", &sql, &[]).await?;
    let relation = |row: &tokio_postgres::Row| UnreadableRelation {
        name: row.get::<_, Lossy>(0).0,
        kind: row.get::<_, &str>(1).chars().next().unwrap_or('?'),
        missing: if row.get(2) { MissingRight::Select } else { MissingRight::SchemaUsage },
        owner: row.get::<_, Lossy>(3).0,
    };
    Ok(rows.iter().map(relation).collect())
}

/// Large objects that the role may not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadableLargeObjects {
    /// How many.
    pub count: u64,
    /// The first few, by OID.
    pub examples: Vec<u32>,
    /// Who owns them, and so could grant.
    pub owners: Vec<String>,
}

/// Finds large objects that the role may not read: `pg_read_all_data` does not cover them (measured on 16).
///
/// `None` when it may read all.
pub async fn unreadable_large_objects(session: &Session) -> Result<Option<UnreadableLargeObjects>, Error> {
    // PostgreSQL 18 has a function of its own for it; before, the rule of pg_largeobject_aclmask_snapshot is followed.
    let readable = if session.server().major >= 18 {
        "pg_catalog.has_largeobject_privilege(oid, 'SELECT')"
    } else {
        "(SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) \
         OR EXISTS (SELECT FROM pg_catalog.aclexplode(COALESCE(lomacl, pg_catalog.acldefault('L', lomowner))) AS granted \
                    WHERE granted.privilege_type = 'SELECT' \
                      AND (granted.grantee = 0 OR pg_catalog.pg_has_role(granted.grantee, 'USAGE')))"
    };
    let sql = format!(
        "WITH unreadable AS (SELECT oid, lomowner FROM pg_catalog.pg_largeobject_metadata \
           WHERE pg_catalog.current_setting('lo_compat_privileges') = 'off' AND NOT ({readable})) \
         SELECT (SELECT pg_catalog.count(*) FROM unreadable), \
                ARRAY(SELECT oid FROM unreadable ORDER BY oid LIMIT 10), \
                ARRAY(SELECT DISTINCT pg_catalog.pg_get_userbyid(lomowner)::text FROM unreadable ORDER BY 1)"
    );
    let row = session.query_one("looking for large objects that cannot be read", &sql, &[]).await?;
    let count = row.get::<_, i64>(0).unsigned_abs();
    Ok((count > 0).then(|| UnreadableLargeObjects { count, examples: row.get(1), owners: row.get(2) }))
}
