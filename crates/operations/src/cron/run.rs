//! One unattended run of one database: the lease, the steps, what is remembered, who is told.

use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use holdpoint_core::PointId;
use holdpoint_core::cron::{CronEvent, CronHistory};
use holdpoint_repository::{Lease, LeaseTaken};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::message::{tell, tell_killed};
use super::remembered::{remember, remember_told};
use super::steps::Steps;
use super::{CronOptions, CronReport, Failed, LeaseLeft};
use crate::catalogue::show_any;
use crate::retention::outlook;
use crate::{Context, Error, ErrorKind, Source};

/// For so long a run that was killed keeps others off; one that lives renews its lease long before.
const HOLDS_FOR: Duration = Duration::from_secs(900);
const PACE: RenewalPace = RenewalPace {
    every: Duration::from_secs(300),
    again_after: Duration::from_secs(30),
    lost_after: Duration::from_secs(720),
};
/// So many restore points are looked at at a time.
const AT_ONCE: usize = 8;

/// When a lease is renewed.
#[derive(Clone, Copy, Debug)]
struct RenewalPace {
    every: Duration,
    /// When the repository did not answer, it is asked again so soon.
    again_after: Duration,
    /// A lease that could not be renewed for so long counts as lost: the rest of its time is for ending what runs.
    lost_after: Duration,
}

/// Makes a restore point of a database, proves it, drops what the policy does not keep, and checks the repository: in this
/// order, each only if the one before allows it, and never while another run does the same.
///
/// It never fails itself: what failed is in the report. Where the deadline has passed already no step is begun, and that is
/// remembered and told as any failure. A step that is cut short, by the deadline or by a signal, leaves
/// nothing half done. Whoever is to be told is told last, when the lease is released; after a signal nobody is told
/// yet ([`tell_each`](super::tell_each)).
pub async fn cron(context: &Context, source: &Source, options: &CronOptions) -> CronReport {
    let began = Instant::now();
    let taken = take(context, options).await;
    let kept_out = taken.as_ref().is_err_and(|one| one.error.kind() == ErrorKind::Busy);
    if !kept_out {
        options.begins.notify_one();
    }
    let mut given_back = None;
    let mut report = match taken {
        Ok(mut lease) => {
            let report = with_lease(context, source, options, &mut lease, began).await;
            given_back = Some(lease);
            report
        }
        Err(NotTaken { error, left }) => {
            let mut report = CronReport::refused(context.database.clone(), &options.turn, Failed::from(&error));
            report.left = left.then(|| LeaseLeft { turn: options.turn.id.clone(), unwritten: None });
            // The other run tells for itself.
            if !kept_out {
                report.events.push(CronEvent::Failed);
            }
            report
        }
    };
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    report.mask(&options.telling.mask);
    // After a signal there is little time: whoever called writes down what is to be written first.
    if !context.cancel.is_cancelled() {
        tell(&context.repository.url().to_string(), &context.clock, &options.telling, &mut report).await;
        if let Some(lease) = &mut given_back {
            remember_told(lease, &mut report).await;
        }
    }
    report
}

/// Why a run has no lease.
struct NotTaken {
    error: Error,
    /// It may stand in the repository all the same.
    left: bool,
}

async fn take(context: &Context, options: &CronOptions) -> Result<Box<Lease>, NotTaken> {
    let (repository, database) = (&context.repository, &context.database);
    let without = |error| NotTaken { error, left: false };
    let taken = repository.take_lease(database, &options.telling.owner, &options.turn, HOLDS_FOR).await;
    let mut lease = match taken.map_err(|error| without(error.into()))? {
        LeaseTaken::Ours(lease) => lease,
        LeaseTaken::Others { owner, since, until } => {
            return Err(without(Error::CronRuns { database: database.to_string(), owner, since, until }));
        }
        LeaseTaken::Unanswered(error) => return Err(NotTaken { error: error.into(), left: true }),
    };
    if options.single_writer {
        return Ok(lease);
    }
    let refusal = match lease.proves_conditional_writes().await {
        Ok(true) => return Ok(lease),
        Ok(false) | Err(holdpoint_repository::Error::Unsupported { .. }) => {
            Error::NoConditionalWrites { repository: repository.url().to_string() }
        }
        Err(error) => error.into(),
    };
    // Whoever comes next need not wait for a run that never began, and does not find the one that was killed.
    let (killed_at, history) = killed_before(&lease, options);
    if let Some(began_at) = killed_at
        && let Some(warning) = tell_killed(context, &options.telling, &history, began_at).await
    {
        tracing::warn!("{warning}");
    }
    let released = lease.release(history).await;
    if let Err(error) = &released {
        tracing::warn!(%error, "the lease of a run that was refused could not be released");
    }
    Err(NotTaken { error: refusal, left: released.is_err() })
}

/// When the run before began, where it was killed, and what is remembered then.
fn killed_before(lease: &Lease, options: &CronOptions) -> (Option<DateTime<Utc>>, CronHistory) {
    let killed_at = options.unrecorded.killed(lease.before());
    let history = lease.history().clone();
    (killed_at, killed_at.into_iter().fold(history, CronHistory::after_a_kill))
}

