//! Opens one connection: host after host, address after address, with and without TLS, as libpq does.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::refusal::refusal;
use super::row_tap::{Diversion, RowTap, TappedTls};
use super::socket::{Socket, socket, within};
use super::{ChannelBinding, ConnectionSettings, Host, Server, SslMode, TargetServer, tls};
use crate::Error;

/// The half of a connection that must be polled for the other half to work.
pub(crate) type Driver = Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send>>;

/// An open connection and the very server it leads to.
pub(crate) struct Opened {
    pub(crate) client: Client,
    pub(crate) driver: Driver,
    /// The settings narrowed to the server and address that answered.
    pub(crate) settings: ConnectionSettings,
    /// Takes the rows of a COPY before the driver sees them.
    pub(crate) diversion: Diversion,
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
        for index in 0..settings.servers.len() {
            // Asked for at each try: the one of a connection that was opened earlier may have ended.
            let settings = settings.with_fresh_password(index).await?;
            match open_server(&settings, index, &settings.servers[index], *target).await {
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
            Ok((client, driver, diversion)) => {
                let settings = settings.pinned_to(index, address.map(|address| address.ip()));
                match fits(client, driver, target, server).await {
                    Ok((client, driver)) => return Ok(Opened { client, driver, settings, diversion }),
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

async fn open_address(
    settings: &ConnectionSettings,
    server: &Server,
    address: Option<SocketAddr>,
) -> Result<(Client, Driver, Diversion), Error> {
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
) -> Result<(Client, Driver, Diversion), Error> {
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
    let diversion = Diversion::default();
    let stream = socket(settings, server, address).await?;
    let stream = RowTap::new(stream, mode != Tls::Disable, diversion.clone());
    if mode == Tls::Disable {
        let (client, connection) =
            within(settings.connect_timeout, server, config.connect_raw(stream, NoTls)).await?.map_err(said)?;
        Ok((client, Box::pin(connection), diversion))
    } else {
        let connect = TappedTls { connect: tls_for(settings, server)?, diversion: diversion.clone() };
        let (client, connection) =
            within(settings.connect_timeout, server, config.connect_raw(stream, connect)).await?.map_err(said)?;
        Ok((client, Box::pin(connection), diversion))
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
