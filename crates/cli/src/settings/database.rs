//! Which database, and by which of its URLs.

use holdpoint_core::DatabaseName;
use holdpoint_postgres::ConnectionSettings;
use holdpoint_postgres::connection::Host;

use super::Settings;
use super::on_rds::Belonging;
use crate::config::{DatabaseSection, Environment, Value};
use crate::failure::Failure;

/// What a connection is for: it decides which of a database's URLs is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To read everything in one snapshot: a role that may, past any pooler.
    Backup,
    /// To do what the application's migrations do.
    Migrate,
    /// To look at the live server or to work on it for long: a role of the application, past any pooler.
    Direct,
}

/// A database that was chosen by name or by default.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChosenSection<'a> {
    /// Its name.
    pub(super) name: Option<&'a DatabaseName>,
    /// What the file says of it.
    pub(super) section: Option<&'a DatabaseSection>,
    /// It was named by a flag or variable, so its own URLs beat the environment's.
    pub(super) named: bool,
}

/// A connection, and where its URL came from.
#[derive(Clone, Debug)]
pub(crate) struct ChosenConnection {
    /// How to connect.
    pub(crate) settings: ConnectionSettings,
    /// Such as `DATABASE_URL` or `database.shop.backup_url`.
    pub(crate) from: String,
}

/// Variables with a URL past the pooler, as Prisma, Neon and Vercel name it.
const DIRECT: [&str; 3] = ["DIRECT_URL", "DATABASE_URL_UNPOOLED", "POSTGRES_URL_NON_POOLING"];
/// Variables that make libpq connect somewhere.
const LIBPQ: [&str; 4] = ["PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE"];

