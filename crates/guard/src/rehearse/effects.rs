//! What happened to tables: names, files and columns from the catalog, rows by comparison with the restore point.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdpoint_core::RelationName;
use holdpoint_core::fingerprint::schema_and_name;
use holdpoint_core::name::quote_identifier;
use holdpoint_core::rehearsal::{ObjectChange, ObjectEffect, RenamedColumn, RowEffect, TableEffect};
use holdpoint_operations::compare::{
    Against, CompareOptions, CompareReport, CompareRowsOptions, HowRows, TableChange, TableDifference, compare,
    compare_rows,
};
use holdpoint_operations::recover::ColumnPair;
use holdpoint_operations::schema_check::Schema;
use holdpoint_operations::verify::KeptCopy;
use holdpoint_operations::{Context, Source};

use super::catalog::{Relation, Relations};
use super::locks::Locks;
use super::{RehearseError, RehearseOptions};
use crate::Error;

/// So many rows that changed are looked at for the columns in which they did.
const LOOKED_AT: usize = 1000;
/// How long a comparison waits for a table of the copy, on which nobody else is.
const LOCK_WAIT: Duration = Duration::from_secs(30);
/// Bytes of hashes of rows in memory; more go into temporary files.
const MEMORY_BYTES: usize = 64 << 20;

/// Two states of the copy's catalog.
pub(super) struct Between<'a> {
    pub(super) before: &'a Relations,
    pub(super) after: &'a Relations,
}

/// What the rows and everything else came to, in comparison with the restore point.
pub(super) struct Effects {
    pub(super) tables: Vec<TableEffect>,
    pub(super) sequences: Vec<String>,
    pub(super) large_objects: Option<RowEffect>,
    pub(super) not_told: Vec<String>,
}

/// Compares the copy with the restore point that it came from.
pub(super) async fn effects(
    context: &Context,
    copy: &KeptCopy,
    source: &Source,
    options: &RehearseOptions,
    between: &Between<'_>,
    locks: &Locks,
) -> Result<Effects, Error> {
    let against = Against::Database { source: Box::new(source.clone()), own: false };
    let compared = CompareOptions {
        point: copy.point().clone(),
        against: against.clone(),
        jobs: options.jobs,
        quick: options.compare_up_to_bytes,
        definitions: false,
        lock_wait: LOCK_WAIT,
    };
    let report = compare(context, &compared).await?;
    let mut tables = from_catalog(between, locks);
    add_rows(context, copy, &against, options, &report, &mut tables).await?;
    tables.retain(|_, effect| is_told(effect));
    let zero = |count: &RowEffect| !count.is_zero();
    let large = &report.large_objects;
    let large_objects = RowEffect { inserted: large.added, updated: large.changed, deleted: large.gone };
    Ok(Effects {
        tables: tables.into_values().collect(),
        sequences: report.sequences.iter().map(|one| one.name.clone()).collect(),
        large_objects: Some(large_objects).filter(zero),
        not_told: report.not_read,
    })
}

/// A table of which there is something to say.
fn is_told(effect: &TableEffect) -> bool {
    let form = effect.added || effect.dropped || effect.rewritten || effect.renamed_to.is_some();
    let columns = !(effect.columns_added.is_empty() && effect.columns_gone.is_empty());
    let rows = effect.rows_after.is_some() || effect.written.is_some() || effect.why.is_some();
    form || columns || rows || !effect.locks.is_empty()
}

/// What the catalog tells: by the name that a table had before, or that a new one has.
fn from_catalog(between: &Between<'_>, locks: &Locks) -> BTreeMap<String, TableEffect> {
    let mut tables = BTreeMap::new();
    for (oid, was) in between.before {
        let mut effect = TableEffect { table: was.name.clone(), ..TableEffect::default() };
        match between.after.get(oid) {
            None => effect.dropped = true,
            Some(is) => {
                effect.renamed_to = (is.name != was.name).then(|| is.name.clone());
                effect.rewritten = is.file != was.file;
                effect.columns_added = missing(&is.columns, &was.columns);
                effect.columns_gone = missing(&was.columns, &is.columns);
                effect.columns_renamed = renamed(was, is);
                effect.written = was.counted.zip(is.counted).map(|(was, is)| RowEffect {
                    inserted: is.inserted.saturating_sub(was.inserted),
                    updated: is.updated.saturating_sub(was.updated),
                    deleted: is.deleted.saturating_sub(was.deleted),
                });
                effect.written = effect.written.filter(|written| !written.is_zero());
            }
        }
        effect.locks = locks.get(oid).cloned().unwrap_or_default();
        tables.insert(was.name.clone(), effect);
    }
    for (oid, is) in between.after.iter().filter(|(oid, _)| !between.before.contains_key(oid)) {
        let written = is.counted.filter(|written| !written.is_zero());
        let effect = TableEffect { table: is.name.clone(), added: true, written, ..TableEffect::default() };
        // A table that took the place and name of another one is told apart from it.
        let key = if tables.contains_key(&is.name) { format!("{} #{oid}", is.name) } else { is.name.clone() };
        tables.insert(key, effect);
    }
    tables
}

