//! What the status of an instance means (user guide, "Viewing DB instance status").

use serde::{Deserialize, Serialize};

/// What a status means for somebody who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It can be used.
    Usable,
    /// It is on its way.
    Working,
    /// It stands still until somebody starts it.
    Stopped,
    /// It does not come back from there by itself.
    Broken,
    /// It is being deleted.
    Going,
}

/// Tells what a status means. A status that is not known counts as work: new ones are added to RDS from time to time,
/// and whoever waits gives up some time.
#[must_use]
pub fn standing(status: &str) -> Standing {
    match status {
        "available" | "storage-optimization" | "storage-config-upgrade" | "storage-initialization" => Standing::Usable,
        "stopped" => Standing::Stopped,
        "deleting" | "delete-precheck" => Standing::Going,
        "failed"
        | "restore-error"
        | "insufficient-capacity"
        | "storage-full"
        | "upgrade-failed"
        | "cloning-failed"
        | "migration-failed" => Standing::Broken,
        _ if status.starts_with("incompatible-") || status.starts_with("inaccessible-encryption") => Standing::Broken,
        _ => Standing::Working,
    }
}

/// A source that is neither in use nor stopped, in words.
pub(crate) fn unusual(status: &str) -> Option<String> {
    (!matches!(standing(status), Standing::Usable | Standing::Stopped)).then(|| format!("the source is {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_meaning() {
        for (status, expected) in [
            ("available", Standing::Usable),
            ("storage-optimization", Standing::Usable),
            ("creating", Standing::Working),
            ("backing-up", Standing::Working),
            ("modifying", Standing::Working),
            ("configuring-log-exports", Standing::Working),
            ("something-new", Standing::Working),
            ("stopped", Standing::Stopped),
            ("deleting", Standing::Going),
            ("failed", Standing::Broken),
            ("incompatible-restore", Standing::Broken),
            ("incompatible-network", Standing::Broken),
            ("incompatible-option-group", Standing::Broken),
            ("insufficient-capacity", Standing::Broken),
            ("cloning-failed", Standing::Broken),
            ("inaccessible-encryption-credentials-recoverable", Standing::Broken),
        ] {
            assert_eq!(standing(status), expected, "{status}");
        }
    }
}