/// The run under its lease, which was asked for then.
async fn with_lease(
    context: &Context,
    source: &Source,
    options: &CronOptions,
    lease: &mut Lease,
    asked_at: Instant,
) -> CronReport {
    let context = &Context { cancel: context.cancel.child_token(), ..context.clone() };
    let (killed_at, history) = killed_before(lease, options);
    // At once: this run may be killed, too.
    let noted = match killed_at {
        Some(_) => lease.remember(history.clone()).await,
        None => Ok(true),
    };
    // Another one has the lease by now, and tells of that kill itself.
    let gone = matches!(noted, Ok(false));
    let killed_at = killed_at.filter(|_| !gone);
    let mut history = history.after_unrecorded(&options.unrecorded, lease.before());
    let mut steps = Steps::new(context, source, options, &history);
    if let Err(error) = noted {
        let why = Error::from(error).line();
        steps.warnings.push(format!("that the run before was killed is written down at the end only: {why}"));
    }
    if lease.was_unreadable() {
        let lost = "the lease could not be read, and was taken over: what it remembered of runs is lost";
        steps.warnings.push(lost.to_owned());
    }
    let left_out = options.deadline.is_some_and(|deadline| deadline <= Instant::now());
    let begun_at = if left_out { history.begun_at } else { Some((context.clock)()) };
    let (mut proven_before, mut untold, mut looked) = (false, None, None);
    let cut = {
        let mut renewal = pin!(lost(lease, asked_at, PACE));
        let mut deadline = pin!(async {
            match options.deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        });
        let mut work = pin!(async {
            if let Some(began_at) = killed_at {
                untold = tell_killed(context, &options.telling, &history, began_at).await;
            }
            // A signal that comes while it is looked for ends the looking: the steps then tell of it.
            proven_before = history.first_proven_at.is_none()
                && context.cancel.run_until_cancelled(proven(context)).await.unwrap_or_default();
            steps.run().await;
        });
        let mut cut = match gone {
            true => Some(Error::LeaseLost),
            false => tokio::select! {
                // What is over is not begun.
                biased;
                () = &mut deadline => Some(Error::TimeOver),
                () = &mut work => None,
                () = &mut renewal => Some(Error::LeaseLost),
            },
        };
        if cut.is_some() {
            context.cancel.cancel();
            work.await;
        } else if !context.cancel.is_cancelled() {
            tokio::select! {
                biased;
                () = &mut deadline => looked = Some(Err(Error::TimeOver)),
                found = outlook(context, options.retention.as_ref()) => looked = Some(found),
                () = context.cancel.cancelled() => looked = Some(Err(Error::Interrupted)),
                () = &mut renewal => cut = Some(Error::LeaseLost),
            }
        }
        cut
    };
    let Steps { done, mut warnings, .. } = steps;
    warnings.extend(untold);
    let report = CronReport::new(context.database.clone(), &options.turn);
    let mut report = CronReport { steps: done, warnings, ..report };
    for step in &mut report.steps {
        if let (Some(failure), Some(cut)) = (&mut step.failure, &cut)
            && failure.kind == ErrorKind::Interrupted
        {
            failure.cut_off_by(cut);
        }
    }
    report.failure = report.steps.iter().find_map(|step| step.failure.clone());
    match looked {
        Some(Ok(outlook)) => report.outlook = Some(outlook),
        Some(Err(error)) => {
            report.warnings.push(format!("what the repository holds could not be read: {}", error.line()));
        }
        None => {}
    }
    history.begun_at = begun_at;
    remember(context, options, lease, history, proven_before, &mut report).await;
    report
}

/// Whether a whole restore point is proven, the newest first; what the repository does not tell is left to the steps.
async fn proven(context: &Context) -> bool {
    let Ok(points) = context.repository.points(&context.database).await else { return false };
    let (mut waiting, mut running) = (points.into_iter().rev(), FuturesUnordered::new());
    loop {
        while running.len() < AT_ONCE
            && !context.cancel.is_cancelled()
            && let Some(point) = waiting.next()
        {
            running.push(Box::pin(is_proven(context, point)));
        }
        match running.next().await {
            Some(false) => {}
            found => return found.is_some(),
        }
    }
}

async fn is_proven(context: &Context, point: PointId) -> bool {
    let shown = show_any(context, &point).await.map(|shown| shown.summary());
    shown.is_ok_and(|one| one.is_whole_archive() && one.standing.level().is_some())
}

/// Renews the lease, which is held since some time after `held_since`, and ends when it is lost or must be taken for lost: a
/// store that does not answer ends it, too.
async fn lost(lease: &mut Lease, mut held_since: Instant, pace: RenewalPace) {
    let mut next = held_since + pace.every;
    loop {
        sleep_until(next).await;
        let asked = Instant::now();
        if asked >= held_since + pace.lost_after {
            tracing::warn!("the lease was not renewed in time, and is taken for lost");
            return;
        }
        match timeout_at(held_since + pace.lost_after, lease.renew()).await {
            Ok(Ok(true)) => {
                held_since = asked;
                next = asked + pace.every;
            }
            Ok(Ok(false)) => return,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the lease could not be renewed; it is tried again");
                next = Instant::now() + pace.again_after;
                if next > held_since + pace.lost_after {
                    return;
                }
            }
            Err(_elapsed) => {
                tracing::warn!("the repository does not answer, and the lease is taken for lost");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
