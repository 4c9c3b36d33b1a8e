//! Everything needed to reach one database, and the same for child programs.

mod child_environment;
mod environment;
mod parameter;
mod passfile;
mod passwords;
mod refusal;
mod resolve;
mod service_file;
mod source;
mod tls_settings;
mod verifier;

pub(crate) mod open;
pub(crate) mod row_tap;
pub(crate) mod socket;
pub(crate) mod tls;

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use child_environment::ChildEnvironment;
pub use environment::Environment;
pub use holdpoint_core::Secret;
pub use passwords::{Login, NotMade, Passwords};
pub use tls::check_authorities;
pub use tls_settings::{Roots, SslMode, TlsSettings, TlsVersion};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name or an address.
    Tcp(String),
    /// The folder of a unix socket.
    Socket(PathBuf),
}

/// One place to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The host as written; certificates are checked against it.
    pub host: Host,
    /// The address to use instead of asking the resolver.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// The password for this server.
    pub password: Option<Secret>,
}

impl Server {
    /// Writes `host:port`, `[address]:port` or `directory:port`.
    pub fn endpoint(&self) -> String {
        match &self.host {
            Host::Tcp(host) if host.contains(':') => format!("[{host}]:{}", self.port),
            Host::Tcp(host) => format!("{host}:{}", self.port),
            Host::Socket(folder) => format!("{}:{}", folder.display(), self.port),
        }
    }

    /// Tells whether the way to it never leaves this machine.
    pub fn is_local(&self) -> bool {
        let loopback = |text: &str| text.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        match (&self.host, self.address) {
            (Host::Socket(_), _) => true,
            (Host::Tcp(_), Some(address)) => address.is_loopback(),
            (Host::Tcp(host), None) => host == "localhost" || loopback(host),
        }
    }
}

/// What kind of server is wanted among several (`target_session_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TargetServer {
    /// Any.
    #[default]
    Any,
    /// One that takes writes.
    ReadWrite,
    /// One that does not.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// A standby if there is one, else any.
    PreferStandby,
}

/// Whether the login must be bound to the TLS channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where both sides can.
    #[default]
    Prefer,
    /// Or not at all.
    Require,
}

/// TCP keepalive; on after 60 s unless said otherwise, since a silent snapshot holder must not be forgotten by a NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalives {
    /// Whether they are on.
    pub on: bool,
    /// Silence before the first probe.
    pub idle_for: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Lost probes that end the connection.
    pub count: u32,
}

/// Everything needed to connect to one database.
///
/// Made by [`ConnectionSettings::resolve`]. Neither its `Debug` form nor [`ConnectionSettings::redacted`] shows a
/// password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    pub(crate) servers: Vec<Server>,
    pub(crate) user: String,
    pub(crate) database: String,
    /// What makes passwords, where none is given once and for all.
    pub(crate) passwords: Option<Passwords>,
    pub(crate) tls: TlsSettings,
    pub(crate) channel_binding: ChannelBinding,
    /// None waits for ever.
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) application_name: Option<String>,
    pub(crate) options: Option<String>,
    pub(crate) target: TargetServer,
    pub(crate) keepalives: Keepalives,
    pub(crate) schema: Option<String>,
    pub(crate) said_to_be_pooled: bool,
    /// The endpoints as configured, kept when one of them is chosen: a fail-over is not another database.
    pub(crate) configured_endpoint: Option<String>,
    pub(crate) warnings: Vec<String>,
}

