//! Migration tools: which one a project uses, and which migrations are truly pending.
//!
//! Three steps. [`find()`] looks at a project's folder and says which tool it uses and how it is configured, without
//! running any of the project's code. [`ProjectFiles::read`] reads the migration files and [`read_tracking`] the rows in
//! which the tool keeps what it applied; both are then plain data, which can also come from a file. [`Pending::of`]
//! compares them: what is pending in truth, what the tool itself would run, and every difference between the two as a
//! [`Finding`] that says what to do.
//!
//! Nothing here writes, neither to the project nor to the database, and no configuration is executed.

mod collation;
mod config_text;
mod configuration;
mod connection;
mod drizzle;
mod drizzle_config;
mod drizzle_folders;
mod drizzle_journal;
mod error;
mod files;
mod find;
mod finding;
#[cfg(test)]
mod fixture;
mod flyway;
mod flyway_callbacks;
mod flyway_checksum;
mod flyway_command;
mod flyway_config;
mod flyway_history;
mod flyway_name;
mod flyway_placeholders;
mod invocation;
mod listed;
mod name;
mod node_pg_migrate;
mod node_pg_migrate_config;
mod package;
mod pending;
mod plain;
mod prefix;
mod prisma;
mod prisma_config;
mod read_table;
mod repair;
mod rollback;
mod tool;
mod tracking;

pub use configuration::Configuration;
pub use connection::{ConfigPlace, Connection, DotenvFile};
pub use drizzle::DrizzleOptions;
pub use error::Error;
pub(crate) use files::sha256;
pub use files::{File, Files, ProjectFiles};
pub use find::{Candidate, Choice, Search, find};
pub use finding::{Finding, OrderEffect, Severity, SkipReason};
pub use flyway_config::{FlywayOptions, flyway_url};
pub use invocation::runs_the_tool;
pub use listed::listed;
pub use name::ToolName;
pub use node_pg_migrate_config::NodePgMigrateOptions;
pub use pending::{Callback, Language, Migration, Pending};
pub use plain::{applied_through, ledger_rows};
pub use prisma_config::PrismaOptions;
pub use read_table::read_tracking;
pub use repair::repair;
pub(crate) use repair::stands_failed;
pub use rollback::Rollback;
pub use tool::{Found, TableName, Tool, Transactions};
pub use tracking::{Tracking, TrackingTable};
