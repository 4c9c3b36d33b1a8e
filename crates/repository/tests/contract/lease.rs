//! The lease on a database: one run at a time, whoever asks, and what is remembered.

use std::sync::Arc;
use std::time::Duration;

use holdpoint_core::cron::CronHistory;
use holdpoint_repository::{Error, Lease, LeaseTaken, LocalDirectory, ObjectStore, Repository};

use crate::on_both::on_both;
use crate::sample::shop;

const LONG: Duration = Duration::from_secs(900);

async fn repository(store: Arc<dyn ObjectStore>) -> Repository {
    Repository::init(store, "2026-11-21T02:43:00Z".parse().unwrap()).await.unwrap().0
}

async fn take(repository: &Repository, owner: &str, holds_for: Duration) -> LeaseTaken {
    repository.take_lease(&shop(), owner, holds_for, "2026-11-21T02:43:00Z".parse().unwrap()).await.unwrap()
}

fn ours(taken: LeaseTaken) -> Lease {
    match taken {
        LeaseTaken::Ours(lease) => *lease,
        LeaseTaken::Others { owner, .. } => panic!("{owner} has it"),
    }
}

async fn one_run_at_a_time(store: Arc<dyn ObjectStore>) {
    let repository = repository(store.clone()).await;
    let asked = (0..8).map(|n| {
        let repository = repository.clone();
        async move { take(&repository, &format!("machine-{n}"), LONG).await }
    });
    let mut got: Vec<Lease> = Vec::new();
    for taken in futures_util::future::join_all(asked).await {
        if let LeaseTaken::Ours(lease) = taken {
            got.push(*lease);
        }
    }
    assert_eq!(got.len(), 1, "of many that ask at once one gets it");
    let mut lease = got.remove(0);
    assert!(lease.proves_conditional_writes().await.unwrap());
    assert_eq!((lease.killed_at(), lease.history()), (None, &CronHistory::default()));
    for _ in 0..3 {
        assert!(lease.renew().await.unwrap());
    }
    let LeaseTaken::Others { owner, until, .. } = take(&repository, "late", LONG).await else { panic!("taken twice") };
    assert!(owner.starts_with("machine-") && until > store.server_time().await.unwrap(), "{owner} {until}");
    let history = CronHistory { failures: [("postgres".to_owned(), 2)].into(), ..CronHistory::default() };
    assert!(repository.cron_history(&shop()).await.unwrap().begun_at.is_some(), "a run that has not ended has begun");
    assert!(lease.release(history.clone()).await.unwrap());
    assert_eq!(repository.cron_history(&shop()).await.unwrap(), history);
    let next = ours(take(&repository, "next", LONG).await);
    assert_eq!((next.history(), next.killed_at()), (&history, None), "it was released, not killed");
    assert_eq!(store.list_children("").await.unwrap(), ["holdpoint.json", "shop"].map(str::to_owned)[1..]);
}

async fn a_killed_run_keeps_others_off_until_its_time_is_over(store: Arc<dyn ObjectStore>) {
    let repository = repository(store).await;
    let mut killed = ours(take(&repository, "killed", Duration::from_secs(1)).await);
    let mut next = loop {
        // As long as the requests below may take on a busy machine.
        match take(&repository, "next", Duration::from_secs(6)).await {
            LeaseTaken::Ours(lease) => break lease,
            LeaseTaken::Others { owner, .. } => assert_eq!(owner, "killed"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(next.killed_at(), Some("2026-11-21T02:43:00Z".parse().unwrap()));
    // It was not dead after all: it hears that it has lost it, and takes nothing back.
    assert!(!killed.renew().await.unwrap());
    assert!(!killed.release(CronHistory::default()).await.unwrap());
    let LeaseTaken::Others { owner, .. } = take(&repository, "late", LONG).await else { panic!("taken twice") };
    assert_eq!(owner, "next");
    // What is remembered while it runs outlives it when it is killed, too.
    let kill = next.history().clone().after_a_kill(next.killed_at().unwrap());
    assert!(next.remember(kill.clone()).await.unwrap());
    let third = loop {
        match take(&repository, "third", LONG).await {
            LeaseTaken::Ours(lease) => break lease,
            LeaseTaken::Others { owner, .. } => assert_eq!(owner, "next"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((third.history(), third.killed_at().is_some()), (&kill, true));
}

on_both!(one_run_at_a_time, a_killed_run_keeps_others_off_until_its_time_is_over);

#[tokio::test]
async fn a_lease_that_cannot_be_read_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(Arc::new(LocalDirectory::new(directory.path()).unwrap())).await;
    std::fs::create_dir(directory.path().join("shop")).unwrap();
    for (text, newer) in [("{\"format\": 99}", true), ("nothing", false)] {
        std::fs::write(directory.path().join("shop/lease"), text).unwrap();
        let refused = repository.take_lease(&shop(), "x", LONG, "2026-11-21T02:43:00Z".parse().unwrap()).await;
        let error = refused.unwrap_err();
        assert_eq!(matches!(error, Error::NewerFormat { .. }), newer, "{error}");
        assert_eq!(std::fs::read_to_string(directory.path().join("shop/lease")).unwrap(), text);
    }
}

#[tokio::test]
async fn a_lease_of_the_future_keeps_others_off_no_longer_than_one_of_now() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(Arc::new(LocalDirectory::new(directory.path()).unwrap())).await;
    let mut lease = ours(take(&repository, "before", LONG).await);
    let path = directory.path().join("shop/lease");
    let modified = || std::fs::metadata(&path).unwrap().modified().unwrap();
    let future = modified() + Duration::from_secs(10 * 86_400);
    std::fs::File::open(&path).unwrap().set_modified(future).unwrap();
    let LeaseTaken::Others { until, .. } = take(&repository, "late", LONG).await else { panic!("taken twice") };
    assert!(std::time::SystemTime::from(until) < future, "{until}");
    assert!(modified() < future, "from now on it ages");
    assert!(lease.renew().await.unwrap(), "its owner still knows it");
    assert!(lease.release(CronHistory::default()).await.unwrap());
}
