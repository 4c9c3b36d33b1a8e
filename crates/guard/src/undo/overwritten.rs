//! What bringing back the tables at risk would take from others: rows that they changed or deleted, and that are no doing
//! of the run.
//!
//! A row's `xmin` says in which transaction it was written. The run recorded which transaction ids were given out while
//! its command ran: rows outside of these were written by others. A row that is gone says nothing of who deleted it; of
//! those that are gone, as many are the run's as its rehearsal deleted.

use holdpoint_core::rehearsal::{LISTED, Rehearsal};
use holdpoint_core::undoing::{AtRisk, TransactionSpan};
use holdpoint_operations::compare::{Against, RowKind, RowsReport, compare_rows};
use serde::Serialize;

use super::attempt::Work;
use crate::Error;
use crate::rehearse::relation_name;
use crate::rows_compared::rows_of;

/// So many changed rows are looked at for the columns in which they differ; of more, all count.
const LOOKED_AT: usize = 1000;

/// What bringing back a table would take from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overwritten {
    /// The table.
    pub table: String,
    /// Rows that get the values of the restore point.
    pub changed: u64,
    /// Rows that come back although others deleted them.
    pub deleted: u64,
    /// They cannot be told apart from what the run itself changed or deleted: these are all of them.
    pub not_told_apart: bool,
    /// Why nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Overwritten {
    fn is_nothing(&self) -> bool {
        self.changed + self.deleted == 0 && self.why.is_none()
    }

    /// In words.
    pub fn words(&self) -> String {
        let table = &self.table;
        if let Some(why) = &self.why {
            return format!("rows of {table} that others changed or deleted: not known, {why}");
        }
        let by = if self.not_told_apart { "by the run or by others, which cannot be told apart" } else { "by others" };
        let parts = [(self.changed, "changed"), (self.deleted, "deleted")];
        let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
        format!("rows of {table}: {} {by}", parts.collect::<Vec<_>>().join(" and "))
    }
}

/// A table that comes back, and how.
pub(super) struct ComingBack<'a> {
    pub(super) table: &'a AtRisk,
    /// The columns that the live table has; none where it is gone.
    pub(super) live: &'a [String],
    /// Only rows that are gone come back: those that are there stay as they are.
    pub(super) only_missing: bool,
}

