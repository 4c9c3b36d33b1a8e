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

/// Gives the OIDs of the next large objects after one, ascending, at most `limit`.
pub async fn oids_after(session: &Session, after: Option<u32>, limit: i64) -> Result<Vec<u32>, Error> {
    let sql = "SELECT oid FROM pg_catalog.pg_largeobject_metadata WHERE oid > $1 ORDER BY oid LIMIT $2";
    let rows = session.query("listing large objects", sql, &[&after.unwrap_or(0), &limit]).await?;
    Ok(rows.iter().map(|row| row.get::<_, u32>(0)).collect())
}

/// Counts the large objects.
pub async fn count(session: &Session) -> Result<u64, Error> {
    let sql = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata";
    let row = session.query_one("counting large objects", sql, &[]).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// Reads the lengths of large objects, in the order of `oids`, in the session's snapshot.
///
/// Within a transaction only, and inside a savepoint that is rolled back afterwards: that closes what it opens.
pub async fn lengths(session: &Session, oids: &[u32]) -> Result<Vec<u64>, Error> {
    // 262144 is INV_READ, 2 is SEEK_END (PostgreSQL manual, "Large Objects", Client Interfaces).
    let sql = "SELECT pg_catalog.lo_lseek64(pg_catalog.lo_open(wanted.oid, 262144), 0, 2) \
               FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY AS wanted (oid, place) ORDER BY wanted.place";
    let rows = session.query("measuring large objects", sql, &[&oids]).await?;
    Ok(rows.iter().map(|row| row.get::<_, i64>(0).unsigned_abs()).collect())
}

/// A part of a large object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargeObjectPart {
    /// The object.
    pub oid: u32,
    /// The first byte.
    pub from: u64,
    /// How many bytes, at most.
    pub length: u32,
}

/// Streams parts of large objects, in the order of `parts`; a part beyond the object's end is empty.
pub async fn read<'a>(
    session: &'a Session,
    parts: &[LargeObjectPart],
) -> Result<impl Stream<Item = Result<Vec<u8>, Error>> + 'a, Error> {
    const WHAT: &str = "reading large objects";
    const SQL: &str = "SELECT pg_catalog.lo_get(part.oid, part.start, part.length) \
        FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.oid[]), pg_catalog.unnest($2::int8[]), \
          pg_catalog.unnest($3::int4[])) AS part (oid, start, length)";
    let oids: Vec<u32> = parts.iter().map(|part| part.oid).collect();
    let starts: Vec<i64> = parts.iter().map(|part| part.from.cast_signed()).collect();
    let lengths: Vec<i32> = parts.iter().map(|part| part.length.cast_signed()).collect();
    let failed = |source| session.failed(WHAT, source);
    let statement = session.client().prepare(SQL).await.map_err(failed)?;
    let parameters: [&(dyn ToSql + Sync); 3] = [&oids, &starts, &lengths];
    let rows = session.client().query_raw(&statement, parameters).await.map_err(failed)?;
    Ok(rows.map(move |row| row.map(|row| row.get::<_, Vec<u8>>(0)).map_err(|source| session.failed(WHAT, source))))
}
