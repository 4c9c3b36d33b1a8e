//! Bringing back what a run took: after whatever undoes the migrations, the tables and columns at risk.

use holdpoint_core::RelationName;
use holdpoint_core::name::quote_identifier;
use holdpoint_core::quantity::listed;
use holdpoint_core::selector::Selector;
use holdpoint_core::undoing::{AtRisk, Way};
use holdpoint_operations::catalogue;
use holdpoint_operations::compare::{StoredForm, stored_form};
use holdpoint_operations::recover::{
    RecoverFrom, RecoverMode, RecoverOptions, TableName, Target, Triggers, Wanted, prepare, table_then,
};
use holdpoint_operations::schema_check::Schema;
use holdpoint_postgres::{Session, SessionPurpose};
use holdpoint_review::Review;

use super::at_risk::{at_risk, is_renamed, keys_move, renamed_to};
use super::cascades::GoesAlong;
use super::comeback::{Bearing, Comeback, Now, What};
use super::made::{goes, goes_now};
use super::migrations::no_way;
use super::others::{TakenRows, count, not_compared};
use super::record::Record;
use super::refill::{Refill, Refilled};
use super::renamed_columns::{renamed_columns, reviewed, still_renamed};
use super::rollback::RollingBack;
use super::stakes::{Relatives, Stakes};
use super::taken_by_scripts::{lost, taken_by_scripts};
use super::work::Work;
use crate::rehearse::relation_name;
use crate::{Error, sessions};

/// How many things a refusal names.
const NAMED: usize = 5;

/// What is brought back.
pub(super) struct Recovering {
    pub(super) rollback: RollingBack,
    tables: Vec<Comeback>,
    /// What it would write over or beside, table by table.
    pub(super) taken: Vec<TakenRows>,
    /// Tables that were there, and of which what undoes the migrations may take or change rows.
    pub(super) scripts_take: Vec<String>,
    warnings: Vec<String>,
}

impl Recovering {
    /// Finds what was at risk, what of it can come back, and what that takes of others.
    ///
    /// # Errors
    /// [`Error::NoSuchWay`] where it is not known which tables are at risk, or their rows cannot be found again;
    /// [`Error::DataLossNotAccepted`] where others' rows would be set back or come back, and nobody said that they may.
    pub(super) async fn plan(work: &Work<'_>) -> Result<Self, Error> {
        let at_risk = at_risk(work)?;
        let rollback = RollingBack::as_far_as_there_is(work).await?;
        let mut recovering = Self {
            tables: Vec::new(),
            taken: Vec::new(),
            scripts_take: taken_by_scripts(work, &rollback),
            warnings: rollback.warnings.clone(),
            rollback,
        };
        recovering.decide(work, at_risk).await?;
        if recovering.tables.is_empty() {
            let left_out = recovering.warnings.iter().filter(|one| one.contains(" is left out: ")).cloned();
            let left_out: Vec<String> = left_out.collect();
            let but = if left_out.is_empty() { String::new() } else { format!(" ({})", listed(&left_out, NAMED)) };
            return Err(no_way(work, "recover", format!("the run puts no data at risk that could come back{but}")));
        }
        recovering.taken = recovering.count(work).await?;
        recovering.taken.extend(goes(work, &recovering.rollback).await?);
        let lost = recovering.lost(&recovering.taken);
        recovering.warnings.extend(still_to_accept(work, Way::Recover, &lost).await?);
        Ok(recovering)
    }

