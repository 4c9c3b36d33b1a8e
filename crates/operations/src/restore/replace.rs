//! Replacing a database that is not production: restore beside, mask, swap.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use holdpoint_core::Identity;
use holdpoint_core::identity::IdentityMatch;
use holdpoint_core::manifest::DatabaseProperties;
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_core::progress::Phase;
use holdpoint_core::selector::Selector;
use holdpoint_postgres::catalog::database;
use holdpoint_postgres::identity::ServerIdentity;
use holdpoint_postgres::programs::{ProgramName, Psql, judge};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, identity};

use super::{REPLACED_MARK, Replace, RestoreOptions, RestoreReport, foreign, run, target};
use crate::{Context, Error, database_properties};

const GRACE: Duration = Duration::from_secs(5);

/// Restores beside the target, runs the masking SQL before anyone may connect, and swaps the two by renaming.
///
/// What took the target's place has its owner, grants, settings, comment and connection limit. Whoever is connected to
/// the old database is ended. On any failure before the swap the target is untouched and what was restored beside it is
/// dropped.
pub(super) async fn replace(
    context: &Context,
    options: &RestoreOptions,
    how: &Replace,
) -> Result<RestoreReport, Error> {
    let target_name = options.into.database().to_owned();
    let session = target::connect(&options.into).await?;
    refuse_production(options, &session).await?;
    let beside = format!("holdpoint_restore_{:08x}", context.seed & 0xffff_ffff);
    let maintenance = maintenance(&options.into).await?;
    if options.dry_run {
        let beside = options.into.clone();
        let mut report = into_empty(context, options, &beside, true).await?;
        report.warnings.push(format!("{target_name} would be replaced and its sessions ended"));
        return Ok(report);
    }
    let point = match &options.from {
        Selector::Foreign(_) => None,
        selector => Some(crate::selection::resolve(context, selector).await?),
    };
    let old = free_name(&maintenance, &target_name, &run::tail(point.as_ref())).await?;
    let properties = database::properties(&session).await?;
    create_beside(&session, &maintenance, &beside).await?;
    session.close().await;
    let settings = options.into.with_database(&beside);
    let prepared = async {
        fence(&maintenance, &beside).await?;
        let report = into_empty(context, options, &settings, false).await?;
        if !report.differences.is_empty() {
            return Ok((report, None));
        }
        if let Some(script) = &how.after_sql {
            after_sql(context, options, &settings, script).await?;
        }
        context.progress.phase(Phase::Swapping, None);
        let warnings = swap(&maintenance, &target_name, &beside, &old).await?;
        Ok::<_, Error>((report, Some(warnings)))
    };
    let mut report = match prepared.await {
        Ok((mut report, Some(warnings))) => {
            report.warnings.extend(warnings);
            report
        }
        Ok((report, None)) => {
            drop_database(&maintenance, &beside).await?;
            return Ok(report);
        }
        Err(failure) => {
            return match drop_database(&maintenance, &beside).await {
                Ok(()) => Err(failure),
                Err(_) => {
                    let remains = format!("database {beside} remains on the target's server");
                    Err(Error::LeftBehind { failure: Box::new(failure), remains })
                }
            };
        }
    };
    report.into = options.into.redacted();
    let warnings = open_as_before(&maintenance, &target_name, properties).await?;
    report.warnings.extend(warnings);
    if how.keep_old {
        let at = holdpoint_postgres::preflight::clock(&maintenance).await?;
        let mark = quote_literal(&format!("{REPLACED_MARK}{}", at.to_rfc3339()));
        let sql = format!("COMMENT ON DATABASE {} IS {mark}", quote_identifier(&old));
        maintenance.run("marking the replaced database", &sql).await?;
        report.kept_as = Some(old);
    } else {
        drop_database(&maintenance, &old).await?;
    }
    Ok(report)
}

/// Chooses the name under which the replaced database is kept, or waits to be dropped.
async fn free_name(maintenance: &Session, target: &str, tail: &str) -> Result<String, Error> {
    const WHAT: &str = "choosing a name for the replaced database";
    let base = format!("{}_before_{tail}", shortened(target));
    let taken = "SELECT datname::text FROM pg_catalog.pg_database";
    let rows = maintenance.query(WHAT, taken, &[]).await?;
    let taken: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let numbered = (2..100).map(|n| format!("{base}_{n}"));
    let free = std::iter::once(base.clone()).chain(numbered).find(|name| !taken.contains(name));
    free.ok_or_else(|| Error::ReplaceRefused {
        target: target.to_owned(),
        why: format!("databases {base}, {base}_2 and so on are all still there"),
    })
}

/// Keeps everybody but superusers and the restoring role out of a database that was created closed.
async fn fence(maintenance: &Session, beside: &str) -> Result<(), Error> {
    const WHAT: &str = "closing the database to restore into";
    let name = quote_identifier(beside);
    maintenance.run(WHAT, &format!("REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC")).await?;
    let sql = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
    if !maintenance.query_one(WHAT, sql, &[]).await?.get::<_, bool>(0) {
        // The limit holds for this role too; superusers and its own members alone get past the missing grant.
        maintenance.run(WHAT, &format!("ALTER DATABASE {name} CONNECTION LIMIT -1")).await?;
    }
    Ok(())
}

