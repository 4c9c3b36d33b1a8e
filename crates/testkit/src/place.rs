//! Short temporary folders that the servers' account may enter.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A socket's path must fit into 107 bytes; this leaves room for a folder and a socket name.
const LONGEST_BASE: usize = 60;

/// Makes a new folder with a short path, open to enter for everybody, to list and write for its owner.
///
/// # Panics
/// When no temporary folder can be entered by the account that runs servers.
pub(crate) fn short_directory(prefix: &str) -> PathBuf {
    let candidates = [std::env::temp_dir(), PathBuf::from("/tmp"), PathBuf::from("/var/tmp")];
    let base = candidates
        .iter()
        .find(|base| base.as_os_str().len() <= LONGEST_BASE && open_to_everybody(base))
        .expect("a temporary folder that every account may enter, such as /tmp");
    let directory =
        tempfile::Builder::new().prefix(prefix).rand_bytes(8).tempdir_in(base).expect("a new temporary folder").keep();
    set_mode(&directory, 0o711);
    directory
}

fn open_to_everybody(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    path.ancestors()
        .all(|ancestor| ancestor.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o001 != 0))
}

/// Sets the permission bits of a file or folder.
pub(crate) fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .unwrap_or_else(|error| panic!("cannot change the mode of {}: {error}", path.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_below_a_closed_one_is_not_open() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        set_mode(&inner, 0o755);
        set_mode(outer.path(), 0o700);
        assert!(!open_to_everybody(&inner));
        set_mode(outer.path(), 0o711);
        assert!(open_to_everybody(&inner));
    }
}
