//! Counters of written rows: what they say, and when they can be believed.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use holdpoint_core::fingerprint::{qualified, schema_and_name};
use holdpoint_core::ledger::WrittenMeanwhile;
use holdpoint_postgres::{Session, preflight};

use super::shared;
use crate::Error;

/// Up to 14 counters come from a collector that answers up to half a second late.
pub(super) const COLLECTOR_DELAY: Duration = Duration::from_millis(1100);
/// From 15 on a session that is idle passes its counters on within ten seconds (`PGSTAT_IDLE_INTERVAL` of pgstat.c).
const HELD_BACK: Duration = Duration::from_secs(11);

/// What was written is noted of so many tables.
const NOTED: usize = 1000;

/// A table's counters: rows inserted, updated, deleted, and its file.
pub(super) type Counters = (i64, i64, i64, u32);

/// Counters of every table of the user, of large objects, and of the catalogs that all databases share; of what these say of
/// single databases only what is of this one ([`shared`]).
pub(super) async fn counters(session: &Session) -> Result<BTreeMap<String, Counters>, Error> {
    let sql = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), COALESCE(s.n_tup_ins, 0), \
                      COALESCE(s.n_tup_upd, 0), COALESCE(s.n_tup_del, 0), c.relfilenode \
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = c.oid \
               WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' \
                 AND (n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') \
                      OR (n.nspname = 'pg_catalog' AND c.relname IN ('pg_largeobject', 'pg_largeobject_metadata', \
                          'pg_authid', 'pg_auth_members', 'pg_tablespace', 'pg_parameter_acl', 'pg_extension')) \
                      OR (n.nspname = 'pg_catalog' AND c.relname IN ({}) \
                          AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')))",
        shared::names()
    );
    let rows = session.query("reading the counters", &sql, &[]).await?;
    let mut all: BTreeMap<String, Counters> =
        rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3), row.get(4)))).collect();
    all.extend(shared::written(session).await?);
    Ok(all)
}

/// The tables whose counters or files differ.
pub(super) fn moved(before: &BTreeMap<String, Counters>, after: &BTreeMap<String, Counters>) -> Vec<String> {
    let mut moved: Vec<String> =
        before.keys().chain(after.keys()).filter(|name| before.get(*name) != after.get(*name)).cloned().collect();
    moved.sort();
    moved.dedup();
    moved
}

/// What was written into the tables that were there before, called as comparisons call them; `None` where these are too many
/// to be noted.
pub(super) fn written(
    before: &BTreeMap<String, Counters>,
    after: &BTreeMap<String, Counters>,
) -> Option<Vec<WrittenMeanwhile>> {
    let more = |now: i64, then: i64| u64::try_from(now - then).unwrap_or_default();
    let both = before.iter().filter_map(|(name, then)| Some((name, then, after.get(name)?)));
    let moved = both.filter(|(_, then, now)| then != now).filter_map(|(name, then, now)| {
        let (schema, name) = schema_and_name(name)?;
        Some(WrittenMeanwhile {
            table: qualified(Some(&schema), &name),
            inserted: more(now.0, then.0),
            updated: more(now.1, then.1),
            deleted: more(now.2, then.2),
            new_file: now.3 != then.3,
        })
    });
    let moved: Vec<WrittenMeanwhile> = moved.take(NOTED + 1).collect();
    (moved.len() <= NOTED).then_some(moved)
}

/// Whether sessions of others keep counters that the server does not show yet.
pub(super) enum HeldBack {
    /// There is nobody who could.
    Nothing,
    /// There was, and they have passed them on since.
    Passed,
    /// There is.
    Perhaps,
}

/// Looks for sessions that worked a moment ago, and waits for what they have counted where that is worth it.
pub(super) async fn held_back(session: &Session, patient: bool) -> Result<HeldBack, Error> {
    const WHAT: &str = "looking for counters that are held back";
    // Who is idle for longer has passed everything on, but up to 14; our own sessions write nothing.
    let never_passes_on = session.server().major <= 14;
    let lately =
        if never_passes_on { "$1::timestamptz IS NOT NULL" } else { "state_change IS NULL OR state_change > $1" };
    // Of another role's session its kind is hidden, unless ours may read all statistics.
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE datname = pg_catalog.current_database() \
           AND pid <> pg_catalog.pg_backend_pid() \
           AND (backend_type = 'client backend' OR backend_type IS NULL AND usesysid IS NOT NULL) \
           AND application_name NOT LIKE 'holdpoint %' AND ({lately}))"
    );
    let clock = preflight::clock(session).await?;
    let since = clock - HELD_BACK;
    if !session.query_one(WHAT, &sql, &[&since]).await?.get::<_, bool>(0) {
        return Ok(HeldBack::Nothing);
    }
    if !patient || never_passes_on {
        return Ok(HeldBack::Perhaps);
    }
    tokio::time::sleep(HELD_BACK).await;
    session.run(WHAT, "SELECT pg_catalog.pg_stat_clear_snapshot()").await?;
    Ok(HeldBack::Passed)
}

