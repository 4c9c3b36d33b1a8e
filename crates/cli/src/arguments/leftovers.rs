//! Flags of `leftovers`.

use clap::Args;

/// Flags of `leftovers`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdpoint leftovers
  holdpoint leftovers --dry-run
  holdpoint leftovers --remove --min-age 1h
  holdpoint leftovers --into staging --remove")]
pub(crate) struct LeftoversArguments {
    /// Remove what is certainly nobody's.
    #[arg(long)]
    pub(crate) remove: bool,
    /// Only say what would be removed.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Look into this database too, as recover-table --into named it.
    #[arg(long, value_name = "TARGET")]
    pub(crate) into: Option<String>,
    /// Leave younger uploads alone: one may be running now.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = crate::quantity::parse_duration)]
    pub(crate) min_age: std::time::Duration,
}
