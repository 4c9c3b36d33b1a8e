//! The lease on a database: one run at a time, whoever asks, and what is remembered.

use std::sync::Arc;
use std::time::Duration;

use holdpoint_core::cron::{CronHistory, Turn, TurnBefore};
use holdpoint_core::layout;
use holdpoint_repository::{Error, Lease, LeaseTaken, LocalDirectory, ObjectStore, PutOptions, Repository};
use holdpoint_testkit::{Fault, SeenRequest};

use crate::engine::{Spoiled, spoiled, timing};
use crate::on_both::on_both;
use crate::sample::shop;

const LONG: Duration = Duration::from_secs(900);

async fn repository(store: Arc<dyn ObjectStore>) -> Repository {
    Repository::init(store, "2026-11-21T02:43:00Z".parse().unwrap()).await.unwrap().0
}

async fn take(repository: &Repository, owner: &str, holds_for: Duration) -> LeaseTaken {
    repository.take_lease(&shop(), owner, &turn(owner), holds_for).await.unwrap()
}

/// A turn of this id, of a moment that all share.
fn turn(id: &str) -> Turn {
    Turn { id: id.to_owned(), began_at: "2026-11-21T02:43:00Z".parse().unwrap() }
}

fn before(id: &str, ended: bool) -> TurnBefore {
    TurnBefore { turn: id.to_owned(), began_at: turn(id).began_at, ended }
}