/// Whether counters can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counting {
    /// When the server was started.
    pub(super) started_at: DateTime<Utc>,
    /// When somebody set the database's counters back; and when the server began to count anew, as it does once one of its
    /// processes has crashed (`pgstat_reset_after_failure` of pgstat.c): it sets the time of all that count for the whole server.
    pub(super) reset_at: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    /// Whether they count whoever connects.
    pub(super) trusted: bool,
}

impl Counting {
    /// Reads since when the server counts, and whether it counts whoever connects.
    pub(super) async fn read(session: &Session) -> Result<Self, Error> {
        let sql = "SELECT pg_catalog.pg_postmaster_start_time(), \
                          (SELECT stats_reset FROM pg_catalog.pg_stat_database \
                           WHERE datname = pg_catalog.current_database()), \
                          (SELECT stats_reset FROM pg_catalog.pg_stat_bgwriter), \
                          pg_catalog.current_setting('track_counts')::bool \
                          AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) AS one \
                                          WHERE one LIKE 'track\\_counts=%' AND setdatabase IN (0, \
                                            (SELECT oid FROM pg_catalog.pg_database \
                                             WHERE datname = pg_catalog.current_database())))";
        let row = session.query_one("reading the counters", sql, &[]).await?;
        Ok(Self { started_at: row.get(0), reset_at: (row.get(1), row.get(2)), trusted: row.get(3) })
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_postgres::{ConnectionSettings, SessionPurpose};
    use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};

    use super::*;

    #[test]
    fn what_was_written_meanwhile_is_told_of_the_tables_that_were_there() {
        let of = |all: &[(&str, Counters)]| all.iter().map(|(name, one)| ((*name).to_owned(), *one)).collect();
        let before = of(&[
            ("s.a", (5, 0, 0, 1)),
            ("s.\"B c\"", (5, 1, 2, 2)),
            ("s.gone", (1, 1, 1, 3)),
            ("s.same", (1, 0, 0, 4)),
        ]);
        let after = of(&[
            ("s.a", (7, 0, 50, 1)),
            ("s.\"B c\"", (5, 1, 2, 9)),
            ("s.new", (1, 1, 1, 3)),
            ("s.same", (1, 0, 0, 4)),
        ]);
        let told = written(&before, &after).unwrap();
        let line = |one: &WrittenMeanwhile| (one.table.clone(), one.inserted, one.updated, one.deleted, one.new_file);
        let told: Vec<_> = told.iter().map(line).collect();
        assert_eq!(told, [("s.B c".to_owned(), 0, 0, 0, true), ("s.a".to_owned(), 2, 0, 50, false)]);
        let many = |rows: i64| (0..=NOTED).map(|one| (format!("s.t{one}"), (rows, 0, 0, 1))).collect();
        assert_eq!(written(&many(0), &many(1)), None);
    }

    #[tokio::test]
    async fn a_session_whose_kind_is_hidden_may_hold_counters_back() {
        let cluster = Cluster::start(ClusterOptions::major(NEWEST));
        cluster.create_database("shop");
        cluster.psql("shop", "CREATE ROLE reads LOGIN; CREATE TABLE t (i int)");
        let connect = async |url: &str, name: &str| {
            let settings = ConnectionSettings::resolve(url, &Default::default()).unwrap();
            Session::connect(&settings, &SessionPurpose::new(name)).await.unwrap()
        };
        let reads = connect(&cluster.url_as("reads", "shop"), "holdpoint guard check").await;
        // The session that made the table may still be on its way out.
        let began = std::time::Instant::now();
        while !matches!(held_back(&reads, false).await.unwrap(), HeldBack::Nothing) {
            assert!(began.elapsed() < std::time::Duration::from_secs(300), "nobody else is there");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let other = connect(&cluster.url("shop"), "application").await;
        other.run("a test", "INSERT INTO t VALUES (1)").await.unwrap();
        let kind =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'application' AND backend_type IS NULL";
        assert_eq!(reads.query_one("a test", kind, &[]).await.unwrap().get::<_, i64>(0), 1);
        assert!(matches!(held_back(&reads, false).await.unwrap(), HeldBack::Perhaps));
    }
}
