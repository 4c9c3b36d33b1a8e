//! Who waits for a lock, and for whom.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_postgres::catalog::Lossy;
use holdpoint_postgres::waiters::mode_in_words;
use holdpoint_postgres::{Error, Row, Session};
use serde::{Deserialize, Serialize};

use super::Activity;
use super::activity::whole;

/// The number that `pg_blocking_pids` gives for a prepared transaction.
const PREPARED: i32 = 0;

/// A lock that is held or waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// What is locked: `relation`, `transactionid` (a row that another transaction changed), `tuple`, `virtualxid` (an
    /// older snapshot, as CREATE INDEX CONCURRENTLY waits for), `advisory` and the like.
    pub on: String,
    /// The mode as `LOCK TABLE` writes it, such as `ACCESS EXCLUSIVE`.
    pub mode: String,
    /// `schema.name`, quoted where needed; of a row's lock the table, where that is known.
    pub relation: Option<String>,
}

/// Somebody in whose way a session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// The server process; none for a prepared transaction.
    pub pid: Option<i32>,
    /// The strongest mode that it has on the relation in question, where it is about one.
    pub mode: Option<String>,
    /// Whether it has that lock; else it stands before us in the queue.
    pub granted: bool,
}

/// A session that waits for a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Who waits.
    pub session: Activity,
    /// For what.
    pub lock: Lock,
    /// For how long, milliseconds.
    pub waiting_ms: u64,
    /// Who is directly in its way.
    pub behind: Vec<Behind>,
    /// Who is at the beginning of the chain: ending these frees it. Empty where only a prepared transaction, or a
    /// deadlock that the server is about to break, is there.
    pub roots: Vec<i32>,
    /// Whether somebody who carries the token is in its way, directly or not.
    pub behind_token: bool,
}

/// Somebody whom others wait for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// The server process; none for a prepared transaction.
    pub pid: Option<i32>,
    /// The session; none for a prepared transaction, or for one that ended meanwhile.
    pub session: Option<Activity>,
    /// Who waits directly for it.
    pub blocks: Vec<i32>,
    /// How many wait for it, directly or not.
    pub held_up: u64,
    /// Whether it waits for nobody itself.
    pub is_root: bool,
}

/// A wait as the lock table has it, before anybody knows who the sessions are.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) pid: i32,
    lock: Lock,
    waiting_ms: u64,
    behind: Vec<Behind>,
}

/// Reads every wait of the server for a lock; the lock table is read once.
pub(super) async fn read(session: &Session) -> Result<Vec<Found>, Error> {
    // A session may hold several locks on what another wants; all of them come, and the strongest is told.
    let sql = "WITH locks AS MATERIALIZED (SELECT pid, locktype, database, relation, mode, granted, waitstart \
                 FROM pg_catalog.pg_locks), \
               own AS MATERIALIZED (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()), \
               waiting AS MATERIALIZED (SELECT w.pid, w.locktype, w.mode, w.waitstart, w.relation AS wanted, \
                   COALESCE(w.relation, (SELECT t.relation FROM locks t WHERE t.pid = w.pid AND t.locktype = 'tuple' \
                     AND t.database = own.oid LIMIT 1)) AS relation, \
                   pg_catalog.pg_blocking_pids(w.pid) AS behind \
                 FROM locks w CROSS JOIN own WHERE NOT w.granted AND COALESCE(w.database, 0) IN (0, own.oid)) \
               SELECT w.pid, w.locktype, w.mode, \
                 CASE WHEN n.oid IS NOT NULL THEN pg_catalog.format('%I.%I', n.nspname, c.relname) END, \
                 (extract(epoch FROM pg_catalog.clock_timestamp() - w.waitstart) * 1000)::float8, b.pid, h.granted, h.modes \
               FROM waiting w LEFT JOIN pg_catalog.pg_class c ON c.oid = w.relation \
               LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               LEFT JOIN LATERAL (SELECT DISTINCT u.pid FROM pg_catalog.unnest(w.behind) u(pid)) b ON true \
               LEFT JOIN LATERAL (SELECT l.granted, pg_catalog.array_agg(l.mode) AS modes FROM locks l \
                 WHERE w.wanted IS NOT NULL AND l.pid = b.pid AND l.relation = w.wanted AND l.locktype = w.locktype \
                 GROUP BY l.granted ORDER BY l.granted DESC LIMIT 1) h ON true \
               ORDER BY w.waitstart NULLS LAST, w.pid, b.pid";
    let rows = session.query("looking for who waits for whom", sql, &[]).await?;
    let mut found: Vec<Found> = Vec::new();
    for row in &rows {
        let pid: i32 = row.get(0);
        if found.last().is_none_or(|last| last.pid != pid) {
            found.push(Found {
                pid,
                lock: Lock {
                    on: row.get::<_, Lossy>(1).0,
                    mode: mode_in_words(row.get(2)),
                    relation: row.get::<_, Option<Lossy>>(3).map(|name| name.0),
                },
                waiting_ms: row.get::<_, Option<f64>>(4).map(whole).unwrap_or_default(),
                behind: Vec::new(),
            });
        }
        if let Some(last) = found.last_mut() {
            last.behind.extend(behind(row));
        }
    }
    Ok(found)
}

