//! `holdpoint prune`.

use chrono::TimeDelta;
use holdpoint_core::DatabaseName;
use holdpoint_operations::Source;
use holdpoint_operations::retention::{PruneOptions, PruneReport, prune};
use serde::Serialize;

use super::printed;
use crate::arguments::PruneArguments;
use crate::failure::Failure;
use crate::invocation::{Invocation, now};
use crate::output;
use crate::settings::Purpose;
use holdpoint::exit_code;

/// What `--all` did.
#[derive(Debug, Serialize)]
pub(crate) struct PrunedAll {
    /// The databases that were looked at.
    pub(crate) databases: Vec<PruneReport>,
    /// Those that were not, each with the reason.
    pub(crate) failed: Vec<NotPruned>,
}

/// A database of which nothing was dropped.
#[derive(Debug, Serialize)]
pub(crate) struct NotPruned {
    /// Which.
    pub(crate) database: DatabaseName,
    /// Why.
    pub(crate) reason: String,
}

pub(super) async fn run(invocation: &Invocation, arguments: &PruneArguments) -> Result<u8, Failure> {
    let options = PruneOptions {
        policy: invocation.settings.retention(&arguments.retention),
        dry_run: arguments.dry_run,
        sweep_min_age: TimeDelta::from_std(arguments.sweep_min_age).unwrap_or(TimeDelta::MAX),
    };
    // Before anything is asked: an empty policy is wrong whatever is there.
    options.policy.check().map_err(holdpoint_operations::Error::from)?;
    if arguments.all {
        return all(invocation, arguments, &options).await;
    }
    let report = one(invocation, arguments.offline, &options).await?;
    printed(invocation.output.report(&report, |report| output::prune(report, now())))?;
    Ok(code(&report))
}

async fn one(invocation: &Invocation, offline: bool, options: &PruneOptions) -> Result<PruneReport, Failure> {
    let source = source(invocation, offline)?;
    let context = invocation.context(true).await?;
    Ok(prune(&context, source.as_ref(), options).await?)
}

/// The database, where one is configured: its folder must be its own.
fn source(invocation: &Invocation, offline: bool) -> Result<Option<Source>, Failure> {
    let configured = || invocation.settings.connection(Purpose::Backup).is_ok();
    if offline || !configured() { Ok(None) } else { invocation.source().map(Some) }
}

async fn all(invocation: &Invocation, arguments: &PruneArguments, options: &PruneOptions) -> Result<u8, Failure> {
    let configured: Vec<DatabaseName> = invocation.settings.config.database.keys().cloned().collect();
    let names = match configured.is_empty() {
        false => configured,
        true => invocation.open(&invocation.settings.repository()?, false).await?.databases().await?,
    };
    let mut report = PrunedAll { databases: Vec::new(), failed: Vec::new() };
    let share = |name: &DatabaseName| arguments.shard.is_none_or(|shard| shard.holds(name));
    for database in names.into_iter().filter(share) {
        if invocation.cancel.is_cancelled() {
            return Err(holdpoint_operations::Error::Interrupted.into());
        }
        let known = invocation.settings.config.database.contains_key(&database);
        // Of a folder that is not configured nobody knows the database: DATABASE_URL names another.
        match one(&invocation.of_database(&database), arguments.offline || !known, options).await {
            Ok(one) => report.databases.push(one),
            Err(failure) => report.failed.push(NotPruned { database, reason: failure.to_string() }),
        }
    }
    printed(invocation.output.report(&report, |report| output::pruned_all(report, now())))?;
    let incomplete = !report.failed.is_empty() || report.databases.iter().any(|one| !one.is_complete());
    Ok(if incomplete { exit_code::REPOSITORY } else { exit_code::DONE })
}

fn code(report: &PruneReport) -> u8 {
    if report.is_complete() { exit_code::DONE } else { exit_code::REPOSITORY }
}
