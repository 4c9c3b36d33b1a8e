//! The work on each database, so many at a time, and what becomes of one that ends in no time or cannot begin.

use std::collections::HashMap;
use std::sync::Arc;

use holdpoint_core::DatabaseName;
use holdpoint_core::cron::CronEvent;
use holdpoint_core::progress::Silent;
use holdpoint_operations::cron::{CronOptions, CronReport, Failed, Telling, cron, tell};
use holdpoint_operations::{Clock, Error};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, timeout_at};

use super::Common;
use crate::arguments::LimitArguments;
use crate::failure::Failure;
use crate::invocation::{Invocation, Verification, now, whole};

/// For so long after `--max-runtime` what is under way may take to end, and what was left out is remembered and told.
const GRACE: Duration = Duration::from_secs(300);

/// Works on all databases, so many at a time. Where the work on one breaks off it has failed, and the others go on.
pub(super) async fn every(invocation: &Invocation, common: &Common, databases: Vec<DatabaseName>) -> Vec<CronReport> {
    let quiet = common.settings.parallel > 1 && databases.len() > 1;
    let ended = in_turns(databases, common.settings.parallel, |database| {
        let mut own = invocation.of_database(&database);
        if quiet {
            // Bars of several databases would write over each other.
            own.progress = Arc::new(Silent);
        }
        one(own, common.clone(), database)
    });
    let mut reports = Vec::new();
    for (database, ended) in ended.await {
        reports.push(match ended {
            Ok(report) => report,
            Err(error) => {
                let failure = Failure::Internal(format!("the work on it broke off: {error}"));
                refused(invocation, common, database, &failure).await
            }
        });
    }
    reports
}

/// Begins each in a task of its own, so many at a time; gives how each ended, in the order in which they did.
async fn in_turns<W>(
    databases: Vec<DatabaseName>,
    parallel: usize,
    begin: impl Fn(DatabaseName) -> W,
) -> Vec<(DatabaseName, Result<CronReport, JoinError>)>
where
    W: Future<Output = CronReport> + Send + 'static,
{
    let (mut waiting, mut running, mut ended) = (databases.into_iter(), JoinSet::new(), Vec::new());
    let mut works_on = HashMap::new();
    loop {
        while running.len() < parallel
            && let Some(database) = waiting.next()
        {
            let task = running.spawn(begin(database.clone()));
            works_on.insert(task.id(), database);
        }
        let (id, report) = match running.join_next_with_id().await {
            Some(Ok((id, report))) => (id, Ok(report)),
            Some(Err(error)) => (error.id(), Err(error)),
            None => return ended,
        };
        ended.extend(works_on.remove(&id).map(|database| (database, report)));
    }
}

/// Works on one database, until its time and the grace are over.
async fn one(invocation: Invocation, common: Common, database: DatabaseName) -> CronReport {
    let Some(deadline) = common.deadline else { return work(invocation, common, database).await };
    let (cut, tells) = (invocation.cancel.clone(), common.clone());
    match timeout_at(deadline + GRACE, work(invocation, common, database.clone())).await {
        Ok(report) => report,
        Err(_) => {
            let why = if cut.is_cancelled() { Error::Interrupted } else { Error::TimeOver };
            given_up(&tells.repository, &tells.clock, &tells.telling, database, &why).await
        }
    }
}

/// What did not even end within the grace: nobody knows what became of it, and it tells nobody any more.
async fn given_up(
    repository: &str,
    clock: &Clock,
    telling: &Telling,
    database: DatabaseName,
    why: &Error,
) -> CronReport {
    let mut report = CronReport::refused(database, now(), Failed::from(why));
    let left = "it did not end in time and was given up; holdpoint leftovers finds what it left";
    report.warnings.push(left.to_owned());
    report.events.push(CronEvent::Failed);
    tell(repository, clock, telling, &mut report).await;
    report
}

async fn work(invocation: Invocation, common: Common, database: DatabaseName) -> CronReport {
    if invocation.cancel.is_cancelled() {
        // It had no turn: that is told and counted like any other failure.
        return refused(&invocation, &common, database, &Error::Interrupted.into()).await;
    }
    match prepared(&invocation, &common, &database).await {
        Ok((context, source, options)) => cron(&context, &source, &options).await,
        Err(failure) => refused(&invocation, &common, database, &failure).await,
    }
}

/// A database on which nothing can be done: it failed, and whoever is to hear of it is told.
pub(super) async fn refused(
    invocation: &Invocation,
    common: &Common,
    database: DatabaseName,
    failure: &Failure,
) -> CronReport {
    let told = failure.told(&common.telling.mask, invocation.cancel.is_cancelled());
    let failed = Failed { kind: told.kind, message: told.line(), hint: told.hint };
    let mut report = CronReport::refused(database, now(), failed);
    report.events.push(CronEvent::Failed);
    tell(&common.repository, &common.clock, &common.telling, &mut report).await;
    report
}

async fn prepared(
    invocation: &Invocation,
    common: &Common,
    database: &DatabaseName,
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
        unrecorded: common.unrecorded.get(database).cloned().unwrap_or_default(),
        telling: common.telling.clone(),
    };
    Ok((context, source, options))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use holdpoint_core::{Mask, Secret};
    use holdpoint_operations::webhook::Delivery;

    use super::*;

    #[tokio::test]
    async fn what_did_not_end_within_the_grace_is_told_by_whoever_gave_it_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = format!("http://{}/hook", listener.local_addr().unwrap()).into();
        let heard = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut text, mut piece) = (String::new(), [0; 4096]);
            while !text.contains("was given up") && !text.ends_with("}") {
                let read = stream.read(&mut piece).unwrap();
                assert!(read > 0, "the message ends early: {text}");
                text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            text
        });
        let clock: Clock = Arc::new(now);
        let webhook = Delivery { to, secret: None, clock: Arc::clone(&clock), seed: 1, cancel: Default::default() };
        let telling =
            Telling { owner: "here:1".to_owned(), webhook: Some(webhook), mask: Mask::new(Vec::<Secret>::new()) };
        let report = given_up("s3://b/p", &clock, &telling, "shop".parse().unwrap(), &Error::TimeOver).await;
        let text = heard.join().unwrap();
        assert!(text.contains("\"event\":\"failed\"") && text.contains("\"kind\":\"could_not_run\""), "{text}");
        assert_eq!((report.events, report.warnings.len()), (vec![CronEvent::Failed], 1));
    }

    #[tokio::test]
    async fn so_many_at_a_time_and_one_that_breaks_off_takes_no_other_with_it() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        let names = || (1..=7).map(|n| format!("db{n}").parse::<DatabaseName>().unwrap()).collect::<Vec<_>>();
        for parallel in [1, 3] {
            let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let ended = in_turns(names(), parallel, |database| {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                async move {
                    most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    for _ in 0..50 {
                        tokio::task::yield_now().await;
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                    assert!(database.as_str() != "db2", "it is the second");
                    CronReport::refused(database, now(), Failed::from(&Error::TimeOver))
                }
            })
            .await;
            assert_eq!(most.load(Ordering::SeqCst), parallel);
            let mut databases: Vec<_> = ended.iter().map(|(database, _)| database.clone()).collect();
            databases.sort();
            assert_eq!(databases, names());
            for (database, ended) in &ended {
                match ended {
                    Ok(report) => assert_eq!(&report.database, database),
                    Err(error) => assert!(database.as_str() == "db2" && error.is_panic(), "{database}: {error}"),
                }
            }
            assert_eq!(ended.iter().filter(|(_, ended)| ended.is_err()).count(), 1);
        }
    }
}
