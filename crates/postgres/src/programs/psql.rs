//! `psql`, for scripts that only it understands.

use std::path::Path;

use holdpoint_process::{Program, Stdin, Stdout};

use crate::ConnectionSettings;
use crate::child::{connected, database_argument};
use crate::programs::ClientProgram;

/// A call of psql that reads no start-up file and stops at the first error.
#[derive(Clone, Debug)]
pub struct Psql {
    client: ClientProgram,
    settings: ConnectionSettings,
    single_transaction: bool,
}

impl Psql {
    /// Connects to the database of the settings.
    #[must_use]
    pub fn new(client: &ClientProgram, settings: &ConnectionSettings) -> Self {
        Self { client: client.clone(), settings: settings.clone(), single_transaction: false }
    }

    /// Runs the whole script in one transaction.
    #[must_use]
    pub fn single_transaction(mut self) -> Self {
        self.single_transaction = true;
        self
    }

    /// Gives the program that runs a script file.
    #[must_use]
    pub fn script(&self, path: &Path) -> Program {
        // After the connection's arguments, since a file's name may begin with a dash.
        self.program().argument("--file").argument(path)
    }

    /// Gives the program that runs the script piped into it.
    #[must_use]
    pub fn piped(&self) -> Program {
        self.program().argument("--file=-").stdin(Stdin::Piped)
    }

    fn program(&self) -> Program {
        let program = connected(&self.client, &self.settings, "")
            .arguments(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--pset=pager=off"])
            .argument(format!("--dbname={}", database_argument(self.settings.database())))
            .stdout(Stdout::Tail);
        if self.single_transaction { program.argument("--single-transaction") } else { program }
    }
}
