//! The database that is restored beside another one, to take its place.

use std::collections::BTreeSet;

use holdpoint_core::PointId;
use holdpoint_core::fingerprint::Difference;
use holdpoint_core::manifest::DatabaseProperties;
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_postgres::catalog::database;
use holdpoint_postgres::scratch::DatabaseLocale;
use holdpoint_postgres::{ConnectionSettings, Session};
use tokio_util::sync::CancellationToken;

use super::mark::{Mark, Successor};
use super::{maintenance, run, sessions, target};
use crate::{Context, Error, database_properties};

/// Makes up the name of the database to restore into; `leftovers` knows it.
pub(super) fn name(context: &Context) -> String {
    format!("holdpoint_restore_{:08x}", context.seed & 0xffff_ffff)
}

/// Chooses the name under which the replaced database is kept, or waits to be dropped.
///
/// # Errors
/// [`Error::ReplaceRefused`] when a hundred of them are there.
pub(super) async fn free_name(maintenance: &Session, replaced: &str, point: Option<&PointId>) -> Result<String, Error> {
    numbered(maintenance, &format!("{}_before_{}", shortened(replaced), run::tail(point)), replaced).await
}

/// Chooses such a name beside one that is taken: without the number that the taken one may bear already.
pub(super) async fn next_name(maintenance: &Session, taken: &str) -> Result<String, Error> {
    let unnumbered = taken.rsplit_once('_').filter(|(_, number)| number.parse::<u8>().is_ok());
    numbered(maintenance, unnumbered.map_or(taken, |(base, _)| base), taken).await
}

async fn numbered(maintenance: &Session, base: &str, replaced: &str) -> Result<String, Error> {
    let taken: BTreeSet<String> =
        maintenance::databases(maintenance).await?.into_iter().map(|listed| listed.name).collect();
    let mut names = std::iter::once(base.to_owned()).chain((2..100).map(|n| format!("{base}_{n}")));
    names.find(|name| !taken.contains(name)).ok_or_else(|| Error::ReplaceRefused {
        target: replaced.to_owned(),
        why: format!("databases {base}, {base}_2 and so on are all still there"),
    })
}

/// Names are cut at 63 bytes by the server, which would make two of them one.
fn shortened(name: &str) -> &str {
    let end = (0..=name.len().min(30)).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    &name[..end]
}

/// Creates the database, with encoding, locale and tablespace of the one whose place it will take, and marks it.
///
/// Nobody but superusers and the restoring role can connect to it.
pub(super) async fn create(
    replaced: &Session,
    maintenance: &Session,
    beside: &str,
    mark: &Successor,
) -> Result<(), Error> {
    const WHAT: &str = "creating the database to restore into";
    let locale = DatabaseLocale::from(&database::server_facts(replaced).await?);
    let name = quote_identifier(beside);
    // Closed from its first moment: who connects before the grant is revoked would stay.
    let mut sql = format!("{} CONNECTION LIMIT 0", locale.statement(beside, maintenance.server().major));
    if let Some(tablespace) = tablespace(replaced).await? {
        sql.push_str(&format!(" TABLESPACE {}", quote_identifier(&tablespace)));
    }
    if let Some(rules) = collation_rules(replaced).await? {
        sql.push_str(&format!(" ICU_RULES {}", quote_literal(&rules)));
    }
    maintenance.run(WHAT, &sql).await?;
    let superuser = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
    let superuser: bool = maintenance.query_one(WHAT, superuser, &[]).await?.get(0);
    // The limit holds for this role too; superusers and its own members alone get past the missing grant.
    let opened = if superuser { String::new() } else { format!("; ALTER DATABASE {name} CONNECTION LIMIT -1") };
    let comment = maintenance::comment(beside, Some(&Mark::Successor(mark.clone()).text()));
    let sql = format!("{comment}; REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC{opened}");
    Ok(maintenance.run(WHAT, &sql).await?)
}

/// The tablespace that is not the server's default one.
async fn tablespace(session: &Session) -> Result<Option<String>, Error> {
    let sql = "SELECT NULLIF(spcname::text, 'pg_default') FROM pg_catalog.pg_database \
               JOIN pg_catalog.pg_tablespace t ON t.oid = dattablespace WHERE datname = pg_catalog.current_database()";
    Ok(session.query_one("reading the database's tablespace", sql, &[]).await?.get(0))
}

/// Rules beyond ICU's locale, which servers before 16 do not know: text would be sorted, and be equal, otherwise.
async fn collation_rules(session: &Session) -> Result<Option<String>, Error> {
    if session.server().major < 16 {
        return Ok(None);
    }
    let sql = "SELECT daticurules FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()";
    Ok(session.query_one("reading the database's collation rules", sql, &[]).await?.get(0))
}

/// Tries out, on the empty copy, what [`prepare`] will do hours later; gives what would fail.
pub(super) async fn rehearse(
    maintenance: &Session,
    beside: &str,
    properties: &DatabaseProperties,
    of: &str,
) -> Result<Vec<String>, Error> {
    let failures = database_properties::rehearse(maintenance, beside, &carried(properties)).await?;
    Ok(under_the_name(of, beside, &failures))
}

/// What goes over to the copy before the exchange: the comment comes with the name, and no grants on record means
/// PostgreSQL's default, which was taken away.
fn carried(properties: &DatabaseProperties) -> DatabaseProperties {
    let grants = properties.grants.clone().unwrap_or_else(|| database_properties::default_grants(&properties.owner));
    DatabaseProperties { comment: None, grants: Some(grants), ..properties.clone() }
}

