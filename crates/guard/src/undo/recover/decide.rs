//! What comes back of what is at risk: decided table by table, by what the restore point has of it and what is there now.

use holdpoint_core::RelationName;
use holdpoint_core::undoing::{AtRisk, Way};
use holdpoint_operations::compare::{StoredForm, stored_form};
use holdpoint_operations::recover::table_then;
use holdpoint_operations::schema_check::Schema;
use holdpoint_review::Review;

use super::{Recovering, options};
use crate::Error;
use crate::rehearse::relation_name;
use crate::undo::at_risk::{is_renamed, keys_move, renamed_to};
use crate::undo::comeback::{Bearing, Comeback, Now};
use crate::undo::migrations::no_way;
use crate::undo::others::not_compared;
use crate::undo::renamed_columns::{renamed_columns, reviewed, still_renamed};
use crate::undo::stakes::{Relatives, Stakes};
use crate::undo::work::Work;

impl Recovering {
    /// Decides for each table what comes back.
    pub(super) async fn decide(&mut self, work: &Work<'_>, at_risk: Vec<AtRisk>) -> Result<(), Error> {
        let own = self.rollback.tracking().map(ToString::to_string);
        let then = Schema::recorded(work.context, &work.point).await?;
        let stakes = Stakes::of(&work.step, false, Relatives::new());
        let scripts = self.rollback.runs_something();
        let reviewed = reviewed(work, &self.rollback);
        for one in at_risk.iter().filter(|one| Some(&one.table) != own.as_ref() && then.has_table(&one.table)) {
            let now = Now::read(work, &one.table).await?;
            let Some(relation) = relation_name(&one.table) else {
                return Err(no_way(work, "recover", format!("{} has no name that can be read", one.table)));
            };
            if now.is_none()
                && let Some(why) = gone_by_name(work, one, scripts, &reviewed)
            {
                return Err(no_way(work, Way::Recover.word(), why));
            }
            // A table that is gone comes back whole, whatever it was like.
            let form = match &now {
                Some(_) => stored_form(work.context, &work.point, &relation).await,
                None => Ok(StoredForm::default()),
            };
            let form = form.map_err(|error| not_compared(work, error))?;
            let rows_only_go = stakes.rows_only_go(&one.table);
            let keys_move = keys_move(work.step.rehearsal.as_deref(), &one.table);
            let pairs = renamed_columns(work, &reviewed, &one.table);
            let renamed = now.as_ref().map(|now| still_renamed(pairs, &form.columns, now)).unwrap_or_default();
            let run = Bearing { scripts, rows_only_go, keys_move, renamed: &renamed };
            let Some(one) = &self.with_known_columns(work, one, &form, now.as_ref()).await? else { continue };
            self.take_up(work, one, (&form, &relation), (now.as_ref(), run)).await?;
            // Rows that are whole again have the columns that went with them; those that stayed have to be filled. What a
            // script brings back has values of its own.
            let in_rows = |now: &&Now| !scripts && one.columns.is_empty() && now.is_whole(&one.table);
            let of_rows = now.as_ref().filter(in_rows);
            if let Some(now) = of_rows {
                let columns = columns_gone(work, &form, now, &relation).await?;
                if !columns.is_empty() {
                    let filled = AtRisk { columns, ..one.clone() };
                    self.take_up(work, &filled, (&form, &relation), (Some(now), run)).await?;
                }
            }
        }
        Ok(())
    }

    /// Leaves out columns that neither the restore point nor the live table has: such as one that came and went with the run.
    async fn with_known_columns(
        &mut self,
        work: &Work<'_>,
        one: &AtRisk,
        form: &StoredForm,
        now: Option<&Now>,
    ) -> Result<Option<AtRisk>, Error> {
        // The definition of a table that inherits has not all of its columns.
        let live = |column: &String| {
            now.is_none_or(|now| now.level > 0 || now.columns.iter().any(|other| other.name == *column))
        };
        let there = |column: &String| form.columns.contains(column) || live(column);
        if one.columns.iter().all(there) {
            return Ok(Some(one.clone()));
        }
        // Those that make their values themselves are in its definition alone.
        let then = table_then(work.context, &options(work, &one.table)).await?;
        let known = |column: &String| there(column) || then.columns.iter().any(|other| other.name == *column);
        let (columns, unknown): (Vec<String>, Vec<String>) = one.columns.iter().cloned().partition(known);
        let told =
            |column: &String| format!("{column} of {} is left out: the restore point has no such column", one.table);
        self.warnings.extend(unknown.iter().map(told));
        Ok(Some(AtRisk { columns, ..one.clone() }).filter(|one| !one.columns.is_empty()))
    }

