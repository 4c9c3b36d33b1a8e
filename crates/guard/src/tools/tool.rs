//! A tool as a project configures it.

use std::path::PathBuf;

use holdpoint_core::fingerprint::Difference;
use holdpoint_core::name::quote_identifier;
use serde::{Deserialize, Serialize};

use super::{Connection, DrizzleOptions, FlywayOptions, NodePgMigrateOptions, PrismaOptions, ToolName};

/// A tool with what its configuration says about pending migrations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Tool {
    /// drizzle-kit.
    Drizzle(DrizzleOptions),
    /// Prisma Migrate.
    Prisma(PrismaOptions),
    /// Flyway.
    Flyway(Box<FlywayOptions>),
    /// node-pg-migrate.
    NodePgMigrate(NodePgMigrateOptions),
    /// A folder of SQL files.
    PlainSql,
    /// A command that prints what is pending.
    Command,
}

/// What the tool puts into one transaction: whether a failure can leave a part behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transactions {
    /// All pending migrations together.
    Batch,
    /// Each migration.
    Each,
    /// None: every statement by itself.
    None,
    /// Not known to holdpoint.
    Unknown,
}

impl Tool {
    /// The tool's name.
    pub fn name(&self) -> ToolName {
        match self {
            Self::Drizzle(_) => ToolName::Drizzle,
            Self::Prisma(_) => ToolName::Prisma,
            Self::Flyway(_) => ToolName::Flyway,
            Self::NodePgMigrate(_) => ToolName::NodePgMigrate,
            Self::PlainSql => ToolName::PlainSql,
            Self::Command => ToolName::Command,
        }
    }

    /// What the tool puts into one transaction; the SQL itself may end it.
    ///
    /// Prisma's own engine sends a file as one query, which is one transaction; with a driver adapter it splits the file
    /// at every semicolon and runs the parts one by one.
    pub fn transactions(&self) -> Transactions {
        match self {
            Self::Drizzle(_) => Transactions::Batch,
            Self::Prisma(options) if options.driver_adapter => Transactions::None,
            Self::Prisma(_) => Transactions::Each,
            Self::Flyway(options) if options.group => Transactions::Batch,
            Self::Flyway(_) => Transactions::Each,
            Self::NodePgMigrate(options) if options.single_transaction => Transactions::Batch,
            Self::NodePgMigrate(_) => Transactions::Each,
            Self::PlainSql | Self::Command => Transactions::Unknown,
        }
    }

    /// The columns of the tracking table: those that must be there, and those that are read where they are.
    pub(super) fn columns(&self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Drizzle(_) => (&["id", "hash", "created_at"], &["name"]),
            Self::Prisma(_) => (
                &["migration_name", "checksum", "finished_at", "rolled_back_at", "started_at"],
                &["applied_steps_count"],
            ),
            Self::Flyway(_) => {
                (&["installed_rank", "version", "description", "type", "script", "checksum", "success"], &[])
            }
            Self::NodePgMigrate(_) => (&["id", "name", "run_on"], &[]),
            Self::PlainSql | Self::Command => (&[], &[]),
        }
    }

    /// The columns that say in which order rows were recorded.
    pub(super) fn recorded_by(&self) -> &'static [&'static str] {
        match self {
            Self::Drizzle(_) => &["id"],
            Self::Prisma(_) => &["started_at", "migration_name"],
            Self::Flyway(_) => &["installed_rank"],
            // The tool's own order, which its check of the order depends on.
            Self::NodePgMigrate(_) => &["run_on", "id"],
            Self::PlainSql | Self::Command => &[],
        }
    }
}

/// A table's schema and name, as they are in the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The name.
    pub name: String,
}

impl TableName {
    /// Names a table.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }

    /// Whether a difference of the schema is this table's coming: a tool makes it, its schema and its sequence with its
    /// first run, also one that fails, and never removes them.
    pub(crate) fn came_as(&self, difference: &Difference) -> bool {
        difference.expected.is_none() && self.names(&difference.name)
    }

