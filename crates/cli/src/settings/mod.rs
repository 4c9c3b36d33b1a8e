//! What to work on: flags beat the environment, the environment beats the file.

mod child_environment;
mod cron;
mod database;
mod gate;
mod limits;
mod on_rds;
mod programs;
mod project;
mod rds;
mod repository;
mod retention;
mod run;
mod scratch;
mod target;

use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use holdpoint_postgres::connection::{Environment, Passwords};

pub(crate) use cron::CronSettings;
pub(crate) use database::{ChosenConnection, Purpose};
pub(crate) use repository::ChosenRepository;
pub(crate) use run::{keep_output, passing_on};
pub(crate) use target::ChosenTarget;

use crate::arguments::CommonArguments;
use crate::config::{self, Config, Sections};
use crate::failure::Failure;
use crate::variables::Variables;

/// Flags, environment and file together.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The flags that every verb takes; some come from the environment.
    pub(crate) common: CommonArguments,
    /// The environment.
    pub(crate) variables: Variables,
    /// The file.
    pub(crate) config: Config,
    /// What makes IAM tokens, once it was asked for; clones share it.
    tokens: Arc<OnceLock<Passwords>>,
}

impl Settings {
    /// Reads the file and puts everything together; `folder` is the working directory.
    pub(crate) fn gather(
        mut common: CommonArguments,
        variables: Variables,
        folder: &Path,
        sections: Sections,
    ) -> Result<Self, Failure> {
        // Not by clap: CI systems set variables to nothing, and that shall count as not set.
        common.config = common.config.or_else(|| variables.path("HOLDPOINT_CONFIG"));
        common.database = or_variable(common.database, "HOLDPOINT_DATABASE", &variables)?;
        common.repository = or_variable(common.repository, "HOLDPOINT_REPOSITORY", &variables)?;
        let config = config::find(common.config.as_deref(), folder, sections)?;
        Ok(Self { common, variables, config, tokens: Arc::default() })
    }

    /// What is left of the file where [`Self::gather`] could not read it: whom it names to be told of unattended runs.
    pub(crate) fn told(common: CommonArguments, variables: Variables, folder: &Path) -> Self {
        let named = common.config.clone().or_else(|| variables.path("HOLDPOINT_CONFIG"));
        let config = config::find_told(named.as_deref(), folder);
        Self { common, variables, config, tokens: Arc::default() }
    }

    /// The variables as libpq's rules read them.
    pub(crate) fn libpq(&self) -> Environment {
        with_account(self.variables.texts())
    }

    /// Tells whether this runs on a CI runner: its disk is gone tomorrow, and may be seen by others today.
    pub(crate) fn is_ci(&self) -> bool {
        self.variables.is_true("CI")
    }
}

/// Makes libpq's variables; where none names the user, the account's name does, as in libpq.
fn with_account<'a>(variables: impl Iterator<Item = (&'a str, &'a str)>) -> Environment {
    let given: Vec<_> = variables.filter(|(_, value)| !value.is_empty()).collect();
    if given.iter().any(|(name, _)| matches!(*name, "USER" | "LOGNAME")) {
        return Environment::new(given);
    }
    let account = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name);
    let account = account.iter().map(|name| ("USER", name.as_str()));
    Environment::new(given.iter().copied().chain(account))
}

/// Gives the flag's value, else the variable's.
fn or_variable<T: FromStr<Err: std::fmt::Display>>(
    flag: Option<T>,
    name: &str,
    variables: &Variables,
) -> Result<Option<T>, Failure> {
    match (flag, variables.get(name)) {
        (None, Some(text)) => {
            let wrong = |error| Failure::usage(format!("{name}: {error}"), "see holdpoint help");
            text.parse().map(Some).map_err(wrong)
        }
        (flag, _) => Ok(flag),
    }
}

#[cfg(test)]
mod tests;
