//! The contract of object storage, on every adapter; and what can go wrong on each.

#![expect(clippy::unwrap_used, reason = "a test ends where anything is wrong")]

mod between;
mod canned;
mod engine;
mod faults_credentials;
mod faults_ending;
mod faults_reading;
mod faults_writing;
mod lease;
mod local;
mod memory;
mod on_both;
mod probes;
mod publishing;
mod repository;
mod rights;
mod s3;
#[path = "../sample/mod.rs"]
mod sample;
mod suite;
