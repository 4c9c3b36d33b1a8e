//! Where `scripts/setup` put the servers.

use std::path::{Path, PathBuf};

/// The PostgreSQL majors that holdpoint supports, oldest first.
pub const MAJORS: [u32; 5] = [14, 15, 16, 17, 18];

/// The newest of [`MAJORS`].
pub const NEWEST: u32 = MAJORS[MAJORS.len() - 1];

/// Returns the cache folder: `HOLDPOINT_CACHE`, or `.cache` of the workspace.
///
/// # Panics
/// When it is absent: a missing server is a failed test, never a skipped one.
#[must_use]
pub fn cache_directory() -> PathBuf {
    let directory = match std::env::var_os("HOLDPOINT_CACHE") {
        Some(directory) => PathBuf::from(directory),
        None => workspace_directory().join(".cache"),
    };
    assert!(directory.is_dir(), "{} is missing: run scripts/setup", directory.display());
    directory.canonicalize().expect("the cache folder has a path")
}

/// Returns the folder of the workspace's `Cargo.toml`.
#[must_use]
pub fn workspace_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is two folders deep").to_owned()
}

/// Returns the folder with the programs of one PostgreSQL major (`postgres`, `initdb`, `pg_dump`, ...).
///
/// # Panics
/// When that major is not installed.
#[must_use]
pub fn bin_directory(major: u32) -> PathBuf {
    let directory = postgresql_directory().join(major.to_string()).join("bin");
    assert!(
        directory.join("postgres").is_file(),
        "PostgreSQL {major} is not in {}: run scripts/setup postgresql-{major}",
        directory.display()
    );
    directory
}

/// Returns the folder that holds `<major>/bin` for every installed major: what `HOLDPOINT_POSTGRESQL_DIRECTORY` names.
#[must_use]
pub fn postgresql_directory() -> PathBuf {
    cache_directory().join("postgresql")
}

/// Returns the SeaweedFS program.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn weed_program() -> PathBuf {
    let program = cache_directory().join("seaweedfs/weed");
    assert!(program.is_file(), "{} is missing: run scripts/setup seaweedfs", program.display());
    program
}

/// Returns moto's server.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub(crate) fn moto_program() -> PathBuf {
    let program = cache_directory().join("moto/bin/moto_server");
    assert!(program.is_file(), "{} is missing: run scripts/setup moto", program.display());
    program
}

/// Returns the folder that holds `node_modules` with a migration tool: `drizzle-0`, `drizzle-1`, `node-pg-migrate` or
/// `prisma`.
///
/// # Panics
/// When it is not installed.
#[must_use]
pub fn migration_tool(name: &str) -> PathBuf {
    let directory = cache_directory().join("migration-tools").join(name);
    assert!(directory.join("node_modules").is_dir(), "{name} is missing: run scripts/setup migration-tools");
    directory
}
