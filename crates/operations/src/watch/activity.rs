//! One session of the server.

use chrono::{DateTime, Utc};
use holdpoint_core::mask;
use holdpoint_postgres::catalog::Lossy;
use holdpoint_postgres::{Error, Row, Session};
use serde::{Deserialize, Serialize};

/// So many characters of a statement are kept.
const LONGEST_QUERY: usize = 300;
/// What the server shows instead of a statement that this role may not see.
const NOT_FOR_US: &str = "<insufficient privilege>";

/// A session: who, from where, doing what, for how long, all by the server's clock.
///
/// Where the role may not see it (`hidden`), only process, role, database and `application_name` are there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// The server process.
    pub pid: i32,
    /// When the session began: with the process it tells this session from a later one of the same number.
    pub backend_start: Option<DateTime<Utc>>,
    /// `client backend`, `autovacuum worker` and the like.
    pub kind: Option<String>,
    /// The database.
    pub database: Option<String>,
    /// The role.
    pub user: Option<String>,
    /// What the client calls itself.
    pub application_name: String,
    /// The client's address; `local` for a socket on the server's machine.
    pub client: Option<String>,
    /// `active`, `idle in transaction` and the like.
    pub state: Option<String>,
    /// For how long its transaction is open, milliseconds.
    pub transaction_ms: Option<u64>,
    /// For how long it has been in its state, milliseconds: with `active`, since its statement began.
    pub state_ms: Option<u64>,
    /// What it waits for, such as `Lock:relation` or `IO:DataFileRead`.
    pub wait_event: Option<String>,
    /// Its statement, or its last one, without values.
    pub query: Option<String>,
    /// Whether this role may not see what it does.
    pub hidden: bool,
    /// Whether it carries the token that was looked for.
    pub carries_token: bool,
}

/// What [`read`] takes of `pg_stat_activity a`, with the token as `$1`.
///
/// A statement of another database may have another encoding, so it is not asked for.
const COLUMNS: &str = "a.pid, a.backend_start, a.backend_type, a.datname::text, a.usename::text, \
     COALESCE(a.application_name, ''), \
     COALESCE(pg_catalog.host(a.client_addr), CASE WHEN a.client_port = -1 THEN 'local' END), a.state, \
     (extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start) * 1000)::float8, \
     (extract(epoch FROM pg_catalog.clock_timestamp() - \
              CASE WHEN a.state = 'active' THEN a.query_start ELSE a.state_change END) * 1000)::float8, \
     a.wait_event_type || ':' || a.wait_event, \
     CASE WHEN a.datname IS NULL OR a.datname = pg_catalog.current_database() THEN a.query END, \
     COALESCE(pg_catalog.strpos(a.application_name, $1::text) > 0, false)";

/// Reads the sessions of these processes, and of the session's database those that carry the token, that are idle in a
/// transaction, or that have a transaction or statement open for longer than so many seconds; ordered by age.
pub(super) async fn worth_a_look(
    session: &Session,
    token: Option<&str>,
    pids: &[i32],
    longer_than_s: f64,
) -> Result<Vec<Activity>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM pg_catalog.pg_stat_activity a WHERE a.pid = ANY ($2) \
         OR (a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid() \
             AND a.backend_type = 'client backend' AND (a.state LIKE 'idle in transaction%' \
               OR a.xact_start < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $3) \
               OR (a.state = 'active' \
                   AND a.query_start < pg_catalog.clock_timestamp() - pg_catalog.make_interval(secs => $3)))) \
         OR (a.datname = pg_catalog.current_database() AND pg_catalog.strpos(a.application_name, $1::text) > 0 \
             AND a.pid <> pg_catalog.pg_backend_pid()) \
         ORDER BY LEAST(a.xact_start, a.query_start), a.pid"
    );
    let rows = session.query("looking at sessions", &sql, &[&token, &pids, &longer_than_s]).await?;
    Ok(rows.iter().map(read).collect())
}

