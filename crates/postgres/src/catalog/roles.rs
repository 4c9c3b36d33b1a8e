//! Roles: their names, and what the connected one may do.

use holdpoint_core::index::RoleRecord;
use serde::Serialize;

use crate::Error;
use crate::scratch::roles::is_scratch;
use crate::session::Session;

/// An SQL condition: whether a role is none of PostgreSQL's own.
const OTHERS: &str = "rolname !~ '^pg_'";

/// What the connected role may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleRights {
    /// The role.
    pub name: String,
    /// It may do everything.
    pub superuser: bool,
    /// It may create databases.
    pub create_databases: bool,
    /// It may create roles.
    pub create_roles: bool,
    /// Row security does not apply to it.
    pub bypass_row_security: bool,
    /// It is a member of `pg_read_all_data`.
    pub read_all_data: bool,
    /// It may cancel others' statements (`pg_signal_backend`).
    pub signal_backends: bool,
}

/// Reads what the connected role may do.
pub async fn own_rights(session: &Session) -> Result<RoleRights, Error> {
    let sql = "SELECT rolname::text, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls, \
                      pg_catalog.pg_has_role(oid, 'pg_read_all_data', 'USAGE'), \
                      pg_catalog.pg_has_role(oid, 'pg_signal_backend', 'USAGE') \
               FROM pg_catalog.pg_roles WHERE rolname = current_user";
    let row = session.query_one("reading the role's rights", sql, &[]).await?;
    Ok(RoleRights {
        name: row.get(0),
        superuser: row.get(1),
        create_databases: row.get(2),
        create_roles: row.get(3),
        bypass_row_security: row.get(4),
        read_all_data: row.get(5),
        signal_backends: row.get(6),
    })
}

/// Lists the roles of the server but the predefined ones and those of verifications (which go with them), with what any role
/// may know of them.
pub async fn list(session: &Session) -> Result<Vec<RoleRecord>, Error> {
    let sql = format!(
        "SELECT rolname::text, rolsuper, \
           ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid \
                 WHERE m.member = r.oid ORDER BY 1) \
         FROM pg_catalog.pg_roles r WHERE {OTHERS} AND NOT {} ORDER BY 1",
        is_scratch()
    );
    let rows = session.query("listing roles", &sql, &[]).await?;
    let role =
        |row: &tokio_postgres::Row| RoleRecord { name: row.get(0), superuser: row.get(1), member_of: row.get(2) };
    Ok(rows.iter().map(role).collect())
}

/// Lists the names of all roles but PostgreSQL's own (`pg_…`) and those of verifications.
pub async fn names(session: &Session) -> Result<Vec<String>, Error> {
    let sql =
        format!("SELECT rolname::text FROM pg_catalog.pg_roles r WHERE {OTHERS} AND NOT {} ORDER BY 1", is_scratch());
    Ok(session.query("listing roles", &sql, &[]).await?.iter().map(|row| row.get(0)).collect())
}
