//! Which database is restored into.

use holdpoint_postgres::ConnectionSettings;

use super::on_rds::Belonging;
use super::{Purpose, Settings};
use crate::config::{DatabaseSection, Environment, Value};
use crate::failure::Failure;

/// A database to restore into.
#[derive(Clone, Debug)]
pub(crate) struct ChosenTarget {
    /// How to connect.
    pub(crate) settings: ConnectionSettings,
    /// The configuration says that its rows do not matter.
    pub(crate) replaceable: bool,
}

/// A database that the file has a name for.
struct Named<'a> {
    name: &'a str,
    value: &'a Value,
    /// The key of its URL.
    what: String,
    replaceable: bool,
    /// Its section, where it is a `[database.NAME]`.
    section: Option<&'a DatabaseSection>,
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
        if let Some(known) = self.targets().into_iter().find(|known| known.name == named) {
            return Ok(ChosenTarget { settings: self.of_named(&known)?, replaceable: known.replaceable });
        }
        let value =
            Value::parse(named).map_err(|reason| Failure::usage(format!("{option}: {reason}"), "give a URL"))?;
        let text = value.get(option, &self.variables)?;
        let from = value.variable().unwrap_or(option);
        if !text.contains("://") && !text.contains('=') {
            let names: Vec<&str> = self.targets().iter().map(|known| known.name).collect();
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
        let settings = self.settled(&text, from, Belonging::default())?;
        let same = |other: &ConnectionSettings| {
            other.endpoint() == settings.endpoint() && other.database() == settings.database()
        };
        // A target whose variable is not set cannot be the one that is meant.
        let targets = self.targets();
        let found = targets.iter().filter_map(|known| Some((self.of_named(known).ok().filter(same)?, known)));
        let found: Vec<(ConnectionSettings, &Named<'_>)> = found.collect();
        // Named twice with different answers, it stays.
        let replaceable = !found.is_empty() && found.iter().all(|(_, known)| known.replaceable);
        // What the file says of a database on RDS holds for it however it is named.
        let section = found.iter().find_map(|(_, known)| known.section);
        let settings = self.settled(&text, from, Belonging { section, chosen: false })?;
        Ok(ChosenTarget { settings, replaceable })
    }

    /// Every configured target whose URL can be read.
    pub(crate) fn every_target(&self) -> Vec<ConnectionSettings> {
        self.targets().iter().filter_map(|known| self.of_named(known).ok()).collect()
    }

    /// Every connection to a database that is not said to be replaceable, however it is configured; for each purpose
    /// also the one that the environment gives.
    pub(crate) fn every_connection(&self) -> Vec<ConnectionSettings> {
        let chosen = [Purpose::Backup, Purpose::Migrate].map(|purpose| self.connection(purpose).ok());
        let chosen = chosen.into_iter().flatten().map(|chosen| chosen.settings);
        let targets = self.targets();
        let listed = targets.iter().filter(|known| !known.replaceable).filter_map(|known| self.of_named(known).ok());
        chosen.chain(listed).collect()
    }

    fn targets(&self) -> Vec<Named<'_>> {
        let targets = self.config.target.iter().map(|(name, target)| Named {
            name,
            value: &target.url,
            what: format!("target.{name}.url"),
            replaceable: !target.production,
            section: None,
        });
        let databases = self.config.database.iter().flat_map(|(name, section)| {
            let urls = [("direct_url", &section.direct_url), ("url", &section.url)];
            urls.into_iter().filter_map(move |(key, value)| {
                Some(Named {
                    name: name.as_str(),
                    value: value.as_ref()?,
                    what: format!("database.{name}.{key}"),
                    replaceable: section.environment == Environment::Staging,
                    section: Some(section),
                })
            })
        });
        // A target's name comes first, as the more deliberate one.
        targets.chain(databases).collect()
    }

    fn of_named(&self, known: &Named<'_>) -> Result<ConnectionSettings, Failure> {
        let text = known.value.get(&known.what, &self.variables)?;
        self.settled(&text, &known.what, Belonging { section: known.section, chosen: false })
    }
}
