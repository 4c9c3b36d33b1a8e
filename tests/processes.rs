//! Which programs run on this machine, read from `/proc`.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its program and arguments.
    pub line: String,
}

/// Returns the processes that have a path in their arguments or their working directory, zombies left out.
///
/// # Panics
/// When `/proc` cannot be read.
#[must_use]
pub fn processes_with(path: &Path) -> Vec<Process> {
    let wanted = path.to_string_lossy();
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").expect("/proc can be listed");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != own)
        .filter_map(|pid| {
            let folder = Path::new("/proc").join(pid.to_string());
            // A zombie has no arguments, and whoever ended since the listing has no folder.
            let arguments = std::fs::read(folder.join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&arguments).replace('\0', " ");
            let inside = std::fs::read_link(folder.join("cwd")).is_ok_and(|place| place.starts_with(path));
            (!line.is_empty() && (inside || line.contains(&*wanted))).then_some(Process { pid, line })
        })
        .collect()
}

/// As [`processes_with`], without those that were killed and only have to end: they run no more of their program, and how busy the
/// machine is decides when they are gone.
///
/// # Panics
/// When `/proc` cannot be read.
#[must_use]
pub fn alive_with(path: &Path) -> Vec<Process> {
    processes_with(path).into_iter().filter(|one| !is_ending(one.pid)).collect()
}

/// Whether a process is ending, or has a SIGKILL before it (proc(5); `PF_EXITING` and `PF_SIGNALED` of the kernel's sched.h).
fn is_ending(pid: u32) -> bool {
    const KILLED: u64 = 1 << 8;
    const ENDING: u64 = 0x4 | 0x400;
    let folder = Path::new("/proc").join(pid.to_string());
    let (Ok(status), Ok(stat)) =
        (std::fs::read_to_string(folder.join("status")), std::fs::read_to_string(folder.join("stat")))
    else {
        return true;
    };
    let pending = |line: &str| {
        let mask = line.strip_prefix("SigPnd:").or_else(|| line.strip_prefix("ShdPnd:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & KILLED != 0)
    };
    // Its name, in brackets, may hold blanks.
    let flags = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(6)?.parse::<u64>().ok());
    status.lines().any(pending) || flags.is_some_and(|flags| flags & ENDING != 0)
}

/// Waits until no process has a path in its arguments or working directory.
///
/// # Panics
/// When one is left after the time.
#[track_caller]
pub fn wait_until_gone(path: &Path, within: Duration) {
    let deadline = Instant::now() + within;
    loop {
        let left = processes_with(path);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still running after {within:?}: {left:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills one process.
///
/// # Panics
/// When it may not be killed.
pub fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// Stops one process, which then does nothing, not even end, until it is resumed.
///
/// # Panics
/// When it may not be stopped.
pub fn stop(pid: u32) {
    signal(pid, Signal::STOP);
}

/// Lets a stopped process go on.
///
/// # Panics
/// When it may not be resumed.
pub fn resume(pid: u32) {
    signal(pid, Signal::CONT);
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    let sent = kill_process(pid, signal);
    assert!(matches!(sent, Ok(()) | Err(rustix::io::Errno::SRCH)), "{sent:?}");
}
