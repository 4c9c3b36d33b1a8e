//! Child programs: process groups, drained stderr, cancellation, time-outs, the scratch keeper, the rehearsal cell.
//!
//! This is the only crate that starts programs. It never passes on its own environment, never puts an
//! environment or a command line into an error, and ends what it started.

pub mod cell;
pub mod keeper;

mod error;
mod fifo;
mod forwarder;
mod group;
mod mark;
mod program;
mod running;
mod tail;
mod terminal;

pub use error::Error;
pub use fifo::{make_fifo, open_fifo};
pub use forwarder::{Destination, Forwarder};
pub use mark::{Mark, group_is_there};
pub use program::{Program, RunAs, Stderr, Stdin, Stdout, Survivors};
pub use running::{Ended, Running, Status};
pub use tail::TAIL_BYTES;
