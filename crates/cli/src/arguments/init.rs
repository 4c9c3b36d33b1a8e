//! Flags of `init`.

use clap::{Args, ValueEnum};

/// A role that works on a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyRole {
    /// Makes restore points; cannot delete.
    Writer,
    /// Reads everything, writes verifications only.
    Verifier,
    /// Makes, verifies, and keeps the ledger; cannot delete.
    Guard,
    /// Drops restore points.
    Pruner,
    /// Reads everything, writes nothing.
    Restorer,
    /// Makes, verifies and drops, unattended.
    Cron,
}

/// Flags of `init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdpoint init --repository s3://acme-backups/pg
  holdpoint init --print-policy writer > writer.json
  aws iam put-user-policy --user-name backup --policy-name holdpoint --policy-document file://writer.json
  holdpoint init --print-grants writer | psql -X \"$ADMIN_URL\"")]
pub(crate) struct InitArguments {
    /// Where restore points are there and holdpoint.json is gone, write it anew with the id that all of them name.
    #[arg(long, conflicts_with_all = ["print_policy", "print_grants"])]
    pub(crate) adopt: bool,
    /// Print the least S3 policy that this role needs, and do nothing else.
    #[arg(long, value_enum, value_name = "ROLE")]
    pub(crate) print_policy: Option<PolicyRole>,
    /// Print what this role needs in PostgreSQL, as a script for psql, and do nothing else.
    #[arg(long, value_enum, value_name = "ROLE", conflicts_with = "print_policy")]
    pub(crate) print_grants: Option<PolicyRole>,
}
