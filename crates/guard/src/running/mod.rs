//! The guarded command while it runs, and what goes with it: time-outs, the tool's own lock, the live watch, hooks,
//! health checks, notifications, the kept output.

pub(crate) mod environment;
pub(crate) mod health;
pub(crate) mod hooks;
pub(crate) mod live;
mod masked;
pub(crate) mod notify;
pub(crate) mod output;
mod policy;
mod session_options;
pub(crate) mod session_parameters;
pub(crate) mod tool_lock;

use std::sync::Arc;
use std::time::Duration;

use holdpoint_core::Secret;
use holdpoint_core::ledger::{Origin, Process};
use holdpoint_operations::webhook;

use crate::Error;
pub(crate) use masked::Masked;

/// A migration that waits longer for a lock holds up everybody who comes after it.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Where what the command writes is passed on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Its stdout.
    Out,
    /// Its stderr.
    Err,
}

type Hear = dyn Fn(Channel, &[u8]) + Send + Sync;

/// Hears what the command writes, as it is written but for secrets, which are masked; it may block as long as its own reader does.
#[derive(Clone)]
pub struct Tee(Arc<Hear>);

impl Tee {
    /// Hears every piece by this function.
    pub fn new(hear: impl Fn(Channel, &[u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(hear))
    }
}

impl std::fmt::Debug for Tee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tee")
    }
}

/// How the command runs.
#[derive(Clone, Default)]
pub struct RunOptions {
    /// How long its statements may wait for a lock; zero sets no limit. `None` is [`LOCK_TIMEOUT`], unless the
    /// environment says another.
    pub lock_timeout: Option<Duration>,
    /// How long a statement of it may take. Where one is to run CONCURRENTLY, neither time-out is set.
    pub statement_timeout: Option<Duration>,
    /// Its waiting statements are cancelled once others have waited behind them for so long.
    pub cancel_blocked_after: Option<Duration>,
    /// It is ended after so long.
    pub command_timeout: Option<Duration>,
    /// A line for the shell before the run lock is taken; its failure stops the run.
    pub before: Option<String>,
    /// A line for the shell after success, or where the command never ran although `before` did.
    pub after: Option<String>,
    /// What tells whether the application is well afterwards.
    pub health: HealthOptions,
    /// Told of the start and the end.
    pub notify: Option<Secret>,
    /// Which of its streams are kept; the others are inherited, which a terminal needs.
    pub kept: Vec<Channel>,
    /// Where a kept stream is passed on to, and what the lines before and after write; without it those are inherited.
    pub tee: Option<Tee>,
    /// Where the run came from.
    pub origin: Origin,
    /// The process that guards it, so that others can tell whether it lives; see [`crate::runs::this_process`].
    pub process: Option<Process>,
    /// Secrets that are known, to be masked in what is kept.
    pub secrets: Vec<Secret>,
}

impl std::fmt::Debug for RunOptions {
    /// Leaves lines for the shell out, which may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions").field("kept", &self.kept).finish_non_exhaustive()
    }
}

/// Refuses addresses that can never be asked, before anything long begins.
pub(crate) fn check(options: &RunOptions) -> Result<(), Error> {
    for (name, url) in [("health check", &options.health.url), ("notification", &options.notify)] {
        if let Some(url) = url {
            webhook::check(url)
                .map_err(|why| Error::Usage(format!("the address of the {name} cannot be used: {why}")))?;
        }
    }
    Ok(())
}

/// What tells whether the application is well.
#[derive(Clone)]
pub struct HealthOptions {
    /// An address that must answer GET with 2xx.
    pub url: Option<Secret>,
    /// A line for the shell that must end with 0.
    pub command: Option<String>,
    /// How often each is tried again.
    pub retries: u32,
    /// How long each try may take.
    pub timeout: Duration,
    /// How long is waited before another try.
    pub pause: Duration,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self { url: None, command: None, retries: 9, timeout: Duration::from_secs(5), pause: Duration::from_secs(3) }
    }
}

impl HealthOptions {
    /// Whether anything is to be checked.
    pub fn any(&self) -> bool {
        self.url.is_some() || self.command.is_some()
    }
}
