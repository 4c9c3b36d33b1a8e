//! Why a server did not let us in, from the driver's error.

use std::io;

use tokio_postgres::error::SqlState;

use super::{ConnectionSettings, Server, tls};
use crate::Error;

/// Turns a failed start of a connection into its cause.
pub(super) fn refusal(settings: &ConnectionSettings, server: &Server, source: tokio_postgres::Error) -> Error {
    let (endpoint, user, database) = (server.endpoint(), settings.user.clone(), settings.database.clone());
    if let Some(answer) = source.as_db_error() {
        let said = answer.message().to_owned();
        let code = answer.code();
        let no_authentication =
            *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION && said.contains("authentication failed");
        return match code {
            // RDS looks at tokens by PAM; a role without rds_iam is asked for a password of its own.
            c if settings.passwords.is_some() && (*c == SqlState::INVALID_PASSWORD || no_authentication) => {
                Error::TokenRefused { server: endpoint, user, said }
            }
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