fn ours(taken: LeaseTaken) -> Lease {
    match taken {
        LeaseTaken::Ours(lease) => *lease,
        other => panic!("it is another's: {other:?}"),
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
    assert_eq!((lease.before(), lease.history()), (None, &CronHistory::default()));
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
    assert_eq!((next.history(), next.before().unwrap().ended), (&history, true), "it was released, not killed");
    assert_eq!(store.list_children("").await.unwrap(), ["holdpoint.json", "shop"].map(str::to_owned)[1..]);
}

async fn a_killed_run_keeps_others_off_until_its_time_is_over(store: Arc<dyn ObjectStore>) {
    let repository = repository(store).await;
    let mut killed = ours(take(&repository, "killed", Duration::from_secs(1)).await);
    let mut next = loop {
        // As long as the requests below may take on a busy machine.
        match take(&repository, "next", Duration::from_secs(6)).await {
            LeaseTaken::Ours(lease) => break lease,
            other => assert!(matches!(&other, LeaseTaken::Others { owner, .. } if owner == "killed"), "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(next.before(), Some(&before("killed", false)));
    // It was not dead after all: it hears that it has lost it, and takes nothing back.
    assert!(!killed.renew().await.unwrap());
    assert!(!killed.release(CronHistory::default()).await.unwrap());
    let LeaseTaken::Others { owner, .. } = take(&repository, "late", LONG).await else { panic!("taken twice") };
    assert_eq!(owner, "next");
    // What is remembered while it runs outlives it when it is killed, too.
    let kill = next.history().clone().after_a_kill(next.before().unwrap().began_at);
    assert!(next.remember(kill.clone()).await.unwrap());
    let third = loop {
        match take(&repository, "third", LONG).await {
            LeaseTaken::Ours(lease) => break lease,
            other => assert!(matches!(&other, LeaseTaken::Others { owner, .. } if owner == "next"), "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((third.history(), third.before()), (&kill, Some(&before("next", false))));
}

async fn a_damaged_lease_keeps_others_off_as_long_as_any(store: Arc<dyn ObjectStore>) {
    let repository = repository(store.clone()).await;
    let key = layout::lease(&shop());
    for text in ["", "nothing", "{\"format\": 1, \"owner\": 5}"] {
        store.put_new(&key, text.into(), PutOptions::default()).await.unwrap();
        let refused = repository.take_lease(&shop(), "x", &turn("x"), LONG).await.unwrap_err();
        assert!(matches!(refused, Error::InvalidRecord { .. }), "{refused:?}");
        assert_eq!(store.get_small(&key, 100).await.unwrap().bytes, text);
        let mut lease = loop {
            match repository.take_lease(&shop(), "next", &turn("next"), Duration::from_secs(1)).await {
                Ok(LeaseTaken::Ours(lease)) => break lease,
                Err(Error::InvalidRecord { .. }) => tokio::time::sleep(Duration::from_millis(50)).await,
                other => panic!("{other:?}"),
            }
        };
        assert!(lease.was_unreadable() && lease.before().is_none());
        assert_eq!(lease.history(), &CronHistory::default());
        assert!(lease.release(CronHistory::default()).await.unwrap());
        assert!(!ours(take(&repository, "after", LONG).await).was_unreadable());
        store.delete(&key).await.unwrap();
    }
}

async fn who_lost_its_lease_knows_whether_it_is_counted(store: Arc<dyn ObjectStore>) {
    let repository = repository(store.clone()).await;
    let short = Duration::from_secs(1);
    let lost = ours(take(&repository, "lost", short).await);
    assert!(!lost.is_overtaken().await.unwrap(), "it has it still");
    let mut next = ours(next_of(&repository, "next", LONG).await);
    assert!(lost.is_overtaken().await.unwrap(), "from the very write by which it was taken over");
    // Whoever comes after it has not taken it over, and tells what was counted.
    let counted = next.history().clone().after_a_kill(turn("lost").began_at);
    assert!(next.release(counted).await.unwrap());
    let third = ours(take(&repository, "third", LONG).await);
    assert!(lost.is_overtaken().await.unwrap());
    assert!(!next.is_overtaken().await.unwrap(), "it gave it back");
    // Removed by hand, and made anew: nobody knows of it.
    store.delete(&layout::lease(&shop())).await.unwrap();
    assert!(!third.is_overtaken().await.unwrap());
    ours(take(&repository, "fourth", LONG).await);
    assert!(!third.is_overtaken().await.unwrap());
}

on_both!(
    one_run_at_a_time,
    a_killed_run_keeps_others_off_until_its_time_is_over,
    a_damaged_lease_keeps_others_off_as_long_as_any,
    who_lost_its_lease_knows_whether_it_is_counted,
);

fn writes(request: &SeenRequest) -> bool {
    request.operation() == "PutObject" && request.target.contains("/lease")
}

fn looks(request: &SeenRequest) -> bool {
    request.operation() == "HeadObject" && request.target.contains("/lease")
}

/// A lease that a killed run left, in a store behind a proxy.
async fn left_behind_a_proxy() -> (Spoiled, Repository) {
    let spoiled = spoiled(timing()).await;
    let repository = repository(Arc::new(spoiled.store.clone())).await;
    ours(take(&repository, "killed", Duration::from_secs(1)).await);
    (spoiled, repository)
}

/// Takes it when the time of whoever has it is over.
async fn next_of(repository: &Repository, owner: &str, holds_for: Duration) -> LeaseTaken {
    loop {
        match take(repository, owner, holds_for).await {
            LeaseTaken::Others { .. } => tokio::time::sleep(Duration::from_millis(50)).await,
            taken => return taken,
        }
    }
}

#[tokio::test]
async fn a_lease_whose_answer_is_lost_still_tells_whom_it_was_taken_from() {
    let (spoiled, repository) = left_behind_a_proxy().await;
    // The write is done; tried again it is refused, and the store does not tell whose object it is.
    spoiled.proxy.push_when(writes, Fault::LoseResponse);
    spoiled.proxy.push_when(looks, Fault::ReplaceHeader { name: "x-amz-meta-holdpoint-nonce", value: "none" });
    let lease = ours(next_of(&repository, "next", LONG).await);
    assert_eq!(spoiled.proxy.pending(), 0);
    assert_eq!(lease.before(), Some(&before("killed", false)));
}

#[tokio::test]
async fn a_lease_of_which_nobody_knows_is_found_by_the_next_as_that_turns() {
    let (spoiled, repository) = left_behind_a_proxy().await;
    spoiled.proxy.push_when(writes, Fault::LoseResponse);
    (1..timing().attempts).for_each(|_| spoiled.proxy.push_when(writes, Fault::s3_error(503, "SlowDown")));
    (0..timing().attempts).for_each(|_| spoiled.proxy.push_when(looks, Fault::s3_error(503, "SlowDown")));
    let taken = next_of(&repository, "unanswered", Duration::from_secs(1)).await;
    assert!(matches!(&taken, LeaseTaken::Unanswered(error) if error.is_transient()), "{taken:?}");
    assert_eq!(spoiled.proxy.pending(), 0);
    let lease = ours(next_of(&repository, "next", LONG).await);
    assert_eq!(lease.before(), Some(&before("unanswered", false)));
}

#[tokio::test]
async fn a_lease_that_cannot_be_read_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(Arc::new(LocalDirectory::new(directory.path()).unwrap())).await;
    std::fs::create_dir(directory.path().join("shop")).unwrap();
    for (text, newer) in [("{\"format\": 99}", true), ("nothing", false)] {
        std::fs::write(directory.path().join("shop/lease"), text).unwrap();
        let refused = repository.take_lease(&shop(), "x", &turn("x"), LONG).await;
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

#[tokio::test]
async fn a_damaged_lease_of_the_future_ages_from_now_on() {
    let directory = tempfile::tempdir().unwrap();
    let repository = repository(Arc::new(LocalDirectory::new(directory.path()).unwrap())).await;
    std::fs::create_dir(directory.path().join("shop")).unwrap();
    let path = directory.path().join("shop/lease");
    std::fs::write(&path, "nothing").unwrap();
    let modified = || std::fs::metadata(&path).unwrap().modified().unwrap();
    let future = modified() + Duration::from_secs(10 * 86_400);
    std::fs::File::open(&path).unwrap().set_modified(future).unwrap();
    repository.take_lease(&shop(), "x", &turn("x"), LONG).await.unwrap_err();
    assert!(modified() < future);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "nothing");
}
