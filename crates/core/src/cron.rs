//! The unattended run: its steps, which of them may run, and what is remembered from one run to the next.

mod history;
mod lease;
mod step;

pub use history::{CronEvent, CronHistory, Ended, KILLED, LeftLease, Unrecorded};
pub use lease::{LEASE_FORMAT, LeaseRecord, Turn, TurnBefore};
pub use step::{Step, StepEnd, is_due, may_run};
