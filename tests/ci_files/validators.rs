//! Foreign programs that say whether a file is what it is meant to be.

use std::path::PathBuf;
use std::process::Command;

use holdpoint_testkit::{cache_directory, workspace_directory};

pub(crate) fn config(name: &str) -> PathBuf {
    workspace_directory().join("config").join(name)
}

pub(crate) fn text(name: &str) -> String {
    std::fs::read_to_string(config(name)).expect("the file is there")
}

/// Runs a validator on files; what it says, and whether it is content.
#[expect(clippy::disallowed_methods, reason = "the validators are foreign programs")]
pub(crate) fn validator(name: &str, arguments: &[&str], files: &[PathBuf]) -> (bool, String) {
    let program = cache_directory().join("ci-validators/bin").join(name);
    assert!(program.is_file(), "{} is missing: run scripts/setup ci-validators", program.display());
    let output = Command::new(program).args(arguments).args(files).output().expect("the validator starts");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Runs systemd's own validator; what it says, and whether it is content.
#[expect(clippy::disallowed_methods, reason = "the validator is a foreign program")]
pub(crate) fn systemd_analyze(arguments: &[&str], files: &[PathBuf]) -> (bool, String) {
    let output = Command::new("systemd-analyze").args(arguments).args(files).output();
    let output = output.expect("systemd-analyze is installed (Debian, Ubuntu: apt-get install systemd)");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
