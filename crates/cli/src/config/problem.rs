//! What can be wrong with a configuration.

use std::path::PathBuf;

/// Says where and what; never repeats a line of the file, which may hold a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("configuration {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A key that nobody knows.
    #[error("{}:{line}: unknown key \"{key}\"{}", path.display(), nearest.as_ref().map(|n| format!(" (did you mean \"{n}\"?)")).unwrap_or_default())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
        /// All keys known in that place.
        known: Vec<String>,
    },
    /// Anything else that is wrong in the file.
    #[error("{}:{line}: {reason}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Keys that contradict each other.
    #[error("{}: {reason}", path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// What contradicts what.
        reason: String,
    },
    /// A value refers to a variable that is not set.
    #[error("{what} is env:{variable}, and {variable} is not set")]
    VariableNotSet {
        /// The value.
        what: String,
        /// The variable.
        variable: String,
    },
}

/// What is wrong with one database's section, for those who work on the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WrongSection {
    /// Where and what.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
}

impl From<ConfigError> for WrongSection {
    fn from(error: ConfigError) -> Self {
        Self { message: error.to_string(), hint: error.hint() }
    }
}

impl ConfigError {
    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { known, .. } if !known.is_empty() => Some(format!("known here: {}", known.join(", "))),
            Self::VariableNotSet { variable, .. } => Some(format!("set {variable}, or change the configuration")),
            Self::Unreadable { .. } => Some("name another file with --config, or leave it away".to_owned()),
            _ => None,
        }
    }
}
