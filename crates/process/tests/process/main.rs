//! Programs and scratch keepers as they really run.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[cfg(target_os = "linux")]
mod cells;
mod keepers;
mod programs;
mod terminal;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, test_kill_process};

/// Tells whether the process exists and is no zombie.
fn is_running(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    if test_kill_process(pid).is_err() {
        return false;
    }
    let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // Reaped since it was asked: gone.
    status.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}

/// Polls a fact, with a long cap.
fn wait_until(what: &str, fact: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(300);
    while !fact() {
        assert!(Instant::now() < deadline, "still not so after 20 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The example beside this test's own binary. Cargo does not build it when tests are filtered, hence the checks.
fn stage() -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let path = own.ancestors().nth(2).expect("target directory").join("examples/keeper_stage");
    let built = path.metadata().and_then(|metadata| metadata.modified());
    let built = built.unwrap_or_else(|_| panic!("{}: run cargo build --examples first", path.display()));
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    assert!(newest(&sources) <= built, "{} is stale: run cargo build --examples first", path.display());
    path
}

/// The time of the newest file; a folder's own time changes with every editor's temporary file.
fn newest(path: &Path) -> SystemTime {
    if path.is_file() {
        return path.metadata().and_then(|metadata| metadata.modified()).expect("a source's time");
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| newest(&entry.path())).fold(SystemTime::UNIX_EPOCH, SystemTime::max)
}
