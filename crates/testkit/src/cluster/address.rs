//! How a private server is reached.

use super::Cluster;
use crate::signature::encode;

impl Cluster {
    /// Returns the URL of a database for the superuser, by the unix socket.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        self.url_as(&self.options.superuser, database)
    }

    /// Returns the URL of a database for a role, by the unix socket, where no password is asked for.
    #[must_use]
    pub fn url_as(&self, role: &str, database: &str) -> String {
        format!(
            "postgresql://{}@/{}?host={}&port={}",
            percent(role),
            percent(database),
            percent(&self.directory.to_string_lossy()),
            self.port()
        )
    }

    /// Returns the URL of a database for the superuser, by loopback TCP, with the password.
    ///
    /// # Panics
    /// When the cluster was made without TCP.
    #[must_use]
    pub fn tcp_url(&self, database: &str) -> String {
        let password = self.options.password.as_deref().expect("the cluster was made with TCP");
        self.tcp_url_as(&self.options.superuser, password, database)
    }

    /// Returns the URL of a database for a role, by loopback TCP.
    #[must_use]
    pub fn tcp_url_as(&self, role: &str, password: &str, database: &str) -> String {
        format!("postgresql://{}:{}@127.0.0.1:{}/{}", percent(role), percent(password), self.port(), percent(database))
    }
}

fn percent(text: &str) -> String {
    encode(text, false)
}
