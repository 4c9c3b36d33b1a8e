//! Opens one connection: host after host, address after address, with and without TLS, as libpq does.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{ChannelBinding, ConnectionSettings, Host, Keepalives, Server, SslMode, TargetServer, tls};
use crate::Error;

/// The half of a connection that must be polled for the other half to work.
pub(crate) type Driver = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// An open connection and the very server it leads to.
pub(crate) struct Opened {
    pub(crate) client: Client,
    pub(crate) driver: Driver,
    /// The settings narrowed to the server and address that answered.
    pub(crate) settings: ConnectionSettings,
}

/// A socket of either kind.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Opens a connection.
pub(crate) async fn open(settings: &ConnectionSettings) -> Result<Opened, Error> {
    let passes: &[TargetServer] = match settings.target {
        TargetServer::PreferStandby => &[TargetServer::Standby, TargetServer::Any],
        TargetServer::Any => &[TargetServer::Any],
        TargetServer::ReadWrite => &[TargetServer::ReadWrite],
        TargetServer::ReadOnly => &[TargetServer::ReadOnly],
        TargetServer::Primary => &[TargetServer::Primary],
        TargetServer::Standby => &[TargetServer::Standby],
    };
    let mut last = None;
    for target in passes {
        for (index, server) in settings.servers.iter().enumerate() {
            match open_server(settings, index, server, *target).await {
                Ok(opened) => return Ok(opened),
                Err(error) if elsewhere_may_do(&error) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
    }
    Err(last.unwrap_or_else(|| Error::BadConnectionString("names no host".to_owned())))
}

/// libpq goes on to the next host when one is away or not of the wanted kind, not when one says no.
fn elsewhere_may_do(error: &Error) -> bool {
    error.is_transient() || matches!(error, Error::UnknownHost { .. } | Error::WrongKindOfServer { .. })
}

async fn open_server(
    settings: &ConnectionSettings,
    index: usize,
    server: &Server,
    target: TargetServer,
) -> Result<Opened, Error> {
    let mut last = None;
    for address in addresses(settings, server).await? {
        match open_address(settings, server, address).await {
            Ok((client, driver)) => {
                let settings = settings.pinned_to(index, address.map(|address| address.ip()));
                match fits(client, driver, target, server).await {
                    Ok((client, driver)) => return Ok(Opened { client, driver, settings }),
                    Err(error) => last = Some(error),
                }
            }
            Err(error) if elsewhere_may_do(&error) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::UnknownHost {
        host: server.endpoint(),
        source: io::Error::new(io::ErrorKind::NotFound, "no address"),
    }))
}

/// Gives the addresses to try; None stands for a unix socket.
async fn addresses(settings: &ConnectionSettings, server: &Server) -> Result<Vec<Option<SocketAddr>>, Error> {
    let host = match (&server.host, server.address) {
        (Host::Socket(_), _) => return Ok(vec![None]),
        (Host::Tcp(_), Some(address)) => return Ok(vec![Some(SocketAddr::new(address, server.port))]),
        (Host::Tcp(host), None) => host,
    };
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![Some(SocketAddr::new(address, server.port))]);
    }
    let found = within(settings.connect_timeout, server, tokio::net::lookup_host((host.as_str(), server.port))).await?;
    match found {
        Ok(found) => Ok(found.map(Some).collect()),
        Err(source) => Err(Error::UnknownHost { host: host.clone(), source }),
    }
}

async fn within<F: Future>(limit: Option<Duration>, server: &Server, work: F) -> Result<F::Output, Error> {
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

async fn open_address(
    settings: &ConnectionSettings,
    server: &Server,
    address: Option<SocketAddr>,
) -> Result<(Client, Driver), Error> {
    use tokio_postgres::config::SslMode as Tls;
    let attempts: &[Tls] = match settings.tls.mode {
        // PostgreSQL speaks no TLS on unix sockets, and libpq ignores sslmode there.
        _ if address.is_none() => &[Tls::Disable],
        SslMode::Disable => &[Tls::Disable],
        SslMode::Allow => &[Tls::Disable, Tls::Require],
        SslMode::Prefer => &[Tls::Prefer, Tls::Disable],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Tls::Require],
    };
    let mut first_error = None;
    for mode in attempts {
        match attempt(settings, server, address, *mode).await {
            Ok(opened) => return Ok(opened),
            Err(error @ (Error::NotAllowed { .. } | Error::TlsFailed { .. })) => {
                first_error.get_or_insert(error);
            }
            // Further than the first attempt came, so it says more.
            Err(error) => return Err(error),
        }
    }
    Err(first_error.unwrap_or_else(|| Error::BadConnectionString("names no host".to_owned())))
}

