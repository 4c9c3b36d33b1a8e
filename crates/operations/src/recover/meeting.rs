//! Meeting each recovered table with its live one: what fills what, and what would change.

use std::collections::BTreeSet;

use holdpoint_core::fingerprint::qualified;
use holdpoint_core::name::quote_identifier as quoted;
use holdpoint_core::progress::Phase;
use holdpoint_postgres::Session;

use super::find::Known;
use super::keys::{UniqueIndex, foreign_keys, unique_indexes};
use super::leaves::SourceLeaves;
use super::live::{LiveTable, columns};
use super::mapping::{Column, Filled, Mapping, Said};
use super::plan::TableChange;
use super::recovery::{Recovery, put_back};
use super::recreate::{Again, Gone};
use super::side::SideSchema;
use super::source::{Proof, Recovered, Source};
use super::statements::Change;
use super::{RecoverMode, RecoverOptions, constraints, counts, leaves, references};
use crate::{Context, Error};

impl Recovery {
    /// Counts what would become of every table.
    pub(super) async fn count(
        &mut self,
        context: &Context,
        source: &Source,
        side: &SideSchema,
        tables: &[Recovered],
        proofs: &[Proof],
    ) -> Result<(), Error> {
        context.progress.phase(Phase::CountingChanges, None);
        // Nothing is joined with tables that only lie there.
        let analyzed = if self.options.mode == RecoverMode::Side { 0 } else { tables.len() };
        for nth in 0..analyzed {
            let sql = format!("ANALYZE {}", side.quoted(nth));
            self.session.run("analyzing a side table", &sql).await?;
        }
        let mut entries = std::mem::take(&mut self.plan.tables);
        let mut gone = Vec::new();
        for (nth, (table, entry)) in tables.iter().zip(&mut entries).enumerate() {
            match self.meet(side, nth, (table, &source.facts().place), entry).await? {
                Some(change) => {
                    counts::barriers(&change, entry);
                    if entry.refusals.is_empty() {
                        self.count_one(&change, entry).await?;
                        entry.refusals.extend(leaves::unknown(&self.session, &change, entry.deleted).await?);
                    }
                    self.places.push(nth);
                    self.changes.push(change);
                }
                None if self.options.mode != RecoverMode::Side && entry.live.is_none() => {
                    let proof = proofs.get(nth).cloned().unwrap_or_default();
                    gone.push(Gone { place: nth, known: &table.known, side: side.quoted(nth), proof });
                }
                None => {}
            }
        }
        self.make_again(context, source, &gone, &mut entries).await?;
        if self.options.mode != RecoverMode::Side {
            let oids: Vec<u32> = self.changes.iter().map(|change| change.live.oid).collect();
            self.keys = foreign_keys(&self.session, &oids).await?;
            if entries.iter().all(|entry| entry.refusals.is_empty()) {
                let mut of_changes: Vec<TableChange> =
                    self.places.iter().filter_map(|nth| entries.get(*nth).cloned()).collect();
                references::foreign_keys(&self.session, &self.changes, &self.keys, &mut of_changes).await?;
                put_back(&mut entries, &self.places, of_changes);
            }
            let selects = self.options.selects();
            entries.iter_mut().for_each(|entry| entry.judge(selects));
        }
        self.plan.tables = entries;
        Ok(())
    }

