//! `holdpoint cron`: backup, verification, prune and check of a database while nobody looks, and who is told.

mod message;
mod metrics;
mod ping;
mod remembered;
mod report;
mod run;
mod steps;

use std::sync::Arc;

use chrono::TimeDelta;
use holdpoint_core::Mask;
use holdpoint_core::cron::{Turn, Unrecorded};
use holdpoint_core::retention::RetentionPolicy;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backup::BackupOptions;
use crate::check::CheckOptions;
use crate::verify::VerifyOptions;
use crate::webhook::Delivery;

pub use message::{tell_each, tell_unbegun};
pub use metrics::{metrics, unrecorded};
pub use ping::{PingSign, ping};
pub use report::{CronReport, Facts, Failed, LeaseLeft, StepReport};
pub use run::cron;

/// How an unattended run of one database works.
#[derive(Clone)]
pub struct CronOptions {
    /// How restore points are made.
    pub backup: BackupOptions,
    /// How they are proven; `None`: not at all.
    pub verify: Option<VerifyOptions>,
    /// No proof is asked for while the newest one of the level is younger.
    pub verify_every: TimeDelta,
    /// What is kept; `None` drops nothing.
    pub retention: Option<RetentionPolicy>,
    /// As the option of the same name of prune.
    pub sweep_min_age: TimeDelta,
    /// How the repository is checked; `None`: not at all.
    pub check: Option<CheckOptions>,
    /// No check is asked for while the last one is younger.
    pub check_every: TimeDelta,
    /// When everything is to end.
    pub deadline: Option<Instant>,
    /// Nobody else ever does this: the store need not keep conditions.
    pub single_writer: bool,
    /// This run, from its begin to its end.
    pub turn: Turn,
    /// Notified as soon as the run has the lease, or fails otherwise than since another run has it.
    pub begins: Arc<Notify>,
    /// What earlier runs could not write down in the repository.
    pub unrecorded: Unrecorded,
    /// Who runs it, and who is told.
    pub telling: Telling,
}

/// Who runs it, and who is told.
#[derive(Clone)]
pub struct Telling {
    /// Machine and process, as others shall see them.
    pub owner: String,
    /// Who is told of failure, recovery and the first proof.
    pub webhook: Option<Delivery>,
    /// Masks what is told.
    pub mask: Mask,
}
