//! `holdpoint undo`: going a way back of a run, with proof.
//!
//! In this order: the run is looked at, and refused where it cannot be undone; the way is planned and shown; under the
//! run lock a restore point of the database as it is now is made, with a label; then the way is gone, each step written
//! into the ledger before the next begins; the tool's own table is put right; what is then in the database is compared
//! with the restore point. An undo that is killed is found by its newest step, and goes on from there.

mod accepted;
mod admission;
pub(crate) mod at_risk;
mod attempt;
mod beside;
mod cascades;
mod columns;
mod comeback;
mod database;
mod end_sessions;
mod gone_along;
pub(crate) mod included;
mod last_writers;
mod live;
mod locked;
mod lost;
mod made;
mod made_rows;
mod messages;
mod migrations;
mod others;
mod proof;
mod ran;
mod rds;
mod record;
mod recover;
mod refill;
mod renamed_columns;
mod restore;
mod rollback;
mod rows;
mod script;
mod scripts;
mod seen;
mod since;
mod stakes;
mod surroundings;
mod taken_back;
mod taken_by_scripts;
mod unfinished;
mod way;
mod work;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use holdpoint_core::ledger::{Process, RunState, newest};
use holdpoint_core::selector::RunSelector;
use holdpoint_core::undoing::{UndoRecord, Way, WayBack};
use holdpoint_core::{Mask, PointId, RunId};
use holdpoint_operations::Context;
use holdpoint_operations::backup::BackupOptions;
use holdpoint_operations::rds::RdsSource;
use holdpoint_operations::restore::swap::{SwapReport, WrittenSince};
use holdpoint_operations::run_lock::RunLock;
use holdpoint_postgres::ConnectionSettings;
use serde::Serialize;

use crate::running::Tee;
use crate::runs::Place;
use crate::{Error, runs};
use attempt::Attempt;
pub use cascades::GoesAlong;
pub use others::{Share, TakenRows};
pub(crate) use rds::names::named;
pub use scripts::{Scripts, Unfinished};
pub use taken_back::{LedgerFollows, before_taken_back, taken_back, undoes};

/// Asks a person whether the way may be gone.
#[derive(Clone)]
pub struct UndoQuestion(pub Arc<dyn Fn(&UndoPlan) -> bool + Send + Sync>);

impl std::fmt::Debug for UndoQuestion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UndoQuestion")
    }
}

/// How a run is undone.
#[derive(Clone, Debug)]
pub struct UndoOptions {
    /// Which run.
    pub run: RunSelector,
    /// By which way; `None`: the best that the run recorded.
    pub way: Option<Way>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// What was written since this instant may be lost; a restore of the whole database needs that to be said, and a
    /// recovery that would set back or bring back rows of others.
    pub accept_data_loss_since: Option<DateTime<Utc>>,
    /// Which scripts a rollback may run.
    pub scripts: Scripts,
    /// What becomes of a script that had begun when the undo before broke off, where that cannot be told.
    pub unfinished: Option<Unfinished>,
    /// Asked before anything is changed; `None` goes on.
    pub question: Option<UndoQuestion>,
    /// The database, and the project.
    pub place: Place,
    /// The RDS instance that the database is on.
    pub instance: Option<RdsSource>,
    /// The live database as the role that migrates.
    pub live: ConnectionSettings,
    /// How the restore point before it is made.
    pub backup: BackupOptions,
    /// The environment of the tool's own way down, as a guarded run gives it.
    pub environment: Vec<(OsString, OsString)>,
    /// Where that runs.
    pub folder: PathBuf,
    /// Where temporary files are made; they hold hashes only.
    pub temporary: PathBuf,
    /// How many sessions work at a time.
    pub jobs: usize,
    /// Tables with more bytes than this are not compared by their rows.
    pub compare_up_to: Option<u64>,
    /// Seconds to wait for locks on tables.
    pub lock_wait_seconds: u64,
    /// Who does it and where, in words.
    pub operator: Option<String>,
    /// The process that does it; see [`crate::runs::this_process`].
    pub process: Option<Process>,
    /// Secrets that are known.
    pub mask: Mask,
    /// Hears what the tool and the scripts write, without secrets; without it the tool's output is inherited, and nobody hears
    /// the scripts'.
    pub tee: Option<Tee>,
}

