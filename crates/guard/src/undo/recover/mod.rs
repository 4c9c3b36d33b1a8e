//! Bringing back what a run took: after whatever undoes the migrations, the tables and columns at risk.

mod decide;

use holdpoint_core::name::quote_identifier;
use holdpoint_core::quantity::listed;
use holdpoint_core::selector::Selector;
use holdpoint_core::undoing::Way;
use holdpoint_operations::recover::{RecoverFrom, RecoverMode, RecoverOptions, Target, Triggers, Wanted, prepare};

use super::accepted::{accepted, still_to_accept};
use super::at_risk::at_risk;
use super::cascades::GoesAlong;
use super::comeback::{Comeback, Now, What};
use super::live::{connected, name};
use super::made::{goes, goes_now};
use super::migrations::no_way;
use super::others::{TakenRows, count};
use super::record::Record;
use super::refill::{Refill, Refilled};
use super::rollback::RollingBack;
use super::taken_by_scripts::{lost, taken_by_scripts};
use super::work::Work;
use crate::Error;

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
