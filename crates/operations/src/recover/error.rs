//! Why tables could not be recovered.

use holdpoint_core::digest::RowDigest;
use holdpoint_core::name::quote_identifier;

use super::RecoverOptions;
use crate::ErrorKind;

/// Says why tables could not be recovered. Live data are as before, whichever it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The restore point has no such table.
    #[error("{place} has no table {name}")]
    UnknownTable {
        /// As it was asked for.
        name: String,
        /// Where it was looked for.
        place: String,
        /// Names that look like it, the most alike first.
        nearest: Vec<String>,
    },
    /// Several schemas have a table of this name.
    #[error("{name} is in several schemas: {}", candidates.join(", "))]
    AmbiguousTable {
        /// As it was asked for.
        name: String,
        /// All that it may mean.
        candidates: Vec<String>,
    },
    /// The restore point knows the table and has none of its rows.
    #[error("{place} holds no rows of {table}: they were left out when it was made")]
    NoRows {
        /// The table.
        table: String,
        /// Where they should be.
        place: String,
    },
    /// The source knows partitions of the table and has none of their rows.
    #[error(
        "{place} holds no rows of {}, which are partitions of {table}: they were left out when it was made",
        parts.join(", ")
    )]
    PartitionsWithoutRows {
        /// The table.
        table: String,
        /// Some of the partitions.
        parts: Vec<String>,
        /// Where their rows should be.
        place: String,
    },
    /// A text holds the tables of more than one database, and nothing tells whose rows are wanted.
    #[error("{place} holds the tables of several databases")]
    SeveralDatabases {
        /// The text.
        place: String,
    },
    /// The role may not read the tables in the database that they are to come from.
    #[error("role {role} cannot read {} in {place}", tables.join(", "))]
    Unreadable {
        /// The role.
        role: String,
        /// The tables.
        tables: Vec<String>,
        /// The database.
        place: String,
    },
    /// A text was changed on its way: its lines end in CR LF.
    #[error("the lines of {place} end in CR LF, as a copy in text mode leaves them")]
    LineEnds {
        /// The text.
        place: String,
    },
    /// The database is not the one that the restore point was made of.
    #[error("restore point {point} was made of another database: {}", differences.join("; "))]
    AnotherDatabase {
        /// The restore point.
        point: String,
        /// What differs.
        differences: Vec<String>,
    },
    /// The condition that selects rows is not SQL over that table.
    #[error("the condition cannot be used on {table}: {said}")]
    Condition {
        /// The table.
        table: String,
        /// What the server said.
        said: String,
    },
    /// The side table could not be made from the recorded definition.
    #[error("the side table of {table} cannot be made")]
    Definition {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: Box<crate::Error>,
    },
    /// What was loaded is not what was recorded.
    #[error("the side table of {table} has {found}, the restore point recorded {expected}")]
    SideDiffers {
        /// The table.
        table: String,
        /// What was recorded.
        expected: RowDigest,
        /// What was found.
        found: RowDigest,
    },
    /// The change cannot be made as things are.
    #[error("the live tables were not changed: {}", reasons.join("; "))]
    Refused {
        /// Every reason.
        reasons: Vec<String>,
    },
    /// The server refuses a value, which is not repeated here.
    #[error("the server refuses a row of {tables}: {said}")]
    Value {
        /// The tables.
        tables: String,
        /// Which constraint or type, and the SQLSTATE.
        said: String,
        /// Rows can be left out by a condition.
        selects: bool,
    },
    /// Others hold locks on the live tables.
    #[error("{tables} stayed locked by others for {seconds} s")]
    Locked {
        /// The tables.
        tables: String,
        /// How long was waited.
        seconds: u64,
    },
    /// After the change the live table was not what it should be, so the change was taken back.
    #[error("{table} was not as planned after the change, so it was taken back: {reason}")]
    NotAsPlanned {
        /// The table.
        table: String,
        /// What was not.
        reason: String,
    },
    /// The server was lost while it committed, and does not know any more whether it did.
    #[error("the server was lost while the change was committed, and nobody knows whether it was")]
    CommitUnknown {
        /// The transaction.
        transaction: String,
        /// What happened.
        #[source]
        source: Box<crate::Error>,
    },
}

