//! What libpq would take from the process, handed over as a value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The environment variables that name a connection, and where the user's files are.
///
/// The library never reads the process's environment: the caller does, once. `HOME` gives the folder of `.pgpass`,
/// `.pg_service.conf` and `.postgresql`; `USER` or `LOGNAME` the default user name.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    authorities: Option<PathBuf>,
}

impl Environment {
    /// Collects variables; later ones win.
    pub fn new<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, authorities: None }
    }

    /// Gives the same environment with a PEM file of authorities for whoever names none: a connection whose text, service
    /// and variables say nothing of `sslrootcert` trusts these alone, and is checked (`sslmode=verify-full`) also where the
    /// host is this machine, unless an `sslmode` is said.
    #[must_use]
    pub fn trusting(self, authorities: PathBuf) -> Self {
        Self { authorities: Some(authorities), ..self }
    }

    /// Gives the authorities for whoever names none.
    pub(super) fn authorities(&self) -> Option<&Path> {
        self.authorities.as_deref()
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
