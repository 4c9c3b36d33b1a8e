//! `holdpoint prune`.

use chrono::TimeDelta;
use holdpoint_core::{DatabaseName, Mask};
use holdpoint_operations::retention::{PruneOptions, PruneReport, prune};
use holdpoint_operations::{ErrorKind, Source};
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
    /// What kind of failure it is: one exit code each.
    pub(crate) kind: ErrorKind,
    /// Why, with its causes.
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
    let mut report = prune(&context, source.as_ref(), options).await?;
    if source.is_none() && !offline {
        report.warnings.push(format!("no URL is given: whose folder {} is was not asked", context.database));
    }
    Ok(report)
}

/// The database, where one is configured: its folder must be its own.
fn source(invocation: &Invocation, offline: bool) -> Result<Option<Source>, Failure> {
    // A URL that is given and cannot be read is no reason to leave out a check that protects data.
    if offline || invocation.settings.perhaps_connection(Purpose::Backup)?.is_none() {
        return Ok(None);
    }
    invocation.source().map(Some)
}

async fn all(invocation: &Invocation, arguments: &PruneArguments, options: &PruneOptions) -> Result<u8, Failure> {
    let names = match invocation.settings.config.database.is_empty() {
        false => invocation.settings.production("--all")?,
        true => invocation.open(&invocation.settings.repository()?, false).await?.databases().await?,
    };
    let mut mask = Mask::new(crate::secrets::known(&invocation.settings.variables));
    let (mut exit_code, mut report) = (exit_code::DONE, PrunedAll { databases: Vec::new(), failed: Vec::new() });
    let share = |name: &DatabaseName| arguments.shard.is_none_or(|shard| shard.holds(name));
    for database in names.into_iter().filter(share) {
        if invocation.cancel.is_cancelled() {
            return Err(holdpoint_operations::Error::Interrupted.into());
        }
        let known = invocation.settings.config.database.contains_key(&database);
        // Of a folder that is not configured nobody knows the database: DATABASE_URL names another.
        let own = invocation.of_database(&database);
        match one(&own, arguments.offline || !known, options).await {
            Ok(one) => {
                exit_code = exit_code::worst(exit_code, code(&one));
                report.databases.push(one);
            }
            Err(failure) => {
                mask.learn(own.settings.passwords());
                let told = failure.told(&mask, invocation.cancel.is_cancelled());
                let reason = told.line();
                exit_code = exit_code::worst(exit_code, told.exit_code);
                report.failed.push(NotPruned { database, kind: told.kind, reason });
            }
        }
    }
    printed(invocation.output.report(&report, |report| output::pruned_all(report, now())))?;
    Ok(exit_code)
}

fn code(report: &PruneReport) -> u8 {
    if report.is_complete() { exit_code::DONE } else { exit_code::REPOSITORY }
}