/// What may stand unencoded in a part of a URL.
const URL_PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl ConnectionSettings {
    /// The servers, in the order they are tried; never empty.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The role to log in as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// TLS, as asked for or by default.
    pub fn tls(&self) -> &TlsSettings {
        &self.tls
    }

    /// The schema that a Prisma URL names.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The command-line options for the server (`options`).
    pub fn options(&self) -> Option<&str> {
        self.options.as_deref()
    }

    /// Tells whether the URL says `pgbouncer=true`.
    pub fn said_to_be_pooled(&self) -> bool {
        self.said_to_be_pooled
    }

    /// What was ignored and should be known, such as a password file that others may read.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Tells whether passwords are made for each login, as IAM tokens are.
    pub fn makes_passwords(&self) -> bool {
        self.passwords.is_some()
    }

    /// Writes the endpoints as configured, separated by commas, also after one of them was chosen.
    pub fn endpoint(&self) -> String {
        let listed = || self.servers.iter().map(Server::endpoint).collect::<Vec<_>>().join(",");
        self.configured_endpoint.clone().unwrap_or_else(listed)
    }

    /// The name for `pg_stat_activity`, where one is set.
    pub fn application_name(&self) -> Option<&str> {
        self.application_name.as_deref()
    }

    /// Gives the same settings for another database of the server.
    #[must_use]
    pub fn with_database(&self, name: impl Into<String>) -> Self {
        Self { database: name.into(), ..self.clone() }
    }

    /// Gives the same settings for another role, with its password.
    #[must_use]
    pub fn with_role(&self, user: impl Into<String>, password: Secret) -> Self {
        let with = |server: &Server| Server { password: Some(password.clone()), ..server.clone() };
        Self { user: user.into(), servers: self.servers.iter().map(with).collect(), passwords: None, ..self.clone() }
    }

    /// Gives the same settings with a name for `pg_stat_activity`.
    #[must_use]
    pub fn with_application_name(&self, name: impl Into<String>) -> Self {
        Self { application_name: Some(name.into()), ..self.clone() }
    }

    /// Gives the same settings with more server options, in the form of `PGOPTIONS`; the added ones win.
    #[must_use]
    pub fn with_appended_options(&self, options: &str) -> Self {
        let joined = match self.options.as_deref() {
            Some(own) if !own.is_empty() => format!("{own} {options}"),
            _ => options.to_owned(),
        };
        Self { options: Some(joined), ..self.clone() }
    }

    /// Gives the same settings for another server, with the password of the first.
    #[must_use]
    pub fn with_server(&self, host: impl Into<String>, port: u16) -> Self {
        let password = self.servers.first().and_then(|server| server.password.clone());
        let server = Server { host: Host::Tcp(host.into()), address: None, port, password };
        Self { servers: vec![server], configured_endpoint: None, ..self.clone() }
    }

    /// Gives the same settings for the first server only, at this address.
    ///
    /// Every session and child made from them talks to one machine, whatever the resolver says later.
    #[must_use]
    pub fn with_resolved_address(&self, address: IpAddr) -> Self {
        self.pinned_to(0, Some(address))
    }

    /// Gives the same settings for one of the servers, at an address where it has one.
    pub(crate) fn pinned_to(&self, index: usize, address: Option<IpAddr>) -> Self {
        let mut server = self.servers[index].clone();
        server.address = address;
        // The kind of server was checked when it was chosen; a fail-over is then an error, not another choice.
        let configured_endpoint = Some(self.endpoint());
        Self { servers: vec![server], target: TargetServer::Any, configured_endpoint, ..self.clone() }
    }

    /// Writes the settings as a URL without password.
    pub fn redacted(&self) -> String {
        let part = |text: &str| utf8_percent_encode(text, URL_PART).to_string();
        let mut url = format!("postgresql://{}@", part(&self.user));
        for (index, server) in self.servers.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let host = match &server.host {
                Host::Tcp(host) if host.contains(':') => format!("[{host}]"),
                Host::Tcp(host) => part(host),
                Host::Socket(folder) => part(&folder.to_string_lossy()),
            };
            // Writing to a String cannot fail.
            write!(url, "{comma}{host}:{}", server.port).ok();
        }
        write!(url, "/{}", part(&self.database)).ok();
        if self.servers.iter().any(|server| matches!(server.host, Host::Tcp(_))) {
            write!(url, "?sslmode={}", self.tls.mode.name()).ok();
        }
        url
    }
}

impl fmt::Display for ConnectionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}
