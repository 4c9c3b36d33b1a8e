//! `pg_restore`.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdpoint_process::{Program, Stdin, Stdout};
use tokio_util::sync::CancellationToken;

use crate::child::{connected, database_argument, offline, with_cause};
use crate::programs::ClientProgram;
use crate::{ConnectionSettings, Error};

/// A part of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreSection {
    /// Everything that must be there before the rows.
    PreData,
    /// Rows, large objects, sequence values.
    Data,
    /// Indexes, constraints, triggers, rules.
    PostData,
}

impl RestoreSection {
    fn as_str(self) -> &'static str {
        match self {
            Self::PreData => "pre-data",
            Self::Data => "data",
            Self::PostData => "post-data",
        }
    }
}

/// A call of pg_restore on an archive in a file, or on its stdin.
#[derive(Clone, Debug)]
pub struct PgRestore {
    client: ClientProgram,
    archive: Option<PathBuf>,
    arguments: Vec<OsString>,
    jobs: Option<u32>,
    keeps_going: bool,
}

impl PgRestore {
    /// Reads the archive of this file; a directory for the directory format.
    #[must_use]
    pub fn of_file(client: &ClientProgram, archive: &Path) -> Self {
        Self { archive: Some(archive.to_owned()), ..Self::of_stdin(client) }
    }

    /// Reads the archive from a pipe: forward only, so neither parallel nor in another order.
    #[must_use]
    pub fn of_stdin(client: &ClientProgram) -> Self {
        Self { client: client.clone(), archive: None, arguments: Vec::new(), jobs: None, keeps_going: false }
    }

    /// Restores only this section; may be called again for another.
    #[must_use]
    pub fn section(self, section: RestoreSection) -> Self {
        self.with(format!("--section={}", section.as_str()))
    }

    /// Restores only the entries that a list file names, in its order.
    #[must_use]
    pub fn use_list(mut self, list: &Path) -> Self {
        self.arguments.push("--use-list".into());
        self.arguments.push(list.into());
        self
    }

    /// Restores with several connections at once, where passwords last; needs an archive in a file.
    ///
    /// pg_restore then connects once more at its end, with the password that it began with. One that is made for each
    /// login may have ended by then, so with such passwords it works over the connection that it began with.
    #[must_use]
    pub fn jobs(self, jobs: u32) -> Self {
        Self { jobs: Some(jobs), ..self }
    }

    /// Restores without rows.
    #[must_use]
    pub fn schema_only(self) -> Self {
        self.with("--schema-only")
    }

    /// Leaves tablespaces to the target's default.
    #[must_use]
    pub fn no_tablespaces(self) -> Self {
        self.with("--no-tablespaces")
    }

    /// Leaves everything to the role that restores.
    #[must_use]
    pub fn no_owner(self) -> Self {
        self.with("--no-owner")
    }

    /// Leaves out grants.
    #[must_use]
    pub fn no_privileges(self) -> Self {
        self.with("--no-privileges")
    }

    /// Restores all or nothing.
    #[must_use]
    pub fn single_transaction(self) -> Self {
        self.with("--single-transaction")
    }

    /// Goes on after an error instead of stopping at the first; the program still fails at its end.
    #[must_use]
    pub fn keep_going(self) -> Self {
        Self { keeps_going: true, ..self }
    }

    /// Restores as this role.
    #[must_use]
    pub fn role(self, role: &str) -> Self {
        self.with(format!("--role={role}"))
    }

    /// Gives the program that restores into the database of the settings and, unless told to
    /// [keep going](Self::keep_going), stops at the first error; with a piped
    /// stdin where the archive comes from there.
    ///
    /// # Errors
    /// [`Error::PasswordNotMade`].
    pub async fn into_database(&self, settings: &ConnectionSettings, session_options: &str) -> Result<Program, Error> {
        let mut program = connected(&self.client, settings, session_options).await?;
        if let Some(jobs) = self.jobs.filter(|_| !settings.makes_passwords()) {
            program = program.argument(format!("--jobs={jobs}"));
        }
        if !self.keeps_going {
            program = program.argument("--exit-on-error");
        }
        let program = program.argument(format!("--dbname={}", database_argument(settings.database())));
        Ok(self.finish(program).stdout(Stdout::Tail))
    }

    /// Gives the program that prints the archive as SQL.
    #[must_use]
    pub fn into_script(&self) -> Program {
        self.finish(offline(&self.client).argument("--file=-")).stdout(Stdout::Piped)
    }

    /// Gives the program that prints the archive's contents, one entry a line.
    #[must_use]
    pub fn into_list(&self) -> Program {
        self.finish(offline(&self.client).argument("--list")).stdout(Stdout::Piped)
    }

    /// Runs into a database to the end.
    ///
    /// # Errors
    /// [`Error::ProgramFailed`] with its cause; [`Error::Process`] when cancelled: then the group is ended and the
    /// database holds a part.
    pub async fn run_into(
        &self,
        settings: &ConnectionSettings,
        session_options: &str,
        cancel: &CancellationToken,
    ) -> Result<(), Error> {
        let program = self.into_database(settings, session_options).await?;
        let mut running = program.start().map_err(Error::Process)?;
        let ended = running.wait_or_cancel(cancel, Duration::from_secs(5)).await.map_err(Error::Process)?;
        super::judge(&self.client, ended).map(drop)
    }

    /// Returns the archive's contents, one entry a line.
    ///
    /// # Errors
    /// [`Error::ProgramFailed`] with [`super::Cause::UnsupportedArchive`] for what is no archive; [`Error::Process`].
    pub async fn list(&self, limit: Duration, cancel: &CancellationToken) -> Result<Vec<u8>, Error> {
        let mut program = self.into_list();
        if self.archive.is_none() {
            program = program.stdin(Stdin::Null);
        }
        let printed = program.output(256 * 1024 * 1024, limit, cancel).await;
        printed.map(|(printed, _)| printed).map_err(|error| with_cause(&self.client, error))
    }

    /// Returns the archive's contents, read from an open file.
    ///
    /// # Errors
    /// Those of [`Self::list`].
    pub async fn list_of(&self, archive: File, limit: Duration, cancel: &CancellationToken) -> Result<Vec<u8>, Error> {
        let program = self.into_list().stdin(Stdin::File(archive));
        let printed = program.output(256 * 1024 * 1024, limit, cancel).await;
        printed.map(|(printed, _)| printed).map_err(|error| with_cause(&self.client, error))
    }

    fn with(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    fn finish(&self, program: Program) -> Program {
        let program = program.arguments(&self.arguments);
        match &self.archive {
            Some(archive) => program.argument(archive),
            None => program.stdin(Stdin::Piped),
        }
    }
}
