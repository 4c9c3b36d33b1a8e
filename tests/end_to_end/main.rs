//! The `holdpoint` program against real PostgreSQL servers and a real S3 engine, as a person runs it.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that fails")]

mod at_once;
mod backfill;
mod bad_input;
mod benchmark;
mod check;
mod command_line;
mod compare;
mod cron;
mod guard;
mod guarded_tools;
mod matrix;
mod phases;
mod plan;
mod plan_runbooks;
mod prepare;
mod rds;
mod recover_table;
mod rehearse;
mod retention;
mod roles;
mod runbooks;
mod scene;
mod swap;
mod undo;
mod verify_roles;
mod verify_unproven;
mod watch;
mod web;
