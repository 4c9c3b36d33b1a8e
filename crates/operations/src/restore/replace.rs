//! Replacing a database that is not production: restore beside, mask, swap.

use std::path::Path;
use std::time::Duration;

use holdpoint_core::Identity;
use holdpoint_core::identity::IdentityMatch;
use holdpoint_core::name::{quote_identifier, quote_literal};
use holdpoint_core::progress::Phase;
use holdpoint_core::selector::Selector;
use holdpoint_postgres::programs::{ProgramName, Psql, judge};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, identity};

use super::{REPLACED_MARK, Replace, RestoreOptions, RestoreReport, foreign, run, target};
use crate::{Context, Error};

const GRACE: Duration = Duration::from_secs(5);

/// Restores beside the target, runs the masking SQL before anyone may connect, and swaps the two by renaming.
///
/// Whoever is connected to the old database is ended. On any failure before the swap the target is untouched and what
/// was restored beside it is dropped.
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
    create_beside(&session, &maintenance, &beside).await?;
    session.close().await;
    let settings = options.into.with_database(&beside);
    let restored = async {
        let report = into_empty(context, options, &settings, false).await?;
        if let Some(script) = &how.after_sql {
            after_sql(context, options, &settings, script).await?;
        }
        Ok::<_, Error>(report)
    };
    let mut report = match restored.await {
        Ok(report) if report.differences.is_empty() => report,
        Ok(report) => {
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
    context.progress.phase(Phase::Swapping, None);
    let old = format!("{}_before_{}", shortened(&target_name), run::tail(report.point.as_ref()));
    swap(&maintenance, &target_name, &beside, &old).await?;
    report.into = options.into.redacted();
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
        _ => run::restore_point(context, &options, into).await,
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
    // Another name for the same host must not help: server and database decide, the endpoint does not. A physical copy
    // has the same system identifier, but is another process.
    let same_place = Identity { endpoint: production.identity.endpoint.clone(), ..there.identity };
    let differs = matches!(Identity::compare(&production.identity, &same_place), IdentityMatch::Different(_));
    if differs || production.started_at != there.started_at {
        return Ok(());
    }
    Err(Error::ReplaceRefused {
        target: session.settings().redacted(),
        why: "it is the configured source itself".to_owned(),
    })
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
    let facts = holdpoint_postgres::catalog::database::server_facts(target).await?;
    let locale = holdpoint_postgres::scratch::DatabaseLocale::from(&facts);
    maintenance.run(WHAT, &locale.statement(beside, maintenance.server().major)).await?;
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
async fn swap(maintenance: &Session, target: &str, beside: &str, old: &str) -> Result<(), Error> {
    const WHAT: &str = "swapping the databases";
    let rename =
        |from: &str, to: &str| format!("ALTER DATABASE {} RENAME TO {}", quote_identifier(from), quote_identifier(to));
    let connections =
        |name: &str, allow: bool| format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", quote_identifier(name));
    maintenance.run(WHAT, &connections(target, false)).await?;
    let swapped = async {
        for name in [target, beside] {
            end_sessions(maintenance, name).await?;
        }
        maintenance.run(WHAT, &rename(target, old)).await?;
        if let Err(error) = maintenance.run(WHAT, &rename(beside, target)).await {
            maintenance.run(WHAT, &rename(old, target)).await?;
            return Err(Error::from(error));
        }
        Ok(())
    };
    let outcome = swapped.await;
    let reopened = if outcome.is_ok() { old } else { target };
    maintenance.run(WHAT, &connections(reopened, true)).await?;
    outcome
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
