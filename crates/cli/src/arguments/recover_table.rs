//! Flags of `recover-table`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use holdpoint_core::selector::Selector;
use holdpoint_operations::recover::{ColumnPair, RecoverMode, TableName};

use super::jobs;
use super::restore::from;

/// Flags of `recover-table`.
#[derive(Debug, Args)]
#[command(after_help = "\
TABLE is schema.table, or table where only one schema has it; quote as in SQL: '\"Odd schema\".\"T\"'.
POINT is an id, latest, proven, before:RUN, before:INSTANT, run:ID, or the path or s3:// URL of a dump made elsewhere
(.sql, .sql.gz, pg_dump -Fc, -Fd or -Ft); or rds:INSTANT or rds:before:RUN, for which a temporary instance is made of the
configured rds_instance as it was then, read, and dropped again (docs/rds.md).
TARGET is a [target.NAME] of the configuration, env:VARIABLE, or a URL.
The rows first land in a schema of their own (holdpoint_ID) and are proven there; only then, and only with another mode
than side, is the live table changed: in one transaction, after the plan was shown. docs/recover-table.md says what
happens to triggers, foreign keys, identities, changed columns and the other hard cases.

Examples:
  holdpoint recover-table shop.orders --from before:2026-11-21T02:43:00Z
  holdpoint recover-table orders --from proven --mode missing --dry-run
  holdpoint recover-table orders order_lines --from proven --mode upsert --yes
  holdpoint recover-table users --from proven --mode upsert --where 'id in (4, 8)'
  holdpoint recover-table users --from proven --mode missing --columns phone
  holdpoint recover-table --schema billing --from proven
  holdpoint recover-table videos --from s3://acme-dumps/nightly.sql.gz
  holdpoint recover-table videos --from-database env:PITR_URL --mode missing
  holdpoint recover-table orders --from rds:2026-11-21T02:43:00Z --mode missing")]
pub(crate) struct RecoverTableArguments {
    /// Bring these tables back.
    #[arg(value_name = "TABLE", required_unless_present = "schema")]
    pub(crate) tables: Vec<TableName>,
    /// Bring back all tables of this schema.
    #[arg(long, value_name = "NAME", conflicts_with = "tables")]
    pub(crate) schema: Option<String>,
    /// Take them from here.
    #[arg(long, value_name = "POINT", value_parser = from, required_unless_present = "from_database")]
    pub(crate) from: Option<Selector>,
    /// Take them from another database, such as an instance restored to a point in time.
    #[arg(long, value_name = "TARGET", conflicts_with = "from")]
    pub(crate) from_database: Option<String>,
    /// Choose what is done with the rows.
    #[arg(long, value_enum, value_name = "MODE", default_value_t)]
    pub(crate) mode: Mode,
    /// Bring back only the rows for which this is true, over the table as it was.
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) condition: Option<String>,
    /// Fill only these columns of rows that are there; then=now where the column has another name now.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = column)]
    pub(crate) columns: Vec<ColumnPair>,
    /// Say which column has another name now; may be repeated.
    #[arg(long, value_name = "THEN=NOW", value_parser = renamed)]
    pub(crate) renamed: Vec<ColumnPair>,
    /// Name the live table, where it was renamed since.
    #[arg(long = "as", value_name = "TABLE")]
    pub(crate) now_named: Option<TableName>,
    /// Recover into this database instead of the one that the restore points are of.
    #[arg(long, value_name = "TARGET")]
    pub(crate) into: Option<String>,
    /// Let triggers fire, instead of holding them back.
    #[arg(long)]
    pub(crate) fire_triggers: bool,
    /// Keep the side tables after the change.
    #[arg(long)]
    pub(crate) keep_side: bool,
    /// Wait this long for locks on live tables.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = crate::quantity::parse_duration)]
    pub(crate) lock_wait: Duration,
    /// Only say what would be done.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask before live tables are changed.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Work with this many sessions.
    #[arg(long, short, value_name = "N", value_parser = jobs)]
    pub(crate) jobs: Option<usize>,
}

/// What is done with the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// Leave them in the side schema; live data stay as they are.
    #[default]
    Side,
    /// Insert rows whose key is gone.
    Missing,
    /// Insert rows whose key is gone and bring back those that changed.
    Upsert,
    /// Make the table hold exactly the restore point's rows.
    Replace,
}

impl From<Mode> for RecoverMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Side => Self::Side,
            Mode::Missing => Self::Missing,
            Mode::Upsert => Self::Upsert,
            Mode::Replace => Self::Replace,
        }
    }
}

fn column(text: &str) -> Result<ColumnPair, &'static str> {
    if text.contains('=') { renamed(text) } else { named(text, text) }
}

pub(super) fn renamed(text: &str) -> Result<ColumnPair, &'static str> {
    let (then, now) = text.split_once('=').ok_or("is written THEN=NOW")?;
    named(then, now)
}

fn named(then: &str, now: &str) -> Result<ColumnPair, &'static str> {
    match (then.trim(), now.trim()) {
        ("", _) | (_, "") => Err("a column has a name"),
        (then, now) => Ok(ColumnPair { then: then.to_owned(), now: now.to_owned() }),
    }
}
