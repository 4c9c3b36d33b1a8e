//! What the database looks like after the command, against before.
//!
//! *Changed*: a schema object, an extension's version or the set of invalid indexes differs. *Unchanged* is only said
//! when nothing can have been kept, by one of two kinds of evidence, and never from the schema alone:
//!
//! 1. every transaction id that the server gave out meanwhile was aborted. Every write of a row, a large object or
//!    the catalog needs a transaction id, so nothing was kept by anybody. Rolled-back work passes this test;
//! 2. or, where others were writing in the cluster: no transaction of this database is open that began meanwhile, neither the
//!    counters of written rows nor the files of any table of this database moved, and what the server's shared catalogs say of
//!    this database, and of roles and tablespaces, was not written. What becomes of other databases is told, and no part of
//!    that ([`shared`]). These counters count rolled-back rows too. They are read when no session can hold any of its own back any more: a
//!    server keeps those of an idle one for up to ten seconds, and up to 14 until its next transaction.
//!
//! That a tool made its own table, which is empty, is no change: tools do so before the transaction of their first migration.
//!
//! Anything else is *unknown*: rows that were written cannot be attributed to the command.
//!
//! Neither `nextval` nor `setval` is ever rolled back. That a sequence is further than before says nothing; one that is
//! *behind* where it was gives out numbers again that rows have already, so it is a change, whatever became of the
//! transaction that set it.
//!
//! What pg_dump does not show is looked at, too, as far as the role may ([`unshown`]): a subscription that was switched off,
//! a function of an extension that was replaced, a replication slot, ALTER SYSTEM. The last two are in no transaction.

mod catalogs;
mod change;
mod code;
mod compare;
mod counters;
mod own_table;
mod sequences;
mod shared;
mod transactions;
mod unshown;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use holdpoint_core::manifest::Extension;
use holdpoint_operations::schema_check::Schema;
use holdpoint_postgres::catalog::database;
use holdpoint_postgres::{Session, preflight};

pub(crate) use self::catalogs::catalogs_written;
pub(crate) use self::change::Change;
pub(crate) use self::code::is_code;
use self::counters::{COLLECTOR_DELAY, Counters, Counting, counters};
use self::sequences::Sequences;
use self::shared::Databases;
use self::transactions::Transactions;
pub(crate) use self::transactions::nothing_kept_since;
pub(crate) use self::unshown::{Unshown, locked_by_prepared, prepared};
use crate::Error;

/// How many names a remark lists.
const LISTED: usize = 5;
/// How often what others move on is read, where somebody's transaction ended right then.
const READINGS: u32 = 5;

/// The database at one moment.
#[derive(Debug)]
pub(crate) struct DatabaseState {
    pub(crate) schema: Schema,
    extensions: Vec<Extension>,
    invalid_indexes: Vec<String>,
    /// What the session's role may not read.
    pub(crate) unreadable: Vec<String>,
    counters: BTreeMap<String, Counters>,
    sequences: Sequences,
    unshown: Unshown,
    /// The other databases of the server.
    databases: Databases,
    /// Transactions that are prepared for a commit in two phases.
    pub(crate) prepared: BTreeSet<String>,
    /// A difference makes the counters worthless.
    counting: Counting,
    transactions: Transactions,
    /// The server's clock when the transaction ids were read.
    at: DateTime<Utc>,
}

impl DatabaseState {
    /// Reads everything but the schema, which is given; the transaction ids last.
    pub(crate) async fn read(session: &Session, schema: Schema) -> Result<Self, Error> {
        let extensions = database::extensions(session).await?;
        let invalid_indexes = invalid_indexes(session).await?;
        let unreadable = unreadable(session).await?;
        if session.server().major <= 14 {
            tokio::time::sleep(COLLECTOR_DELAY).await;
        }
        // It takes longest, and what follows should take no time.
        let code = code::read(session).await?;
        let mut reading = 1;
        let (counters, sequences, unshown, databases, prepared, counting, transactions) = loop {
            session.run("reading the counters", "SELECT pg_catalog.pg_stat_clear_snapshot()").await?;
            let counters = counters(session).await?;
            let sequences = Sequences::read(session).await?;
            let unshown = Unshown::with_code(session, code.clone()).await?;
            let databases = Databases::read(session).await?;
            let prepared = prepared(session).await?;
            let counting = Counting::read(session).await?;
            let transactions = Transactions::read(session).await?;
            // One that ended right then may have been anywhere: what was read before may be without it.
            if transactions.all_placed() || reading == READINGS {
                break (counters, sequences, unshown, databases, prepared, counting, transactions);
            }
            reading += 1;
        };
        let at = preflight::clock(session).await?;
        Ok(Self {
            at,
            schema,
            extensions,
            invalid_indexes,
            unreadable,
            counters,
            sequences,
            unshown,
            databases,
            prepared,
            counting,
            transactions,
        })
    }

    /// Reads the transaction ids again: right before the command, after everything else.
    pub(crate) async fn note_transactions(&mut self, session: &Session) -> Result<(), Error> {
        self.transactions = Transactions::read(session).await?;
        self.at = preflight::clock(session).await?;
        Ok(())
    }

    /// The server's clock right before the command, where this is the state from before.
    pub(crate) fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// The command may switch counting off: what is not counted is no evidence.
    pub(crate) fn distrust_counters(&mut self) {
        self.counting.trusted = false;
    }

    /// Which transactions the server had seen, as it writes them.
    pub(crate) fn seen_transactions(&self) -> &str {
        self.transactions.text()
    }

    /// What the role could read, or was not there, and may not read now.
    pub(crate) fn newly_unreadable(&self, now: &[String]) -> Vec<String> {
        now.iter().filter(|name| !self.unreadable.contains(name)).cloned().collect()
    }
}

/// What pg_dump would lock or read and the session's role may not: tables, sequences, large objects.
pub(crate) async fn unreadable(session: &Session) -> Result<Vec<String>, Error> {
    let relations = preflight::unreadable_relations(session).await?;
    let mut names: Vec<String> = relations.into_iter().map(|relation| relation.name).collect();
    if let Some(large) = preflight::unreadable_large_objects(session).await? {
        names.extend(large.examples.iter().map(|oid| format!("large object {oid}")));
    }
    // pg_dump would rather fail than leave rows out.
    let hidden = preflight::filtered_tables(session).await?;
    names.extend(hidden.iter().map(|table| format!("{} (row security hides rows)", table.name)));
    Ok(names)
}

/// Indexes that a CREATE INDEX CONCURRENTLY left behind, which pg_dump does not show; without those that somebody is
/// building right now.
async fn invalid_indexes(session: &Session) -> Result<Vec<String>, Error> {
    let sql = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index i \
               JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE NOT (i.indisvalid AND i.indisready AND i.indislive) AND c.relkind = 'i' \
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index p \
                                 WHERE p.datid = (SELECT d.oid FROM pg_catalog.pg_database d \
                                                  WHERE d.datname = pg_catalog.current_database()) \
                                   AND p.index_relid = i.indexrelid) ORDER BY 1";
    let rows = session.query("looking for invalid indexes", sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
