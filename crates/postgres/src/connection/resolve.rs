//! Settles what a connection is: the given text, then its service, then the environment, then defaults.

mod tls;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::parameter::{self, Fate, PARAMETERS};
use super::passfile::{self, Answer};
use super::source::{self, Pairs};
use super::{
    ChannelBinding, ConnectionSettings, Environment, Host, Keepalives, Secret, Server, TargetServer, service_file,
};
use crate::Error;

/// Long enough for a server that wakes up, short enough to be noticed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Where distributions put the server's socket; the first that exists is used, as each one's libpq would.
const SOCKET_FOLDERS: &[&str] = &["/var/run/postgresql", "/tmp"];

/// The parameters by name, each with where it came from already decided.
struct Values {
    values: BTreeMap<String, String>,
}

impl Values {
    fn fill(&mut self, pairs: Pairs) -> Result<(), Error> {
        let mut layer = BTreeMap::new();
        for (name, value) in pairs {
            let known = parameter::find(&name)?;
            if let Fate::Refused(why) = known.fate
                && !value.is_empty()
                && !(name == "replication" && matches!(value.as_str(), "false" | "off" | "no" | "0"))
            {
                return Err(bad(&name, format!("is not supported: {why}")));
            }
            layer.insert(name, value);
        }
        for (name, value) in layer {
            self.values.entry(name).or_insert(value);
        }
        Ok(())
    }

    /// An empty value stands for the default, as in libpq.
    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn list(&self, name: &str) -> Vec<&str> {
        self.get(name).map(|text| text.split(',').map(str::trim).collect()).unwrap_or_default()
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Error> {
        let parse = |text: &str| text.trim().parse().map_err(|_| bad(name, format!("{text:?} is not a number")));
        self.get(name).map(parse).transpose()
    }

    fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>, Error> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match choices.iter().find(|(known, _)| *known == text) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let known: Vec<_> = choices.iter().map(|(known, _)| *known).collect();
                Err(bad(name, format!("{text:?} is none of {}", known.join(", "))))
            }
        }
    }
}

fn bad(name: &str, reason: impl Into<String>) -> Error {
    Error::BadParameter { name: name.to_owned(), reason: reason.into() }
}

impl ConnectionSettings {
    /// Settles a connection from a URL or a `key=value` string, in libpq's or Prisma's form.
    ///
    /// What the text leaves open is taken from the service it or `PGSERVICE` names, then from the `PG*` variables,
    /// then from defaults (PostgreSQL manual, libpq, "Database Connection Control Functions"). A password comes last
    /// from the password file. Remote hosts are checked (`sslmode=verify-full`, by the system's authorities or those that
    /// the environment [trusts](Environment::trusting)) unless something else is said anywhere.
    ///
    /// # Errors
    /// A text that cannot be read, a parameter nobody knows or this program cannot honour, a service that no file
    /// defines. No error repeats a secret.
    pub fn resolve(source: &str, environment: &Environment) -> Result<Self, Error> {
        let mut values = Values { values: BTreeMap::new() };
        values.fill(source::parse(source)?)?;
        if let Some(service) = values.get("service").or_else(|| environment.get("PGSERVICE")) {
            let files = service_files(values.get("servicefile"), environment);
            let pairs = service_file::look_up(service, &files)?;
            values.fill(pairs)?;
        }
        let from_environment = PARAMETERS.iter().filter_map(|parameter| {
            let value = environment.get(parameter.variable?)?;
            Some((parameter.name.to_owned(), value.to_owned()))
        });
        values.fill(from_environment.collect())?;

        let mut warnings = Vec::new();
        let user = values.get("user").or_else(|| environment.user()).map(str::to_owned);
        let user = user
            .ok_or_else(|| bad("user", "is not given, USER is not in the environment, and the account has no name"))?;
        let database = values.get("dbname").unwrap_or(&user).to_owned();
        let mut servers = servers(&values)?;
        passwords(&mut servers, &values, environment, &database, &user, &mut warnings);
        let tls = tls::settings(&values, environment, &servers, &mut warnings)?;
        if matches!(values.get("gssencmode"), Some("require")) {
            return Err(bad("gssencmode", "GSSAPI encryption is not supported"));
        }
        let binding = [
            ("disable", ChannelBinding::Disable),
            ("prefer", ChannelBinding::Prefer),
            ("require", ChannelBinding::Require),
        ];
        let target = [
            ("any", TargetServer::Any),
            ("read-write", TargetServer::ReadWrite),
            ("read-only", TargetServer::ReadOnly),
            ("primary", TargetServer::Primary),
            ("standby", TargetServer::Standby),
            ("prefer-standby", TargetServer::PreferStandby),
        ];
        let name = values.get("application_name").or_else(|| values.get("fallback_application_name"));
        Ok(Self {
            servers,
            user,
            database,
            passwords: None,
            tls,
            channel_binding: values.choice("channel_binding", &binding)?.unwrap_or_default(),
            connect_timeout: match values.number::<i64>("connect_timeout")? {
                None => Some(CONNECT_TIMEOUT),
                Some(seconds) if seconds <= 0 => None,
                Some(seconds) => Some(Duration::from_secs(seconds.max(2).unsigned_abs())),
            },
            application_name: name.map(str::to_owned),
            options: values.get("options").map(str::to_owned),
            target: values.choice("target_session_attrs", &target)?.unwrap_or_default(),
            keepalives: keepalives(&values)?,
            schema: values.get("schema").map(str::to_owned),
            said_to_be_pooled: matches!(values.get("pgbouncer"), Some("true" | "1")),
            configured_endpoint: None,
            warnings,
        })
    }
}

