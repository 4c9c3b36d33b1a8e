//! The contract of object storage, on every adapter; and what can go wrong on each.

mod local;
mod suite;
