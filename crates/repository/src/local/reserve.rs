//! Room that is kept aside on the repository's disk: who wants to delete from a disk that is full must write first.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::key::RESERVED;

/// Marks and leases of a few restore points, each with its directories, whatever the size of a block.
const BYTES: usize = 256 << 10;

/// Whether the room may be given up.
#[derive(Debug, Default)]
pub(super) struct Reserve {
    may_go: AtomicBool,
}

impl Reserve {
    /// From now on a write that finds the disk full takes the room.
    pub(super) fn open(&self) {
        self.may_go.store(true, Ordering::Relaxed);
    }

    /// Keeps the room aside again, and for everybody.
    ///
    /// # Errors
    /// Those of the disk; nothing is left of a file that could not be written whole.
    pub(super) fn keep(&self, root: &Path) -> Result<()> {
        self.may_go.store(false, Ordering::Relaxed);
        let path = place(root);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file() && found.len() >= BYTES as u64) {
            return Ok(());
        }
        fill(&path).map_err(|error| {
            fs::remove_file(&path).ok();
            Error::from_io("write", &path.display().to_string(), error)
        })
    }

    /// Does some writing; where the disk is full and the room may go, it does it again without it.
    pub(super) fn or_without<T>(&self, root: &Path, write: impl Fn() -> Result<T>) -> Result<T> {
        match write() {
            Err(Error::Full { .. }) if self.may_go.load(Ordering::Relaxed) && fs::remove_file(place(root)).is_ok() => {
                tracing::info!(root = %root.display(), "the disk is full: the room that was kept aside is given up");
                write()
            }
            written => written,
        }
    }
}

fn place(root: &Path) -> PathBuf {
    root.join(format!("{RESERVED}reserve"))
}

/// Writes bytes that no file system makes smaller.
fn fill(path: &Path) -> io::Result<()> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(BYTES);
    while bytes.len() < BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_room_goes_once_where_it_may_and_is_kept_again() {
        let root = tempfile::tempdir().unwrap();
        let reserve = Reserve::default();
        let full = || Error::Full { action: "write", key: "a".to_owned() };
        let length = || fs::metadata(place(root.path())).map(|found| found.len()).unwrap_or_default();
        let tries = Cell::new(0);
        let write = || {
            tries.set(tries.get() + 1);
            if length() > 0 { Err(full()) } else { Ok(()) }
        };
        reserve.keep(root.path()).unwrap();
        assert_eq!(length(), BYTES as u64);
        // Whoever does not prune has no right to it.
        assert!(matches!(reserve.or_without(root.path(), write), Err(Error::Full { .. })));
        assert_eq!((tries.take(), length()), (1, BYTES as u64));
        reserve.open();
        reserve.or_without(root.path(), write).unwrap();
        assert_eq!((tries.take(), length()), (2, 0));
        // Where it is gone already, and for another failure, nothing is tried again.
        let always = || Err::<(), _>(full());
        assert!(reserve.or_without(root.path(), always).is_err());
        // Half of one counts for nothing.
        fs::write(place(root.path()), b"half").unwrap();
        reserve.keep(root.path()).unwrap();
        assert_eq!(length(), BYTES as u64);
        assert!(reserve.or_without(root.path(), write).is_err(), "kept again, it may not go");
    }
}
