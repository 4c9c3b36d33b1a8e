//! Verifying the restore points that lack a proof, one after the other.

use holdpoint_core::PointId;
use holdpoint_core::verification::Level;
use holdpoint_repository::Error as Repository;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::VerifyReport;
use super::plan::estimate;
use super::run::verify;
use super::unproven::{
    FailedPoint, Left, LeftReason, SnapshotProofs, Unproven, UnprovenOptions, UnprovenReport, lacks, survey_unproven,
};
use crate::catalogue::{Attempt, show, show_any};
use crate::error::chain;
use crate::rds::{SnapshotVerifyReport, snapshot_point, verify_snapshot};
use crate::{Context, Error, ErrorKind};

/// Verifies every restore point that lacks the proof of the wanted level, in the order of
/// [`plan_unproven`](super::plan_unproven), until none is left or the time is over.
///
/// Each verdict is recorded as [`verify`] does. One that is disproved or cannot run stops none of the
/// others. Two of these at once do not harm each other: what another one concluded meanwhile is left, and where both
/// verify the same restore point both records say the same.
///
/// # Errors
/// [`Error::Interrupted`] when cancelled: what was concluded by then is recorded. What cannot be listed.
pub async fn verify_unproven(context: &Context, options: &UnprovenOptions) -> Result<UnprovenReport, Error> {
    let began = Instant::now();
    let until = options.max_runtime.and_then(|time| began.checked_add(time));
    let (plan, mut history) = survey_unproven(context, options).await?;
    let mut report = UnprovenReport {
        plan,
        verified: Vec::new(),
        snapshots: Vec::new(),
        left: Vec::new(),
        failed: Vec::new(),
        took_ms: 0,
    };
    let mut store_failed = false;
    for (number, one) in report.plan.points.clone().iter().enumerate() {
        if context.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let estimated_seconds = estimate(&history, options.verify.level, one.read_bytes);
        let left = |reason| Left { point: one.point.clone(), reason, estimated_seconds };
        if store_failed {
            report.left.push(left(LeftReason::NotTried));
            continue;
        }
        if !in_time(until, estimated_seconds) {
            report.left.push(left(LeftReason::NoTime));
            continue;
        }
        let outcome = next(context, options, one, (number, until)).await;
        let said = match &outcome {
            Ok(Outcome::Made(made)) => made.verification.verdict.to_string(),
            Ok(Outcome::Left(reason)) => reason.words().to_owned(),
            Err(error) => error.to_string(),
        };
        context.progress.note(&format!("{} of {}: {}: {said}", number + 1, report.plan.points.len(), one.point));
        match outcome {
            Ok(Outcome::Made(made)) => {
                history.push(Attempt::from(&made.verification));
                report.verified.push(*made);
            }
            Ok(Outcome::Left(reason)) => report.left.push(left(reason)),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                store_failed = store_is_away(&error);
                report.failed.push(failed(&one.point, &error));
            }
        }
    }
    Box::pin(prove_snapshots(context, options, &mut report, (store_failed, until))).await?;
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

/// Proves the snapshots of the plan, one after the other: each makes an instance, which is dropped again.
async fn prove_snapshots(
    context: &Context,
    options: &UnprovenOptions,
    report: &mut UnprovenReport,
    (mut store_failed, until): (bool, Option<Instant>),
) -> Result<(), Error> {
    let Some(wanted) = &options.snapshots else { return Ok(()) };
    for one in report.plan.snapshots.clone() {
        if context.cancel.is_cancelled() {
            return Err(Error::Interrupted);
        }
        let left = |reason| Left { point: one.point.clone(), reason, estimated_seconds: one.estimated_seconds };
        if store_failed {
            report.left.push(left(LeftReason::NotTried));
            continue;
        }
        if !in_time(until, one.estimated_seconds) {
            report.left.push(left(LeftReason::NoTime));
            continue;
        }
        match next_snapshot(context, wanted, &one, (options.verify.jobs, until)).await {
            Ok(Ok(made)) => {
                context.progress.note(&format!("{}: {}", one.point, made.verification.verdict));
                report.snapshots.push(made);
            }
            Ok(Err(reason)) => report.left.push(left(reason)),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                store_failed = store_is_away(&error);
                report.failed.push(failed(&one.point, &error));
            }
        }
    }
    Ok(())
}

