//! The plain tools that a person without holdpoint has: a shell, the aws client.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use holdpoint_testkit::{Account, cache_directory};

use crate::outcome::Outcome;

/// Runs a script by `sh -e` in a folder, with nothing but the given environment.
///
/// # Panics
/// When the shell cannot be started.
#[must_use]
pub fn shell(folder: &Path, environment: &BTreeMap<String, String>, script: &str) -> Outcome {
    let mut command = Command::new("/bin/sh");
    command.args(["-e", "-c", script]).env_clear().envs(environment).current_dir(folder).stdin(Stdio::null());
    let output = command.output().expect("/bin/sh starts");
    Outcome::new(output.status, &output.stdout, &output.stderr)
}

/// Returns the folder with the real aws client, for `PATH`.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn aws() -> PathBuf {
    let folder = cache_directory().join("awscli/bin");
    assert!(folder.join("aws").is_file(), "{} is missing: run scripts/setup awscli", folder.display());
    folder
}

/// Whether this process may mount file systems and change users.
#[must_use]
pub fn is_root() -> bool {
    Account::for_servers().is_some()
}
