//! What may be typed: verbs, flags, and the variables that stand for flags.

mod backfill;
mod backup;
mod catalogue;
mod check;
mod compare;
mod cron;
mod guard;
mod init;
mod leftovers;
mod limits;
mod plan;
mod rds;
mod recover_table;
mod rehearse;
mod restore;
mod retention;
mod runs;
mod undo;
mod verify;
mod watch;

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use holdpoint_core::DatabaseName;
use holdpoint_core::verification::Level;
use holdpoint_repository::RepositoryUrl;

pub(crate) use backfill::BackfillArguments;
pub(crate) use backup::{BackupArguments, BackupFormat};
pub(crate) use catalogue::AdoptArguments;
pub(crate) use check::CheckArguments;
pub(crate) use compare::CompareArguments;
pub(crate) use cron::{CronArguments, Proof};
pub(crate) use guard::{GateArguments, GuardArguments, PrepareArguments, RunArguments};
pub(crate) use init::{InitArguments, PolicyRole};
pub(crate) use leftovers::LeftoversArguments;
pub(crate) use limits::{Jobs, LimitArguments};
pub(crate) use plan::{PlanArguments, ProjectArguments, WaiverArguments};
pub(crate) use rds::{
    DropArguments as DropInstanceArguments, NewArguments as NewInstanceArguments, RdsArguments, RdsVerb,
    ReachArguments, RestoreArguments as RestoreInstanceArguments, SnapshotVerb,
};
pub(crate) use recover_table::RecoverTableArguments;
pub(crate) use rehearse::{RehearsalArguments, RehearseArguments};
pub(crate) use restore::RestoreArguments;
pub(crate) use retention::{PinArguments, PruneArguments, RetentionArguments, UnpinArguments};
pub(crate) use runs::{RunsArguments, SettleArguments, ShowArguments, Shown};
pub(crate) use undo::{OnFailure, UndoArguments, UnfinishedScript, WayBackFlag};
pub(crate) use verify::VerifyArguments;
pub(crate) use watch::WatchArguments;

const EXAMPLES: &str = "\
First steps:
  export DATABASE_URL=postgresql://app@db.example.com/shop
  export HOLDPOINT_REPOSITORY=s3://acme-backups/pg
  holdpoint init
  holdpoint doctor
  holdpoint guard -- npm run db:migrate

Without a database at hand:
  holdpoint demo

Exit codes are listed in docs/exit-codes.md.";

