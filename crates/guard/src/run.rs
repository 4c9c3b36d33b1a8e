//! One guarded run.

use holdpoint_core::gate::{Decision, Policy};
use holdpoint_core::ledger::RunState;
use holdpoint_core::verification::Verification;
use holdpoint_core::{PointId, RunId};
use serde::Serialize;

/// How a command is guarded.
#[derive(Clone, Debug)]
pub struct GuardOptions {
    /// The command, word by word; at least one.
    pub command: Vec<String>,
    /// The whole environment of the command; holdpoint's own credentials are already left out.
    pub environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    /// What the gate asks for.
    pub policy: Policy,
    /// Run although nothing is proven, for this reason; recorded.
    pub unproven: Option<String>,
    /// Who runs it and where, in words.
    pub operator: Option<String>,
    /// Flags of this program that the way back must repeat to be pasteable, such as `--config X --database Y`.
    pub own_flags: Vec<String>,
}

/// A way to undo.
#[derive(Clone, Debug, Serialize)]
pub struct WayBack {
    /// What it does.
    pub title: String,
    /// The command, ready to paste.
    pub command: String,
    /// What is lost by it.
    pub data_lost: String,
    /// Seconds it will take, estimated; `None` when nothing was measured.
    pub estimated_seconds: Option<f64>,
}

/// A guarded run that ended.
#[derive(Clone, Debug, Serialize)]
pub struct GuardReport {
    /// The run.
    pub run: RunId,
    /// Where it stands.
    pub state: RunState,
    /// What the gate decided at first.
    pub decision: Decision,
    /// The restore point that it relied on.
    pub point: Option<PointId>,
    /// The verification made for it.
    pub verification: Option<Verification>,
    /// Exit code of the command.
    pub exit_code: Option<i32>,
    /// Signal that ended the command.
    pub signal: Option<i32>,
    /// Milliseconds that the command ran.
    pub command_took_ms: Option<u64>,
    /// What the database looks like now, against before: `unchanged`, `changed`, or `unknown`.
    pub database: &'static str,
    /// The ways back, best first.
    pub ways_back: Vec<WayBack>,
    /// What is worth knowing.
    pub warnings: Vec<String>,
}
