//! Tables whose policies would hide rows from the role.

use serde::Serialize;

use crate::Error;
use crate::catalog::Lossy;
use crate::catalog::relations::DUMPED;
use crate::session::Session;

/// A table that the role sees through policies.
///
/// With `row_security=off`, as every session here has it, COPY of such a table fails instead of leaving rows out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FilteredTable {
    /// `schema.name`, quoted where needed.
    pub name: String,
    /// The owner, to whom policies apply only when forced.
    pub owner: String,
    /// Whether policies are forced on the owner too.
    pub forced: bool,
}

/// Lists the tables with row security that applies to the connected role: neither superuser nor BYPASSRLS, and not
/// the owner or forced. The server itself decides (`row_security_active`).
pub async fn filtered_tables(session: &Session) -> Result<Vec<FilteredTable>, Error> {
    let sql = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), pg_catalog.pg_get_userbyid(c.relowner)::text, \
                c.relforcerowsecurity \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relrowsecurity AND {DUMPED} AND pg_catalog.row_security_active(c.oid) \
         ORDER BY n.nspname, c.relname"
    );
    let rows = session.query("looking for row security that applies", &sql, &[]).await?;
    let table = |row: &tokio_postgres::Row| FilteredTable {
        name: row.get::<_, Lossy>(0).0,
        owner: row.get::<_, Lossy>(1).0,
        forced: row.get(2),
    };
    Ok(rows.iter().map(table).collect())
}
