//! `holdpoint pin` and `holdpoint unpin`.

use holdpoint_operations::retention::{self, PinOptions};
use holdpoint_operations::selection;

use super::{guard, printed};
use crate::arguments::{PinArguments, UnpinArguments};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output;
use holdpoint::exit_code;

pub(super) async fn pin(invocation: &Invocation, arguments: &PinArguments) -> Result<u8, Failure> {
    let context = invocation.context(true).await?;
    let point = selection::resolve(&context, &arguments.point).await?;
    let options = PinOptions {
        name: arguments.name.clone(),
        reason: arguments.reason.clone(),
        until: arguments.until,
        operator: guard::operator(invocation),
        // A pin without an end locks for the configured time, from now on.
        lock_until: invocation.retain_until(),
    };
    let report = retention::pin(&context, &point, &options).await?;
    printed(invocation.output.report(&report, output::pin))?;
    Ok(exit_code::DONE)
}

pub(super) async fn unpin(invocation: &Invocation, arguments: &UnpinArguments) -> Result<u8, Failure> {
    let context = invocation.context(true).await?;
    let point = selection::resolve(&context, &arguments.point).await?;
    let report = retention::unpin(&context, &point, &arguments.name).await?;
    printed(invocation.output.report(&report, output::unpin))?;
    Ok(exit_code::DONE)
}
