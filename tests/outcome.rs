//! What came of one run of the program.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::Value;

/// How the program ended and what it printed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The exit code, or 128 and the number of the signal that ended it.
    pub code: i32,
    /// What was on stdout.
    pub stdout: String,
    /// What was on stderr.
    pub stderr: String,
}

impl Outcome {
    pub(crate) fn new(status: ExitStatus, stdout: &[u8], stderr: &[u8]) -> Self {
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).expect("it ended somehow");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code, stdout: text(stdout), stderr: text(stderr) }
    }

    /// Demands an exit code.
    ///
    /// # Panics
    /// When it was another one, with all that was printed.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Reads stdout as the one JSON document that it must be.
    ///
    /// # Panics
    /// When there is none, or anything beside it.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr))
    }

    /// Returns the message, the causes and the hint of the failure that `--json` told.
    ///
    /// # Panics
    /// When none was told, or its exit code is not the program's, or the message or the hint is empty.
    #[track_caller]
    #[must_use]
    pub fn failure(&self) -> Failure {
        let document = self.json();
        let error = &document["error"];
        assert!(error.is_object(), "no failure was told: {document:#}");
        assert_eq!(error["exit_code"], self.code, "{error:#}");
        let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
        let causes = error["causes"].as_array().expect("causes are a list");
        let causes = causes.iter().map(|cause| cause.as_str().expect("a cause is text").to_owned());
        let failure = Failure {
            told: std::iter::once(text("message")).chain(causes).collect::<Vec<_>>().join(": "),
            hint: text("hint"),
            kind: text("kind"),
        };
        assert!(!failure.told.is_empty() && !failure.hint.is_empty(), "{error:#}");
        failure
    }
}

/// A failure as `--json` tells it.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The message and its causes.
    pub told: String,
    /// What to do next.
    pub hint: String,
    /// What kind it is.
    pub kind: String,
}

impl Failure {
    /// Demands words in message and causes.
    ///
    /// # Panics
    /// When one is missing.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.told.contains(word), "{word:?} is not in {:?}", self.told);
        }
        self
    }

    /// Demands words in the hint.
    ///
    /// # Panics
    /// When one is missing.
    #[track_caller]
    pub fn hints(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.hint.contains(word), "{word:?} is not in the hint {:?}", self.hint);
        }
        self
    }
}
