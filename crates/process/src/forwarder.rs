//! A door that leads to one server: on the loopback address, for programs that know no unix socket; or the other way
//! round.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

/// Where a door leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A unix socket, by the path of its file.
    Socket(PathBuf),
    /// An address.
    Tcp(SocketAddr),
}

/// Passes bytes from a port of the loopback address, or from a unix socket, to one server and back. Dropping it closes
/// every connection.
///
/// Whoever may reach this machine's loopback address may knock at a port: the server must ask for a password.
#[derive(Debug)]
pub struct Forwarder {
    port: u16,
    /// Holds the task that accepts, which holds the connections.
    _accepting: JoinSet<()>,
}

/// What is listened on.
#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Forwarder {
    /// Listens on a free port of 127.0.0.1. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// The system's, when it cannot listen.
    pub async fn open(destination: Destination) -> io::Result<Self> {
        Self::open_at(0, destination).await
    }

    /// Listens on a given port of 127.0.0.1, or a free one for 0.
    pub(crate) async fn open_at(port: u16, destination: Destination) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self::on(Listener::Tcp(listener), port, destination))
    }

    /// Listens on a unix socket, which it makes. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// The system's, when it cannot listen, such as for a path that exists.
    pub fn open_socket(path: &Path, destination: Destination) -> io::Result<Self> {
        Ok(Self::on(Listener::Unix(UnixListener::bind(path)?), 0, destination))
    }

    fn on(listener: Listener, port: u16, destination: Destination) -> Self {
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, destination));
        Self { port, _accepting: accepting }
    }

    /// Returns the port; 0 where it listens on a unix socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

async fn accept(listener: Listener, destination: Destination) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            match &listener {
                Listener::Tcp(listener) => {
                    let (client, _) = listener.accept().await?;
                    client.set_nodelay(true)?;
                    Ok::<_, io::Error>(Client::Tcp(client))
                }
                Listener::Unix(listener) => Ok(Client::Unix(listener.accept().await?.0)),
            }
        };
        tokio::select! {
            accepted = accepted => match accepted {
                Ok(Client::Tcp(client)) => drop(connections.spawn(pass(client, destination.clone()))),
                Ok(Client::Unix(client)) => drop(connections.spawn(pass(client, destination.clone()))),
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    // Out of files, for example: it would fail again at once.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Who knocked.
enum Client {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn pass(mut client: impl AsyncRead + AsyncWrite + Unpin, destination: Destination) {
    let passed = match destination {
        Destination::Socket(path) => match UnixStream::connect(&path).await {
            Ok(mut server) => copy_bidirectional(&mut client, &mut server).await,
            Err(error) => Err(error),
        },
        Destination::Tcp(address) => match TcpStream::connect(address).await {
            Ok(mut server) => {
                server.set_nodelay(true).ok();
                copy_bidirectional(&mut client, &mut server).await
            }
            Err(error) => Err(error),
        },
    };
    if let Err(error) = passed {
        tracing::debug!(%error, "a forwarded connection ended");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn talk(mut client: impl AsyncRead + AsyncWrite + Unpin, server: &UnixListener, forwarder: Forwarder) {
        client.write_all(b"ping").await.unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();
        let mut four = [0; 4];
        accepted.read_exact(&mut four).await.unwrap();
        accepted.write_all(b"pong").await.unwrap();
        client.read_exact(&mut four).await.unwrap();
        assert_eq!(&four, b"pong");
        drop(forwarder);
        assert_eq!(client.read(&mut four).await.unwrap_or(0), 0, "the connection is closed");
    }

    #[tokio::test]
    async fn bytes_go_both_ways_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let server = UnixListener::bind(&path).unwrap();
        let forwarder = Forwarder::open(Destination::Socket(path.clone())).await.unwrap();
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, forwarder.port())).await.unwrap();
        talk(client, &server, forwarder).await;
        let own = folder.path().join("own");
        let forwarder = Forwarder::open_socket(&own, Destination::Socket(path)).unwrap();
        let client = UnixStream::connect(&own).await.unwrap();
        talk(client, &server, forwarder).await;
    }
}
