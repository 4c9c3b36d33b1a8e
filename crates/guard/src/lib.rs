//! Migrations under the gate: restore point, verification, run, ledger, way back.
//!
//! A run reads what is pending, asks the gate, gets a restore point that the gate accepts (making and proving one where
//! there is none), takes the run lock, looks at everything again, runs the command without holdpoint's own credentials,
//! and writes each step into the ledger. Everything before the lock can be prepared ahead of time. It never decides how
//! to undo; it says which command does.

mod command;
mod error;
mod guarded;
mod leads;
mod ledger_writer;
pub mod plan;
mod planned;
mod prepare;
mod prepared;
pub mod rehearse;
mod rehearsed;
pub mod run;
pub mod runs;
mod sessions;
mod shown;
mod start;
mod state;
pub mod tools;
mod way_back;

pub use error::Error;
pub use holdpoint_operations::run_lock::LockHolder;
pub use ledger_writer::{Applied, applied_by_runs};
pub use planned::{Migrations, ProjectMigrations, changed_since};
pub use prepared::{PrepareReport, prepare};
pub use rehearsed::Rehearsing;
pub use run::{ExitKind, GuardOptions, GuardReport, WayBack, guard};
pub use shown::{Question, Shown};
pub use way_back::shell_quote;
