//! Flags of `rds`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use holdpoint_operations::rds::Moment;

use super::catalogue::reason;
use crate::quantity::{parse_duration, parse_pause};

/// Flags of `rds`.
#[derive(Debug, Args)]
#[command(after_help = "\
Credentials are found as the AWS client finds them. docs/rds.md has the least policy, what RDS does not copy, and costs.
What is made carries tags that begin with holdpoint: and is listed by holdpoint rds list until it is dropped.

Examples:
  holdpoint rds window shop-prod
  holdpoint rds plan shop-prod --at 2026-11-21T02:43:00Z
  holdpoint rds restore shop-prod --at before:20261121T024300Z-k3f9 --into shop-restored
  holdpoint rds restore shop-prod --at latest --into shop-look --temporary
  holdpoint rds restore shop-cluster --at latest --copy-on-write --into shop-look
  holdpoint rds wait shop-restored
  holdpoint rds cut-over shop-restored --dry-run
  holdpoint rds list
  holdpoint rds drop shop-look --dry-run")]
pub(crate) struct RdsArguments {
    #[command(subcommand)]
    pub(crate) verb: RdsVerb,
    #[command(flatten)]
    pub(crate) reach: ReachArguments,
}

/// How the control plane is reached.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Control plane")]
pub(crate) struct ReachArguments {
    /// Work in this region, instead of AWS_REGION's, the profile's or the machine's.
    #[arg(long, global = true, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// Use this profile of the AWS configuration files.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Reach the control plane at this address instead of Amazon's.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// Trust the certificates of this PEM file, too.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_bundle: Option<PathBuf>,
    /// Look this often while waiting [default: 15s].
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_pause)]
    pub(crate) poll: Option<Duration>,
    /// Give up waiting after this time; nothing is stopped by that [default: 6h].
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) wait_for: Option<Duration>,
}

/// What `rds` does.
#[derive(Debug, Subcommand)]
pub(crate) enum RdsVerb {
    /// Tell to which instants an instance or cluster can be restored, and what is missing where it cannot.
    #[command(after_help = "Examples:\n  holdpoint rds window shop-prod\n  holdpoint rds window shop-prod --json")]
    Window(WindowArguments),
    /// Tell what a restore would make: source and new instance side by side, quotas, names, costs.
    #[command(
        after_help = "Examples:\n  holdpoint rds plan shop-prod --at 2026-11-21T02:43:00Z --into shop-restored\n  holdpoint rds plan shop-cluster --at latest --copy-on-write"
    )]
    Plan(RestoreArguments),
    /// Restore an instance, or a cluster of Aurora, to an instant as a new one that is like its source.
    #[command(
        after_help = "A cluster gets one instance that is like its source's writer.\n\nExamples:\n  holdpoint rds restore shop-prod --at latest --into shop-restored --single-az\n  holdpoint rds restore shop-cluster --at 2026-11-21T02:43:00Z --into shop-then\n  holdpoint rds restore shop-cluster --at latest --copy-on-write --into shop-look --temporary"
    )]
    Restore(RestoreArguments),
    /// Go on with a restore that another process began, and wait for it.
    #[command(after_help = "Examples:\n  holdpoint rds wait shop-restored")]
    Wait(WaitArguments),
    /// Check the new instance's data and put it in the place of its source by renaming both; or take that back.
    #[command(
        after_help = "Examples:\n  holdpoint rds cut-over shop-restored --dry-run\n  holdpoint rds cut-over shop-prod --back"
    )]
    CutOver(CutOverArguments),
    /// List the instances and clusters that holdpoint made and that are still there.
    #[command(after_help = "Examples:\n  holdpoint rds list --json")]
    List,
    /// Make, list, copy, restore and drop snapshots of instances.
    Snapshot(SnapshotArguments),
    /// Drop an instance, or a cluster with its instances, that holdpoint made; never another.
    #[command(after_help = "Examples:\n  holdpoint rds drop shop-restored --final-snapshot shop-restored-last --yes")]
    Drop(DropArguments),
}

/// Arguments of `rds snapshot`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  holdpoint rds snapshot create shop-prod
  holdpoint rds snapshot list shop-prod
  holdpoint rds snapshot copy rds:shop-prod-2026-11-21-03-07 shop-kept
  holdpoint rds snapshot restore shop-kept --into shop-look --temporary
  holdpoint rds snapshot drop shop-kept --dry-run")]
pub(crate) struct SnapshotArguments {
    #[command(subcommand)]
    pub(crate) verb: SnapshotVerb,
}