impl ComingBack<'_> {
    /// Counts what is no doing of the run; `None` where there is nothing.
    pub(super) async fn overwrites(&self, work: &Work<'_>) -> Result<Option<Overwritten>, Error> {
        let AtRisk { table, columns, .. } = self.table;
        let there = columns.iter().any(|column| self.live.contains(column));
        // What is gone as a whole holds nothing of anybody's.
        if self.live.is_empty() || (!columns.is_empty() && !there) {
            return Ok(None);
        }
        let mut found = Overwritten { table: table.clone(), ..Overwritten::default() };
        let span = work.step.transactions;
        // An undo that broke off or failed changed rows itself.
        let span = span.filter(|_| work.step.undo.is_none());
        match self.counted(work, span).await? {
            Ok((changed, deleted)) => {
                found.changed = changed;
                found.deleted = deleted.unwrap_or_default();
            }
            Err(why) => found.why = Some(why),
        }
        let rehearsed = work.step.rehearsal.as_deref().and_then(|one| deleted_by(one, table));
        match rehearsed.filter(|_| work.step.undo.is_none()) {
            Some(own) => found.deleted = found.deleted.saturating_sub(own),
            None => found.not_told_apart |= found.deleted > 0,
        }
        found.not_told_apart |= span.is_none() && found.changed > 0;
        Ok(Some(found).filter(|found| !found.is_nothing()))
    }

    /// Rows that would get other values, without those that the run wrote, and rows that would come back; why nothing is
    /// known, where it is so.
    async fn counted(
        &self,
        work: &Work<'_>,
        span: Option<TransactionSpan>,
    ) -> Result<Result<(u64, Option<u64>), String>, Error> {
        let deleted = match self.table.columns.is_empty() {
            true => match self.compared(work, None).await? {
                Ok(all) if span.is_none() || self.only_missing => {
                    let changed = if self.only_missing { 0 } else { self.changed(&all) };
                    return Ok(Ok((changed, missing(&all))));
                }
                Ok(all) => missing(&all),
                Err(why) => return Ok(Err(why)),
            },
            // Rows that are gone stay gone where only columns are filled.
            false => None,
        };
        let others = span.map(outside);
        Ok(self.compared(work, others).await?.map(|found| (self.changed(&found), deleted)))
    }

    async fn compared(&self, work: &Work<'_>, now_where: Option<String>) -> Result<Result<RowsReport, String>, Error> {
        let Some(relation) = relation_name(&self.table.table) else {
            return Ok(Err("its rows are loaded through another table".to_owned()));
        };
        let against = Against::Database { source: Box::new(work.options.place.source.clone()), own: true };
        let (temporary, jobs) = (&work.options.temporary, work.options.jobs);
        let mut wanted = rows_of(&work.point, &against, relation, LOOKED_AT, temporary, jobs);
        wanted.now_where = now_where;
        match compare_rows(work.context, &wanted).await {
            Ok(report) if report.counts.is_none() => Ok(Err("it has no key".to_owned())),
            Ok(report) => Ok(Ok(report)),
            Err(holdpoint_operations::Error::Interrupted) => Err(Error::Interrupted),
            Err(error) => Ok(Err(format!("it could not be compared: {error}"))),
        }
    }

    /// How many rows changed in what was at risk.
    fn changed(&self, report: &RowsReport) -> u64 {
        let changed = report.counts.as_ref().map_or(0, |counts| counts.changed);
        let listed: Vec<_> = report.rows.iter().filter(|row| row.change == RowKind::Changed).collect();
        if self.table.columns.is_empty() || (listed.len() as u64) < changed {
            return changed;
        }
        let at_risk = |column: &String| self.table.columns.contains(column);
        listed.iter().filter(|row| row.columns.iter().any(at_risk)).count() as u64
    }
}

fn missing(report: &RowsReport) -> Option<u64> {
    report.counts.as_ref().map(|counts| counts.missing)
}

/// Rows that no transaction of the span wrote. A row has the lower 32 bits of its transaction's id.
fn outside(span: TransactionSpan) -> String {
    const ALL: u64 = 1 << 32;
    let (from, count) = (span.from % ALL, span.to.saturating_sub(span.from));
    format!("(xmin::pg_catalog.text::pg_catalog.int8 - {from} + {ALL}) % {ALL} >= {count}")
}

/// How many rows of a table the command deleted on the copy, where that is known.
fn deleted_by(rehearsal: &Rehearsal, table: &str) -> Option<u64> {
    match rehearsal.tables.iter().find(|one| one.table == table) {
        Some(effect) => effect.rows.map(|rows| rows.deleted),
        // It was not touched, unless the list was cut.
        None => (rehearsal.tables.len() < LISTED).then_some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_names_who_did_it_as_far_as_that_is_known() {
        let table = || "shop.orders".to_owned();
        let of = |changed, deleted, not_told_apart| Overwritten {
            table: table(),
            changed,
            deleted,
            not_told_apart,
            why: None,
        };
        assert_eq!(of(2, 0, false).words(), "rows of shop.orders: 2 changed by others");
        assert_eq!(
            of(2, 1, true).words(),
            "rows of shop.orders: 2 changed and 1 deleted by the run or by others, which cannot be told apart"
        );
        assert!(of(0, 0, false).is_nothing());
        let unknown = Overwritten { table: table(), why: Some("it has no key".into()), ..Overwritten::default() };
        assert!(!unknown.is_nothing());
        assert!(unknown.words().ends_with("not known, it has no key"));
    }

    #[test]
    fn ids_are_compared_by_their_lower_half() {
        let told = outside(TransactionSpan { from: (3 << 32) + 70, to: (3 << 32) + 75 });
        assert_eq!(told, "(xmin::pg_catalog.text::pg_catalog.int8 - 70 + 4294967296) % 4294967296 >= 5");
    }
}
