//! A running program: its streams, its end, the end of its group.

use std::fmt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde::Serialize;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::group;
use crate::program::Survivors;
use crate::tail::Tail;
use crate::terminal::Foreground;

/// How long the streams of an ended program may still be held open by others.
const DRAIN_FOR: Duration = Duration::from_secs(2);

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// By itself, with this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl From<ExitStatus> for Status {
    fn from(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Code(-1),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(formatter, "exit code {code}"),
            Self::Signal(number) => match nix::sys::signal::Signal::try_from(number) {
                Ok(signal) => write!(formatter, "signal {number} ({signal})"),
                Err(_) => write!(formatter, "signal {number}"),
            },
        }
    }
}

/// The record of an ended program.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Exit code or signal.
    pub status: Status,
    /// The last lines of stderr; empty when stderr was inherited.
    pub stderr_tail: String,
    /// The last lines of stdout; empty unless it was [`crate::Stdout::Tail`].
    pub stdout_tail: String,
    /// From start to end.
    pub ran_for: Duration,
}

impl Ended {
    /// Tells whether the program ended with exit code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status == Status::Code(0)
    }

    /// Turns any end but exit code 0 into an error.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn success(self, program: &str) -> Result<Self, Error> {
        if self.is_success() {
            return Ok(self);
        }
        Err(Error::Failed { program: program.to_owned(), status: self.status, stderr_tail: self.stderr_tail })
    }
}

/// Which streams are read by us, for their tails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drained {
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

/// A running program and its process group. Dropping it kills the whole group.
#[derive(Debug)]
pub struct Running {
    name: String,
    child: Child,
    group: Pid,
    started: Instant,
    stderr: Tail,
    stdout: Tail,
    drains: JoinSet<()>,
    foreground: Option<Foreground>,
    survivors: Survivors,
    outlives_handle: bool,
    ended: Option<Ended>,
}

impl Running {
    pub(crate) fn watch(
        name: String,
        mut child: Child,
        drained: Drained,
        foreground: bool,
        survivors: Survivors,
        outlives_handle: bool,
    ) -> Result<Self, Error> {
        let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else {
            return Err(Error::NotStarted { program: name, source: std::io::Error::other("no process id") });
        };
        let (stderr, stdout) = (Tail::default(), Tail::default());
        let mut drains = JoinSet::new();
        if drained.stderr
            && let Some(stream) = child.stderr.take()
        {
            drains.spawn(stderr.clone().drain(name.clone(), "stderr", stream));
        }
        if drained.stdout
            && let Some(stream) = child.stdout.take()
        {
            drains.spawn(stdout.clone().drain(name.clone(), "stdout", stream));
        }
        let foreground = if foreground { Foreground::lend(group) } else { None };
        let started = Instant::now();
        tracing::debug!(program = name, pid = group.as_raw_nonzero().get(), "started");
        Ok(Self {
            name,
            child,
            group,
            started,
            stderr,
            stdout,
            drains,
            foreground,
            survivors,
            outlives_handle,
            ended: None,
        })
    }

