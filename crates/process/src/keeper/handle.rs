//! The parent's side of a keeper.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::keeper::directory::ScratchDirectory;
use crate::keeper::sweep::clear;
use crate::keeper::{KeeperEvent, KeeperSpec};
use crate::program::{Program, Stdin, Stdout};
use crate::running::Running;

/// What the keeper needs beyond the server's own grace: removing a large directory takes time.
const REMOVE_WITHIN: Duration = Duration::from_secs(60);

/// How a scratch server ended that nobody stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEnd {
    /// What happened, in words.
    pub reason: String,
    /// The last part of its log.
    pub log_tail: String,
}

/// A scratch server under its keeper. End it with [`Self::stop`]; a dropped handle only lets go of the pipe, and the
/// keeper then stops the server and removes the directory by itself.
#[derive(Debug)]
pub struct Keeper {
    running: Running,
    stdin: Option<ChildStdin>,
    events: Lines<BufReader<ChildStdout>>,
    directory: PathBuf,
    stop_grace: Duration,
    server_pid: u32,
    stopped: bool,
}

impl Keeper {
    /// Starts `executable arguments…`, which must end in [`super::run`], and waits until its server is ready.
    ///
    /// # Errors
    /// [`Error::ScratchFailed`] with the log's tail when preparation or server fail, [`Error::KeeperSilent`] when the
    /// executable is not a keeper, [`Error::Cancelled`], and those of starting a program. Nothing is left behind,
    /// unless the keeper itself was killed: then the next [`super::sweep()`] removes it.
    pub async fn start(
        executable: &Path,
        arguments: &[OsString],
        spec: &KeeperSpec,
        cancel: &CancellationToken,
    ) -> Result<Self, Error> {
        let name = executable.display().to_string();
        let lost = |source| Error::Lost { program: name.clone(), source };
        let mut line = serde_json::to_vec(spec).map_err(|error| lost(error.into()))?;
        line.push(b'\n');
        let mut running = Program::new(executable)
            .arguments(arguments)
            .stdin(Stdin::Piped)
            .stdout(Stdout::Piped)
            .outliving_its_handle()
            .start()?;
        let (Some(mut stdin), Some(stdout)) = (running.take_stdin(), running.take_stdout()) else {
            return Err(lost(std::io::Error::other("no pipes")));
        };
        // A keeper that ends at once is noticed by its silence below.
        if let Err(error) = stdin.write_all(&line).await {
            tracing::debug!(%error, "the scratch keeper does not read");
        }
        let mut keeper = Self {
            running,
            stdin: Some(stdin),
            events: BufReader::new(stdout).lines(),
            directory: spec.directory.clone(),
            stop_grace: spec.stop_grace,
            server_pid: 0,
            stopped: false,
        };
        let event = tokio::select! {
            event = keeper.next_event() => Some(event),
            () = cancel.cancelled() => None,
        };
        match event {
            None => {
                keeper.stop().await?;
                Err(Error::Cancelled { program: spec.server.program.display().to_string() })
            }
            Some(Some(KeeperEvent::Ready { pid })) => {
                keeper.server_pid = pid;
                Ok(keeper)
            }
            Some(Some(KeeperEvent::Failed { program, reason, log_tail })) => {
                keeper.end().await?;
                Err(Error::ScratchFailed { program, reason, log_tail })
            }
            Some(Some(KeeperEvent::Ended { .. }) | None) => {
                let ended = keeper.end().await?;
                Err(Error::KeeperSilent { stderr_tail: ended })
            }
        }
    }

    /// Returns the scratch directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the server's process id.
    #[must_use]
    pub fn server_pid(&self) -> u32 {
        self.server_pid
    }

    /// Returns the keeper's own process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Waits until the server ends by itself, or its keeper is killed. May be dropped and called again.
    pub async fn ended(&mut self) -> ServerEnd {
        match self.next_event().await {
            Some(KeeperEvent::Ended { reason, log_tail, .. } | KeeperEvent::Failed { reason, log_tail, .. }) => {
                ServerEnd { reason, log_tail }
            }
            Some(KeeperEvent::Ready { .. }) | None => {
                ServerEnd { reason: "lost its keeper".into(), log_tail: String::new() }
            }
        }
    }

    /// Stops the server and removes its directory, also when the keeper was killed meanwhile.
    ///
    /// # Errors
    /// [`Error::ScratchDirectory`] when the directory could not be removed; [`Error::TimedOut`] when the keeper hangs
    /// (it is left to go on).
    pub async fn stop(mut self) -> Result<(), Error> {
        self.end().await.map(drop)
    }

    async fn next_event(&mut self) -> Option<KeeperEvent> {
        loop {
            let line = self.events.next_line().await.ok()??;
            match serde_json::from_str(&line) {
                Ok(event) => return Some(event),
                Err(_) => tracing::debug!(line, "not an event of the scratch keeper"),
            }
        }
    }

    /// Lets go of the pipe, waits for the keeper, and cleans up after one that could not.
    async fn end(&mut self) -> Result<String, Error> {
        self.stopped = true;
        self.stdin = None;
        let limit = self.stop_grace + REMOVE_WITHIN;
        let Ok(ended) = tokio::time::timeout(limit, self.running.wait()).await else {
            let program = self.running.name().to_owned();
            return Err(Error::TimedOut { program, limit, stderr_tail: self.running.stderr_tail() });
        };
        let ended = ended?;
        let directory = self.directory.clone();
        let cleared = tokio::task::spawn_blocking(move || {
            // Without the lock of a keeper it is not, or not yet, a keeper's directory: it may be anybody's.
            if !ScratchDirectory::has_lock(&directory) {
                return Ok(());
            }
            match ScratchDirectory::lock_abandoned(&directory) {
                Ok(Some(locked)) => clear(locked).map(drop),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await;
        let path = self.directory.clone();
        match cleared {
            Ok(Ok(())) => Ok(ended.stderr_tail),
            Ok(Err(source)) => Err(Error::ScratchDirectory { path, source }),
            Err(error) => Err(Error::ScratchDirectory { path, source: std::io::Error::other(error) }),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if !self.stopped {
            tracing::warn!(directory = %self.directory.display(), "scratch server left to its keeper");
        }
    }
}
