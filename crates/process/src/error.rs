//! What can go wrong with a child program.

use std::io;
use std::path::PathBuf;

use crate::running::Status;

/// Failures of starting, running and ending child programs.
///
/// No variant holds an environment, an argument or a connection string.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program does not exist, or the interpreter its first line names does not.
    #[error("{program}: no such program")]
    NotFound {
        /// Path or name of the program.
        program: String,
    },
    /// The program exists and could not be started.
    #[error("{program} could not be started")]
    NotStarted {
        /// Path or name of the program.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The program ran and did not end with exit code 0.
    #[error("{program} ended with {status}{}", last_words(.stderr_tail))]
    Failed {
        /// Path or name of the program.
        program: String,
        /// Exit code or signal.
        status: Status,
        /// The last lines it wrote to stderr, at most [`crate::TAIL_BYTES`].
        stderr_tail: String,
    },
    /// The caller's token was cancelled; the process group was ended.
    #[error("{program} was cancelled")]
    Cancelled {
        /// Path or name of the program.
        program: String,
    },
    /// The program did not end in time; the process group was ended.
    #[error("{program} did not end within {} s", .limit.as_secs_f32())]
    TimedOut {
        /// Path or name of the program.
        program: String,
        /// The time it had.
        limit: std::time::Duration,
        /// The last lines it wrote to stderr.
        stderr_tail: String,
    },
    /// Waiting for the program, or talking to it, failed.
    #[error("{program}: lost contact")]
    Lost {
        /// Path or name of the program.
        program: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The program printed more than its reader allows.
    #[error("{program} printed more than {limit_bytes} bytes")]
    TooMuchOutput {
        /// Path or name of the program.
        program: String,
        /// The most that was allowed.
        limit_bytes: usize,
    },
    /// The scratch keeper said something that is not of its protocol, or ended without a word.
    #[error("the scratch keeper ended before its server was ready{}", last_words(.stderr_tail))]
    KeeperSilent {
        /// The last lines it wrote to stderr.
        stderr_tail: String,
    },
    /// The scratch server, or a program that prepares it, failed before it was ready.
    #[error("scratch server: {program} {reason}{}", last_words(.log_tail))]
    ScratchFailed {
        /// Name of the program that failed.
        program: String,
        /// What happened to it.
        reason: String,
        /// The last lines of the scratch log.
        log_tail: String,
    },
    /// A scratch directory could not be read, made or removed.
    #[error("scratch directory {}", .path.display())]
    ScratchDirectory {
        /// The directory, or the file in it.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// No such user on this machine.
    #[error("user {name}: not known to this machine")]
    NoSuchUser {
        /// The user's name.
        name: String,
    },
}

impl Error {
    /// Tells whether the caller's own cancellation ended the program.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }

    /// Returns the last stderr lines of the program, empty where there are none.
    #[must_use]
    pub fn stderr_tail(&self) -> &str {
        match self {
            Self::Failed { stderr_tail, .. }
            | Self::TimedOut { stderr_tail, .. }
            | Self::KeeperSilent { stderr_tail } => stderr_tail,
            Self::ScratchFailed { log_tail, .. } => log_tail,
            _ => "",
        }
    }
}

/// Renders the last few lines of a tail for an error message.
fn last_words(tail: &str) -> String {
    let lines: Vec<&str> = tail.lines().filter(|line| !line.trim().is_empty()).collect();
    let start = lines.len().saturating_sub(6);
    if lines.is_empty() { String::new() } else { format!(": {}", lines[start..].join("; ")) }
}
