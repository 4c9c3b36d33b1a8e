//! Columns that are gone, added again as the restore point has them, with what went with them.

use holdpoint_core::ledger::RunState;
use holdpoint_core::name::quote_identifier;
use holdpoint_operations::recover::{ColumnThen, TableThen, make_what_went_with, table_then};
use holdpoint_postgres::Row;

use super::live::{connected, quoted};
use super::record::Record;
use super::recover::options;
use super::work::Work;
use crate::Error;

/// A column that was added.
#[derive(Clone, Copy, Debug, Default)]
struct ColumnNow {
    not_null: bool,
    has_default: bool,
    of_partition: bool,
}

/// Columns of a table that are gone, as the restore point has them.
pub(super) struct GoneColumns<'a> {
    work: &'a Work<'a>,
    table: &'a str,
    then: TableThen,
    pub(super) columns: Vec<ColumnThen>,
}

impl<'a> GoneColumns<'a> {
    /// Reads how the restore point has them.
    pub(super) async fn read(
        work: &'a Work<'a>,
        table: &'a str,
        is_gone: impl Fn(&str) -> bool,
    ) -> Result<GoneColumns<'a>, Error> {
        let then = table_then(work.context, &options(work, table)).await?;
        let columns = then.columns.iter().filter(|column| is_gone(&column.name)).cloned().collect();
        Ok(Self { work, table, then, columns })
    }

    /// Makes the types and functions that went with them.
    pub(super) async fn make_needed(&self) -> Result<(), Error> {
        for make in &self.then.needed {
            let session = connected(self.work).await?;
            let made = session.run("making what a column needs", make).await;
            session.close().await;
            made?;
        }
        Ok(())
    }

    /// Adds one: such as is to be filled without its default and bound, which come last.
    pub(super) async fn add(&self, column: &ColumnThen) -> Result<(), Error> {
        let generated = column.generated.as_ref().map(|by| format!(" GENERATED ALWAYS AS {by}")).unwrap_or_default();
        let name = quote_identifier(&column.name);
        self.alter(&format!("ADD COLUMN {name} {}{generated}", column.kind)).await
    }

    /// Has one stored, compressed and counted as it was.
    pub(super) async fn set(&self, column: &ColumnThen) -> Result<(), Error> {
        let name = quote_identifier(&column.name);
        for set in &column.settings {
            self.alter(&format!("ALTER COLUMN {name} {set}")).await?;
        }
        Ok(())
    }

    /// Gives one its default and bound back, once it is filled, as far as it has not got them from a table above.
    pub(super) async fn finish(&self, column: &ColumnThen) -> Result<(), Error> {
        let name = quote_identifier(&column.name);
        let now = self.now(&column.name).await?;
        match &column.default {
            Some(default) => self.alter(&format!("ALTER COLUMN {name} SET DEFAULT {default}")).await?,
            // The definition of a partition says all of its own; the one of a child leaves out what it inherits.
            None if now.has_default && now.of_partition && column.generated.is_none() => {
                self.alter(&format!("ALTER COLUMN {name} DROP DEFAULT")).await?;
            }
            None => {}
        }
        if column.not_null && !now.not_null {
            let set = format!("ALTER COLUMN {name} SET NOT NULL");
            self.alter(column.not_null_as.as_ref().unwrap_or(&set)).await?;
        }
        Ok(())
    }

    /// Reads what a column that was added has got.
    async fn now(&self, column: &str) -> Result<ColumnNow, Error> {
        let session = connected(self.work).await?;
        let sql = "SELECT a.attnotnull, a.atthasdef, c.relispartition FROM pg_catalog.pg_attribute a \
                   JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
                   WHERE c.oid = pg_catalog.to_regclass($1::pg_catalog.text) AND a.attname = $2::pg_catalog.text::pg_catalog.name \
                     AND NOT a.attisdropped";
        let read = session.query("reading a column that came back", sql, &[&quoted(self.table), &column]).await;
        session.close().await;
        let now = |row: &Row| ColumnNow { not_null: row.get(0), has_default: row.get(1), of_partition: row.get(2) };
        Ok(read?.first().map(now).unwrap_or_default())
    }

    /// Makes again what went with them; what the server refuses is written into the ledger, and the proof shows it.
    pub(super) async fn make_what_went(&self, record: &mut Record<'_>) -> Result<(), Error> {
        let columns: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let went =
            make_what_went_with(self.work.context, &options(self.work, self.table), &self.then, &columns).await?;
        let made = went.made.into_iter().map(|one| format!("made again: {one}"));
        let remarks: Vec<String> = made.chain(went.not_made).collect();
        if remarks.is_empty() { Ok(()) } else { record.write(RunState::Undoing, remarks).await }
    }

    async fn alter(&self, action: &str) -> Result<(), Error> {
        let session = connected(self.work).await?;
        let (wait, table) = (self.work.options.lock_wait_seconds, quoted(self.table));
        let sql = format!("SET lock_timeout = '{wait}s'; ALTER TABLE {table} {action}");
        let altered = session.run(&format!("bringing columns of {} back", self.table), &sql).await;
        session.close().await;
        Ok(altered?)
    }
}
