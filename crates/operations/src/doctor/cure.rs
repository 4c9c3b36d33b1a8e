//! What to do about an error.

use holdpoint_postgres::Error as Postgres;
use holdpoint_repository::Error as Repository;

use crate::Error;

/// The next command, SQL or change that cures an error.
pub(super) fn of(error: &Error) -> String {
    let known = match error {
        Error::Postgres(Postgres::ProgramMissing(missing)) => Some(missing.name.cure(missing.major)),
        Error::Postgres(error) => of_postgres(error).map(str::to_owned),
        Error::Repository(error) => of_repository(error).map(str::to_owned),
        other => other.hint(),
    };
    known.unwrap_or_else(|| "see the reason; then run: holdpoint doctor".to_owned())
}

fn of_postgres(error: &Postgres) -> Option<&'static str> {
    let cure = match error {
        Postgres::BadConnectionString(_) | Postgres::UnknownParameter { .. } | Postgres::BadParameter { .. } => {
            "correct the URL: postgresql://user:password@host:5432/database"
        }
        Postgres::UnknownHost { .. } => "correct the host in the URL, or look at the network's names (DNS, VPN)",
        Postgres::HostUnreachable { .. } | Postgres::ConnectTimedOut { .. } => {
            "look at host and port in the URL, whether the server runs, and the firewall"
        }
        Postgres::WrongPassword { .. } => {
            "correct user and password in the URL (special characters are percent-encoded), PGPASSWORD or ~/.pgpass"
        }
        Postgres::PasswordMissing { .. } => "put the password into PGPASSWORD or ~/.pgpass",
        Postgres::NotAllowed { .. } => {
            "add the role to pg_hba.conf and run SELECT pg_reload_conf(), or GRANT CONNECT ON DATABASE … TO …"
        }
        Postgres::NoSuchDatabase { .. } => "correct the database's name at the end of the URL; psql -l lists them",
        Postgres::TooManyConnections { .. } => {
            "end idle connections, raise max_connections or the role's CONNECTION LIMIT"
        }
        Postgres::ServerNotReady { .. } | Postgres::ConnectionLost { .. } => {
            "look at the server's log, then run: holdpoint doctor"
        }
        Postgres::StartupRefused { .. } | Postgres::SettingDiffers { .. } => {
            "give the URL of PostgreSQL itself, past the pooler, in DIRECT_URL"
        }
        Postgres::TlsNotOffered { .. } => "switch on TLS on the server, or say sslmode=disable if the way is safe",
        Postgres::ClientTooOld { .. } => "leave out the client major, or name the server's",
        _ => return None,
    };
    Some(cure)
}

fn of_repository(error: &Repository) -> Option<&'static str> {
    let cure = match error {
        Repository::NotARepository { .. } => "make it: holdpoint init; or correct the repository's URL",
        Repository::BucketNotFound { .. } => {
            "create the bucket or the directory and run: holdpoint init; or correct the repository's URL"
        }
        Repository::NewerFormat { .. } => "install the newer holdpoint that wrote it",
        Repository::AccessDenied { .. } => {
            "give the identity this right: holdpoint init --print-policy shows all it needs"
        }
        Repository::Credentials { .. } => "sign in, or name a profile",
        Repository::WrongRegion { .. } => "set region to the bucket's",
        Repository::ClockSkew { .. } => "set this machine's clock by NTP",
        Repository::Full { .. } => "make room",
        Repository::InvalidRecord { .. } | Repository::Corrupt { .. } => {
            "somebody changed it: bring it back from a version or copy of the bucket"
        }
        Repository::Throttled { .. } | Repository::Timeout { .. } | Repository::Io { .. } => {
            "look at the network or the disk, then run: holdpoint doctor"
        }
        _ => return None,
    };
    Some(cure)
}
