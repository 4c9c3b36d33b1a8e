//! The archive crate against bytes made by hand, damaged bytes, and real programs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod blocks;
mod damage;
mod fixture;
mod head;
mod patch;
mod real;
mod rewrite;
mod selection;
mod stock;
mod stream;