fn service_files(named: Option<&str>, environment: &Environment) -> Vec<PathBuf> {
    let own = named.or_else(|| environment.get("PGSERVICEFILE")).map(PathBuf::from);
    let own = own.or_else(|| Some(environment.home()?.join(".pg_service.conf")));
    let system = environment.get("PGSYSCONFDIR").unwrap_or("/etc/postgresql-common");
    own.into_iter().chain([Path::new(system).join("pg_service.conf")]).collect()
}

fn servers(values: &Values) -> Result<Vec<Server>, Error> {
    let (hosts, addresses, ports) = (values.list("host"), values.list("hostaddr"), values.list("port"));
    let count = hosts.len().max(addresses.len()).max(1);
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err(bad("hostaddr", format!("{} addresses for {} hosts", addresses.len(), hosts.len())));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(bad("port", format!("{} ports for {count} hosts", ports.len())));
    }
    (0..count)
        .map(|index| {
            let port = match ports.get(index).or(ports.first()).filter(|port| !port.is_empty()) {
                None => 5432,
                Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                    bad("port", "is not a number from 1 to 65535; if it was part of a password, percent-encode that")
                })?,
            };
            let address = match addresses.get(index).filter(|address| !address.is_empty()) {
                None => None,
                Some(text) => Some(text.parse().map_err(|_| bad("hostaddr", "is not a numeric IP address"))?),
            };
            let host = match hosts.get(index).filter(|host| !host.is_empty()) {
                Some(host) if host.starts_with('/') => Host::Socket(PathBuf::from(host)),
                Some(host) if host.starts_with('@') => {
                    return Err(bad("host", "abstract sockets are not supported"));
                }
                Some(host) => Host::Tcp((*host).to_owned()),
                None => match address {
                    Some(address) => Host::Tcp(std::net::IpAddr::to_string(&address)),
                    None => default_host(port),
                },
            };
            // libpq ignores an address beside a socket folder's name as little as we do: the address wins.
            let host = match (host, address) {
                (Host::Socket(_), Some(address)) => Host::Tcp(address.to_string()),
                (host, _) => host,
            };
            Ok(Server { host, address, port, password: None })
        })
        .collect()
}

fn default_host(port: u16) -> Host {
    let listens = |folder: &&&str| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists();
    let exists = |folder: &&&str| Path::new(folder).is_dir();
    let folder = SOCKET_FOLDERS.iter().find(listens).or_else(|| SOCKET_FOLDERS.iter().find(exists));
    folder.map_or_else(|| Host::Tcp("localhost".to_owned()), |folder| Host::Socket(PathBuf::from(folder)))
}

fn passwords(
    servers: &mut [Server],
    values: &Values,
    environment: &Environment,
    database: &str,
    user: &str,
    warnings: &mut Vec<String>,
) {
    if let Some(password) = values.get("password") {
        for server in servers {
            server.password = Some(Secret::new(password));
        }
        return;
    }
    let file = values.get("passfile").map(PathBuf::from);
    let Some(file) = file.or_else(|| Some(environment.home()?.join(".pgpass"))) else { return };
    for server in servers {
        let host = match &server.host {
            Host::Tcp(host) => host.clone(),
            Host::Socket(folder) if SOCKET_FOLDERS.iter().any(|known| Path::new(known) == folder) => {
                "localhost".to_owned()
            }
            Host::Socket(folder) => folder.to_string_lossy().into_owned(),
        };
        match passfile::look_up(&file, &host, server.port, database, user) {
            Answer::Found(password) => server.password = Some(password),
            Answer::Nothing => {}
            Answer::Ignored(why) if !warnings.contains(&why) => warnings.push(why),
            Answer::Ignored(_) => {}
        }
    }
}

fn keepalives(values: &Values) -> Result<Keepalives, Error> {
    let seconds = |name| -> Result<Option<u64>, Error> { Ok(values.number::<u64>(name)?.filter(|n| *n > 0)) };
    Ok(Keepalives {
        on: values.get("keepalives") != Some("0"),
        idle_for: Duration::from_secs(seconds("keepalives_idle")?.unwrap_or(60)),
        interval: Duration::from_secs(seconds("keepalives_interval")?.unwrap_or(10)),
        count: values.number::<u32>("keepalives_count")?.filter(|n| *n > 0).unwrap_or(6),
    })
}

#[cfg(test)]
mod tests;