/// Gives a lock that was not granted its own name, and keeps values out of what is told.
pub(super) fn told(error: crate::Error, tables: &str, options: &RecoverOptions) -> crate::Error {
    let of_server = match &error {
        crate::Error::Postgres(error) | crate::Error::Engine(holdpoint_engine::Error::Postgres(error)) => error,
        _ => return error,
    };
    let tables = tables.to_owned();
    match of_server.sqlstate() {
        // Not granted in time, or taken in another order by somebody else.
        Some("55P03" | "40P01") => RecoverError::Locked { tables, seconds: options.lock_wait_seconds }.into(),
        // Data exceptions and violated constraints: what the server says repeats values.
        Some(state) if state.starts_with("22") || state.starts_with("23") => {
            let said = of_server.said().unwrap_or_default();
            RecoverError::Value { tables, said, selects: options.selects() }.into()
        }
        _ => error,
    }
}

impl RecoverError {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownTable { .. } | Self::NoRows { .. } | Self::PartitionsWithoutRows { .. } => ErrorKind::NotFound,
            Self::AmbiguousTable { .. }
            | Self::Condition { .. }
            | Self::SeveralDatabases { .. }
            | Self::LineEnds { .. } => ErrorKind::Usage,
            Self::AnotherDatabase { .. } | Self::Refused { .. } | Self::Value { .. } => ErrorKind::Refused,
            Self::SideDiffers { .. } => ErrorKind::Disproved,
            Self::Unreadable { .. } => ErrorKind::Postgres,
            Self::Locked { .. } => ErrorKind::Busy,
            Self::Definition { .. } | Self::NotAsPlanned { .. } | Self::CommitUnknown { .. } => ErrorKind::Postgres,
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownTable { nearest, .. } if nearest.is_empty() => {
                Some("the restore point's tables: holdpoint show POINT --json".to_owned())
            }
            Self::UnknownTable { nearest, .. } => Some(format!("did you mean {}?", nearest.join(", "))),
            Self::AmbiguousTable { candidates, .. } => {
                candidates.first().map(|first| format!("name the schema too, as in {first}"))
            }
            Self::PartitionsWithoutRows { .. } => {
                Some("recover the partitions that it holds by their own names, or use another restore point".to_owned())
            }
            Self::SeveralDatabases { .. } => Some(
                "dump the one database with pg_dump; or cut its part out of the text, from its \\connect to the next one"
                    .to_owned(),
            ),
            Self::Unreadable { role, .. } => Some(format!(
                "there, as their owner: GRANT USAGE ON SCHEMA … TO {role}; GRANT SELECT ON … TO {role}; no other right is needed",
                role = quote_identifier(role)
            )),
            Self::LineEnds { .. } => {
                Some("copy it again in binary mode, or take them out: tr -d '\\r' < DUMP > dump.sql".to_owned())
            }
            Self::AnotherDatabase { .. } => Some(
                "name the database to recover into with --into URL, or another folder of restore points with --database"
                    .to_owned(),
            ),
            Self::Condition { .. } => {
                Some("write a condition over the table's columns as they were, such as --where 'id > 100'".to_owned())
            }
            Self::Value { selects: true, .. } => {
                Some("leave such rows out with --where; live tables are as they were".to_owned())
            }
            Self::Value { selects: false, .. } => Some(
                "live tables are as they were; look at the rows beside with --mode side, or bring back one table's without \
                 such rows: --mode upsert --where"
                    .to_owned(),
            ),
            Self::Refused { .. } => Some("see the whole plan with --dry-run".to_owned()),
            Self::Locked { .. } => Some("see who holds the lock (pg_stat_activity), or wait longer: --lock-wait 1m".to_owned()),
            Self::SideDiffers { .. } => Some("verify the restore point, or use another: holdpoint list".to_owned()),
            Self::CommitUnknown { .. } => {
                Some("compare the table with the side schema, which is still there: holdpoint leftovers".to_owned())
            }
            Self::Definition { .. } => Some(
                "restore the whole point beside and take the table from there: holdpoint restore --into URL".to_owned(),
            ),
            Self::NoRows { .. } | Self::NotAsPlanned { .. } => None,
        }
    }
}
