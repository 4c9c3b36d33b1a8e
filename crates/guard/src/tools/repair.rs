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

/// Whether the table says of a migration that it failed: then the tool runs nothing until that is put right.
pub(crate) fn stands_failed(found: &Found, table: &TrackingTable, migration: &Migration) -> bool {
    table.rows().any(|row| match &found.tool {
        Tool::Prisma(_) => {
            let counts = row.get("rolled_back_at").is_none() && row.get("finished_at").is_none();
            counts && row.text("migration_name") == migration.name
        }
        Tool::Flyway(_) => !row.is_true("success") && row.text("script") == migration.path,
        // Their rows are of what was applied.
        Tool::Drizzle(_) | Tool::NodePgMigrate(_) | Tool::PlainSql | Tool::Command => false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{scene, table};
    use super::super::{PrismaOptions, Tool, Tracking};
    use super::*;

    #[test]
    fn a_row_of_a_migration_that_failed_is_told_from_one_that_was_rolled_back() {
        let columns = ["migration_name", "checksum", "finished_at", "rolled_back_at"];
        let scene = scene(Tool::Prisma(PrismaOptions::default()), &[("1_a/migration.sql", "a")]);
        for (finished, rolled_back, stands) in
            [("NULL", "NULL", true), ("NULL", "now", false), ("now", "NULL", false), ("now", "now", false)]
        {
            let tracking = table(&columns, &[&["1_a", "x", finished, rolled_back]]);
            let all = scene.pending(&Tracking::Absent { others: false }).migrations;
            let found = stands_failed(&scene.found, tracking.table().unwrap(), &all[0]);
            assert_eq!(found, stands, "{finished} {rolled_back}");
        }
    }
}
