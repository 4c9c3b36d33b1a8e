//! What is reviewed: files of pending migrations and how they are run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A file of a pending migration.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationSql {
    /// The file's name as people know it; positions name it.
    pub name: String,
    /// Its whole text.
    pub text: String,
    /// Who reads it before the server does.
    pub dialect: Dialect,
    /// What surrounds its statements.
    pub transaction: Transaction,
    /// Whether the first error ends the run. Where it does not, no statement proves that an earlier one succeeded.
    pub stops_on_error: bool,
    /// Which of its parts is run.
    pub direction: Direction,
    /// What its placeholders stand for; one that is not here makes its statement unreviewable.
    pub placeholders: BTreeMap<String, String>,
}

impl MigrationSql {
    /// A file that is run forward, in a transaction of its own, by a tool that stops on the first error.
    pub fn new(name: impl Into<String>, text: impl Into<String>, dialect: Dialect) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            dialect,
            transaction: Transaction::File,
            stops_on_error: true,
            direction: Direction::Up,
            placeholders: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for MigrationSql {
    /// Leaves the text out, which may hold values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, text, dialect, transaction, .. } = self;
        write!(f, "MigrationSql {{ {name:?}, {} bytes, {dialect:?}, {transaction:?} }}", text.len())
    }
}

/// Who reads a file before the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// A driver sends the text as it is: Prisma, sqlx, golang-migrate, Atlas.
    Driver,
    /// psql: data of COPY, meta-commands, variables.
    Psql,
    /// Drizzle: parts end at `--> statement-breakpoint`.
    Drizzle,
    /// Flyway: `${placeholders}`, data of COPY.
    Flyway,
    /// node-pg-migrate's `.sql`: `-- Up Migration` and `-- Down Migration`.
    NodePgMigrate,
    /// dbmate: `-- migrate:up` and `-- migrate:down`.
    Dbmate,
    /// goose: `-- +goose Up` and `-- +goose Down`.
    Goose,
    /// Not SQL: a program in another language, which may do anything.
    Program,
}

/// What surrounds a file's statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transaction {
    /// One transaction around all files.
    Run,
    /// One around each file.
    File,
    /// None: every statement for itself.
    None,
}

/// Which part of a file is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Forward.
    Up,
    /// Back.
    Down,
}

/// How a review is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewOptions {
    /// The schemas that names without one are looked up in; none where it is not known, and then a name with a schema
    /// and one without are never taken for the same.
    pub search_path: Option<Vec<String>>,
    /// Whether squawk's advice is gathered.
    pub advice: bool,
    /// The major version of the server, where known.
    pub server_major: Option<u32>,
    /// Whether a backslash escapes in strings without `E` (`standard_conforming_strings` is off for the session): then
    /// nobody can tell from the text where a string ends.
    pub backslash_escapes: bool,
}

impl Default for ReviewOptions {
    fn default() -> Self {
        Self { search_path: None, advice: true, server_major: None, backslash_escapes: false }
    }
}
