//! Flags of `verify`.

use clap::Args;
use holdpoint_core::selector::Selector;
use holdpoint_core::verification::Level;
use holdpoint_operations::verify::{RestoreAs, SampleOptions};

use super::{catalogue::POINTS, jobs, level};

/// Reads whose rights a restore shall have.
fn restore_as(text: &str) -> Result<RestoreAs, String> {
    text.parse()
}

/// Flags of `verify`.
#[derive(Debug, Args)]
#[command(after_help = format!("{POINTS}
Level stored reads everything back and checks every hash and row; level sampled besides loads the tables that --tables
names, and a share of the rest, into a scratch server and compares their rows; level full restores everything there and
compares rows, sequences, large objects and schema.

A snapshot of an RDS instance is proved at level instance: a temporary instance is made of it, every table is read to its
end there, and the instance is dropped again. Name it by its id; that costs, and --dry-run shows the instance.

With --oldest-unproven the proof may come later than the backup, such as at night: every restore point that lacks it is
verified, the oldest first, those that could not be verified before last. It ends with 0 when none is left without proof,
4 when one is disproved, 5 when one could not be verified or was left for another time. Snapshots are proven with --snapshots
alone, after all others, and no more than it says: the rest of them is no failure.

Examples:
  holdpoint verify
  holdpoint verify 20261121T024300Z-k3f9 --level stored
  holdpoint verify --level sampled --tables shop.orders --tables shop.customers --sample 5
  holdpoint verify --as rds
  holdpoint verify --oldest-unproven --max-runtime 2h
  holdpoint verify --oldest-unproven --level stored --dry-run
  holdpoint verify --oldest-unproven --snapshots 1 --max-runtime 3h
  holdpoint verify latest --scratch-url postgresql://admin@scratch.example.com/postgres"))]
pub(crate) struct VerifyArguments {
    /// Verify this restore point.
    #[arg(value_name = "POINT", default_value = "latest")]
    pub(crate) point: Selector,
    /// Verify all restore points that are not proven at this level, one after the other, the oldest first.
    #[arg(long, conflicts_with_all = ["point", "restore_as"])]
    pub(crate) oldest_unproven: bool,
    /// Begin nothing that would not end within this time, such as 2h, and end what is under way then.
    #[arg(long, value_name = "TIME", requires = "oldest_unproven", value_parser = crate::quantity::parse_duration)]
    pub(crate) max_runtime: Option<std::time::Duration>,
    /// Of the snapshots that lack a proof, prove so many besides, the newest first: each makes an instance, which costs.
    #[arg(long, value_name = "N", requires = "oldest_unproven", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) snapshots: Option<u16>,
    /// Go this far.
    #[arg(long, value_name = "LEVEL", default_value = "full", value_parser = level)]
    pub(crate) level: Level,
    /// Level sampled: load this share of the tables that are not named, by their bytes [default: 10].
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) sample: Option<u8>,
    /// Level sampled: load this table in any case (schema.table); may be repeated.
    #[arg(long, value_name = "TABLE")]
    pub(crate) tables: Vec<String>,
    /// Level sampled: choose the same share again (the record of a verification names its seed).
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Restore with the rights of the database's owner, or of a master user of Amazon RDS, instead of a superuser's; what
    /// such a role is refused makes the verdict "could not run", and is listed.
    #[arg(long = "as", value_name = "ROLE", value_parser = restore_as)]
    pub(crate) restore_as: Option<RestoreAs>,
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

impl VerifyArguments {
    /// What level sampled shall load, where any of its flags is given.
    pub(crate) fn sample(&self) -> Option<SampleOptions> {
        if self.sample.is_none() && self.tables.is_empty() && self.seed.is_none() {
            return None;
        }
        let percent = self.sample.unwrap_or(SampleOptions::default().percent);
        Some(SampleOptions { percent, tables: self.tables.clone(), seed: self.seed })
    }
}
