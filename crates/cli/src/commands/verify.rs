//! `holdpoint verify`.

use holdpoint_core::verification::{Level, Verdict};
use holdpoint_operations::rds::{SnapshotPoint, plan_snapshot_verification, snapshot_point, verify_snapshot};
use holdpoint_operations::verify::{
    LeftReason, SnapshotProofs, UnprovenOptions, UnprovenReport, VerifyOptions, plan, plan_unproven, verify,
    verify_unproven,
};
use holdpoint_operations::{Context, selection};

use super::printed;
use crate::arguments::VerifyArguments;
use crate::failure::Failure;
use crate::invocation::{Invocation, Verification, now};
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
    let options = || {
        invocation.verify_options(&Verification {
            level: arguments.level,
            scratch_url: arguments.scratch_url.as_deref(),
            replace_missing_locale: arguments.replace_missing_locale,
            jobs: arguments.jobs,
            sample: sample.as_ref(),
            restore_as: arguments.restore_as,
        })
    };
    if arguments.oldest_unproven {
        return Box::pin(oldest_unproven(invocation, arguments, options()?)).await;
    }
    let context = invocation.context(false).await?;
    let point = selection::resolve(&context, &arguments.point).await?;
    if let Some(snapshot) = snapshot_point(&context, &point).await? {
        return Box::pin(of_snapshot(invocation, arguments, &context, &snapshot)).await;
    }
    let options = options()?;
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

/// A restore point that is a snapshot: an instance is made of it, which costs, read, and dropped again.
async fn of_snapshot(
    invocation: &Invocation,
    arguments: &VerifyArguments,
    context: &Context,
    point: &SnapshotPoint,
) -> Result<u8, Failure> {
    let lesser = matches!(arguments.level, Level::Stored | Level::Sampled);
    if lesser || arguments.restore_as.is_some() {
        return Err(Failure::usage(
            "a snapshot is proved at level instance alone: by an instance that is made of it, and read",
            "leave --level and --as out; holdpoint verify POINT --dry-run shows the instance",
        ));
    }
    if arguments.dry_run {
        let plan = plan_snapshot_verification(context, point).await?;
        printed(invocation.output.report(&plan, output::rds_plan))?;
        return Ok(if plan.is_possible() { exit_code::DONE } else { exit_code::FINDINGS });
    }
    let jobs = invocation.settings.jobs(arguments.jobs);
    let report = verify_snapshot(context, &invocation.source()?, point, jobs).await?;
    printed(invocation.output.report(&report, |report| output::verification(&report.verification)))?;
    Ok(code(report.verification.verdict))
}

async fn oldest_unproven(
    invocation: &Invocation,
    arguments: &VerifyArguments,
    verify: VerifyOptions,
) -> Result<u8, Failure> {
    let snapshots = match arguments.snapshots {
        Some(at_most) => Some(SnapshotProofs { at_most: at_most.into(), login: invocation.source()? }),
        None => None,
    };
    let options = UnprovenOptions { verify, max_runtime: arguments.max_runtime, snapshots };
    let context = invocation.context(false).await?;
    if arguments.dry_run {
        let plan = plan_unproven(&context, &options).await?;
        printed(invocation.output.report(&plan, |plan| output::unproven_plan(plan, now())))?;
        return Ok(exit_code::DONE);
    }
    invocation.sweep().await;
    let report = verify_unproven(&context, &options).await?;
    printed(invocation.output.report(&report, |report| output::unproven(report, now())))?;
    Ok(worst(&report))
}

/// Gives the exit code of the worst that happened: 0 only when no restore point is left without the proof, but for those
/// that are known as disproved.
fn worst(report: &UnprovenReport) -> u8 {
    let archives = report.verified.iter().map(|one| &one.verification);
    let all = archives.chain(report.snapshots.iter().map(|one| &one.verification));
    let verdicts = all.map(|one| code(one.verdict));
    let failures = report.failed.iter().map(|one| exit_code::of(one.kind));
    let left = report.left.iter().map(|one| match one.reason {
        LeftReason::NoTime | LeftReason::TimeOver | LeftReason::NotTried => exit_code::COULD_NOT_RUN,
        LeftReason::Concluded | LeftReason::Withdrawn => exit_code::DONE,
    });
    let unreadable = report.plan.unreadable.iter().map(|_| exit_code::REPOSITORY);
    verdicts.chain(failures).chain(left).chain(unreadable).fold(exit_code::DONE, exit_code::worst)
}

/// Gives the exit code of a verdict.
pub(super) fn code(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Proved => exit_code::DONE,
        Verdict::Disproved => exit_code::DISPROVED,
        Verdict::CouldNotRun => exit_code::COULD_NOT_RUN,
    }
}
