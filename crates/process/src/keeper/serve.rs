//! The keeper process itself: synchronous, with no runtime, so that little can go wrong in it.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal as NixSignal};
use rustix::process::{Pid, Signal};

use crate::group;
use crate::keeper::directory::ScratchDirectory;
use crate::keeper::{KeeperCommand, KeeperEvent, KeeperSpec};
use crate::running::Status;

/// How often readiness is looked for.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// What can wake the keeper.
enum Wake {
    /// End of file on stdin, or a signal.
    Stop,
    /// A child that it started has ended.
    Ended(io::Result<ExitStatus>),
}

/// Why the keeper's work is over.
enum Over {
    /// It was told to stop.
    Stopped,
    /// Something failed; the parent is told.
    Reported(KeeperEvent),
}

/// Is the whole of `holdpoint scratch-keeper`: reads the spec from stdin, keeps the server until stdin ends.
///
/// Ends with success after a stop that left nothing, with failure otherwise. Must be called before any thread is
/// started: it blocks signals for the threads it starts.
#[must_use]
pub fn run() -> ExitCode {
    let (wake, wakes) = mpsc::channel();
    if let Err(error) = watch_signals(wake.clone()) {
        complain("signals", &error);
        return ExitCode::FAILURE;
    }
    let mut stdin = BufReader::new(io::stdin());
    let mut line = String::new();
    let spec: KeeperSpec = match stdin.read_line(&mut line).map(|_| serde_json::from_str(&line)) {
        Ok(Ok(spec)) => spec,
        // The parent was gone before it said what to do.
        Ok(Err(_)) if line.is_empty() => return ExitCode::SUCCESS,
        Ok(Err(error)) => {
            // Not the error's text: it could quote the line.
            complain("spec", &io::Error::other(format!("{:?} in column {}", error.classify(), error.column())));
            return ExitCode::FAILURE;
        }
        Err(error) => {
            complain("spec", &error);
            return ExitCode::FAILURE;
        }
    };
    let parent_gone = wake.clone();
    thread::spawn(move || {
        let mut sink = io::sink();
        drop(io::copy(&mut stdin, &mut sink));
        drop(parent_gone.send(Wake::Stop));
    });
    let directory = match ScratchDirectory::make(&spec) {
        Ok(directory) => directory,
        Err(error) => {
            report(&KeeperEvent::Failed {
                program: "making the scratch directory".into(),
                reason: format!("failed: {error}"),
                log_tail: String::new(),
            });
            return ExitCode::FAILURE;
        }
    };
    let over = keep(&spec, &directory, &wake, &wakes);
    // The parent learns of a failure only after the directory is gone.
    let removed = directory.remove();
    if let Err(error) = &removed {
        complain("removing the scratch directory", error);
    }
    match over {
        Over::Stopped if removed.is_ok() => ExitCode::SUCCESS,
        Over::Stopped => ExitCode::FAILURE,
        Over::Reported(event) => {
            report(&event);
            ExitCode::FAILURE
        }
    }
}

fn keep(spec: &KeeperSpec, directory: &ScratchDirectory, wake: &Sender<Wake>, wakes: &Receiver<Wake>) -> Over {
    let deadline = Instant::now() + spec.ready_within;
    for command in &spec.preparation {
        let pid = match start(command, spec, directory, wake.clone()) {
            Ok(pid) => pid,
            Err(error) => return failed(command, not_started(command, &error), directory),
        };
        match wakes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Wake::Ended(Ok(status))) if status.success() => {}
            Ok(Wake::Ended(status)) => return failed(command, ended(status), directory),
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => {
                kill(pid, wakes);
                return Over::Stopped;
            }
            Err(RecvTimeoutError::Timeout) => {
                kill(pid, wakes);
                return failed(command, too_late(spec), directory);
            }
        }
    }
    serve(spec, directory, deadline, wake, wakes)
}

