//! `holdpoint restore --swap` and `--swap-in`: the live database itself.

use std::io::Write as _;

use holdpoint::exit_code;
use holdpoint_operations::restore::swap::{
    SwapInOptions, SwapOptions, SwapReport, WrittenSince, plan, plan_in, swap, swap_in, written_since,
};
use holdpoint_postgres::ConnectionSettings;
use serde::Serialize;

use super::{confirm, printed};
use crate::arguments::RestoreArguments;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use crate::settings::Purpose;

/// What is shown before it is done, and all that a dry run prints.
#[derive(Debug, Serialize)]
pub(crate) struct Preview<P> {
    /// What would be done.
    pub(crate) plan: P,
    /// What would stay behind; `None` where it was not looked at.
    pub(crate) written_since: Option<WrittenSince>,
}

pub(super) async fn run(invocation: &Invocation, arguments: &RestoreArguments) -> Result<u8, Failure> {
    let live = live(invocation, arguments)?;
    let source = invocation.settings.connection(Purpose::Backup).ok().map(|chosen| chosen.settings);
    match &arguments.swap_in {
        Some(name) => put_in(invocation, arguments, SwapInOptions { live, source, name: name.clone() }).await,
        None => restored(invocation, arguments, live, source).await,
    }
}

/// The configured database by the URL of a role that may rename it, or another way to it.
fn live(invocation: &Invocation, arguments: &RestoreArguments) -> Result<ConnectionSettings, Failure> {
    match &arguments.into {
        Some(into) => Ok(invocation.settings.target(into)?.settings),
        None => Ok(invocation.settings.connection(Purpose::Migrate)?.settings),
    }
}

async fn restored(
    invocation: &Invocation,
    arguments: &RestoreArguments,
    live: ConnectionSettings,
    source: Option<ConnectionSettings>,
) -> Result<u8, Failure> {
    let Some(from) = arguments.from.clone() else {
        return Err(Failure::usage("--from is needed", "see holdpoint help restore"));
    };
    let context = invocation.context(false).await?;
    let options = SwapOptions {
        from,
        live,
        source,
        programs: invocation.settings.programs()?,
        jobs: invocation.settings.jobs(arguments.jobs),
        compare_up_to: (!arguments.skip_compare).then_some(arguments.compare_limit),
        held_by: None,
    };
    let plan = plan(&context, &options).await?;
    let question = format!("{} will be swapped for {}", plan.live, plan.point);
    if arguments.dry_run {
        let written_since = written_since(&context, &options, &plan).await?;
        let refused = !plan.obstacles.is_empty();
        printed(invocation.output.report(&Preview { plan, written_since }, output::swap_preview))?;
        return Ok(if refused { exit_code::REFUSED } else { exit_code::DONE });
    }
    // With obstacles it refuses by itself, and nobody needs to be asked.
    if plan.obstacles.is_empty() && !arguments.yes {
        confirm::somebody_is_there(invocation, false, &question)?;
        let written_since = written_since(&context, &options, &plan).await?;
        let preview = Preview { plan: plan.clone(), written_since };
        show(invocation, &output::swap_preview(&preview))?;
        confirm::confirm_by(invocation, false, &question, &plan.database)?;
    }
    let report = swap(&context, &options, &plan).await?;
    done(invocation, &report)
}

async fn put_in(invocation: &Invocation, arguments: &RestoreArguments, options: SwapInOptions) -> Result<u8, Failure> {
    let context = invocation.context(false).await?;
    let plan = plan_in(&context, &options).await?;
    if arguments.dry_run {
        let refused = !plan.obstacles.is_empty();
        printed(invocation.output.report(&Preview { plan, written_since: None }, output::swap_in_preview))?;
        return Ok(if refused { exit_code::REFUSED } else { exit_code::DONE });
    }
    if plan.obstacles.is_empty() && !arguments.yes {
        let question = format!("{} will be swapped for {}", plan.live, plan.successor);
        confirm::somebody_is_there(invocation, false, &question)?;
        let preview = Preview { plan: plan.clone(), written_since: None };
        show(invocation, &output::swap_in_preview(&preview))?;
        confirm::confirm_by(invocation, false, &question, &plan.database)?;
    }
    let report = swap_in(&context, &options, &plan).await?;
    done(invocation, &report)
}

/// Shows a person what the question is about, where the question will stand.
fn show(invocation: &Invocation, text: &str) -> Result<(), Failure> {
    invocation.progress.rest();
    let written = std::io::stderr().lock().write_all(text.as_bytes());
    written.map_err(|source| Failure::Io { what: "asking".to_owned(), source })
}

fn done(invocation: &Invocation, report: &SwapReport) -> Result<u8, Failure> {
    printed(invocation.output.report(report, output::swap))?;
    // The database is in service; what failed is the record of it.
    Ok(if report.adopted { exit_code::DONE } else { exit_code::REPOSITORY })
}
