//! Large objects: which there are.

use futures_util::{Stream, StreamExt};
use tokio_postgres::types::ToSql;

use crate::Error;
use crate::session::Session;

/// Streams the OIDs of all large objects in ascending order; there may be millions.
pub async fn oids(session: &Session) -> Result<impl Stream<Item = Result<u32, Error>> + '_, Error> {
    const WHAT: &str = "listing large objects";
    let sql = "SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid";
    let none: [&(dyn ToSql + Sync); 0] = [];
    let rows = session.client().query_raw(sql, none).await.map_err(|source| session.failed(WHAT, source))?;
    let oid = move |row: Result<tokio_postgres::Row, _>| match row {
        Ok(row) => Ok(row.get::<_, u32>(0)),
        Err(source) => Err(session.failed(WHAT, source)),
    };
    Ok(rows.map(oid))
}

/// Counts the large objects.
pub async fn count(session: &Session) -> Result<u64, Error> {
    let sql = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata";
    let row = session.query_one("counting large objects", sql, &[]).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}
