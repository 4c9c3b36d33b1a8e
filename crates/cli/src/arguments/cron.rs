//! Flags of `cron`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use holdpoint_archive::Codec;
use holdpoint_core::Shard;
use holdpoint_core::verification::Level;
use serde::Deserialize;

use super::level;
use crate::quantity::parse_duration;

/// How far an unattended run proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Proof {
    /// Not at all.
    None,
    /// At this level.
    At(Level),
}

impl Proof {
    /// The level, where there is one.
    pub(crate) fn level(self) -> Option<Level> {
        match self {
            Self::None => None,
            Self::At(level) => Some(level),
        }
    }
}

impl FromStr for Proof {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            text => level(text).map(Self::At).map_err(|_| "is none, stored, sampled or full".to_owned()),
        }
    }
}

impl TryFrom<String> for Proof {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Reads how many databases are worked on at a time.
fn parallel(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(parallel @ 1..=64) => Ok(parallel),
        _ => Err("is from 1 to 64".to_owned()),
    }
}

/// Flags of `cron`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  holdpoint cron
  holdpoint cron --database shop --verify stored --metrics-file /var/lib/node_exporter/holdpoint.prom
  holdpoint cron --all --parallel 4 --splay 10m --max-runtime 6h --json
  holdpoint cron --all --shard 3/16

What is kept, how far is proven and who is told stands in [retention] and [cron] of holdpoint.toml: docs/cron.md.")]
pub(crate) struct CronArguments {
    /// Every database of the configuration but those of environment \"staging\".
    #[arg(long, conflicts_with = "database")]
    pub(crate) all: bool,
    /// Of those only the share I of N, with I from 0 to N - 1, such as $(JOB_COMPLETION_INDEX)/16.
    #[arg(long, value_name = "I/N", requires = "all", conflicts_with = "database")]
    pub(crate) shard: Option<Shard>,
    /// Work on so many databases at a time [default: 1].
    #[arg(long, value_name = "N", value_parser = parallel)]
    pub(crate) parallel: Option<usize>,
    /// End after this time; what was made stands, what is under way is undone; 0 sets no limit.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) max_runtime: Option<Duration>,
    /// Begin after a random part of this time, so that many machines do not begin at once.
    #[arg(long, visible_alias = "jitter", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) splay: Option<Duration>,
    /// Prove each new restore point so far: none, stored, sampled or full [default: full].
    #[arg(long, value_name = "LEVEL")]
    pub(crate) verify: Option<Proof>,
    /// Compress with gzip[:1-9], zstd[:1-22] (PostgreSQL 16 and later) or none [default: gzip].
    #[arg(long, value_name = "CODEC")]
    pub(crate) compress: Option<Codec>,
    /// Write metrics for Prometheus into this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_file: Option<PathBuf>,
    /// Nobody else ever runs this on these databases: for a store that ignores conditional writes.
    #[arg(long)]
    pub(crate) single_writer: bool,
    /// Accept a repository on this machine's own disk that nobody named, or on a CI runner's.
    #[arg(long)]
    pub(crate) allow_local_repository: bool,
}
