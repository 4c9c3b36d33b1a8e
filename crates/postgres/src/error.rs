//! Everything that can go wrong between holdpoint and PostgreSQL.

use std::io;
use std::path::PathBuf;

use holdpoint_core::quantity::listed;
use holdpoint_process::Status;
use tokio_postgres::error::DbError;

use crate::programs::{Cause, ProgramsMissing};

/// Why something with PostgreSQL failed; a variant where a caller or a person acts differently.
///
/// No message holds a password or a connection string.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is neither a URL nor `key=value`, or is one that cannot be read. The text itself is never repeated.
    #[error("connection string: {0}")]
    BadConnectionString(String),
    /// A connection parameter that nobody knows.
    #[error("unknown connection parameter {name:?}{}", nearest.as_ref().map(|n| format!(" (did you mean {n}?)")).unwrap_or_default())]
    UnknownParameter {
        /// The name as written.
        name: String,
        /// The known name that looks most like it.
        nearest: Option<String>,
    },
    /// A connection parameter's value that cannot be used.
    #[error("connection parameter {name}: {reason}")]
    BadParameter {
        /// The parameter.
        name: String,
        /// What is wrong with it, without its value where that could be secret.
        reason: String,
    },
    /// A connection service that no file defines.
    #[error("connection service {name:?} is not defined in {}", files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(" or "))]
    NoSuchService {
        /// The service.
        name: String,
        /// The files looked at.
        files: Vec<PathBuf>,
    },
    /// A certificate, key, revocation list, service or password file that cannot be used.
    #[error("{}: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The host name is not known.
    #[error("host {host:?} is not known")]
    UnknownHost {
        /// The host.
        host: String,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// Nothing answers there.
    #[error("{server} cannot be reached")]
    HostUnreachable {
        /// `host:port`.
        server: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server did not answer in time.
    #[error("{server} did not answer within {seconds} s (connect_timeout)")]
    ConnectTimedOut {
        /// `host:port`.
        server: String,
        /// The time given.
        seconds: u64,
    },
    /// TLS is wanted and the server has none.
    #[error("{server} offers no TLS; if the way to it is safe, say sslmode=disable")]
    TlsNotOffered {
        /// `host:port`.
        server: String,
    },
    /// TLS failed: mostly the server's certificate.
    #[error("TLS with {server}: {problem}: {cure}")]
    TlsFailed {
        /// `host:port`.
        server: String,
        /// What was found.
        problem: String,
        /// What to do.
        cure: String,
    },
    /// The server asks for a password and none was given.
    #[error("{server} asks for the password of {user:?} and none is given: put it in the URL, PGPASSWORD or .pgpass")]
    PasswordMissing {
        /// `host:port`.
        server: String,
        /// The role.
        user: String,
    },
    /// The password is wrong.
    #[error("{server} refuses the password of {user:?}")]
    WrongPassword {
        /// `host:port`.
        server: String,
        /// The role.
        user: String,
    },
    /// No password could be made for a login.
    #[error("no IAM token for {user:?} at {server}")]
    PasswordNotMade {
        /// `host:port`.
        server: String,
        /// The role.
        user: String,
        /// Why.
        #[source]
        source: crate::connection::NotMade,
    },
    /// A password that was made for this login is refused.
    #[error("{server} refuses the IAM token of {user:?}: {said}")]
    TokenRefused {
        /// `host:port`.
        server: String,
        /// The role.
        user: String,
        /// The server's words.
        said: String,
    },
    /// The server does not let this role, from here, to this database.
    #[error("{server} does not let {user:?} into database {database:?}: {said}")]
    NotAllowed {
        /// `host:port`.
        server: String,
        /// The role.
        user: String,
        /// The database.
        database: String,
        /// The server's words.
        said: String,
    },
    /// There is no such database.
    #[error("{server} has no database {database:?}")]
    NoSuchDatabase {
        /// `host:port`.
        server: String,
        /// The database.
        database: String,
    },
    /// The server, the database or the role has no connection left.
    #[error("{server} has no connection left: {said}")]
    TooManyConnections {
        /// `host:port`.
        server: String,
        /// The server's words.
        said: String,
    },
    /// The server is starting, stopping or recovering.
    #[error("{server} is not ready: {said}")]
    ServerNotReady {
        /// `host:port`.
        server: String,
        /// The server's words.
        said: String,
    },
    /// A server that is not of the wanted kind (`target_session_attrs`).
    #[error("{server} is not {wanted}, as target_session_attrs asks")]
    WrongKindOfServer {
        /// `host:port`.
        server: String,
        /// The kind.
        wanted: &'static str,
    },
    /// The server or a pooler before it refuses a start-up parameter.
    #[error(
        "{server} refuses a start-up parameter ({said}): this looks like a connection pooler; connect to PostgreSQL itself"
    )]
    StartupRefused {
        /// `host:port`.
        server: String,
        /// The words.
        said: String,
    },
    /// The connection could not be made, for another reason.
    #[error("connecting to {server}")]
    ConnectFailed {
        /// `host:port`.
        server: String,
        /// What the driver or the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// An established connection was lost.
    #[error("lost the connection while {what}{}", reason.as_ref().map(|r| format!(": {r}")).unwrap_or_default())]
    ConnectionLost {
        /// What was being done.
        what: String,
        /// Why, where the server or the system said so.
        reason: Option<String>,
    },
    /// The server refused a statement.
    #[error("{what}")]
    Query {
        /// What was being done.
        what: String,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A session setting that does not stay as it was set; texts would differ.
    #[error("session setting {name} is {found:?} after it was set to {wanted:?}")]
    SettingDiffers {
        /// The setting.
        name: String,
        /// What was set.
        wanted: String,
        /// What the server says it is.
        found: String,
    },
    /// A program of PostgreSQL is not there in the wanted version.
    #[error("{0}")]
    ProgramMissing(Box<ProgramsMissing>),
    /// The client programs asked for are older than the server: they would refuse it.
    #[error("client programs of PostgreSQL {client_major} cannot serve a server of {server_major}")]
    ClientTooOld {
        /// The major asked for.
        client_major: u32,
        /// The server's.
        server_major: u32,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} ended with {status}: {cause}{}", quoted_tail(stderr_tail))]
    ProgramFailed {
        /// Its name and major.
        program: String,
        /// Exit code or signal.
        status: Status,
        /// What its messages tell.
        cause: Box<Cause>,
        /// Its last lines on stderr.
        stderr_tail: String,
    },
    /// A child program could not be run to its end.
    #[error(transparent)]
    Process(#[from] holdpoint_process::Error),
    /// The scratch server's folder, or a program it needs, cannot be used by the user that the server runs as.
    #[error("{} cannot be used for a scratch server: {reason}", path.display())]
    ScratchPlace {
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The server's machine does not have a locale, or the server was built without its provider.
    #[error("locale {locale:?} is not available: {said}")]
    LocaleMissing {
        /// The locale, with its provider.
        locale: String,
        /// The server's words.
        said: String,
    },
    /// The command that brings a scratch server up or down does not do what it should.
    #[error("scratch command {step:?}: {reason}")]
    ScratchCommand {
        /// `up` or `down`.
        step: &'static str,
        /// What is wrong, without its output where that holds a URL.
        reason: String,
    },
    /// An answer of a form that this program does not expect.
    #[error("unexpected answer while {what}: {found}")]
    UnexpectedAnswer {
        /// What was being done.
        what: String,
        /// What came.
        found: String,
    },
}

impl Error {
    /// Tells whether the same call may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::HostUnreachable { .. }
            | Self::ConnectTimedOut { .. }
            | Self::TooManyConnections { .. }
            | Self::ServerNotReady { .. }
            | Self::ConnectionLost { .. } => true,
            Self::ConnectFailed { source, .. } | Self::Query { source, .. } => transient(source),
            Self::ProgramFailed { cause, .. } => cause.is_transient(),
            _ => false,
        }
    }

    /// Tells whether a child was ended because the caller wished it.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Process(error) if error.is_cancelled())
    }

    /// Gives the SQLSTATE, where the server sent one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::ConnectFailed { source, .. } | Self::Query { source, .. } => source.code().map(|code| code.code()),
            _ => None,
        }
    }

    /// Gives the server's words about a statement, without values of rows.
    ///
    /// Errors of classes 22 (data exception) and 23 (integrity) repeat values: of those only the SQLSTATE is told.
    pub fn said(&self) -> Option<String> {
        let Self::Query { source, .. } = self else { return None };
        source.as_db_error().map(words)
    }
}

