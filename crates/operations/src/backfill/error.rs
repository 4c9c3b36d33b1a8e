//! Why a table cannot be filled.

use std::path::PathBuf;

use crate::ErrorKind;

/// Says why a table cannot be filled, or not further. What was committed before stays, and is recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackfillError {
    /// There is no such table.
    #[error("there is no table {table}")]
    UnknownTable {
        /// What was asked for.
        table: String,
        /// Tables whose names look like it.
        nearest: Vec<String>,
    },
    /// Several tables have the name.
    #[error("{table} may be any of {}", candidates.join(", "))]
    AmbiguousTable {
        /// What was asked for.
        table: String,
        /// Those that have the name.
        candidates: Vec<String>,
    },
    /// It is not a plain table.
    #[error("{table} is {what}")]
    NotAPlainTable {
        /// What was asked for.
        table: String,
        /// What it is.
        what: String,
        /// What to do instead.
        instead: String,
    },
    /// Nothing gives the table's rows an order in which each comes once.
    #[error("{table} has no key to walk by: {why}")]
    NoKey {
        /// The table.
        table: String,
        /// Why nothing serves.
        why: String,
    },
    /// A column that must not be set.
    #[error("column {column} of {table} cannot be set: {why}")]
    ColumnNotSettable {
        /// The column.
        column: String,
        /// The table.
        table: String,
        /// Why not.
        why: String,
    },
    /// `--set` or `--where` is not one.
    #[error("{flag} {text:?} cannot be used: {why}")]
    BadClause {
        /// `--set` or `--where`.
        flag: &'static str,
        /// What was given.
        text: String,
        /// What is wrong.
        why: String,
    },
    /// The server does not take the statement that both make.
    #[error("the server does not take it: {said}")]
    NotTaken {
        /// The server's words.
        said: String,
    },
    /// The table is not what it was when the walk began, so that rows would be left out or changed twice.
    #[error("{table} is not as it was when the backfill began: {what}")]
    TableChanged {
        /// The table.
        table: String,
        /// What is other.
        what: String,
        /// What to do instead.
        instead: String,
    },
    /// Row security would hide rows.
    #[error("row security hides rows of {table} from role {role}")]
    RowSecurity {
        /// The table.
        table: String,
        /// The role.
        role: String,
    },
    /// The server is a standby.
    #[error("the server is a standby, where nothing can be changed")]
    Standby,
    /// An earlier one has not been finished.
    #[error("an earlier backfill of {table} has not been finished: {} rows so far", holdpoint_core::quantity::count(*rows))]
    Unfinished {
        /// The table.
        table: String,
        /// The file that says how far it came.
        file: PathBuf,
        /// Rows that it changed.
        rows: u64,
    },
    /// An earlier one has not been finished, which was begun when the table had another name.
    #[error("an earlier backfill of {table}, which was {earlier} then, has not been finished: {} rows so far, in {}", holdpoint_core::quantity::count(*rows), file.display())]
    UnfinishedUnderAnotherName {
        /// The table.
        table: String,
        /// Its name then.
        earlier: String,
        /// The file that says how far it came.
        file: PathBuf,
        /// Rows that it changed.
        rows: u64,
    },
    /// There is nothing to go on with.
    #[error("there is no backfill of {table} to go on with: {} is not there", file.display())]
    NothingToResume {
        /// The table.
        table: String,
        /// The file that is missing.
        file: PathBuf,
    },
    /// The file is about another backfill.
    #[error("{} is of another backfill: {what} differs", file.display())]
    AnotherBackfill {
        /// The file.
        file: PathBuf,
        /// What differs.
        what: String,
    },
    /// Somebody went on with it while this one had no connection.
    #[error("another backfill of {table} went on meanwhile: {} is not as this one left it", file.display())]
    WentOn {
        /// The table.
        table: String,
        /// The file, which is the other's now, or gone with its end.
        file: PathBuf,
    },
    /// The server began another history: what was committed before may not be there.
    #[error("the server is on timeline {now}, and {} was written on timeline {then}: what was filled then may be lost", file.display())]
    AnotherTimeline {
        /// The file.
        file: PathBuf,
        /// The timeline that it was written on.
        then: u32,
        /// The server's now.
        now: u32,
    },
    /// The file cannot be read or written.
    #[error("{}: {why}", file.display())]
    State {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Another one is at the same table.
    #[error("another backfill is at {table}: process {pid} of the server")]
    AnotherIsRunning {
        /// The table.
        table: String,
        /// Its server process.
        pid: i32,
    },
    /// A batch could not be done, however often it was tried.
    #[error("{tries} tries of the same batch failed, the last: {said}; {rows} rows are done")]
    Stuck {
        /// How often it was tried.
        tries: u32,
        /// The last reason.
        said: String,
        /// Rows that are done.
        rows: u64,
    },
    /// Some row does not take the new value.
    #[error("a batch failed: {said}; it was rolled back, {rows} rows are done")]
    RowsRefused {
        /// What refuses, without values.
        said: String,
        /// Rows that are done.
        rows: u64,
    },
    /// The key's text is not the key.
    #[error("the key {key} of {table} does not come back from its text form")]
    KeyText {
        /// The columns.
        key: String,
        /// The table.
        table: String,
    },
}

