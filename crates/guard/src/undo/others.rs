//! What bringing rows back takes of others: rows that they deleted come back, and what they wrote is set back.
//!
//! A row's last writer is told by its transaction: one before the command, or since, was not the run's. What was written
//! while the command ran is the run's as far as its rehearsal did as much, and so is what is gone. Everything else may be
//! others'.

use holdpoint_core::name::quote_literal;
use holdpoint_core::rehearsal::RowEffect;
use holdpoint_core::undoing::Applied;
use holdpoint_operations::compare::{Against, CompareError, CompareRowsOptions, RowCounts, compare_rows};
use serde::Serialize;

use super::comeback::{Comeback, Meets, What};
use super::migrations::no_way;
use super::seen::seen;
use super::work::Work;
use crate::Error;
use crate::rehearse::relation_name;
use crate::rows_compared::rows_of;

/// What a recovery would write into a table, and how much of that is others'.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TakenRows {
    /// The table.
    pub table: String,
    /// The columns that are set back; none where whole rows are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Rows that are gone now, and come back.
    pub come_back: Share,
    /// Rows that have other values now, and are set back.
    pub set_back: Share,
    /// Rows of a table, or of columns, that the run made and that go with what undoes its migrations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goes: Option<Share>,
    /// Why such rows were not counted: any of them may be others'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_counted: Option<String>,
}

/// So many rows, and how many of them are others'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// All of them.
    pub rows: u64,
    /// Others deleted or changed these.
    pub others: u64,
    /// Others may have deleted or changed these: they cannot be told from what the run did.
    pub may_be_others: u64,
}

/// Rows with other values than before, by who wrote them last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// Nobody can tell.
    Unknown { rows: u64 },
    /// Somebody before the command, and anybody after it began.
    Begun { before: u64, later: u64 },
    /// Before, while the command ran, and since.
    Known { before: u64, during: u64, since: u64 },
}

/// What is known of the run's own share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Own {
    /// What the rehearsal did to the table.
    seen: Option<RowEffect>,
    /// The run did all of that.
    fully: bool,
    /// An undo that broke off may have written, too.
    again: bool,
    /// Some columns alone are set back: others may have written the rest of the row.
    part: bool,
    /// A column was made again by an undo that broke off: rows that nobody wrote since have no values of others.
    anew: bool,
}

impl Share {
    fn of(rows: u64, others: u64, may_be_others: u64, own: Own) -> Self {
        // Nobody tells others' rows from those of an undo that broke off.
        let (others, may_be_others) = if own.again { (0, others + may_be_others) } else { (others, may_be_others) };
        Self { rows, others, may_be_others }
    }

    fn any(self) -> bool {
        self.others + self.may_be_others > 0
    }

    /// Rows that are gone.
    fn of_gone(rows: u64, own: Own) -> Self {
        let Some(seen) = own.seen else { return Self::of(rows, 0, rows, own) };
        let others = rows.saturating_sub(seen.deleted);
        Self::of(rows, others, if own.fully { 0 } else { rows - others }, own)
    }

    /// Rows with other values.
    fn of_changed(written: Written, own: Own) -> Self {
        let of_others = |before: u64| if own.anew { 0 } else { before };
        match written {
            Written::Unknown { rows } => Self::of(rows, 0, rows, own),
            Written::Begun { before, later } => Self::of(before + later, 0, of_others(before) + later, own),
            Written::Known { before, during, since } => {
                let rows = before + during + since;
                let before = of_others(before);
                let (mut others, mut perhaps) = if own.part { (0, since) } else { (since, 0) };
                match own.seen {
                    None => perhaps += before + during,
                    Some(seen) => {
                        let run = during.min(seen.updated);
                        others += during - run;
                        perhaps += if own.fully { 0 } else { run };
                        // A column that was made anew has other values in rows that nobody wrote.
                        let anew = before.min(seen.updated - run);
                        others += before - anew;
                        perhaps += anew;
                    }
                }
                Self::of(rows, others, perhaps, own)
            }
        }
    }
}

impl TakenRows {
    /// Whether it tells of what the run made, and not of what comes back.
    pub fn is_of_the_run(&self) -> bool {
        self.goes.is_some() || self.not_counted.is_some()
    }

    /// The table with its columns.
    fn name(&self) -> String {
        match self.columns.as_slice() {
            [] => self.table.clone(),
            columns => format!("{} ({})", self.table, columns.join(", ")),
        }
    }

