//! A scratch server that a command brings up and another takes down: a container, a branch, a pod.

use std::ffi::OsString;
use std::time::Duration;

use holdpoint_core::Mask;
use holdpoint_process::{Program, Stdout};
use tokio_util::sync::CancellationToken;

use crate::connection::{Environment, Secret};
use crate::{ConnectionSettings, Error};

const URL_BYTES: usize = 64 * 1024;

/// How to bring a scratch server up and down. Both commands are lines for `/bin/sh`.
#[derive(Clone)]
pub struct CommandOptions {
    /// Prints the URL of a superuser as the last line of its stdout.
    pub up: String,
    /// Removes what `up` made. It is called once for every call of `up`, also when that failed or was cancelled, and
    /// finds the URL, where there was one, in `HOLDPOINT_SCRATCH_URL`.
    pub down: String,
    /// How long `up` may take.
    pub up_within: Duration,
    /// How long `down` may take.
    pub down_within: Duration,
    /// The environment of both; `HOLDPOINT_SCRATCH_ID` is added.
    pub environment: Vec<(OsString, OsString)>,
    /// Hides secrets in what the commands write: it stands in errors, and so in reports and records.
    pub mask: Mask,
}

/// Shows the commands, and only the names of the variables.
impl std::fmt::Debug for CommandOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        formatter
            .debug_struct("CommandOptions")
            .field("up", &self.up)
            .field("down", &self.down)
            .field("variables", &names)
            .finish_non_exhaustive()
    }
}

/// What is to be taken down.
#[derive(Debug)]
pub(super) struct Commanded {
    options: CommandOptions,
    id: String,
    url: Option<Secret>,
}

impl Commanded {
    /// Runs `up`. On failure `down` was run.
    pub(super) async fn up(
        options: &CommandOptions,
        id: &str,
        cancel: &CancellationToken,
    ) -> Result<(Self, ConnectionSettings), Error> {
        let mut commanded = Self { options: options.clone(), id: id.to_owned(), url: None };
        let brought = commanded.bring_up(cancel).await;
        match brought {
            Ok(settings) => Ok((commanded, settings)),
            Err(error) => {
                if let Err(second) = commanded.down().await {
                    tracing::warn!(error = %second, "what the scratch command made may remain");
                }
                Err(error)
            }
        }
    }

    async fn bring_up(&mut self, cancel: &CancellationToken) -> Result<ConnectionSettings, Error> {
        let limit = self.options.up_within;
        let printed = self.shell(&self.options.up).output(URL_BYTES, limit, cancel).await;
        let printed = printed.map_err(|error| self.failed("up", error))?.0;
        let wrong = |reason: &str| Error::ScratchCommand { step: "up", reason: reason.to_owned() };
        let printed = String::from_utf8(printed).map_err(|_| wrong("printed what is not UTF-8"))?;
        let url = printed.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let url = url.ok_or_else(|| wrong("printed no URL"))?;
        self.url = Some(Secret::new(url));
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(wrong("the last line it printed is not a postgresql:// URL"));
        }
        let settings = ConnectionSettings::resolve(url, &Environment::default())?;
        // Whatever writes it later, in whichever form.
        let passwords = settings.servers().iter().filter_map(|server| server.password.as_ref());
        self.options.mask.learn(passwords.map(|secret| secret.expose().to_owned()));
        Ok(settings)
    }

    /// Runs `down`; it cannot be cancelled, only run out of time.
    pub(super) async fn down(self) -> Result<(), Error> {
        let mut program = self.shell(&self.options.down).stdout(Stdout::Null);
        if let Some(url) = &self.url {
            program = program.variable("HOLDPOINT_SCRATCH_URL", url.expose());
        }
        let never = CancellationToken::new();
        let mut running = program.start().map_err(|error| self.failed("down", error))?;
        let ended = running.wait_within(self.options.down_within, &never, Duration::from_secs(5)).await;
        ended.and_then(|ended| ended.success("sh")).map(drop).map_err(|error| self.failed("down", error))
    }

    /// An error whose text is what the command wrote last: without secrets.
    fn failed(&self, step: &'static str, error: holdpoint_process::Error) -> Error {
        if error.is_cancelled() {
            return Error::Process(error);
        }
        Error::ScratchCommand { step, reason: self.options.mask.script(&error.to_string()) }
    }

    fn shell(&self, line: &str) -> Program {
        Program::new("/bin/sh")
            .arguments(["-c", line])
            .environment(self.options.environment.iter().cloned())
            .variable("HOLDPOINT_SCRATCH_ID", &self.id)
    }
}
