//! The next step for failures that do not know it themselves: by the cause, else by the kind.

use std::error::Error as StdError;

use holdpoint_guard::Error as Guard;
use holdpoint_operations::{Error as Operation, ErrorKind};
use holdpoint_postgres::Error as Postgres;
use holdpoint_postgres::programs::Cause;
use holdpoint_repository::Error as Repository;

/// Gives the hint of one error of a chain.
pub(crate) fn of_cause(error: &(dyn StdError + 'static)) -> Option<String> {
    error
        .downcast_ref::<Box<Postgres>>()
        .and_then(|error| of_postgres(error))
        .or_else(|| error.downcast_ref::<Postgres>().and_then(of_postgres))
        .or_else(|| error.downcast_ref::<Repository>().and_then(of_repository))
        .or_else(|| error.downcast_ref::<Operation>().and_then(of_operation))
}

/// Gives the hint of what a verb's error passes on: transparent variants hide what they hold from the chain.
pub(crate) fn of_operation(error: &Operation) -> Option<String> {
    match error {
        Operation::Postgres(error) | Operation::Engine(holdpoint_engine::Error::Postgres(error)) => of_postgres(error),
        Operation::Repository(error) | Operation::Engine(holdpoint_engine::Error::Repository(error)) => {
            of_repository(error)
        }
        Operation::Core(holdpoint_core::Error::NewerFormat { .. }) => Some(newer()),
        Operation::LeftBehind { failure, .. } => of_operation(failure),
        _ => None,
    }
}

/// Gives the hint of what a guarded run's error passes on.
pub(crate) fn of_guard(error: &Guard) -> Option<String> {
    match error {
        Guard::Operation(error) => of_operation(error),
        Guard::Postgres(error) => of_postgres(error),
        Guard::Repository(error) => of_repository(error),
        _ => None,
    }
}

fn newer() -> String {
    "install the newer holdpoint that wrote it".to_owned()
}

fn of_postgres(error: &Postgres) -> Option<String> {
    let hint = match error {
        Postgres::BadConnectionString(_) => "write postgresql://user:password@host:5432/database",
        Postgres::UnknownHost { .. } => "check the host in the URL, and the network's names (DNS, VPN)",
        Postgres::HostUnreachable { .. } | Postgres::ConnectTimedOut { .. } => {
            "check host and port in the URL, whether the server runs, and the firewall"
        }
        Postgres::WrongPassword { .. } => {
            "check user and password in the URL; special characters in a password are percent-encoded"
        }
        Postgres::PasswordMissing { .. } => "put the password into PGPASSWORD or ~/.pgpass",
        Postgres::NotAllowed { .. } => "let the role in with pg_hba.conf, or GRANT CONNECT ON DATABASE",
        Postgres::NoSuchDatabase { .. } => {
            "check the database's name at the end of the URL; psql -l lists what there is"
        }
        Postgres::TooManyConnections { .. } => "retry later, or with fewer --jobs",
        Postgres::ServerNotReady { .. } => "retry in a moment",
        Postgres::StartupRefused { .. } => "give the URL past the pooler in DIRECT_URL",
        Postgres::ConnectionLost { .. } => "check the server's log, then try again; nothing was published",
        Postgres::ProgramMissing(_) => {
            "install it, or name its folder: HOLDPOINT_POSTGRESQL_DIRECTORY, or postgresql_directory in holdpoint.toml"
        }
        Postgres::ProgramFailed { cause, .. } => match **cause {
            Cause::LockTimeout => "see who holds the lock (pg_stat_activity, pg_locks), or wait longer: --lock-wait 5m",
            Cause::ConnectionLost => "check the server's log, then try again; nothing was published",
            Cause::OutOfDisk => "free some disk, here or at the server",
            _ => return None,
        },
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Tells a refusal by the file system from one by a store: only the first speaks in the system's words.
fn of_files(code: &str) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    [PermissionDenied, ReadOnlyFilesystem].iter().any(|kind| kind.to_string() == code)
}

pub(crate) fn of_repository(error: &Repository) -> Option<String> {
    let hint = match error {
        Repository::BucketNotFound { .. } => "create the bucket or directory and run: holdpoint init",
        Repository::NotARepository { .. } => "check --repository, or make one there: holdpoint init",
        // The rights of a directory are those of its files.
        Repository::AccessDenied { code, .. } if of_files(code) => {
            "see who owns the repository's files and their mode (ls -l); run holdpoint as that user, or let this one in"
        }
        Repository::AccessDenied { .. } => {
            "see what the credentials may do: holdpoint doctor; what they need: holdpoint init --print-policy writer"
        }
        Repository::Credentials { .. } => "log in (aws sso login), or set AWS_PROFILE or AWS_ACCESS_KEY_ID",
        Repository::WrongRegion { .. } => "set repository.s3.region in holdpoint.toml, or AWS_REGION",
        Repository::ClockSkew { .. } => "set this machine's clock (NTP)",
        Repository::Full { .. } => "make room, then see what an unfinished write left: holdpoint leftovers",
        Repository::Corrupt { .. } => "verify it again: holdpoint verify; if that fails too, use another restore point",
        Repository::NewerFormat { .. } => return Some(newer()),
        Repository::InvalidRecord { .. } => {
            "it was changed or damaged after it was written; use another restore point: holdpoint list"
        }
        Repository::UploadLeftBehind { .. } => "remove what remains: holdpoint leftovers --remove",
        Repository::Throttled { .. } | Repository::Timeout { .. } => {
            "retry later, or set repository.s3.parallel_uploads lower"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Gives the hint of a kind of failure, where nothing more exact is known.
pub(crate) fn of_kind(kind: ErrorKind) -> Option<String> {
    let hint = match kind {
        ErrorKind::Internal => "run it again with -vv, and report what it says",
        ErrorKind::Usage => "see holdpoint help",
        ErrorKind::Refused => "the message says which rule protects the data; see docs/exit-codes.md",
        ErrorKind::Disproved => "use another restore point: holdpoint list; make a new one: holdpoint backup --verify",
        ErrorKind::CouldNotRun => "see what is missing here: holdpoint doctor",
        ErrorKind::NotFound => "see what there is: holdpoint list",
        ErrorKind::Postgres | ErrorKind::Repository => "see what would fail: holdpoint doctor",
        ErrorKind::Busy => "wait for the other one to end, then try again",
        ErrorKind::Differences => "the report lists what differs",
        ErrorKind::ConfirmationNeeded => "say --yes where nobody can be asked",
        ErrorKind::Interrupted => "nothing was published; see whether something remains: holdpoint leftovers",
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_and_a_bucket_that_refuse_have_different_cures() {
        let denied = |code: String| Repository::AccessDenied { action: "write", key: "k".into(), code };
        let files = of_repository(&denied(std::io::ErrorKind::PermissionDenied.to_string())).unwrap();
        assert!(files.contains("owns") && !files.contains("policy"), "{files}");
        assert!(of_repository(&denied("AccessDenied".to_owned())).unwrap().contains("--print-policy"));
    }
}
