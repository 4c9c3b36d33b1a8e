//! Where a guarded run came from.

use serde::{Deserialize, Serialize};

/// Who ran it, where, and from which state of the project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The commit that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The person or account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// The page of the CI job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}
