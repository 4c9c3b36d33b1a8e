//! What stays until somebody does something about it: invalid indexes, prepared transactions.

use chrono::{DateTime, Utc};
use holdpoint_postgres::catalog::Lossy;
use holdpoint_postgres::{Error, Session};
use serde::{Deserialize, Serialize};

use super::Work;

/// An index that the planner does not use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidIndex {
    /// `schema.name`, quoted where needed.
    pub index: String,
    /// Its table.
    pub table: String,
    /// Whether it is kept up to date nevertheless, which costs every write.
    pub is_ready: bool,
    /// Whether it is the index of a partitioned table, which lacks those of partitions.
    pub of_partitioned_table: bool,
    /// Who is building it right now, where the server says so.
    pub built_by: Option<i32>,
}

/// Lists invalid indexes of the database; `work` tells which of them are being built.
pub(super) async fn invalid_indexes(session: &Session, work: &[Work]) -> Result<Vec<InvalidIndex>, Error> {
    let sql = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.format('%I.%I', tn.nspname, t.relname), \
                 i.indisready, c.relkind = 'I' \
               FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               JOIN pg_catalog.pg_class t ON t.oid = i.indrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace \
               WHERE NOT i.indisvalid ORDER BY 1";
    let rows = session.query("looking for invalid indexes", sql, &[]).await?;
    let read = |row: &holdpoint_postgres::Row| {
        let index = row.get::<_, Lossy>(0).0;
        let built_by = work.iter().find(|one| one.index.as_ref() == Some(&index)).map(|one| one.pid);
        let table = row.get::<_, Lossy>(1).0;
        InvalidIndex { index, table, is_ready: row.get(2), of_partitioned_table: row.get(3), built_by }
    };
    Ok(rows.iter().map(read).collect())
}

/// A transaction that was prepared for two-phase commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreparedTransaction {
    /// Its name, as `COMMIT PREPARED` and `ROLLBACK PREPARED` take it.
    pub gid: String,
    /// When it was prepared.
    pub prepared_at: DateTime<Utc>,
    /// For how long it has been, milliseconds.
    pub age_ms: u64,
    /// The role.
    pub owner: String,
}

/// Lists prepared transactions of the database, the oldest first.
pub(super) async fn prepared(session: &Session) -> Result<Vec<PreparedTransaction>, Error> {
    let sql = "SELECT gid, prepared, (extract(epoch FROM pg_catalog.clock_timestamp() - prepared) * 1000)::float8, owner::text \
               FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database() ORDER BY prepared";
    let rows = session.query("looking for prepared transactions", sql, &[]).await?;
    let read = |row: &holdpoint_postgres::Row| PreparedTransaction {
        gid: row.get::<_, Lossy>(0).0,
        prepared_at: row.get(1),
        age_ms: super::activity::whole(row.get(2)),
        owner: row.get::<_, Lossy>(3).0,
    };
    Ok(rows.iter().map(read).collect())
}
