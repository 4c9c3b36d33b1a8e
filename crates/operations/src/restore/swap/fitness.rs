//! What of the server and its catalog stands in the way of exchanging a database: each a query that changes nothing.

use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_core::verification::Obstacle;
use holdpoint_postgres::catalog::roles;
use holdpoint_postgres::connection::Host;
use holdpoint_postgres::scratch::available_bytes;
use holdpoint_postgres::{Session, preflight};

use crate::Error;

fn obstacle(reason: impl Into<String>, cure: impl Into<String>) -> Obstacle {
    Obstacle { reason: reason.into(), cure: cure.into() }
}

/// Renaming takes ownership and CREATEDB; giving the restored database to its owner takes that role's membership.
///
/// `session` may be in any database of the server.
pub(super) async fn rights(session: &Session, database: &str) -> Result<Vec<Obstacle>, Error> {
    let own = roles::own_rights(session).await?;
    if own.superuser {
        return Ok(Vec::new());
    }
    let set = if session.server().major >= 16 { "SET" } else { "MEMBER" };
    let sql = format!(
        "SELECT pg_catalog.pg_get_userbyid(datdba)::text, pg_catalog.pg_has_role(datdba, 'USAGE'), \
                pg_catalog.pg_has_role(datdba, '{set}') \
         FROM pg_catalog.pg_database WHERE datname = $1"
    );
    let row = session.query_one("reading the database's owner", &sql, &[&database]).await?;
    let (owner, owns, may_give): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let role = quote_identifier(&own.name);
    let mut found = Vec::new();
    if !owns || !may_give {
        found.push(obstacle(
            format!("role {} may not rename the database, which belongs to {owner}", own.name),
            format!("GRANT {} TO {role}; or connect as a role that may, with --into", quote_identifier(&owner)),
        ));
    }
    if !own.create_databases {
        found.push(obstacle(
            format!("role {} may not create databases, without which nothing is renamed either", own.name),
            format!(
                "ALTER ROLE {role} CREATEDB; where the provider does not allow that, restore into a database that it \
                 makes and change the application's URL: holdpoint restore --into URL"
            ),
        ));
    }
    // Everybody's sessions have to be ended; those of superusers only superusers end.
    let sql = "SELECT DISTINCT r.rolname::text FROM pg_catalog.pg_stat_activity a \
               JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid \
               WHERE a.datname = $1 AND a.pid <> pg_catalog.pg_backend_pid() \
                 AND (r.rolsuper OR NOT (pg_catalog.pg_has_role(r.oid, 'USAGE') \
                                         OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE'))) ORDER BY 1";
    let rows = session.query("looking whose sessions cannot be ended", sql, &[&database]).await?;
    let others: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if !others.is_empty() {
        found.push(obstacle(
            format!("role {} may not end the sessions of {}", own.name, others.join(", ")),
            format!("end them, or GRANT pg_signal_backend TO {role} (a superuser's sessions end only by a superuser)"),
        ));
    }
    Ok(found)
}

/// What of the database's settings this role may not give to the copy: without them, it must not take its place.
///
/// The rules are those of `AlterRoleSet` and `validate_option_array_item` in PostgreSQL's source: settings of another
/// role take CREATEROLE (since 16 with ADMIN on it), those that only superusers may set, and unknown ones, take a
/// superuser or, since 15, GRANT SET ON PARAMETER. `session` may be in any database of the server.
pub(super) async fn settings(session: &Session, database: &str) -> Result<Vec<Obstacle>, Error> {
    let own = roles::own_rights(session).await?;
    if own.superuser {
        return Ok(Vec::new());
    }
    let major = session.server().major;
    let granted = if major >= 15 { "pg_catalog.has_parameter_privilege(s.name, 'SET')" } else { "false" };
    let admin = if major >= 16 { "pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')" } else { "true" };
    let sql = format!(
        "SELECT r.rolname::text, s.name, \
                COALESCE(p.context, 'superuser') IN ('superuser', 'superuser-backend') AND NOT {granted}, \
                r.rolname IS NOT NULL AND r.rolname <> current_user AND (r.rolsuper OR NOT ($1 AND {admin})) \
         FROM (SELECT setrole, pg_catalog.split_part(pg_catalog.unnest(setconfig), '=', 1) AS name \
               FROM pg_catalog.pg_db_role_setting JOIN pg_catalog.pg_database d ON d.oid = setdatabase \
               WHERE d.datname = $2) s \
         LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole \
         LEFT JOIN pg_catalog.pg_settings p ON pg_catalog.lower(p.name) = pg_catalog.lower(s.name) ORDER BY 1, 2"
    );
    let rows =
        session.query("looking which settings could not be given", &sql, &[&own.create_roles, &database]).await?;
    let refused = rows.iter().filter_map(|row| {
        let (role, name): (Option<&str>, &str) = (row.get(0), row.get(1));
        let whom = role.map_or_else(String::new, |role| format!(" of role {role}"));
        let why = match (row.get(2), row.get(3)) {
            (false, false) => return None,
            (true, _) => "it takes a superuser's right",
            (false, true) => "it is another role's",
        };
        Some(not_carried(format!("role {} may not set {name}{whom} for the database: {why}", own.name)))
    });
    Ok(refused.collect())
}

