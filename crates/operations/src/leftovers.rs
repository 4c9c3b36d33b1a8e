//! `holdpoint leftovers`: what holdpoint made and did not remove.

use chrono::{DateTime, Utc};
use serde::Serialize;

/// What kind of thing was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftoverKind {
    /// An upload that was neither finished nor aborted.
    UnfinishedUpload,
    /// Objects of a restore point without a manifest.
    OrphanObjects,
    /// A scratch server or its directory.
    ScratchServer,
    /// A scratch database on a given server.
    ScratchDatabase,
    /// A database that a restore replaced and kept.
    ReplacedDatabase,
}

/// Something that was left.
#[derive(Clone, Debug, Serialize)]
pub struct Leftover {
    /// What kind.
    pub kind: LeftoverKind,
    /// Where it is: a key, a directory, a database.
    pub place: String,
    /// How to tell it from others of its kind, such as an upload id.
    pub id: String,
    /// Since when, where that is known.
    pub since: Option<DateTime<Utc>>,
    /// Bytes it takes, where that is known.
    pub bytes: Option<u64>,
    /// Whether it was removed now.
    pub removed: bool,
    /// Why it was not removed, where it should have been.
    pub problem: Option<String>,
}

/// What was left.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LeftoversReport {
    /// Everything found.
    pub leftovers: Vec<Leftover>,
}

/// What to do about leftovers.
#[derive(Clone, Debug)]
pub struct LeftoversOptions {
    /// Remove what is certainly nobody's: older than `min_age_seconds`, or a scratch server whose keeper is gone.
    pub remove: bool,
    /// The age below which an upload may be one that runs now.
    pub min_age_seconds: i64,
    /// Where scratch servers live.
    pub scratch_directory: std::path::PathBuf,
}
