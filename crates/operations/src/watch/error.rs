//! Why a session is not cancelled.

use crate::ErrorKind;

/// Says why a session is not cancelled; nothing was sent to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// There is no such session, or no longer, or another one has its number by now.
    #[error("there is no session with process {pid} on the server")]
    Gone {
        /// The server process.
        pid: i32,
    },
    /// It is one of another database.
    #[error("{name} is a session of database {database}, not of {here}")]
    AnotherDatabase {
        /// Who it is.
        name: String,
        /// Its database.
        database: String,
        /// The database that is watched.
        here: String,
    },
    /// It is one of holdpoint's own.
    #[error("{name} is a session of holdpoint itself")]
    OneOfOurs {
        /// Who it is.
        name: String,
    },
    /// It is a process of the server that serves no client.
    #[error("process {pid} is the server's {kind}, not a session")]
    NotASession {
        /// The server process.
        pid: i32,
        /// What it is.
        kind: String,
    },
    /// Nothing that could be cancelled runs in it.
    #[error("{name} runs no statement: it is {state}")]
    NothingRuns {
        /// Who it is.
        name: String,
        /// Its state.
        state: String,
    },
    /// The role may not do that.
    #[error("role {role} may not do that to {name}: {said}")]
    NotAllowed {
        /// Our role.
        role: String,
        /// Who it is.
        name: String,
        /// The server's words.
        said: String,
    },
}

impl WatchError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Gone { .. } => ErrorKind::NotFound,
            Self::NotAllowed { .. } => ErrorKind::Postgres,
            _ => ErrorKind::Refused,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Gone { .. } => "see who is there: holdpoint watch --once".to_owned(),
            Self::AnotherDatabase { .. } => {
                "choose that database with --database, or its URL in DATABASE_URL".to_owned()
            }
            Self::OneOfOurs { .. } => {
                "press Ctrl-C where that holdpoint runs: it then cleans up after itself".to_owned()
            }
            Self::NotASession { .. } => "look at the sessions: holdpoint watch --once".to_owned(),
            Self::NothingRuns { .. } => {
                "its transaction, and with it its locks, ends with the session: --terminate".to_owned()
            }
            Self::NotAllowed { role, .. } => format!(
                "connect as the session's role or a superuser, or: GRANT pg_signal_backend TO {}",
                holdpoint_core::name::quote_identifier(role)
            ),
        })
    }
}
