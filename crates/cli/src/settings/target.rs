//! Which database is restored into.

use holdpoint_postgres::ConnectionSettings;

use super::{Purpose, Settings};
use crate::config::{Environment, Value};
use crate::failure::Failure;

/// A database to restore into.
#[derive(Clone, Debug)]
pub(crate) struct ChosenTarget {
    /// How to connect.
    pub(crate) settings: ConnectionSettings,
    /// The configuration says that its rows do not matter.
    pub(crate) replaceable: bool,
}

impl Settings {
    /// Reads `--into`, as [`Self::named_database`].
    pub(crate) fn target(&self, into: &str) -> Result<ChosenTarget, Failure> {
        self.named_database("--into", into)
    }

    /// Reads the value of `option`: a `[target.NAME]`, a `[database.NAME]`, `env:VARIABLE`, or a URL.
    ///
    /// A URL of a database that the configuration marks as replaceable is one too.
    pub(crate) fn named_database(&self, option: &str, named: &str) -> Result<ChosenTarget, Failure> {
        for (name, value, what, replaceable) in self.targets() {
            if name == named {
                let settings = self.resolve(&value.get(&what, &self.variables)?, &what)?;
                return Ok(ChosenTarget { settings, replaceable });
            }
        }
        let value =
            Value::parse(named).map_err(|reason| Failure::usage(format!("{option}: {reason}"), "give a URL"))?;
        let text = value.get(option, &self.variables)?;
        let from = value.variable().unwrap_or(option);
        if !text.contains("://") && !text.contains('=') {
            let names: Vec<&str> = self.targets().iter().map(|(name, ..)| *name).collect();
            let known = if names.is_empty() {
                "none is configured".to_owned()
            } else {
                format!("there are: {}", names.join(", "))
            };
            return Err(Failure::usage(
                format!("{from} is neither a URL nor a [target.NAME]"),
                format!("write postgresql://user@host/database, or a target; {known}"),
            ));
        }
        let settings = self.resolve(&text, from)?;
        let same = |other: &ConnectionSettings| {
            other.endpoint() == settings.endpoint() && other.database() == settings.database()
        };
        // A target whose variable is not set cannot be the one that is meant.
        let known = self.targets().into_iter().filter_map(|(_, value, what, replaceable)| {
            let text = value.get(&what, &self.variables).ok()?;
            self.resolve(&text, &what).ok().filter(same).map(|_| replaceable)
        });
        // Named twice with different answers, it stays.
        let answers: Vec<bool> = known.collect();
        let replaceable = !answers.is_empty() && answers.iter().all(|yes| *yes);
        Ok(ChosenTarget { settings, replaceable })
    }

    /// Every configured target whose URL can be read.
    pub(crate) fn every_target(&self) -> Vec<ConnectionSettings> {
        let read = |(_, value, what, _): (&str, &Value, String, bool)| {
            self.resolve(&value.get(&what, &self.variables).ok()?, &what).ok()
        };
        self.targets().into_iter().filter_map(read).collect()
    }

    /// Every connection to a database that is not said to be replaceable, however it is configured; for each purpose
    /// also the one that the environment gives.
    pub(crate) fn every_connection(&self) -> Vec<ConnectionSettings> {
        let chosen = [Purpose::Backup, Purpose::Migrate].map(|purpose| self.connection(purpose).ok());
        let chosen = chosen.into_iter().flatten().map(|chosen| chosen.settings);
        let listed = self
            .targets()
            .into_iter()
            .filter(|(.., replaceable)| !replaceable)
            .filter_map(|(_, value, what, _)| self.resolve(&value.get(&what, &self.variables).ok()?, &what).ok());
        chosen.chain(listed).collect()
    }

    fn targets(&self) -> Vec<(&str, &Value, String, bool)> {
        let targets = self
            .config
            .target
            .iter()
            .map(|(name, target)| (name.as_str(), &target.url, format!("target.{name}.url"), !target.production));
        let databases = self.config.database.iter().flat_map(|(name, database)| {
            let staging = database.environment == Environment::Staging;
            let urls = [("direct_url", &database.direct_url), ("url", &database.url)];
            urls.into_iter().filter_map(move |(key, value)| {
                Some((name.as_str(), value.as_ref()?, format!("database.{name}.{key}"), staging))
            })
        });
        // A target's name comes first, as the more deliberate one.
        targets.chain(databases).collect()
    }

    fn resolve(&self, text: &str, from: &str) -> Result<ConnectionSettings, Failure> {
        ConnectionSettings::resolve(text, &self.libpq())
            .map_err(|source| Failure::Connection { from: from.to_owned(), source: Box::new(source) })
    }
}
