//! The server's clock, its free connections, and how much there is to copy.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::Error;
use crate::catalog::Lossy;
use crate::catalog::relations::DUMPED;
use crate::session::Session;

/// Reads the server's clock.
pub async fn clock(session: &Session) -> Result<DateTime<Utc>, Error> {
    let row = session.query_one("reading the server's clock", "SELECT pg_catalog.clock_timestamp()", &[]).await?;
    Ok(row.get(0))
}

/// Connections that are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Headroom {
    /// `max_connections` without those kept for superusers and reserved roles.
    pub allowed: i64,
    /// Client connections now, this one counted.
    pub used: i64,
    /// What is left to this role here: the least of the server's, the database's and the role's limit.
    pub left: i64,
    /// What is left of the role's own limit, in whichever database; `None` where it has none, as a superuser.
    pub left_to_role: Option<i64>,
}

/// Counts the connections that are left for this role and database.
pub async fn headroom(session: &Session) -> Result<Headroom, Error> {
    let sql = "WITH limits AS (SELECT \
                 pg_catalog.current_setting('max_connections')::int8 \
                   - pg_catalog.current_setting('superuser_reserved_connections')::int8 \
                   - COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::int8 AS allowed, \
                 (SELECT pg_catalog.sum(numbackends) FROM pg_catalog.pg_stat_database)::int8 AS used, \
                 (SELECT numbackends FROM pg_catalog.pg_stat_database WHERE datname = pg_catalog.current_database())::int8 AS here, \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE usename = current_user) AS own, \
                 (SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())::int8 AS database, \
                 (SELECT CASE WHEN NOT rolsuper THEN rolconnlimit END FROM pg_catalog.pg_roles \
                  WHERE rolname = current_user)::int8 AS role) \
               SELECT allowed, used, GREATEST(0, LEAST(allowed - used, \
                 CASE WHEN database >= 0 THEN database - here END, CASE WHEN role >= 0 THEN role - own END)), \
                 CASE WHEN role >= 0 THEN GREATEST(0, role - own) END FROM limits";
    let row = session.query_one("counting connections", sql, &[]).await?;
    Ok(Headroom { allowed: row.get(0), used: row.get(1), left: row.get(2), left_to_role: row.get(3) })
}

/// A table and roughly how large it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableSize {
    /// `schema.name`, quoted where needed.
    pub name: String,
    /// Bytes of table and TOAST by the last VACUUM or ANALYZE; 0 when there was none.
    pub estimated_bytes: u64,
}

/// Estimates the tables' sizes, largest first, from `relpages` alone: asking for real sizes takes locks.
pub async fn table_sizes(session: &Session) -> Result<Vec<TableSize>, Error> {
    let sql = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), \
                (GREATEST(c.relpages, 0)::int8 + GREATEST(t.relpages, 0)::int8) \
                  * pg_catalog.current_setting('block_size')::int8 AS bytes \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid \
         WHERE c.relkind = 'r' AND {DUMPED} ORDER BY bytes DESC, 1"
    );
    let rows = session.query("estimating sizes", &sql, &[]).await?;
    let size = |row: &tokio_postgres::Row| TableSize {
        name: row.get::<_, Lossy>(0).0,
        estimated_bytes: row.get::<_, i64>(1).unsigned_abs(),
    };
    Ok(rows.iter().map(size).collect())
}
