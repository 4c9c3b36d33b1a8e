//! Kinds of objects that need a word before a backup or a restore.

use serde::Serialize;

use crate::Error;
use crate::session::Session;

/// How many there are of what behaves differently after a restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ObjectCounts {
    /// Event triggers: only a superuser can restore them, and they fire on DDL.
    pub event_triggers: i64,
    /// Publications.
    pub publications: i64,
    /// Subscriptions: restored disabled.
    pub subscriptions: i64,
    /// Foreign tables: their rows are elsewhere.
    pub foreign_tables: i64,
    /// Unlogged tables: a standby has no rows of them.
    pub unlogged_tables: i64,
    /// Large objects.
    pub large_objects: i64,
    /// Indexes that are not valid, left by a failed CREATE INDEX CONCURRENTLY.
    pub invalid_indexes: i64,
    /// Prepared transactions of this database: they hold locks without a session.
    pub prepared_transactions: i64,
}

/// Counts them.
pub async fn object_counts(session: &Session) -> Result<ObjectCounts, Error> {
    let sql = "SELECT (SELECT pg_catalog.count(*) FROM pg_catalog.pg_event_trigger), \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_publication), \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_subscription WHERE subdbid = \
                   (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())), \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class WHERE relkind = 'f'), \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_class WHERE relkind = 'r' AND relpersistence = 'u'), \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata), \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_index WHERE NOT indisvalid), \
                 (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_xacts \
                   WHERE database = pg_catalog.current_database())";
    let row = session.query_one("counting special objects", sql, &[]).await?;
    Ok(ObjectCounts {
        event_triggers: row.get(0),
        publications: row.get(1),
        subscriptions: row.get(2),
        foreign_tables: row.get(3),
        unlogged_tables: row.get(4),
        large_objects: row.get(5),
        invalid_indexes: row.get(6),
        prepared_transactions: row.get(7),
    })
}
