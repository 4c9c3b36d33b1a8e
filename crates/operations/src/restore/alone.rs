//! One restore at a time into a database: of two that find it empty the one that comes too late fails, and would empty
//! it of what the other one restored.
//!
//! A session-level advisory lock, so that nothing is left of it when its process is killed.

use std::time::Duration;

use holdpoint_postgres::Session;

use crate::Error;

/// The first key; the second is 0, as advisory locks are each database's own.
const NAMESPACE: i32 = 0x686f_6c72;
/// How often, and how many times, it is tried: a session takes a moment to end.
const TRY_EVERY: Duration = Duration::from_millis(200);
const TRIES: u32 = 15;
/// How often an idle session is used, and how often it is looked whether it is gone.
const KEPT_ALIVE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Takes the database that the session is in for this restore; it is free again when the session ends.
///
/// # Errors
/// [`Error::TargetBusy`] while another restore has it.
pub(super) async fn take(session: &Session) -> Result<(), Error> {
    const WHAT: &str = "looking for other restores";
    const HOLDER: &str = "SELECT pid FROM pg_catalog.pg_locks l \
                          WHERE locktype = 'advisory' AND granted AND classid = $1 AND objid = 0 AND objsubid = 2 \
                            AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d \
                                              WHERE datname = pg_catalog.current_database())";
    let mut tries = 0;
    loop {
        let sql = "SELECT pg_catalog.pg_try_advisory_lock($1, 0)";
        if session.query_one(WHAT, sql, &[&NAMESPACE]).await?.get(0) {
            return Ok(());
        }
        tries += 1;
        if tries >= TRIES {
            let namespace = NAMESPACE.cast_unsigned();
            if let Some(row) = session.query(WHAT, HOLDER, &[&namespace]).await?.first() {
                return Err(Error::TargetBusy { target: session.settings().redacted(), pid: row.get(0) });
            }
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

/// Keeps the session from being taken for dead, and waits until it is lost: then another restore may begin.
pub(super) async fn lost(session: &Session) -> Error {
    loop {
        if let Err(error) = session.ping().await {
            return error.into();
        }
        let mut looked = Duration::ZERO;
        while looked < KEPT_ALIVE && !session.is_closed() {
            tokio::time::sleep(LOOK_EVERY).await;
            looked += LOOK_EVERY;
        }
    }
}

/// Restores while the session has the database; ends the work and fails once it is lost.
///
/// `work` must end soon when the token of its context is cancelled.
pub(super) async fn held<T>(
    session: &Session,
    cancel: &tokio_util::sync::CancellationToken,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    // It is large, and lies within others that are.
    let mut work = Box::pin(work);
    tokio::select! {
        done = &mut work => done,
        lost = lost(session) => {
            cancel.cancel();
            // It may have ended in the same moment; what it says then is true as well.
            work.await.map_err(|_| lost)
        }
    }
}
