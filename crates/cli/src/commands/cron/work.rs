//! The work on each database, so many at a time, and what becomes of one that ends in no time or cannot begin.

use std::collections::HashMap;
use std::sync::Arc;

use holdpoint_core::DatabaseName;
use holdpoint_core::cron::{CronEvent, Turn};
use holdpoint_core::progress::Silent;
use holdpoint_operations::Error;
use holdpoint_operations::cron::{CronOptions, CronReport, Failed, LeaseLeft, cron};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, Instant, timeout_at};

use super::Common;
use crate::arguments::LimitArguments;
use crate::failure::Failure;
use crate::invocation::{Invocation, Verification, now, seed, whole};

/// For so long after `--max-runtime` what is under way may take to end, and what was left out is remembered and told.
const GRACE: Duration = Duration::from_secs(300);
/// So long a repository may take to be opened even where the time is over: what is left out is remembered there.
const OPENS_WITHIN: Duration = Duration::from_secs(30);

/// A turn of one database, from now on.
pub(super) fn turn() -> Turn {
    Turn { id: format!("{:016x}{:016x}", seed(), seed()), began_at: now() }
}

/// Works on all databases, so many at a time. Where the work on one breaks off it has failed, and the others go on.
pub(super) async fn every(invocation: &Invocation, common: &Common, databases: Vec<DatabaseName>) -> Vec<CronReport> {
    let quiet = common.settings.parallel > 1 && databases.len() > 1;
    let ended = in_turns(databases, common.settings.parallel, |database, turn| {
        let mut own = invocation.of_database(&database);
        if quiet {
            // Bars of several databases would write over each other.
            own.progress = Arc::new(Silent);
        }
        one(own, common.clone(), database, turn)
    });
    let broke_off = |database, turn: &Turn, error| {
        let failure = Failure::Internal(format!("the work on it broke off: {error}"));
        unended(refused(common, database, turn, &failure, invocation.cancel.is_cancelled()), turn)
    };
    let ended = ended.await.into_iter();
    ended.map(|one| one.report.unwrap_or_else(|error| broke_off(one.database, &one.turn, error))).collect()
}

/// How the work on a database ended.
struct TurnEnded {
    database: DatabaseName,
    turn: Turn,
    report: Result<CronReport, JoinError>,
}

/// Begins each in a task of its own, so many at a time; gives how each ended, in the order in which they did.
async fn in_turns<W>(
    databases: Vec<DatabaseName>,
    parallel: usize,
    begin: impl Fn(DatabaseName, Turn) -> W,
) -> Vec<TurnEnded>
where
    W: Future<Output = CronReport> + Send + 'static,
{
    let (mut waiting, mut running, mut ended) = (databases.into_iter(), JoinSet::new(), Vec::new());
    let mut works_on = HashMap::new();
    loop {
        while running.len() < parallel
            && let Some(database) = waiting.next()
        {
            let turn = turn();
            let task = running.spawn(begin(database.clone(), turn.clone()));
            works_on.insert(task.id(), (database, turn));
        }
        let (id, report) = match running.join_next_with_id().await {
            Some(Ok((id, report))) => (id, Ok(report)),
            Some(Err(error)) => (error.id(), Err(error)),
            None => return ended,
        };
        ended.extend(works_on.remove(&id).map(|(database, turn)| TurnEnded { database, turn, report }));
    }
}

/// Works on one database, until its time and the grace are over.
async fn one(invocation: Invocation, common: Common, database: DatabaseName, turn: Turn) -> CronReport {
    let Some(deadline) = common.deadline else { return work(invocation, &common, database, turn).await };
    let cut = invocation.cancel.clone();
    match timeout_at(deadline + GRACE, work(invocation, &common, database.clone(), turn.clone())).await {
        Ok(report) => report,
        Err(_) => {
            let why = if cut.is_cancelled() { Error::Interrupted } else { Error::TimeOver };
            let mut report = unended(refused(&common, database, &turn, &why.into(), cut.is_cancelled()), &turn);
            let left = "it did not end in time and was given up; holdpoint leftovers finds what it left";
            report.warnings.push(left.to_owned());
            report
        }
    }
}

/// A run of which nobody knows what became of it: it may have left its lease.
fn unended(mut report: CronReport, turn: &Turn) -> CronReport {
    report.left = Some(LeaseLeft { turn: turn.id.clone(), unwritten: None });
    report
}

async fn work(invocation: Invocation, common: &Common, database: DatabaseName, turn: Turn) -> CronReport {
    if invocation.cancel.is_cancelled() {
        // It had no turn: that is told and counted like any other failure.
        return refused(common, database, &turn, &Error::Interrupted.into(), true);
    }
    let preparing = prepared(&invocation, common, &database, &turn);
    match until_over(common.deadline, OPENS_WITHIN, preparing).await {
        Some(Ok((context, source, options))) => cron(&context, &source, &options).await,
        Some(Err(failure)) => refused(common, database, &turn, &failure, invocation.cancel.is_cancelled()),
        None => refused(common, database, &turn, &Error::TimeOver.into(), invocation.cancel.is_cancelled())
            .with_warning("the repository did not answer until then, and nothing was begun"),
    }
}

