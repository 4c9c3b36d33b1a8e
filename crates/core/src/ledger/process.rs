//! The process that works on a run.

use serde::{Deserialize, Serialize};

/// What tells whether a run's process lives, for whoever looks on the same machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The machine's name.
    pub host: String,
    /// The space in which the number counts, such as a container's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub space: Option<String>,
    /// Its number.
    pub pid: u32,
    /// When it began, in a form that only equals itself.
    pub started: String,
}
