//! Which process it was: its number alone is given to another one some day.

use std::fs;
use std::path::Path;

/// Which start of the machine it is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

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
        Self::of(std::process::id())
    }

    /// Reads that of a process of this machine; `None` where it has ended, or the system does not tell.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { host: host(), space: space(), pid, started: started(pid)? })
    }

    /// Tells whether it lives; `None` where that cannot be told from here, as on another machine.
    pub fn lives(&self) -> Option<bool> {
        if self.host != host() || self.space != space() {
            return None;
        }
        Some(started(self.pid).is_some_and(|started| started == self.started))
    }

    /// Tells whether anything lives of the process group that it leads, or led; `None` as for [`Self::lives`].
    ///
    /// What left the group, such as a daemon, is not seen.
    pub fn group_lives(&self) -> Option<bool> {
        if self.lives()? {
            return Some(true);
        }
        // No number is given away while a group has it: a process of that number, or another start of the machine, says
        // that nothing of the group was left.
        let begun = |boot: String| self.started.split_once('/').is_some_and(|(then, _)| then == boot.trim());
        if started(self.pid).is_some() || !fs::read_to_string(BOOT).is_ok_and(begun) {
            return Some(false);
        }
        Some(group_is_there(self.pid))
    }
}

/// Tells whether anything lives of a process group of this machine, as far as the system tells.
pub fn group_is_there(group: u32) -> bool {
    let Ok(all) = fs::read_dir("/proc") else { return false };
    let mut pids = all.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.any(|pid| stat(pid).is_some_and(|stat| stat.group == i64::from(group)))
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn space() -> Option<String> {
    fs::read_link("/proc/self/ns/pid").ok().map(|link| link.display().to_string())
}

/// When a process began; `None` where there is none, or only what is left of one that ended.
fn started(pid: u32) -> Option<String> {
    let ticks = stat(pid)?.ticks;
    let boot = fs::read_to_string(BOOT).ok()?;
    Some(format!("{}/{ticks}", boot.trim()))
}

struct Stat {
    group: i64,
    /// When it began, in the system's ticks since its own start.
    ticks: String,
}

fn stat(pid: u32) -> Option<Stat> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // proc_pid_stat(5): the name, in brackets, may hold anything; after it come the state, the parent and the group; the
    // start is the 22nd field.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let stat = Stat { group: fields.get(2)?.parse().ok()?, ticks: (*fields.get(19)?).to_owned() };
    (!matches!(*fields.first()?, "Z" | "X")).then_some(stat)
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
    fn a_group_lives_as_long_as_one_of_it() {
        use std::io::BufRead as _;
        use std::os::unix::process::CommandExt as _;
        #[expect(clippy::disallowed_methods, reason = "one that is killed alone")]
        let mut leader = std::process::Command::new("/bin/sh")
            .args(["-c", "sleep 600 & echo; wait"])
            .process_group(0)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufReader::new(leader.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mark = Mark::of(leader.id()).unwrap();
        assert_eq!((mark.lives(), mark.group_lives()), (Some(true), Some(true)));
        leader.kill().unwrap();
        leader.wait().unwrap();
        assert_eq!((mark.lives(), mark.group_lives()), (Some(false), Some(true)), "its child goes on");
        let rebooted = Mark { started: "before/1".into(), ..mark.clone() };
        assert_eq!(rebooted.group_lives(), Some(false));
        assert_eq!(Mark { host: "elsewhere".into(), ..mark.clone() }.group_lives(), None);
        let group = i32::try_from(mark.pid).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        while mark.group_lives() != Some(false) {
            std::thread::yield_now();
        }
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
