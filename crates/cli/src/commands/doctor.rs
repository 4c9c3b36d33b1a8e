//! `holdpoint doctor`.

use holdpoint_operations::doctor::Outcome;
async fn doctor(
    _: &holdpoint_operations::Context,
    _: &holdpoint_operations::Source,
    _: &holdpoint_postgres::scratch::ScratchOptions,
) -> holdpoint_operations::doctor::DoctorReport {
    Default::default()
} //TMP

use super::printed;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use holdpoint::exit_code;

pub(super) async fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let source = invocation.source()?;
    let context = invocation.context(true).await?;
    let scratch = invocation.settings.scratch(None, 0)?;
    invocation.sweep().await;
    let report = doctor(&context, &source, &scratch).await;
    printed(invocation.output.report(&report, output::doctor))?;
    let failed = report.checks.iter().any(|check| check.outcome == Outcome::Failure);
    Ok(if failed { exit_code::FINDINGS } else { exit_code::DONE })
}
