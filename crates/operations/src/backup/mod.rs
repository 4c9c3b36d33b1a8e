//! `holdpoint backup`: a restore point of a live database.

mod checks;
mod clocks;
mod copy;
mod globals;
mod identity;
mod limits;
mod passage;
mod recipe;
mod run;
mod unpublished;
mod watch;

use chrono::{DateTime, Utc};
use holdpoint_archive::Codec;
use holdpoint_core::manifest::PointFormat;
use holdpoint_core::{Manifest, RunId};
use holdpoint_postgres::programs::DumpSelection;
use serde::Serialize;

pub(crate) use checks::direct;
pub(crate) use clocks::{Clocks, apart_from_store};
pub(crate) use identity::{FolderOwner, claim_folder, folder_owner};
pub use limits::BackupLimits;
pub(crate) use recipe::shell;
pub use run::backup;

/// How a restore point is made.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// A custom-format archive, or SQL text.
    pub format: PointFormat,
    /// How data are compressed.
    pub codec: Codec,
    /// How many pieces are worked on at a time; at most, where the limits leave the number to holdpoint.
    pub jobs: usize,
    /// What the backup may ask of the server.
    pub limits: BackupLimits,
    /// Data smaller than this on the source's disk are copied by pg_dump's own session.
    pub parallel_from_bytes: u64,
    /// What is dumped; everything by default.
    pub selection: DumpSelection,
    /// How long pg_dump may wait for a table's lock before it gives up, in seconds.
    pub lock_wait_seconds: u64,
    /// Until when the store shall refuse to delete the objects (Object Lock).
    pub retain_until: Option<DateTime<Utc>>,
    /// Why the point is made.
    pub reason: Option<String>,
    /// A mark by which it can be recognised.
    pub label: Option<String>,
    /// The guarded run that it is made for.
    pub run: Option<RunId>,
}

/// What [`BackupOptions::parallel_from_bytes`] is by default: below it, opening sessions takes longer than copying.
pub const PARALLEL_FROM_BYTES: u64 = 8 << 20;

/// Which engine copied the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "engine", rename_all = "kebab-case")]
pub enum Engine {
    /// Several sessions in one snapshot.
    Parallel {
        /// How many.
        sessions: usize,
    },
    /// pg_dump's own session.
    PassThrough {
        /// Why not several.
        #[serde(rename = "engine_reason")]
        reason: String,
    },
}

impl Engine {
    pub(crate) fn is_pass_through(&self) -> bool {
        matches!(self, Self::PassThrough { .. })
    }
}

/// A restore point that was made.
#[derive(Clone, Debug, Serialize)]
pub struct BackupReport {
    /// Its manifest, as published.
    pub manifest: Manifest,
    /// Which engine copied the rows, and why not the parallel one.
    #[serde(flatten)]
    pub engine: Engine,
    /// Milliseconds from the start to the published manifest.
    pub took_ms: u64,
    /// What is worth knowing although the restore point stands.
    pub warnings: Vec<String>,
}
