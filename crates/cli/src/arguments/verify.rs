//! Flags of `verify`.

use clap::Args;
use holdpoint_core::selector::Selector;
use holdpoint_core::verification::Level;

use super::{catalogue::POINTS, jobs, level};

/// Flags of `verify`.
#[derive(Debug, Args)]
#[command(after_help = format!("{POINTS}
Level stored reads everything back and checks every hash and row; level full restores it into a scratch server and
compares rows, sequences, large objects and schema.

Examples:
  holdpoint verify
  holdpoint verify 20261121T024300Z-k3f9 --level stored
  holdpoint verify latest --scratch-url postgresql://admin@scratch.example.com/postgres"))]
pub(crate) struct VerifyArguments {
    /// Verify this restore point.
    #[arg(value_name = "POINT", default_value = "latest")]
    pub(crate) point: Selector,
    /// Go this far.
    #[arg(long, value_name = "LEVEL", default_value = "full", value_parser = level)]
    pub(crate) level: Level,
    /// Check this many pieces at a time.
    #[arg(long, short, value_name = "N", value_parser = jobs)]
    pub(crate) jobs: Option<usize>,
    /// Restore into a database of this server, instead of the configured scratch server [env: HOLDPOINT_SCRATCH_URL].
    #[arg(long, value_name = "URL")]
    pub(crate) scratch_url: Option<String>,
    /// Replace a locale that the scratch server lacks by C, and say so: sort order is then not reproduced.
    #[arg(long)]
    pub(crate) replace_missing_locale: bool,
    /// Only say what it would take.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