    /// Plans to make tables again that are gone.
    async fn make_again(
        &mut self,
        context: &Context,
        source: &Source,
        gone: &[Gone<'_>],
        entries: &mut [TableChange],
    ) -> Result<(), Error> {
        let catalogue = match source {
            _ if self.options.now_named.is_some() => None,
            Source::Point(archive) => Some(&archive.catalogue),
            Source::Database(database) => Some(&database.catalogue),
            Source::Dump(_) => None,
        };
        let refusal = match catalogue {
            _ if !self.options.columns.is_empty() => Some("the live table is gone, so no column of it can be filled"),
            _ if self.as_text => Some("the live table is gone, and types that it needs have changed since"),
            _ if self.options.condition.is_some() => Some(
                "the live table is gone, so it comes back whole: leave --where out; or name it with --as where it was renamed",
            ),
            None => Some(
                "there is no such table now: where it was renamed, name it with --as; where it is gone, make it first \
                 (only restore points and databases have all that it takes)",
            ),
            Some(_) => None,
        };
        for Gone { place, .. } in gone {
            let Some(entry) = entries.get_mut(*place) else { continue };
            match refusal {
                Some(refusal) => entry.refusals.push(refusal.to_owned()),
                None => (entry.made_again, entry.inserted) = (true, entry.found_rows),
            }
        }
        if let (Some(catalogue), None) = (catalogue, refusal) {
            let with = (catalogue, source.facts());
            self.again = Again::plan(context, &self.session, &self.options, with, gone, entries).await?;
        }
        let known = source.known();
        for Gone { place, side, .. } in gone {
            let (Some(names), Some(entry)) = (self.other_names(side, &known).await?, entries.get_mut(*place)) else {
                continue;
            };
            let note = format!("if it was renamed or moved, say {names}");
            match entry.refusals.last_mut() {
                Some(refusal) => refusal.push_str(&format!("; {note}")),
                None => entry.notes.push(note),
            }
        }
        Ok(())
    }

    /// What a table that is gone may be called now: tables of its columns that the source does not know.
    async fn other_names(&self, side: &str, known: &[Known]) -> Result<Option<String>, Error> {
        if self.options.now_named.is_some() {
            return Ok(None);
        }
        let then = columns(&self.session, oid_of(&self.session, side).await?).await?;
        let alike = LiveTable::alike(&self.session, &then).await?;
        let new = alike.iter().filter(|one| !known.contains(one)).take(3);
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.');
        let named = new.map(|(schema, name)| match qualified(Some(schema), name) {
            name if name.chars().all(plain) => format!("--as {name}"),
            name => format!("--as '{name}'"),
        });
        let named: Vec<String> = named.collect();
        Ok((!named.is_empty()).then(|| named.join(", or ")))
    }

    async fn count_one(&self, change: &Change, entry: &mut TableChange) -> Result<(), Error> {
        let counted = async {
            counts::rows(&self.session, change, entry).await?;
            constraints::count(&self.session, change, entry).await?;
            counts::sequences(&self.session, change, entry).await
        };
        match counted.await {
            // A domain refuses as a constraint does.
            Err(Error::Postgres(error))
                if error.sqlstate().is_some_and(|state| state.starts_with("22") || state.starts_with("23")) =>
            {
                let lost = counts::labels(&self.session, change).await?;
                if lost.is_empty() {
                    let said = error.said().unwrap_or_default();
                    entry.refusals.push(format!("a value cannot be converted to its column's type now: {said}"));
                }
                entry.refusals.extend(lost);
            }
            counted => counted?,
        }
        counts::nature(change, self.options.triggers, entry);
        Ok(())
    }

    /// Meets a recovered table with its live one; `None` where there is none.
    async fn meet(
        &self,
        side: &SideSchema,
        nth: usize,
        (table, place): (&Recovered, &str),
        entry: &mut TableChange,
    ) -> Result<Option<Change>, Error> {
        let options = &self.options;
        let (schema, name) = match &options.now_named {
            Some(now) => (now.schema.as_ref().unwrap_or(&table.known.0), &now.name),
            None => (&table.known.0, &table.known.1),
        };
        if options.mode == RecoverMode::Side {
            entry.live = LiveTable::name(&self.session, schema, name).await?;
            return Ok(None);
        }
        let Some(live) = LiveTable::read(&self.session, schema, name).await? else {
            if let Some(named) = &options.now_named {
                entry.refusals.push(format!("there is no table {named} now, as --as says"));
            }
            return Ok(None);
        };
        entry.live = Some(live.quoted.clone());
        if !matches!(live.kind, 'r' | 'p') {
            entry.refusals.push(format!("{} is no table now", live.quoted));
            return Ok(None);
        }
        let then = columns(&self.session, oid_of(&self.session, &side.quoted(nth)).await?).await?;
        let unique = unique_indexes(&self.session, live.oid).await?;
        let key = choose_key(&unique, &then, options);
        let said = Said {
            columns: &options.columns,
            renamed: &options.renamed,
            key: key.as_ref().map(|key| key.columns.as_slice()).unwrap_or_default(),
            mode: options.mode_of(&table.known),
            as_text: self.as_text,
        };
        let mapping = Mapping::decide(&then, &live.columns, &said);
        entry.notes.extend(mapping.notes);
        entry.refusals.extend(mapping.refusals);
        if let Some(key) = &key {
            entry.key.clone_from(&key.columns);
        } else if options.mode != RecoverMode::Replace || !options.columns.is_empty() {
            let why: Vec<String> = unique.iter().map(|one| format!("{} {}", one.name, one.why_no_key())).collect();
            let why =
                if why.is_empty() { "it has no primary key and no unique index".to_owned() } else { why.join(", ") };
            entry.refusals.push(format!(
                "rows cannot be told apart: {why}; a unique index of not-null columns that the restore point has too would \
                 do; or look into the side table, or use --mode replace"
            ));
        } else {
            entry.notes.push("without a key every row is deleted and inserted".to_owned());
        }
        let through_text = self.without_cast(&mapping.filled).await?;
        let change = Change {
            name: table.name(),
            live,
            side: side.quoted(nth),
            filled: mapping.filled,
            through_text,
            key,
            unique,
            part: !options.columns.is_empty(),
            mode: options.mode_of(&table.known),
            source_leaves: SourceLeaves::of(table, place, options.now_named.is_some()),
        };
        self.index_key(side, nth, &change, entry).await?;
        Ok(Some(change))
    }

    /// Finds the columns whose former type has no cast to the one of now.
    async fn without_cast(&self, filled: &[Filled]) -> Result<BTreeSet<String>, Error> {
        let mut through = BTreeSet::new();
        for one in filled {
            let Some(was) = &one.was else { continue };
            let sql = "SELECT a = b OR EXISTS (SELECT FROM pg_cast WHERE castsource = a AND casttarget = b) \
                       FROM (SELECT to_regtype($1::text)::oid AS a, to_regtype($2::text)::oid AS b) types";
            // The name of a type with its modifier is not one of a type.
            let bare = |name: &str| name.split('(').next().unwrap_or(name).trim().to_owned();
            let row =
                self.session.query_one("looking for casts", sql, &[&bare(was), &bare(&one.now.type_name)]).await?;
            if row.get::<_, Option<bool>>(0) != Some(true) {
                through.insert(one.then.clone());
            }
        }
        Ok(through)
    }

    /// Gives the side table a unique index on the key, which also shows whether its rows are told apart by it.
    async fn index_key(
        &self,
        side: &SideSchema,
        nth: usize,
        change: &Change,
        entry: &mut TableChange,
    ) -> Result<(), Error> {
        let Some(key) = &change.key else { return Ok(()) };
        let filled = |name: &String| change.filled.iter().find(|one| one.now.name == *name);
        let columns: Vec<String> = key.columns.iter().filter_map(filled).map(|one| quoted(&one.then)).collect();
        if columns.len() != key.columns.len() {
            return Ok(());
        }
        let columns = columns.join(", ");
        let sql = format!("CREATE UNIQUE INDEX holdpoint_key_{nth} ON {} ({columns})", side.quoted(nth));
        match self.session.run("indexing a side table", &sql).await {
            Err(error) if error.sqlstate() == Some("23505") => {
                entry.refusals.push(format!("the restore point has several rows with the same {columns}"));
                Ok(())
            }
            made => Ok(made?),
        }
    }
}

/// The first unique index of not-null columns that the restore point has too.
fn choose_key(unique: &[UniqueIndex], then: &[Column], options: &RecoverOptions) -> Option<UniqueIndex> {
    let known = |live: &String| {
        let named = options.renamed.iter().find(|pair| pair.now == *live).map_or(live, |pair| &pair.then);
        then.iter().any(|column| column.name == *named && !column.generated)
    };
    let keys = || unique.iter().filter(|index| index.is_key && index.columns.iter().all(known));
    // Rows are found by what stays as it is, where that is possible.
    let stays = |index: &&UniqueIndex| !options.columns.iter().any(|pair| index.columns.contains(&pair.now));
    keys().find(stays).or_else(|| keys().next()).cloned()
}

async fn oid_of(session: &Session, quoted: &str) -> Result<u32, Error> {
    let row = session.query_one("finding a side table", "SELECT $1::text::regclass::oid", &[&quoted]).await?;
    Ok(row.get(0))
}
