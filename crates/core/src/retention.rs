//! Retention: which restore points are kept and which may be dropped, as a pure function with its reasons.
//!
//! The rules are those of the design's section 10. What makes them safe where age rules of other tools were not:
//! a restore point that is not proven fills no slot, the newest proven one is never dropped, and the span of
//! *keep within* ends at the newest proven point, so that backups which stopped, or which never restored, take nothing
//! with them as time goes by.

mod outlook;
mod plan;
mod policy;
mod slot;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use outlook::next_drop;
pub use plan::{DropReason, Entry, Fate, Held, Hold, KeepReason, RetentionPlan, plan};
pub use policy::RetentionPolicy;
pub use slot::{Slot, Unit};