/// An error of any crate with its causes, on one line; what the server said is told with its SQLSTATE, without values of
/// rows, and ends it.
pub fn line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let of_server = cause.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::as_db_error);
        if let Some(said) = of_server {
            let (words, code) = (words(said), format!("SQLSTATE {}", said.code().code()));
            let code = if words.contains(&code) { String::new() } else { format!(" ({code})") };
            text.push_str(&format!(": {words}{code}"));
            break;
        }
        let words = cause.to_string();
        // Some repeat what they are caused by.
        if !text.contains(&words) {
            text.push_str(&format!(": {words}"));
        }
        next = cause.source();
    }
    text
}

/// The server's words, without values of rows.
fn words(said: &DbError) -> String {
    let code = said.code().code();
    if ["22", "23"].iter().any(|class| code.starts_with(class)) {
        let constraint = said.constraint().map(|name| format!("constraint {name} refuses a row"));
        let column = || said.column().map(|name| format!("column {name} refuses a row"));
        let what = constraint.or_else(column).unwrap_or_else(|| "it fails on some row".to_owned());
        return format!("{what} (SQLSTATE {code})");
    }
    said.message().to_owned()
}

/// Class 08 is the connection, 53 a lack of resources, 57P a shutdown, 40 a conflict that a retry solves, 55P03 a lock.
fn transient(source: &tokio_postgres::Error) -> bool {
    match source.code().map(|code| code.code()) {
        Some(code) => {
            ["08", "40"].iter().any(|class| code.starts_with(class))
                || matches!(code, "53000" | "53300" | "57P01" | "57P02" | "57P03" | "55P03")
        }
        None => source.is_closed() || caused_by_io(source),
    }
}

