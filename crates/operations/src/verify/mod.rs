//! `holdpoint verify`: a restore point is read back, restored, and compared with its fingerprint.

mod began;
mod damage;
mod feasible;
mod full;
mod kept;
mod lesser;
mod plan;
mod roles;
mod run;
mod sample;
mod scratch;
mod twice;
mod unproven;
mod unproven_run;

use holdpoint_core::PointId;
use holdpoint_core::verification::{Level, Verification};
use holdpoint_postgres::programs::ProgramSearch;
use holdpoint_postgres::scratch::ScratchOptions;
use serde::Serialize;

pub(crate) use began::began;
pub(crate) use damage::{DamageFound, record_damage};
pub use feasible::feasible;
pub use kept::{KeptCopy, KeptVerification};
pub use lesser::RestoreAs;
pub(crate) use lesser::refused;
pub use plan::plan;
pub use run::{verify, verify_and_keep};
pub(crate) use scratch::{extension_obstacles, obstacle_to_start, preload};
pub(crate) use twice::{perhaps_on_the_way, read_twice};
pub use unproven::{
    FailedPoint, Left, LeftReason, SnapshotProofs, Unproven, UnprovenOptions, UnprovenPlan, UnprovenReport,
    plan_unproven,
};
pub use unproven_run::verify_unproven;

/// What level *sampled* loads besides reading everything back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleOptions {
    /// The share of the tables that are not named, in percent of their bytes.
    pub percent: u8,
    /// Tables that are loaded in any case, as `schema.table` or by their name alone: those at risk.
    pub tables: Vec<String>,
    /// What the share is chosen by; the context's seed by default.
    pub seed: Option<u64>,
}

impl Default for SampleOptions {
    /// A tenth, and none by name.
    fn default() -> Self {
        Self { percent: 10, tables: Vec::new(), seed: None }
    }
}

/// How a restore point is verified.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// How far to go.
    pub level: Level,
    /// Restore with fewer rights than the scratch server's role has, for level *full*.
    pub restore_as: Option<RestoreAs>,
    /// What is loaded, for level *sampled*.
    pub sample: SampleOptions,
    /// The scratch server.
    pub scratch: ScratchOptions,
    /// Where client programs are looked for.
    pub programs: ProgramSearch,
    /// Replace a locale that the scratch server lacks by C: the verdict then says that sort order is not reproduced.
    pub replace_missing_locale: bool,
    /// How many pieces are checked and sessions compare at a time.
    pub jobs: usize,
    /// From how many bytes of rows on several sessions load; [`PARALLEL_ABOVE_BYTES`](crate::PARALLEL_ABOVE_BYTES).
    pub parallel_above_bytes: u64,
}

/// What a verification will take, known before it starts.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyPlan {
    /// The restore point.
    pub point: PointId,
    /// How far it goes.
    pub level: Level,
    /// Bytes read from the repository.
    pub read_bytes: u64,
    /// Bytes of disk that the scratch server will need, estimated.
    pub disk_needed_bytes: u64,
    /// Bytes of disk that are free for it, where that is known.
    pub disk_available_bytes: Option<u64>,
    /// Seconds, estimated from earlier verifications; `None` when there were none.
    pub estimated_seconds: Option<f64>,
    /// The scratch server, in words.
    pub scratch: String,
}

/// A verification that was made and recorded.
#[derive(Clone, Debug, Serialize)]
pub struct VerifyReport {
    /// What was planned.
    pub plan: VerifyPlan,
    /// The record, as stored.
    pub verification: Verification,
}
