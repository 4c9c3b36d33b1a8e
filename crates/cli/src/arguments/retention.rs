//! Flags of `prune`, `pin` and `unpin`.

use std::time::Duration;

use clap::Args;
use holdpoint_core::Shard;
use holdpoint_core::selector::Selector;

use super::catalogue::{POINTS, reason};
use crate::quantity::{parse_duration, parse_end, parse_zone};

/// What is kept. Flags that name a rule beat all rules of `[retention]`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What is kept")]
pub(crate) struct RetentionArguments {
    /// Keep so many of the newest proven restore points.
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<u32>,
    /// Keep the newest proven one of so many hours.
    #[arg(long, value_name = "N")]
    pub(crate) keep_hourly: Option<u32>,
    /// Keep the newest proven one of so many days.
    #[arg(long, value_name = "N")]
    pub(crate) keep_daily: Option<u32>,
    /// Keep the newest proven one of so many weeks.
    #[arg(long, value_name = "N")]
    pub(crate) keep_weekly: Option<u32>,
    /// Keep the newest proven one of so many months.
    #[arg(long, value_name = "N")]
    pub(crate) keep_monthly: Option<u32>,
    /// Keep the newest proven one of so many years.
    #[arg(long, value_name = "N")]
    pub(crate) keep_yearly: Option<u32>,
    /// Keep everything that is at most this much older than the newest proven one.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) keep_within: Option<Duration>,
    /// Never leave fewer proven ones [default: 1].
    #[arg(long, value_name = "N")]
    pub(crate) minimum_count: Option<u32>,
    /// Drop nothing younger [default: 1d].
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) minimum_age: Option<Duration>,
    /// Cut days, weeks, months and years by this calendar [default: UTC].
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    pub(crate) time_zone: Option<chrono_tz::Tz>,
}

/// Flags of `prune`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdpoint prune --dry-run
  holdpoint prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12
  holdpoint prune --keep-within 30d --minimum-count 3 --time-zone Europe/Vienna
  holdpoint prune --all --dry-run --json
  holdpoint prune --all --shard 3/16")]
pub(crate) struct PruneArguments {
    #[command(flatten)]
    pub(crate) retention: RetentionArguments,
    /// Only say what would be dropped, and why.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Every database of the configuration, or of the repository where none is configured.
    #[arg(long, conflicts_with = "database")]
    pub(crate) all: bool,
    /// Of those only the share I of N, with I from 0 to N - 1, as of `cron`.
    #[arg(long, value_name = "I/N", requires = "all", conflicts_with = "database")]
    pub(crate) shard: Option<Shard>,
    /// Do not connect to the database to see that the folder is its own.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Leave objects and unfinished uploads of no restore point alone that are younger: a backup may be writing them.
    #[arg(long, value_name = "TIME", default_value = "3d", value_parser = parse_duration)]
    pub(crate) sweep_min_age: Duration,
}

/// Flags of `pin`.
#[derive(Debug, Args)]
#[command(after_help = format!("{POINTS}

Examples:
  holdpoint pin latest --reason 'before the audit' --until 90d
  holdpoint pin 20261121T024300Z-k3f9 --reason 'legal hold' --name legal
  holdpoint pin proven --reason 'end of year' --until 2027-12-31T00:00:00Z"))]
pub(crate) struct PinArguments {
    /// Keep this restore point.
    #[arg(value_name = "POINT")]
    pub(crate) point: Selector,
    /// Record why.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: String,
    /// Until this instant, or for this time; without it for ever.
    #[arg(long, value_name = "INSTANT|TIME", value_parser = parse_end)]
    pub(crate) until: Option<holdpoint_operations::retention::PinEnd>,
    /// Name the pin: several may hold one restore point.
    #[arg(long, value_name = "NAME", default_value = "by-hand")]
    pub(crate) name: String,
}

/// Flags of `unpin`.
#[derive(Debug, Args)]
#[command(after_help = format!("{POINTS}

Examples:
  holdpoint unpin 20261121T024300Z-k3f9
  holdpoint unpin 20261121T024300Z-k3f9 --name legal"))]
pub(crate) struct UnpinArguments {
    /// The restore point.
    #[arg(value_name = "POINT")]
    pub(crate) point: Selector,
    /// The pin's name.
    #[arg(long, value_name = "NAME", default_value = "by-hand")]
    pub(crate) name: String,
}
