//! Digests made while indexes are still being built, and whether they still hold.
//!
//! The proof is of the finally restored state, and what follows the rows rarely changes them: indexes and constraints
//! never, but an event trigger, or a volatile function in a constraint or materialized view, could. So nothing is
//! argued here: the server counts every row that is inserted, updated or deleted, and gives a table that is truncated
//! or rewritten another file. A table whose counters and file are what they were before it was digested holds what it
//! held then; any other is digested again. Counters come to the server's memory when a session ends (since PostgreSQL
//! 15; before, they travelled by datagrams that may be late, and nothing is digested early).

use std::collections::BTreeMap;
use std::time::Duration;

use holdpoint_core::digest::RowDigest;
use holdpoint_core::index::TableRecord;
use holdpoint_engine::{DigestOptions, digest_database};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use crate::{Context, Error};

const WHAT: &str = "reading the counters of tables";
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOK_FOR: u32 = 100;

/// Rows inserted, updated and deleted so far, and the file.
type Counters = BTreeMap<(String, String), [i64; 4]>;

/// Digests of tables, and the counters from before they were made.
#[derive(Debug, Default)]
pub(crate) struct Early {
    groups: BTreeMap<String, RowDigest>,
    counters: Counters,
}

impl Early {
    /// Digests every table by itself that can be judged later; none where the server does not count.
    ///
    /// Only sessions that end before [`Self::still_true`] is asked may write meanwhile.
    pub(super) async fn digest(
        context: &Context,
        target: &ConnectionSettings,
        tables: &[TableRecord],
        options: &DigestOptions,
    ) -> Result<Self, Error> {
        let session = connect(target).await?;
        let counts = session.server().major >= 15 && session.show("track_counts").await? == "on";
        let counters = if counts && ended(&session).await? { counters(&session).await? } else { Counters::new() };
        session.close().await;
        let judged: Vec<TableRecord> =
            tables.iter().filter(|table| !table.via_root && counters.contains_key(&key(table))).cloned().collect();
        if judged.is_empty() {
            return Ok(Self::default());
        }
        let progress = std::sync::Arc::new(holdpoint_core::progress::Silent);
        let live = digest_database(target, &judged, options, progress, &context.cancel).await?;
        Ok(Self { groups: live.groups, counters })
    }

    /// Gives those digests whose tables nobody has written since.
    pub(super) async fn still_true(
        self,
        target: &ConnectionSettings,
        tables: &[TableRecord],
    ) -> Result<BTreeMap<String, RowDigest>, Error> {
        if self.groups.is_empty() {
            return Ok(self.groups);
        }
        let session = connect(target).await?;
        let now = if ended(&session).await? { counters(&session).await? } else { Counters::new() };
        session.close().await;
        let same = |table: &TableRecord| {
            let (was, is) = (self.counters.get(&key(table)), now.get(&key(table)));
            was.is_some() && was == is
        };
        let unchanged = tables.iter().filter(|table| !table.via_root && same(table));
        let digest = |table: &TableRecord| Some((table.group.clone(), *self.groups.get(&table.group)?));
        Ok(unchanged.filter_map(digest).collect())
    }
}

fn key(table: &TableRecord) -> (String, String) {
    (table.schema.clone(), table.name.clone())
}

async fn connect(target: &ConnectionSettings) -> Result<Session, Error> {
    Ok(Session::connect(target, &SessionPurpose::new("holdpoint compare")).await?)
}

/// Waits until every session that may have written has ended, and so has told its counters; `false` where others stay.
async fn ended(session: &Session) -> Result<bool, Error> {
    const OTHERS: &str = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity \
        WHERE datname = pg_catalog.current_database() AND pid <> pg_catalog.pg_backend_pid() \
        AND backend_type IN ('client backend', 'parallel worker') \
        AND application_name IS DISTINCT FROM 'holdpoint restore' \
        AND application_name IS DISTINCT FROM 'holdpoint digest' \
        AND application_name IS DISTINCT FROM 'holdpoint compare'";
    for _ in 0..LOOK_FOR {
        let others: i64 = session.query_one(WHAT, OTHERS, &[]).await?.get(0);
        if others == 0 {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(false)
}

async fn counters(session: &Session) -> Result<Counters, Error> {
    const COUNTERS: &str = "SELECT n.nspname::text, c.relname::text, pg_catalog.pg_stat_get_tuples_inserted(c.oid), \
        pg_catalog.pg_stat_get_tuples_updated(c.oid), pg_catalog.pg_stat_get_tuples_deleted(c.oid), \
        pg_catalog.pg_relation_filenode(c.oid)::pg_catalog.int8 \
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r'";
    let rows = session.query(WHAT, COUNTERS, &[]).await?;
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), [row.get(2), row.get(3), row.get(4), row.get(5)])).collect())
}
