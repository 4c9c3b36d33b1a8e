//! Sessions from which databases are created, closed, renamed and dropped.

use std::time::Duration;

use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use sha2::{Digest, Sha256};

use super::mark::Mark;
use crate::Error;

/// Databases in which nobody works, one of which such a session is connected to.
const PLACES: [&str; 2] = ["postgres", "template1"];
/// How long ALTER and DROP DATABASE wait for somebody who does the same.
const LOCK_WAIT: &str = "10s";
const KEPT_ALIVE: Duration = Duration::from_secs(30);

/// A server cuts names of sessions at 63 bytes, and writes others than ASCII characters differently.
const LONGEST_NAMED: usize = 63 - "holdpoint swap ".len();

/// How a session is called that works on a database that holdpoint made: while one is there, so is its process.
pub(crate) fn purpose(beside: &str) -> String {
    if beside.len() <= LONGEST_NAMED && beside.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return format!("holdpoint swap {beside}");
    }
    format!("holdpoint swap {}", hex::encode(&Sha256::digest(beside)[..16]))
}

/// Connects to another database of the target's server. `beside` is the database that is worked on.
///
/// No time limit of the role or the server ends it between two statements that belong together.
pub(super) async fn connect(target: &ConnectionSettings, beside: &str) -> Result<Session, Error> {
    let mut last = None;
    for name in PLACES.into_iter().filter(|name| *name != target.database()) {
        match Session::connect(&target.with_database(name), &SessionPurpose::new(purpose(beside))).await {
            Ok(session) => return unlimited(session).await,
            Err(error) => last = Some(Error::from(error)),
        }
    }
    Err(last.unwrap_or_else(|| Error::Usage("the maintenance database itself cannot be replaced".to_owned())))
}

async fn unlimited(session: Session) -> Result<Session, Error> {
    let mut limits = format!(
        "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0; \
         SET lock_timeout = '{LOCK_WAIT}'"
    );
    if session.server().major >= 17 {
        limits.push_str("; SET transaction_timeout = 0");
    }
    session.run("lifting time limits", &limits).await?;
    Ok(session)
}

/// Keeps a session from being taken for dead, by whatever stands between, until it is lost; then waits for ever.
pub(super) async fn keep_alive(session: &Session) -> std::convert::Infallible {
    while session.ping().await.is_ok() {
        tokio::time::sleep(KEPT_ALIVE).await;
    }
    std::future::pending().await
}

/// Allows or forbids new sessions in a database: superusers' too.
pub(super) fn allow(name: &str, connections: bool) -> String {
    format!("ALTER DATABASE {} ALLOW_CONNECTIONS {connections}", quote_identifier(name))
}

/// Writes a comment, or removes it.
pub(super) fn comment(name: &str, text: Option<&str>) -> String {
    let text = text.map_or_else(|| "NULL".to_owned(), quote_literal);
    format!("COMMENT ON DATABASE {} IS {text}", quote_identifier(name))
}

/// A database as the server's catalog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) oid: u32,
    pub(super) name: String,
    pub(super) open: bool,
    pub(super) comment: Option<String>,
}

impl Listed {
    pub(super) fn mark(&self) -> Option<Mark> {
        self.comment.as_deref().and_then(Mark::read)
    }
}

/// Lists the server's databases.
pub(super) async fn databases(session: &Session) -> Result<Vec<Listed>, Error> {
    let sql = "SELECT oid, datname::text, datallowconn, pg_catalog.shobj_description(oid, 'pg_database') \
               FROM pg_catalog.pg_database ORDER BY datname";
    let rows = session.query("listing databases", sql, &[]).await?;
    let listed =
        rows.iter().map(|row| Listed { oid: row.get(0), name: row.get(1), open: row.get(2), comment: row.get(3) });
    Ok(listed.collect())
}

/// Tells whether some process works on a database that holdpoint made; its sessions are visible to every role.
pub(crate) async fn is_worked_on(session: &Session, beside: &str) -> Result<Option<i32>, holdpoint_postgres::Error> {
    let sql = "SELECT pid FROM pg_catalog.pg_stat_activity \
               WHERE application_name = $1 AND pid <> pg_catalog.pg_backend_pid() LIMIT 1";
    let rows = session.query("looking who works on a database", sql, &[&purpose(beside)]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server makes of another name would not be found again.
    #[test]
    fn sessions_have_names_that_servers_keep() {
        assert_eq!(purpose("holdpoint_restore_00c0ffee"), "holdpoint swap holdpoint_restore_00c0ffee");
        let long = format!("{}_before_20261121t024300z_k3f9", "x".repeat(30));
        for odd in [long.as_str(), "größe_before_dump"] {
            assert!(purpose(odd).is_ascii() && purpose(odd).len() <= 63, "{}", purpose(odd));
        }
        assert_ne!(purpose(&long), purpose(&format!("{long}_2")));
    }
}
