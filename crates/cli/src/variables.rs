//! The process's environment, read once and handed on as a value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// The environment variables. Its `Debug` form shows names only.
#[derive(Clone, Default)]
pub(crate) struct Variables {
    all: BTreeMap<OsString, OsString>,
}

impl Variables {
    /// Collects variables; later ones win.
    pub(crate) fn new<N: Into<OsString>, V: Into<OsString>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { all: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// Reads the process's own.
    pub(crate) fn of_process() -> Self {
        Self::new(std::env::vars_os())
    }

    /// Gives a variable's value; an empty one counts as not set, and so does one that is not UTF-8.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all.get(std::ffi::OsStr::new(name))?.to_str().filter(|value| !value.is_empty())
    }

    /// Tells whether a variable is set, to nothing.
    pub(crate) fn is_empty(&self, name: &str) -> bool {
        self.all.get(std::ffi::OsStr::new(name)).is_some_and(|value| value.is_empty())
    }

    /// Gives a variable's value as a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.all.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// Tells whether a variable says yes.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"))
    }

    /// Gives everything, for a child or for libpq's rules.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.all.iter()
    }

    /// Gives what is text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?)))
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.all.keys()).finish()
    }
}
