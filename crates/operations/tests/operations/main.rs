//! The verbs on real servers and a real local repository.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test stops at the first thing that fails")]

mod clock;
mod compare;
mod disproof;
mod doctor;
mod foreign;
mod keeper;
mod leftovers;
mod load;
mod mutated;
mod recover;
mod support;
mod tokens;
mod unproven;
mod vertical;
mod watch;
