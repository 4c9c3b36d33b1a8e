//! `holdpoint verify`.

use holdpoint_core::verification::{Level, Verdict};
use holdpoint_operations::selection;
use holdpoint_operations::verify::{plan, verify};

use super::printed;
use crate::arguments::VerifyArguments;
use crate::failure::Failure;
use crate::invocation::{Invocation, Verification};
use crate::output;
use holdpoint::exit_code;

pub(super) async fn run(invocation: &Invocation, arguments: &VerifyArguments) -> Result<u8, Failure> {
    let sample = arguments.sample();
    if sample.is_some() && arguments.level != Level::Sampled {
        return Err(Failure::usage("--sample, --tables and --seed need --level sampled", "add --level sampled"));
    }
    if arguments.restore_as.is_some() && arguments.level != Level::Full {
        return Err(Failure::usage("--as needs level full, which restores everything", "leave --level out"));
    }
    let options = invocation.verify_options(&Verification {
        level: arguments.level,
        scratch_url: arguments.scratch_url.as_deref(),
        replace_missing_locale: arguments.replace_missing_locale,
        jobs: arguments.jobs,
        sample: sample.as_ref(),
        restore_as: arguments.restore_as,
    })?;
    let context = invocation.context(false).await?;
    let point = selection::resolve(&context, &arguments.point).await?;
    if arguments.dry_run {
        let plan = plan(&context, &point, &options).await?;
        printed(invocation.output.report(&plan, output::plan))?;
        return Ok(exit_code::DONE);
    }
    invocation.sweep().await;
    let report = verify(&context, &point, &options).await?;
    printed(invocation.output.report(&report, output::verify))?;
    Ok(code(report.verification.verdict))
}

/// Gives the exit code of a verdict.
pub(super) fn code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Proved => exit_code::DONE,
        Verdict::Disproved => exit_code::DISPROVED,
        Verdict::CouldNotRun => exit_code::COULD_NOT_RUN,
    }
}