async fn attempt(
    settings: &ConnectionSettings,
    server: &Server,
    address: Option<SocketAddr>,
    mode: tokio_postgres::config::SslMode,
) -> Result<(Client, Driver), Error> {
    use tokio_postgres::config::{ChannelBinding as Binding, SslMode as Tls, SslNegotiation};
    let mut config = tokio_postgres::Config::new();
    config.user(&settings.user).dbname(&settings.database).ssl_mode(mode);
    config.channel_binding(match settings.channel_binding {
        ChannelBinding::Disable => Binding::Disable,
        ChannelBinding::Prefer => Binding::Prefer,
        ChannelBinding::Require => Binding::Require,
    });
    if let Some(password) = &server.password {
        config.password(password.expose());
    }
    if let Some(options) = &settings.options {
        config.options(options);
    }
    if let Some(name) = &settings.application_name {
        config.application_name(name);
    }
    if settings.tls.direct && mode == Tls::Require {
        config.ssl_negotiation(SslNegotiation::Direct);
    }
    let said = |error| refusal(settings, server, error);
    let stream = socket(settings, server, address).await?;
    if mode == Tls::Disable {
        let (client, connection) =
            within(settings.connect_timeout, server, config.connect_raw(stream, NoTls)).await?.map_err(said)?;
        Ok((client, Box::pin(connection)))
    } else {
        let connect = tls_for(settings, server)?;
        let (client, connection) =
            within(settings.connect_timeout, server, config.connect_raw(stream, connect)).await?.map_err(said)?;
        Ok((client, Box::pin(connection)))
    }
}

type TlsConnect = <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect;

/// Makes the TLS client for one server; the name checked is the host as written.
pub(crate) fn tls_for(settings: &ConnectionSettings, server: &Server) -> Result<TlsConnect, Error> {
    let host = match &server.host {
        Host::Tcp(host) => host.as_str(),
        Host::Socket(_) => "",
    };
    let mut connector = tls::connector(&settings.tls)?;
    MakeTlsConnect::<Socket>::make_tls_connect(&mut connector, host).map_err(|error| Error::BadParameter {
        name: "host".to_owned(),
        reason: format!("{host:?} cannot be checked against a certificate: {error}"),
    })
}

/// Asks a fresh connection whether it is what `target_session_attrs` wants.
async fn fits(
    client: Client,
    mut driver: Driver,
    target: TargetServer,
    server: &Server,
) -> Result<(Client, Driver), Error> {
    let (question, yes, wanted) = match target {
        TargetServer::Any | TargetServer::PreferStandby => return Ok((client, driver)),
        TargetServer::ReadWrite => ("SHOW transaction_read_only", "off", "read-write"),
        TargetServer::ReadOnly => ("SHOW transaction_read_only", "on", "read-only"),
        TargetServer::Primary => ("SELECT pg_catalog.pg_is_in_recovery()::text", "false", "a primary"),
        TargetServer::Standby => ("SELECT pg_catalog.pg_is_in_recovery()::text", "true", "a standby"),
    };
    let lost = || Error::ConnectionLost { what: "asking for the kind of server".to_owned(), reason: None };
    let messages = tokio::select! {
        messages = client.simple_query(question) => messages.map_err(|_| lost())?,
        _ = &mut driver => return Err(lost()),
    };
    let answer = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    if answer == Some(yes) {
        Ok((client, driver))
    } else {
        Err(Error::WrongKindOfServer { server: server.endpoint(), wanted })
    }
}

/// Turns a failed start of a connection into its cause.
fn refusal(settings: &ConnectionSettings, server: &Server, source: tokio_postgres::Error) -> Error {
    let (endpoint, user, database) = (server.endpoint(), settings.user.clone(), settings.database.clone());
    if let Some(answer) = source.as_db_error() {
        let said = answer.message().to_owned();
        let code = answer.code();
        return match code {
            c if *c == SqlState::INVALID_PASSWORD => Error::WrongPassword { server: endpoint, user },
            c if *c == SqlState::INVALID_CATALOG_NAME => Error::NoSuchDatabase { server: endpoint, database },
            c if *c == SqlState::TOO_MANY_CONNECTIONS => Error::TooManyConnections { server: endpoint, said },
            c if *c == SqlState::CANNOT_CONNECT_NOW => Error::ServerNotReady { server: endpoint, said },
            c if *c == SqlState::INVALID_AUTHORIZATION_SPECIFICATION || *c == SqlState::INSUFFICIENT_PRIVILEGE => {
                Error::NotAllowed { server: endpoint, user, database, said }
            }
            _ if said.contains("startup parameter") => Error::StartupRefused { server: endpoint, said },
            _ => Error::ConnectFailed { server: endpoint, source },
        };
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&source);
    while let Some(error) = cause {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls_error = error.downcast_ref::<rustls::Error>().or_else(|| inner?.downcast_ref());
        if let Some(tls_error) = tls_error {
            let (problem, cure) = tls::explain(tls_error, &settings.tls);
            return Error::TlsFailed { server: endpoint, problem, cure };
        }
        cause = error.source();
    }
    // The driver says these two in words only.
    let words = std::error::Error::source(&source).map(ToString::to_string).unwrap_or_default();
    match words.as_str() {
        "password missing" => Error::PasswordMissing { server: endpoint, user },
        "server does not support TLS" => Error::TlsNotOffered { server: endpoint },
        _ => Error::ConnectFailed { server: endpoint, source },
    }
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
