//! Scratch directories whose keeper was killed: found by their free lock, stopped and removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal};
use serde::Serialize;

use crate::error::Error;
use crate::group;
use crate::keeper::directory::{SCRATCH_PREFIX, ScratchDirectory, is_named, is_ours};

/// A directory without a lock is left alone for so long: its keeper may be about to make the lock.
const MAKING_FOR: Duration = Duration::from_secs(60);

/// How long a left server may take to stop before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// A scratch directory without a keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Abandoned {
    /// The directory.
    pub directory: PathBuf,
    /// The server that still runs on it.
    pub server_pid: Option<u32>,
}

/// A scratch directory that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// The directory.
    pub directory: PathBuf,
    /// The server that ran on it and was stopped.
    pub server_pid: Option<u32>,
}

/// What a sweep did.
#[derive(Debug, Default, Serialize)]
pub struct SweepReport {
    /// Removed directories.
    pub removed: Vec<Swept>,
    /// Directories that could not be removed, each with the reason.
    pub kept: Vec<(PathBuf, String)>,
}

/// Lists the scratch directories below `base` that belong to us and have no living keeper. Changes nothing.
///
/// `now` tells how old a directory without a lock is. A base directory that does not exist holds none.
///
/// # Errors
/// [`Error::ScratchDirectory`] when `base` cannot be read.
pub fn abandoned(base: &Path, now: SystemTime) -> Result<Vec<Abandoned>, Error> {
    let mut found = Vec::new();
    for path in candidates(base, now)? {
        if let Ok(Some(_lock)) = ScratchDirectory::lock_abandoned(&path) {
            let server_pid = servers(&path).first().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
            found.push(Abandoned { directory: path, server_pid });
        }
    }
    Ok(found)
}

/// Stops the servers of the abandoned scratch directories below `base` and removes the directories. Blocks for up to
/// some seconds for each server.
///
/// # Errors
/// [`Error::ScratchDirectory`] when `base` cannot be read; single failures are in the report.
pub fn sweep(base: &Path, now: SystemTime) -> Result<SweepReport, Error> {
    let mut report = SweepReport::default();
    for path in candidates(base, now)? {
        let cleared = match ScratchDirectory::lock_abandoned(&path) {
            Ok(Some(locked)) => clear(locked),
            Ok(None) => continue,
            Err(error) => Err(error),
        };
        match cleared {
            Ok(server_pid) => report.removed.push(Swept { directory: path, server_pid }),
            Err(error) => report.kept.push((path, error.to_string())),
        }
    }
    Ok(report)
}

fn candidates(base: &Path, now: SystemTime) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |source| Error::ScratchDirectory { path: base.to_owned(), source };
    let entries = match fs::read_dir(base) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let ours = is_named(&path, SCRATCH_PREFIX) && is_ours(&path).unwrap_or(false);
        if ours && (ScratchDirectory::has_lock(&path) || is_old(&path, now)) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn is_old(path: &Path, now: SystemTime) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > MAKING_FOR))
}

/// Stops what runs on the directory, then removes it.
pub(super) fn clear(directory: ScratchDirectory) -> io::Result<Option<u32>> {
    let servers = servers(directory.path());
    for &server in &servers {
        stop(server);
    }
    directory.remove()?;
    Ok(servers.first().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()))
}

fn stop(server: Pid) {
    group::signal_one(server, Signal::QUIT);
    if !ends_within(server, STOP_GRACE) {
        group::signal_one(server, Signal::KILL);
        // Its directory is removed next: what is still alive would write into it.
        ends_within(server, STOP_GRACE);
    }
}

fn ends_within(server: Pid, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while group::is_alive(server) {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Finds the postmasters of the data directories below a scratch directory.
fn servers(directory: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let folders = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    folders.filter_map(|data| postmaster(&data)).collect()
}

/// Reads postmaster.pid, and believes it only when that process works in this very directory: after a kill the
/// number may have gone to somebody else. A postmaster's working directory is its data directory.
fn postmaster(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = text.lines().next()?.trim().parse().ok().and_then(Pid::from_raw)?;
    (group::is_alive(pid) && works_in(pid, data)).then_some(pid)
}

#[cfg(target_os = "linux")]
fn works_in(pid: Pid, data: &Path) -> bool {
    let Ok(cwd) = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero())) else { return false };
    fs::canonicalize(data).is_ok_and(|data| data == cwd)
}

#[cfg(not(target_os = "linux"))]
fn works_in(pid: Pid, data: &Path) -> bool {
    #[expect(clippy::disallowed_methods, reason = "this is the one door")]
    let listed = std::process::Command::new("/bin/ps")
        .env_clear()
        .args(["-ww", "-o", "command=", "-p", &pid.as_raw_nonzero().to_string()])
        .output();
    listed.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&*data.to_string_lossy()))
}
