//! A hermetic place in which the `holdpoint` program is run, for the end-to-end tests.
//!
//! [`Place`] is a home, a working directory, a scratch folder and a repository of its own; nothing of the caller's
//! environment reaches the program. Never use this crate outside of tests: it panics where anything is wrong.

#![expect(
    clippy::disallowed_methods,
    reason = "the tests run the finished program as a person would, and it is the only child they start"
)]

mod comparison;
mod outcome;
mod place;
mod processes;
mod running;
mod tools;
mod tree;

pub use comparison::{assert_same, contents, differing_parts};
pub use outcome::{Failure, Outcome};
pub use place::Place;
pub use processes::{Process, alive_with, kill, processes_with, resume, stop, wait_until_gone};
pub use running::Running;
pub use tools::{aws, is_root, shell};
pub use tree::Tree;

use std::path::PathBuf;

/// Returns the `holdpoint` program that cargo built beside the tests.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn program() -> PathBuf {
    let own = std::env::current_exe().expect("the test has a path");
    // target/<profile>/deps/<test>
    let folder = own.ancestors().nth(2).expect("cargo puts tests two folders deep");
    let program = folder.join("holdpoint");
    assert!(program.is_file(), "{} is missing: run cargo build --package holdpoint", program.display());
    program
}
