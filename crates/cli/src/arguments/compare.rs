//! Flags of `compare`.

use clap::Args;
use holdpoint_core::RelationName;
use holdpoint_core::selector::Selector;
use holdpoint_operations::recover::ColumnPair;

use super::recover_table::renamed;
use super::{catalogue::POINTS, jobs};

/// Flags of `compare`.
#[derive(Debug, Args)]
#[command(after_help = format!("{POINTS}
Nothing is written, neither to a database nor to the repository. A database is read in one snapshot, beside whatever
writes to it; two restore points are compared from what they recorded, without a server.
Ends with 0 where everything was compared and is equal, else with 15.

Examples:
  holdpoint compare
  holdpoint compare proven --definitions
  holdpoint compare before:20261121T024300Z-k3f9 --against staging
  holdpoint compare 20261120T024300Z-a1b2 --against latest
  holdpoint compare before:20261121T024300Z-k3f9 --rows public.orders
  holdpoint compare --rows log --key at,host --limit 0
  holdpoint compare before:20261121T024300Z-k3f9 --rows orders --as orders_old
  holdpoint compare --table public.orders --with public.orders_new"))]
pub(crate) struct CompareArguments {
    /// Compare this restore point.
    #[arg(value_name = "POINT", default_value = "latest")]
    pub(crate) point: Selector,
    /// Compare with this instead of the configured database: a restore point, a [target.NAME] or [database.NAME] of
    /// the configuration, env:VARIABLE, or a URL.
    #[arg(long, value_name = "URL|POINT")]
    pub(crate) against: Option<String>,
    /// Show the lines in which definitions of schema objects differ.
    #[arg(long)]
    pub(crate) definitions: bool,
    /// Read no table larger than this, and so many bytes of large objects; what is left out is not called equal.
    #[arg(
        long,
        value_name = "MIB",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "16",
        value_parser = clap::value_parser!(u64).range(1..=1 << 30)
    )]
    pub(crate) quick: Option<u64>,
    /// Compare the rows of this table by key: missing, changed, new.
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["definitions", "quick"])]
    pub(crate) rows: Option<RelationName>,
    /// Compare the rows of this table with those of another one of the same database.
    #[arg(long, value_name = "TABLE", requires = "with", conflicts_with_all = ["point", "rows", "definitions", "quick"])]
    pub(crate) table: Option<RelationName>,
    /// The other one.
    #[arg(long, value_name = "TABLE", requires = "table")]
    pub(crate) with: Option<RelationName>,
    /// Name the table on the other side, where it was renamed since.
    #[arg(long = "as", value_name = "TABLE", requires = "rows")]
    pub(crate) now_named: Option<RelationName>,
    #[command(flatten)]
    pub(crate) how: RowArguments,
    /// Wait this long for tables that somebody else has locked.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = crate::quantity::parse_duration)]
    pub(crate) lock_wait: std::time::Duration,
    /// Read with this many sessions.
    #[arg(long, short, value_name = "N", value_parser = jobs)]
    pub(crate) jobs: Option<usize>,
}

/// How rows are compared.
#[derive(Debug, Args)]
#[command(next_help_heading = "Rows of one table")]
pub(crate) struct RowArguments {
    /// Tell rows apart by these columns, instead of the primary key or a unique index.
    #[arg(long, value_name = "A,B", value_parser = columns)]
    pub(crate) key: Option<Columns>,
    /// Say which column has another name now; may be repeated.
    #[arg(long, value_name = "THEN=NOW", value_parser = renamed)]
    pub(crate) renamed: Vec<ColumnPair>,
    /// List at most this many rows of each kind; all are counted.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
    pub(crate) limit: usize,
    /// Show values, not only keys: on a terminal alone, and cut where they are long.
    #[arg(long)]
    pub(crate) show_values: bool,
    /// Hold this much of the rows' hashes in memory; the rest goes into temporary files, which hold no values.
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(crate) memory: u32,
}

/// Names of columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Columns(pub(crate) Vec<String>);

pub(super) fn columns(text: &str) -> Result<Columns, &'static str> {
    let names = holdpoint_core::relation_name::columns_of_list(text);
    if names.is_empty() || names.iter().any(String::is_empty) {
        return Err("is a list of columns, such as id or \"k,1\",at");
    }
    Ok(Columns(names))
}

fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit @ 0..=100_000) => Ok(limit),
        _ => Err("is from 0 to 100000".to_owned()),
    }
}
