//! What libpq would take from the process, handed over as a value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The environment variables that name a connection, and where the user's files are.
///
/// The library never reads the process's environment: the caller does, once. `HOME` gives the folder of `.pgpass`,
/// `.pg_service.conf` and `.postgresql`; `USER` or `LOGNAME` the default user name.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Collects variables; later ones win.
    pub fn new<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        Self { variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// Gives a variable's value; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(super) fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from)
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.get("USER").or_else(|| self.get("LOGNAME"))
    }
}

impl fmt::Debug for Environment {
    /// Shows names only: a value may be a password or a URL with one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
