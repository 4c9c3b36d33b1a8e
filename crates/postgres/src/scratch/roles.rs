//! Roles that verifications made on a server which is not theirs alone.
//!
//! Each bears a mark: a comment that names the role's OID, so that it means nothing on a server to which somebody copied it.
//! One that somebody else found a use for is told apart by what the catalogs know, and is left to him.

use holdpoint_core::name::{quote_identifier, quote_literal};

use crate::Error;
use crate::session::Session;

const LISTING: &str = "listing scratch roles";
const MAKING: &str = "creating the archive's roles";
const TAKING_AWAY: &str = "dropping a scratch role";
/// The beginning of the mark; the role's OID follows.
const MARK: &str = "holdpoint scratch role ";
/// Whoever waits longer than this for a role leaves it: somebody works with it.
const DROPS_WITHIN: &str = "2s";

/// An SQL condition: whether the role `r` of `pg_roles` bears the mark.
fn is_marked(role: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_catalog.pg_shdescription x WHERE x.objoid = {role}.oid \
                   AND x.classoid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND x.description = '{MARK}' || {role}.oid)"
    )
}

/// An SQL condition: whether the role `r` of `pg_roles` is as verifications leave it. Those that they restore as may log in.
/// From PostgreSQL 16 on who creates a role is made its member, without its rights.
fn is_as_made() -> String {
    format!(
        "(r.rolname ~ '^holdpoint_(owner|rds)_[0-9a-f]{{8}}$' \
            OR NOT (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls OR r.rolcanlogin \
                    OR r.rolconnlimit <> -1 OR r.rolvaliduntil IS NOT NULL)) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s WHERE s.setrole = r.oid) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles w ON w.oid = m.member \
                         WHERE m.roleid = r.oid AND w.rolname <> current_user AND NOT {} \
                           AND coalesce((pg_catalog.to_jsonb(m) ->> 'set_option')::boolean, true)) \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_shdepend s LEFT JOIN pg_catalog.pg_database d \
                           ON d.oid = CASE WHEN s.dbid <> 0 THEN s.dbid \
                                           WHEN s.classid = 'pg_catalog.pg_database'::pg_catalog.regclass THEN s.objid END \
                         WHERE s.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND s.refobjid = r.oid \
                           AND coalesce(d.datname !~ '^{}', true))",
        is_marked("w"),
        super::server::DATABASE_PREFIX,
    )
}

/// An SQL condition: whether the role `r` of `pg_roles` is there for verifications alone.
pub(crate) fn is_scratch() -> String {
    format!("({} AND {})", is_marked("r"), is_as_made())
}

/// A role that a verification made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScratchRole {
    /// Its name.
    pub name: String,
    /// Somebody else uses it: it can log in, has settings or members, or something outside of scratch databases needs it.
    pub adopted: bool,
    groups: Vec<String>,
}

/// Lists the roles that bear the mark; the groups of one that is adopted count as adopted.
///
/// # Errors
/// Those of asking.
pub async fn list(session: &Session) -> Result<Vec<ScratchRole>, Error> {
    let sql = format!(
        "SELECT r.rolname::text, NOT ({}), \
           ARRAY(SELECT g.rolname::text FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.roleid \
                 WHERE m.member = r.oid) \
         FROM pg_catalog.pg_roles r WHERE {} ORDER BY 1",
        is_as_made(),
        is_marked("r")
    );
    let rows = session.query(LISTING, &sql, &[]).await?;
    let role = |row: &tokio_postgres::Row| ScratchRole { name: row.get(0), adopted: row.get(1), groups: row.get(2) };
    let mut roles: Vec<ScratchRole> = rows.iter().map(role).collect();
    spread(&mut roles);
    Ok(roles)
}

fn spread(roles: &mut [ScratchRole]) {
    loop {
        let groups: Vec<String> = roles.iter().filter(|one| one.adopted).flat_map(|one| one.groups.clone()).collect();
        let mut more = roles.iter_mut().filter(|one| !one.adopted && groups.contains(&one.name)).peekable();
        if more.peek().is_none() {
            return;
        }
        more.for_each(|one| one.adopted = true);
    }
}

/// Creates roles that bear the mark, all or none. `roles` are names, and the options of `CREATE ROLE`.
///
/// # Errors
/// Those of PostgreSQL.
pub async fn create(session: &Session, roles: &[(&str, String)]) -> Result<(), Error> {
    if roles.is_empty() {
        return Ok(());
    }
    session.run(MAKING, "BEGIN").await?;
    let made = create_all(session, roles).await;
    session.run(MAKING, if made.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    made
}

async fn create_all(session: &Session, roles: &[(&str, String)]) -> Result<(), Error> {
    let create: Vec<String> =
        roles.iter().map(|(name, options)| format!("CREATE ROLE {} {options}", quote_identifier(name))).collect();
    session.run(MAKING, &create.join("; ")).await?;
    let names: Vec<&str> = roles.iter().map(|(name, _)| *name).collect();
    let sql = "SELECT rolname::text, oid FROM pg_catalog.pg_roles WHERE rolname::text = ANY ($1)";
    let rows = session.query(MAKING, sql, &[&names]).await?;
    let comment = |row: &tokio_postgres::Row| {
        let (name, oid): (String, u32) = (row.get(0), row.get(1));
        format!("COMMENT ON ROLE {} IS {}", quote_identifier(&name), quote_literal(&format!("{MARK}{oid}")))
    };
    session.run(MAKING, &rows.iter().map(comment).collect::<Vec<_>>().join("; ")).await
}

/// Drops one role, if it is there.
///
/// # Errors
/// Those of PostgreSQL.
pub async fn drop_one(session: &Session, name: &str) -> Result<(), Error> {
    session.run(TAKING_AWAY, &format!("DROP ROLE IF EXISTS {}", quote_identifier(name))).await
}

/// Drops the roles that bear the mark and takes the mark off those that somebody else uses. Returns those that could not be
/// dropped: a database that was left needs them, somebody works with them at this moment, or another role made them.
///
/// No verification may be at work on the server.
///
/// # Errors
/// Those of asking; of a lost connection.
pub async fn take_away(session: &Session) -> Result<Vec<String>, Error> {
    session.run(TAKING_AWAY, &format!("SET lock_timeout = '{DROPS_WITHIN}'")).await?;
    let mut stay = Vec::new();
    for role in list(session).await? {
        let done = if role.adopted {
            session.run(TAKING_AWAY, &format!("COMMENT ON ROLE {} IS NULL", quote_identifier(&role.name))).await
        } else {
            drop_one(session, &role.name).await
        };
        match done {
            Err(error) if matches!(error.sqlstate(), Some("2BP01" | "42501" | "55006" | "55P03")) => {
                tracing::debug!(role = role.name, %error, "a scratch role stays");
                stay.push(role.name);
            }
            done => done?,
        }
    }
    Ok(stay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_adopted_roles_are_adopted() {
        let role = |name: &str, adopted: bool, groups: &[&str]| ScratchRole {
            name: name.to_owned(),
            adopted,
            groups: groups.iter().map(|one| (*one).to_owned()).collect(),
        };
        let mut roles =
            vec![role("a", true, &["b"]), role("b", false, &["c"]), role("c", false, &[]), role("d", false, &["a"])];
        spread(&mut roles);
        assert_eq!(roles.iter().map(|one| one.adopted).collect::<Vec<_>>(), [true, true, true, false]);
    }
}
