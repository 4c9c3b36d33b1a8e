//! What is remembered of a run where its lease is given back late, is gone, or nobody was told.

use tokio::time::sleep;

use super::*;
use crate::cron::remembered::{released, unwritten};

#[tokio::test]
async fn a_lease_whose_release_fails_for_a_while_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let mut ours = lease(folder.path()).await;
    let path = folder.path().join("shop/lease");
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "unreadable").unwrap();
    let history = CronHistory { failures: [("postgres".to_owned(), 1)].into(), ..CronHistory::default() };
    let pauses = [Duration::from_millis(1); 3];
    released(&mut ours, &history, &pauses).await.unwrap_err();
    let back = async {
        sleep(Duration::from_millis(20)).await;
        std::fs::write(&path, &whole).unwrap();
    };
    let pauses = vec![Duration::from_millis(10); 6000];
    let (released, ()) = tokio::join!(released(&mut ours, &history, &pauses), back);
    assert!(released.unwrap());
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((&written["holds_for_seconds"], &written["history"]["failures"]["postgres"]), (&0.into(), &1.into()));
}

#[tokio::test]
async fn what_a_run_could_not_write_down_is_what_the_repository_does_not_count() {
    let counts = |counts: &[(&str, u64)]| CronHistory {
        failures: counts.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
        ..CronHistory::default()
    };
    let more =
        unwritten(&counts(&[("killed", 1), ("postgres", 3), ("usage", 2)]), &counts(&[("postgres", 2), ("usage", 2)]));
    assert_eq!(more, [("killed".to_owned(), 1), ("postgres".to_owned(), 1)].into());
}

/// The lease was removed by hand, and made anew: nobody else counts the run.
#[tokio::test]
async fn a_run_whose_lease_is_gone_failed_and_says_so_itself() {
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::in_directory(folder.path()).await;
    let (_, options) = nowhere(None);
    let Ok(mut lease) = take(&context, &options).await else { panic!("it is free") };
    std::fs::remove_file(folder.path().join("shop/lease")).unwrap();
    let mut report = CronReport::new(context.database.clone(), &options.turn);
    remember(&context, &options, &mut lease, CronHistory::default(), false, &mut report).await;
    assert_eq!(report.failure.as_ref().unwrap(), &Failed::of_step(&Error::LeaseLost, false), "although no step failed");
    let history = report.history.as_ref().unwrap();
    assert_eq!((report.events.as_slice(), history.succeeded_at), (&[CronEvent::Failed][..], None));
    assert_eq!(left_in_the_file(std::slice::from_ref(&report)).left.unwrap().failures["could_not_run"], 1);
}

/// A first proof that the webhook did not take is told by the next run, whatever becomes of that, and once.
#[tokio::test]
async fn what_nobody_took_is_told_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    drop(lease(folder.path()).await);
    let path = folder.path().join("shop/lease");
    write(&path, |record| {
        record["holds_for_seconds"] = 0.into();
        record["history"] = serde_json::json!({"first_proven_at": "2026-11-20T02:43:00Z", "untold": ["first_proof"]});
    });
    let context = sample_context::in_directory(folder.path()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hook = format!("http://{}/hook", listener.local_addr().unwrap());
    let untold = || {
        let record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        record["history"]["untold"].clone()
    };
    for (status, left) in [("400 x", serde_json::json!(["first_proof"])), ("200 OK", serde_json::Value::Null)] {
        let (source, options) = nowhere(Some(hook.clone()));
        let hearing = async { [answer_one(&listener, status).await, answer_one(&listener, status).await] };
        let (report, heard) = tokio::join!(Box::pin(cron(&context, &source, &options)), hearing);
        let events = heard.map(|one| one["event"].as_str().unwrap().to_owned());
        assert_eq!(events, ["failed", "first_proof"], "{report:?}");
        assert_eq!(untold(), left, "{report:?}");
        assert_eq!(report.warnings.len(), if left.is_null() { 0 } else { 2 }, "{report:?}");
    }
    let (source, options) = nowhere(None);
    let report = Box::pin(cron(&context, &source, &options)).await;
    assert_eq!(report.events, [CronEvent::Failed]);
}