/// What would be done.
#[derive(Clone, Debug, Serialize)]
pub struct UndoPlan {
    /// The run.
    pub run: RunId,
    /// By which way.
    pub way: Way,
    /// The run's restore point.
    pub point: PointId,
    /// What is done, in order.
    pub steps: Vec<String>,
    /// What was done already, by an undo that broke off.
    pub done: Vec<String>,
    /// What is lost by it.
    pub data_lost: String,
    /// For a restore: what was written since, as far as it can be known.
    pub written_since: Option<WrittenSince>,
    /// For a recovery: what it would write into tables that are there, and what goes of what the run made; how much of that is
    /// others'.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub taken: Vec<TakenRows>,
    /// For a recovery: tables that were there, and of which what undoes the migrations may take or change rows, others' too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scripts_take: Vec<String>,
    /// What goes with a CASCADE of the scripts, and the run did not make.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub goes_along: Vec<GoesAlong>,
    /// The command of this way, as the run recorded it, with the flags that it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The other ways, the best first.
    pub other_ways: Vec<WayBack>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// An undo that came to its end, or a plan.
#[derive(Clone, Debug, Serialize)]
pub struct UndoReport {
    /// What was planned.
    pub plan: UndoPlan,
    /// Nothing was done: this is a plan.
    pub dry_run: bool,
    /// Where the run stands; `None` for a plan.
    pub state: Option<RunState>,
    /// What was done, and what shows that it worked.
    pub undo: Option<UndoRecord>,
    /// Why it failed, once it had begun.
    pub failure: Option<String>,
    /// A person ended it: what was done is recorded, and the same undo goes on from there.
    pub interrupted: bool,
    /// The swap, for a restore.
    pub swap: Option<Box<SwapReport>>,
    /// Milliseconds.
    pub took_ms: u64,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// How an undo ended, for the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoEnd {
    /// Undone and shown, or a plan.
    Done,
    /// The way was gone, and not everything is as before: exit code 11.
    NotAsBefore,
    /// It failed: exit code 13.
    Failed,
    /// A person ended it, and it goes on from there: exit code 130.
    Interrupted,
}

impl UndoReport {
    /// How it ended.
    pub fn end(&self) -> UndoEnd {
        match (self.dry_run, &self.failure, self.state) {
            (true, ..) | (_, None, Some(RunState::Undone)) => UndoEnd::Done,
            (_, Some(_), _) if self.interrupted => UndoEnd::Interrupted,
            (_, Some(_), _) => UndoEnd::Failed,
            _ => UndoEnd::NotAsBefore,
        }
    }
}

/// Undoes a run, or says what would be done.
///
/// # Errors
/// While nothing was changed: [`Error::NoSuchRun`]; [`Error::CannotUndo`] where the run never applied anything, is undone or
/// settled, or is too old; [`Error::StillAtWork`]; [`Error::NoSuchWay`]; [`Error::RollbackChanged`]; [`Error::RollbackMayLose`];
/// [`Error::ScriptUnfinished`]; [`Error::DataLossNotAccepted`];
/// [`Error::NotConfirmed`]; those of the restore point that is made first. What fails after that is told in the report,
/// and stands in the ledger.
pub async fn undo(context: &Context, options: &UndoOptions) -> Result<UndoReport, Error> {
    let mut report = undo_held(context, options, None).await?;
    // Of its own end a guarded run sees to that itself.
    if !report.dry_run {
        let steps = runs::steps(context, &options.run).await.unwrap_or_default();
        report.warnings.extend(newest(&steps).and_then(runs::owed));
    }
    Ok(report)
}

/// As [`undo`], at the end of the guarded run itself: under the run lock that it has.
pub(crate) async fn undo_held(
    context: &Context,
    options: &UndoOptions,
    held: Option<RunLock>,
) -> Result<UndoReport, Error> {
    Box::pin(Attempt { context, options }.run(held)).await
}
