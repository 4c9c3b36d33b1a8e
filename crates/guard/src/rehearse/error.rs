//! Why a rehearsal did not come to a result.

use std::path::PathBuf;

use holdpoint_operations::ErrorKind;

/// Says why nothing was rehearsed, or why what was rehearsed cannot be told; production was not touched.
///
/// What the command did is never an error, but a [`holdpoint_core::Rehearsal`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RehearseError {
    /// Files that the command reads name production, so it would go there.
    #[error("{} names production, and the command would read it", files.iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>().join(", "))]
    NamesProduction {
        /// The files, with what is wrong in each.
        files: Vec<NamingFile>,
    },
    /// The command's own words name production.
    #[error("the command itself names production: {what}")]
    CommandNamesProduction {
        /// What it names, without a secret.
        what: String,
    },
    /// The tracking table of production is being written to.
    #[error("{table} of production is in use by somebody else, most likely a migration at work")]
    TrackingInUse {
        /// The table.
        table: String,
        /// What PostgreSQL said.
        #[source]
        source: Box<holdpoint_postgres::Error>,
    },
    /// A person or a time limit ended it.
    #[error("the rehearsal was interrupted while {what}; production was only read")]
    Interrupted {
        /// What was under way, in words.
        what: &'static str,
    },
    /// The scratch server ended meanwhile.
    #[error("the scratch server ended during the rehearsal: {reason}")]
    ScratchEnded {
        /// What is known of it.
        reason: String,
    },
    /// Production cannot be watched any more.
    #[error("the connection that held production was lost during the rehearsal")]
    WatchLost,
    /// The namespace that was there a moment ago could not be entered.
    #[error("the command could not be started apart from the network: {reason}")]
    NotApart {
        /// Why.
        reason: String,
    },
    /// A port, pipe or folder that the rehearsal needs cannot be had.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The command could not be started.
    #[error(transparent)]
    Process(#[from] holdpoint_process::Error),
}

/// A file that names production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamingFile {
    /// Its path.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// What to change.
    pub cure: String,
}

impl RehearseError {
    /// Somebody ended it while its own work was under way, not the command.
    pub(super) fn interrupted() -> Self {
        Self::Interrupted { what: "the copy was looked at" }
    }

    /// What kind of failure it is: one exit code each.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NamesProduction { .. } | Self::CommandNamesProduction { .. } => ErrorKind::Refused,
            Self::TrackingInUse { .. } => ErrorKind::Busy,
            Self::ScratchEnded { .. } | Self::WatchLost | Self::NotApart { .. } => ErrorKind::CouldNotRun,
            Self::Io { .. } => ErrorKind::Internal,
            Self::Interrupted { .. } => ErrorKind::Interrupted,
            Self::Process(error) if error.is_cancelled() => ErrorKind::Interrupted,
            Self::Process(_) => ErrorKind::Usage,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NamesProduction { files } => {
                let cures =
                    files.iter().take(3).map(|file| format!("{}:{}: {}", file.path.display(), file.line, file.cure));
                Some(cures.collect::<Vec<_>>().join("; "))
            }
            Self::CommandNamesProduction { .. } => {
                Some("let the command take its connection from a variable, such as DATABASE_URL".to_owned())
            }
            Self::TrackingInUse { .. } => Some(
                "retry when it has ended; who it is: SELECT * FROM pg_locks JOIN pg_stat_activity USING (pid)"
                    .to_owned(),
            ),
            Self::ScratchEnded { .. } => Some("look for disk and memory on this machine, then run it again".to_owned()),
            Self::WatchLost => Some("see whether production is well, then run it again".to_owned()),
            Self::NotApart { .. } => Some("run it in this network, which is said: --shared-network".to_owned()),
            Self::Io { .. } => None,
            Self::Interrupted { .. } => Some("the copy is gone with it; run it again when there is time".to_owned()),
            Self::Process(_) => Some("check the spelling and PATH; a shell's own words need sh -c '...'".to_owned()),
        }
    }
}