fn behind(row: &Row) -> Option<Behind> {
    let pid: i32 = row.get::<_, Option<i32>>(5)?;
    let modes: Vec<String> = row.get::<_, Option<_>>(7).unwrap_or_default();
    Some(Behind {
        pid: (pid != PREPARED).then_some(pid),
        mode: strongest(&modes).map(mode_in_words),
        granted: row.get::<_, Option<bool>>(6).unwrap_or(true),
    })
}

/// Modes, the weakest first (PostgreSQL manual, "Table-Level Locks").
const MODES: [&str; 8] = [
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
];

fn strongest(modes: &[String]) -> Option<&str> {
    let strength = |mode: &&String| MODES.iter().position(|known| known == mode);
    modes.iter().max_by_key(strength).map(String::as_str)
}

/// All processes that waits are about.
pub(super) fn pids(found: &[Found]) -> Vec<i32> {
    let behind = found.iter().flat_map(|one| one.behind.iter().filter_map(|other| other.pid));
    found.iter().map(|one| one.pid).chain(behind).collect::<BTreeSet<i32>>().into_iter().collect()
}

/// Tells who is in whose way, from the waits and the sessions; `None` in a graph is a prepared transaction.
///
/// With a token, only chains in which somebody carries it are kept.
pub(super) fn tell(found: &[Found], sessions: &BTreeMap<i32, Activity>, token: bool) -> (Vec<Wait>, Vec<Blocker>) {
    let graph: BTreeMap<i32, Vec<Option<i32>>> =
        found.iter().map(|one| (one.pid, one.behind.iter().map(|other| other.pid).collect())).collect();
    let carries = |pid: i32| sessions.get(&pid).is_some_and(|session| session.carries_token);
    let mut waits = Vec::new();
    for one in found {
        // Whoever got the lock and went meanwhile waits no more.
        let Some(session) = sessions.get(&one.pid) else { continue };
        let before: BTreeSet<Option<i32>> = ahead(&graph, one.pid);
        let behind_token = before.iter().flatten().any(|pid| *pid != one.pid && carries(*pid));
        if token && !behind_token && !session.carries_token {
            continue;
        }
        waits.push(Wait {
            session: session.clone(),
            lock: one.lock.clone(),
            waiting_ms: one.waiting_ms,
            behind: one.behind.clone(),
            roots: before.iter().flatten().copied().filter(|pid| !graph.contains_key(pid)).collect(),
            behind_token,
        });
    }
    let told: BTreeSet<i32> = waits.iter().map(|wait| wait.session.pid).collect();
    let mut blocks: BTreeMap<Option<i32>, BTreeSet<i32>> = BTreeMap::new();
    let mut held_up: BTreeMap<Option<i32>, u64> = BTreeMap::new();
    for pid in &told {
        for other in graph.get(pid).into_iter().flatten() {
            blocks.entry(*other).or_default().insert(*pid);
        }
        for other in ahead(&graph, *pid) {
            *held_up.entry(other).or_default() += 1;
        }
    }
    let mut blockers: Vec<Blocker> = blocks
        .into_iter()
        .map(|(pid, blocks)| Blocker {
            pid,
            session: pid.and_then(|pid| sessions.get(&pid).cloned()),
            blocks: blocks.into_iter().collect(),
            held_up: held_up.get(&pid).copied().unwrap_or_default(),
            is_root: pid.is_none_or(|pid| !graph.contains_key(&pid)),
        })
        .collect();
    blockers.sort_by_key(|one| (!one.is_root, std::cmp::Reverse(one.held_up), one.pid));
    (waits, blockers)
}

