//! Flags of `backfill`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use holdpoint_core::RelationName;

use crate::quantity::{parse_duration, parse_short_duration};

/// Flags of `backfill`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each batch is a transaction of its own. How far it came stands in .holdpoint/ of the working directory: after Ctrl-C, a
kill or a lost connection, --resume goes on behind the last batch that was committed. Rows with larger keys than there
were when it began are the application's: deploy what fills them first.

Examples:
  holdpoint backfill public.orders --set 'region = upper(country)' --where 'region IS NULL' --dry-run
  holdpoint backfill public.orders --set 'region = upper(country)' --where 'region IS NULL'
  holdpoint backfill orders --set 'total_cents = round(total * 100)' --batch 2000 --pause 250ms --max-runtime 2h
  holdpoint backfill orders --set 'total_cents = round(total * 100)' --resume")]
pub(crate) struct BackfillArguments {
    /// Fill this table.
    #[arg(value_name = "TABLE")]
    pub(crate) table: RelationName,
    /// Set this, as UPDATE does; may be repeated.
    #[arg(long, value_name = "COL = EXPR", required = true)]
    pub(crate) set: Vec<String>,
    /// Only in rows for which this holds.
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) condition: Option<String>,
    /// Walk by these columns, of a unique index without NULL, instead of the primary key.
    #[arg(long, value_name = "A,B", value_parser = super::compare::columns)]
    pub(crate) key: Option<super::compare::Columns>,
    /// Begin with batches of this many rows; they adapt to --batch-time.
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) batch: u64,
    /// Let a batch take about this long.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_short_duration)]
    pub(crate) batch_time: Duration,
    /// Rest between batches.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = parse_short_duration)]
    pub(crate) pause: Duration,
    /// Wait while a standby is further behind.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_short_duration)]
    pub(crate) max_lag: Duration,
    /// Take a batch back that somebody has waited for this long, and try it smaller.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_short_duration)]
    pub(crate) max_blocked: Duration,
    /// Let a batch wait this long for rows and tables that others have locked, then try it again.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_short_duration)]
    pub(crate) lock_wait: Duration,
    /// Begin no further batch after this long; ends with 5 where rows are left.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) max_runtime: Option<Duration>,
    /// Go on where an earlier one stopped.
    #[arg(long)]
    pub(crate) resume: bool,
    /// Keep how far it came in this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,
    /// Show what would be done, with the server's plan for the first and the last batch, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
