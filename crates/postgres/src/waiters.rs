//! Who waits for locks that our own sessions hold: production that queues behind a backup.

use std::fmt;
use std::time::Duration;

use crate::Error;
use crate::catalog::Lossy;
use crate::preflight::keywords;
use crate::session::Session;

/// A session that waits for one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// The server process.
    pub pid: i32,
    /// The role.
    pub user: Option<String>,
    /// What the client calls itself.
    pub application_name: Option<String>,
    /// The lock's mode as `LOCK TABLE` writes it, such as `ACCESS EXCLUSIVE`.
    pub mode: String,
    /// `schema.name` of what is to be locked, quoted where needed; `None` where it is no relation, such as a
    /// `CREATE INDEX CONCURRENTLY` that waits for older snapshots to end.
    pub relation: Option<String>,
    /// For how long it has been waiting, by the server's clock.
    pub waiting_for: Duration,
    /// The statement's leading keywords, such as `ALTER TABLE`, where the role may see them; never its values.
    pub doing: Option<String>,
    /// How many further sessions wait for this one.
    pub queue: u32,
}

impl Waiter {
    /// Tells whether whoever wants the table now has to wait, too: a wait for a snapshot's end stops nobody else.
    #[must_use]
    pub fn blocks_others(&self) -> bool {
        self.relation.is_some()
    }
}

impl fmt::Display for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)?;
        let who = [&self.user, &self.application_name].into_iter().flatten().filter(|name| !name.is_empty());
        let who = who.map(String::as_str).collect::<Vec<_>>().join(", ");
        if !who.is_empty() {
            write!(f, " ({who})")?;
        }
        if let Some(doing) = &self.doing {
            write!(f, ", {doing},")?;
        }
        write!(f, " has waited {} s for ", self.waiting_for.as_secs())?;
        match &self.relation {
            Some(relation) => write!(f, "{} on {relation}", self.mode)?,
            None => f.write_str("the end of the snapshot")?,
        }
        match self.queue {
            0 => Ok(()),
            queue => write!(f, ", and {queue} more behind it"),
        }
    }
}

/// Lists who waits for sessions whose `application_name` begins with `ours`, whoever has waited longest first.
///
/// Needs no right beyond connecting; what others run shows only to members of `pg_read_all_stats`. Asking looks at the
/// lock manager's shared state for a moment (PostgreSQL manual, `pg_blocking_pids`), so once a second is often enough.
pub async fn waiters(session: &Session, ours: &str) -> Result<Vec<Waiter>, Error> {
    let sql = "WITH ours AS MATERIALIZED (SELECT pg_catalog.array_agg(pid) AS pids FROM pg_catalog.pg_stat_activity \
                 WHERE datname = pg_catalog.current_database() AND pg_catalog.strpos(application_name, $1) = 1), \
               waiting AS MATERIALIZED (SELECT pid, relation, mode, waitstart, pg_catalog.pg_blocking_pids(pid) AS behind \
                 FROM pg_catalog.pg_locks WHERE NOT granted) \
               SELECT w.pid, a.usename::text, a.application_name, w.mode, CASE WHEN n.oid IS NOT NULL THEN pg_catalog.format('%I.%I', n.nspname, c.relname) END, \
                 COALESCE(extract(epoch FROM pg_catalog.clock_timestamp() - w.waitstart), 0)::float8, a.query, \
                 (SELECT pg_catalog.count(*) FROM waiting q WHERE w.pid = ANY (q.behind)) \
               FROM waiting w CROSS JOIN ours JOIN pg_catalog.pg_stat_activity a ON a.pid = w.pid \
               LEFT JOIN pg_catalog.pg_class c ON c.oid = w.relation AND a.datname = pg_catalog.current_database() \
               LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE w.behind && ours.pids AND w.pid <> ALL (ours.pids) ORDER BY w.waitstart, w.pid";
    let rows = session.query("looking for whom the backup holds up", sql, &[&ours]).await?;
    let waiter = |row: &tokio_postgres::Row| Waiter {
        pid: row.get(0),
        user: row.get::<_, Option<Lossy>>(1).map(|text| text.0),
        application_name: row.get::<_, Option<Lossy>>(2).map(|text| text.0),
        mode: mode_in_words(row.get(3)),
        relation: row.get::<_, Option<Lossy>>(4).map(|text| text.0),
        waiting_for: Duration::try_from_secs_f64(row.get(5)).unwrap_or_default(),
        doing: row.get::<_, Option<Lossy>>(6).and_then(|query| keywords(&query.0)),
        queue: u32::try_from(row.get::<_, i64>(7)).unwrap_or(u32::MAX),
    };
    Ok(rows.iter().map(waiter).collect())
}

/// Counts the active sessions that wait for the server's disk, buffers or internal locks, without those whose
/// `application_name` begins with `ours`: a rough sign of load.
///
/// Sessions of other roles count only for members of `pg_read_all_stats`; without that right the answer is small and
/// stays so.
pub async fn waiting_elsewhere(session: &Session, ours: &str) -> Result<u64, Error> {
    let sql = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity \
               WHERE backend_type = 'client backend' AND state = 'active' AND pid <> pg_catalog.pg_backend_pid() \
                 AND wait_event_type IN ('LWLock', 'BufferPin', 'Buffer', 'IO', 'IPC') \
                 AND pg_catalog.strpos(application_name, $1) <> 1";
    let row = session.query_one("counting sessions that wait", sql, &[&ours]).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// Writes a lock's mode as `LOCK TABLE` does: `AccessExclusiveLock` of `pg_locks` is `ACCESS EXCLUSIVE`.
#[must_use]
pub fn mode_in_words(mode: &str) -> String {
    let mut words = String::with_capacity(mode.len() + 2);
    for letter in mode.trim_end_matches("Lock").chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_uppercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_in_sql() {
        for (mode, text) in [
            ("AccessExclusiveLock", "ACCESS EXCLUSIVE"),
            ("ShareLock", "SHARE"),
            ("ShareUpdateExclusiveLock", "SHARE UPDATE EXCLUSIVE"),
        ] {
            assert_eq!(mode_in_words(mode), text);
        }
    }

    #[test]
    fn a_waiter_is_told_in_one_line() {
        let waiter = Waiter {
            pid: 42,
            user: Some("app".into()),
            application_name: Some(String::new()),
            mode: "ACCESS EXCLUSIVE".into(),
            relation: Some("public.orders".into()),
            waiting_for: Duration::from_millis(12_700),
            doing: Some("ALTER TABLE".into()),
            queue: 3,
        };
        assert_eq!(
            waiter.to_string(),
            "process 42 (app), ALTER TABLE, has waited 12 s for ACCESS EXCLUSIVE on public.orders, and 3 more behind it"
        );
        let concurrently = Waiter { relation: None, doing: None, user: None, queue: 0, ..waiter };
        assert_eq!(concurrently.to_string(), "process 42 has waited 12 s for the end of the snapshot");
    }
}
