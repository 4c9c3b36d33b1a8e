//! What went wrong, as the person at the prompt sees it: message, causes, hint, exit code.

use std::error::Error as StdError;

use holdpoint_core::Mask;
use holdpoint_operations::ErrorKind;
use serde::Serialize;

use crate::config::ConfigError;
use crate::hint;
use holdpoint::exit_code;

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Wrong usage.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A URL that cannot be read.
    #[error("the connection from {from} cannot be used")]
    Connection {
        /// Where the URL came from.
        from: String,
        /// What is wrong with it.
        #[source]
        source: Box<holdpoint_postgres::Error>,
    },
    /// A rule that protects data says no.
    #[error("{message}")]
    Refused {
        /// What was refused.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Nobody is there to ask, or the answer was no.
    #[error("{message}")]
    ConfirmationNeeded {
        /// What would have been done.
        message: String,
    },
    /// A verb failed.
    #[error(transparent)]
    Operation(Box<holdpoint_operations::Error>),
    /// A guarded run failed.
    #[error(transparent)]
    Guard(Box<holdpoint_guard::Error>),
    /// An undo failed, or was refused.
    #[error("{error}")]
    Undo {
        /// Why.
        #[source]
        error: Box<holdpoint_guard::Error>,
        /// What another undo must repeat to find the project again.
        flags: Vec<String>,
    },
    /// The repository cannot be opened.
    #[error(transparent)]
    Repository(#[from] holdpoint_repository::Error),
    /// A file or pipe failed.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The work is done, and only its report could not be printed.
    #[error("the report could not be printed")]
    Unprinted(#[source] std::io::Error),
    /// Something this program relies on did not hold.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<holdpoint_operations::Error> for Failure {
    fn from(error: holdpoint_operations::Error) -> Self {
        Self::Operation(Box::new(error))
    }
}

impl From<holdpoint_guard::Error> for Failure {
    fn from(error: holdpoint_guard::Error) -> Self {
        Self::Guard(Box::new(error))
    }
}

impl Failure {
    /// Says that something was typed or configured wrongly.
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    /// Says that a rule that protects data says no.
    pub(crate) fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), hint: hint.into() }
    }

    /// What kind of failure it is.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Usage { .. } | Self::Config(_) | Self::Connection { .. } => ErrorKind::Usage,
            Self::Refused { .. } => ErrorKind::Refused,
            Self::ConfirmationNeeded { .. } => ErrorKind::ConfirmationNeeded,
            Self::Operation(error) => error.kind(),
            Self::Guard(error) | Self::Undo { error, .. } => error.kind(),
            Self::Repository(
                holdpoint_repository::Error::InvalidUrl { .. } | holdpoint_repository::Error::Configuration { .. },
            ) => ErrorKind::Usage,
            Self::Repository(_) => ErrorKind::Repository,
            Self::Io { .. } | Self::Unprinted(_) | Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// The exit code.
    #[cfg(test)]
    pub(crate) fn exit_code(&self) -> u8 {
        exit_code::of(self.kind())
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        let own = match self {
            Self::Usage { hint, .. } | Self::Refused { hint, .. } => Some(hint.clone()),
            Self::Config(error) => error.hint(),
            Self::Unprinted(_) => Some(
                "nothing else failed: look at where stdout goes; what was done shows in: holdpoint status".to_owned(),
            ),
            Self::Operation(error) => error.hint(),
            Self::Repository(error) => holdpoint_operations::hint::of_repository(error),
            Self::Guard(error) => error.hint(),
            Self::Undo { error, flags } => error.hint().map(|hint| hint::with_flags_of_undo(&hint, flags)),
            _ => None,
        };
        own.or_else(|| self.chain().find_map(hint::of_cause)).or_else(|| hint::of_kind(self.kind()))
    }

    fn chain(&self) -> impl Iterator<Item = &(dyn StdError + 'static)> {
        std::iter::successors(Some(self as &(dyn StdError + 'static)), |error| (*error).source())
    }

    /// Why an upload failed that could then not be removed: its source is why it could not be removed.
    fn left_behind_by(&self) -> Option<String> {
        use holdpoint_operations::Error as Operation;
        use holdpoint_repository::Error as Repository;
        let error = match self {
            Self::Repository(error) => error,
            Self::Operation(error) => match error.as_ref() {
                Operation::Repository(error) | Operation::Engine(holdpoint_engine::Error::Repository(error)) => error,
                _ => return None,
            },
            _ => return None,
        };
        match error {
            Repository::UploadLeftBehind { cause: Some(cause), .. } => Some(format!("the upload failed: {cause}")),
            _ => None,
        }
    }

    /// Everything that is told about it, with secrets masked. `interrupted`: a signal asked for the end, so what
    /// broke off is told as that.
    pub(crate) fn told(&self, mask: &Mask, interrupted: bool) -> ErrorReport {
        let kind = self.kind().when(interrupted);
        let message = mask.message(&self.to_string());
        let mut causes: Vec<String> = Vec::new();
        for cause in self.chain().skip(1) {
            let text = mask.message(&cause.to_string());
            // Some sources are repeated by what they are the source of; nobody wants to read that twice.
            let last = causes.last().unwrap_or(&message);
            if !text.is_empty() && !last.contains(&text) {
                causes.push(text);
            }
        }
        if let Some(why) = self.left_behind_by() {
            causes.insert(0, mask.message(&why));
        }
        let hint = if kind == self.kind() { self.hint() } else { hint::of_kind(kind) };
        ErrorReport {
            kind,
            message,
            causes,
            hint: hint.map(|hint| mask.message(&hint)),
            exit_code: exit_code::of(kind),
        }
    }
}

/// What `--json` prints of a failure, below the key `error`.
#[derive(Debug, Serialize)]
pub(crate) struct ErrorReport {
    /// What kind it is.
    pub(crate) kind: ErrorKind,
    /// What failed.
    pub(crate) message: String,
    /// Why, the nearest cause first.
    pub(crate) causes: Vec<String>,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// The exit code.
    pub(crate) exit_code: u8,
}

impl ErrorReport {
    /// What failed with its causes, in one line.
    pub(crate) fn line(&self) -> String {
        std::iter::once(&self.message).chain(&self.causes).map(String::as_str).collect::<Vec<_>>().join(": ")
    }

    /// The lines for a person.
    pub(crate) fn lines(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        for cause in &self.causes {
            text.push_str(&format!("  caused by: {cause}\n"));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {hint}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_told_once_with_its_hint_and_without_secrets() {
        let source = std::io::Error::other("connect to postgresql://ann:hunter2@h failed");
        let failure = Failure::Io { what: "reading the mask".into(), source };
        let told = failure.told(&Mask::default(), false);
        assert_eq!(told.exit_code, exit_code::INTERNAL);
        let lines = told.lines();
        assert!(
            lines.starts_with("error: reading the mask\n  caused by: connect to postgresql://ann:***@h failed\n"),
            "{lines}"
        );
        assert!(lines.contains("\nhint: "), "{lines}");
        let json = serde_json::to_value(&told).unwrap();
        assert_eq!(json["kind"], "internal");
        assert_eq!(json["exit_code"], 1);
        assert!(json["causes"].is_array() && json["hint"].is_string());
    }

    #[test]
    fn a_transparent_cause_is_not_repeated() {
        let error = holdpoint_repository::Error::BucketNotFound { action: "open", root: "bucket".into() };
        let failure = Failure::from(holdpoint_operations::Error::from(error));
        let told = failure.told(&Mask::default(), false);
        assert!(told.causes.is_empty(), "{told:?}");
        assert_eq!(told.exit_code, exit_code::REPOSITORY);
        assert!(told.hint.unwrap().contains("holdpoint init"));
    }

    #[test]
    fn what_breaks_off_after_a_signal_is_an_interruption() {
        let failure =
            || Failure::from(holdpoint_repository::Error::Timeout { action: "write", key: "k".into(), attempts: 8 });
        assert_eq!(failure().told(&Mask::default(), true).exit_code, exit_code::INTERRUPTED);
        assert_eq!(failure().told(&Mask::default(), false).exit_code, exit_code::REPOSITORY);
        let refused = Failure::refused("no", "yes");
        assert_eq!(refused.told(&Mask::default(), true).exit_code, exit_code::REFUSED);
    }
}
