//! The locks that the command's sessions take on the copy.
//!
//! Two sources. `pg_locks` is read again and again while the command runs, which tells how long a lock was held, and
//! misses what is shorter than the time between two looks. And where the copy's role is a superuser, an event trigger
//! notes the locks of its session at the end of every DDL statement, while they are held: however short, none of those
//! is missed. Data statements and TRUNCATE fire no event trigger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdpoint_core::rehearsal::{LockEffect, Sampling};
use holdpoint_postgres::waiters::mode_in_words;
use holdpoint_postgres::{ConnectionSettings, Session};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::SESSIONS;
use crate::Error;

/// The schema on the copy in which DDL's locks are noted; removed before anything is compared.
pub(super) const OWN_SCHEMA: &str = "holdpoint_rehearsal";
/// The time between two looks, beside what a look takes.
const EVERY: Duration = Duration::from_millis(4);

const INSTALL: &str = "
CREATE SCHEMA holdpoint_rehearsal;
CREATE UNLOGGED TABLE holdpoint_rehearsal.locks (pid integer, relation oid, mode text, PRIMARY KEY (pid, relation, mode));
CREATE FUNCTION holdpoint_rehearsal.note() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog AS $note$
BEGIN
    INSERT INTO holdpoint_rehearsal.locks
    SELECT DISTINCT pid, relation, mode FROM pg_locks
    WHERE pid = pg_backend_pid() AND locktype = 'relation' AND granted AND relation >= 16384
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ON CONFLICT DO NOTHING;
END
$note$;
CREATE EVENT TRIGGER holdpoint_rehearsal ON ddl_command_end EXECUTE FUNCTION holdpoint_rehearsal.note();";

const REMOVE: &str = "DROP EVENT TRIGGER IF EXISTS holdpoint_rehearsal; \
                      SET client_min_messages = warning; DROP SCHEMA IF EXISTS holdpoint_rehearsal CASCADE";

/// A kind of lock on a relation.
type Lock = (u32, String);

/// Locks by relation and mode.
pub(super) type Locks = BTreeMap<u32, Vec<LockEffect>>;

/// Begins to note the locks of DDL; says whether that is possible.
pub(super) async fn note_ddl(session: &Session) -> bool {
    match session.run("noting locks of DDL", INSTALL).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, "locks of DDL are not noted");
            false
        }
    }
}