    /// Whether an object is the table, its schema, or what PostgreSQL names after it.
    pub(crate) fn names(&self, name: &str) -> bool {
        let of_schema = [format!("SCHEMA {}", self.schema), format!("SCHEMA - {}", self.schema)];
        of_schema.iter().any(|one| one == name) || name.split(' ').any(|word| self.owns(word))
    }

    /// Whether a word names the table, or what PostgreSQL names after it.
    fn owns(&self, word: &str) -> bool {
        let Some(rest) = word.strip_prefix(self.schema.as_str()).and_then(|rest| rest.strip_prefix('.')) else {
            return false;
        };
        let Some(tail) = rest.strip_prefix(self.name.as_str()) else { return false };
        matches!(tail, "" | "_id_seq" | "_pkey" | "_s_idx" | "_pk")
    }

    /// The name for SQL.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }
}

impl std::str::FromStr for TableName {
    type Err = String;

    /// Reads `schema.table` as SQL does: without quotes in lower case.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} does not name a table with its schema, such as drizzle.__drizzle_migrations");
        let (schema, rest) = identifier(text.trim()).ok_or_else(wrong)?;
        let (name, rest) = rest.strip_prefix('.').and_then(identifier).ok_or_else(wrong)?;
        if rest.is_empty() { Ok(Self { schema, name }) } else { Err(wrong()) }
    }
}

/// The identifier at a text's beginning, and what follows it.
fn identifier(text: &str) -> Option<(String, &str)> {
    let (name, rest) = match text.strip_prefix('"') {
        None => {
            let end = text.find(['.', '"', ' ']).unwrap_or(text.len());
            (text[..end].to_lowercase(), &text[end..])
        }
        Some(quoted) => {
            let mut name = String::new();
            let mut rest = quoted;
            loop {
                let (part, after) = rest.split_once('"')?;
                name.push_str(part);
                let Some(more) = after.strip_prefix('"') else { break (name, after) };
                name.push('"');
                rest = more;
            }
        }
    };
    (!name.is_empty()).then_some((name, rest))
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// The tool that a project uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The tool.
    pub tool: Tool,
    /// The project's folder.
    pub project: PathBuf,
    /// The folder of migrations.
    pub migrations: PathBuf,
    /// The file or rule that names the folder of migrations.
    pub named_by: String,
    /// The tracking table; `None` where the tool has none.
    pub table: Option<TableName>,
    /// Where the tool takes its connection from.
    pub connection: Connection,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_with_the_table_is_its_coming() {
        let table = TableName::new("drizzle", "__drizzle_migrations");
        let new = |name: &str| Difference {
            aspect: holdpoint_core::fingerprint::Aspect::Object,
            name: name.into(),
            expected: None,
            found: Some("x".into()),
        };
        for name in [
            "SCHEMA drizzle",
            "TABLE drizzle.__drizzle_migrations",
            "SEQUENCE drizzle.__drizzle_migrations_id_seq",
            "SEQUENCE OWNED BY drizzle.__drizzle_migrations_id_seq",
            "DEFAULT drizzle.__drizzle_migrations id",
            "CONSTRAINT drizzle.__drizzle_migrations __drizzle_migrations_pkey",
        ] {
            assert!(table.came_as(&new(name)), "{name}");
            assert!(!table.came_as(&Difference { expected: Some("y".into()), ..new(name) }), "{name} changed");
        }
        for name in [
            "TABLE drizzle.other",
            "TABLE shop.__drizzle_migrations",
            "SCHEMA shop",
            "TABLE drizzle.__drizzle_migrations_2",
        ] {
            assert!(!table.came_as(&new(name)), "{name}");
        }
    }

    #[test]
    fn names_are_read_as_sql_reads_them() {
        let read = |text: &str| text.parse::<TableName>().unwrap();
        assert_eq!(read("Drizzle.__Migrations"), TableName::new("drizzle", "__migrations"));
        assert_eq!(read("\"Odd \"\"schema\".\"my.table\""), TableName::new("Odd \"schema", "my.table"));
        for wrong in ["", "table", "a.", ".b", "a.b.c", "\"a.b", "a.\"b\"c", "\"\".x"] {
            assert!(wrong.parse::<TableName>().is_err(), "{wrong}");
        }
    }
}
