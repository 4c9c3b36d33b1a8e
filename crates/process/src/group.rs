//! Signals to a whole process group.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

/// Sends a signal to every process of the group; a group without members is no failure.
pub(crate) fn signal(group: Pid, signal: Signal) {
    report(kill_process_group(group, signal), group);
}

/// Sends a signal to one process; one that is gone is no failure.
pub(crate) fn signal_one(process: Pid, signal: Signal) {
    report(kill_process(process, signal), process);
}

/// Tells whether a process of that number exists.
pub(crate) fn is_alive(process: Pid) -> bool {
    !matches!(test_kill_process(process), Err(Errno::SRCH))
}

fn report(result: Result<(), Errno>, pid: Pid) {
    match result {
        // macOS answers PERM for a group whose only members are zombies.
        Ok(()) | Err(Errno::SRCH | Errno::PERM) => {}
        Err(error) => tracing::warn!(pid = pid.as_raw_nonzero().get(), %error, "signal not delivered"),
    }
}
