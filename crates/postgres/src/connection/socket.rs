//! The socket below a connection: TCP with keepalive, or unix.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::{ConnectionSettings, Host, Keepalives, Server};
use crate::Error;

/// A socket of either kind.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Gives up after `connect_timeout`.
pub(super) async fn within<F: Future>(limit: Option<Duration>, server: &Server, work: F) -> Result<F::Output, Error> {
    match limit {
        None => Ok(work.await),
        Some(limit) => tokio::time::timeout(limit, work)
            .await
            .map_err(|_| Error::ConnectTimedOut { server: server.endpoint(), seconds: limit.as_secs() }),
    }
}

/// Opens the socket alone; also the way for a cancel request.
pub(crate) async fn socket(
    settings: &ConnectionSettings,
    server: &Server,
    address: Option<SocketAddr>,
) -> Result<Socket, Error> {
    let unreachable = |source| Error::HostUnreachable { server: server.endpoint(), source };
    match (address, &server.host) {
        (Some(address), _) => {
            let stream = within(settings.connect_timeout, server, TcpStream::connect(address)).await?;
            let stream = stream.map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            keep_alive(&stream, settings.keepalives).map_err(unreachable)?;
            Ok(Socket::Tcp(stream))
        }
        (None, Host::Socket(folder)) => {
            let path = folder.join(format!(".s.PGSQL.{}", server.port));
            let stream = within(settings.connect_timeout, server, UnixStream::connect(path)).await?;
            Ok(Socket::Unix(stream.map_err(unreachable)?))
        }
        (None, Host::Tcp(_)) => Err(unreachable(io::Error::new(io::ErrorKind::NotFound, "no address"))),
    }
}

fn keep_alive(stream: &TcpStream, wanted: Keepalives) -> io::Result<()> {
    use rustix::net::sockopt;
    if wanted.on {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, wanted.idle_for)?;
        sockopt::set_tcp_keepintvl(stream, wanted.interval)?;
        sockopt::set_tcp_keepcnt(stream, wanted.count)?;
    }
    Ok(())
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
