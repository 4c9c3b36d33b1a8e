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
mod code;
mod counters;
mod shared;
mod transactions;
mod unshown;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use holdpoint_core::ledger::{ChangedBeside, WrittenMeanwhile};
use holdpoint_core::manifest::Extension;
use holdpoint_core::quantity::listed;
use holdpoint_core::rehearsal::{ObjectChange, ObjectEffect};
use holdpoint_operations::schema_check::Schema;
use holdpoint_postgres::catalog::database;
use holdpoint_postgres::{Session, preflight};

pub(crate) use self::catalogs::catalogs_written;
pub(crate) use self::code::is_code;
use self::counters::{COLLECTOR_DELAY, Counters, HeldBack, counters, held_back, written};
use self::shared::Databases;
pub(crate) use self::transactions::nothing_kept_since;
use self::transactions::{Kept, Transactions};
pub(crate) use self::unshown::{Unshown, locked_by_prepared, prepared};
use crate::Error;
use crate::rehearse::effects;
use crate::tools::TableName;

/// How many names a remark lists.
const LISTED: usize = 5;
/// How often what others move on is read, where somebody's transaction ended right then.
const READINGS: u32 = 5;

/// Where a sequence stands; a sequence that begins anew at its end may be anywhere, and is not among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// The last value that was given out; `None` where none was.
    last: Option<i64>,
    /// Whether it counts down.
    down: bool,
    /// The last value that it may give out, and the first.
    end: i64,
    start: i64,
}

impl Position {
    /// Whether it is behind where it stood before.
    fn is_behind(self, before: Self) -> bool {
        match (before.last, self.last) {
            (Some(_), None) => true,
            (Some(before), Some(now)) if self.down => now > before,
            (Some(before), Some(now)) => now < before,
            (None, _) => false,
        }
    }

    /// Whether less than a tenth of its values is left.
    fn nearly_exhausted(self) -> bool {
        let Some(last) = self.last else { return false };
        let all = i128::from(self.end).abs_diff(i128::from(self.start));
        i128::from(self.end).abs_diff(i128::from(last)) < all / 10
    }
}

/// The database at one moment.
#[derive(Debug)]
pub(crate) struct DatabaseState {
    pub(crate) schema: Schema,
    extensions: Vec<Extension>,
    invalid_indexes: Vec<String>,
    /// What the session's role may not read.
    pub(crate) unreadable: Vec<String>,
    counters: BTreeMap<String, Counters>,
    sequences: BTreeMap<String, Position>,
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

/// Whether counters can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counting {
    /// When the server was started.
    started_at: DateTime<Utc>,
    /// When somebody set the database's counters back; and when the server began to count anew, as it does once one of its
    /// processes has crashed (`pgstat_reset_after_failure` of pgstat.c): it sets the time of all that count for the whole server.
    reset_at: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    /// Whether they count whoever connects.
    trusted: bool,
}

/// The tool's own table, which is new and holds nothing.
struct CameEmpty<'a> {
    table: &'a TableName,
    /// Its name as the counters have it, quoted where SQL needs that.
    in_counters: String,
}

/// What became of the database between two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// `unchanged`, `changed` or `unknown`.
    pub(crate) database: &'static str,
    /// What shows that.
    pub(crate) remarks: Vec<String>,
    /// What must be looked at even where the command succeeded.
    pub(crate) warnings: Vec<String>,
    /// Schema objects that differ; `None` where the schema was not read, which is not that none differs.
    pub(crate) objects: Option<Vec<ObjectEffect>>,
    /// Indexes that are invalid now, and were not.
    pub(crate) invalid_indexes: Vec<String>,
    /// Transactions that were prepared meanwhile, and are still.
    pub(crate) prepared: Vec<String>,
    /// What the backup's role may not read now, and could.
    pub(crate) unreadable: Vec<String>,
    /// Whether only sessions that may be the command's, and are in a transaction, leave open what was kept.
    pub(crate) perhaps_at_work: bool,
    /// Whether the counters tell which tables' rows were written.
    pub(crate) counted: bool,
    /// Whether they do not because the server began to count anew while the command ran.
    pub(crate) lost_count: bool,
    /// Tables of which nobody wrote a row, by the counters, where these tell.
    pub(crate) unmoved: Vec<String>,
    /// The others that were there before, with what was written, by the counters, where these tell.
    pub(crate) written: Option<Vec<WrittenMeanwhile>>,
    /// What no dump shows, and that came, went or changed.
    pub(crate) beside: Vec<ChangedBeside>,
    /// SHA-256 over the schema as it is now, where it could be read.
    pub(crate) left_schema: Option<String>,
    /// Which transactions the server had seen by then, where that could be read.
    pub(crate) transactions: Option<String>,
}

