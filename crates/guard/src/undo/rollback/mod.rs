//! Undoing the migrations by what the team has for that, newest first.
//!
//! How a script runs, so that nothing is done twice or left out when it breaks off, is told in [`super::script`].

mod go;
mod plan;

use holdpoint_core::quantity::listed;
use holdpoint_core::undoing::{RollbackScript, Way};

use super::accepted::still_to_accept;
use super::cascades::{GoesAlong, named_along};
use super::made::{goes, goes_now};
use super::others::TakenRows;
use super::work::Work;
use crate::Error;
use crate::rehearse::rollback::Step;
use crate::tools::{Migration, TableName};

/// How many things a refusal names.
const NAMED: usize = 5;

/// What undoes a run, ready to be run.
pub(super) struct RollingBack {
    steps: Vec<Undo>,
    /// What is done to the tool's table for migrations that no script undoes, or whose script ran without that.
    repairs: Vec<(String, String)>,
    table: Option<TableName>,
    /// The way that it is a part of.
    way: Way,
    /// Something that undoes a migration is not done yet: a script, or the tool's own way down.
    pub(super) is_open: bool,
    /// The scripts that are not done yet, as they were looked at.
    pub(super) to_run: Vec<RollbackScript>,
    /// The migrations of the run.
    pub(super) migrations: Vec<Migration>,
    /// What was under way when an undo broke off, and was committed.
    pub(super) ran: Option<String>,
    /// What goes with a CASCADE of the scripts that are not done yet, and the run did not make.
    pub(super) goes_along: Vec<GoesAlong>,
    /// What others wrote into what the run made, and goes with it; counted where it is gone by itself.
    pub(super) taken: Vec<TakenRows>,
    /// Why that could not be counted.
    not_counted: Option<String>,
    pub(super) warnings: Vec<String>,
}

/// What undoes one migration.
struct Undo {
    /// The step with its migration, as the ledger names it.
    label: String,
    step: Step,
    repair: Option<String>,
    /// The file as it was looked at.
    script: Option<RollbackScript>,
    /// Whether the migration may not be there at all: then a script that fails says nothing.
    perhaps: bool,
    /// Whether the tool has a row that says that the migration failed.
    failed: bool,
}

impl RollingBack {
    /// As [`Self::plan`], where nothing of others goes with it, and no row that they wrote into what the run made, or somebody
    /// said that it may.
    ///
    /// # Errors
    /// Those of [`Self::plan`], and [`Error::DataLossNotAccepted`].
    pub(super) async fn plan_alone(work: &Work<'_>) -> Result<Self, Error> {
        let mut planned = Self::plan(work, Way::Rollback).await?;
        match goes(work, &planned).await {
            Ok(taken) => planned.taken = taken,
            // A recovery could not work without; this way can.
            Err(Error::NoSuchWay { why, .. }) => planned.not_counted = Some(why),
            Err(error) => return Err(error),
        }
        let words = |why: &String| format!("what others may have written into what the run made (not counted: {why})");
        // Of a column that came nobody tells whether it was written since, or another one of its row: that is told, and not asked.
        let tables = planned.taken.iter().filter(|one| one.columns.is_empty());
        let taken = tables.flat_map(TakenRows::lost).chain(planned.not_counted.iter().map(words));
        let lost: Vec<String> = planned.goes_along.iter().map(GoesAlong::lost).chain(taken).collect();
        planned.warnings.extend(still_to_accept(work, Way::Rollback, &lost).await?);
        Ok(planned)
    }

    /// Under the run lock: nothing else goes with it than was shown, whatever was accepted.
    pub(super) async fn as_shown(&self, work: &Work<'_>) -> Result<(), Error> {
        let is_shown = |one: &String| self.goes_along.iter().any(|shown| shown.object == *one);
        let mut more = named_along(work, self).await?;
        more.retain(|one| !is_shown(one));
        // By a recovery they are counted with what else that takes.
        if self.way == Way::Rollback && self.not_counted.is_none() {
            let shown: Vec<String> = self.taken.iter().flat_map(TakenRows::kinds).collect();
            let now = goes_now(work, self, self.way, &self.taken).await?;
            more.extend(now.iter().flat_map(TakenRows::kinds).filter(|one| !shown.contains(one)));
        }
        if more.is_empty() {
            return Ok(());
        }
        Err(Error::CannotUndo {
            run: work.run.to_string(),
            why: format!("more would go with the scripts than was shown: {}", listed(&more, NAMED)),
            advice: format!(
                "nothing was changed; look again: holdpoint undo {} --way {} --dry-run",
                work.run,
                self.way.word()
            ),
            first: Vec::new(),
        })
    }

    /// The steps in words.
    pub(super) fn words(&self) -> Vec<String> {
        let perhaps = |one: &Undo| if one.perhaps { " (as far as it is there)" } else { "" };
        let steps = self.steps.iter().map(|one| format!("{}{}", one.label, perhaps(one)));
        steps.chain(self.repairs.iter().map(|(words, _)| words.clone())).collect()
    }

    /// Whether anything undoes the migrations.
    pub(super) fn runs_something(&self) -> bool {
        !self.steps.is_empty()
    }

    /// The tool's own table.
    pub(super) fn tracking(&self) -> Option<&TableName> {
        self.table.as_ref()
    }
}