/// Gives the database that took the target's place the target's own properties, the connection limit last.
///
/// Until then only superusers and its owner get in: what fails leaves it closed, and is a warning.
async fn open_as_before(
    maintenance: &Session,
    name: &str,
    mut properties: DatabaseProperties,
) -> Result<Vec<String>, Error> {
    let limit = std::mem::replace(&mut properties.connection_limit, -1);
    // No grants on record means PostgreSQL's default, which was taken away.
    let grants = properties.grants.take().unwrap_or_else(|| database_properties::default_grants(&properties.owner));
    properties.grants = Some(grants);
    let mut failures = database_properties::apply(maintenance, name, &properties).await?;
    let open = format!("ALTER DATABASE {} CONNECTION LIMIT {limit}", quote_identifier(name));
    if let Err(error) = maintenance.run("opening the restored database", &open).await {
        failures.push(format!("{open}: {}", Error::from(error).line()));
    }
    Ok(failures.iter().map(|failure| format!("a property of {name} was not applied again: {failure}")).collect())
}

async fn into_empty(
    context: &Context,
    options: &RestoreOptions,
    into: &ConnectionSettings,
    dry_run: bool,
) -> Result<RestoreReport, Error> {
    let options = RestoreOptions { dry_run, replace: None, ..options.clone() };
    if dry_run {
        // The target is full, which is why it is replaced: only the source of the restore is looked at.
        return plan_only(context, &options, into).await;
    }
    match &options.from {
        Selector::Foreign(place) => foreign::restore(context, &options, place, into).await,
        _ => run::restore_point(context, &options, into, run::Properties::Untouched).await,
    }
}

async fn plan_only(
    context: &Context,
    options: &RestoreOptions,
    into: &ConnectionSettings,
) -> Result<RestoreReport, Error> {
    let (point, from, read_bytes) = match &options.from {
        Selector::Foreign(place) => (None, place.clone(), 0),
        selector => {
            let point = crate::selection::resolve(context, selector).await?;
            let stored = context.repository.manifest(&context.database, &point).await?;
            (Some(point.clone()), format!("{point} of {}", context.database), stored.manifest.archive.bytes)
        }
    };
    Ok(RestoreReport {
        point,
        from,
        into: into.redacted(),
        dry_run: true,
        read_bytes,
        compared: None,
        differences: Vec::new(),
        kept_as: None,
        took_ms: 0,
        warnings: Vec::new(),
    })
}

/// The configured source is never replaced, whatever URL leads to it.
async fn refuse_production(options: &RestoreOptions, session: &Session) -> Result<(), Error> {
    let Some(source) = &options.source else { return Ok(()) };
    let there = identity::read(session).await?;
    let source = Session::connect(source, &SessionPurpose::new("holdpoint restore")).await?;
    let production = identity::read(&source).await?;
    source.close().await;
    if !may_be_same(&production, &there) {
        return Ok(());
    }
    Err(Error::ReplaceRefused {
        target: session.settings().redacted(),
        why: "it is the configured source itself, or a physical copy that nothing tells from it".to_owned(),
    })
}

/// Whether two sessions may be on one database.
///
/// Another name for the same host must not help, nor a standby or a pooler in between: the endpoint and when the server
/// started prove nothing. A physical copy has everything the same, until it is promoted: then its timeline differs.
fn may_be_same(production: &ServerIdentity, there: &ServerIdentity) -> bool {
    let same_place = Identity { endpoint: production.identity.endpoint.clone(), ..there.identity.clone() };
    match Identity::compare(&production.identity, &same_place) {
        IdentityMatch::Different(_) => false,
        IdentityMatch::Same => true,
        IdentityMatch::TimelineChanged => production.in_recovery || there.in_recovery,
    }
}

/// A session on the same server from which databases can be renamed.
async fn maintenance(target: &ConnectionSettings) -> Result<Session, Error> {
    let mut last = None;
    for name in ["postgres", "template1"] {
        if name == target.database() {
            continue;
        }
        match target::connect(&target.with_database(name)).await {
            Ok(session) => return Ok(session),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::Usage("the maintenance database itself cannot be replaced".to_owned())))
}

async fn create_beside(target: &Session, maintenance: &Session, beside: &str) -> Result<(), Error> {
    const WHAT: &str = "creating the database to restore into";
    let facts = database::server_facts(target).await?;
    let locale = holdpoint_postgres::scratch::DatabaseLocale::from(&facts);
    // Closed from its first moment: who connects before the grant is revoked would stay.
    let sql = format!("{} CONNECTION LIMIT 0", locale.statement(beside, maintenance.server().major));
    maintenance.run(WHAT, &sql).await?;
    Ok(())
}