/// What `rds snapshot` does.
#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotVerb {
    /// Make a snapshot of an instance, and a restore point of it for the database that is configured to be there; it costs
    /// until it is dropped.
    Create {
        /// The instance.
        #[arg(value_name = "INSTANCE")]
        instance: String,
        /// Name the snapshot [default: INSTANCE and the present instant]. With the name of one that was begun, go on.
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
        /// Record why.
        #[arg(long, value_name = "TEXT", value_parser = reason)]
        reason: Option<String>,
        /// Make the snapshot alone, and no restore point of it.
        #[arg(long, conflicts_with = "reason")]
        unrecorded: bool,
        /// Return as soon as RDS has begun.
        #[arg(long)]
        no_wait: bool,
    },
    /// List snapshots, also those that AWS makes by itself.
    List {
        /// Only of this instance.
        #[arg(value_name = "INSTANCE")]
        instance: Option<String>,
    },
    /// Copy a snapshot, so that it stays when its instance goes.
    Copy {
        /// The snapshot to copy.
        #[arg(value_name = "SNAPSHOT")]
        from: String,
        /// The copy's name.
        #[arg(value_name = "NAME")]
        name: String,
        /// Encrypt the copy with this key instead of the snapshot's.
        #[arg(long, value_name = "KEY")]
        kms_key: Option<String>,
        /// Return as soon as RDS has begun.
        #[arg(long)]
        no_wait: bool,
    },
    /// Restore a snapshot as a new instance that is like the one that it is of.
    Restore {
        /// The snapshot.
        #[arg(value_name = "SNAPSHOT")]
        snapshot: String,
        #[command(flatten)]
        new: NewArguments,
    },
    /// Drop a snapshot that holdpoint made; never another.
    Drop {
        /// The snapshot.
        #[arg(value_name = "SNAPSHOT")]
        name: String,
        /// Only say what would be dropped.
        #[arg(long)]
        dry_run: bool,
        /// Ask nobody.
        #[arg(long)]
        yes: bool,
    },
}

/// What a new instance shall be like.
#[derive(Debug, Args)]
pub(crate) struct NewArguments {
    /// Name the new instance [default: its source's name with -restored].
    #[arg(long, value_name = "NAME")]
    pub(crate) into: Option<String>,
    /// Take another class than the source's.
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<String>,
    /// Stand in one zone although the source stands in several.
    #[arg(long)]
    pub(crate) single_az: bool,
    /// Stand in several zones although the source stands in one.
    #[arg(long, conflicts_with_all = ["single_az", "temporary"])]
    pub(crate) multi_az: bool,
    /// For an instance that is soon dropped: one zone, no deletion protection, no backups of its own.
    #[arg(long)]
    pub(crate) temporary: bool,
    /// Return as soon as RDS has begun; holdpoint rds wait does the rest.
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// Only show the plan.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Arguments of `rds window`.
#[derive(Debug, Args)]
pub(crate) struct WindowArguments {
    /// The instance or cluster.
    #[arg(value_name = "INSTANCE")]
    pub(crate) source: String,
}

/// Arguments of `rds plan` and `rds restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// The instance or cluster to restore.
    #[arg(value_name = "INSTANCE")]
    pub(crate) source: String,
    /// Restore to this: an instant with its time zone, latest, before:RUN, right before a guarded run's command, or a restore
    /// point's instant.
    #[arg(long, value_name = "INSTANT|before:RUN|POINT|latest")]
    pub(crate) at: Moment,
    /// Clone a cluster: it shares its source's storage until either writes. Only with --at latest.
    #[arg(long)]
    pub(crate) copy_on_write: bool,
    #[command(flatten)]
    pub(crate) new: NewArguments,
}

/// Arguments of `rds wait`.
#[derive(Debug, Args)]
pub(crate) struct WaitArguments {
    /// The new instance or cluster.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// Arguments of `rds cut-over`.
#[derive(Debug, Args)]
pub(crate) struct CutOverArguments {
    /// The new instance, by its name of before or after the cut-over.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Name the source this while it is aside [default: its name with -old].
    #[arg(long, value_name = "NAME", conflicts_with = "back")]
    pub(crate) aside: Option<String>,
    /// Give the source its name back.
    #[arg(long)]
    pub(crate) back: bool,
    /// Do not check the data, for this reason: it is recorded.
    #[arg(long, value_name = "REASON", value_parser = reason, conflicts_with = "back")]
    pub(crate) unchecked: Option<String>,
    /// Only check the data and show the renames.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Ask nobody.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// Arguments of `rds drop`.
#[derive(Debug, Args)]
pub(crate) struct DropArguments {
    /// The instance or cluster.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Keep a last snapshot of this name; it costs until it is deleted.
    #[arg(long, value_name = "NAME")]
    pub(crate) final_snapshot: Option<String>,
    /// Drop it although it is protected against deletion.
    #[arg(long)]
    pub(crate) lift_protection: bool,
    /// Only say what would be dropped.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Ask nobody.
    #[arg(long)]
    pub(crate) yes: bool,
}