impl Settings {
    /// Chooses the database: the named one, the file's default, or the only one of the file.
    pub(super) fn section(&self) -> Result<ChosenSection<'_>, Failure> {
        let databases = &self.config.database;
        if let Some(name) = &self.common.database {
            return Ok(ChosenSection { name: Some(name), section: databases.get(name), named: true });
        }
        if let Some(name) = &self.config.default_database {
            return Ok(ChosenSection { name: Some(name), section: databases.get(name), named: false });
        }
        let mut all = databases.iter();
        match (all.next(), all.next()) {
            (None, _) => Ok(ChosenSection::default()),
            (Some((name, section)), None) => {
                Ok(ChosenSection { name: Some(name), section: Some(section), named: false })
            }
            _ => {
                let names = databases.keys().map(DatabaseName::as_str).collect::<Vec<_>>().join(", ");
                Err(Failure::usage(
                    format!("several databases are configured: {names}"),
                    "name one with --database, or set default_database",
                ))
            }
        }
    }

    /// Chooses how to connect to the database.
    ///
    /// A URL that is meant for the purpose beats one that also serves; of two with the same meaning, the
    /// environment's beats the file's, unless the database was named and has one of its own.
    pub(crate) fn connection(&self, purpose: Purpose) -> Result<ChosenConnection, Failure> {
        let chosen = self.section()?;
        self.perhaps_connection(purpose)?.ok_or_else(|| nowhere(chosen))
    }

    /// As [`Self::connection`], for what works without one; `None` where no URL is given at all.
    ///
    /// # Errors
    /// A URL that is given and cannot be had, such as one in a variable that is not set, is not taken for none.
    pub(crate) fn perhaps_connection(&self, purpose: Purpose) -> Result<Option<ChosenConnection>, Failure> {
        let chosen = self.section()?;
        let Some((text, from)) = self.url(purpose, chosen)? else { return Ok(None) };
        let settings = self.settled(&text, &from, Belonging { section: chosen.section, chosen: true })?;
        Ok(Some(ChosenConnection { settings, from }))
    }

    /// Gives the databases that `flag` works on: every one that is configured and not of environment "staging", sorted; those whose section
    /// cannot be read are left out.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn production(&self, flag: &str) -> Result<Vec<DatabaseName>, Failure> {
        let production = self.config.database.iter().filter(|(_, one)| one.environment == Environment::Production);
        let names: Vec<DatabaseName> = production.map(|(name, _)| name.clone()).collect();
        if names.is_empty() && self.config.unreadable.is_empty() {
            return Err(Failure::usage(
                format!("{flag} finds no database: none is configured that is not of environment \"staging\""),
                "write a section [database.NAME] with its url into holdpoint.toml",
            ));
        }
        Ok(names)
    }

    /// Gives every password of the connections that are configured, decoded, wherever it came from.
    pub(crate) fn passwords(&self) -> Vec<String> {
        let connections = [Purpose::Backup, Purpose::Migrate].map(|purpose| self.connection(purpose).ok());
        let own = connections.into_iter().flatten().map(|chosen| chosen.settings);
        let servers = own.chain(self.every_target()).flat_map(|settings| settings.servers().to_vec());
        servers.filter_map(|server| server.password.map(|secret| secret.expose().to_owned())).collect()
    }

    fn url(&self, purpose: Purpose, chosen: ChosenSection<'_>) -> Result<Option<(String, String)>, Failure> {
        let variable = |name: &str| self.variables.get(name).map(|text| (text.to_owned(), name.to_owned()));
        let own = |key: &str, value: fn(&DatabaseSection) -> Option<&Value>| -> Result<Option<_>, Failure> {
            let (Some(name), Some(value)) = (chosen.name, chosen.section.and_then(value)) else { return Ok(None) };
            let what = format!("database.{name}.{key}");
            let text = value.get(&what, &self.variables)?;
            Ok(Some((text, what)))
        };
        let backup_url = || own("backup_url", |section| section.backup_url.as_ref());
        let direct_url = || own("direct_url", |section| section.direct_url.as_ref());
        let url = || own("url", |section| section.url.as_ref());
        let has_own =
            chosen.section.is_some_and(|one| one.url.is_some() || one.direct_url.is_some() || one.backup_url.is_some());
        if chosen.named && has_own {
            let found = match purpose {
                Purpose::Backup => first([backup_url()?, direct_url()?, url()?]),
                Purpose::Migrate => first([url()?, direct_url()?, backup_url()?]),
                // A backup's URL may be a standby's.
                Purpose::Direct => first([direct_url()?, url()?, backup_url()?]),
            };
            return Ok(found);
        }
        let direct = || DIRECT.iter().find_map(|name| variable(name));
        let found = match purpose {
            Purpose::Backup => first([
                variable("HOLDPOINT_BACKUP_URL"),
                backup_url()?,
                direct(),
                direct_url()?,
                variable("DATABASE_URL"),
                url()?,
            ]),
            Purpose::Migrate => first([variable("DATABASE_URL"), url()?, direct(), direct_url()?]),
            Purpose::Direct => first([
                direct(),
                direct_url()?,
                variable("DATABASE_URL"),
                url()?,
                variable("HOLDPOINT_BACKUP_URL"),
                backup_url()?,
            ]),
        };
        let libpq = || LIBPQ.iter().find_map(|name| variable(name)).map(|(_, from)| (String::new(), from));
        Ok(found.or_else(libpq))
    }

    /// Gives the name that a database would have without configuration, for a restore that needs no folder.
    pub(crate) fn name_of(&self, settings: &ConnectionSettings) -> DatabaseName {
        self.database_name().unwrap_or_else(|_| unconfigured(settings))
    }

    /// Gives the name of the database's folder in the repository: the configured one, or one made from the
    /// connection.
    pub(crate) fn database_name(&self) -> Result<DatabaseName, Failure> {
        match self.section()?.name {
            Some(name) => Ok(name.clone()),
            None => Ok(unconfigured(&self.connection(Purpose::Backup)?.settings)),
        }
    }
}

fn first<T>(candidates: impl IntoIterator<Item = Option<T>>) -> Option<T> {
    candidates.into_iter().flatten().next()
}

fn nowhere(chosen: ChosenSection<'_>) -> Failure {
    match (chosen.name, chosen.section) {
        (Some(name), None) => Failure::usage(
            format!("no URL is known for database {name}: there is no [database.{name}], and DATABASE_URL is not set"),
            "set DATABASE_URL, or write the section into holdpoint.toml",
        ),
        (Some(name), Some(_)) => Failure::usage(
            format!("no URL is known for database {name}"),
            format!("write url = \"env:DATABASE_URL\" below [database.{name}], or set DATABASE_URL"),
        ),
        (None, _) => Failure::usage("no database is given", "set DATABASE_URL, or write a holdpoint.toml"),
    }
}

/// The host's first label says enough to a person; addresses stay whole.
fn unconfigured(settings: &ConnectionSettings) -> DatabaseName {
    let label = match settings.servers().first().map(|server| &server.host) {
        Some(Host::Tcp(host)) if host.parse::<std::net::IpAddr>().is_ok() => host.clone(),
        Some(Host::Tcp(host)) => host.split('.').next().unwrap_or(host).to_owned(),
        _ => "localhost".to_owned(),
    };
    DatabaseName::unconfigured(&label, settings.database())
}
