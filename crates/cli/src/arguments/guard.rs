//! Flags of `guard` and `prepare`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use holdpoint_archive::Codec;
use holdpoint_core::verification::Level;

use super::{LimitArguments, OnFailure, ProjectArguments, RehearsalArguments, WaiverArguments, gate_level};

/// Reads a reason: who reads the ledger later wants one.
fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say in words why nothing has to be proven".to_owned()),
        reason => Ok(reason.to_owned()),
    }
}

/// Flags of `guard`, and the command it guards.
#[derive(Debug, Args)]
#[command(
    override_usage = "holdpoint guard [FLAGS] -- COMMAND...",
    after_help = "Examples:
  holdpoint guard -- npm run db:migrate
  holdpoint guard --database shop -- npx prisma migrate deploy
  holdpoint guard --level stored --max-age 2h -- ./manage.py migrate
  holdpoint guard --waive server_wide='roles agreed, ticket 4711' -- npx drizzle-kit migrate
  holdpoint guard --tool plain-sql --migrations sql -- ./apply.sh
  holdpoint guard --command-timeout 30m --cancel-blocked-after 10s -- npm run db:migrate
  holdpoint guard --before './maintenance on' --after './maintenance off' -- npm run db:migrate
  holdpoint guard --health-url https://shop.example.com/health -- npm run db:migrate
  holdpoint guard --on-failure rollback -- npm run db:migrate
  holdpoint guard --unproven 'incident 4711, no disk for a copy' -- psql -f hotfix.sql"
)]
pub(crate) struct GuardArguments {
    #[command(flatten)]
    pub(crate) gate: GateArguments,
    /// Do not ask at a terminal whether a command that may lose data may run.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Append the report to this file as Markdown, such as $GITHUB_STEP_SUMMARY; what keeps the command from running, too.
    #[arg(long, value_name = "FILE")]
    pub(crate) summary: Option<std::path::PathBuf>,
    /// Where the command failed and left something, undo it this way [default: guard.on_failure, or none].
    #[arg(long, value_enum, value_name = "WAY")]
    pub(crate) on_failure: Option<OnFailure>,
    /// Accept that a restore after a failure, or a rollback of what others wrote into, loses what was written since this instant; --yes never says so.
    #[arg(long, value_name = "INSTANT", value_parser = super::undo::instant)]
    pub(crate) accept_data_loss_since: Option<DateTime<Utc>>,
    /// Run although nothing is proven, and record this reason.
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub(crate) unproven: Option<String>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
    /// Run this command, with its arguments, once the way back is proven.
    #[arg(last = true, required = true, num_args = 1.., value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// How the command runs, and what goes with it.
#[derive(Debug, Default, Args)]
pub(crate) struct RunArguments {
    /// Let its statements wait this long for a lock, 0 for ever [default: 5s, or what PGOPTIONS says].
    #[arg(long, value_name = "TIME", help_heading = "The command", value_parser = crate::quantity::parse_duration)]
    pub(crate) lock_timeout: Option<Duration>,
    /// Let a statement of it take this long; not set where a pending migration runs CONCURRENTLY, nor is a lock time-out.
    #[arg(long, value_name = "TIME", help_heading = "The command", value_parser = crate::quantity::parse_duration)]
    pub(crate) statement_timeout: Option<Duration>,
    /// End it when it runs longer than this.
    #[arg(long, value_name = "TIME", help_heading = "The command", value_parser = crate::quantity::parse_duration,
          visible_alias = "max-runtime")]
    pub(crate) command_timeout: Option<Duration>,
    /// Cancel its statement that waits for a lock once others have waited this long behind it.
    #[arg(long, value_name = "TIME", help_heading = "The command", value_parser = crate::quantity::parse_duration)]
    pub(crate) cancel_blocked_after: Option<Duration>,
    /// Run this line by sh before the command, such as maintenance mode on; where it fails, nothing runs.
    #[arg(long, value_name = "LINE", help_heading = "Around the command")]
    pub(crate) before: Option<String>,
    /// Run this line by sh after success, such as maintenance mode off.
    #[arg(long, value_name = "LINE", help_heading = "Around the command")]
    pub(crate) after: Option<String>,
    /// Ask this address by GET afterwards: without an answer of 2xx the run counts as failed.
    #[arg(long, value_name = "URL", help_heading = "Around the command")]
    pub(crate) health_url: Option<String>,
    /// Run this line by sh afterwards: where it never ends with 0, the run counts as failed.
    #[arg(long, value_name = "LINE", help_heading = "Around the command")]
    pub(crate) health_cmd: Option<String>,
    /// Ask so often again [default: 9].
    #[arg(long, value_name = "N", help_heading = "Around the command")]
    pub(crate) health_retries: Option<u32>,
    /// Give each try this long [default: 5s].
    #[arg(long, value_name = "TIME", help_heading = "Around the command", value_parser = crate::quantity::parse_duration)]
    pub(crate) health_timeout: Option<Duration>,
    /// Tell this webhook of the start and the end.
    #[arg(long, value_name = "URL", help_heading = "Around the command")]
    pub(crate) notify: Option<String>,
}