fn serve(
    spec: &KeeperSpec,
    directory: &ScratchDirectory,
    deadline: Instant,
    wake: &Sender<Wake>,
    wakes: &Receiver<Wake>,
) -> Over {
    let pid = match start(&spec.server, spec, directory, wake.clone()) {
        Ok(pid) => pid,
        Err(error) => return failed(&spec.server, not_started(&spec.server, &error), directory),
    };
    let pid_file = directory.path().join(&spec.data_directory).join("postmaster.pid");
    let mut ready = false;
    loop {
        let woken = if ready {
            wakes.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            wakes.recv_timeout(POLL_EVERY)
        };
        match woken {
            Ok(Wake::Ended(status)) if ready => {
                return Over::Reported(KeeperEvent::Ended { reason: ended(status), log_tail: directory.log_tail() });
            }
            Ok(Wake::Ended(status)) => return failed(&spec.server, ended(status), directory),
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => {
                stop(pid, spec.stop_grace, wakes);
                return Over::Stopped;
            }
            Err(RecvTimeoutError::Timeout) if is_ready(&pid_file, pid) => {
                ready = true;
                report(&KeeperEvent::Ready { pid: pid.as_raw_nonzero().get().unsigned_abs() });
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() > deadline => {
                stop(pid, spec.stop_grace, wakes);
                return failed(&spec.server, too_late(spec), directory);
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Line 1 of postmaster.pid is the process id, line 8 the state (PostgreSQL: `miscadmin.h`, LOCK_FILE_LINE_PM_STATUS).
fn is_ready(pid_file: &Path, pid: Pid) -> bool {
    let Ok(text) = fs::read_to_string(pid_file) else { return false };
    let mut lines = text.lines();
    let same = lines.next().and_then(|line| line.trim().parse().ok()) == Some(pid.as_raw_nonzero().get());
    same && lines.nth(6).is_some_and(|line| line.trim() == "ready")
}

fn start(
    command: &KeeperCommand,
    spec: &KeeperSpec,
    directory: &ScratchDirectory,
    wake: Sender<Wake>,
) -> io::Result<Pid> {
    let log: File = directory.log()?;
    #[expect(clippy::disallowed_methods, reason = "this is the one door")]
    let mut child = Command::new(&command.program);
    child.args(&command.arguments).env_clear().envs(command.environment.iter().map(|(name, value)| (name, value)));
    child.current_dir(directory.path()).process_group(0);
    if let Some(user) = spec.run_as {
        child.uid(user.uid).gid(user.gid);
    }
    let mut child = child.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
    let pid =
        i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::Error::other("no process id"))?;
    thread::spawn(move || {
        drop(wake.send(Wake::Ended(child.wait())));
    });
    Ok(pid)
}

/// SIGQUIT is PostgreSQL's immediate shutdown: nothing of a scratch server is worth a checkpoint.
fn stop(server: Pid, grace: Duration, wakes: &Receiver<Wake>) {
    group::signal_one(server, Signal::QUIT);
    if !wait_for_end(grace, wakes) {
        kill(server, wakes);
    }
}

fn kill(child: Pid, wakes: &Receiver<Wake>) {
    group::signal(child, Signal::KILL);
    wait_for_end(Duration::from_secs(10), wakes);
}

fn wait_for_end(limit: Duration, wakes: &Receiver<Wake>) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        match wakes.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Wake::Ended(_)) => return true,
            Ok(Wake::Stop) => {}
            Err(_) => return false,
        }
    }
}

fn watch_signals(wake: Sender<Wake>) -> io::Result<()> {
    let mut signals = SigSet::empty();
    for signal in [NixSignal::SIGINT, NixSignal::SIGTERM, NixSignal::SIGHUP] {
        signals.add(signal);
    }
    // Inherited by every thread; a started program gets an empty mask from the standard library.
    signals.thread_block()?;
    thread::spawn(move || {
        while signals.wait().is_ok() {
            drop(wake.send(Wake::Stop));
        }
    });
    Ok(())
}

fn failed(command: &KeeperCommand, reason: String, directory: &ScratchDirectory) -> Over {
    let program = command.program.file_name().unwrap_or(command.program.as_os_str());
    let program = program.to_string_lossy().into_owned();
    Over::Reported(KeeperEvent::Failed { program, reason, log_tail: directory.log_tail() })
}

/// What may not be executed or entered is told apart by its path.
fn not_started(command: &KeeperCommand, error: &io::Error) -> String {
    format!("could not be started: {}: {error}", command.program.display())
}

fn ended(status: io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("ended with {}", Status::from(status)),
        Err(error) => format!("was lost: {error}"),
    }
}

fn too_late(spec: &KeeperSpec) -> String {
    format!("was not ready within {} s", spec.ready_within.as_secs_f32())
}

/// A parent that is gone cannot be told anything, and that is no failure.
fn report(event: &KeeperEvent) {
    if let Ok(mut line) = serde_json::to_string(event) {
        line.push('\n');
        let mut stdout = io::stdout();
        drop(stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()));
    }
}

fn complain(step: &str, error: &io::Error) {
    drop(writeln!(io::stderr(), "scratch keeper: {step}: {error}"));
}
