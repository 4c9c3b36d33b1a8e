//! Cancels what another session is doing.

use std::net::SocketAddr;

use tokio_postgres::{CancelToken, NoTls};

use super::Session;
use crate::Error;
use crate::connection::{ConnectionSettings, SslMode, open, socket};

/// Cancels the statement that a session is running; clones freely and outlives the session.
#[derive(Clone)]
pub struct Canceller {
    token: CancelToken,
    settings: ConnectionSettings,
}

impl Session {
    /// Gives the means to cancel what this session is running.
    pub fn canceller(&self) -> Canceller {
        Canceller { token: self.client.cancel_token(), settings: self.settings.clone() }
    }
}

impl Canceller {
    /// Asks the server to cancel; it does not say whether there was anything to cancel.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn cancel(&self) -> Result<(), Error> {
        let Some(server) = self.settings.servers().first() else { return Ok(()) };
        let address = server.address.map(|address| SocketAddr::new(address, server.port));
        let stream = socket::socket(&self.settings, server, address).await?;
        let plain = address.is_none() || self.settings.tls().mode == SslMode::Disable;
        let sent = if plain {
            self.token.cancel_query_raw(stream, NoTls).await
        } else {
            self.token.cancel_query_raw(stream, open::tls_for(&self.settings, server)?).await
        };
        sent.map_err(|source| Error::ConnectFailed { server: server.endpoint(), source })
    }
}

impl std::fmt::Debug for Canceller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token holds the key with which anybody could cancel.
        write!(f, "Canceller({})", self.settings.redacted())
    }
}
