//! One unattended run of one database: the lease, the steps, what is remembered, who is told.

use std::pin::pin;
use std::time::Duration;

use holdpoint_core::cron::{CronEvent, CronHistory, Ended, Step, StepEnd};
use holdpoint_core::verification::Verdict;
use holdpoint_repository::{Lease, LeaseTaken};
use tokio::time::{Instant, sleep, sleep_until};

use super::steps::Steps;
use super::{CronOptions, CronReport, Facts, Failed, tell};
use crate::catalogue::list;
use crate::retention::outlook;
use crate::{Context, Error, ErrorKind, Source};

/// For so long a run that was killed keeps others off; one that lives renews its lease long before.
const HOLDS_FOR: Duration = Duration::from_secs(900);
const PACE: RenewalPace = RenewalPace {
    every: Duration::from_secs(300),
    again_after: Duration::from_secs(30),
    lost_after: Duration::from_secs(720),
};

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
/// nothing half done. Whoever is to be told is told last, when the lease is released.
pub async fn cron(context: &Context, source: &Source, options: &CronOptions) -> CronReport {
    let (began, started_at) = (Instant::now(), (context.clock)());
    let mut report = match take(context, options).await {
        Ok(lease) => with_lease(context, source, options, *lease).await,
        Err(error) => {
            let mut report = CronReport::refused(context.database.clone(), started_at, Failed::from(&error));
            // The other run tells for itself.
            if error.kind() != ErrorKind::Busy {
                report.events.push(CronEvent::Failed);
            }
            report
        }
    };
    report.started_at = started_at;
    report.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tell(&context.repository.url().to_string(), &context.clock, &options.telling, &mut report).await;
    report
}

async fn take(context: &Context, options: &CronOptions) -> Result<Box<Lease>, Error> {
    let (repository, database) = (&context.repository, &context.database);
    let lease = match repository.take_lease(database, &options.telling.owner, HOLDS_FOR, (context.clock)()).await? {
        LeaseTaken::Ours(lease) => lease,
        LeaseTaken::Others { owner, since, until } => {
            return Err(Error::CronRuns { database: database.to_string(), owner, since, until });
        }
    };
    if options.single_writer {
        return Ok(lease);
    }
    let proven = match lease.proves_conditional_writes().await {
        Err(holdpoint_repository::Error::Unsupported { .. }) => false,
        proven => proven?,
    };
    if proven {
        return Ok(lease);
    }
    let history = lease.history().clone();
    lease.release(history).await?;
    Err(Error::NoConditionalWrites { repository: repository.url().to_string() })
}

async fn with_lease(context: &Context, source: &Source, options: &CronOptions, mut lease: Lease) -> CronReport {
    let mut history = lease.history().clone().after_unrecorded(&options.unrecorded);
    if let Some(began_at) = lease.killed_at() {
        history = history.after_a_kill(began_at);
    }
    let context = &Context { cancel: context.cancel.child_token(), ..context.clone() };
    let proven_before = history.first_proven_at.is_none() && proven(context).await;
    let mut steps = Steps::new(context, source, options, &history);
    let left_out = options.deadline.is_some_and(|deadline| deadline <= Instant::now());
    let begun_at = if left_out { history.begun_at } else { Some((context.clock)()) };
    let cut = {
        let mut work = pin!(steps.run());
        let mut renewal = pin!(lost(&mut lease, PACE));
        let mut deadline = pin!(async {
            match options.deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        });
        let cut = tokio::select! {
            // What is over is not begun.
            biased;
            () = &mut deadline => Some(Error::TimeOver),
            () = &mut work => None,
            () = &mut renewal => Some(Error::LeaseLost),
        };
        if cut.is_some() {
            context.cancel.cancel();
            work.await;
        }
        cut
    };
    let Steps { done, warnings, .. } = steps;
    let report = CronReport::new(context.database.clone(), (context.clock)());
    let mut report = CronReport { steps: done, warnings, ..report };
    for step in &mut report.steps {
        if let (Some(failure), Some(cut)) = (&mut step.failure, &cut)
            && failure.kind == ErrorKind::Interrupted
        {
            *failure = Failed::of_step(cut);
        }
    }
    report.failure = report.steps.iter().find_map(|step| step.failure.clone());
    let interrupted = report.failure.as_ref().is_some_and(|failure| failure.kind == ErrorKind::Interrupted);
    if !interrupted && !left_out && !matches!(cut, Some(Error::LeaseLost)) {
        look(context, options, &mut report).await;
    }
    history.begun_at = begun_at;
    remember(context, lease, history, proven_before, &mut report).await;
    report
}

