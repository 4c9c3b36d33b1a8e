//! Flags of `rehearse`, and the command that it rehearses.

use std::time::Duration;

use clap::Args;
use holdpoint_core::selector::Selector;
use holdpoint_guard::rehearse::TIME_LIMIT;

use super::catalogue::POINTS;
use super::{ProjectArguments, WaiverArguments, jobs};

/// Flags of `rehearse`.
#[derive(Debug, Args)]
#[command(
    override_usage = "holdpoint rehearse [FLAGS] -- COMMAND...",
    after_help = format!("{POINTS}
The restore point is verified at level full, and the command runs on that very copy, then what undoes it. Production is
not changed: the command's variables lead to the copy, and where the kernel allows it runs in a network of its own.
Ends with 0 as planned, 10 where the command failed, 11 where it did something else than what is pending, 13 where it
reached for production.

Examples:
  holdpoint rehearse -- npm run db:migrate
  holdpoint rehearse --from proven --time-limit 20m -- npx prisma migrate deploy
  holdpoint rehearse --json --no-rollback -- npx drizzle-kit migrate")
)]
pub(crate) struct RehearseArguments {
    /// Rehearse on a copy of this restore point.
    #[arg(long, value_name = "POINT", default_value = "latest")]
    pub(crate) from: Selector,
    #[command(flatten)]
    pub(crate) project: ProjectArguments,
    #[command(flatten)]
    pub(crate) waivers: WaiverArguments,
    #[command(flatten)]
    pub(crate) how: RehearsalArguments,
    /// Check this many pieces at a time.
    #[arg(long, short, value_name = "N", value_parser = jobs)]
    pub(crate) jobs: Option<usize>,
    /// Make the copy on this server, instead of the configured scratch server [env: HOLDPOINT_SCRATCH_URL].
    #[arg(long, value_name = "URL")]
    pub(crate) scratch_url: Option<String>,
    /// Replace a locale that the scratch server lacks by C, and say so: sort order is then not reproduced.
    #[arg(long)]
    pub(crate) replace_missing_locale: bool,
    /// Run this command, with its arguments, on the copy.
    #[arg(last = true, required = true, num_args = 1.., value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Flags of every verb that rehearses.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Rehearsal")]
pub(crate) struct RehearsalArguments {
    /// End the command when it has run for so long, such as 20m [default: 1h].
    #[arg(long, value_name = "TIME", value_parser = crate::quantity::parse_duration)]
    pub(crate) time_limit: Option<Duration>,
    /// Do not run what undoes the migrations afterwards.
    #[arg(long)]
    pub(crate) no_rollback: bool,
    /// Run the command in this machine's network, also where the kernel would give it one of its own.
    #[arg(long)]
    pub(crate) shared_network: bool,
    /// Leave the rows of tables uncompared that have more bytes than this, such as 20GB.
    #[arg(long, value_name = "SIZE", value_parser = crate::quantity::parse_bytes)]
    pub(crate) compare_up_to: Option<u64>,
}

impl RehearsalArguments {
    /// How long the command may take.
    pub(crate) fn time_limit(&self) -> Duration {
        self.time_limit.unwrap_or(TIME_LIMIT)
    }
}
