//! Columns that are gone, added again as the restore point has them.

use holdpoint_core::name::quote_identifier;
use holdpoint_operations::recover::{RecoverMode, RecoverOptions, prepare};

use super::attempt::Work;
use super::recover::{connected, options, quoted};
use crate::Error;

/// A column as the restore point has it.
pub(super) struct Column {
    pub(super) name: String,
    kind: String,
    default: Option<String>,
    not_null: bool,
    /// What makes its values, where it does so itself.
    generated: Option<String>,
}

impl Column {
    pub(super) fn is_generated(&self) -> bool {
        self.generated.is_some()
    }

    /// Adds it: one that is to be filled without its default and bound, which come last.
    pub(super) async fn add(&self, work: &Work<'_>, table: &str) -> Result<(), Error> {
        let generated = self.generated.as_ref().map(|by| format!(" GENERATED ALWAYS AS {by}")).unwrap_or_default();
        let action = format!("ADD COLUMN {} {}{generated}", quote_identifier(&self.name), self.kind);
        alter(work, table, &action).await
    }

    /// Gives it its default and bound back, once it is filled.
    pub(super) async fn finish(&self, work: &Work<'_>, table: &str) -> Result<(), Error> {
        let quoted = quote_identifier(&self.name);
        if let (Some(default), None) = (&self.default, &self.generated) {
            alter(work, table, &format!("ALTER COLUMN {quoted} SET DEFAULT {default}")).await?;
        }
        if self.not_null {
            alter(work, table, &format!("ALTER COLUMN {quoted} SET NOT NULL")).await?;
        }
        Ok(())
    }
}

/// Reads the columns of a table of the restore point, from a table beside the live ones that is made for that moment.
pub(super) async fn of_then(work: &Work<'_>, table: &str) -> Result<Vec<Column>, Error> {
    let options = RecoverOptions { mode: RecoverMode::Side, defaults: true, ..options(work, table) };
    let recovery = prepare(work.context, &options).await?;
    let columns = match recovery.plan().tables.first().and_then(|one| one.side.clone()) {
        Some(side) => described(work, &side).await,
        None => Ok(Vec::new()),
    };
    recovery.abandon().await?;
    columns
}

/// The columns of a side table.
async fn described(work: &Work<'_>, side: &str) -> Result<Vec<Column>, Error> {
    let session = connected(work).await?;
    let sql = "SELECT a.attname::pg_catalog.text, pg_catalog.format_type(a.atttypid, a.atttypmod) \
                      || CASE WHEN a.attcollation <> t.typcollation \
                              THEN pg_catalog.format(' COLLATE %I.%I', n.nspname, c.collname) ELSE '' END, \
                      pg_catalog.pg_get_expr(d.adbin, d.adrelid), a.attnotnull, a.attgenerated::pg_catalog.text \
               FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
               LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
               LEFT JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation \
               LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace \
               WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let rows = session.query("reading the columns of then", sql, &[&quoted(side)]).await;
    session.close().await;
    let column = |row: &holdpoint_postgres::Row| {
        let expression: Option<String> = row.get(2);
        let kept = match row.get(4) {
            "s" => Some("STORED"),
            "v" => Some("VIRTUAL"),
            _ => None,
        };
        Column {
            name: row.get(0),
            kind: row.get(1),
            generated: kept.and_then(|kept| Some(format!("({}) {kept}", expression.as_deref()?))),
            default: expression,
            not_null: row.get(3),
        }
    };
    Ok(rows?.iter().map(column).collect())
}

async fn alter(work: &Work<'_>, table: &str, action: &str) -> Result<(), Error> {
    let session = connected(work).await?;
    let sql =
        format!("SET lock_timeout = '{}s'; ALTER TABLE {} {action}", work.options.lock_wait_seconds, quoted(table));
    let altered = session.run("bringing a column back", &sql).await;
    session.close().await;
    Ok(altered?)
}
