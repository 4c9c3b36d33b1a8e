//! The pending migrations as the review reads them: who runs their SQL, and in which transaction.

use holdpoint_review::{Dialect, MigrationSql, Transaction};

use crate::tools::{Language, Migration, Pending, Tool, Transactions};

/// The files in the order in which they would run.
pub(super) fn files(tool: &Tool, pending: &Pending) -> Vec<MigrationSql> {
    let around = |before: bool| {
        let callbacks = pending.callbacks.iter().filter(move |one| one.before == before);
        callbacks.map(|one| MigrationSql::new(&one.path, &one.sql, Dialect::Flyway))
    };
    let migrations = pending.migrations.iter().map(|migration| file(tool, migration));
    around(true).chain(migrations).chain(around(false)).collect()
}

/// The files of a folder without a tool, which psql runs.
pub(crate) fn plain_files(pending: &[Migration]) -> Vec<MigrationSql> {
    pending.iter().map(|migration| file(&Tool::PlainSql, migration)).collect()
}

/// A migration's file.
pub(crate) fn file(tool: &Tool, migration: &Migration) -> MigrationSql {
    let mut file = MigrationSql::new(&migration.path, &migration.sql, dialect(tool, migration));
    file.transaction = match tool.transactions() {
        Transactions::Batch => Transaction::Run,
        Transactions::Each => Transaction::File,
        // Of a tool that is not known nobody can say that it uses one.
        Transactions::None | Transactions::Unknown => Transaction::None,
    };
    // `psql -f` goes on after an error unless it is told otherwise.
    file.stops_on_error = tool.transactions() != Transactions::Unknown;
    file
}

fn dialect(tool: &Tool, migration: &Migration) -> Dialect {
    if migration.language == Language::Program {
        return Dialect::Program;
    }
    match tool {
        Tool::Drizzle(_) => Dialect::Drizzle,
        Tool::Flyway(_) => Dialect::Flyway,
        // The part that runs is already cut out; where nothing marks it the tool runs all of the file.
        Tool::Prisma(_) | Tool::NodePgMigrate(_) => Dialect::Driver,
        Tool::PlainSql => Dialect::Psql,
        Tool::Command => marked(&migration.sql),
    }
}

/// What the marks in a file say of an unknown tool; without any, as psql reads it.
fn marked(sql: &str) -> Dialect {
    let marks = [("-- migrate:up", Dialect::Dbmate), ("-- +goose Up", Dialect::Goose)];
    let found = marks.into_iter().find(|(mark, _)| sql.lines().any(|line| line.trim_start().starts_with(mark)));
    found.map_or(Dialect::Psql, |(_, dialect)| dialect)
}
