//! The change of live tables: one transaction, checked before it is committed.

use std::collections::BTreeSet;

use holdpoint_core::name::{quote_identifier as quoted, quote_literal};
use holdpoint_core::progress::Phase;
use holdpoint_engine::digest_copy;
use holdpoint_postgres::Session;

use super::bystanders::Bystanders;
use super::error::told;
use super::keys::ForeignKey;
use super::plan::TableChange;
use super::recreate::Again;
use super::statements::Change;
use super::{RecoverError, RecoverMode, RecoverOptions, Triggers, counts, keys, leaves, live, references, transaction};
use crate::{Context, Error};

const WHAT: &str = "changing live tables";

/// Everything that is changed together.
pub(super) struct Together<'a> {
    pub(super) changes: &'a [Change],
    pub(super) keys: &'a [ForeignKey],
    pub(super) options: &'a RecoverOptions,
    /// Tables that are gone.
    pub(super) again: Option<&'a Again>,
    /// The encoding in which rows are digested.
    pub(super) encoding: &'a str,
}

impl Together<'_> {
    /// Makes the change and commits it; fills in what really happened.
    ///
    /// On any error, and when anything is not as it should be at the end, live data are as before.
    pub(super) async fn run(
        &self,
        context: &Context,
        session: &Session,
        done: &mut [TableChange],
        made: &mut [TableChange],
    ) -> Result<(), Error> {
        // Each statement sees what others committed while it waited for them.
        session.run(WHAT, "BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let work = async {
            let transaction = self.change(context, session, done, made).await?;
            context.progress.phase(Phase::CommittingChange, None);
            Ok::<_, Error>(transaction)
        };
        let changed = tokio::select! {
            biased;
            () = context.cancel.cancelled() => Err(Error::Interrupted),
            changed = work => changed,
        };
        match changed {
            Ok(transaction) => transaction::commit(session, &transaction).await,
            Err(error) => {
                if matches!(error, Error::Interrupted) {
                    transaction::cancel(session).await;
                }
                // Where even this fails the connection is gone, and the transaction with it.
                session.run(WHAT, "ROLLBACK").await.ok();
                let tables: Vec<&str> = self.changes.iter().map(|change| change.name.as_str()).collect();
                Err(told(error, &tables.join(", "), self.options))
            }
        }
    }

    async fn change(
        &self,
        context: &Context,
        session: &Session,
        done: &mut [TableChange],
        made: &mut [TableChange],
    ) -> Result<String, Error> {
        self.lock(session).await?;
        let together: Vec<u32> = self.changes.iter().map(|change| change.live.oid).collect();
        if keys::foreign_keys(session, &together).await? != self.keys {
            let reasons = vec!["foreign keys were altered since the plan was made".to_owned()];
            return Err(RecoverError::Refused { reasons }.into());
        }
        if let Some(again) = self.again {
            again.run(session, made).await?;
        }
        // Rows may have come and gone since they were counted.
        let mut counted = Vec::new();
        for (change, done) in self.changes.iter().zip(done.iter_mut()) {
            self.unchanged_since(session, change).await?;
            let mut now = TableChange::default();
            counts::rows(session, change, &mut now).await?;
            if let Some(reason) = leaves::unknown(session, change, now.deleted).await? {
                return Err(RecoverError::Refused { reasons: vec![format!("{}: {reason}", change.name)] }.into());
            }
            (done.found_rows, done.left) = (now.found_rows, now.left);
            counted.push(now);
        }
        references::hold(session, self.changes, self.keys).await?;
        let held = self.hold_back(session, &counted).await?;
        let others = Bystanders::read(session, &together).await?;
        let order = self.parents_first();
        for nth in order.iter().rev() {
            if let (Some(change), Some(done)) = (self.changes.get(*nth), done.get_mut(*nth))
                && change.mode == RecoverMode::Replace
            {
                done.deleted = execute(session, &change.delete()).await?;
            }
        }
        for nth in &order {
            let (Some(change), Some(done)) = (self.changes.get(*nth), done.get_mut(*nth)) else { continue };
            done.changed = match change.update() {
                Some(update) if change.part || change.mode != RecoverMode::Missing => execute(session, &update).await?,
                _ => 0,
            };
            done.inserted = if change.part { 0 } else { execute(session, &change.insert()).await? };
            done.sequences.clear();
            counts::sequences(session, change, done).await?;
            for one in &done.sequences {
                // Where it is taken back, the sequence only skips numbers.
                session.run(WHAT, &one.statement()).await?;
            }
        }
        // What is checked at the end is checked now: then triggers and constraints can be set back.
        session.run(WHAT, "SET CONSTRAINTS ALL IMMEDIATE").await?;
        if self.options.triggers == Triggers::HeldBack {
            others.untouched(session, &together).await?;
            // A row that a foreign key took and that came back was changed, not inserted.
            for (now, done) in counted.iter().zip(done.iter_mut()) {
                (done.inserted, done.changed, done.deleted) = (now.inserted, now.changed, now.deleted);
            }
        }
        for statement in held {
            session.run(WHAT, &statement).await?;
        }
        for (change, done) in self.changes.iter().zip(done.iter_mut()) {
            self.check(context, session, change, done).await?;
        }
        if let Some(again) = self.again {
            again.bind(session, made).await?;
            for (table, made) in again.tables.iter().zip(made.iter()) {
                let copy = table.copy_out(self.encoding);
                let found = digest_copy(session, WHAT, &copy, context.progress.as_ref()).await?;
                if found.rows != made.inserted || found != table.digest {
                    let reason = format!("it has {found}, the restore point {}", table.digest);
                    return Err(RecoverError::NotAsPlanned { table: table.name.clone(), reason }.into());
                }
            }
        }
        let row = session.query_one(WHAT, "SELECT pg_current_xact_id()::text", &[]).await?;
        Ok(row.get(0))
    }

    async fn lock(&self, session: &Session) -> Result<(), Error> {
        let mut tables: Vec<&Change> = self.changes.iter().collect();
        tables.sort_by_key(|change| change.live.oid);
        let mode = |change: &Change| match change.live.rules.is_empty() || self.options.triggers == Triggers::Fire {
            // Disabling a rule needs the strongest lock: taking it at once avoids a deadlock later.
            false => "ACCESS EXCLUSIVE",
            true => "SHARE ROW EXCLUSIVE",
        };
        for change in tables {
            let strongest = if change.sets_identity().is_empty() { mode(change) } else { "ACCESS EXCLUSIVE" };
            session.run(WHAT, &format!("LOCK TABLE {} IN {strongest} MODE", change.live.only())).await?;
        }
        Ok(())
    }

    /// The table is still the one that was planned with.
    async fn unchanged_since(&self, session: &Session, change: &Change) -> Result<(), Error> {
        let sql = "SELECT to_regclass($1::text)::oid";
        let oid: Option<u32> = session.query_one(WHAT, sql, &[&change.live.quoted]).await?.get(0);
        // With the table locked nothing can be attached to it, and with its partitions locked nothing below them.
        if oid == Some(change.live.oid) && live::tree(session, change.live.oid).await? != change.live.tree {
            let reason = format!("partitions of {} came or went since the plan was made", change.live.quoted);
            return Err(RecoverError::Refused { reasons: vec![reason] }.into());
        }
        if oid == Some(change.live.oid)
            && live::columns(session, change.live.oid).await? == change.live.columns
            && live::triggers(session, change.live.oid).await? == change.live.triggers
            && live::rules(session, change.live.oid).await? == change.live.rules
        {
            return Ok(());
        }
        let reasons = vec![format!("{} was altered since the plan was made", change.live.quoted)];
        Err(RecoverError::Refused { reasons }.into())
    }

    /// Holds triggers, rules and identities back and puts checks off; returns what sets them back.
    async fn hold_back(&self, session: &Session, counted: &[TableChange]) -> Result<Vec<String>, Error> {
        let (mut away, mut back) = (Vec::new(), Vec::new());
        for change in self.changes {
            if self.options.triggers == Triggers::HeldBack {
                let of = |kind: &'static str, list: &[live::Trigger]| -> Vec<(String, String)> {
                    let word = |enabled| match enabled {
                        'R' => "ENABLE REPLICA",
                        'A' => "ENABLE ALWAYS",
                        _ => "ENABLE",
                    };
                    list.iter()
                        .map(|one| {
                            let (table, name) = (&one.table, quoted(&one.name));
                            let back = format!("ALTER TABLE {table} {} {kind} {name}", word(one.enabled));
                            (format!("ALTER TABLE {table} DISABLE {kind} {name}"), back)
                        })
                        .collect()
                };
                let both = [of("TRIGGER", &change.live.triggers), of("RULE", &change.live.rules)].concat();
                let (off, on): (Vec<String>, Vec<String>) = both.into_iter().unzip();
                away.extend(off);
                back.extend(on);
            }
            let sets = change.part || change.mode != RecoverMode::Missing;
            for column in change.sets_identity().iter().filter(|_| sets) {
                let alter = |word| {
                    format!("ALTER TABLE {} ALTER COLUMN {} SET GENERATED {word}", change.live.quoted, quoted(column))
                };
                away.push(alter("BY DEFAULT"));
                back.push(alter("ALWAYS"));
            }
        }
        let together: BTreeSet<u32> = self.changes.iter().map(|change| change.live.oid).collect();
        let cycle = self.has_cycle();
        let within = |key: &ForeignKey| cycle && together.contains(&key.from) && together.contains(&key.to);
        // Rows are set back before those that are gone come: they may refer to one of these.
        let both = |key: &ForeignKey| {
            let mut changes = self.changes.iter().zip(counted);
            changes.any(|(change, now)| change.live.oid == key.from && now.changed > 0 && now.inserted > 0)
        };
        let deferred = |key: &&ForeignKey| if key.from == key.to { both(key) } else { within(key) };
        for key in self.keys.iter().filter(|key| !key.deferrable).filter(deferred) {
            let alter = |word| format!("ALTER TABLE {} ALTER CONSTRAINT {} {word}", key.from_quoted, quoted(&key.name));
            away.push(alter("DEFERRABLE INITIALLY DEFERRED"));
            back.push(alter("NOT DEFERRABLE"));
        }
        for statement in &away {
            session.run(WHAT, statement).await?;
        }
        session.run(WHAT, "SET CONSTRAINTS ALL DEFERRED").await?;
        Ok(back)
    }

    /// The tables in an order in which none comes before one that it refers to, where there is such an order.
    fn parents_first(&self) -> Vec<usize> {
        self.sorted().0
    }

    /// Whether tables refer to each other in a circle.
    pub(super) fn has_cycle(&self) -> bool {
        self.sorted().1
    }

    fn sorted(&self) -> (Vec<usize>, bool) {
        let mut left: Vec<usize> = (0..self.changes.len()).collect();
        let (mut order, mut cycle) = (Vec::new(), false);
        let oid = |nth: &usize| self.changes.get(*nth).map_or(0, |change| change.live.oid);
        while !left.is_empty() {
            let waits = |nth: &usize| {
                self.keys.iter().any(|key| {
                    key.from == oid(nth) && key.to != key.from && left.iter().any(|other| key.points_to(oid(other)))
                })
            };
            let free = left.iter().position(|nth| !waits(nth));
            cycle |= free.is_none();
            order.push(left.remove(free.unwrap_or(0)));
        }
        (order, cycle)
    }

    /// Demands that the live table holds what it was to hold.
    async fn check(
        &self,
        context: &Context,
        session: &Session,
        change: &Change,
        done: &mut TableChange,
    ) -> Result<(), Error> {
        let mut after = TableChange::default();
        let wrong = |reason: String| Error::from(RecoverError::NotAsPlanned { table: change.name.clone(), reason });
        if change.key.is_some() {
            counts::rows(session, change, &mut after).await?;
            let (missing, differing, beyond) = (after.inserted, after.changed, after.deleted);
            // Triggers that fire may change rows as they like.
            if missing + differing + beyond > 0 && self.options.triggers == Triggers::HeldBack {
                return Err(wrong(format!("{missing} rows are missing, {differing} differ, {beyond} are too many")));
            }
            if missing + differing + beyond > 0 {
                done.notes.push(format!(
                    "triggers changed what came back: {missing} rows are missing, {differing} differ, {beyond} are too many"
                ));
            }
        }
        if change.comparable() && self.options.triggers == Triggers::HeldBack {
            let encoding = quote_literal(self.encoding);
            let digest = |names: String, from: String| {
                let sql = format!("COPY (SELECT {names} FROM {from}) TO STDOUT (ENCODING {encoding})");
                async move { digest_copy(session, "comparing the live table", &sql, context.progress.as_ref()).await }
            };
            let then: Vec<String> = change.filled.iter().map(|one| quoted(&one.then)).collect();
            let now: Vec<String> = change.filled.iter().map(|one| quoted(&one.now.name)).collect();
            let expected = digest(then.join(", "), change.side.clone()).await?;
            let found = digest(now.join(", "), change.live.only()).await?;
            if expected != found {
                return Err(wrong(format!("it has {found}, the side table {expected}")));
            }
        }
        Ok(())
    }
}

async fn execute(session: &Session, sql: &str) -> Result<u64, Error> {
    session.execute(WHAT, sql).await.map_err(Error::from)
}
