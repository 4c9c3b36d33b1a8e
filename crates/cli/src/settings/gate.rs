//! What the gate asks for.

use holdpoint_core::gate::Policy;

use super::Settings;
use crate::arguments::GuardArguments;

impl Settings {
    /// Makes the policy: flags, then the file, then a full proof made for this very run.
    pub(crate) fn policy(&self, arguments: &GuardArguments) -> Policy {
        let default = Policy::default();
        let max_age = arguments.max_age.or(self.config.gate.max_age);
        Policy {
            level: arguments.level.or(self.config.gate.level).unwrap_or(default.level),
            max_age_seconds: max_age
                .map_or(default.max_age_seconds, |age| i64::try_from(age.as_secs()).unwrap_or(i64::MAX)),
        }
    }
}
