//! `holdpoint list` and `holdpoint show`.

use holdpoint_operations::{catalogue, selection};

use super::{printed, runs};
use crate::arguments::{ShowArguments, Shown};
use crate::failure::Failure;
use crate::invocation::{Invocation, now};
use crate::output;
use holdpoint::exit_code;

pub(super) async fn list(invocation: &Invocation) -> Result<u8, Failure> {
    let context = invocation.context(false).await?;
    let report = catalogue::list(&context).await?;
    printed(invocation.output.report(&report, |report| output::list(report, now())))?;
    // A manifest that cannot be read is told, and scripts shall notice.
    Ok(if report.unreadable.is_empty() { exit_code::DONE } else { exit_code::FINDINGS })
}

pub(super) async fn show(invocation: &Invocation, arguments: &ShowArguments) -> Result<u8, Failure> {
    let point = match &arguments.what {
        Shown::Point(point) => point,
        Shown::Run(run) => return runs::show(invocation, run).await,
    };
    let context = invocation.context(false).await?;
    let point = selection::resolve(&context, point).await?;
    let report = catalogue::show_any(&context, &point).await?;
    printed(invocation.output.report(&report, |report| output::show(report, now())))?;
    Ok(exit_code::DONE)
}
