//! `holdpoint leftovers`.

use holdpoint_operations::leftovers::LeftoversOptions;
async fn leftovers(
    _: &holdpoint_operations::Context,
    _: &LeftoversOptions,
) -> Result<holdpoint_operations::leftovers::LeftoversReport, Failure> {
    Ok(Default::default())
} //TMP

use super::printed;
use crate::arguments::LeftoversArguments;
use crate::failure::Failure;
use crate::invocation::{Invocation, now};
use crate::output;
use holdpoint::exit_code;

pub(super) async fn run(invocation: &Invocation, arguments: &LeftoversArguments) -> Result<u8, Failure> {
    let context = invocation.context(false).await?;
    let options = LeftoversOptions {
        remove: arguments.remove && !arguments.dry_run,
        min_age_seconds: i64::try_from(arguments.min_age.as_secs()).unwrap_or(i64::MAX),
        scratch_directory: invocation.settings.scratch_directory(),
    };
    let report = leftovers(&context, &options).await?;
    printed(invocation.output.report(&report, |report| output::leftovers(report, arguments.dry_run, now())))?;
    let kept = report.leftovers.iter().any(|one| one.problem.is_some());
    Ok(if kept { exit_code::FINDINGS } else { exit_code::DONE })
}
