//! Putting a finished file in its place, without ever replacing one by accident and without losing it to a crash.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use chrono::{DateTime, Utc};
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::key::{RESERVED, check_key};
use crate::store::ObjectInfo;

/// Temporary files are `.holdpoint-upload-<nonce>.<file name>`.
pub(super) const TEMPORARY: &str = ".holdpoint-upload-";

/// What a small write demands of the object it writes.
#[derive(Debug, Clone)]
pub(super) enum Expected {
    /// It must not exist.
    Absent,
    /// It must be the one with this ETag.
    Etag(String),
}

/// A text that changes when a file is replaced: every write makes a new file, so inode and time differ.
pub(super) fn etag_of(found: &fs::Metadata) -> String {
    format!("{:x}-{:x}.{:x}-{:x}", found.ino(), found.mtime(), found.mtime_nsec(), found.size())
}

pub(super) fn object_info(key: &str, found: &fs::Metadata) -> io::Result<ObjectInfo> {
    Ok(ObjectInfo {
        key: key.to_owned(),
        size_bytes: found.len(),
        etag: etag_of(found),
        modified_at: found.modified()?.into(),
        checksum: None,
        metadata: std::collections::BTreeMap::new(),
        retain_until: None,
        legal_hold: false,
    })
}

/// Creates the directory and its missing parents (mode 0700) and makes each durable in its parent.
pub(super) fn make_directories(root: &Path, directory: &Path) -> io::Result<()> {
    if directory == root || directory.is_dir() {
        return Ok(());
    }
    let Some(parent) = directory.parent() else { return Ok(()) };
    make_directories(root, parent)?;
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => sync_directory(parent),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Creates a temporary file beside `target`.
pub(super) fn create_temporary(root: &Path, target: &Path, nonce: &str) -> io::Result<(File, PathBuf)> {
    let directory = target.parent().unwrap_or(root);
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let path = directory.join(format!("{TEMPORARY}{nonce}.{name}"));
    let mut attempt = 0;
    loop {
        let made = make_directories(root, directory);
        match made.and_then(|()| OpenOptions::new().write(true).read(true).create_new(true).mode(0o600).open(&path)) {
            Ok(file) => return Ok((file, path)),
            // A deletion beside us took an empty directory away in between.
            Err(e) if e.kind() == io::ErrorKind::NotFound && attempt < 5 => attempt += 1,
            Err(e) => return Err(e),
        }
    }
}

/// Gives the temporary file its name; fails with `AlreadyExists` when that is taken.
pub(super) fn publish_new(temporary: &Path, target: &Path) -> io::Result<()> {
    match renameat_with(CWD, temporary, CWD, target, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        // Network file systems often lack the flag; a hard link refuses to replace as well.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(temporary, target)?;
            fs::remove_file(temporary)?;
        }
        Err(e) => return Err(e.into()),
    }
    target.parent().map_or(Ok(()), sync_directory)
}

/// Writes a small object and returns its ETag. Nothing is left behind on failure.
pub(super) fn write_small(
    root: &Path,
    key: &str,
    target: &Path,
    nonce: &str,
    body: &[u8],
    expected: &Expected,
) -> Result<String> {
    let fail = |e| Error::from_io("write", key, e);
    let directory = target.parent().unwrap_or(root);
    // Nothing is made, no directory either, for a write that cannot succeed.
    let _lock = match expected {
        Expected::Absent => None,
        Expected::Etag(etag) => {
            let changed = || Error::PreconditionFailed { action: "replace", key: key.to_owned() };
            let lock = lock_directory(directory).map_err(|_| changed())?;
            let found = fs::symlink_metadata(target).map_err(|_| changed())?;
            if etag_of(&found) != *etag {
                return Err(changed());
            }
            Some(lock)
        }
    };
    let (mut file, temporary) = create_temporary(root, target, nonce).map_err(fail)?;
    let written = (|| {
        file.write_all(body)?;
        file.sync_all()?;
        let etag = etag_of(&file.metadata()?);
        match expected {
            Expected::Absent => publish_new(&temporary, target)?,
            Expected::Etag(_) => {
                fs::rename(&temporary, target)?;
                sync_directory(directory)?;
            }
        }
        Ok(etag)
    })();
    written.map_err(|e| {
        remove_quietly(&temporary);
        fail(e)
    })
}

/// Locks a directory against replacements and deletions by other holdpoint processes, until the file is dropped.
fn lock_directory(directory: &Path) -> io::Result<File> {
    let file = File::open(directory)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Removes a file, and the directories below `root` that are empty then. An absent file counts as removed.
pub(super) fn remove(root: &Path, path: &Path) -> io::Result<()> {
    let directory = path.parent().unwrap_or(root);
    let absent = |kind| matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let lock = match lock_directory(directory) {
        Ok(lock) => lock,
        Err(e) if absent(e.kind()) => return Ok(()),
        Err(e) => return Err(e),
    };
    match fs::remove_file(path) {
        Ok(()) => lock.sync_all()?,
        Err(e) if absent(e.kind()) => {}
        Err(e) => return Err(e),
    }
    let mut empty = directory;
    while empty != root && fs::remove_dir(empty).is_ok() {
        match empty.parent() {
            Some(parent) => empty = parent,
            None => break,
        }
    }
    Ok(())
}

/// Removes a temporary file after a failure that is already being reported.
pub(super) fn remove_quietly(temporary: &Path) {
    if let Err(error) = fs::remove_file(temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %temporary.display(), %error, "temporary file remains");
    }
}

/// The path of a temporary file from its id, which must name one: nothing else can be removed this way.
pub(super) fn temporary_path(root: &Path, id: &str) -> Result<PathBuf> {
    let fail = |reason| Error::InvalidKey { key: id.to_owned(), reason };
    let path = Path::new(id);
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    if !name.starts_with(TEMPORARY) || !path.components().all(|c| matches!(c, Component::Normal(_))) {
        return Err(fail("does not name an unfinished upload"));
    }
    if let Some(parent) = path.parent().and_then(Path::to_str).filter(|p| !p.is_empty()) {
        check_key(parent)?;
    }
    Ok(root.join(path))
}

/// The key that a temporary file was to become.
pub(super) fn key_of_temporary(prefix: &str, name: &str) -> Option<String> {
    let (_, target) = name.strip_prefix(TEMPORARY)?.split_once('.')?;
    Some(format!("{prefix}{target}"))
}

/// Reads the file system's clock from the time of a file made now.
pub(super) fn file_system_time(root: &Path) -> Result<DateTime<Utc>> {
    let fail = |e| Error::from_io("read clock of", &root.display().to_string(), e);
    let file = tempfile::Builder::new().prefix(&format!("{RESERVED}clock-")).tempfile_in(root).map_err(fail)?;
    Ok(file.as_file().metadata().and_then(|m| m.modified()).map_err(fail)?.into())
}