/// Verifies a snapshot, unless somebody else concluded it meanwhile.
async fn next_snapshot(
    context: &Context,
    wanted: &SnapshotProofs,
    one: &Unproven,
    (jobs, until): (usize, Option<Instant>),
) -> Result<Result<SnapshotVerifyReport, LeftReason>, Error> {
    let point = match show_any(context, &one.point).await {
        Ok(shown) if lacks(shown.standing, Level::Instance) == Some(true) => {
            snapshot_point(context, &one.point).await?
        }
        Ok(_) => return Ok(Err(LeftReason::Concluded)),
        Err(Error::NoSuchPoint { .. }) => return Ok(Err(LeftReason::Withdrawn)),
        Err(error) => return Err(error),
    };
    let Some(point) = point else { return Ok(Err(LeftReason::Withdrawn)) };
    let limit = context.cancel.child_token();
    let own = Context { cancel: limit.clone(), ..context.clone() };
    // Its instance is dropped before it ends.
    in_its_time(context, &limit, until, verify_snapshot(&own, &wanted.login, &point, jobs)).await
}

impl LeftReason {
    /// The reason in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::NoTime => "would not end in time",
            Self::TimeOver => "ended when the time was over; nothing of it remains",
            Self::Concluded => "was proven or disproved by somebody else meanwhile",
            Self::Withdrawn => "was withdrawn meanwhile",
            Self::NotTried => "not tried, since the repository failed",
        }
    }
}

enum Outcome {
    Made(Box<VerifyReport>),
    Left(LeftReason),
}

/// Whether something that takes so long, where that is known, ends in time.
fn in_time(until: Option<Instant>, seconds: Option<f64>) -> bool {
    let Some(until) = until else { return true };
    let left = until.saturating_duration_since(Instant::now()).as_secs_f64();
    left > 0.0 && seconds.is_none_or(|needed| needed <= left)
}

/// Verifies one, unless somebody else concluded it meanwhile.
async fn next(
    context: &Context,
    options: &UnprovenOptions,
    one: &Unproven,
    (number, until): (usize, Option<Instant>),
) -> Result<Outcome, Error> {
    match show(context, &one.point).await {
        Ok(shown) if lacks(shown.standing, options.verify.level) == Some(true) => {}
        Ok(_) => return Ok(Outcome::Left(LeftReason::Concluded)),
        Err(Error::NoSuchPoint { .. }) => return Ok(Outcome::Left(LeftReason::Withdrawn)),
        Err(error) => return Err(error),
    }
    // Ended by the time as by a person: everything that was started is undone, and this one alone ends.
    let limit = context.cancel.child_token();
    let seed = context.seed.wrapping_add(number as u64);
    let own = Context { cancel: limit.clone(), seed, ..context.clone() };
    let made = in_its_time(context, &limit, until, verify(&own, &one.point, &options.verify)).await?;
    Ok(made.map_or_else(Outcome::Left, |made| Outcome::Made(Box::new(made))))
}

/// Waits for a verification, which `limit` ends when the time is over; why it says nothing, where it does not.
async fn in_its_time<T>(
    context: &Context,
    limit: &CancellationToken,
    until: Option<Instant>,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<Result<T, LeftReason>, Error> {
    let mut work = Box::pin(work);
    let over = async {
        match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        outcome = &mut work => outcome,
        () = over => {
            limit.cancel();
            work.await
        }
    };
    match outcome {
        Ok(made) => Ok(Ok(made)),
        Err(Error::Interrupted) if limit.is_cancelled() && !context.cancel.is_cancelled() => {
            Ok(Err(LeftReason::TimeOver))
        }
        Err(Error::NoSuchPoint { .. } | Error::Dropped { .. }) => Ok(Err(LeftReason::Withdrawn)),
        Err(error) => Err(error),
    }
}

/// Whether the store itself failed, and not one record in it: then the others would fail, too.
fn store_is_away(error: &Error) -> bool {
    let of_one = |error: &Repository| {
        error.is_of_record() || matches!(error, Repository::NotFound { .. } | Repository::Corrupt { .. })
    };
    match error {
        Error::Repository(error) | Error::Engine(holdpoint_engine::Error::Repository(error)) => !of_one(error),
        _ => false,
    }
}

fn failed(point: &PointId, error: &Error) -> FailedPoint {
    FailedPoint { point: point.clone(), kind: error.kind(), message: chain(error), hint: error.hint() }
}
