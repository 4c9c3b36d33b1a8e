//! `psql`, for scripts that only it understands.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use holdpoint_process::{Program, Stdin, Stdout};

use crate::child::{connected, database_argument};
use crate::programs::ClientProgram;
use crate::{ConnectionSettings, Error};

/// A call of psql that reads no start-up file and stops at the first error.
#[derive(Clone, Debug)]
pub struct Psql {
    client: ClientProgram,
    settings: ConnectionSettings,
    single_transaction: bool,
    verbose: bool,
}

impl Psql {
    /// Connects to the database of the settings.
    #[must_use]
    pub fn new(client: &ClientProgram, settings: &ConnectionSettings) -> Self {
        Self { client: client.clone(), settings: settings.clone(), single_transaction: false, verbose: false }
    }

    /// Runs the whole script in one transaction.
    #[must_use]
    pub fn single_transaction(mut self) -> Self {
        self.single_transaction = true;
        self
    }

    /// Tells with each message its SQLSTATE, and in a line of its own where in the server's sources it comes from.
    #[must_use]
    pub fn verbose(mut self) -> Self {
        self.verbose = true;
        self
    }

    /// Gives the program that runs a script file.
    ///
    /// # Errors
    /// [`Error::PasswordNotMade`].
    pub async fn script(&self, path: &Path) -> Result<Program, Error> {
        // After the connection's arguments, since a file's name may begin with a dash.
        Ok(self.program().await?.argument("--file").argument(path))
    }

    /// Gives the program that runs the script piped into it.
    ///
    /// # Errors
    /// [`Error::PasswordNotMade`].
    pub async fn piped(&self) -> Result<Program, Error> {
        Ok(self.program().await?.argument("--file=-").stdin(Stdin::Piped))
    }

    /// Gives the line that runs a script file, for what is piped into psql.
    #[must_use]
    pub fn include(path: &Path) -> Vec<u8> {
        let mut line = b"\\i '".to_vec();
        for byte in path.as_os_str().as_bytes() {
            match byte {
                b'\n' => line.extend_from_slice(b"\\n"),
                b'\'' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
                byte => line.push(*byte),
            }
        }
        line.extend_from_slice(b"'\n");
        line
    }

    async fn program(&self) -> Result<Program, Error> {
        let program = connected(&self.client, &self.settings, "")
            .await?
            .arguments(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--pset=pager=off"])
            .argument(format!("--dbname={}", database_argument(self.settings.database())))
            .stdout(Stdout::Tail);
        let program = if self.verbose { program.argument("--set=VERBOSITY=verbose") } else { program };
        Ok(if self.single_transaction { program.argument("--single-transaction") } else { program })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_included_is_named_in_one_line() {
        let line = |path: &str| String::from_utf8(Psql::include(Path::new(path))).unwrap();
        assert_eq!(line("/a b/:x/1.sql"), "\\i '/a b/:x/1.sql'\n");
        assert_eq!(line("/it's\\n\n.sql"), "\\i '/it\\'s\\\\n\\n.sql'\n");
    }
}
