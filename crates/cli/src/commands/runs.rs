//! `holdpoint runs`, `holdpoint show run:ID` and `holdpoint settle`.

use holdpoint::exit_code;
use holdpoint_core::Mask;
use holdpoint_core::selector::RunSelector;
use holdpoint_guard::plan::Project;
use holdpoint_guard::runs::{self, Place, SettleOptions};

use super::{guard, printed};
use crate::arguments::{ProjectArguments, RunsArguments, SettleArguments};
use crate::failure::Failure;
use crate::invocation::{Invocation, now};
use crate::output;

pub(super) async fn list(invocation: &Invocation, arguments: &RunsArguments) -> Result<u8, Failure> {
    let context = invocation.context(false).await?;
    let place = place(invocation, &arguments.project).ok();
    let report = runs::runs(&context, place.as_ref(), arguments.last).await?;
    printed(invocation.output.report(&report, |report| output::runs(report, now())))?;
    Ok(exit_code::DONE)
}

pub(super) async fn show(invocation: &Invocation, run: &RunSelector) -> Result<u8, Failure> {
    let context = invocation.context(false).await?;
    let place = place(invocation, &ProjectArguments::default()).ok();
    let report = runs::run(&context, place.as_ref(), run).await?;
    printed(invocation.output.report(&report, output::run))?;
    Ok(exit_code::DONE)
}

pub(super) async fn settle(invocation: &Invocation, arguments: &SettleArguments) -> Result<u8, Failure> {
    let context = invocation.context(false).await?;
    let place = place(invocation, &arguments.project)?;
    let options = SettleOptions {
        run: arguments.run.clone(),
        reason: mask(invocation).script(&arguments.reason),
        operator: guard::operator(invocation),
    };
    let report = runs::settle(&context, &place, &options).await?;
    printed(invocation.output.report(&report, output::settle))?;
    Ok(exit_code::DONE)
}

/// What is written into the ledger holds no secret that is known.
pub(super) fn mask(invocation: &Invocation) -> Mask {
    let settings = &invocation.settings;
    Mask::new([crate::secrets::known(&settings.variables), settings.passwords()].concat())
}

/// The database, and the project of migrations where one is found.
///
/// # Errors
/// Where no database is configured, or a project that was named cannot be read.
pub(super) fn place(invocation: &Invocation, arguments: &ProjectArguments) -> Result<Place, Failure> {
    let settings = &invocation.settings;
    let opened = Project::open(&settings.project(arguments)?, &settings.choice(arguments));
    let named = *arguments != ProjectArguments::default();
    let project = match opened {
        Ok(project) => settings.migrating().ok().map(|chosen| (project, chosen.settings)),
        Err(error) if named => return Err(holdpoint_guard::Error::from(error).into()),
        Err(_) => None,
    };
    Ok(Place { source: invocation.source()?, project })
}
