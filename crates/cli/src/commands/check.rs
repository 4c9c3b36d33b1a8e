//! `holdpoint check`.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use holdpoint_core::Shard;
use holdpoint_operations::check::{CheckOptions, CheckReport, Finding, check, surroundings};
use holdpoint_operations::{Context, Error};
use serde::Serialize;

use super::every::{Every, NotDone, every};
use super::printed;
use crate::arguments::{CheckArguments, Jobs};
use crate::failure::Failure;
use crate::invocation::{Invocation, now};
use crate::output;
use holdpoint::exit_code;

/// So many names are told at most.
const LISTED: usize = 20;

/// What `--all` saw.
#[derive(Debug, Serialize)]
pub(crate) struct CheckedAll {
    /// The databases.
    #[serde(flatten)]
    pub(crate) every: Every<CheckReport>,
    /// What belongs to none of them.
    pub(crate) findings: Vec<Finding>,
}

pub(super) async fn run(invocation: &Invocation, arguments: &CheckArguments) -> Result<u8, Failure> {
    if arguments.all {
        let work = async |own: &Invocation, _known: bool| one(own, arguments).await;
        let (mut every, mut code) = every(invocation, arguments.shard, work).await?;
        let mut findings = Vec::new();
        // What is no database's is in no share.
        if arguments.shard.is_none_or(Shard::is_first) && code != exit_code::INTERRUPTED {
            match beside(invocation).await {
                Ok(found) => findings = found,
                // What was seen, and perhaps removed, by now is told.
                Err(failure) => {
                    let (not_done, worse) = NotDone::of(invocation, None, &failure);
                    every.failed.push(not_done);
                    code = if worse == exit_code::INTERRUPTED { worse } else { exit_code::worst(code, worse) };
                }
            }
        }
        if !findings.is_empty() {
            code = exit_code::worst(code, exit_code::FINDINGS);
        }
        let report = CheckedAll { every, findings };
        printed(invocation.output.report(&report, |report| output::checked_all(report, now())))?;
        return Ok(code);
    }
    let (report, code) = one(invocation, arguments).await?;
    printed(invocation.output.report(&report, |report| output::check(report, now())))?;
    Ok(code)
}

/// What belongs to no database.
async fn beside(invocation: &Invocation) -> Result<Vec<Finding>, Failure> {
    let configured: BTreeSet<_> = invocation.settings.config.database.keys().cloned().collect();
    let repository = invocation.open(&invocation.settings.repository()?, false).await?;
    Ok(surroundings(&repository, (!configured.is_empty()).then_some(&configured)).await?)
}

async fn one(invocation: &Invocation, arguments: &CheckArguments) -> Result<(CheckReport, u8), Failure> {
    let context = invocation.context(arguments.repair).await?;
    known(invocation, &context).await?;
    let span = |span| TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX);
    let options = CheckOptions {
        read_data: arguments.read_data,
        jobs: invocation.settings.jobs(arguments.jobs.and_then(Jobs::number)),
        max_proof_age: arguments.max_proof_age.map(span),
        snapshots_count: invocation.settings.risk_policy().asks_for_snapshots(),
        min_age: span(arguments.min_age),
        repair: arguments.repair,
    };
    let report = check(&context, &options).await?;
    let sound = report.findings.is_empty();
    Ok((report, if sound { exit_code::DONE } else { exit_code::FINDINGS }))
}

/// Refuses a name that somebody typed and nothing has: a check of nothing would find nothing.
async fn known(invocation: &Invocation, context: &Context) -> Result<(), Failure> {
    let (settings, database) = (&invocation.settings, &context.database);
    let sections = &settings.config.database;
    if settings.common.database.is_none() || sections.contains_key(database) {
        return Ok(());
    }
    let folders = context.repository.databases().await?;
    if folders.contains(database) {
        return Ok(());
    }
    let known: BTreeSet<String> = sections.keys().chain(&folders).map(ToString::to_string).collect();
    let known = known.into_iter().take(LISTED).collect();
    Err(Error::NoSuchDatabase { database: database.to_string(), known }.into())
}