fn under_the_name(of: &str, beside: &str, failures: &[String]) -> Vec<String> {
    let named = |failure: &String| failure.replace(&quote_identifier(beside), &quote_identifier(of));
    failures.iter().map(named).collect()
}

/// Closes the restored database and gives it the other one's properties: owner, grants, settings, connection limit.
///
/// They belong to the database, not to its name, so they are there in the very moment in which it takes its place. The
/// comment comes with the name. Gives what could not be applied, or is not there as it was, but fails where the owner
/// could not.
pub(super) async fn prepare(
    maintenance: &Session,
    beside: &str,
    properties: &DatabaseProperties,
    mark: &Successor,
    cancel: &CancellationToken,
) -> Result<Vec<String>, Error> {
    const WHAT: &str = "giving the restored database its properties";
    maintenance.run(WHAT, &maintenance::allow(beside, false)).await?;
    sessions::end_all(maintenance, beside, cancel).await?;
    let wanted = carried(properties);
    let unlimited = DatabaseProperties { connection_limit: -1, ..wanted.clone() };
    let mut failures = database_properties::apply(maintenance, beside, &unlimited).await?;
    let sql = format!("ALTER DATABASE {} CONNECTION LIMIT {}", quote_identifier(beside), wanted.connection_limit);
    if let Err(error) = maintenance.run(WHAT, &sql).await {
        failures.push(format!("{sql}: {}", Error::from(error).line()));
    }
    // Statements that grant nothing only warn.
    let (found, differences) = found_beside(maintenance, beside, &wanted).await?;
    if failures.is_empty() {
        failures.extend(differences.iter().map(|one| format!("{} is not as it was", one.name)));
    }
    if found.owner != wanted.owner {
        let why = failures.into_iter().next().unwrap_or_default();
        return Err(Error::ReplaceRefused {
            target: mark.of.clone(),
            why: format!("the restored database cannot be given to its owner {}: {why}", properties.owner),
        });
    }
    Ok(under_the_name(&mark.of, beside, &failures))
}

/// Tells whether the closed copy has all of a database's properties, and no others.
pub(super) async fn has(maintenance: &Session, beside: &str, properties: &DatabaseProperties) -> Result<bool, Error> {
    let wanted = carried(properties);
    let (found, differences) = found_beside(maintenance, beside, &wanted).await?;
    Ok(differences.is_empty() && found.connection_limit == wanted.connection_limit)
}

/// Reads the copy's properties, but for the comment, and what of them is not as wanted.
async fn found_beside(
    maintenance: &Session,
    beside: &str,
    wanted: &DatabaseProperties,
) -> Result<(DatabaseProperties, Vec<Difference>), Error> {
    let found = DatabaseProperties { comment: None, ..database::properties_of(maintenance, Some(beside)).await? };
    let differences = database_properties::compare((wanted, &[]), (&found, &[]));
    Ok((found, differences))
}

/// Does what [`prepare`] does for a copy that had other properties before: what it has is taken away first.
pub(super) async fn prepare_again(
    maintenance: &Session,
    beside: &str,
    properties: &DatabaseProperties,
    mark: &Successor,
    cancel: &CancellationToken,
) -> Result<Vec<String>, Error> {
    let found = database::properties_of(maintenance, Some(beside)).await?;
    for statement in database_properties::taken_away(beside, &found) {
        maintenance.run("taking the restored database's properties away", &statement).await?;
    }
    prepare(maintenance, beside, properties, mark, cancel).await
}

/// Marks the restored database as one to which only the name is missing.
pub(super) async fn mark_ready(maintenance: &Session, beside: &str, mark: &Successor) -> Result<(), Error> {
    let ready = Mark::Successor(Successor { ready: true, ..mark.clone() });
    let sql = maintenance::comment(beside, Some(&ready.text()));
    Ok(maintenance.run("marking the restored database", &sql).await?)
}

/// Reads the properties of a database that may be open only for a moment longer.
pub(super) async fn properties(settings: &ConnectionSettings) -> Result<DatabaseProperties, Error> {
    let session = target::connect(settings).await?;
    let properties = database::properties(&session).await?;
    session.close().await;
    Ok(properties)
}

/// Drops a database and ends whoever is in it.
pub(super) async fn drop_database(maintenance: &Session, name: &str) -> Result<(), Error> {
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_identifier(name));
    Ok(maintenance.run("dropping a database", &sql).await?)
}

/// Drops what was restored beside after a failure; says what remains where that fails too.
pub(super) async fn abandon(maintenance: &Session, beside: &str, failure: Error) -> Error {
    match drop_database(maintenance, beside).await {
        // With the database goes what the restore could not take out of it again.
        Ok(()) => match failure {
            Error::LeftBehind { failure, .. } => *failure,
            failure => failure,
        },
        Err(_) => remains(beside, failure),
    }
}

/// The failure, with what was restored beside and could not be dropped.
pub(super) fn remains(beside: &str, failure: Error) -> Error {
    let remains = format!("database {beside} remains on the target's server");
    Error::LeftBehind { failure: Box::new(failure), remains }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_replaced_databases_fit_with_their_number() {
        let tail = "20261121t024300z_k3f9";
        let name = format!("{}_before_{tail}_99", shortened(&"ü".repeat(40)));
        assert!(name.len() <= 63, "{}", name.len());
    }
}