impl Change {
    /// Nothing is known yet.
    pub(crate) fn unknown() -> Self {
        Self {
            database: "unknown",
            remarks: Vec::new(),
            warnings: Vec::new(),
            objects: None,
            invalid_indexes: Vec::new(),
            prepared: Vec::new(),
            unreadable: Vec::new(),
            perhaps_at_work: false,
            counted: false,
            lost_count: false,
            unmoved: Vec::new(),
            written: None,
            beside: Vec::new(),
            left_schema: None,
            transactions: None,
        }
    }

    /// Says that the state could not be read.
    pub(crate) fn unseen(why: &str) -> Self {
        let why = format!("what the database looks like now could not be read: {why}");
        Self { warnings: vec![why], ..Self::unknown() }
    }
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
            let sequences = sequences(session).await?;
            let unshown = Unshown::with_code(session, code.clone()).await?;
            let databases = Databases::read(session).await?;
            let prepared = prepared(session).await?;
            let counting = counting(session).await?;
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

    /// Compares with the state after the command, as the module's documentation says; `patient`: the answer is worth
    /// waiting for the counters of others; `own`: the tool's own table.
    pub(crate) async fn compare(
        &self,
        after: &Self,
        session: &Session,
        patient: bool,
        own: Option<&TableName>,
    ) -> Result<Change, Error> {
        let came_empty = self.came_empty(after, own, session).await?;
        let mut change = self.visible_changes(after, came_empty.as_ref());
        let moved = |now: &BTreeMap<String, Counters>| {
            let mut moved = counters::moved(&self.counters, now);
            moved.retain(|name| came_empty.as_ref().is_none_or(|own| own.in_counters != *name));
            moved
        };
        let restarted = self.counting.started_at != after.counting.started_at;
        let counted = self.counting == after.counting && self.counting.trusted;
        change.counted = counted;
        change.lost_count =
            self.counting.started_at != after.counting.started_at || self.counting.reset_at != after.counting.reset_at;
        let mut touched = moved(&after.counters);
        if counted {
            let still = |name: &&String| after.counters.get(*name) == self.counters.get(*name);
            change.unmoved = self.counters.keys().filter(still).cloned().collect();
            change.written = written(&self.counters, &after.counters);
        }
        if restarted {
            change.warnings.push("the server was restarted while the command ran".to_owned());
        }
        if change.database == "changed" || restarted {
            return Ok(change);
        }
        let kept = self.transactions.kept(&after.transactions, session).await?;
        let not_read = self.unshown.not_read(&after.unshown);
        if !not_read.is_empty() {
            change.remarks.push(format!("not looked at, as this role may not read it: {}", not_read.join(", ")));
        }
        let own = came_empty.as_ref();
        change.remarks.extend(own.map(|own| format!("the tool made its own table {}, which is empty", own.table)));
        change.remarks.extend(self.moved_on(after));
        change.remarks.extend(self.databases.changes(&after.databases));
        if kept == Kept::Nothing {
            change.database = "unchanged";
            return Ok(change);
        }
        if kept == Kept::Something && counted && touched.is_empty() {
            match held_back(session, patient).await? {
                HeldBack::Nothing => {}
                HeldBack::Passed => {
                    let now = counters(session).await?;
                    touched = moved(&now);
                    change.written = written(&self.counters, &now);
                }
                HeldBack::Perhaps => {
                    change
                        .remarks
                        .push("somebody else's session may have written rows that are not counted yet".to_owned());
                    return Ok(change);
                }
            }
            if touched.is_empty() {
                change.database = "unchanged";
                return Ok(change);
            }
            change.unmoved.retain(|name| !touched.contains(name));
        }
        if !touched.is_empty() {
            let names = listed(&touched, LISTED);
            change.remarks.push(format!("rows were written in {names} while the command ran, by it or by others"));
        }
        if kept == Kept::Open {
            change.remarks.push("a transaction that began while the command ran is still open".to_owned());
        }
        Ok(change)
    }

