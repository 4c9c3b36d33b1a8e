//! The engine on real servers: pass-through, read-back, digests of live databases.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that fails")]

mod copy_out;
mod pass_through;