    /// What would be lost of others' work, in words.
    pub(super) fn lost(&self) -> Vec<String> {
        let name = self.name();
        let share = |share: Share, of_others: &str, perhaps: &str| {
            let told = [(share.others, of_others), (share.may_be_others, perhaps)];
            let told = told.into_iter().filter(|(rows, _)| *rows > 0);
            told.map(|(rows, what)| format!("{what} {rows} rows of {name}")).collect::<Vec<_>>()
        };
        let gone = share(self.come_back, "others' deletion of", "what may be others' deletion of");
        let changed = share(self.set_back, "what others wrote into", "what others may have written into");
        let goes = self.goes.unwrap_or_default();
        let made = [(goes.others, "others wrote"), (goes.may_be_others, "others may have written")];
        let made = made.into_iter().filter(|(rows, _)| *rows > 0);
        let made = made.map(|(rows, who)| format!("{rows} rows that {who} into {name} (made by the run)"));
        let uncounted = self
            .not_counted
            .iter()
            .map(|why| format!("rows that others may have written into {name} (made by the run; not counted: {why})"));
        gone.into_iter().chain(changed).chain(made).chain(uncounted).collect()
    }

    /// The kinds of what would be lost, without numbers: these move on while others work.
    pub(super) fn kinds(&self) -> Vec<String> {
        let goes = self.goes.is_some_and(Share::any) || self.not_counted.is_some();
        let kinds = [
            (self.come_back.any(), "deleted rows come back in"),
            (self.set_back.any(), "changed rows are set back in"),
            (goes, "rows go with what the run made:"),
        ];
        let kinds = kinds.into_iter().filter(|(any, _)| *any);
        kinds.map(|(_, what)| format!("{what} {}", self.name())).collect()
    }
}

/// Counts what bringing back would take of others, by key; reads the table and the restore point, in bounded memory.
///
/// # Errors
/// [`Error::NoSuchWay`] where rows cannot be compared, and those of the repository and the server.
pub(super) async fn count(work: &Work<'_>, one: &Comeback) -> Result<TakenRows, Error> {
    let mut taken = TakenRows { table: one.table.clone(), ..TakenRows::default() };
    let (Some(meets), Some(relation)) = (&one.meets, relation_name(&one.table)) else { return Ok(taken) };
    taken.columns = meets.columns.clone().unwrap_or_default();
    let against = Against::Database { source: Box::new(work.options.place.source.clone()), own: true };
    let wanted = rows_of(&work.point, &against, relation, 0, &work.options.temporary, work.options.jobs);
    let own = Own {
        seen: work.step.rehearsal.as_deref().and_then(|rehearsal| seen(rehearsal, one)),
        fully: work.steps.iter().any(|step| step.left() == Some(Applied::Fully)),
        again: work.steps.iter().any(|step| step.undo.as_ref().is_some_and(|undo| !undo.done.is_empty())),
        part: meets.columns.is_some(),
        anew: meets.anew,
    };
    let counts = by_key(work, &wanted, meets, None).await?;
    if matches!(one.what, What::Rows { .. }) {
        taken.come_back = Share::of_gone(counts.missing, own);
    }
    if counts.changed > 0 && one.what != (What::Rows { only_gone: true }) {
        taken.set_back = Share::of_changed(written(work, &wanted, meets, counts.changed).await?, own);
    }
    Ok(taken)
}

/// Tells rows with other values apart by their last writer.
async fn written(work: &Work<'_>, wanted: &CompareRowsOptions, meets: &Meets, rows: u64) -> Result<Written, Error> {
    let Some(seen) = &work.step.transactions else { return Ok(Written::Unknown { rows }) };
    let later = by_key(work, wanted, meets, Some(&seen.before)).await?.changed.min(rows);
    let before = rows - later;
    let Some(after) = seen.after.as_ref().filter(|_| later > 0) else {
        return Ok(match seen.after {
            Some(_) => Written::Known { before, during: 0, since: 0 },
            None => Written::Begun { before, later },
        });
    };
    let since = by_key(work, wanted, meets, Some(after)).await?.changed.min(later);
    Ok(Written::Known { before, during: later - since, since })
}

/// Compares rows by key; with `since`, only those whose last writer is not visible in that snapshot.
async fn by_key(
    work: &Work<'_>,
    wanted: &CompareRowsOptions,
    meets: &Meets,
    since: Option<&str>,
) -> Result<RowCounts, Error> {
    let mut wanted = CompareRowsOptions { now_where: since.map(written_since), ..wanted.clone() };
    wanted.how.key = Some(meets.key.clone());
    wanted.how.columns.clone_from(&meets.columns);
    wanted.how.renamed.clone_from(&meets.renamed);
    match compare_rows(work.context, &wanted).await {
        Ok(found) => Ok(found.counts.unwrap_or_default()),
        Err(error) => Err(not_compared(work, error)),
    }
}

/// Tells rows that cannot be compared at all, which is no way, from a comparison that failed this time.
pub(super) fn not_compared(work: &Work<'_>, error: holdpoint_operations::Error) -> Error {
    use CompareError::{Busy, Locked, NoRoom};
    match error {
        holdpoint_operations::Error::Compare(why) if !matches!(why, Busy { .. } | Locked { .. } | NoRoom { .. }) => {
            no_way(work, "recover", why.to_string())
        }
        error => error.into(),
    }
}

