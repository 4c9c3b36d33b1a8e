//! Passwords that are made when they are needed, because they are good for a while only: Amazon RDS's IAM tokens.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{ConnectionSettings, Host, Secret, SslMode};
use crate::Error;

/// Who logs in where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Login {
    /// The host as written.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub user: String,
}

/// Why no password could be made.
pub type NotMade = Box<dyn StdError + Send + Sync>;

type Making = Pin<Box<dyn Future<Output = Result<Secret, NotMade>> + Send>>;

/// Makes passwords. It is asked whenever a connection is opened and whenever a child that connects is started, so it keeps what
/// it made for as long as that is good.
#[derive(Clone)]
pub struct Passwords(Arc<dyn Fn(Login) -> Making + Send + Sync>);

impl Passwords {
    /// Takes what makes them.
    pub fn new<F, M>(make: M) -> Self
    where
        M: Fn(Login) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Secret, NotMade>> + Send + 'static,
    {
        Self(Arc::new(move |login| Box::pin(make(login))))
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords(..)")
    }
}

impl PartialEq for Passwords {
    /// Two are equal when they are the same one.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Passwords {}

impl ConnectionSettings {
    /// Gives the same settings with passwords that are made for each login; one that is given is not used.
    ///
    /// # Errors
    /// [`Error::BadParameter`]: such a password is sent as it is, so each host must be reached over TLS
    /// (`sslmode=require` or stronger).
    pub fn with_passwords(&self, passwords: Passwords) -> Result<Self, Error> {
        let weak = |name: &str, reason: String| Err(Error::BadParameter { name: name.to_owned(), reason });
        if self.servers.iter().any(|server| matches!(server.host, Host::Socket(_))) {
            return weak("host", "is the folder of a socket, and IAM authentication needs TLS over TCP".to_owned());
        }
        if self.tls.mode < SslMode::Require {
            let mode = self.tls.mode.name();
            return weak("sslmode", format!("{mode} is too weak for IAM authentication, which needs TLS"));
        }
        let servers = self.servers.iter().map(|server| super::Server { password: None, ..server.clone() });
        Ok(Self { servers: servers.collect(), passwords: Some(passwords), ..self.clone() })
    }

    /// Gives the same settings with passwords that are good now, where they are made; as they are, where not.
    ///
    /// # Errors
    /// [`Error::PasswordNotMade`].
    pub(crate) async fn with_fresh_passwords(&self) -> Result<Self, Error> {
        let mut fresh = self.clone();
        for index in 0..self.servers.len() {
            fresh = fresh.with_fresh_password(index).await?;
        }
        Ok(fresh)
    }

    /// The same for one of the servers.
    pub(super) async fn with_fresh_password(&self, index: usize) -> Result<Self, Error> {
        let mut fresh = self.clone();
        let server = &mut fresh.servers[index];
        if let (Some(Passwords(make)), Host::Tcp(host)) = (&self.passwords, &server.host) {
            let login = Login { host: host.clone(), port: server.port, user: self.user.clone() };
            let made = make(login).await;
            server.password = Some(made.map_err(|source| Error::PasswordNotMade {
                server: server.endpoint(),
                user: self.user.clone(),
                source,
            })?);
        }
        Ok(fresh)
    }
}
