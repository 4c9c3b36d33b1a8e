//! Flags of `backup`.

use clap::{Args, ValueEnum};
use holdpoint_archive::Codec;
use holdpoint_core::verification::Level;
use holdpoint_postgres::programs::DumpSelection;

use super::{LimitArguments, level};

/// How the data are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackupFormat {
    /// A custom-format archive, which pg_restore reads.
    #[default]
    Archive,
    /// SQL text, for `gunzip | psql`.
    Plain,
}

/// Flags of `backup`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdpoint backup
  holdpoint backup --verify --reason 'before the orders rework'
  holdpoint backup --compress zstd --jobs 8
  holdpoint backup --max-rate 50M --max-lock-wait 10s --max-snapshot-age 2h
  holdpoint backup --exclude-table-data 'audit.*'")]
pub(crate) struct BackupArguments {
    /// Store a custom-format archive or SQL text.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: BackupFormat,
    /// Compress with gzip[:1-9], zstd[:1-22] (PostgreSQL 16 and later) or none.
    #[arg(long, value_name = "CODEC", default_value = "gzip")]
    pub(crate) compress: Codec,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
    /// Copy data of this size on disk and above with several sessions, smaller ones with one.
    #[arg(long, value_name = "SIZE", default_value = "8M", value_parser = crate::quantity::parse_bytes)]
    pub(crate) parallel_from: u64,
    /// Take only schemas that match.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) schema: Vec<String>,
    /// Leave out schemas that match.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude_schema: Vec<String>,
    /// Take only tables that match.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) table: Vec<String>,
    /// Leave out tables that match.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude_table: Vec<String>,
    /// Take tables that match without their rows.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude_table_data: Vec<String>,
    /// Give up when a table stays locked by somebody else for this long.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = crate::quantity::parse_duration)]
    pub(crate) lock_wait: std::time::Duration,
    /// Use client programs of this major, newer than the server's; the restore point then needs them too.
    #[arg(long, value_name = "MAJOR")]
    pub(crate) client_major: Option<u32>,
    /// Record why the restore point is made.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Verify the restore point when it is made, at level full unless another is given.
    #[arg(
        long,
        value_name = "LEVEL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "full",
        value_parser = level
    )]
    pub(crate) verify: Option<Level>,
}

impl BackupArguments {
    /// What pg_dump is to take; everything where nothing is named.
    pub(crate) fn selection(&self) -> DumpSelection {
        DumpSelection {
            schemas: self.schema.clone(),
            exclude_schemas: self.exclude_schema.clone(),
            tables: self.table.clone(),
            exclude_tables: self.exclude_table.clone(),
            exclude_table_data: self.exclude_table_data.clone(),
            extensions: Vec::new(),
        }
    }
}
