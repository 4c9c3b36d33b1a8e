//! Migrations under the gate: restore point, verification, run, ledger, way back.
//!
//! A run reads what is pending, asks the gate, gets a restore point that the gate accepts (making and proving one where
//! there is none), takes the run lock, looks at everything again, runs the command without holdpoint's own credentials,
//! judges by what is found, undoes the run where that was asked for, and writes each step into the ledger. Everything
//! before the lock can be prepared ahead of time. It never decides by itself how to undo.

mod after;
mod awaited;
mod command;
mod ending;
mod error;
mod guarded;
mod judgement;
mod leads;
mod ledger_writer;
mod locked;
mod look_again;
mod may_have_left;
mod messages;
mod origin;
pub mod plan;
mod planned;
mod prepare;
mod prepared;
mod proven;
mod reach;
mod recorded;
pub mod rehearse;
mod rehearsed;
mod rows_compared;
mod rows_written;
pub mod run;
mod running;
pub mod runs;
mod sessions;
mod shown;
mod shown_files;
mod spoken;
mod start;
mod state;
pub mod tools;
pub mod undo;
mod ways_back;

pub use error::Error;
pub use holdpoint_operations::run_lock::LockHolder;
pub use ledger_writer::{Applied, applied_by_runs};
pub use origin::commit;
pub use planned::{Migrations, ProjectMigrations, changed_since};
pub use prepared::{PrepareReport, prepare};
pub use rehearsed::Rehearsing;
pub use run::{ExitKind, GuardOptions, GuardReport, OnFailure, WayBack, guard};
pub use running::live::Observed;
pub use running::tool_lock::{ToolLockHolder, who_migrates};
pub use running::{Channel, HealthOptions, LOCK_TIMEOUT, RunOptions, Tee};
pub use shown::{Question, Shown};
pub use ways_back::shell_quote;
