//! What scripts and programs around `holdpoint` may rely on: its exit codes. Everything else is the program's own.

pub mod exit_code;
