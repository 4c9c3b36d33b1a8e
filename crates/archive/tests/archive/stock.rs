//! Databases of a real server, and what the stock programs say of archives.

use std::path::{Path, PathBuf};

use holdpoint_testkit::Cluster;

/// A database of the shared server, dropped at the end.
pub(crate) struct Database<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) name: String,
}

impl<'a> Database<'a> {
    pub(crate) fn new(cluster: &'a Cluster, name: &str) -> Self {
        cluster.create_database(name);
        Self { cluster, name: name.to_owned() }
    }

    pub(crate) fn sample(cluster: &'a Cluster, name: &str) -> Self {
        let database = Self::new(cluster, name);
        cluster.psql(name, include_str!("sample.sql"));
        database
    }

    /// The whole database as a script.
    pub(crate) fn script(&self) -> Vec<u8> {
        without_random_lines(&self.cluster.pg_dump(&self.name, &["-Fp"]))
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.cluster.drop_database(&self.name);
        }
    }
}

/// Scripts begin and end with a key that is made up each time (`\restrict`).
pub(crate) fn without_random_lines(script: &[u8]) -> Vec<u8> {
    let kept = script
        .split_inclusive(|byte| *byte == b'\n')
        .filter(|line| !line.starts_with(b"\\restrict ") && !line.starts_with(b"\\unrestrict "));
    kept.flatten().copied().collect()
}

#[track_caller]
pub(crate) fn restore(cluster: &Cluster, arguments: &[&str]) -> Vec<u8> {
    finished(cluster.pg_restore(arguments), arguments)
}

#[track_caller]
pub(crate) fn restore_from_pipe(cluster: &Cluster, arguments: &[&str], archive: &[u8]) -> Vec<u8> {
    finished(cluster.pg_restore_from(arguments, archive), arguments)
}

#[track_caller]
fn finished(output: std::process::Output, arguments: &[&str]) -> Vec<u8> {
    let said = String::from_utf8_lossy(&output.stderr);
    let complaint = |line: &str| !line.is_empty() && !line.starts_with("WARNING: password file");
    assert!(
        output.status.success() && !said.lines().any(complaint),
        "pg_restore {arguments:?}: {}: {said}",
        output.status
    );
    output.stdout
}

pub(crate) fn list(cluster: &Cluster, file: &str) -> Vec<String> {
    let listing = String::from_utf8_lossy(&restore(cluster, &["--list", file])).into_owned();
    // The compression is what was changed.
    listing.lines().filter(|line| !line.starts_with(";     Compression:")).map(str::to_owned).collect()
}

pub(crate) fn write(directory: &Path, name: &str, archive: &[u8]) -> PathBuf {
    let file = directory.join(name);
    std::fs::write(&file, archive).unwrap();
    file
}