    /// The tool's own table, where it was not there and is now, and holds nothing: tools make it before the transaction of
    /// their first migration, and leave it where that fails.
    async fn came_empty<'a>(
        &self,
        after: &Self,
        own: Option<&'a TableName>,
        session: &Session,
    ) -> Result<Option<CameEmpty<'a>>, Error> {
        const WHAT: &str = "looking at the tool's own table";
        let is_new =
            |own: &&TableName| !self.schema.has_table(&own.to_string()) && after.schema.has_table(&own.to_string());
        let Some(own) = own.filter(is_new) else { return Ok(None) };
        let sql = "SELECT pg_catalog.format('%I.%I', $1::pg_catalog.text, $2::pg_catalog.text)";
        let in_counters: String = session.query_one(WHAT, sql, &[&own.schema, &own.name]).await?.get(0);
        let sql = "SELECT pg_catalog.has_table_privilege($1::pg_catalog.text, 'SELECT')";
        if !session.query_one(WHAT, sql, &[&in_counters]).await?.get::<_, bool>(0) {
            return Ok(None);
        }
        let sql = format!("SELECT NOT EXISTS (SELECT FROM {in_counters})");
        let is_empty: bool = session.query_one(WHAT, &sql, &[]).await?.get(0);
        Ok(is_empty.then_some(CameEmpty { table: own, in_counters }))
    }

    /// What shows in the catalog: changed, or not known yet; that the tool's own table came, which is empty, is no change.
    fn visible_changes(&self, after: &Self, came_empty: Option<&CameEmpty<'_>>) -> Change {
        let objects = effects::objects(&self.schema, &after.schema);
        let of_the_tool = |one: &ObjectEffect| {
            one.change == ObjectChange::Added && came_empty.is_some_and(|own| own.table.names(&one.name))
        };
        let mut change = Change::unknown();
        let names: Vec<String> = objects.iter().filter(|one| !of_the_tool(one)).map(words).collect();
        if !names.is_empty() {
            change.remarks.push(format!("changed in the schema: {}", listed(&names, LISTED)));
        }
        change.objects = Some(objects);
        if self.extensions != after.extensions {
            change.remarks.push("an extension or its version changed".to_owned());
        }
        let is_new = |name: &&String| !self.invalid_indexes.contains(name);
        change.invalid_indexes = after.invalid_indexes.iter().filter(is_new).cloned().collect();
        if change.invalid_indexes.is_empty() && self.invalid_indexes != after.invalid_indexes {
            change.remarks.push("an invalid index is gone".to_owned());
        }
        change.beside = self.unshown.changed_beside(&after.unshown);
        let unshown = self.unshown.changes(&after.unshown);
        if !unshown.is_empty() {
            change.remarks.push(format!("changed beside the schema: {}", listed(&unshown, LISTED)));
        }
        let exhausted = self.exhausted(after);
        if !exhausted.is_empty() {
            let names = listed(&exhausted, LISTED);
            change
                .warnings
                .push(format!("nearly exhausted since, with less than a tenth of their values left: {names}"));
        }
        let behind = self.set_back(after);
        if !behind.is_empty() {
            let names = listed(&behind, LISTED);
            change.remarks.push(format!("set back, so that numbers are given out again: {names}"));
        }
        change.unreadable = self.newly_unreadable(&after.unreadable);
        if !(change.remarks.is_empty() && change.invalid_indexes.is_empty()) {
            change.database = "changed";
        }
        change
    }

    /// What the role could read, or was not there, and may not read now.
    pub(crate) fn newly_unreadable(&self, now: &[String]) -> Vec<String> {
        now.iter().filter(|name| !self.unreadable.contains(name)).cloned().collect()
    }

    /// Sequences that came so far meanwhile that less than a tenth of their values is left.
    fn exhausted(&self, after: &Self) -> Vec<String> {
        let new = |(name, now): &(&String, &Position)| {
            now.nearly_exhausted() && !self.sequences.get(*name).is_some_and(|before| before.nearly_exhausted())
        };
        let words = |(name, now): (&String, &Position)| Some(format!("{name} (at {})", now.last?));
        after.sequences.iter().filter(new).filter_map(words).collect()
    }

    /// Which sequences are further than before, in words: that is never taken back.
    fn moved_on(&self, after: &Self) -> Option<String> {
        let further = |(name, now): (&String, &Position)| {
            let before = self.sequences.get(name)?;
            (before.last != now.last && !now.is_behind(*before)).then_some(format!("{name} (at {})", now.last?))
        };
        let names: Vec<String> = after.sequences.iter().filter_map(further).collect();
        (!names.is_empty())
            .then(|| format!("sequences that are further, which nothing takes back: {}", listed(&names, LISTED)))
    }

    /// Sequences that are behind where they were, and were not made anew otherwise.
    fn set_back(&self, after: &Self) -> Vec<String> {
        let behind = |(name, before): (&String, &Position)| {
            let now = after.sequences.get(name).filter(|now| now.down == before.down)?;
            now.is_behind(*before).then(|| name.clone())
        };
        self.sequences.iter().filter_map(behind).collect()
    }
}

