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
    /// The longest pause between attempts.
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
            longest_pause: Duration::from_secs(30),
        }
    }
}

impl Timing {
    /// As by default, with this limit of one call.
    #[must_use]
    pub fn within(call_for: Duration) -> Self {
        let default = Self::default();
        Self {
            connect_for: default.connect_for.min(call_for),
            answer_for: default.answer_for.min(call_for),
            call_for,
            ..default
        }
    }
}
