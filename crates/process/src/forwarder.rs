//! A door on the loopback address that leads to one server: for programs that know no unix socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;

/// Where a door leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A unix socket, by the path of its file.
    Socket(PathBuf),
    /// An address.
    Tcp(SocketAddr),
}

/// Passes bytes from a port of the loopback address to one server and back. Dropping it closes every connection.
///
/// Whoever may reach this machine's loopback address may knock: the server must ask for a password.
#[derive(Debug)]
pub struct Forwarder {
    port: u16,
    /// Holds the task that accepts, which holds the connections.
    _accepting: JoinSet<()>,
}

impl Forwarder {
    /// Listens on a free port of 127.0.0.1. Must be called inside a Tokio runtime.
    ///
    /// # Errors
    /// The system's, when it cannot listen.
    pub async fn open(destination: Destination) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self::on(listener, port, destination))
    }

    fn on(listener: TcpListener, port: u16, destination: Destination) -> Self {
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, destination));
        Self { port, _accepting: accepting }
    }

    /// Returns the port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

async fn accept(listener: TcpListener, destination: Destination) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(pass(client, destination.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    // Out of files, for example: it would fail again at once.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass(mut client: TcpStream, destination: Destination) {
    client.set_nodelay(true).ok();
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
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn bytes_go_both_ways_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let server = UnixListener::bind(&path).unwrap();
        let forwarder = Forwarder::open(Destination::Socket(path)).await.unwrap();
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, forwarder.port())).await.unwrap();
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
}