fn words(object: &ObjectEffect) -> String {
    let word = match object.change {
        ObjectChange::Added => "new",
        ObjectChange::Gone => "gone",
        ObjectChange::Changed => "changed",
    };
    format!("{} ({word})", object.name)
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

async fn counting(session: &Session) -> Result<Counting, Error> {
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
    Ok(Counting { started_at: row.get(0), reset_at: (row.get(1), row.get(2)), trusted: row.get(3) })
}

/// Where every sequence stands that the role may read.
async fn sequences(session: &Session) -> Result<BTreeMap<String, Position>, Error> {
    let sql = "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), \
                      pg_catalog.pg_sequence_last_value(c.oid), s.seqincrement < 0, \
                      CASE WHEN s.seqincrement < 0 THEN s.seqmin ELSE s.seqmax END, s.seqstart \
               FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE NOT s.seqcycle AND c.relpersistence <> 't' \
                 AND CASE WHEN c.relkind = 'S' THEN pg_catalog.has_sequence_privilege(c.oid, 'SELECT,USAGE') END";
    let rows = session.query("reading where sequences stand", sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), Position { last: row.get(1), down: row.get(2), end: row.get(3), start: row.get(4) }))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_behind_where_it_would_give_out_numbers_again() {
        let at = |last, down| Position { last, down, end: if down { -100 } else { 1_000 }, start: 0 };
        for (before, now, down, behind) in [
            (Some(100), Some(1), false, true),
            (Some(100), None, false, true),
            (Some(100), Some(100), false, false),
            (Some(100), Some(101), false, false),
            (None, Some(1), false, false),
            (None, None, false, false),
            (Some(-5), Some(-1), true, true),
            (Some(-5), Some(-9), true, false),
        ] {
            assert_eq!(at(now, down).is_behind(at(before, down)), behind, "{before:?} {now:?} {down}");
        }
    }

    #[test]
    fn a_sequence_is_nearly_exhausted_with_less_than_a_tenth_left() {
        let at = |last, end, start| Position { last, down: end < start, end, start }.nearly_exhausted();
        assert!(at(Some(i64::MAX), i64::MAX, 1) && at(Some(95), 100, 1) && at(Some(-95), -100, -1));
        assert!(!at(Some(85), 100, 1) && !at(None, 100, 1) && !at(Some(1_000_000), i64::MAX, 1));
        assert!(at(Some(i64::MIN), i64::MIN, i64::MAX) && !at(Some(0), i64::MIN, i64::MAX));
    }
}