/// Whether a whole restore point is proven; what the repository does not tell is left to the steps.
async fn proven(context: &Context) -> bool {
    let listed = list(context).await;
    listed.is_ok_and(|listed| listed.points.iter().any(|one| one.is_whole() && one.standing.level().is_some()))
}

/// Renews the lease, and ends when it is lost or must be taken for lost.
async fn lost(lease: &mut Lease, pace: RenewalPace) {
    let (mut held_since, mut pause) = (Instant::now(), pace.every);
    loop {
        sleep(pause).await;
        let asked = Instant::now();
        pause = match lease.renew().await {
            Ok(true) => {
                held_since = asked;
                pace.every
            }
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "the lease could not be renewed; it is tried again");
                if held_since.elapsed() + pace.again_after > pace.lost_after {
                    return;
                }
                pace.again_after
            }
        };
    }
}

async fn look(context: &Context, options: &CronOptions, report: &mut CronReport) {
    match outlook(context, options.retention.as_ref()).await {
        Ok(outlook) => report.outlook = Some(outlook),
        Err(error) => report.warnings.push(format!("what the repository holds could not be read: {}", error.line())),
    }
}

async fn remember(context: &Context, lease: Lease, history: CronHistory, proven_before: bool, report: &mut CronReport) {
    let proved = |facts: &Option<Facts>| matches!(facts, Some(Facts::Verify { verdict: Verdict::Proved, .. }));
    let check = report.steps.iter().find(|one| one.step == Step::Check).map_or(StepEnd::NotRun, |one| one.end);
    let (history, events) = history.after(Ended {
        at: (context.clock)(),
        failure: report.failure.as_ref().map(|failure| failure.kind.word()),
        proved: report.steps.iter().any(|one| proved(&one.facts)),
        proven: report.outlook.as_ref().is_some_and(|outlook| !outlook.proofs.is_empty()),
        proven_before,
        check,
    });
    report.events = events;
    match lease.release(history.clone()).await {
        Ok(true) => report.recorded = true,
        Ok(false) => report.warnings.push("another run has taken the lease: this one is not remembered".to_owned()),
        Err(error) => report.warnings.push(format!("the lease could not be released: {}", Error::from(error).line())),
    }
    report.history = Some(history);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdpoint_repository::{LocalDirectory, Repository};

    use super::*;

    const SOON: RenewalPace = RenewalPace {
        every: Duration::from_millis(20),
        again_after: Duration::from_millis(20),
        lost_after: Duration::from_millis(200),
    };

    async fn lease(folder: &std::path::Path) -> Box<Lease> {
        let at = "2026-11-21T02:43:00Z".parse().unwrap();
        let store = Arc::new(LocalDirectory::new(folder).unwrap());
        let repository = Repository::init(store, at).await.unwrap().0;
        match repository.take_lease(&"shop".parse().unwrap(), "a", HOLDS_FOR, at).await.unwrap() {
            LeaseTaken::Ours(lease) => lease,
            LeaseTaken::Others { .. } => panic!("taken"),
        }
    }

    #[test]
    fn a_lease_is_renewed_and_given_up_long_before_it_ends() {
        assert!(PACE.every * 2 < PACE.lost_after && PACE.lost_after + Duration::from_secs(60) < HOLDS_FOR);
    }

    #[tokio::test]
    async fn a_lease_that_another_took_or_that_cannot_be_renewed_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let mut ours = lease(folder.path()).await;
        let path = folder.path().join("shop/lease");
        let written = |path: &std::path::Path| -> serde_json::Value {
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
        };
        let mut others = written(&path);
        others["nonce"] = "another".into();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, others.to_string()).unwrap();
        lost(&mut ours, SOON).await;
        assert_eq!(written(&path), others, "nothing is taken back");

        let folder = tempfile::tempdir().unwrap();
        let mut ours = lease(folder.path()).await;
        let path = folder.path().join("shop/lease");
        let renewed = async {
            while written(&path)["written"] != 3 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = lost(&mut ours, SOON) => panic!("it is renewed"),
            () = renewed => {}
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "unreadable").unwrap();
        lost(&mut ours, SOON).await;
    }
}
