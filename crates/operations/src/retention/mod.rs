//! Retention: what is kept by pins, what is dropped by policy, and how a restore point goes.

pub(crate) mod dead;
mod fillers;
mod hidden;
mod holds;
mod outlook;
mod pins;
mod prune;
#[cfg(test)]
mod requests;

pub(crate) use pins::pins_over;

pub use dead::Outcome;
pub use hidden::Hidden;
pub use outlook::{NewestPoint, NewestProof, Outlook, outlook};
pub use pins::{PinEnd, PinOptions, PinReport, UnpinReport, UnreadablePin, pin, unpin};
pub use prune::{Dropped, GonePin, PruneOptions, PruneReport, Swept, prune};
