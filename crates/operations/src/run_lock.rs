//! The run lock: one guarded command, or one swap, at a time on a database.
//!
//! A session-level advisory lock on a direct connection, taken by trying, never by waiting: a waiting statement holds
//! a snapshot, and another session's CREATE INDEX CONCURRENTLY would wait for it. The connection is idle, and not in a
//! transaction, while the command runs.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::Error;

/// The first key; the second is the database's OID. The keys of the migration tools have the one-key form, which is
/// another space.
const NAMESPACE: i32 = 0x686f_6c64;
/// How long the lock is tried for: another run's last moments.
const TRY_FOR: Duration = Duration::from_secs(5);
const TRY_EVERY: Duration = Duration::from_millis(200);
/// How long a check may take before the connection counts as lost.
const CHECK_WITHIN: Duration = Duration::from_secs(10);

/// Who has the run lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockHolder {
    /// The server process.
    pub pid: i32,
    /// What the client calls itself; a guarded run's name holds the run's id, a swap's is `holdpoint swap`.
    pub application_name: String,
    /// Since when it is connected.
    pub since: DateTime<Utc>,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, application_name, since } = self;
        write!(f, "{application_name} (process {pid}), since {}", since.format("%Y-%m-%dT%H:%M:%SZ"))
    }
}

/// Finds who has the run lock of the session's database, by its OID.
pub async fn holder(session: &Session, database_oid: u32) -> Result<Option<LockHolder>, Error> {
    let sql = "SELECT l.pid, COALESCE(a.application_name, ''), COALESCE(a.backend_start, pg_catalog.clock_timestamp()) \
               FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
               WHERE l.locktype = 'advisory' AND l.granted AND l.database = $2 \
                 AND l.classid = $1 AND l.objid = $2 AND l.objsubid = 2";
    let namespace = NAMESPACE.cast_unsigned();
    let rows = session.query("looking for the run lock", sql, &[&namespace, &database_oid]).await?;
    Ok(rows.first().map(|row| LockHolder { pid: row.get(0), application_name: row.get(1), since: row.get(2) }))
}

/// The run lock, held by a connection of its own.
///
/// Dropping it, or [`RunLock::release`], ends the connection and with it the lock.
#[derive(Debug)]
pub struct RunLock {
    session: Session,
    database_oid: u32,
    pid: i32,
}

impl RunLock {
    /// Takes the lock of the database of that OID, which the settings lead to; `name` is what others see of it.
    ///
    /// # Errors
    /// [`Error::RunLockHeld`] when another run keeps it for some seconds; [`Error::Interrupted`].
    pub async fn take(
        settings: &ConnectionSettings,
        database_oid: u32,
        name: &str,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let session = Session::connect(settings, &SessionPurpose::new(name)).await?;
        // It is idle for as long as a command or a copy takes, and goes with its session.
        session.run("lifting time limits", "SET idle_session_timeout = 0").await?;
        let began = Instant::now();
        let second = database_oid.cast_signed();
        loop {
            let sql = "SELECT pg_catalog.pg_try_advisory_lock($1, $2), pg_catalog.pg_backend_pid()";
            let row = session.query_one("taking the run lock", sql, &[&NAMESPACE, &second]).await?;
            if row.get(0) {
                return Ok(Self { session, database_oid, pid: row.get(1) });
            }
            if began.elapsed() >= TRY_FOR
                && let Some(holder) = holder(&session, database_oid).await?
            {
                session.close().await;
                return Err(Error::RunLockHeld { holder });
            }
            tokio::select! {
                () = sleep(TRY_EVERY) => {}
                () = cancel.cancelled() => return Err(Error::Interrupted),
            }
        }
    }

    /// The lock's session: idle, outside any transaction, but for short questions.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The server process that has it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Tells whether this session still has the lock; a connection that does not answer has lost it.
    pub async fn is_held(&self) -> bool {
        let asked = async {
            let holder = holder(&self.session, self.database_oid).await?;
            Ok::<bool, Error>(holder.is_some_and(|holder| holder.pid == self.pid))
        };
        match timeout(CHECK_WITHIN, asked).await {
            Ok(Ok(held)) => held,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the run lock could not be checked");
                false
            }
            Err(_) => false,
        }
    }

    /// Gives the lock back: others can take it when this returns. A server that does not answer gives it back when it
    /// finds that the connection is gone.
    pub async fn release(self) {
        let second = self.database_oid.cast_signed();
        let sql = "SELECT pg_catalog.pg_advisory_unlock($1, $2)";
        let unlock = async { self.session.query_one("giving the run lock back", sql, &[&NAMESPACE, &second]).await };
        if let Ok(Err(error)) = timeout(CHECK_WITHIN, unlock).await {
            tracing::debug!(%error, "the run lock goes with its session");
        }
        self.session.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_named_with_process_and_time() {
        let holder = LockHolder {
            pid: 42,
            application_name: "holdpoint guard 20261121T024300Z-k3f9".into(),
            since: "2026-11-21T02:43:00.5Z".parse().unwrap(),
        };
        let text = "holdpoint guard 20261121T024300Z-k3f9 (process 42), since 2026-11-21T02:43:00Z";
        assert_eq!(holder.to_string(), text);
    }
}
