//! `holdpoint prune`.

use chrono::TimeDelta;
use holdpoint_operations::Source;
use holdpoint_operations::retention::{PruneOptions, PruneReport, prune};

use super::every::every;
use super::printed;
use crate::arguments::PruneArguments;
use crate::failure::Failure;
use crate::invocation::{Invocation, now};
use crate::output;
use crate::settings::Purpose;
use holdpoint::exit_code;

pub(super) async fn run(invocation: &Invocation, arguments: &PruneArguments) -> Result<u8, Failure> {
    let options = PruneOptions {
        policy: invocation.settings.retention(&arguments.retention),
        dry_run: arguments.dry_run,
        sweep_min_age: TimeDelta::from_std(arguments.sweep_min_age).unwrap_or(TimeDelta::MAX),
    };
    // Before anything is asked: an empty policy is wrong whatever is there.
    options.policy.check().map_err(holdpoint_operations::Error::from)?;
    if arguments.all {
        let work = async |own: &Invocation, known: bool| {
            // Of a folder that is not configured nobody knows the database: DATABASE_URL names another.
            let report = one(own, arguments.offline || !known, &options).await?;
            let code = code(&report);
            Ok((report, code))
        };
        let (report, code) = every(invocation, arguments.shard, work).await?;
        printed(invocation.output.report(&report, |report| output::pruned_all(report, now())))?;
        return Ok(code);
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

fn code(report: &PruneReport) -> u8 {
    match (report.is_complete(), report.findings.is_empty()) {
        _ if report.interrupted => exit_code::INTERRUPTED,
        (false, _) => exit_code::REPOSITORY,
        (true, false) => exit_code::FINDINGS,
        (true, true) => exit_code::DONE,
    }
}
