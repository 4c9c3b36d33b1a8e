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
mod rds_aurora;
mod rds_cluster_refused;
mod rds_cut_over;
mod rds_gate;
mod rds_in_service;
mod rds_instant;
mod rds_lost_answers;
mod rds_moto;
mod rds_proofs;
mod rds_recover;
mod rds_refused;
mod rds_shop;
mod rds_snapshots;
mod rds_tokens;
mod rds_undo;
mod recover_table;
mod rehearse;
mod retention;
mod roles;
mod runbooks;
mod scene;
mod swap;
mod undo;
mod verify_unproven;
mod watch;
mod web;