/// A setting or a grant of the live database that the copy would not have.
pub(super) fn not_carried(reason: String) -> Obstacle {
    obstacle(
        reason,
        "name the database by a superuser's URL (--into); or let who may take the setting or grant away before, and \
         give it again after the swap",
    )
}

/// What is bound to the database itself and would stay with the old one, or hold it: prepared transactions, logical
/// replication from it and into it.
pub(super) async fn bound(session: &Session, database: &str) -> Result<Vec<Obstacle>, Error> {
    const WHAT: &str = "looking for what is bound to the database";
    let mut found = Vec::new();
    let names = async |sql: &str| -> Result<Vec<String>, Error> {
        let rows = session.query(WHAT, sql, &[&database]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    };
    let prepared = "SELECT gid FROM pg_catalog.pg_prepared_xacts WHERE database = $1 ORDER BY prepared";
    let prepared = names(prepared).await?;
    if let Some(first) = prepared.first() {
        found.push(obstacle(
            format!("prepared transactions hold the database: {}", prepared.join(", ")),
            format!("end each in it: COMMIT PREPARED {0}; or ROLLBACK PREPARED {0};", quote_literal(first)),
        ));
    }
    let slots = "SELECT slot_name::text FROM pg_catalog.pg_replication_slots WHERE database = $1 ORDER BY 1";
    let slots = names(slots).await?;
    if let Some(first) = slots.first() {
        found.push(obstacle(
            format!("logical replication slots stay with the old database: {}", slots.join(", ")),
            format!(
                "stop what reads them, then SELECT pg_drop_replication_slot({}); and let it begin anew after the swap",
                quote_literal(first)
            ),
        ));
    }
    let subscriptions = "SELECT subname::text FROM pg_catalog.pg_subscription \
                         JOIN pg_catalog.pg_database d ON d.oid = subdbid WHERE d.datname = $1 AND subenabled ORDER BY 1";
    let subscriptions = names(subscriptions).await?;
    if let Some(first) = subscriptions.first() {
        found.push(obstacle(
            format!("subscriptions write into the database: {}", subscriptions.join(", ")),
            format!(
                "ALTER SUBSCRIPTION {} DISABLE; the restored database has its own, disabled",
                quote_identifier(first)
            ),
        ));
    }
    Ok(found)
}

/// The restore's sessions come on top of the application's.
pub(super) async fn connections(session: &Session, jobs: usize) -> Result<Option<Obstacle>, Error> {
    /// Beside the loading sessions: one that renames, one that has the run lock, one that compares, one that pg_restore
    /// opens.
    const BESIDE: i64 = 4;
    let headroom = preflight::headroom(session).await?;
    let left = headroom.allowed - headroom.used;
    let needed = i64::try_from(jobs).unwrap_or(i64::MAX).saturating_add(BESIDE);
    if left < needed {
        return Ok(Some(obstacle(
            format!("the server has {} connections left, the restore takes {needed}", left.max(0)),
            "work with fewer sessions (--jobs 1), or end some of the application's",
        )));
    }
    // The live database's own limit is nothing to the copy, into which nearly all of them go.
    let Some(left) = headroom.left_to_role.filter(|left| *left < needed) else { return Ok(None) };
    let role = roles::own_rights(session).await?.name;
    Ok(Some(obstacle(
        format!("role {role} has {left} connections left of its limit, the restore takes {needed}"),
        format!(
            "work with fewer sessions (--jobs 1), or ALTER ROLE {} CONNECTION LIMIT -1; and the old limit again after the \
             swap",
            quote_identifier(&role)
        ),
    )))
}

/// Reads how many bytes are free where the server keeps its data.
///
/// No function of PostgreSQL tells it. By a unix socket the server is on this machine, so its folder can be looked at,
/// where the role may know which it is.
pub(super) async fn free_bytes(session: &Session) -> Option<u64> {
    let by_socket = session.settings().servers().iter().all(|server| matches!(server.host, Host::Socket(_)));
    if !by_socket {
        return None;
    }
    let directory = std::path::PathBuf::from(session.show("data_directory").await.ok()?);
    // A path that is not here is another file system's, as of a container.
    directory.is_dir().then(|| available_bytes(&directory).ok()).flatten()
}

/// How many sessions are in the database, this one left out.
pub(super) async fn sessions(session: &Session) -> Result<u64, Error> {
    let sql = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity \
               WHERE datname = pg_catalog.current_database() AND usesysid IS NOT NULL \
                 AND pid <> pg_catalog.pg_backend_pid()";
    let row = session.query_one("counting sessions", sql, &[]).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}
