//! Flags of `check`.

use std::time::Duration;

use clap::Args;
use holdpoint_core::Shard;

use super::Jobs;
use crate::quantity::parse_duration;

/// Flags of `check`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdpoint check
  holdpoint check --read-data
  holdpoint check --read-data=10 --max-proof-age 7d --json
  holdpoint check --all --shard 3/16
  holdpoint check --repair")]
pub(crate) struct CheckArguments {
    /// Every database of the configuration, or of the repository where none is configured.
    #[arg(long, conflicts_with = "database")]
    pub(crate) all: bool,
    /// Of those only the share I of N, with I from 0 to N - 1, as of `cron`.
    #[arg(long, value_name = "I/N", requires = "all", conflicts_with = "database")]
    pub(crate) shard: Option<Shard>,
    /// Read stored bytes again and compare their hashes: all, or so many percent, restore points of a random choice.
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, default_missing_value = "100",
          value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) read_data: Option<u8>,
    /// Check this many pieces at a time.
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<Jobs>,
    /// An older proof, or none, is a finding.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) max_proof_age: Option<Duration>,
    /// Remove what is provably dead: objects and uploads of no restore point that are old enough, and what a killed
    /// prune left.
    #[arg(long)]
    pub(crate) repair: bool,
    /// Leave objects and unfinished uploads alone that are younger: a backup may be writing them.
    #[arg(long, value_name = "TIME", default_value = "3d", value_parser = parse_duration)]
    pub(crate) min_age: Duration,
}
