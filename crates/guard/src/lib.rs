//! Migrations under the gate: restore point, verification, run, ledger, way back.
//!
//! First form: every run takes the run lock, gets a restore point that the gate accepts (making and proving one where
//! there is none), runs the command without holdpoint's own credentials, and writes each step into the ledger. It never
//! decides how to undo; it says which command does.

mod command;
mod error;
mod ledger_writer;
pub mod plan;
mod prepare;
pub mod rehearse;
pub mod run;
mod sessions;
mod start;
mod state;
pub mod tools;
mod way_back;

pub use error::Error;
pub use holdpoint_operations::run_lock::LockHolder;
pub use run::{ExitKind, GuardOptions, GuardReport, WayBack, guard};
pub use way_back::shell_quote;