/// The columns that are there under a name that none had: what changed names with others is compared by its name.
fn renamed(was: &Relation, is: &Relation) -> Vec<RenamedColumn> {
    let mut all = Vec::new();
    for (before, number) in
        was.columns.iter().zip(&was.numbers).filter(|(name, number)| **number != 0 && !is.columns.contains(name))
    {
        let now = is.columns.iter().zip(&is.numbers).find(|(_, other)| *other == number);
        let now = now.map(|(now, _)| now).filter(|now| !was.columns.contains(now));
        all.extend(now.map(|now| RenamedColumn { before: before.clone(), now: now.clone() }));
    }
    all
}

fn missing(list: &[String], other: &[String]) -> Vec<String> {
    list.iter().filter(|one| !other.contains(one)).cloned().collect()
}

/// Adds what a comparison of rows tells.
async fn add_rows(
    context: &Context,
    copy: &KeptCopy,
    against: &Against,
    options: &RehearseOptions,
    report: &CompareReport,
    tables: &mut BTreeMap<String, TableEffect>,
) -> Result<(), Error> {
    for difference in &report.tables.differences {
        let name = &difference.table;
        if difference.change == TableChange::Added {
            let new = tables.values_mut().find(|one| one.added && one.table == *name);
            if let Some(effect) = new {
                effect.rows_after = difference.rows_now.filter(|_| !difference.estimated);
            }
            // Else it is one that was renamed.
            continue;
        }
        let effect = tables.entry(name.clone()).or_insert_with(|| TableEffect {
            table: name.clone(),
            columns_added: difference.columns_added.clone(),
            columns_gone: difference.columns_gone.clone(),
            ..TableEffect::default()
        });
        effect.rows_before = difference.rows_then;
        // Unless another one took its name, with rows of its own.
        if effect.dropped && difference.change == TableChange::Gone {
            effect.rows = difference.rows_then.map(|deleted| RowEffect { deleted, ..RowEffect::default() });
            continue;
        }
        effect.rows_after = difference.rows_now.filter(|_| !difference.estimated);
        effect.why = difference.why.clone();
        if difference.rows_equal == Some(true) && effect.columns_renamed.is_empty() {
            effect.rows = Some(RowEffect::default());
        } else if difference.change == TableChange::NotCompared {
            effect.why.get_or_insert_with(|| "it was not compared".to_owned());
        } else {
            by_key(context, copy, against, options, difference, effect).await?;
        }
    }
    if report.not_read.is_empty() {
        let differ: BTreeSet<&str> = report.tables.differences.iter().map(|one| one.table.as_str()).collect();
        let same = |effect: &&mut TableEffect| !(effect.added || effect.dropped || differ.contains(&*effect.table));
        tables.values_mut().filter(same).for_each(|effect| effect.rows = Some(RowEffect::default()));
    }
    Ok(())
}

/// Compares the rows of one table by key.
async fn by_key(
    context: &Context,
    copy: &KeptCopy,
    against: &Against,
    options: &RehearseOptions,
    difference: &TableDifference,
    effect: &mut TableEffect,
) -> Result<(), Error> {
    let named = |name: &str| relation_name(name);
    let pair = |one: &RenamedColumn| ColumnPair { then: one.before.clone(), now: one.now.clone() };
    let Some(table) = named(&difference.table) else {
        effect.why = Some("its partitions are loaded through their root: rows are counted only".to_owned());
        return Ok(());
    };
    let wanted = CompareRowsOptions {
        point: copy.point().clone(),
        against: against.clone(),
        table,
        now_named: effect.renamed_to.as_deref().and_then(named),
        now_where: None,
        how: HowRows {
            key: None,
            columns: None,
            renamed: effect.columns_renamed.iter().map(pair).collect(),
            limit: LOOKED_AT,
            values: false,
            memory_bytes: MEMORY_BYTES,
            directory: options.temporary.clone(),
            jobs: options.jobs,
            lock_wait: LOCK_WAIT,
        },
    };
    match compare_rows(context, &wanted).await {
        Ok(found) => {
            effect.rows_after = Some(found.rows_now);
            effect.rows = found.counts.map(|counts| RowEffect {
                inserted: counts.new,
                updated: counts.changed,
                deleted: counts.missing,
            });
            let columns = found.rows.iter().flat_map(|row| &row.columns);
            effect.columns_changed =
                found.counts.map(|_| columns.cloned().collect::<BTreeSet<_>>().into_iter().collect());
            effect.columns_sampled = found.counts.is_some_and(|counts| counts.changed > LOOKED_AT as u64);
        }
        Err(holdpoint_operations::Error::Interrupted) => return Err(RehearseError::interrupted().into()),
        Err(error) => effect.why = Some(error.to_string()),
    }
    Ok(())
}

/// Reads a name as comparisons write it.
pub(crate) fn relation_name(name: &str) -> Option<RelationName> {
    let (schema, table) = schema_and_name(name)?;
    format!("{}.{}", quote_identifier(&schema), quote_identifier(&table)).parse().ok()
}

/// Schema objects that differ.
pub(crate) fn objects(before: &Schema, after: &Schema) -> Vec<ObjectEffect> {
    let (was, is) = (before.definitions(), after.definitions());
    let effect = |one: holdpoint_core::fingerprint::Difference| ObjectEffect {
        before: was.get(&one.name).cloned(),
        after: is.get(&one.name).cloned(),
        change: match (&one.expected, &one.found) {
            (None, _) => ObjectChange::Added,
            (_, None) => ObjectChange::Gone,
            _ => ObjectChange::Changed,
        },
        name: one.name,
    };
    before.changes(after).into_iter().map(effect).collect()
}