/// Reads one session of the server, of whatever database.
pub(super) async fn of_process(session: &Session, pid: i32) -> Result<Option<Activity>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM pg_catalog.pg_stat_activity a WHERE a.pid = $2");
    let token: Option<&str> = None;
    let rows = session.query("looking for the session", &sql, &[&token, &pid]).await?;
    Ok(rows.first().map(read))
}

fn read(row: &Row) -> Activity {
    let text = |place: usize| row.get::<_, Option<Lossy>>(place).map(|text| text.0);
    let query = text(11);
    let hidden = query.as_deref() == Some(NOT_FOR_US);
    let query = query.filter(|_| !hidden).map(|query| mask::statement(&query, LONGEST_QUERY));
    Activity {
        pid: row.get(0),
        backend_start: row.get(1),
        kind: text(2),
        database: text(3),
        user: text(4),
        application_name: text(5).unwrap_or_default(),
        client: text(6),
        state: text(7),
        transaction_ms: row.get::<_, Option<f64>>(8).map(whole),
        state_ms: row.get::<_, Option<f64>>(9).map(whole),
        wait_event: text(10),
        query: query.filter(|query| !query.is_empty()),
        hidden,
        carries_token: row.get(12),
    }
}

/// Drops the fraction; a span may come out negative, because clocks are read at different moments, and counts as none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float casts to the nearest there is")]
pub(super) fn whole(value: f64) -> u64 {
    value.max(0.0) as u64
}

impl Activity {
    /// Tells whether it is idle within a transaction, also within a failed one.
    #[must_use]
    pub fn is_idle_in_transaction(&self) -> bool {
        self.state.as_deref().is_some_and(|state| state.starts_with("idle in transaction"))
    }

    /// For how long its transaction or its statement is open, whichever is longer, milliseconds.
    #[must_use]
    pub fn open_ms(&self) -> u64 {
        let statement = self.state_ms.filter(|_| self.state.as_deref() == Some("active"));
        self.transaction_ms.max(statement).unwrap_or_default()
    }

    /// Says who it is: `process 42 (app, psql, 10.0.0.7)`.
    #[must_use]
    pub fn name(&self) -> String {
        let who = [self.user.as_deref(), Some(self.application_name.as_str()), self.client.as_deref()];
        let mut who: Vec<&str> = who.into_iter().flatten().filter(|name| !name.is_empty()).collect();
        if let Some(kind) = self.kind.as_deref().filter(|kind| *kind != "client backend") {
            who.insert(0, kind);
        }
        if who.is_empty() {
            format!("process {}", self.pid)
        } else {
            format!("process {} ({})", self.pid, who.join(", "))
        }
    }
}

#[cfg(test)]
pub(super) fn sample(pid: i32) -> Activity {
    Activity {
        pid,
        backend_start: None,
        kind: Some("client backend".into()),
        database: Some("shop".into()),
        user: Some("app".into()),
        application_name: String::new(),
        client: Some("local".into()),
        state: Some("active".into()),
        transaction_ms: Some(2_000),
        state_ms: Some(1_000),
        wait_event: None,
        query: Some("SELECT ***".into()),
        hidden: false,
        carries_token: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_named_and_its_age_is_that_of_what_is_open() {
        let session = sample(42);
        assert_eq!(session.name(), "process 42 (app, local)");
        assert_eq!(session.open_ms(), 2_000);
        let worker = Activity { kind: Some("autovacuum worker".into()), user: None, client: None, ..session.clone() };
        assert_eq!(worker.name(), "process 42 (autovacuum worker)");
        let idle = Activity { state: Some("idle".into()), transaction_ms: None, ..session.clone() };
        assert_eq!(idle.open_ms(), 0, "an idle session has nothing open");
        let failed = Activity { state: Some("idle in transaction (aborted)".into()), ..session };
        assert!(failed.is_idle_in_transaction());
        assert_eq!(whole(-3.0), 0);
    }
}
