//! Reads a tracking table, and never writes.

use holdpoint_core::name::quote_identifier;
use holdpoint_postgres::Session;

use super::{Error, Found, TableName, Tracking, TrackingTable};

/// More rows than any tool has recorded.
const LIMIT: usize = 100_000;
const WHAT: &str = "reading the tracking table";

/// Reads what the tool has recorded as applied; `Absent` where the tool has no table at all.
///
/// Columns are looked up before they are named, and only those that are needed are read: logs and stored statements
/// are not. One statement each, no transaction is left open.
///
/// # Errors
/// [`Error::NotReadable`] where a right is missing, [`Error::OtherTable`] where the table is not the tool's.
pub async fn read_tracking(found: &Found, session: &Session) -> Result<Tracking, Error> {
    let Some(name) = &found.table else { return Ok(Tracking::Absent { others: holds_tables(session).await? }) };
    let Some(columns) = columns(name, session).await? else {
        return Ok(Tracking::Absent { others: holds_tables(session).await? });
    };
    let (needed, wanted) = found.tool.columns();
    let is_there = |column: &&&str| columns.iter().any(|one| one == **column);
    let missing: Vec<String> =
        needed.iter().filter(|column| !is_there(column)).map(|column| (*column).to_owned()).collect();
    if !missing.is_empty() {
        return Err(Error::OtherTable { table: name.clone(), columns: missing, tool: found.tool.name() });
    }
    let read: Vec<String> = needed.iter().chain(wanted).filter(is_there).map(|column| (*column).to_owned()).collect();
    may_read(name, session).await?;

    let values: Vec<String> =
        read.iter().map(|column| format!("t.{}::pg_catalog.text", quote_identifier(column))).collect();
    let order: Vec<String> =
        found.tool.recorded_by().iter().map(|column| format!("t.{}", quote_identifier(column))).collect();
    let (values, order, table) = (values.join(", "), order.join(", "), name.quoted());
    let sql = format!("SELECT {values} FROM {table} AS t ORDER BY {order} LIMIT {}", LIMIT + 1);
    let rows = session.query(WHAT, &sql, &[]).await.map_err(|source| match source.sqlstate() {
        Some("55P03") => Error::Locked { table: name.clone(), source: Box::new(source) },
        _ => source.into(),
    })?;
    if rows.len() > LIMIT {
        return Err(Error::TooManyRows { table: name.clone(), limit: LIMIT });
    }
    let rows = rows.iter().map(|row| (0..read.len()).map(|place| row.get(place)).collect()).collect();
    Ok(Tracking::Present(TrackingTable { name: name.clone(), columns: read, rows }))
}

/// The table's columns; `None` where there is no such table.
async fn columns(name: &TableName, session: &Session) -> Result<Option<Vec<String>>, Error> {
    let sql = "SELECT a.attname::pg_catalog.text FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
               WHERE n.nspname = $1::pg_catalog.text AND c.relname = $2::pg_catalog.text \
               AND c.relkind IN ('r', 'p', 'v', 'f') ORDER BY a.attnum";
    let rows = session.query(WHAT, sql, &[&name.schema, &name.name]).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    Ok(Some(rows.iter().filter_map(|row| row.get(0)).collect()))
}

/// Makes sure that every row can be read: a missing right would be an error without advice, row security a lie.
async fn may_read(name: &TableName, session: &Session) -> Result<(), Error> {
    let sql = "SELECT current_user::pg_catalog.text, \
                      pg_catalog.has_schema_privilege(n.oid, 'USAGE'), \
                      pg_catalog.has_table_privilege(c.oid, 'SELECT'), \
                      pg_catalog.row_security_active(c.oid) \
               FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1::pg_catalog.text AND c.relname = $2::pg_catalog.text";
    let row = session.query_one(WHAT, sql, &[&name.schema, &name.name]).await?;
    let (role, usage, select, hidden): (String, bool, bool, bool) = (row.get(0), row.get(1), row.get(2), row.get(3));
    let quoted = quote_identifier(&role);
    let mut grants = Vec::new();
    if !usage {
        grants.push(format!("GRANT USAGE ON SCHEMA {} TO {quoted}", quote_identifier(&name.schema)));
    }
    if !select {
        grants.push(format!("GRANT SELECT ON {} TO {quoted}", name.quoted()));
    }
    if hidden && grants.is_empty() {
        grants.push(format!(
            "ALTER TABLE {} DISABLE ROW LEVEL SECURITY, or ALTER ROLE {quoted} BYPASSRLS",
            name.quoted()
        ));
    }
    if grants.is_empty() {
        return Ok(());
    }
    Err(Error::NotReadable { table: name.clone(), role, grant: grants.join("; ") })
}

/// Whether the database holds a table of its own, outside of extensions.
async fn holds_tables(session: &Session) -> Result<bool, Error> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
               AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass \
                               AND d.objid = c.oid AND d.deptype = 'e'))";
    Ok(session.query_one("looking for tables", sql, &[]).await?.get(0))
}