/// Holds a migration until the way back is proven.
#[derive(Debug, Parser)]
#[command(name = "holdpoint", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: CommonArguments,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags that every verb takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Common flags")]
pub(crate) struct CommonArguments {
    /// Read this configuration instead of the holdpoint.toml found upward from here [env: HOLDPOINT_CONFIG].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Work on this database: a [database.NAME] of the configuration, or a folder of the repository
    /// [env: HOLDPOINT_DATABASE].
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) database: Option<DatabaseName>,
    /// Use this repository: file:///directory or s3://bucket/prefix [env: HOLDPOINT_REPOSITORY].
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) repository: Option<RepositoryUrl>,
    /// Print the report as one JSON document on stdout, and errors too.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say more on stderr; twice for all details.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Say nothing on stderr but errors.
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Choose how progress is shown on stderr.
    #[arg(long, global = true, value_enum, value_name = "FORM", default_value_t)]
    pub(crate) progress: ProgressForm,
    /// Show no progress.
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
    /// Write the log as JSON lines.
    #[arg(long, global = true, hide_short_help = true)]
    pub(crate) log_json: bool,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressForm {
    /// Bars on a terminal; elsewhere only what is worth knowing, and nothing beside --json.
    #[default]
    Auto,
    /// Bars with rate and remaining time.
    Bars,
    /// One JSON object a line.
    Json,
    /// A line for each phase, and every 20 seconds.
    Log,
    /// Nothing.
    None,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Make the repository, or print the storage policy of a role.
    Init(InitArguments),
    /// Try everything that a backup, a verification and a guarded run need, and say what would fail.
    #[command(after_help = "Examples:\n  holdpoint doctor\n  holdpoint doctor --database shop --json")]
    Doctor,
    /// Make a restore point of the database.
    Backup(BackupArguments),
    /// List the restore points of the database.
    #[command(after_help = "Examples:\n  holdpoint list\n  holdpoint list --json | jq -r '.points[-1].id'")]
    List,
    /// Show everything about one restore point or one run.
    Show(ShowArguments),
    /// Restore a restore point into a scratch server and match its fingerprint.
    Verify(VerifyArguments),
    /// Restore a restore point, or a dump made elsewhere, into an empty database.
    Restore(RestoreArguments),
    /// Bring single tables back from a restore point, beside the live ones or into them.
    RecoverTable(RecoverTableArguments),
    /// Tell what differs between a restore point and the database: what a restore would lose.
    Compare(Box<CompareArguments>),
    /// Drop the restore points that the retention policy does not keep, and sweep what belongs to none.
    Prune(Box<PruneArguments>),
    /// Keep a restore point, whatever the retention policy says.
    Pin(PinArguments),
    /// Remove a pin.
    Unpin(UnpinArguments),
    /// Check that everything that the repository promises is there; restores nothing.
    Check(CheckArguments),
    /// Back up, prove, prune and check, unattended: each only if the one before allows it.
    Cron(Box<CronArguments>),
    /// Record that the database moved: its folder belongs to another server from now on.
    Adopt(AdoptArguments),
    /// List what holdpoint made and did not remove.
    Leftovers(LeftoversArguments),
    /// Restore Amazon RDS instances to an instant, wait for them, and drop them again.
    Rds(Box<RdsArguments>),
    /// Tell what the pending migrations will do: locks, rewrites, tables at risk, and what is asked for them.
    Plan(PlanArguments),
    /// Run a migration command on a verified copy, and tell what it does there and what undoing it leaves.
    Rehearse(Box<RehearseArguments>),
    /// Make everything ready for a guarded run, and keep it for one that follows.
    Prepare(Box<PrepareArguments>),
    /// Run a migration command once its way back is proven.
    Guard(Box<GuardArguments>),
    /// Go a way back of a run, with proof.
    Undo(Box<UndoArguments>),
    /// List the guarded runs of the database, and how they stand.
    Runs(RunsArguments),
    /// Declare a run that failed or broke off done, with a reason.
    Settle(SettleArguments),
    /// Show where the database stands, on one screen.
    #[command(after_help = "Examples:\n  holdpoint status\n  holdpoint status --database shop --json")]
    Status,
    /// Show who waits for whom, what runs for long and what is being built, live; end one of them.
    Watch(WatchArguments),
    /// Fill a column of a large table batch by batch, so that nobody waits for it; goes on after a kill.
    Backfill(Box<BackfillArguments>),
    /// Show all of it on a throwaway server: restore point, proof, a migration that destroys, the way back.
    #[command(after_help = "Examples:\n  holdpoint demo")]
    Demo,
    /// Print a script that completes holdpoint's verbs and flags in a shell.
    Completions(CompletionsArguments),
    /// Keep a scratch server until stdin ends; started by holdpoint itself.
    #[command(name = "scratch-keeper", hide = true)]
    ScratchKeeper,
    /// Run a command in a network of its own; started by holdpoint itself.
    #[command(name = "rehearsal-cell", hide = true)]
    RehearsalCell {
        /// What the cell is to be, and the command.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<std::ffi::OsString>,
    },
}

/// Flags of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdpoint completions bash > /etc/bash_completion.d/holdpoint
  holdpoint completions zsh > ~/.zfunc/_holdpoint")]
pub(crate) struct CompletionsArguments {
    /// Write for this shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

/// Reads a level that can be asked for: level instance is that of snapshots, which have no other one.
fn level(text: &str) -> Result<Level, String> {
    match text.parse() {
        Ok(level @ (Level::Stored | Level::Sampled | Level::Full)) => Ok(level),
        _ => Err("is stored, sampled or full".to_owned()),
    }
}

/// Reads a level that the gate can ask for.
fn gate_level(text: &str) -> Result<Level, String> {
    text.parse().map_err(|_| "is stored, sampled, full or instance".to_owned())
}

/// Reads a number of jobs.
fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs @ 1..=256) => Ok(jobs),
        _ => Err("is from 1 to 256".to_owned()),
    }
}

#[cfg(test)]
mod tests;
