//! `holdpoint prepare`.

use holdpoint_guard::prepare;

use super::guard::Guarding;
use super::printed;
use crate::arguments::PrepareArguments;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use holdpoint::exit_code;

pub(super) async fn run(invocation: &Invocation, arguments: &PrepareArguments) -> Result<u8, Failure> {
    let mut guarding = Guarding::new(invocation, &arguments.gate, &arguments.command, None).await?;
    // There is time: an older proof is copied again, to be rehearsed on.
    if let Ok(rehearsing) = &mut guarding.options.rehearsal {
        rehearsing.older_proofs = true;
    }
    let Guarding { context, source, verify, backup, options } = &guarding;
    let report = prepare(context, source, verify, backup, options, arguments.valid_for).await?;
    printed(invocation.output.report(&report, output::prepare))?;
    Ok(exit_code::DONE)
}
