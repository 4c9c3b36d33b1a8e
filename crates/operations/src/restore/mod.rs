//! `holdpoint restore`: a restore point, or a dump that holdpoint did not make, into a database.

mod alone;
mod beside;
mod emptied;
mod exchange;
pub(crate) mod folder_in_s3;
pub(crate) mod foreign;
mod maintenance;
mod mark;
mod replace;
mod roles;
mod run;
mod sessions;
pub mod swap;
mod target;
mod vacuum;

use std::path::PathBuf;
use std::sync::Arc;

use holdpoint_core::PointId;
use holdpoint_core::fingerprint::Difference;
use holdpoint_core::selector::Selector;
use holdpoint_core::verification::Compared;
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::programs::ProgramSearch;
use holdpoint_repository::ObjectStore;
use serde::Serialize;

pub(crate) use maintenance::is_worked_on;
pub(crate) use mark::{Mark, Successor};
pub use run::restore;

/// How a restore is made.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// What to restore.
    pub from: Selector,
    /// The database to restore into; it must exist and be empty, unless `replace` says otherwise.
    pub into: ConnectionSettings,
    /// Where client programs are looked for.
    pub programs: ProgramSearch,
    /// How many sessions work at a time.
    pub jobs: usize,
    /// From how many bytes of rows on several sessions load; [`PARALLEL_ABOVE_BYTES`](crate::PARALLEL_ABOVE_BYTES).
    pub parallel_above_bytes: u64,
    /// Replace what the target holds: only where the configuration marks it as non-production.
    pub replace: Option<Replace>,
    /// Leave owners as they fall, for targets that lack the roles.
    pub no_owner: bool,
    /// Leave grants out.
    pub no_privileges: bool,
    /// The production database, which `replace` never touches, told by identity.
    pub source: Option<ConnectionSettings>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Where a foreign dump with an `s3://` URL lies: the store, and the key in it.
    pub foreign: Option<(Arc<dyn ObjectStore>, String)>,
}

/// How a target that is not production is replaced.
#[derive(Clone, Debug)]
pub struct Replace {
    /// SQL that runs before anyone may connect, such as masking.
    pub after_sql: Option<PathBuf>,
    /// Keep the database that was there, under another name.
    pub keep_old: bool,
}

/// A restore that was made, or planned.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreReport {
    /// The restore point; `None` for a foreign dump.
    pub point: Option<PointId>,
    /// What was restored, in words.
    pub from: String,
    /// The target, without its password.
    pub into: String,
    /// Nothing was done: this is a plan.
    pub dry_run: bool,
    /// Bytes read.
    pub read_bytes: u64,
    /// What was compared with the fingerprint; `None` where there is none (a foreign dump).
    pub compared: Option<Compared>,
    /// What differs; the restore failed when there is any.
    pub differences: Vec<Difference>,
    /// Under which name the database that was there is kept.
    pub kept_as: Option<String>,
    /// Milliseconds.
    pub took_ms: u64,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}
