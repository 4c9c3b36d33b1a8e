//! Flags of `restore`.

use std::path::PathBuf;

use clap::Args;
use holdpoint_core::selector::Selector;

use super::jobs;

/// Reads what to restore; what names no restore point may name a file or directory that is here.
pub(super) fn from(text: &str) -> Result<Selector, holdpoint_core::Error> {
    let read: Result<Selector, _> = text.parse();
    let here = !text.is_empty() && !text.contains("://") && std::path::Path::new(text).exists();
    if read.is_err() && here { format!("./{text}").parse() } else { read }
}

/// Flags of `restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
POINT is an id, latest, proven, before:RUN, before:INSTANT, run:ID, or the path or s3:// URL of a dump made elsewhere
(.sql, .sql.gz, pg_dump -Fc, -Fd or -Ft).
TARGET is a [target.NAME] of the configuration, env:VARIABLE, or a URL; arguments can be seen by every user of the
machine, so a URL with a password is better kept in a variable.

Examples:
  createdb shop_restored
  holdpoint restore --from proven --into postgresql://admin@db.example.com/shop_restored
  holdpoint restore --from before:2026-11-21T02:43:00Z --into env:RESTORE_URL
  holdpoint restore --from latest --into staging --replace --after-sql mask.sql
  holdpoint restore --from ./old.sql.gz --into postgresql:///scratch

Emergency: the live database itself (docs/runbook.md). Without --into it is the configured one, by its url:
  holdpoint restore --from before:20261121T024300Z-k3f9 --swap --dry-run
  holdpoint restore --from before:20261121T024300Z-k3f9 --swap
  holdpoint restore --swap-in shop_before_20261121t024300z_k3f9")]
#[command(group = clap::ArgGroup::new("way").args(["replace", "swap", "swap_in"]))]
pub(crate) struct RestoreArguments {
    /// Restore this.
    #[arg(long, value_name = "POINT", value_parser = from, required_unless_present = "swap_in")]
    pub(crate) from: Option<Selector>,
    /// Restore into this database: it must exist and be empty.
    #[arg(long, value_name = "TARGET", required_unless_present_any = ["swap", "swap_in"])]
    pub(crate) into: Option<String>,
    /// Restore the live database itself: beside it, matched, then swapped by name; the old one is kept.
    #[arg(long, conflicts_with_all = ["no_owner", "no_privileges"])]
    pub(crate) swap: bool,
    /// Put this database, which --swap kept or made ready, in the live one's place.
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    pub(crate) swap_in: Option<String>,
    /// Do not read what was written since the restore point.
    #[arg(long, requires = "swap")]
    pub(crate) skip_compare: bool,
    /// Do not read tables with more bytes than this for what was written since.
    #[arg(long, value_name = "SIZE", requires = "swap", conflicts_with = "skip_compare",
          default_value = "10G", value_parser = crate::quantity::parse_bytes)]
    pub(crate) compare_limit: u64,
    /// Replace what the target holds; only where the configuration says production = false.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Run this SQL before anyone may connect, such as masking.
    #[arg(long, value_name = "FILE", requires = "replace")]
    pub(crate) after_sql: Option<PathBuf>,
    /// Keep the replaced database under another name.
    #[arg(long, requires = "replace")]
    pub(crate) keep_old: bool,
    /// Leave out owners, for targets that lack the roles.
    #[arg(long)]
    pub(crate) no_owner: bool,
    /// Leave out grants.
    #[arg(long)]
    pub(crate) no_privileges: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask before replacing or swapping.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Work with this many sessions.
    #[arg(long, short, value_name = "N", value_parser = jobs)]
    pub(crate) jobs: Option<usize>,
}