/// What it comes to; `None` where the time is over by then, and it had its own time as well.
async fn until_over<T>(deadline: Option<Instant>, within: Duration, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline.max(Instant::now() + within), work).await.ok(),
        None => Some(work.await),
    }
}

/// A database on which nothing can be done, or nobody knows what was: it failed, and nobody was told yet.
pub(super) fn refused(
    common: &Common,
    database: DatabaseName,
    turn: &Turn,
    failure: &Failure,
    interrupted: bool,
) -> CronReport {
    let told = failure.told(&common.telling.mask, interrupted);
    let failed = Failed { kind: told.kind, message: told.line(), hint: told.hint };
    let mut report = CronReport::refused(database, turn, failed).ended_at(now());
    report.events.push(CronEvent::Failed);
    common.begins.notify_one();
    report
}

async fn prepared(
    invocation: &Invocation,
    common: &Common,
    database: &DatabaseName,
    turn: &Turn,
) -> Result<(holdpoint_operations::Context, holdpoint_operations::Source, CronOptions), Failure> {
    let settings = &common.settings;
    let wanted = settings.level.map(|level| Verification {
        level,
        scratch_url: None,
        replace_missing_locale: false,
        jobs: None,
        sample: None,
        restore_as: None,
    });
    let verify = wanted.map(|wanted| invocation.verify_options(&wanted)).transpose()?;
    let source = invocation.source()?;
    let context = invocation.context(true).await?;
    let limits = invocation.settings.limits(&LimitArguments::default());
    let mut backup = whole(settings.codec, limits);
    backup.retain_until = invocation.retain_until();
    backup.reason = Some("cron".to_owned());
    let options = CronOptions {
        backup,
        verify,
        verify_every: settings.verify_every,
        retention: settings.retention.clone(),
        sweep_min_age: settings.sweep_min_age,
        check: Some(settings.check.clone()),
        check_every: settings.check_every,
        deadline: common.deadline,
        single_writer: common.single_writer,
        turn: turn.clone(),
        begins: Arc::clone(&common.begins),
        unrecorded: common.unrecorded.get(database).cloned().unwrap_or_default(),
        telling: common.telling.clone(),
    };
    Ok((context, source, options))
}

#[cfg(test)]
mod tests {
    use holdpoint_core::cron::TurnBefore;
    use holdpoint_operations::cron::{metrics, unrecorded};

    use super::*;

    #[test]
    fn what_was_given_up_or_broke_off_is_not_told_as_killed() {
        let (turn, database): (_, DatabaseName) = (turn(), "shop".parse().unwrap());
        let mut report = CronReport::refused(database.clone(), &turn, Failed::from(&Error::TimeOver));
        report.events.push(CronEvent::Failed);
        let left = unrecorded(&metrics(&[unended(report, &turn)], ""), &database);
        let before = |turn: &str| TurnBefore { turn: turn.to_owned(), began_at: now(), ended: false };
        assert_eq!(left.killed(Some(&before(&turn.id))), None);
        assert_ne!(left.killed(Some(&before("another"))), None);
        assert_eq!(left.left.unwrap().failures["could_not_run"], 1);
    }

    #[tokio::test]
    async fn what_does_not_answer_ends_with_the_time_and_has_some_of_its_own() {
        let (soon, late) = (Duration::from_millis(20), Duration::from_secs(600));
        for deadline in [Instant::now(), Instant::now() + soon] {
            assert_eq!(until_over(Some(deadline), soon, std::future::pending::<()>()).await, None);
        }
        let slow = |answer| async move {
            tokio::time::sleep(soon).await;
            answer
        };
        assert_eq!(until_over(Some(Instant::now()), late, slow(7)).await, Some(7));
        assert_eq!(until_over(Some(Instant::now() + late), Duration::ZERO, slow(8)).await, Some(8));
        assert_eq!(until_over(None, Duration::ZERO, slow(9)).await, Some(9));
    }

    #[tokio::test]
    async fn so_many_at_a_time_and_one_that_breaks_off_takes_no_other_with_it() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        let names = || (1..=7).map(|n| format!("db{n}").parse::<DatabaseName>().unwrap()).collect::<Vec<_>>();
        for parallel in [1, 3] {
            let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let ended = in_turns(names(), parallel, |database, turn| {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                async move {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    for _ in 0..50 {
                        tokio::task::yield_now().await;
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    assert!(database.as_str() != "db2", "it is the second");
                    CronReport::refused(database, &turn, Failed::from(&Error::TimeOver))
                }
            })
            .await;
            assert_eq!(most.load(Ordering::SeqCst), parallel);
            let mut databases: Vec<_> = ended.iter().map(|one| one.database.clone()).collect();
            databases.sort();
            assert_eq!(databases, names());
            for TurnEnded { database, turn, report } in &ended {
                match report {
                    Ok(report) => assert_eq!((&report.database, report.started_at), (database, turn.began_at)),
                    Err(error) => assert!(database.as_str() == "db2" && error.is_panic(), "{database}: {error}"),
                }
            }
            assert_eq!(ended.iter().filter(|one| one.report.is_err()).count(), 1);
            let turns: std::collections::HashSet<&str> = ended.iter().map(|one| one.turn.id.as_str()).collect();
            assert_eq!(turns.len(), ended.len(), "each has one of its own");
        }
    }
}
