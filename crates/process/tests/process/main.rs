//! Programs and scratch keepers as they really run.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod keepers;
mod programs;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::{Pid, test_kill_process};

/// Tells whether the process exists and is no zombie.
fn is_running(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    if test_kill_process(pid).is_err() {
        return false;
    }
    let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    !status.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

/// Polls a fact, with a long cap.
fn wait_until(what: &str, fact: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !fact() {
        assert!(Instant::now() < deadline, "still not so after 20 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The example program beside this test's own binary.
fn stage() -> PathBuf {
    let own = std::env::current_exe().expect("own path");
    let path = own.ancestors().nth(2).expect("target directory").join("examples/keeper_stage");
    assert!(path.exists(), "{}: run cargo build --examples first", path.display());
    path
}
