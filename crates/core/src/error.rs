//! What can be wrong with a value.

/// Says which value was refused and why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An id of a restore point or run does not have the form `20261121T024300Z-k3f9`.
    #[error("\"{0}\" is not an id: expected the form 20261121T024300Z-k3f9")]
    InvalidId(String),
    /// A database's name in the repository has characters that a key may not have.
    #[error(
        "\"{0}\" cannot name a database in the repository: use letters, digits, '.', '_' and '-', at most 200 bytes"
    )]
    InvalidDatabaseName(String),
    /// What was typed is no table's name.
    #[error("\"{0}\" is not the name of a table: write schema.table, odd parts in double quotes")]
    InvalidRelationName(String),
    /// A selector is not one of the documented forms.
    #[error("\"{0}\" selects no restore point: {1}")]
    InvalidSelector(String, &'static str),
    /// What was typed names no run.
    #[error("\"{0}\" names no run: use its id, such as holdpoint runs lists, or latest")]
    InvalidRunSelector(String),
    /// A stored document was written by a newer program.
    #[error("{document} has format {found}, this program knows up to {known}")]
    NewerFormat {
        /// Which document.
        document: &'static str,
        /// The format number it carries.
        found: u32,
        /// The newest format number known here.
        known: u32,
    },
    /// A stored document does not parse, or contradicts itself.
    #[error("{document} is damaged: {reason}")]
    Damaged {
        /// Which document.
        document: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A digest is not 32 hexadecimal digits.
    #[error("\"{0}\" is not a digest of 32 hexadecimal digits")]
    InvalidDigest(String),
    /// A retention policy has no rule that keeps anything.
    #[error("the retention policy keeps nothing: it has no rule")]
    EmptyRetention,
    /// A span of a retention policy is below zero.
    #[error("{what} of the retention policy is below zero")]
    NegativeRetention {
        /// Which span.
        what: &'static str,
    },
    /// A row has fewer or more columns than its table's column list.
    #[error("a row has {found} columns where {expected} were announced")]
    ColumnCount {
        /// Columns in the column list.
        expected: usize,
        /// Columns in the row.
        found: usize,
    },
}
