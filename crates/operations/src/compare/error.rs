//! Why rows cannot be compared.

use holdpoint_core::relation_name::NoSingleTable;

use crate::ErrorKind;

/// Says why rows cannot be compared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// There is no such table.
    #[error("there is no table {table} in {place}")]
    UnknownTable {
        /// What was asked for.
        table: String,
        /// Where it was looked for.
        place: String,
        /// Tables whose names look like it.
        nearest: Vec<String>,
    },
    /// The other side has no table of that name: it is gone, or renamed.
    #[error("{table} is not in {place}")]
    NotThere {
        /// The table.
        table: String,
        /// Where it was looked for.
        place: String,
        /// Tables whose names look like it.
        nearest: Vec<String>,
    },
    /// The table is in the restore point, its rows are not.
    #[error("{place} holds no rows of {table}")]
    RowsLeftOut {
        /// The table.
        table: String,
        /// Where it was looked for.
        place: String,
    },
    /// Several tables have the name.
    #[error("{table} may be any of {} in {place}", candidates.join(", "))]
    AmbiguousTable {
        /// What was asked for.
        table: String,
        /// Where it was looked for.
        place: String,
        /// Those that have the name.
        candidates: Vec<String>,
    },
    /// Nothing tells one row of the table from another.
    #[error("{table} has no key: {why}")]
    NoKey {
        /// The table.
        table: String,
        /// Why nothing serves.
        why: String,
    },
    /// The key that was named is none.
    #[error("{keys} keys ({}) are there more than once in {table}", key.join(", "))]
    KeyRepeats {
        /// The table.
        table: String,
        /// The columns.
        key: Vec<String>,
        /// How many keys repeat.
        keys: u64,
    },
    /// A column that was named is missing on a side.
    #[error("column {column} is not on both sides of {table}")]
    UnknownColumn {
        /// The column.
        column: String,
        /// The table.
        table: String,
        /// The columns that are.
        columns: Vec<String>,
    },
    /// A column that is said to be renamed is there under its old name too.
    #[error("column {column} is on both sides of {table}, so it was not renamed")]
    NotRenamed {
        /// The column.
        column: String,
        /// The table.
        table: String,
    },
    /// No column is on both sides.
    #[error("{table} has no column that is on both sides")]
    NothingInCommon {
        /// The table.
        table: String,
    },
    /// The table was dropped or rewritten since the snapshot, or somebody keeps it locked.
    #[error("{table} was {what}")]
    Busy {
        /// The table.
        table: String,
        /// What happened to it.
        what: String,
    },
    /// A table stayed locked for longer than was to be waited.
    #[error("a table stayed locked for {seconds} s")]
    Locked {
        /// How long was waited.
        seconds: u64,
        /// What pg_dump said.
        #[source]
        source: Box<holdpoint_postgres::Error>,
    },
    /// The restore point holds no rows that can be read by table.
    #[error("restore point {point} is stored as SQL text, of which no single table can be read")]
    StoredAsText {
        /// The restore point.
        point: String,
    },
    /// The restore points' texts are not comparable.
    #[error("the restore points differ in encoding or lc_monetary, so their rows do not compare")]
    OtherText,
    /// The temporary files would not fit.
    #[error("comparing {table} needs about {needed_bytes} bytes of temporary files, {directory} has {free_bytes} free")]
    NoRoom {
        /// The table.
        table: String,
        /// What it takes.
        needed_bytes: u64,
        /// Where they would be.
        directory: String,
        /// What there is.
        free_bytes: u64,
    },
}

impl CompareError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownTable { .. } | Self::NotThere { .. } | Self::RowsLeftOut { .. } => ErrorKind::NotFound,
            Self::Busy { .. } | Self::Locked { .. } => ErrorKind::Busy,
            Self::NoRoom { .. } => ErrorKind::Internal,
            _ => ErrorKind::Usage,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownTable { nearest, .. } if nearest.is_empty() => {
                "see which tables differ: holdpoint compare".to_owned()
            }
            Self::UnknownTable { nearest, .. } => format!("did you mean {}?", nearest.join(" or ")),
            Self::RowsLeftOut { .. } => {
                "they were left out when it was made; see what others were made of: holdpoint show POINT".to_owned()
            }
            Self::AmbiguousTable { candidates, .. } => {
                format!("name its schema: --rows {}", candidates.first().map_or("schema.table", String::as_str))
            }
            Self::NoKey { .. } => "name columns that tell its rows apart: --key a,b".to_owned(),
            Self::KeyRepeats { .. } => "name more columns: --key a,b".to_owned(),
            Self::UnknownColumn { columns, .. } => format!("on both sides there are: {}", columns.join(", ")),
            Self::NotThere { nearest, .. } if nearest.is_empty() => {
                "it is gone or was renamed: see holdpoint compare; where it was renamed, name it: --as TABLE".to_owned()
            }
            Self::NotThere { nearest, .. } => format!("if it was renamed, name it: --as {}", nearest.join(" or ")),
            Self::NotRenamed { .. } => "leave it out of --renamed".to_owned(),
            Self::NothingInCommon { .. } => "see what changed: holdpoint compare --definitions".to_owned(),
            Self::Busy { .. } => "try again; to wait longer for locks: --lock-wait 5m".to_owned(),
            Self::Locked { .. } => {
                "see who holds it (pg_stat_activity, pg_locks), or wait longer: --lock-wait 5m".to_owned()
            }
            Self::StoredAsText { .. } => {
                "restore it into an empty database, and compare with that: --against URL".to_owned()
            }
            Self::OtherText => "restore one into an empty database, and compare with that: --against URL".to_owned(),
            Self::NoRoom { .. } => "set TMPDIR to a folder with room, or allow more memory: --memory".to_owned(),
        })
    }

    /// Says why a name means no single table.
    pub(super) fn of_name(table: &str, place: &str, why: NoSingleTable) -> Self {
        let (table, place) = (table.to_owned(), place.to_owned());
        match why {
            NoSingleTable::Unknown(nearest) => Self::UnknownTable { table, place, nearest },
            NoSingleTable::Ambiguous(candidates) => Self::AmbiguousTable { table, place, candidates },
        }
    }
}
