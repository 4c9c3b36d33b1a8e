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
}

/// Flags of `init`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdpoint init --repository s3://acme-backups/pg
  holdpoint init --print-policy writer > writer.json
  aws iam put-user-policy --user-name backup --policy-name holdpoint --policy-document file://writer.json")]
pub(crate) struct InitArguments {
    /// Print the least S3 policy that this role needs, and do nothing else.
    #[arg(long, value_enum, value_name = "ROLE")]
    pub(crate) print_policy: Option<PolicyRole>,
}
