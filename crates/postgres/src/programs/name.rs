//! The programs that holdpoint calls.

use std::fmt;

/// One of PostgreSQL's own programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProgramName {
    /// `pg_dump`.
    PgDump,
    /// `pg_dumpall`.
    PgDumpall,
    /// `pg_restore`.
    PgRestore,
    /// `psql`.
    Psql,
    /// `initdb`.
    Initdb,
    /// `postgres`, the server.
    Postgres,
}

impl ProgramName {
    /// Returns the name of the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PgDump => "pg_dump",
            Self::PgDumpall => "pg_dumpall",
            Self::PgRestore => "pg_restore",
            Self::Psql => "psql",
            Self::Initdb => "initdb",
            Self::Postgres => "postgres",
        }
    }

    /// Tells whether it comes with the server's package, not with the client's.
    #[must_use]
    pub fn is_of_the_server(self) -> bool {
        matches!(self, Self::Initdb | Self::Postgres)
    }

    /// Names the packages that hold it.
    #[must_use]
    pub fn cure(self, major: u32) -> String {
        let (debian, fedora) = if self.is_of_the_server() { ("", "-server") } else { ("-client", "") };
        format!(
            "install postgresql{debian}-{major} (Debian and Ubuntu, from apt.postgresql.org), postgresql{major}{fedora} \
             (RHEL and Fedora, from yum.postgresql.org) or postgresql@{major} (Homebrew), or name the folder that has it"
        )
    }
}

impl fmt::Display for ProgramName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