    /// Returns the process id, which is also the id of its group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.group.as_raw_nonzero().get().unsigned_abs()
    }

    /// Returns the program's name for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes the writing end of its stdin, once; there is one when it was started with a piped stdin.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Takes the reading end of its stdout, once; there is one when it was started with a piped stdout.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Takes the reading end of its stderr, once; there is one when it was started with a piped stderr.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Returns the last stderr lines up to now.
    #[must_use]
    pub fn stderr_tail(&self) -> String {
        self.stderr.text()
    }

    /// Tells whether the program has ended, without waiting.
    ///
    /// # Errors
    /// [`Error::Lost`] when the system cannot tell.
    pub fn has_ended(&mut self) -> Result<bool, Error> {
        if self.ended.is_some() {
            return Ok(true);
        }
        let status = self.child.try_wait().map_err(|source| Error::Lost { program: self.name.clone(), source })?;
        Ok(status.is_some())
    }

    /// Waits until the program has ended; a stdin pipe that nobody took is closed first. May be called again, and
    /// may be dropped and called again. Any exit code is `Ok`: see [`Ended::success`].
    ///
    /// # Errors
    /// [`Error::Lost`] when the system cannot tell how it ended.
    pub async fn wait(&mut self) -> Result<Ended, Error> {
        let status = self.leader_end().await?;
        let end = match self.survivors {
            Survivors::End => true,
            Survivors::Leave => false,
            Survivors::LeaveAfterSuccess => status != Status::Code(0),
        };
        self.conclude(status, end).await
    }

    /// Waits like [`Self::wait`]; when the token is cancelled first, ends the group.
    ///
    /// # Errors
    /// [`Error::Cancelled`] after the group has ended; [`Error::Lost`].
    pub async fn wait_or_cancel(&mut self, cancel: &CancellationToken, grace: Duration) -> Result<Ended, Error> {
        tokio::select! {
            biased;
            ended = self.wait() => return ended,
            () = cancel.cancelled() => {}
        }
        self.terminate_group(grace).await?;
        Err(Error::Cancelled { program: self.name.clone() })
    }

    /// Waits like [`Self::wait_or_cancel`], and ends the group also when `limit` has passed.
    ///
    /// # Errors
    /// [`Error::TimedOut`] or [`Error::Cancelled`] after the group has ended; [`Error::Lost`].
    pub async fn wait_within(
        &mut self,
        limit: Duration,
        cancel: &CancellationToken,
        grace: Duration,
    ) -> Result<Ended, Error> {
        if let Ok(result) = tokio::time::timeout(limit, self.wait_or_cancel(cancel, grace)).await {
            return result;
        }
        let ended = self.terminate_group(grace).await?;
        Err(Error::TimedOut { program: self.name.clone(), limit, stderr_tail: ended.stderr_tail })
    }

    /// Sends a signal to the program's whole group; nothing happens when it has ended.
    pub fn signal_group(&self, signal: Signal) {
        if self.ended.is_none() {
            group::signal(self.group, signal);
        }
    }

    /// Ends the whole group: SIGTERM, and SIGKILL to whoever is left when the program has ended or `grace` is over.
    /// A program that had ended before is reported as it ended.
    ///
    /// # Errors
    /// [`Error::Lost`] when the system cannot tell how it ended.
    pub async fn terminate_group(&mut self, grace: Duration) -> Result<Ended, Error> {
        if let Some(ended) = &self.ended {
            return Ok(ended.clone());
        }
        group::signal(self.group, Signal::TERM);
        // A stopped process would not see it.
        group::signal(self.group, Signal::CONT);
        let ended = tokio::time::timeout(grace, self.leader_end()).await;
        let status = match ended {
            Ok(status) => status?,
            Err(_) => {
                group::signal(self.group, Signal::KILL);
                self.leader_end().await?
            }
        };
        self.conclude(status, true).await
    }

    async fn leader_end(&mut self) -> Result<Status, Error> {
        if let Some(ended) = &self.ended {
            return Ok(ended.status);
        }
        let lost = |source| Error::Lost { program: self.name.clone(), source };
        let Some(foreground) = &self.foreground else {
            return self.child.wait().await.map(Status::from).map_err(lost);
        };
        // SIGCHLD also tells that a child was suspended.
        let mut changes = signal(SignalKind::child()).map_err(lost)?;
        loop {
            tokio::select! {
                status = self.child.wait() => return status.map(Status::from).map_err(lost),
                _ = changes.recv() => foreground.refuse_suspension(),
            }
        }
    }

    async fn conclude(&mut self, status: Status, end_survivors: bool) -> Result<Ended, Error> {
        if let Some(ended) = &self.ended {
            return Ok(ended.clone());
        }
        let ran_for = self.started.elapsed();
        // The number of a group cannot be given away while the group has members.
        if end_survivors {
            group::signal(self.group, Signal::KILL);
        }
        self.foreground = None;
        let drained = async { while self.drains.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN_FOR, drained).await.is_err() {
            tracing::debug!(program = self.name, "its streams are held open by another process");
            self.drains.abort_all();
        }
        tracing::debug!(program = self.name, %status, ran_for = ran_for.as_secs_f32(), "ended");
        let ended = Ended { status, stderr_tail: self.stderr.text(), stdout_tail: self.stdout.text(), ran_for };
        self.ended = Some(ended.clone());
        Ok(ended)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_some() || self.outlives_handle {
            return;
        }
        group::signal(self.group, Signal::KILL);
        // A killed process is gone in an instant; the runtime reaps what is later.
        for _ in 0..20 {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                Ok(Some(_)) | Err(_) => break,
            }
        }
    }
}
