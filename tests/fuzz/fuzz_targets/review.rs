//! The review of SQL over arbitrary text, in every dialect.

#![no_main]

use holdpoint_review::{Dialect, MigrationSql, ReviewOptions, review};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for dialect in [Dialect::Driver, Dialect::Psql, Dialect::Drizzle, Dialect::Flyway, Dialect::NodePgMigrate] {
        review(&[MigrationSql::new("m.sql", text, dialect)], &ReviewOptions::default());
    }
});