fn caused_by_io(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        if cause.is::<io::Error>() {
            return true;
        }
        next = cause.source();
    }
    false
}

/// Writes the last few lines of a program, for a message.
fn quoted_tail(tail: &str) -> String {
    let lines: Vec<&str> = tail.lines().filter(|line| !line.trim().is_empty()).collect();
    let start = lines.len().saturating_sub(6);
    let lines: Vec<String> = lines[start..].iter().map(|line| without_most_tables(line)).collect();
    if lines.is_empty() { String::new() } else { format!(" ({})", lines.join("; ")) }
}

/// Shortens the statement by which pg_dump locks every table of the database to its first three tables.
fn without_most_tables(line: &str) -> String {
    const STATEMENT: &str = "LOCK TABLE ";
    const MOST: usize = 3;
    let Some(start) = line.find(STATEMENT).map(|at| at + STATEMENT.len()) else { return line.to_owned() };
    let list = &line[start..];
    let end = list.find(" IN ACCESS ").unwrap_or(list.len());
    let tables = separated(&list[..end]);
    if tables.len() <= MOST {
        return line.to_owned();
    }
    format!("{}{}{}", &line[..start], listed(&tables, MOST), &list[end..])
}

/// Splits at commas that stand outside of quoted names.
fn separated(list: &str) -> Vec<String> {
    let mut quoted = false;
    let parts = list.split(|c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    parts.map(|part| part.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_of_tables_is_cut() {
        let line = |list: &str| format!("pg_dump: detail: Query was: LOCK TABLE {list} IN ACCESS SHARE MODE");
        let shortened = |list: &str| without_most_tables(&line(list));
        assert_eq!(shortened("public.a"), line("public.a"));
        assert_eq!(shortened("a.a, a.b, a.c"), line("a.a, a.b, a.c"));
        assert_eq!(shortened("a.a, a.b, \"a, \"\"x\", a.d, a.e"), line("a.a, a.b, \"a, \"\"x\" and 2 more"));
        // The line itself was cut, in the middle of the list.
        assert_eq!(without_most_tables("LOCK TABLE a, b, c, d, e…"), "LOCK TABLE a, b, c and 2 more");
        assert_eq!(without_most_tables("pg_dump: error: x, y"), "pg_dump: error: x, y");
    }
}
