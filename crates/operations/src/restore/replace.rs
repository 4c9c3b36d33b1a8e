//! Replacing a database that is not production: restore beside, mask, swap.

use std::path::Path;
use std::time::Duration;

use holdpoint_core::Identity;
use holdpoint_core::identity::IdentityMatch;
use holdpoint_core::progress::Phase;
use holdpoint_core::selector::Selector;
use holdpoint_postgres::catalog::database;
use holdpoint_postgres::identity::ServerIdentity;
use holdpoint_postgres::programs::{ProgramName, Psql, judge};
use holdpoint_postgres::{ConnectionSettings, identity};

use super::exchange::{Exchange, exchange};
use super::mark::Successor;
use super::{Replace, RestoreOptions, RestoreReport, beside, foreign, maintenance, run, target};
use crate::{Context, Error};

const GRACE: Duration = Duration::from_secs(5);

/// Restores beside the target, runs the masking SQL before anyone may connect, and exchanges the two.
///
/// What took the target's place has its owner, grants, settings, comment and connection limit. Whoever is connected to
/// the old database is ended. On any failure before the exchange the target is untouched and what was restored beside
/// it is dropped.
pub(super) async fn replace(
    context: &Context,
    options: &RestoreOptions,
    how: &Replace,
) -> Result<RestoreReport, Error> {
    let session = target::connect(&options.into).await?;
    let there = identity::read(&session).await?;
    refuse_production(options, &there, &session.settings().redacted()).await?;
    if options.dry_run {
        let mut report = plan_only(context, options).await?;
        report.warnings.push(format!("{} would be replaced and its sessions ended", options.into.database()));
        return Ok(report);
    }
    let point = match &options.from {
        Selector::Foreign(_) => None,
        selector => Some(crate::selection::resolve(context, selector).await?),
    };
    // To the very server that was looked at, where the URL names several.
    let into = session.settings().clone();
    let successor = beside::name(context);
    let maintenance = maintenance::connect(&into, &successor).await?;
    let properties = database::properties(&session).await?;
    let mark = Successor {
        of: into.database().to_owned(),
        of_oid: there.identity.database_oid,
        from: point.as_ref().map_or_else(|| "a dump".to_owned(), ToString::to_string),
        keep_as: beside::free_name(&maintenance, into.database(), point.as_ref()).await?,
        ready: false,
    };
    context.progress.phase(Phase::CreatingDatabase, None);
    let made = beside::create(&session, &maintenance, &successor, &mark).await;
    session.close().await;
    if let Err(failure) = made {
        return Err(beside::abandon(&maintenance, &successor, failure).await);
    }
    let prepared = async {
        let settings = into.with_database(&successor);
        let mut report = tokio::select! {
            report = restored(context, options, &settings) => report?,
            never = maintenance::keep_alive(&maintenance) => match never {},
        };
        if !report.differences.is_empty() {
            return Ok((report, None));
        }
        if let Some(script) = &how.after_sql {
            after_sql(context, options, &settings, script).await?;
        }
        let (live_comment, new_comment) = (properties.comment.clone(), properties.comment.clone());
        let failures = beside::prepare(&maintenance, &successor, &properties, &mark, &context.cancel).await?;
        beside::mark_ready(&maintenance, &successor, &mark).await?;
        report.warnings.extend(failures.iter().map(|one| format!("a property was not applied again: {one}")));
        let places = Exchange {
            live: mark.of.clone(),
            live_oid: mark.of_oid,
            live_comment,
            new_comment,
            successor: successor.clone(),
            keep_as: mark.keep_as.clone(),
        };
        Ok::<_, Error>((report, Some(places)))
    };
    let (mut report, places) = match prepared.await {
        Ok((report, Some(places))) => (report, places),
        Ok((report, None)) => {
            beside::drop_database(&maintenance, &successor).await?;
            return Ok(report);
        }
        Err(failure) => return Err(beside::abandon(&maintenance, &successor, failure).await),
    };
    let exchanged = match exchange(context, &into, &maintenance, &places).await {
        Ok(exchanged) => exchanged,
        // The target may be closed: the other one's mark tells `leftovers` why.
        Err(failure @ Error::LeftBehind { .. }) => return Err(failure),
        Err(failure) => return Err(beside::abandon(&maintenance, &successor, failure).await),
    };
    let maintenance = exchanged.reconnected.unwrap_or(maintenance);
    report.into = options.into.redacted();
    if how.keep_old {
        let open = maintenance.run("opening the replaced database", &maintenance::allow(&mark.keep_as, true)).await;
        if let Err(error) = open {
            report.warnings.push(format!("{} stays closed: {}", mark.keep_as, Error::from(error).line()));
        }
        report.kept_as = Some(mark.keep_as);
    } else {
        beside::drop_database(&maintenance, &mark.keep_as).await?;
    }
    maintenance.close().await;
    Ok(report)
}

async fn restored(
    context: &Context,
    options: &RestoreOptions,
    into: &ConnectionSettings,
) -> Result<RestoreReport, Error> {
    let options = RestoreOptions { replace: None, ..options.clone() };
    match &options.from {
        Selector::Foreign(place) => foreign::restore(context, &options, place, into).await,
        _ => run::restore_point(context, &options, into, run::Properties::Untouched).await,
    }
}

/// The target is full, which is why it is replaced: only the source of the restore is looked at.
async fn plan_only(context: &Context, options: &RestoreOptions) -> Result<RestoreReport, Error> {
    let (point, from, read_bytes) = match &options.from {
        Selector::Foreign(place) => (None, place.clone(), 0),
        selector => {
            let point = crate::selection::resolve(context, selector).await?;
            let stored = crate::expected::manifest(context, &point).await?;
            (Some(point.clone()), format!("{point} of {}", context.database), stored.manifest.archive.bytes)
        }
    };
    Ok(RestoreReport {
        point,
        from,
        into: options.into.redacted(),
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
async fn refuse_production(options: &RestoreOptions, there: &ServerIdentity, target: &str) -> Result<(), Error> {
    let Some(source) = &options.source else { return Ok(()) };
    let source = target::connect(source).await?;
    let production = identity::read(&source).await?;
    source.close().await;
    if !may_be_same(&production, there) {
        return Ok(());
    }
    Err(Error::ReplaceRefused {
        target: target.to_owned(),
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
    let program = Psql::new(&psql, settings).single_transaction().script(script).await?;
    let mut running = program.start().map_err(holdpoint_postgres::Error::Process)?;
    let ended = running.wait_or_cancel(&context.cancel, GRACE).await.map_err(holdpoint_postgres::Error::Process)?;
    judge(&psql, ended)?;
    Ok(())
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
}
