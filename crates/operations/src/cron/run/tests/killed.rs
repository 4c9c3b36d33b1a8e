//! Runs that were killed, overtaken or cut off from the repository: each is counted and told once, by whoever knows.

use holdpoint_core::cron::{LeftLease, StepEnd};
use holdpoint_core::layout;
use holdpoint_testkit::{Fault, SeenRequest};
use tokio::time::sleep;

use super::*;

/// Answers two messages with 200, and gives the bodies that came, each with what the lease said by then.
async fn hear(listener: tokio::net::TcpListener, lease: &std::path::Path) -> Vec<[serde_json::Value; 2]> {
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let message = hear_one(&listener).await;
        heard.push([message, serde_json::from_slice(&std::fs::read(lease).unwrap()).unwrap()]);
    }
    heard
}

/// A repository whose lease a killed run left, and who hears what the next one tells.
struct AfterAKill {
    folder: tempfile::TempDir,
    path: std::path::PathBuf,
    context: Context,
    listener: tokio::net::TcpListener,
    source: Source,
    options: CronOptions,
}

async fn after_a_kill() -> AfterAKill {
    let folder = tempfile::tempdir().unwrap();
    drop(lease(folder.path()).await);
    let path = folder.path().join("shop/lease");
    killed(&path);
    let context = sample_context::in_directory(folder.path()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (source, options) = nowhere(Some(format!("http://{}/hook", listener.local_addr().unwrap())));
    AfterAKill { folder, path, context, listener, source, options }
}

#[tokio::test]
async fn a_killed_run_is_counted_and_told_before_the_next_one_does_anything() {
    let AfterAKill { folder: _folder, path, context, listener, source, options } = after_a_kill().await;
    let (report, heard) = tokio::join!(Box::pin(cron(&context, &source, &options)), hear(listener, &path));
    assert_eq!(report.failure.as_ref().unwrap().kind, ErrorKind::Postgres, "{report:?}");
    let [[first, lease], [second, _]] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((&first["event"], &first["failure"]["kind"]), (&"failed".into(), &"killed".into()), "{first}");
    assert!(first["text"].as_str().unwrap().contains("2026-11-21T02:43:00Z was killed"), "{first}");
    assert_eq!(lease["history"]["failures"], serde_json::json!({"killed": 1}), "it would outlive another kill");
    assert!(lease["holds_for_seconds"].as_u64().unwrap() > 0);
    assert_eq!(second["failure"]["kind"], "postgres", "{second}");
    let failures = report.history.unwrap().failures;
    assert_eq!(failures, [("killed".to_owned(), 1), ("postgres".to_owned(), 1)].into());
}

#[tokio::test]
async fn a_run_that_is_refused_tells_of_the_kill_before_it() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    let began_at = sample_context::now();
    let repository = &context.repository;
    let second = Duration::from_secs(1);
    let taken = repository.take_lease(&context.database, "k", &turn_at("killed", began_at), second).await.unwrap();
    assert!(matches!(taken, LeaseTaken::Ours(_)), "{taken:?}");
    // A store that takes every write: the one that must be refused is answered as if it had been done.
    let creates = |request: &SeenRequest| {
        request.operation() == "PutObject"
            && request.header("if-none-match").is_some()
            && request.target.contains("/lease")
    };
    proxy.push_when(creates, Fault::answer(200, ""));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/hook", listener.local_addr().unwrap());
    let runs = async {
        loop {
            let (source, options) = nowhere(Some(hook.clone()));
            let report = Box::pin(cron(&context, &source, &options)).await;
            if report.failure.as_ref().is_some_and(|failure| failure.kind != ErrorKind::Busy) {
                break report;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let (report, heard) = hearing(listener, runs).await;
    assert_eq!((report.failure.as_ref().unwrap().kind, proxy.pending()), (ErrorKind::Refused, 0), "{report:?}");
    assert!(report.steps.is_empty() && report.left.is_none());
    let kinds: Vec<_> = heard.iter().map(|one| one["failure"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["killed", ErrorKind::Refused.word()], "{heard:?}");
    let written = repository.store().get_small(&layout::lease(&context.database), 10_000).await.unwrap();
    let written: serde_json::Value = serde_json::from_slice(&written.bytes).unwrap();
    assert_eq!(written["holds_for_seconds"], 0);
    assert_eq!(written["history"]["failures"], serde_json::json!({"killed": 1}), "it is counted once");
}

#[tokio::test]
async fn a_run_that_another_has_overtaken_begins_nothing_and_leaves_the_kill_to_it() {
    let AfterAKill { folder: _folder, path, context, listener, source, options } = after_a_kill().await;
    let Ok(mut ours) = take(&context, &options).await else { panic!("it is free") };
    assert!(!ours.before().unwrap().ended, "it finds the kill");
    let others = write(&path, |record| record["nonce"] = "another".into());
    let (mut report, heard) =
        hearing(listener, with_lease(&context, &source, &options, &mut ours, Instant::now())).await;
    assert_eq!(heard, [serde_json::Value::Null; 0], "whoever has the lease tells of the kill");
    assert_eq!(report.failure.as_ref().unwrap(), &Failed::of_step(&Error::LeaseLost, false));
    let ends: Vec<StepEnd> = report.steps.iter().map(|one| one.end).collect();
    assert_eq!(ends, [StepEnd::Failed, StepEnd::NotRun, StepEnd::NotRun, StepEnd::NotRun]);
    assert!(report.steps[0].facts.is_none() && !report.recorded && report.events.contains(&CronEvent::Failed));
    assert_eq!(report.steps.swap_remove(0).failure.unwrap().kind, ErrorKind::CouldNotRun, "the server was not asked");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(written, others, "and nothing is taken back");
}

/// Taken over in the middle by another machine: counted once, and told once, whoever does.
#[tokio::test]
async fn a_run_that_is_overtaken_in_the_middle_is_counted_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::in_directory(folder.path()).await;
    let path = folder.path().join("shop/lease");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/hook", listener.local_addr().unwrap());
    let (source, options) = nowhere(Some(hook.clone()));
    let Ok(mut first) = take(&context, &options).await else { panic!("it is free") };
    // It stood still for an hour.
    write(&path, |_| {});
    let (_, second) = nowhere(Some(hook));
    let both = async {
        let overtaker = Box::pin(cron(&context, &source, &second)).await;
        (overtaker, with_lease(&context, &source, &options, &mut first, Instant::now()).await)
    };
    let ((overtaker, overtaken), heard) = hearing(listener, both).await;
    let kinds: Vec<_> = heard.iter().map(|one| one["failure"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["killed", "postgres"], "both by the second: {heard:?}");
    let counted = [("killed".to_owned(), 1), ("postgres".to_owned(), 1)].into();
    assert_eq!(overtaker.history.as_ref().unwrap().failures, counted);
    assert!(overtaken.failure.is_some() && overtaken.events.is_empty() && overtaken.left.is_none(), "{overtaken:?}");
    assert!(overtaken.warnings.iter().any(|one| one.contains("counts this one as killed")), "{overtaken:?}");
    // What its machine remembers adds nothing.
    let (source, mut third) = nowhere(None);
    third.unrecorded = left_in_the_file(std::slice::from_ref(&overtaken));
    assert_eq!(third.unrecorded.failures, [].into());
    let report = Box::pin(cron(&context, &source, &third)).await;
    assert_eq!(report.history.unwrap().failures["killed"], 1);
}

/// A run that failed as the repository did not answer.
fn unanswered(turn: &Turn, left: Option<LeaseLeft>) -> CronReport {
    let failure = Failed { kind: ErrorKind::Repository, message: String::new(), hint: None };
    let mut report = CronReport::refused("shop".parse().unwrap(), turn, failure);
    report.history = left.as_ref().and_then(|left| left.unwritten.clone()).map(|failures| CronHistory {
        failures,
        failing_since: Some(turn.began_at),
        ..CronHistory::default()
    });
    (report.left, report.events) = (left, vec![CronEvent::Failed]);
    report
}

#[tokio::test]
async fn through_an_outage_of_many_runs_each_failure_is_counted_and_told_once() {
    let folder = tempfile::tempdir().unwrap();
    drop(lease(folder.path()).await);
    let path = folder.path().join("shop/lease");
    let context = sample_context::in_directory(folder.path()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/hook", listener.local_addr().unwrap());
    // The first could not give its lease back; or was given up, or broke off; others came too early for the repository.
    let first = killed(&path);
    for unwritten in [None, Some([("repository".to_owned(), 1)].into())] {
        let left = LeaseLeft { turn: first.id.clone(), unwritten };
        let nights = [unanswered(&first, Some(left)), unanswered(&new_turn(), None), unanswered(&new_turn(), None)];
        let (source, mut options) = nowhere(None);
        options.unrecorded = left_in_the_file(&nights);
        assert_eq!(options.unrecorded.since.unwrap().timestamp(), first.began_at.timestamp());
        write(&path, |record| (record["nonce"], record["history"]) = (first.id.as_str().into(), serde_json::json!({})));
        killed(&path);
        let report = Box::pin(cron(&context, &source, &options)).await;
        let failures = report.history.unwrap().failures;
        assert_eq!(failures, [("postgres".to_owned(), 1), ("repository".to_owned(), 3)].into(), "none was killed");
    }
    // Written down all the same, where only the answer was lost.
    let left = Some(LeaseLeft { turn: first.id.clone(), unwritten: None });
    let (source, mut options) = nowhere(None);
    options.unrecorded = left_in_the_file(&[unanswered(&first, left), unanswered(&new_turn(), None)]);
    write(&path, |record| {
        (record["nonce"], record["holds_for_seconds"]) = (first.id.as_str().into(), 0.into());
        record["history"] = serde_json::json!({"failures": {"repository": 1}});
    });
    let report = Box::pin(cron(&context, &source, &options)).await;
    assert_eq!(report.history.unwrap().failures["repository"], 2);
    // Another one that was killed since is told, however many said how they ended.
    killed(&path);
    let (source, options) = nowhere(Some(hook));
    let options = CronOptions {
        unrecorded: Unrecorded {
            left: Some(LeftLease { turn: first.id, ..LeftLease::default() }),
            ..Unrecorded::default()
        },
        ..options
    };
    let (report, heard) = tokio::join!(Box::pin(cron(&context, &source, &options)), hear(listener, &path));
    assert_eq!(heard[0][0]["failure"]["kind"], "killed", "{heard:?}");
    assert_eq!(report.history.unwrap().failures["killed"], 1);
}