    /// Decides what comes back of a table.
    async fn take_up(
        &mut self,
        work: &Work<'_>,
        one: &AtRisk,
        (form, relation): (&StoredForm, &RelationName),
        (now, run): (Option<&Now>, Bearing<'_>),
    ) -> Result<(), Error> {
        let decided = Comeback::decide(one, form, now, run);
        let (mut comeback, left_out) = decided.map_err(|why| no_way(work, "recover", why))?;
        if let Some(comeback) = &mut comeback {
            made_anew(work, comeback, relation).await?;
        }
        self.tables.extend(comeback);
        self.warnings.extend(left_out);
        Ok(())
    }
}

/// Why a table that has not its name of before cannot come back as one that is gone: it is there under another name, or what
/// undoes the migrations would bring it back with rows that nobody compared.
fn gone_by_name(work: &Work<'_>, one: &AtRisk, scripts: bool, reviewed: &Review) -> Option<String> {
    let table = &one.table;
    let then = |first: &str| {
        let run = &work.run;
        if scripts {
            format!("{first}; nothing was changed; first holdpoint undo {run} --way rollback, then this way")
        } else {
            format!("{first}; nothing was changed; give it its name of before, then this way again")
        }
    };
    let rehearsal = work.step.rehearsal.as_deref();
    let by_review = || (rehearsal.is_none() && is_renamed(reviewed, table)).then_some("another name");
    if let Some(other) = renamed_to(rehearsal, table).or_else(by_review) {
        return Some(then(&format!(
            "the run renamed {table} to {other}, and its rows are found by their table's name"
        )));
    }
    // Of a table that the run dropped, all of it is at risk.
    let columns = &one.columns;
    (!columns.is_empty()).then(|| {
        then(&format!(
            "{table} ({}) is at risk, and there is no table of that name now: renamed, or dropped since",
            columns.join(", ")
        ))
    })
}

/// The columns of a table that were not there when its undo began, whatever an undo that broke off made again.
async fn columns_gone(
    work: &Work<'_>,
    then: &StoredForm,
    now: &Now,
    table: &RelationName,
) -> Result<Vec<String>, Error> {
    let live = || now.columns.iter().map(|one| one.name.clone()).collect();
    let there: Vec<String> = match work.first_undo_point() {
        None => live(),
        Some(first) => match stored_form(work.context, &first, table).await {
            Ok(form) => form.columns,
            // Nobody can tell any more.
            Err(holdpoint_operations::Error::Compare(_) | holdpoint_operations::Error::NoSuchPoint { .. }) => live(),
            Err(error) => return Err(error.into()),
        },
    };
    let is_gone = |column: &&String| {
        !there.contains(column) && !now.columns.iter().any(|one| one.name == **column && one.generated)
    };
    Ok(then.columns.iter().filter(is_gone).cloned().collect())
}

/// Finds which columns an undo that broke off made again: those that were not there right before it.
async fn made_anew(work: &Work<'_>, comeback: &mut Comeback, table: &RelationName) -> Result<(), Error> {
    let Some(meets) = &mut comeback.meets else { return Ok(()) };
    let (Some(columns), Some(first)) = (&meets.columns, work.first_undo_point()) else { return Ok(()) };
    match stored_form(work.context, &first, table).await {
        Ok(form) => meets.anew = columns.iter().any(|column| !form.columns.contains(column)),
        Err(holdpoint_operations::Error::Compare(_)) => meets.anew = true,
        // Nobody can tell any more.
        Err(holdpoint_operations::Error::NoSuchPoint { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
