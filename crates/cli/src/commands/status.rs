//! `holdpoint status`.

use holdpoint_operations::status::status;

use super::printed;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use holdpoint::exit_code;

pub(super) async fn run(invocation: &Invocation) -> Result<u8, Failure> {
    let context = invocation.context(false).await?;
    let report = status(&context).await?;
    printed(invocation.output.report(&report, output::status))?;
    Ok(exit_code::DONE)
}
