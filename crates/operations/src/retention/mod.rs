//! Retention: what is kept by pins, what is dropped by policy, and how a restore point goes.

mod holds;
mod pins;
mod prune;

pub use pins::{PinOptions, PinReport, UnpinReport, pin, unpin};
pub use prune::{Dropped, Outcome, PruneOptions, PruneReport, Swept, prune};