impl BackfillError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownTable { .. } | Self::NothingToResume { .. } => ErrorKind::NotFound,
            Self::Unfinished { .. }
            | Self::UnfinishedUnderAnotherName { .. }
            | Self::AnotherTimeline { .. }
            | Self::RowSecurity { .. }
            | Self::TableChanged { .. }
            | Self::Standby => ErrorKind::Refused,
            Self::AnotherIsRunning { .. } | Self::WentOn { .. } | Self::Stuck { .. } => ErrorKind::Busy,
            Self::RowsRefused { .. } => ErrorKind::Postgres,
            Self::State { .. } => ErrorKind::Internal,
            _ => ErrorKind::Usage,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownTable { nearest, .. } if nearest.is_empty() => "name it with its schema: public.orders".to_owned(),
            Self::UnknownTable { nearest, .. } => format!("did you mean {}?", nearest.join(" or ")),
            Self::AmbiguousTable { candidates, .. } => format!("name one: {}", candidates.join(" or ")),
            Self::NotAPlainTable { instead, .. } | Self::TableChanged { instead, .. } => instead.clone(),
            Self::NoKey { .. } => {
                "make one first, without blocking writers: CREATE UNIQUE INDEX CONCURRENTLY, over columns that are NOT NULL"
                    .to_owned()
            }
            Self::ColumnNotSettable { .. } => "name another column in --set".to_owned(),
            Self::BadClause { flag: "--where", .. } => "write one condition, such as --where 'region IS NULL'".to_owned(),
            Self::BadClause { .. } => "write an assignment, such as --set 'region = upper(country)'".to_owned(),
            Self::NotTaken { .. } => "try it on some rows in psql, in a transaction that you roll back".to_owned(),
            Self::RowSecurity { role, .. } => {
                let role = holdpoint_core::name::quote_identifier(role);
                format!("ALTER ROLE {role} BYPASSRLS; or connect as the table's owner")
            }
            Self::Standby => "connect to its primary".to_owned(),
            Self::Unfinished { file, .. } => {
                format!("go on with it: --resume; or, to begin anew, remove {}", file.display())
            }
            Self::UnfinishedUnderAnotherName { file, .. } => {
                format!("go on with it: the same command with --resume; or, to begin anew, remove {}", file.display())
            }
            Self::NothingToResume { .. } => {
                "leave out --resume to begin; an earlier one that was finished left no file".to_owned()
            }
            Self::AnotherBackfill { file, .. } => {
                format!("repeat the earlier one's --set, --where and --key, or remove {}", file.display())
            }
            Self::WentOn { file, .. } => format!(
                "it goes on from what this one committed, and this one stopped; if it ended early: --resume; if {} is gone, \
                 it came to the end",
                file.display()
            ),
            Self::AnotherTimeline { file, .. } => format!(
                "a fail-over, or a restore to an earlier instant; begin again: remove {}, and let --where leave out what is \
                 done",
                file.display()
            ),
            Self::State { .. } => "see whether the folder is writable, and the file whole".to_owned(),
            Self::AnotherIsRunning { .. } => "wait for its end; who it is: holdpoint watch".to_owned(),
            Self::Stuck { .. } => "see who is in the way: holdpoint watch; then go on: --resume".to_owned(),
            Self::RowsRefused { .. } => "leave such rows out with --where, or correct them; then go on: --resume".to_owned(),
            Self::KeyText { .. } => "walk by another key: --key".to_owned(),
        })
    }
}
