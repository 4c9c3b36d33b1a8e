//! Guarded runs on real servers and a real local repository.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test stops at the first thing that fails")]

mod at_work;
mod between;
mod damaged;
mod judging;
mod planning;
mod refusing;
mod running;
mod support;
mod tools;
mod unshown;
