//! What a private cluster is like.

use std::path::PathBuf;

use crate::cache::NEWEST;
use crate::certificate::Certificates;

/// How a [`Cluster`](crate::Cluster) is made.
///
/// By default: the newest major, superuser `postgres`, UTF8, locale C, reachable by its unix socket only, without
/// passwords.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The PostgreSQL major, one of [`MAJORS`](crate::MAJORS).
    pub major: u32,
    /// The name of the superuser that `initdb` makes.
    pub superuser: String,
    /// The encoding of the template databases, as `initdb --encoding` takes it.
    pub encoding: String,
    /// The locale of the template databases, as `initdb --locale` takes it.
    pub locale: String,
    /// Listens on 127.0.0.1 too, where a password is asked for (SCRAM); the unix socket stays without one.
    pub tcp: bool,
    /// The superuser's password; one is made up when `None` and `tcp` is set.
    pub password: Option<String>,
    /// Offers TLS on the loopback address with this certificate.
    pub certificates: Option<Certificates>,
    /// Lines added to the end of `postgresql.conf`; the last setting of a name counts.
    pub configuration: Vec<String>,
    /// Lines put at the front of `pg_hba.conf`; the first match counts.
    pub access: Vec<String>,
    /// The folder of the server's programs, when it is not the major's own, such as
    /// [`Installation::bin`](crate::fake::Installation::bin).
    pub programs: Option<PathBuf>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self {
            major: NEWEST,
            superuser: "postgres".into(),
            encoding: "UTF8".into(),
            locale: "C".into(),
            tcp: false,
            password: None,
            certificates: None,
            configuration: Vec::new(),
            access: Vec::new(),
            programs: None,
        }
    }
}

impl ClusterOptions {
    /// Returns the default options for one major.
    #[must_use]
    pub fn major(major: u32) -> Self {
        Self { major, ..Self::default() }
    }

    /// Adds loopback TCP with a password.
    #[must_use]
    pub fn with_tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Adds a line of `postgresql.conf`.
    #[must_use]
    pub fn with_configuration(mut self, line: &str) -> Self {
        self.configuration.push(line.into());
        self
    }
}
