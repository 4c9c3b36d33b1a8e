//! How RDS is reached, and how patient its client is.

use std::path::PathBuf;
use std::time::Duration;

pub use holdpoint_aws::CredentialSource;
use serde::{Deserialize, Serialize};

/// Where the control plane is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RdsOptions {
    /// The region of the instances; without it the profile's, the environment's or the machine's.
    pub region: Option<String>,
    /// The address of an endpoint other than Amazon's, for example a VPC endpoint's.
    pub endpoint: Option<String>,
    /// The profile in the AWS configuration files.
    pub profile: Option<String>,
    /// A PEM file with certificates to trust besides the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// How long one call may take, and how often it is tried. Tests make all of it small.
#[derive(Debug, Clone)]
pub struct Timing {
    /// To open a connection.
    pub connect_for: Duration,
    /// One attempt of a call until its answer.
    pub answer_for: Duration,
    /// One call with all its attempts and the pauses between them: no call takes longer, whatever its endpoint does.
    pub call_for: Duration,
    /// Attempts of one call. RDS throttles whole accounts, so there are more than the SDK's three.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles, with jitter.
    pub first_pause: Duration,
    /// The longest pause between attempts. All of them have to fit into the limit of a call.
    pub longest_pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect_for: Duration::from_secs(5),
            answer_for: Duration::from_secs(20),
            call_for: Duration::from_secs(60),
            attempts: 10,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(8),
        }
    }
}

impl Timing {
    /// As by default, with this limit of one call: all is shorter by as much as that is, so that a call which is throttled at
    /// every attempt comes to its last one, and is told as throttled rather than as not answered.
    #[must_use]
    pub fn within(call_for: Duration) -> Self {
        let default = Self::default();
        let scaled =
            |usual: Duration| usual.mul_f64((call_for.as_secs_f64() / default.call_for.as_secs_f64()).min(1.0));
        Self {
            connect_for: default.connect_for.min(scaled(default.answer_for)),
            answer_for: scaled(default.answer_for),
            call_for,
            attempts: default.attempts,
            first_pause: scaled(default.first_pause),
            longest_pause: scaled(default.longest_pause),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pauses_of_a_throttled_call_fit_into_it() {
        for limit in [Duration::from_millis(100), Duration::from_secs(60), Duration::from_secs(3600)] {
            let timing = Timing::within(limit);
            let pause = |failures: u32| timing.first_pause.saturating_mul(1 << failures).min(timing.longest_pause);
            let pauses: Duration = (0..timing.attempts - 1).map(pause).sum();
            assert!(pauses < limit.mul_f64(0.8), "{pauses:?} of {limit:?}");
            assert!(timing.answer_for <= limit / 3 && timing.connect_for <= timing.answer_for, "{timing:?}");
        }
    }
}
