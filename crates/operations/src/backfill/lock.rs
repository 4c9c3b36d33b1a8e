//! The lock that keeps a second backfill from the same table.

use std::time::Duration;

use tokio::time::sleep;

use super::BackfillError;
use super::plan::Prepared;
use crate::Error;

/// The first key of the advisory lock, "bafi"; the second is the table's OID.
const NAMESPACE: i32 = 0x6261_6669;
/// How often, and how many times, the lock is tried.
const TRY_EVERY: Duration = Duration::from_millis(200);
const TRIES: u32 = 10;

/// Takes the lock; it ends with the session.
pub(super) async fn alone(prepared: &Prepared) -> Result<(), Error> {
    const WHAT: &str = "looking whether another backfill is at the table";
    let oid = prepared.subject.oid.cast_signed();
    let sql = "SELECT pg_catalog.pg_try_advisory_lock($1, $2)";
    // The session of one that has ended takes a moment to go.
    for tried in 1..=TRIES {
        if prepared.session.query_one(WHAT, sql, &[&NAMESPACE, &oid]).await?.get(0) {
            return Ok(());
        }
        if tried < TRIES {
            sleep(TRY_EVERY).await;
        }
    }
    // Tables of other databases may have the same OID.
    let sql = "SELECT pid FROM pg_catalog.pg_locks l WHERE locktype = 'advisory' AND granted AND objsubid = 2 \
                 AND classid = $1 AND objid = $2 \
                 AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d \
                                   WHERE datname = pg_catalog.current_database())";
    let namespace = NAMESPACE.cast_unsigned();
    let rows = prepared.session.query(WHAT, sql, &[&namespace, &prepared.subject.oid]).await?;
    let pid = rows.first().map(|row| row.get(0)).unwrap_or_default();
    Err(BackfillError::AnotherIsRunning { table: prepared.subject.name.clone(), pid }.into())
}
