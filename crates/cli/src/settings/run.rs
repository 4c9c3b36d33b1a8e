//! How a guarded command runs, and what goes with it.

use std::io::IsTerminal as _;
use std::time::Duration;

use holdpoint_core::Secret;
use holdpoint_core::ledger::Origin;
use holdpoint_guard::runs::this_process;
use holdpoint_guard::{Channel, HealthOptions, RunOptions, Tee, commit};

use super::Settings;
use crate::arguments::RunArguments;
use crate::config::Value;
use crate::failure::Failure;

/// Variables that name the commit in CI.
const COMMITS: [&str; 8] = [
    "GITHUB_SHA",
    "CI_COMMIT_SHA",
    "BUILDKITE_COMMIT",
    "CIRCLE_SHA1",
    "BITBUCKET_COMMIT",
    "GIT_COMMIT",
    "BUILD_SOURCEVERSION",
    "VERCEL_GIT_COMMIT_SHA",
];
/// Variables that name the job's page in CI.
const LINKS: [&str; 5] = ["CI_JOB_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL", "BUILD_URL", "RUN_DISPLAY_URL"];

impl Settings {
    /// Gives how the command runs: flags, then the file, then the defaults.
    ///
    /// # Errors
    /// A variable that is named and not set.
    pub(crate) fn run_options(&self, flags: &RunArguments, operator: Option<String>) -> Result<RunOptions, Failure> {
        let file = &self.config.guard;
        // Zero takes away what the file sets.
        let time = |flag: Option<Duration>, file: Option<Duration>| flag.or(file).filter(|time| !time.is_zero());
        let default = HealthOptions::default();
        let health = HealthOptions {
            url: self.address(
                "--health-url",
                flags.health_url.as_deref(),
                "guard.health_url",
                file.health_url.as_ref(),
            )?,
            command: flags.health_cmd.clone().or_else(|| file.health_command.clone()),
            retries: flags.health_retries.or(file.health_retries).unwrap_or(default.retries),
            timeout: time(flags.health_timeout, file.health_timeout).unwrap_or(default.timeout),
            pause: default.pause,
        };
        let secrets = [crate::secrets::known(&self.variables), self.passwords()].concat();
        Ok(RunOptions {
            // Here zero is a value: no limit.
            lock_timeout: flags.lock_timeout.or(file.lock_timeout),
            statement_timeout: time(flags.statement_timeout, file.statement_timeout),
            cancel_blocked_after: time(flags.cancel_blocked_after, file.cancel_blocked_after),
            command_timeout: time(flags.command_timeout, file.command_timeout),
            before: flags.before.clone().or_else(|| file.before.clone()),
            after: flags.after.clone().or_else(|| file.after.clone()),
            health,
            notify: self.address("--notify", flags.notify.as_deref(), "guard.notify", file.notify.as_ref())?,
            kept: Vec::new(),
            tee: None,
            origin: self.origin(operator),
            process: this_process(),
            secrets: secrets.into_iter().map(Secret::new).collect(),
        })
    }

    /// An address that is written out, or in a variable.
    fn address(
        &self,
        flag: &str,
        text: Option<&str>,
        key: &str,
        file: Option<&Value>,
    ) -> Result<Option<Secret>, Failure> {
        let (what, value) = match (text, file) {
            (Some(text), _) => {
                let wrong = |reason| Failure::usage(format!("{flag}: {reason}"), "see holdpoint guard --help");
                (flag, Value::parse(text).map_err(wrong)?)
            }
            (None, Some(value)) => (key, value.clone()),
            (None, None) => return Ok(None),
        };
        Ok(Some(Secret::new(value.get(what, &self.variables)?)))
    }

    /// Where the run came from: what CI says, else git's own files.
    pub(crate) fn origin(&self, operator: Option<String>) -> Origin {
        let first = |names: &[&str]| names.iter().find_map(|name| self.variables.get(name)).map(str::to_owned);
        let github = || {
            let part = |name| self.variables.get(name);
            let (server, repository) = (part("GITHUB_SERVER_URL")?, part("GITHUB_REPOSITORY")?);
            Some(format!("{server}/{repository}/actions/runs/{}", part("GITHUB_RUN_ID")?))
        };
        let here = || commit(&std::path::absolute(".").ok()?);
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Origin {
            commit: first(&COMMITS).or_else(here),
            host: Some(host).filter(|host| !host.is_empty()),
            operator,
            link: github().or_else(|| first(&LINKS)),
        }
    }
}

/// Keeps the command's streams that go to no terminal: there it asks nobody, and what is passed on through us is the
/// same. Read when it is known where stdout goes.
pub(crate) fn keep_output(options: &mut RunOptions) {
    let to_terminal =
        [(Channel::Out, std::io::stdout().is_terminal()), (Channel::Err, std::io::stderr().is_terminal())];
    options.kept = to_terminal.into_iter().filter(|(_, terminal)| !terminal).map(|(channel, _)| channel).collect();
    options.tee = Some(passing_on());
}

/// Passes on to our own streams what programs write.
pub(crate) fn passing_on() -> Tee {
    Tee::new(|channel, piece| {
        use std::io::Write as _;
        let written = match channel {
            Channel::Out => {
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(piece).and_then(|()| stdout.flush())
            }
            Channel::Err => std::io::stderr().lock().write_all(piece),
        };
        if let Err(error) = written {
            // Whoever read it has seen enough; the command goes on.
            tracing::debug!(%error, "what the command wrote could not be passed on");
        }
    })
}
