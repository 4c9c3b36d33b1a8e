//! What a rollback does not bring back: objects, columns, rows, and what the tool has recorded.

use std::collections::BTreeSet;

use holdpoint_core::fingerprint::Difference;
use holdpoint_core::quantity::listed;
use holdpoint_operations::compare::{Against, CompareOptions, TableChange, TableDifference, compare, compare_rows};
use holdpoint_operations::schema_check::Schema;
use holdpoint_operations::verify::KeptCopy;
use holdpoint_operations::{Context, Source};

use super::effects::relation_name;
use super::{RehearseError, RehearseOptions};
use crate::Error;
use crate::rows_compared::{LOCK_WAIT, rows_of};
use crate::tools::TableName;

/// So many changed rows are looked at for the columns in which they differ.
const LOOKED_AT: usize = 200;
/// How many columns are named.
const NAMED: usize = 5;

/// The copy after the rollback, against what it was.
pub(super) struct Lost<'a> {
    pub(super) context: &'a Context,
    pub(super) copy: &'a KeptCopy,
    pub(super) source: &'a Source,
    pub(super) options: &'a RehearseOptions,
    /// The tool's own table, of which its rows are compared by themselves.
    pub(super) tracking: Option<&'a TableName>,
}

impl Lost<'_> {
    /// Lists everything that is not as before, in words.
    pub(super) async fn list(&self, before: &Schema) -> Result<Vec<String>, Error> {
        let after = Schema::live(self.context, self.source).await?;
        let mut lost: Vec<String> = before.changes(&after).iter().map(object).collect();
        let against = Against::Database { source: Box::new(self.source.clone()), own: false };
        let wanted = CompareOptions {
            point: self.copy.point().clone(),
            against: against.clone(),
            jobs: self.options.jobs,
            quick: self.options.compare_up_to_bytes,
            definitions: false,
            lock_wait: LOCK_WAIT,
        };
        let report = compare(self.context, &wanted).await?;
        for table in &report.tables.differences {
            let own = self.tracking.is_some_and(|own| own.to_string() == table.table);
            // Objects that came or went are told already.
            if !own && !matches!(table.change, TableChange::Added | TableChange::Gone) {
                lost.push(self.rows(&against, table).await?);
            }
        }
        let large = &report.large_objects;
        let (gone, changed, added) = (large.gone, large.changed, large.added);
        if gone + changed + added > 0 {
            lost.push(format!("large objects: {gone} are gone, {changed} changed, {added} are new"));
        }
        lost.extend(report.not_read.iter().map(|what| format!("not known: {what}")));
        Ok(lost)
    }

    async fn rows(&self, against: &Against, table: &TableDifference) -> Result<String, Error> {
        let name = &table.table;
        let counted = || {
            let rows = |rows: Option<u64>| rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
            format!("rows of {name} are not as before ({} then, {} now)", rows(table.rows_then), rows(table.rows_now))
        };
        if table.rows_equal == Some(true) {
            return Ok(format!("columns of {name} are not as before; its rows are"));
        }
        let Some(relation) = relation_name(name) else { return Ok(counted()) };
        let wanted =
            rows_of(self.copy.point(), against, relation, LOOKED_AT, &self.options.temporary, self.options.jobs);
        let found = match compare_rows(self.context, &wanted).await {
            Ok(found) => found,
            Err(holdpoint_operations::Error::Interrupted) => return Err(RehearseError::interrupted().into()),
            Err(_) => return Ok(counted()),
        };
        let Some(counts) = found.counts else { return Ok(counted()) };
        let columns: BTreeSet<&String> = found.rows.iter().flat_map(|row| &row.columns).collect();
        let columns: Vec<String> = columns.into_iter().cloned().collect();
        let part = |count: u64, words: &str| (count > 0).then(|| format!("{count} {words}"));
        let changed = format!("have lost their values in {}", listed(&columns, NAMED));
        let parts = [
            part(counts.missing, "are gone"),
            part(counts.changed, &changed),
            part(counts.new, "were not there before"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        Ok(format!("rows of {name}: {}", parts.join(", ")))
    }
}

fn object(difference: &Difference) -> String {
    match (&difference.expected, &difference.found) {
        (None, _) => format!("{} stays", difference.name),
        (_, None) => format!("{} is gone", difference.name),
        _ => format!("{} is not as before", difference.name),
    }
}