/// Everybody in the way of one who waits, directly or not; itself too where it is a deadlock.
fn ahead(graph: &BTreeMap<i32, Vec<Option<i32>>>, pid: i32) -> BTreeSet<Option<i32>> {
    let mut seen = BTreeSet::new();
    let mut open = vec![pid];
    while let Some(one) = open.pop() {
        for other in graph.get(&one).into_iter().flatten() {
            if seen.insert(*other) {
                open.extend(*other);
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::super::activity::sample;
    use super::*;

    fn found(pid: i32, behind: &[i32]) -> Found {
        let behind = behind
            .iter()
            .map(|pid| Behind { pid: (*pid != PREPARED).then_some(*pid), mode: None, granted: true })
            .collect();
        let lock = Lock { on: "relation".into(), mode: "SHARE".into(), relation: Some("public.t".into()) };
        Found { pid, lock, waiting_ms: 5, behind }
    }

    fn sessions(pids: &[i32], token: &[i32]) -> BTreeMap<i32, Activity> {
        pids.iter().map(|pid| (*pid, Activity { carries_token: token.contains(pid), ..sample(*pid) })).collect()
    }

    #[test]
    fn a_chain_has_its_beginning_and_its_length() {
        let chain = [found(2, &[1]), found(3, &[2]), found(4, &[2, 3])];
        let (waits, blockers) = tell(&chain, &sessions(&[1, 2, 3, 4], &[]), false);
        assert!(waits.iter().all(|wait| wait.roots == [1]), "{waits:#?}");
        let summary: Vec<_> = blockers.iter().map(|one| (one.pid, one.is_root, one.held_up)).collect();
        assert_eq!(summary, [(Some(1), true, 3), (Some(2), false, 2), (Some(3), false, 1)]);
        assert_eq!(blockers[1].blocks, [3, 4]);
    }

    #[test]
    fn with_a_token_only_its_chains_are_kept() {
        // 2 carries it and waits for 1; 3 waits behind it; 5 waits for 4, which is nobody's business.
        let all = [found(2, &[1]), found(3, &[2]), found(5, &[4])];
        let (waits, blockers) = tell(&all, &sessions(&[1, 2, 3, 4, 5], &[2]), true);
        let told: Vec<_> = waits.iter().map(|wait| (wait.session.pid, wait.behind_token)).collect();
        assert_eq!(told, [(2, false), (3, true)]);
        assert_eq!(blockers.iter().map(|one| one.pid).collect::<Vec<_>>(), [Some(1), Some(2)]);
    }

    #[test]
    fn a_prepared_transaction_and_a_deadlock_end() {
        let (waits, blockers) = tell(&[found(2, &[PREPARED])], &sessions(&[2], &[]), false);
        assert!(waits[0].roots.is_empty() && blockers[0].pid.is_none() && blockers[0].is_root);
        let (waits, blockers) = tell(&[found(1, &[2]), found(2, &[1])], &sessions(&[1, 2], &[]), false);
        assert!(waits.iter().all(|wait| wait.roots.is_empty()) && blockers.iter().all(|one| !one.is_root));
    }

    #[test]
    fn of_several_modes_the_strongest_is_told() {
        let modes = ["RowExclusiveLock", "AccessExclusiveLock", "AccessShareLock"].map(str::to_owned);
        assert_eq!(strongest(&modes), Some("AccessExclusiveLock"));
        assert_eq!(strongest(&[]), None);
    }
}