/// Runs the masking script in the restored database, in one transaction.
async fn after_sql(
    context: &Context,
    options: &RestoreOptions,
    settings: &ConnectionSettings,
    script: &Path,
) -> Result<(), Error> {
    let session = target::connect(settings).await?;
    let psql = options.programs.find(ProgramName::Psql, session.server().major, &context.cancel).await?;
    session.close().await;
    let program = Psql::new(&psql, settings).single_transaction().script(script);
    let mut running = program.start().map_err(holdpoint_postgres::Error::Process)?;
    let ended = running.wait_or_cancel(&context.cancel, GRACE).await.map_err(holdpoint_postgres::Error::Process)?;
    judge(&psql, ended)?;
    Ok(())
}

/// Swaps two databases by name: nobody connects in between, and a failure of the second rename undoes the first.
///
/// What went wrong after the swap is in the result.
async fn swap(maintenance: &Session, target: &str, beside: &str, old: &str) -> Result<Vec<String>, Error> {
    const WHAT: &str = "swapping the databases";
    let rename =
        |from: &str, to: &str| format!("ALTER DATABASE {} RENAME TO {}", quote_identifier(from), quote_identifier(to));
    let connections =
        |name: &str, allow: bool| format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", quote_identifier(name));
    maintenance.run(WHAT, &connections(target, false)).await?;
    let mut closed = target;
    let swapped = async {
        for name in [target, beside] {
            end_sessions(maintenance, name).await?;
        }
        maintenance.run(WHAT, &rename(target, old)).await?;
        closed = old;
        if let Err(error) = maintenance.run(WHAT, &rename(beside, target)).await {
            let failure = Box::new(Error::from(error));
            if maintenance.run(WHAT, &rename(old, target)).await.is_err() {
                let remains = format!("the database that was {target} is now called {old}");
                return Err(Error::LeftBehind { failure, remains });
            }
            closed = target;
            return Err(*failure);
        }
        Ok(())
    };
    let outcome = swapped.await;
    let reopened = maintenance.run(WHAT, &connections(closed, true)).await;
    match (outcome, reopened) {
        (Ok(()), Ok(())) => Ok(Vec::new()),
        (Ok(()), Err(error)) => {
            Ok(vec![format!("{closed}, which was replaced, does not allow connections: {}", Error::from(error).line())])
        }
        (Err(failure), Ok(())) => Err(failure),
        (Err(failure), Err(_)) => {
            let remains = format!("database {closed} does not allow connections any more");
            Err(Error::LeftBehind { failure: Box::new(failure), remains })
        }
    }
}

async fn end_sessions(maintenance: &Session, name: &str) -> Result<(), Error> {
    let end = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = {}",
        quote_literal(name)
    );
    let left =
        format!("SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE datname = {}", quote_literal(name));
    for _ in 0..50 {
        maintenance.run("ending sessions", &end).await?;
        let count: i64 = maintenance.query_one("ending sessions", &left, &[]).await?.get(0);
        if count == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(Error::ReplaceRefused { target: name.to_owned(), why: "its sessions do not end".to_owned() })
}

async fn drop_database(maintenance: &Session, name: &str) -> Result<(), Error> {
    let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote_identifier(name));
    Ok(maintenance.run("dropping a database", &sql).await?)
}

/// Names are cut at 63 bytes by the server, which would make two of them one.
fn shortened(name: &str) -> &str {
    let end = (0..=name.len().min(30)).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    &name[..end]
}

#[cfg(test)]
mod tests {
    use holdpoint_postgres::identity::Provider;

    use super::*;

    #[test]
    fn only_another_timeline_tells_a_promoted_copy_from_production() {
        let server = |endpoint: &str, timeline, in_recovery| ServerIdentity {
            identity: Identity {
                system_identifier: Some("7400000000000000001".into()),
                database_oid: 16384,
                database: "shop".into(),
                timeline,
                endpoint: endpoint.into(),
                resource_id: None,
            },
            started_at: chrono::DateTime::UNIX_EPOCH,
            version: holdpoint_postgres::session::ServerVersion { num: 180_000, major: 18, text: "18.0".into() },
            in_recovery,
            provider: Provider::Unknown,
        };
        let production = server("db1:5432", Some(1), false);
        let restarted = ServerIdentity {
            started_at: chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(1),
            ..server("10.0.0.1:6432", Some(1), false)
        };
        assert!(may_be_same(&production, &restarted));
        assert!(may_be_same(&production, &server("db2:5432", None, false)));
        assert!(may_be_same(&production, &server("db2:5432", Some(2), true)));
        assert!(may_be_same(&server("standby:5432", Some(2), true), &production));
        assert!(!may_be_same(&production, &server("db2:5432", Some(2), false)));
        let mut other = restarted;
        other.identity.database = "staging".into();
        assert!(!may_be_same(&production, &other));
    }

    #[test]
    fn names_of_replaced_databases_fit_with_their_number() {
        let tail = "20261121t024300z_k3f9";
        let name = format!("{}_before_{tail}_99", shortened(&"ü".repeat(40)));
        assert!(name.len() <= 63, "{}", name.len());
    }
}
