//! Retention: which restore points are kept and which may be dropped, as a pure function with its reasons.
//!
//! The rules are those of the design's section 10. What makes them safe where age rules of other tools were not:
//! a restore point that is not proven fills no slot, the newest proven one of each level is never dropped, and the span
//! of *keep within* ends at the newest proven point, so that backups which stopped, or which never restored, take nothing
//! with them as time goes by. What holds a part of a database, carries a label, lacks objects, or was stamped by a clock
//! that is wrong, counts for no other one.

mod fate;
mod held;
mod outlook;
mod plan;
mod policy;
mod slot;

#[cfg(test)]
mod clocks;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod set_aside_tests;
#[cfg(test)]
mod tests;

pub use fate::{DropReason, Entry, Fate, KeepReason, RetentionPlan};
pub use held::{Aside, Held, Hold, WRONG_CLOCK};
pub use outlook::next_drop;
pub use plan::plan;
pub use policy::RetentionPolicy;
pub use slot::{Slot, Unit};
