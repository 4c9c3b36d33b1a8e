//! What a backup may ask of the server.

use std::num::NonZeroU64;
use std::time::Duration;

use holdpoint_operations::backup::BackupLimits;

use super::Settings;
use crate::arguments::{Jobs, LimitArguments};

impl Settings {
    /// Gives how many jobs a backup works with, at most, and its limits: flags, then the file, then none.
    pub(crate) fn limits(&self, flags: &LimitArguments) -> (usize, BackupLimits) {
        let file = &self.config.backup;
        let jobs = flags.jobs.or(file.jobs).unwrap_or(Jobs::Auto);
        // Zero takes away what the file sets.
        let time = |limit: Option<Duration>| limit.filter(|limit| !limit.is_zero());
        let limits = BackupLimits {
            max_rate: flags.max_rate.or(file.max_rate).and_then(NonZeroU64::new),
            max_snapshot_age: time(flags.max_snapshot_age.or(file.max_snapshot_age)),
            max_lock_wait: time(flags.max_lock_wait.or(file.max_lock_wait)),
            choose_jobs: jobs == Jobs::Auto,
        };
        (self.jobs(jobs.number()), limits)
    }
}
