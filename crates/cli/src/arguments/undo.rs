//! Flags of `undo`, and of `guard` where it undoes a run that failed.

use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use holdpoint_core::selector::RunSelector;
use holdpoint_core::undoing::Way;
use holdpoint_guard::undo::Unfinished;
use serde::Deserialize;

use super::{Jobs, ProjectArguments};

/// Flags of `undo`.
#[derive(Debug, Args)]
#[command(after_help = "\
In this order: the run is looked at; a restore point of the database as it is now is made, with a label; then the way is
gone, the tool's own table put right, and the result compared with the run's restore point. Younger runs are undone first.

  rollback   the team's own scripts, or the tool's own way down, newest migration first
  recover    the same as far as there is any; then the tables and columns at risk from the restore point
  restore    the whole restore point, beside and matched, swapped for the live database, which is kept
  rds        the whole RDS instance at the instant before the command, in the place of the live one (docs/rds.md)

Examples:
  holdpoint undo latest --dry-run
  holdpoint undo 20261121T024300Z-k3f9 --way rollback
  holdpoint undo 20261121T024300Z-k3f9 --way recover --yes
  holdpoint undo latest --way rollback --accept-changed-rollback
  holdpoint undo latest --way rollback --unfinished-script done
  holdpoint undo latest --way restore --accept-data-loss-since 2026-11-21T02:43:00Z")]
pub(crate) struct UndoArguments {
    /// Undo this run: its id, or latest.
    #[arg(value_name = "RUN")]
    pub(crate) run: RunSelector,
    /// Go this way [default: the best that the run has].
    #[arg(long, value_enum, value_name = "WAY")]
    pub(crate) way: Option<WayBackFlag>,
    /// Only say what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Accept that what was written since this instant is lost: a restore of the whole database asks for it, a recovery
    /// that would set back or bring back rows of others, and a rollback that takes what others wrote into what the run made.
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub(crate) accept_data_loss_since: Option<DateTime<Utc>>,
    /// Run scripts that were changed since the run was planned, or were not there: nobody rehearsed them.
    #[arg(long)]
    pub(crate) accept_changed_rollback: bool,
    /// Take a script that had begun when an undo broke off for done, or run it again, where nobody can tell whether it ended.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub(crate) unfinished_script: Option<UnfinishedScript>,
    /// Do not compare rows of tables with more bytes than this.
    #[arg(long, value_name = "SIZE", default_value = "10G", value_parser = crate::quantity::parse_bytes)]
    pub(crate) compare_limit: u64,
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
    /// Work with this many sessions, or auto.
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<Jobs>,
}

/// A way that `undo` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WayBackFlag {
    /// The team's own scripts, or the tool's own way down.
    Rollback,
    /// The tables and columns at risk, after the scripts that there are.
    Recover,
    /// The whole database.
    Restore,
    /// The whole RDS instance, to the instant before the command.
    Rds,
}

impl WayBackFlag {
    /// The way.
    pub(crate) fn way(self) -> Way {
        match self {
            Self::Rollback => Way::Rollback,
            Self::Recover => Way::Recover,
            Self::Restore => Way::Restore,
            Self::Rds => Way::Rds,
        }
    }
}

/// What becomes of a script of which nobody can tell whether it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum UnfinishedScript {
    /// Somebody looked: all of it is there.
    Done,
    /// Somebody looked: nothing of it is there, or it may run twice.
    Again,
}

impl UnfinishedScript {
    pub(crate) fn unfinished(self) -> Unfinished {
        match self {
            Self::Done => Unfinished::Done,
            Self::Again => Unfinished::Again,
        }
    }
}

/// What `guard` does where the command failed and left something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnFailure {
    /// Tell the ways back.
    #[default]
    None,
    /// Undo it by the team's own scripts, or the tool's own way down.
    Rollback,
    /// Restore the whole database, and swap.
    Restore,
}

impl OnFailure {
    /// The way; none where nothing is done.
    pub(crate) fn way(self) -> Option<Way> {
        match self {
            Self::None => None,
            Self::Rollback => Some(Way::Rollback),
            Self::Restore => Some(Way::Restore),
        }
    }
}

/// Reads an instant with its time zone.
pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let read = DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc));
    read.map_err(|_| "is an instant with its time zone, such as 2026-11-21T02:43:00Z".to_owned())
}
