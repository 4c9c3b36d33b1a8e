//! What became of the tables since the undo began: against the restore point that was made right before it.

use std::collections::BTreeMap;

use holdpoint_core::{PointId, RelationName};
use holdpoint_operations::compare::{
    Against, CompareOptions, CompareReport, TableChange, TableDifference, compare, compare_rows,
};

use super::record::Record;
use super::rows::Rows;
use super::work::Work;
use crate::Error;
use crate::rehearse::relation_name;
use crate::rows_compared::rows_of;
use crate::tools::TableName;

/// So many changed rows are looked at for the columns in which they differ.
const LOOKED_AT: usize = 1000;

/// The database against right before the undo, the first time where it was tried again.
pub(super) struct Since {
    pub(super) report: CompareReport,
    rows: BTreeMap<String, Option<Rows>>,
}

impl Since {
    /// Compares; `None` where that restore point is gone. The tool's own table is left out.
    pub(super) async fn read(
        work: &Work<'_>,
        record: &Record<'_>,
        wanted: &CompareOptions,
        own: Option<&TableName>,
    ) -> Result<Option<Self>, Error> {
        let first = work.steps.iter().find_map(|step| step.undo.as_ref()?.point.clone());
        let Some(point) = first.or_else(|| record.undo.point.clone()) else { return Ok(None) };
        let wanted = CompareOptions { point: point.clone(), ..wanted.clone() };
        let report = match compare(work.context, &wanted).await {
            Ok(report) => report,
            Err(holdpoint_operations::Error::NoSuchPoint { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut found = BTreeMap::new();
        for table in report.tables.differences.iter().filter(|one| changed(one, own)) {
            let rows = match &table.why {
                None => rows(work, &point, &wanted.against, &table.table).await?,
                Some(_) => None,
            };
            found.insert(table.table.clone(), rows);
        }
        Ok(Some(Self { report, rows: found }))
    }

    /// The tables whose rows are not those of then.
    pub(super) fn tables(&self) -> impl Iterator<Item = &str> {
        self.rows.keys().map(String::as_str)
    }

    /// How a table's rows differ; where nobody can count that by key, whatever may be counts as being so.
    pub(super) fn rows(&self, table: &str) -> Rows {
        match self.rows.get(table) {
            None => Rows::default(),
            Some(Some(rows)) => rows.clone(),
            Some(None) => {
                let fewer =
                    |one: &TableDifference| one.rows_then?.checked_sub(one.rows_now.filter(|_| !one.estimated)?);
                let missing = self.difference(table).and_then(fewer).unwrap_or_default();
                Rows { new: 1, missing, changed: 1, columns: None }
            }
        }
    }

    /// How a table differs whose rows nobody could count by key.
    pub(super) fn uncounted(&self, table: &str) -> Option<&TableDifference> {
        self.rows.get(table).filter(|rows| rows.is_none()).and_then(|_| self.difference(table))
    }

    /// The tables that went since, with their rows of then.
    pub(super) fn gone(&self) -> impl Iterator<Item = (&str, u64)> {
        let gone = self.report.tables.differences.iter().filter(|one| one.change == TableChange::Gone);
        gone.map(|one| (one.table.as_str(), one.rows_then.unwrap_or_default()))
    }

    fn difference(&self, table: &str) -> Option<&TableDifference> {
        self.report.tables.differences.iter().find(|one| one.table == table)
    }
}

/// Whether a table's rows are others, or may be.
fn changed(table: &TableDifference, own: Option<&TableName>) -> bool {
    let same = table.change == TableChange::Columns && table.rows_equal == Some(true);
    let there = !matches!(table.change, TableChange::Added | TableChange::Gone);
    there && !same && own.is_none_or(|own| own.to_string() != table.table)
}

/// How a table's rows differ from those of a restore point, by key; `None` where nobody can count that.
pub(super) async fn rows(
    work: &Work<'_>,
    point: &PointId,
    against: &Against,
    table: &str,
) -> Result<Option<Rows>, Error> {
    let Some(relation) = relation(table) else { return Ok(None) };
    let wanted = rows_of(point, against, relation, LOOKED_AT, &work.options.temporary, work.options.jobs);
    let found = match compare_rows(work.context, &wanted).await {
        Ok(found) => found,
        Err(holdpoint_operations::Error::Interrupted) => return Err(Error::Interrupted),
        Err(_) => return Ok(None),
    };
    let Some(counts) = found.counts else { return Ok(None) };
    let columns = || found.rows.iter().flat_map(|row| row.columns.iter().cloned()).collect();
    let columns = (counts.changed <= LOOKED_AT as u64).then(columns);
    Ok(Some(Rows { new: counts.new, missing: counts.missing, changed: counts.changed, columns }))
}

/// The table that is read: of partitions that are loaded through one root this one.
fn relation(table: &str) -> Option<RelationName> {
    relation_name(table).or_else(|| relation_name(table.strip_suffix(".*")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_are_one_group_are_read_through_their_root() {
        let name = |table: &str| relation(table).map(|name| name.to_string());
        assert_eq!(name("s.root.*"), name("s.root"));
        assert!(name("s.root").is_some() && name("s.*") != name("s"));
    }
}
