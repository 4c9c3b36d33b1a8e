//! The scratch directory: made, locked, read and removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::keeper::KeeperSpec;
use crate::program::RunAs;

/// Every scratch directory's name starts with this; nothing else is ever swept.
pub const SCRATCH_PREFIX: &str = "holdpoint-scratch-";

/// Every socket directory outside of its scratch directory bears this name.
pub const SOCKET_PREFIX: &str = "holdpoint-socket-";

const LOCK: &str = "keeper.lock";
const LOG: &str = "scratch.log";
const SOCKET_PATH: &str = "socket-path";
const LOG_TAIL_BYTES: u64 = 16 * 1024;

/// Tells whether the path's name starts with the prefix.
pub(super) fn is_named(path: &Path, prefix: &str) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix))
}

/// A scratch directory whose lock this process holds.
#[derive(Debug)]
pub(super) struct ScratchDirectory {
    path: PathBuf,
    socket_directory: Option<PathBuf>,
    _lock: File,
}

impl ScratchDirectory {
    /// Makes the directory with its folders and files, locked from the moment it can be seen to have a lock.
    pub(super) fn make(spec: &KeeperSpec) -> io::Result<Self> {
        let socket_is_named = spec.socket_directory.iter().all(|path| is_named(path, SOCKET_PREFIX));
        if !is_named(&spec.directory, SCRATCH_PREFIX) || !socket_is_named {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a scratch directory's name"));
        }
        // The server's user must be able to pass, and nobody to look.
        let mode = if spec.run_as.is_some() { 0o711 } else { 0o700 };
        DirBuilder::new().mode(0o700).create(&spec.directory)?;
        // A umask takes rights away from what is made, not from what is set.
        let passable = fs::set_permissions(&spec.directory, fs::Permissions::from_mode(mode));
        let made = passable.and_then(|()| Self::furnish(spec));
        if made.is_err()
            && let Err(error) = fs::remove_dir_all(&spec.directory)
        {
            tracing::warn!(directory = %spec.directory.display(), %error, "scratch directory not removed");
        }
        made
    }

    fn furnish(spec: &KeeperSpec) -> io::Result<Self> {
        let unnamed = spec.directory.join("lock-in-the-making");
        let lock = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unnamed)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(&unnamed, spec.directory.join(LOCK))?;
        let made = Self { path: spec.directory.clone(), socket_directory: spec.socket_directory.clone(), _lock: lock };
        if let Some(socket) = &spec.socket_directory {
            let text = socket.to_str().ok_or_else(|| io::Error::other("socket path is not UTF-8"))?;
            fs::write(spec.directory.join(SOCKET_PATH), text)?;
            make_owned(socket, spec.run_as)?;
        }
        for folder in &spec.folders {
            make_owned(&spec.directory.join(below(folder)?), spec.run_as)?;
        }
        for file in &spec.files {
            let path = spec.directory.join(below(&file.path)?);
            let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
            opened.write_all(file.text.as_bytes())?;
            give(&path, spec.run_as)?;
        }
        Ok(made)
    }

    /// Locks the directory of a keeper that is gone; `None` when its keeper lives or another one is removing it.
    pub(super) fn lock_abandoned(path: &Path) -> io::Result<Option<Self>> {
        let lock = match OpenOptions::new().write(true).open(path.join(LOCK)) {
            Ok(lock) => lock,
            // Killed between making the directory and its lock.
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(path)?,
            Err(error) => return Err(error),
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let socket_directory = fs::read_to_string(path.join(SOCKET_PATH)).ok().map(PathBuf::from);
        Ok(Some(Self { path: path.to_owned(), socket_directory, _lock: lock }))
    }

    /// Tells whether the directory has a lock file: without one its keeper may just be making it.
    pub(super) fn has_lock(path: &Path) -> bool {
        path.join(LOCK).exists()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log for a child's stdout or stderr.
    pub(super) fn log(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.path.join(LOG))
    }

    /// Returns the last part of the log.
    pub(super) fn log_tail(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(self.path.join(LOG))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Removes the socket directory, then the directory that names it. Tries again for a while: a killed server's processes may
    /// still be writing.
    pub(super) fn remove(self) -> io::Result<()> {
        if let Some(socket) = &self.socket_directory
            && is_named(socket, SOCKET_PREFIX)
        {
            remove_tree(socket)?;
        }
        remove_tree(&self.path)
    }
}

fn remove_tree(path: &Path) -> io::Result<()> {
    let mut attempts = 0;
    loop {
        match fs::remove_dir_all(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.exists() => return Ok(()),
            Err(error) if attempts == 40 => return Err(error),
            Err(_) => {}
        }
        attempts += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Refuses paths that lead out of the scratch directory.
fn below(path: &Path) -> io::Result<&Path> {
    let inside = path.components().all(|component| matches!(component, Component::Normal(_)));
    if inside { Ok(path) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "path leads out of the directory")) }
}

fn make_owned(path: &Path, user: Option<RunAs>) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    give(path, user)
}

fn give(path: &Path, user: Option<RunAs>) -> io::Result<()> {
    user.map_or(Ok(()), |user| chown(path, Some(user.uid), Some(user.gid)))
}

/// Tells whether a real directory, not a link to one, belongs to us.
pub(super) fn is_ours(path: &Path) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw())
}
