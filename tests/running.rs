//! The program while it runs.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::outcome::Outcome;

/// For a program that hangs; how busy the machine is must not decide.
const ENDS_WITHIN: Duration = Duration::from_secs(600);
const REACHED_WITHIN: Duration = Duration::from_secs(300);

/// A run of the program that goes on; it is killed when the value is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    output: tempfile::TempDir,
    marker: PathBuf,
}

impl Running {
    pub(crate) fn start(mut command: Command, pause_at: Option<&str>) -> Self {
        let output = tempfile::tempdir().expect("a temporary folder");
        let marker = output.path().join("paused");
        if let Some(phase) = pause_at {
            command.env("HOLDPOINT_PAUSE_AT", phase).env("HOLDPOINT_PAUSE_MARKER", &marker);
        }
        let file = |name: &str| File::create(output.path().join(name)).expect("the folder is writable");
        command.stdout(file("stdout")).stderr(file("stderr"));
        // A group of its own, as a shell gives it: Ctrl-C reaches the group.
        command.process_group(0);
        let child = command.spawn().expect("holdpoint starts");
        Self { child, output, marker }
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the phase to pause at is reached.
    ///
    /// # Panics
    /// When the program ends before, or does not come there within five minutes, with what it said.
    #[track_caller]
    pub fn wait_for_pause(&mut self) {
        let marker = self.marker.clone();
        self.wait_until("the phase is reached", REACHED_WITHIN, || marker.exists());
    }

    /// Waits until the phase to pause at is reached; `false` where the program has ended without coming there.
    ///
    /// # Panics
    /// When neither happens within five minutes.
    #[track_caller]
    pub fn comes_to_pause(&mut self) -> bool {
        let deadline = Instant::now() + REACHED_WITHIN;
        while !self.marker.exists() {
            if self.child.try_wait().expect("the program can be waited for").is_some() {
                return false;
            }
            assert!(Instant::now() < deadline, "neither paused nor ended:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Waits until something outside of the program holds.
    ///
    /// # Panics
    /// When the program ends before, or it does not hold in time.
    #[track_caller]
    pub fn wait_until(&mut self, what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + within;
        while !holds() {
            let ended = self.child.try_wait().expect("the program can be waited for");
            assert!(ended.is_none(), "holdpoint ended with {ended:?} before {what}:\n{}", self.said());
            assert!(Instant::now() < deadline, "{what}: not within {within:?}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets the paused program go on.
    ///
    /// # Panics
    /// When the marker cannot be written.
    pub fn go_on(&self) {
        File::create(self.marker.with_extension("go")).expect("the folder is writable");
    }

    /// Kills the program alone, as the kernel does when memory runs out.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn kill(&self) {
        kill_process(self.id(), Signal::KILL).expect("the program runs");
    }

    /// Freezes the program as it is, until it is thawed.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn freeze(&self) {
        kill_process(self.id(), Signal::STOP).expect("the program runs");
    }

    /// Lets the frozen program go on.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn thaw(&self) {
        kill_process(self.id(), Signal::CONT).expect("the program runs");
    }

    /// Presses Ctrl-C: the whole foreground group gets the signal.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn interrupt(&self) {
        kill_process_group(self.id(), Signal::INT).expect("the program runs");
    }

    /// Waits until the program has said something on stderr.
    ///
    /// # Panics
    /// When it ends before, or does not say it within five minutes.
    #[track_caller]
    pub fn wait_until_said(&mut self, text: &str) {
        let path = self.output.path().join("stderr");
        let said = || String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).contains(text);
        self.wait_until(&format!("it says {text:?}"), REACHED_WITHIN, said);
    }

    /// Waits until the program has ended.
    ///
    /// # Panics
    /// When it does not within ten minutes.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().expect("the program can be waited for") {
                return Outcome::new(status, &self.read("stdout"), &self.read("stderr"));
            }
            assert!(Instant::now() < deadline, "holdpoint does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn id(&self) -> Pid {
        // Not reaped yet, so the id is still its own.
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id")
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.output.path().join(name)).unwrap_or_default()
    }

    fn said(&self) -> String {
        let text = |name: &str| String::from_utf8_lossy(&self.read(name)).into_owned();
        format!("--- stdout\n{}\n--- stderr\n{}", text("stdout"), text("stderr"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none())
            && self.child.kill().is_ok()
            && self.child.wait().is_err()
        {
            // It is gone either way.
        }
    }
}
