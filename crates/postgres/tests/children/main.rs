//! PostgreSQL's own programs and scratch servers, as they really run.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod programs;
mod scratch;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::programs::{ClientProgram, ProgramName, ProgramSearch};
use holdpoint_testkit::postgresql_directory;
use tokio_util::sync::CancellationToken;

/// Looks into the tests' cache only.
fn search() -> ProgramSearch {
    ProgramSearch { cache: Some(postgresql_directory()), without_distributions: true, ..ProgramSearch::default() }
}

async fn client(name: ProgramName, major: u32) -> ClientProgram {
    search().find(name, major, &CancellationToken::new()).await.unwrap()
}

fn settings(url: &str) -> ConnectionSettings {
    ConnectionSettings::resolve(url, &Environment::default()).unwrap()
}

/// A folder that every user may enter.
fn open_directory() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("hp-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// Writes an executable shell script.
fn script(path: &Path, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_owned()
}

fn is_running(pid: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}
