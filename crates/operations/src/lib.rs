//! The verbs: `XOptions` in, `XReport` out.
//!
//! Every verb takes a [`Context`]: the repository, whom to tell about progress, when to stop, and which clock to ask.
//! Reports serialize, and `--json` prints exactly them. No byte loops here (those are the engine's), no printing, no
//! reading of the environment.

pub mod adopt;
pub mod backfill;
pub mod backup;
pub mod catalogue;
pub mod check;
pub mod compare;
mod context;
pub mod cron;
mod database_properties;
pub mod doctor;
mod error;
mod error_kind;
mod expected;
pub mod hint;
pub mod init;
pub mod leftovers;
pub mod rds;
mod reading;
pub mod recover;
pub mod restore;
mod restored;
pub mod retention;
pub mod run_lock;
#[cfg(test)]
mod sample_context;
#[cfg(test)]
#[path = "../../repository/tests/sample/mod.rs"]
#[allow(dead_code, reason = "the repository's own tests need more of it")]
mod sample_points;
#[cfg(test)]
#[path = "../../repository/tests/withdrawal/schedule.rs"]
#[allow(dead_code, reason = "the repository's own tests need more of it")]
mod schedule;
pub mod schema_check;
pub mod selection;
pub mod status;
#[cfg(test)]
#[path = "../../repository/tests/withdrawal/stepped.rs"]
#[allow(dead_code, reason = "the repository's own tests need more of it")]
mod stepped;
pub mod verify;
pub mod watch;
pub mod webhook;

pub use context::{Clock, Context, Source};
pub use error::Error;
pub use error_kind::ErrorKind;
pub use reading::{READS_FOR, held};
pub use restored::PARALLEL_ABOVE_BYTES;
