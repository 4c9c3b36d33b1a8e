//! Putting a tracking table right after a way back that does not: so that the tool takes a migration for pending again.
//!
//! Restoring the database brings the rows back with the data, and node-pg-migrate's own `down` removes its row; scripts
//! and the recovery of tables do neither. What each tool needs is from its source, as is what it takes for applied.

use holdpoint_core::name::quote_literal;

use super::{Found, Migration, ProjectFiles, Tool, TrackingTable, drizzle_journal};

/// The statement after which the tool takes a migration for pending; `None` where there is no table that says so.
///
/// It may be run again: what is gone already stays gone.
pub fn repair(found: &Found, files: &ProjectFiles, table: &TrackingTable, migration: &Migration) -> Option<String> {
    let name = table.name.quoted();
    let migration_name = quote_literal(&migration.name);
    match &found.tool {
        // 1.0 goes by the name, 0.x by the time; a row that was stamped anew is told by its hash.
        Tool::Drizzle(_) if table.has("name") => Some(format!("DELETE FROM {name} WHERE name = {migration_name}")),
        Tool::Drizzle(_) => {
            let (when, hash) = drizzle_journal::recorded(files, &migration.name)?;
            let hash = quote_literal(&hash);
            let others = drizzle_journal::times(files).iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            // A row with the time of another migration is that one's, whatever its text.
            Some(format!(
                "DELETE FROM {name} WHERE created_at = {when} OR (hash = {hash} AND \
                 (created_at IS NULL OR created_at <> ALL (ARRAY[{others}]::pg_catalog.int8[])))"
            ))
        }
        // As `prisma migrate resolve --rolled-back` does, which itself refuses a migration that did not fail.
        Tool::Prisma(_) => Some(format!(
            "UPDATE {name} SET rolled_back_at = pg_catalog.now() \
             WHERE migration_name = {migration_name} AND rolled_back_at IS NULL"
        )),
        Tool::Flyway(_) => {
            let script = quote_literal(&migration.path);
            Some(format!("DELETE FROM {name} WHERE script = {script}"))
        }
        Tool::NodePgMigrate(_) => Some(format!("DELETE FROM {name} WHERE name = {migration_name}")),
        Tool::PlainSql | Tool::Command => None,
    }
}
