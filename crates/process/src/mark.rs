//! Which process it was: its number alone is given to another one some day.

use std::fs;
use std::path::Path;

/// What tells one process from every other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The machine's name.
    pub host: String,
    /// The space in which the number counts, such as a container's; where the system says.
    pub space: Option<String>,
    /// Its number there.
    pub pid: u32,
    /// Which start of the machine it was, and when after that it began, as the system counts it.
    pub started: String,
}

impl Mark {
    /// Reads that of this very process; `None` where the system does not tell when it began, as without `/proc`.
    pub fn own() -> Option<Self> {
        let pid = std::process::id();
        Some(Self { host: host(), space: space(), pid, started: started(pid)? })
    }

    /// Tells whether it lives; `None` where that cannot be told from here, as on another machine.
    pub fn lives(&self) -> Option<bool> {
        if self.host != host() || self.space != space() {
            return None;
        }
        Some(started(self.pid).is_some_and(|started| started == self.started))
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn space() -> Option<String> {
    fs::read_link("/proc/self/ns/pid").ok().map(|link| link.display().to_string())
}

/// When a process began; `None` where there is none, or only what is left of one that ended.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // proc_pid_stat(5): the name, in brackets, may hold anything; the state comes after it, the start is the 22nd field.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?;
    let ticks = fields.nth(18)?;
    (!matches!(state, "Z" | "X")).then(|| format!("{}/{ticks}", boot.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_another_of_its_number_does_not() {
        let own = Mark::own().unwrap();
        assert_eq!((own.pid, own.lives()), (std::process::id(), Some(true)));
        assert_eq!(Mark::own().unwrap(), own, "it stays the same");
        assert_eq!(Mark { started: "before".into(), ..own.clone() }.lives(), Some(false));
        assert_eq!(Mark { pid: u32::MAX, ..own.clone() }.lives(), Some(false));
        assert_eq!(Mark { host: "elsewhere".into(), ..own.clone() }.lives(), None);
        assert_eq!(Mark { space: Some("pid:[1]".into()), ..own }.lives(), None, "another container");
    }

    #[test]
    fn what_is_left_of_a_process_does_not_live() {
        #[expect(clippy::disallowed_methods, reason = "one that nobody waits for")]
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        while started(child.id()).is_some() {
            std::thread::yield_now();
        }
        assert!(Path::new("/proc").join(child.id().to_string()).exists(), "nobody has waited for it yet");
        child.wait().unwrap();
    }
}
