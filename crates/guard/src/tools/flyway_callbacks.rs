//! Files that Flyway runs around migrations, bound to its events by their names; it records them nowhere.

use super::flyway_placeholders::replaced;
use super::pending::Callback;
use super::{File, FlywayOptions, ProjectFiles};

/// Events of `flyway migrate` to which a file may be bound by its name, and whether they come before the migrations
/// (flyway-core, `callback/Event.java`).
const EVENTS: [(&str, bool); 16] = [
    ("beforeConnect", true),
    ("afterConnect", true),
    ("createSchema", true),
    ("beforeCreateSchema", true),
    ("beforeValidate", true),
    ("afterValidate", true),
    ("beforeMigrate", true),
    ("beforeEachMigrate", true),
    ("beforeEachMigrateStatement", true),
    ("afterEachMigrateStatement", false),
    ("afterEachMigrate", false),
    ("beforeRepeatables", false),
    ("afterVersioned", false),
    ("afterMigrateApplied", false),
    ("afterMigrate", false),
    ("afterMigrateOperationFinish", false),
];

/// The files that Flyway runs around migrations: `afterMigrate.sql`, `afterMigrate__what.sql`; those before them first.
pub(super) fn callbacks(options: &FlywayOptions, files: &ProjectFiles) -> Vec<Callback> {
    let read = |file: &File| {
        let stem = options.suffixes.iter().find_map(|suffix| file.name().strip_suffix(suffix.as_str()))?;
        let event = stem.split(options.separator.as_str()).next()?;
        let (_, before) = EVENTS.into_iter().find(|(name, _)| event.eq_ignore_ascii_case(name))?;
        Some(Callback {
            path: file.path.clone(),
            sha256: file.sha256.clone(),
            before,
            sql: replaced(options, &file.text()).0,
        })
    };
    let mut found: Vec<Callback> = files.migrations.iter().filter_map(read).collect();
    found.sort_by_key(|one| !one.before);
    found
}
