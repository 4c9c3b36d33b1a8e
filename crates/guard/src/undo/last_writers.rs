//! Who wrote the rows of tables at risk last, as it was right before an undo: what shows that the run left the rest of them alone.
//!
//! The undo writes rows itself, so nobody can ask for that afterwards.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::ledger::WrittenMeanwhile;
use holdpoint_core::undoing::Applied;
use holdpoint_operations::compare::{Against, compare_rows, stored_form};

use super::comeback::Now;
use super::others::written_while;
use super::renamed_columns::{renamed_columns, reviewed, still_renamed};
use super::rollback::RollingBack;
use super::stakes::{Relatives, Stakes};
use super::work::Work;
use crate::Error;
use crate::rehearse::relation_name;
use crate::rows_compared::rows_of;

/// The rows of a table that were written last while the command ran, in columns that are not at risk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LastWriters {
    /// The columns that were compared with the restore point.
    pub(super) compared: BTreeSet<String>,
    /// So many of these rows have other values there.
    pub(super) changed: u64,
    /// So many are as before there.
    pub(super) equal: u64,
    /// What the server counted while the command ran, in the very tables that were read; `None` where nobody knows.
    pub(super) counted: Option<WrittenMeanwhile>,
}

impl LastWriters {
    /// Whether they show that what differs in these columns (`None`: in any) was not written by the run.
    ///
    /// What others wrote over a row that the run had written hides what that did. So every row that was updated while the
    /// command ran must still be there as it was left then, with these columns as before: then what differs now is in rows
    /// that the command did not touch. A row that went and came again is counted as neither.
    pub(super) fn show(&self, columns: Option<&BTreeSet<String>>) -> bool {
        let compared = columns.is_none_or(|columns| columns.is_subset(&self.compared));
        let Some(counted) = &self.counted else { return false };
        let came_again = counted.new_file || (counted.deleted > 0 && counted.inserted > 0);
        compared && self.changed == 0 && !came_again && self.equal >= counted.updated
    }
}

/// Reads that of every table of which a part is at risk and the rehearsal does not tell; those that cannot be told are left out.
///
/// # Errors
/// [`Error::Interrupted`], and those of the server.
pub(super) async fn last_writers(
    work: &Work<'_>,
    rollback: &RollingBack,
) -> Result<BTreeMap<String, LastWriters>, Error> {
    let mut found = BTreeMap::new();
    let fully = work.steps.iter().any(|step| step.left() == Some(Applied::Fully));
    let stakes = Stakes::of(&work.step, fully, Relatives::new());
    let again = work.steps.iter().any(|step| step.undo.as_ref().is_some_and(|undo| !undo.done.is_empty()));
    let Some(seen) = work.step.transactions.as_ref().filter(|_| !again) else { return Ok(found) };
    let during = written_while(&seen.before, seen.after.as_deref());
    let reviewed = &reviewed(work, rollback);
    for one in stakes.in_part().filter(|one| stakes.changed_columns(&one.table).is_none()) {
        let (Some(now), Some(relation)) = (Now::read(work, &one.table).await?, relation_name(&one.table)) else {
            continue;
        };
        let Ok(then) = stored_form(work.context, &work.point, &relation).await else { continue };
        // What is too large to be compared afterwards is too large for this.
        if work.options.compare_up_to.is_some_and(|limit| then.data_bytes > limit) {
            continue;
        }
        work.context.progress.note(&format!("reading who wrote the rows of {} last", one.table));
        let there = |name: &String| now.columns.iter().any(|column| column.name == *name && !column.generated);
        let pairs = still_renamed(renamed_columns(work, reviewed, &one.table), &then.columns, &now);
        let is = |name: &&String| there(name) || pairs.iter().any(|pair| pair.then == **name);
        let compared: BTreeSet<String> =
            then.columns.iter().filter(|name| !one.columns.contains(name)).filter(is).cloned().collect();
        let against = Against::Database { source: Box::new(work.options.place.source.clone()), own: true };
        let mut wanted = rows_of(&work.point, &against, relation, 0, &work.options.temporary, work.options.jobs);
        wanted.now_where = Some(during.clone());
        wanted.how.renamed = pairs;
        wanted.how.columns = Some(compared.iter().cloned().collect());
        let counts = match compare_rows(work.context, &wanted).await {
            Ok(report) => report.counts,
            Err(holdpoint_operations::Error::Interrupted) => return Err(Error::Interrupted),
            // Its rows cannot be told apart, or it could not be read: then nothing is shown.
            Err(_) => None,
        };
        if let Some(counts) = counts {
            let counted = stakes.meanwhile(&one.table, &now.parts);
            let writers = LastWriters { compared, changed: counts.changed, equal: counts.equal, counted };
            found.insert(one.table.clone(), writers);
        }
    }
    Ok(found)
}
