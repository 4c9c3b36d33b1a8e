//! The stock client programs, run against a [`Cluster`].

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::cluster::{Cluster, quote_identifier};

impl Cluster {
    /// Returns a program of this major, set to reach this server: nothing of the caller's environment but `PATH` and
    /// `HOME`, `PGHOST`, `PGPORT` and `PGUSER` of the cluster.
    #[must_use]
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin_directory().join(name));
        command
            .env_clear()
            .envs(std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "HOME"))
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("PGHOST", self.socket_directory())
            .env("PGPORT", self.port().to_string())
            .env("PGUSER", self.superuser())
            .env("PGPASSFILE", "/nonexistent/pgpass")
            .env("PGSERVICEFILE", "/nonexistent/pg_service.conf")
            .stdin(Stdio::null());
        command
    }

    /// Runs SQL text by `psql -X -At` as the superuser and returns what it printed, without the last newline.
    ///
    /// Several statements are several transactions; the first error ends the text.
    ///
    /// # Panics
    /// On any error, with what psql said.
    #[track_caller]
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.try_psql(database, sql).unwrap_or_else(|message| panic!("psql {database}: {message}\n{}", head(sql)))
    }

    /// As [`Cluster::psql`], as another role.
    ///
    /// # Panics
    /// On any error, with what psql said.
    #[track_caller]
    pub fn psql_as(&self, role: &str, database: &str, sql: &str) -> String {
        self.try_psql_as(role, database, sql)
            .unwrap_or_else(|message| panic!("psql {database} as {role}: {message}\n{}", head(sql)))
    }

    /// Runs SQL text by psql and returns what it printed, or what it said on its way to failure.
    ///
    /// # Errors
    /// With psql's standard error, when a statement fails or no connection is made.
    pub fn try_psql(&self, database: &str, sql: &str) -> Result<String, String> {
        self.try_psql_as(self.superuser(), database, sql)
    }

    /// As [`Cluster::try_psql`], as another role.
    ///
    /// # Errors
    /// As [`Cluster::try_psql`].
    pub fn try_psql_as(&self, role: &str, database: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d"])
            .arg(connection_name(database))
            .env("PGUSER", role);
        let output = with_input(psql, sql.as_bytes());
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.ends_with('\n') {
            text.pop();
        }
        Ok(text)
    }

    /// Makes an empty database.
    ///
    /// # Panics
    /// When it cannot be made.
    #[track_caller]
    pub fn create_database(&self, name: &str) {
        self.create_database_with(name, "");
    }

    /// Makes an empty database with options, such as `ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0`.
    ///
    /// # Panics
    /// When it cannot be made.
    #[track_caller]
    pub fn create_database_with(&self, name: &str, options: &str) {
        self.psql("postgres", &format!("CREATE DATABASE {} {options}", quote_identifier(name)));
    }

    /// Drops a database, ending its sessions.
    ///
    /// # Panics
    /// When it cannot be dropped.
    #[track_caller]
    pub fn drop_database(&self, name: &str) {
        self.psql("postgres", &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_identifier(name)));
    }

    /// Runs the stock `pg_dump` of a database and returns its standard output.
    ///
    /// # Panics
    /// When it fails, with what it said.
    #[track_caller]
    pub fn pg_dump<A: AsRef<OsStr>>(&self, database: &str, arguments: &[A]) -> Vec<u8> {
        let mut command = self.program("pg_dump");
        command.args(arguments).arg("-d").arg(connection_name(database));
        expect_success(&mut command).stdout
    }

    /// Runs the stock `pg_restore`; give `-d` yourself. Returns what it printed, said and ended with.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn pg_restore<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Output {
        self.program("pg_restore").args(arguments).output().expect("pg_restore starts")
    }

    /// Runs the stock `pg_restore` with an archive on its standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn pg_restore_from<A: AsRef<OsStr>>(&self, arguments: &[A], archive: &[u8]) -> Output {
        let mut command = self.program("pg_restore");
        command.args(arguments);
        with_input(command, archive)
    }
}

/// Runs a command and returns its output.
///
/// # Panics
/// When it cannot be started or fails, with all that it said.
#[track_caller]
pub fn expect_success(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{:?} ended with {}:\n{}",
        command.get_program(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a command with bytes on its standard input.
///
/// # Panics
/// When it cannot be started.
#[track_caller]
pub fn with_input(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let mut pipe = child.stdin.take().expect("the input is a pipe");
    thread::scope(|scope| {
        scope.spawn(move || {
            if pipe.write_all(input).is_err() {
                // The child ended early; its status says why.
            }
        });
        child.wait_with_output().expect("the child can be waited for")
    })
}

/// A database name as `-d` takes it: a name with `=` would be read as a connection string.
fn connection_name(database: &str) -> String {
    format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn head(sql: &str) -> String {
    sql.chars().take(400).collect()
}