    /// Decides for each table what comes back.
    async fn decide(&mut self, work: &Work<'_>, at_risk: Vec<AtRisk>) -> Result<(), Error> {
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

    /// Counts what of others it takes of rows that were there, in what is not done yet.
    async fn count(&self, work: &Work<'_>) -> Result<Vec<TakenRows>, Error> {
        let done = |one: &&Comeback| work.step.undo.as_ref().is_some_and(|undo| undo.done.contains(&one.label()));
        let mut taken = Vec::new();
        // What is at risk of a partitioned table is counted once.
        let with_root = |one: &&Comeback| {
            let root = one.root.as_ref().filter(|root| **root != one.table);
            root.is_some_and(|root| self.tables.iter().any(|other| other.table == *root))
        };
        // What meets nothing that is there takes nothing, and is told where nothing else of its table is.
        let told_already = |one: &&Comeback| {
            let other = |other: &Comeback| other.table == one.table && other.meets.is_some();
            one.meets.is_none() && self.tables.iter().any(other)
        };
        for one in self.tables.iter().filter(|one| !done(one) && !with_root(one) && !told_already(one)) {
            taken.push(count(work, one).await?);
        }
        Ok(taken)
    }

    /// Under the run lock: nothing else of others would be lost than was shown, whatever was accepted.
    pub(super) async fn as_shown(&self, work: &Work<'_>) -> Result<(), Error> {
        let mut now = self.count(work).await?;
        now.extend(goes_now(work, &self.rollback, Way::Recover, &self.taken).await?);
        accepted(work, Way::Recover, &self.lost(&now)).await??;
        self.rollback.as_shown(work).await?;
        let shown: Vec<String> = self.taken.iter().flat_map(TakenRows::kinds).collect();
        let more: Vec<String> = now.iter().flat_map(TakenRows::kinds).filter(|one| !shown.contains(one)).collect();
        if more.is_empty() {
            return Ok(());
        }
        Err(Error::CannotUndo {
            run: work.run.to_string(),
            why: format!("more would be lost than was shown: {}", listed(&more, NAMED)),
            advice: format!("nothing was changed; look again: holdpoint undo {} --way recover --dry-run", work.run),
            first: Vec::new(),
        })
    }

    /// What would be lost of others' work, in words.
    fn lost(&self, taken: &[TakenRows]) -> Vec<String> {
        let along = self.rollback.goes_along.iter().map(GoesAlong::lost);
        taken.iter().flat_map(TakenRows::lost).chain(lost(&self.scripts_take)).chain(along).collect()
    }

    pub(super) fn words(&self) -> Vec<String> {
        self.rollback.words().into_iter().chain(self.tables.iter().map(Comeback::label)).collect()
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    pub(super) async fn go(&self, work: &Work<'_>, record: &mut Record<'_>) -> Result<(), Error> {
        self.rollback.go(work, record).await?;
        let (mut rows, mut only_gone, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for one in self.tables.iter().filter(|one| !record.has_done(&one.label())) {
            let there = Now::read(work, &one.table).await?;
            match (&one.what, there) {
                (What::Columns { filled, computed }, Some(there)) => {
                    columns.push(Refilled { one, filled, computed, there });
                }
                (What::Rows { only_gone: true }, Some(_)) => {
                    only_gone.push(name(&one.table));
                    rows.push(one);
                }
                (_, Some(_)) if one.meets.is_none() && holds_rows(work, &one.table).await? => {
                    // What has no name when it is looked for, such as a table that the run renamed, was not counted.
                    let why = format!(
                        "{} came back with rows by what undoes the migrations, and nobody counted what of others would be \
                         set back",
                        one.table
                    );
                    return Err(no_way(work, Way::Recover.word(), why));
                }
                _ => rows.push(one),
            }
        }
        // Rows of a child need the columns that it inherits.
        let columns = Refill::begin(work, record, columns).await?;
        if !rows.is_empty() {
            let wanted = Wanted::Tables(rows.iter().map(|one| name(&one.table)).collect());
            recover(work, RecoverOptions { wanted, only_missing: only_gone, ..options(work, "") }).await?;
            for one in rows {
                record.done(&one.label()).await?;
            }
        }
        columns.go(record, &self.tables).await
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

/// Whether a table holds any row.
async fn holds_rows(work: &Work<'_>, table: &str) -> Result<bool, Error> {
    let session = connected(work).await?;
    let relation = name(table);
    let schema = relation.schema.as_deref().unwrap_or("public");
    let sql = format!("SELECT EXISTS (SELECT FROM {}.{})", quote_identifier(schema), quote_identifier(&relation.name));
    let row = session.query_one("looking whether a table holds rows", &sql, &[]).await;
    session.close().await;
    Ok(row?.get(0))
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

/// Whether what would be lost of others may be, as somebody said; the refusal where not.
async fn accepted(work: &Work<'_>, way: Way, lost: &[String]) -> Result<Result<(), Error>, Error> {
    if lost.is_empty() {
        return Ok(Ok(()));
    }
    let since = catalogue::show(work.context, &work.point).await?.manifest.snapshot.at;
    let accepted = work.options.accept_data_loss_since;
    if accepted.is_some_and(|accepted| accepted <= since) {
        return Ok(Ok(()));
    }
    let (run, lost) = (work.run.to_string(), listed(lost, NAMED));
    Ok(Err(Error::DataLossNotAccepted { run, way, since, accepted, lost }))
}

/// What has yet to be accepted, in words, of a dry run; of any other nothing has.
///
/// # Errors
/// [`Error::DataLossNotAccepted`], but of a dry run; those of the repository.
pub(super) async fn still_to_accept(work: &Work<'_>, way: Way, lost: &[String]) -> Result<Option<String>, Error> {
    match accepted(work, way, lost).await? {
        Ok(()) => Ok(None),
        Err(_) if work.options.dry_run => {
            Ok(Some(format!("--accept-data-loss-since is needed: {} would be lost", lost.join(", "))))
        }
        Err(refused) => Err(refused),
    }
}

pub(super) fn name(text: &str) -> TableName {
    match text.parse() {
        Ok(name) => name,
        Err(never) => match never {},
    }
}

pub(super) fn quoted(table: &str) -> String {
    let TableName { schema, name } = name(table);
    let schema = schema.map(|schema| format!("{}.", quote_identifier(&schema))).unwrap_or_default();
    format!("{schema}{}", quote_identifier(&name))
}

pub(super) async fn recover(work: &Work<'_>, options: RecoverOptions) -> Result<(), Error> {
    let recovery = prepare(work.context, &options).await?;
    if recovery.plan().refusals().is_empty() && !recovery.plan().changes_anything() {
        recovery.abandon().await?;
        return Ok(());
    }
    recovery.apply(work.context).await?;
    Ok(())
}

pub(super) fn options(work: &Work<'_>, table: &str) -> RecoverOptions {
    RecoverOptions {
        from: RecoverFrom::Point(Selector::Id(work.point.clone())),
        wanted: Wanted::Tables(vec![name(table)]),
        into: work.options.live.clone(),
        target: Target::SameDatabase,
        mode: RecoverMode::Upsert,
        only_missing: Vec::new(),
        condition: None,
        columns: Vec::new(),
        renamed: Vec::new(),
        now_named: None,
        triggers: Triggers::HeldBack,
        lock_wait_seconds: work.options.lock_wait_seconds,
        jobs: work.options.jobs,
        keep_side: false,
        dry_run: false,
        programs: work.options.place.source.programs.clone(),
    }
}

pub(super) async fn connected(work: &Work<'_>) -> Result<Session, Error> {
    let settings = work.options.live.with_application_name(sessions::token(&work.run));
    Ok(Session::connect(&settings, &SessionPurpose::new("holdpoint undo")).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_for_sql() {
        assert_eq!(quoted("shop.orders"), "\"shop\".\"orders\"");
        assert_eq!(quoted("\"Odd schema\".t"), "\"Odd schema\".\"t\"");
    }
}