/// Reads what was noted, and removes every trace of it.
pub(super) async fn noted(session: &Session) -> Result<BTreeSet<Lock>, Error> {
    const WHAT: &str = "reading the locks of DDL";
    let there = "SELECT pg_catalog.to_regclass('holdpoint_rehearsal.locks') IS NOT NULL";
    let mut noted = BTreeSet::new();
    if session.query_one(WHAT, there, &[]).await?.get(0) {
        let sql = "SELECT DISTINCT relation, mode FROM holdpoint_rehearsal.locks";
        noted = session.query(WHAT, sql, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    }
    session.run("removing what noted the locks", REMOVE).await?;
    Ok(noted)
}

/// A lock that is or was held.
struct Seen {
    since: Instant,
    last: Instant,
    longest: Duration,
}

impl Seen {
    fn at(now: Instant) -> Self {
        Self { since: now, last: now, longest: Duration::ZERO }
    }

    /// Sees it again; `before` is when was looked the last time.
    fn again(&mut self, now: Instant, before: Instant) {
        if self.last != before {
            self.since = now;
        }
        self.last = now;
        self.longest = self.longest.max(now - self.since);
    }
}

/// What was seen by looking again and again.
#[derive(Default)]
pub(super) struct Sampled {
    /// By process, relation, mode, and whether it was granted.
    seen: BTreeMap<(i32, u32, String, bool), Seen>,
    pub(super) sessions: BTreeSet<i32>,
    samples: u64,
    began: Option<Instant>,
    last: Option<Instant>,
    longest_gap: Duration,
}

impl Sampled {
    /// Looks until it is told to stop, or until the server is gone.
    pub(super) async fn watch(settings: &ConnectionSettings, stop: &CancellationToken) -> Result<Self, Error> {
        let session = Session::connect(settings, &SESSIONS.purpose()).await?;
        session.run("preparing to sample locks", "SET jit = off; SET default_transaction_read_only = on").await?;
        let sql = "SELECT a.pid, l.relation, l.mode, l.granted FROM pg_catalog.pg_stat_activity a \
                   LEFT JOIN pg_catalog.pg_locks l ON l.pid = a.pid AND l.locktype = 'relation' AND l.relation >= 16384 \
                     AND l.database = a.datid \
                   WHERE a.datname = pg_catalog.current_database() AND a.backend_type = 'client backend' \
                     AND a.application_name <> $1";
        let statement = session.client().prepare(sql).await.map_err(|source| holdpoint_postgres::Error::Query {
            what: "preparing to sample locks".to_owned(),
            source,
        })?;
        let mut sampled = Self::default();
        while !stop.is_cancelled() {
            let now = Instant::now();
            let rows = session.client().query(&statement, &[&SESSIONS.name()]).await;
            let rows =
                rows.map_err(|source| holdpoint_postgres::Error::Query { what: "sampling locks".to_owned(), source })?;
            sampled.add(now, &rows);
            tokio::select! {
                () = sleep(EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
        session.close().await;
        Ok(sampled)
    }

    fn add(&mut self, now: Instant, rows: &[holdpoint_postgres::Row]) {
        let before = self.last.unwrap_or(now);
        self.longest_gap = self.longest_gap.max(now - before);
        self.began.get_or_insert(now);
        self.last = Some(now);
        self.samples += 1;
        for row in rows {
            let pid: i32 = row.get(0);
            self.sessions.insert(pid);
            let (Some(relation), Some(mode), Some(granted)) = (row.get(1), row.get(2), row.get(3)) else { continue };
            self.seen.entry((pid, relation, mode, granted)).or_insert_with(|| Seen::at(now)).again(now, before);
        }
    }

    /// How it was looked.
    pub(super) fn sampling(&self, at_ddl: bool) -> Sampling {
        let microseconds = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let span = self.began.zip(self.last).map(|(began, last)| microseconds(last - began)).unwrap_or_default();
        Sampling {
            samples: self.samples,
            every_us: span.checked_div(self.samples.saturating_sub(1)).unwrap_or_default(),
            longest_gap_us: microseconds(self.longest_gap),
            at_ddl,
        }
    }

    /// Both sources together, of the modes that others notice, the strongest first.
    pub(super) fn with(&self, noted: &BTreeSet<Lock>) -> Locks {
        let mut all: BTreeMap<Lock, (Duration, Option<Duration>)> =
            noted.iter().map(|lock| (lock.clone(), Default::default())).collect();
        for ((_, relation, mode, granted), seen) in &self.seen {
            let one = all.entry((*relation, mode.clone())).or_default();
            if *granted {
                one.0 = one.0.max(seen.longest);
            } else {
                one.1 = Some(one.1.unwrap_or_default().max(seen.longest));
            }
        }
        let microseconds = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let mut locks = Locks::new();
        for ((relation, mode), (held, waited)) in all {
            if !MODES.contains(&mode.as_str()) {
                continue;
            }
            let mode = mode_in_words(&mode);
            let effect = LockEffect { mode, held_us: microseconds(held), waited_us: waited.map(microseconds) };
            locks.entry(relation).or_default().push(effect);
        }
        let strength = |lock: &LockEffect| MODES.iter().position(|mode| mode_in_words(mode) == lock.mode);
        locks.values_mut().for_each(|list| list.sort_by_key(strength));
        locks
    }
}

/// Modes that others notice, the strongest first, as `pg_locks` writes them.
const MODES: [&str; 6] = [
    "AccessExclusiveLock",
    "ExclusiveLock",
    "ShareRowExclusiveLock",
    "ShareLock",
    "ShareUpdateExclusiveLock",
    "RowExclusiveLock",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_was_let_go_counts_anew() {
        let at = |base: Instant, ms| base + Duration::from_millis(ms);
        let base = Instant::now();
        let mut seen = Seen::at(base);
        seen.again(at(base, 0), base);
        seen.again(at(base, 10), base);
        // Not seen at 20.
        seen.again(at(base, 30), at(base, 20));
        seen.again(at(base, 35), at(base, 30));
        assert_eq!(seen.longest, Duration::from_millis(10));
    }

    #[test]
    fn both_sources_are_told_together() {
        let mut sampled = Sampled::default();
        let now = Instant::now();
        let held = Seen { longest: Duration::from_millis(7), ..Seen::at(now) };
        sampled.seen.insert((1, 20_000, "ShareLock".into(), true), held);
        sampled.seen.insert((1, 20_000, "AccessShareLock".into(), true), Seen::at(now));
        let noted = [(20_000, "AccessExclusiveLock".to_owned()), (20_000, "ShareLock".to_owned())].into();
        let locks = sampled.with(&noted);
        let modes: Vec<(&str, u64)> = locks[&20_000].iter().map(|lock| (lock.mode.as_str(), lock.held_us)).collect();
        assert_eq!(modes, [("ACCESS EXCLUSIVE", 0), ("SHARE", 7000)]);
    }
}
