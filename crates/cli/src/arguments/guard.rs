//! Flags of `guard`.

use clap::Args;
use holdpoint_archive::Codec;
use holdpoint_core::verification::Level;

use super::{LimitArguments, level};

/// Reads a reason: who reads the ledger later wants one.
fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("say in words why nothing has to be proven".to_owned()),
        reason => Ok(reason.to_owned()),
    }
}

/// Flags of `guard`, and the command it guards.
#[derive(Debug, Args)]
#[command(
    override_usage = "holdpoint guard [FLAGS] -- COMMAND...",
    after_help = "Examples:
  holdpoint guard -- npm run db:migrate
  holdpoint guard --database shop -- npx prisma migrate deploy
  holdpoint guard --level stored --max-age 2h -- ./manage.py migrate
  holdpoint guard --unproven 'incident 4711, no disk for a copy' -- psql -f hotfix.sql"
)]
pub(crate) struct GuardArguments {
    /// Ask for a restore point proven at this level [default: full, or gate.level].
    #[arg(long, value_name = "LEVEL", value_parser = level)]
    pub(crate) level: Option<Level>,
    /// Accept a proven restore point of up to this age, such as 30m [default: 0, or gate.max_age].
    #[arg(long, value_name = "TIME", value_parser = crate::quantity::parse_duration)]
    pub(crate) max_age: Option<std::time::Duration>,
    /// Run although nothing is proven, and record this reason.
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub(crate) unproven: Option<String>,
    /// Accept a repository on this machine's own disk, by default or under CI.
    #[arg(long)]
    pub(crate) allow_local_repository: bool,
    /// Compress a restore point that has to be made with gzip[:1-9], zstd[:1-22] or none.
    #[arg(long, value_name = "CODEC", default_value = "gzip")]
    pub(crate) compress: Codec,
    #[command(flatten)]
    pub(crate) limits: LimitArguments,
    /// Use this server for the proof, instead of the configured one [env: HOLDPOINT_SCRATCH_URL].
    #[arg(long, value_name = "URL")]
    pub(crate) scratch_url: Option<String>,
    /// Replace a locale that the scratch server lacks by C, and say so: sort order is then not reproduced.
    #[arg(long)]
    pub(crate) replace_missing_locale: bool,
    /// Run this command, with its arguments, once the way back is proven.
    #[arg(last = true, required = true, num_args = 1.., value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}
