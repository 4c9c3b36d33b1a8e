//! Why no list of pending migrations could be made.

use std::path::PathBuf;

use holdpoint_operations::ErrorKind;

use super::{Candidate, TableName, ToolName};

/// Says why a project or its tracking table could not be read; nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No tool and no folder of migrations was found.
    #[error("no migration tool and no folder of SQL files was found")]
    NoTool {
        /// What was looked for.
        looked_for: Vec<String>,
        /// Tools without an adapter, and how they list what is pending.
        seen: Vec<String>,
    },
    /// The project uses several tools.
    #[error("several migration tools were found: {}", candidates.iter().map(|one| format!("{} ({})", one.tool, one.because)).collect::<Vec<_>>().join(", "))]
    SeveralTools {
        /// They.
        candidates: Vec<Candidate>,
    },
    /// A tracking table was named for a tool that has none.
    #[error("{tool} keeps no tracking table")]
    NoTable {
        /// The tool.
        tool: ToolName,
    },
    /// A file that was named is no migration of the folder.
    #[error("{name} is no migration file of this project")]
    UnknownFile {
        /// The name.
        name: String,
    },
    /// A folder or file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder of migrations is not there.
    #[error("{} is not a folder", path.display())]
    NoFolder {
        /// Which.
        path: PathBuf,
        /// The file or rule that names it.
        named_by: String,
    },
    /// A file is larger than any migration.
    #[error("{} has {bytes} bytes, more than the {limit} that are read", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Its size, or that of all files so far.
        bytes: u64,
        /// What is read.
        limit: u64,
    },
    /// A folder holds more files than any folder of migrations.
    #[error("{} holds more than {limit} files", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// How many are read.
        limit: usize,
    },
    /// A configuration file is not what its name says.
    #[error("{} cannot be understood: {reason}", path.display())]
    BadConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong, without any value.
        reason: String,
    },
    /// A configured value is computed, and no code of the project is run to know it.
    #[error("{key} in {} is computed, and no code of the project is run", path.display())]
    Computed {
        /// The file.
        path: PathBuf,
        /// The value's name.
        key: String,
        /// The option that gives the value instead.
        option: String,
    },
    /// The role may not read the tracking table.
    #[error("role {role} may not read {table}")]
    NotReadable {
        /// The table.
        table: TableName,
        /// The role.
        role: String,
        /// What is missing: a grant in words of SQL.
        grant: String,
    },
    /// Somebody has locked the tracking table, most likely a migration at work.
    #[error("{table} is locked by somebody else")]
    Locked {
        /// The table.
        table: TableName,
        /// What PostgreSQL said.
        #[source]
        source: Box<holdpoint_postgres::Error>,
    },
    /// The tracking table lacks a column.
    #[error("{table} has no column {}, so it is no tracking table of {tool}", columns.join(", "))]
    OtherTable {
        /// The table.
        table: TableName,
        /// The missing columns.
        columns: Vec<String>,
        /// The tool.
        tool: ToolName,
    },
    /// The tracking table is larger than any.
    #[error("{table} has more than {limit} rows")]
    TooManyRows {
        /// The table.
        table: TableName,
        /// How many are read.
        limit: usize,
    },
    /// What a command printed names no file.
    #[error("the command for pending migrations printed {line:?}, which is no file of this project")]
    UnknownLine {
        /// The line.
        line: String,
    },
    /// The command for pending migrations failed, or did not end.
    #[error("the command for pending migrations failed")]
    PendingCommand {
        /// What happened to it.
        #[source]
        source: Box<holdpoint_process::Error>,
    },
    /// It printed nothing, and yet said something on stderr.
    #[error("the command for pending migrations printed no list, and said on stderr: {said}")]
    PendingCommandSpoke {
        /// What it said; secrets are masked.
        said: String,
    },
    /// It was said how far a database is, and the tool itself knows that.
    #[error("{tool} keeps a tracking table, which says what is applied")]
    OwnTable {
        /// The tool.
        tool: ToolName,
    },
    /// A document is no export of tracking table and catalog.
    #[error("the export cannot be understood: {reason}")]
    BadFacts {
        /// Why.
        reason: String,
    },
    /// An export is of another tool, or of another table.
    #[error("the export is of {theirs}, and the project uses {ours}")]
    OtherFacts {
        /// The export's tool and table.
        theirs: String,
        /// The project's.
        ours: String,
    },
    /// PostgreSQL failed.
    #[error(transparent)]
    Postgres(#[from] holdpoint_postgres::Error),
}

impl Error {
    /// What kind of failure it is: one exit code each.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotReadable { .. } | Self::OtherTable { .. } | Self::TooManyRows { .. } | Self::Postgres(_) => {
                ErrorKind::Postgres
            }
            Self::Locked { .. } => ErrorKind::Busy,
            Self::PendingCommand { source } if source.is_cancelled() => ErrorKind::Interrupted,
            _ => ErrorKind::Usage,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => Some("make it readable, or move it out of the folder of migrations".to_owned()),
            Self::NoTool { seen, .. } if !seen.is_empty() => Some(seen.join("; ")),
            Self::NoTool { looked_for, .. } => Some(format!(
                "go to the project's folder, or name it with --project, --migrations or --pending-cmd; looked for: {}",
                looked_for.join(", ")
            )),
            Self::SeveralTools { candidates } => {
                let flags: Vec<String> = candidates.iter().map(|one| format!("--tool {}", one.tool)).collect();
                Some(format!("say which: {}", flags.join(", or ")))
            }
            Self::NoTable { .. } => {
                Some("leave --migrations-table out, or name the tool that has it: --tool".to_owned())
            }
            Self::UnknownFile { .. } => Some("name one as it lies in the folder of migrations, or none".to_owned()),
            Self::Postgres(error) => holdpoint_operations::hint::of_postgres(error),
            Self::NoFolder { named_by, .. } => Some(format!("{named_by} names it; to name another: --migrations DIR")),
            Self::TooLarge { .. } | Self::TooMany { .. } => {
                Some("if it is the right folder of migrations at all: --migrations DIR".to_owned())
            }
            Self::BadConfig { .. } => Some("correct the file, or say it by --tool and --migrations DIR".to_owned()),
            Self::Computed { option, .. } => Some(format!("say what it comes to: {option}")),
            Self::NotReadable { grant, .. } => Some(format!("as the table's owner: {grant}")),
            Self::Locked { .. } => Some(
                "retry when it has ended; who it is: SELECT * FROM pg_locks JOIN pg_stat_activity USING (pid)"
                    .to_owned(),
            ),
            Self::OtherTable { .. } => Some("name the right one: --migrations-table SCHEMA.TABLE".to_owned()),
            Self::TooManyRows { .. } => Some("check that it is the right table: --migrations-table".to_owned()),
            Self::PendingCommandSpoke { .. } => {
                Some("where nothing is pending it must say nothing on stderr either".to_owned())
            }
            Self::PendingCommand { .. } => {
                Some("it is run by bash (or sh) in the project's folder, up to the first command that fails; try it there by itself".to_owned())
            }
            Self::OwnTable { .. } => Some("leave --applied-through out".to_owned()),
            Self::BadFacts { .. } | Self::OtherFacts { .. } => {
                Some("make it anew, for this project: holdpoint plan --export FILE".to_owned())
            }
            Self::UnknownLine { .. } => {
                Some("let the command print one path or name of a migration file a line, and nothing else".to_owned())
            }
        }
    }
}
