//! A scratch server on this machine: its keeper is the postgres crate's example.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use holdpoint_postgres::scratch::{LocalOptions, ScratchOptions};
use holdpoint_testkit::Cluster;

use crate::support;

/// The example beside this test's own binary; `cargo test --workspace` builds it.
fn keeper() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join("examples/scratch_keeper");
    assert!(path.exists(), "{}: run cargo build --package holdpoint-postgres --examples first", path.display());
    path
}

/// A folder that the server's user may enter.
pub(crate) fn base() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("hp-").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    directory
}

/// A private scratch server in `base`; its major is left to be found out.
pub(crate) fn local(cluster: &Cluster, base: &Path) -> ScratchOptions {
    let local = LocalOptions::new(support::programs(cluster), 0, base, keeper(), ["scratch-keeper"]);
    ScratchOptions::Local(Box::new(local))
}

pub(crate) fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}