/// Flags of `prepare`, and the command it prepares.
#[derive(Debug, Args)]
#[command(
    override_usage = "holdpoint prepare [FLAGS] -- COMMAND...",
    after_help = "\
The command is looked at and not run. A guarded run of the same command relies on what was prepared as long as the
same migrations are pending, byte for byte, in the same database with the same schema.

Examples:
  holdpoint prepare -- npm run db:migrate
  holdpoint prepare --valid-for 8h -- npx prisma migrate deploy
  holdpoint prepare --deadline 20m --json -- npx drizzle-kit migrate"
)]
pub(crate) struct PrepareArguments {
    #[command(flatten)]
    pub(crate) gate: GateArguments,
    /// Let guarded runs rely on it for this long: rows written since the restore point are lost by going back to it.
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = crate::quantity::parse_duration)]
    pub(crate) valid_for: Duration,
    /// Prepare for this command, with its arguments.
    #[arg(last = true, required = true, num_args = 1.., value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// What is asked before a command may run.
#[derive(Debug, Args)]
pub(crate) struct GateArguments {
    /// Ask for restore points proven at this level, whatever the risk; instance asks for a snapshot of the RDS instance
    /// [default: by risk, or gate.level].
    #[arg(long, value_name = "LEVEL", value_parser = gate_level)]
    pub(crate) level: Option<Level>,
    /// Accept proven restore points of up to this age, such as 30m, whatever the risk [default: by risk, or
    /// gate.max_age].
    #[arg(long, value_name = "TIME", value_parser = crate::quantity::parse_duration)]
    pub(crate) max_age: Option<Duration>,
    /// End with 5 where everything before the command takes longer than this, and say what was missing.
    #[arg(long, value_name = "TIME", value_parser = crate::quantity::parse_duration)]
    pub(crate) deadline: Option<Duration>,
    #[command(flatten)]
    pub(crate) waivers: WaiverArguments,
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
    /// Look for no migration tool: whatever the command does counts as putting everything at risk.
    #[arg(long, help_heading = "Migrations", conflicts_with_all = ["project", "tool", "migrations", "migrations_table",
          "pending_cmd", "applied_through", "waive"])]
    pub(crate) no_plan: bool,
    /// Do not run the command on the proven copy first.
    #[arg(long, help_heading = "Rehearsal", conflicts_with = "rehearse")]
    pub(crate) no_rehearse: bool,
    /// Run any command on the proven copy first, also one of which it is not known what it does outside of the database.
    #[arg(long, help_heading = "Rehearsal")]
    pub(crate) rehearse: bool,
    #[command(flatten)]
    pub(crate) rehearsal: RehearsalArguments,
    /// Accept a repository on this machine's own disk, by default or under CI.
    #[arg(long)]
    pub(crate) allow_local_repository: bool,
    /// Compress a restore point that has to be made with gzip[:1-9], zstd[:1-22] or none.
    #[arg(long, value_name = "CODEC", default_value = "gzip")]
    pub(crate) compress: Codec,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
    /// Use this server for the proof, instead of the configured one [env: HOLDPOINT_SCRATCH_URL].
    #[arg(long, value_name = "URL")]
    pub(crate) scratch_url: Option<String>,
    /// Replace a locale that the scratch server lacks by C, and say so: sort order is then not reproduced.
    #[arg(long)]
    pub(crate) replace_missing_locale: bool,
}