/// A condition: the row's last writer is not visible in the snapshot `before`, and is in `after`, where that is known.
pub(super) fn written_while(before: &str, after: Option<&str>) -> String {
    let not_since = after.map(|after| format!(" AND NOT ({})", written_since(after))).unwrap_or_default();
    format!("{}{not_since}", written_since(before))
}

/// A condition: the row's last writer is not visible in the snapshot. `xmin` has no epoch, and gets the one in which it
/// lies before the next transaction.
pub(super) fn written_since(snapshot: &str) -> String {
    let next = "pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8";
    format!(
        "NOT pg_catalog.pg_visible_in_snapshot(({next} - (({next} - xmin::pg_catalog.text::pg_catalog.int8) & \
         4294967295))::pg_catalog.text::pg_catalog.xid8, {}::pg_catalog.pg_snapshot)",
        quote_literal(snapshot)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(updated: u64, deleted: u64) -> Own {
        let seen = Some(RowEffect { inserted: 0, updated, deleted });
        Own { seen, fully: true, again: false, part: false, anew: false }
    }

    fn parts(share: Share) -> (u64, u64) {
        (share.others, share.may_be_others)
    }

    #[test]
    fn more_rows_gone_than_the_rehearsal_took_are_others() {
        let gone = |rows, own| parts(Share::of_gone(rows, own));
        assert_eq!(gone(5, own(0, 5)), (0, 0));
        assert_eq!(gone(6, own(0, 5)), (1, 0));
        assert_eq!(gone(4, own(0, 5)), (0, 0), "somebody inserted one again");
        assert_eq!(gone(6, Own { fully: false, ..own(0, 5) }), (1, 5), "what a failed run did is not known");
        assert_eq!(gone(6, Own { seen: None, ..own(0, 0) }), (0, 6));
        assert_eq!(gone(6, Own { again: true, ..own(0, 5) }), (0, 1), "by others, or by an undo that broke off");
    }

    #[test]
    fn what_was_written_before_or_since_is_not_the_runs() {
        let known =
            |before, during, since, own| parts(Share::of_changed(Written::Known { before, during, since }, own));
        assert_eq!(known(0, 7, 0, own(7, 0)), (0, 0));
        assert_eq!(known(0, 6, 1, own(7, 0)), (1, 0), "of seven rows that the run wrote one was written again");
        assert_eq!(known(1, 7, 0, own(7, 0)), (1, 0));
        assert_eq!(known(1, 6, 0, own(7, 0)), (0, 1), "or a column was made anew");
        assert_eq!(known(0, 9, 0, own(7, 0)), (2, 0));
        assert_eq!(known(0, 6, 1, Own { part: true, ..own(7, 0) }), (0, 1), "perhaps another column of the row");
        assert_eq!(known(1, 6, 1, Own { seen: None, ..own(0, 0) }), (1, 7));
        assert_eq!(known(0, 3, 0, Own { fully: false, ..own(7, 0) }), (0, 3));
        let again = Own { again: true, anew: true, ..own(0, 0) };
        assert_eq!((known(9, 0, 0, again), known(9, 0, 2, again)), ((0, 0), (0, 2)), "a script added the column again");
    }

    #[test]
    fn without_the_transactions_everything_may_be_others() {
        let share = |written| parts(Share::of_changed(written, own(7, 0)));
        assert_eq!(share(Written::Unknown { rows: 7 }), (0, 7));
        assert_eq!(share(Written::Begun { before: 1, later: 6 }), (0, 7));
    }

    #[test]
    fn what_is_lost_is_told_with_its_table_and_columns() {
        let one = Share { rows: 3, others: 1, may_be_others: 2 };
        let taken = TakenRows { table: "s.t".into(), columns: vec!["a".into()], set_back: one, ..TakenRows::default() };
        assert_eq!(
            taken.lost(),
            ["what others wrote into 1 rows of s.t (a)", "what others may have written into 2 rows of s.t (a)"]
        );
        assert_eq!(taken.kinds(), ["changed rows are set back in s.t (a)"]);
        assert!(TakenRows::default().kinds().is_empty());
        let rows = Share { rows: 9, ..Share::default() };
        assert!(TakenRows { come_back: rows, ..TakenRows::default() }.lost().is_empty(), "the run's own");
        let made = TakenRows { table: "s.tags".into(), goes: Some(one), ..TakenRows::default() };
        assert_eq!(
            made.lost(),
            [
                "1 rows that others wrote into s.tags (made by the run)",
                "2 rows that others may have written into s.tags (made by the run)"
            ]
        );
        assert_eq!(made.kinds(), ["rows go with what the run made: s.tags"]);
        let uncounted = TakenRows { goes: None, not_counted: Some("it is large".into()), ..made.clone() };
        let told = "rows that others may have written into s.tags (made by the run; not counted: it is large)";
        assert_eq!((uncounted.lost(), uncounted.kinds()), (vec![told.to_owned()], made.kinds()));
        assert!(TakenRows { goes: Some(rows), ..made }.lost().is_empty(), "the run's own");
    }
}
