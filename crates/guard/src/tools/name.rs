//! The tools by name.

use serde::{Deserialize, Serialize};

/// A way in which a project keeps and applies migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolName {
    /// drizzle-kit and drizzle-orm, 0.x and 1.0.
    Drizzle,
    /// Prisma Migrate.
    Prisma,
    /// Flyway.
    Flyway,
    /// node-pg-migrate.
    NodePgMigrate,
    /// A folder of SQL files without a tool; what was applied is kept in the ledger.
    PlainSql,
    /// A command that prints what is pending.
    Command,
}

impl ToolName {
    /// All, in the order in which they are looked for.
    pub const ALL: [Self; 6] =
        [Self::Drizzle, Self::Prisma, Self::Flyway, Self::NodePgMigrate, Self::PlainSql, Self::Command];

    /// The name as `--tool` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drizzle => "drizzle",
            Self::Prisma => "prisma",
            Self::Flyway => "flyway",
            Self::NodePgMigrate => "node-pg-migrate",
            Self::PlainSql => "plain-sql",
            Self::Command => "command",
        }
    }
}

impl std::fmt::Display for ToolName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for ToolName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(Self::as_str).join(", ");
        let found = Self::ALL.into_iter().find(|tool| tool.as_str() == text);
        found.ok_or_else(|| format!("{text} is not a tool that is known: {}", names()))
    }
}
