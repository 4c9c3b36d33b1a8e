//! Every order in which the steps of one that withdraws a restore point and of one that relies on it can happen.
//!
//! The real code runs on a store in memory that lets one operation through at a time. Which, is chosen so that every
//! order is tried once; and each again with the withdrawal killed after each of its operations.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends where anything is wrong")]

mod outside;
mod publishing;
#[path = "../sample/mod.rs"]
mod sample;
mod schedule;
mod stepped;

use std::sync::Arc;

use holdpoint_core::{PointId, layout};
use holdpoint_repository::{Error, NoLongerHidden, ObjectStore, PinnedAnew, Repository, Withdrawal};
use serde_json::json;

use sample::{NOW, manifest, objects, shop};
use schedule::{Outcome, every_order, orders_interrupted};
use stepped::Memory;

/// The one restore point.
fn point() -> PointId {
    sample::point(1)
}

/// Stores what the restore point is made of.
fn store(memory: &Memory) {
    for (key, text) in objects(&point()) {
        memory.write(&key, text);
    }
}

/// A repository with one restore point.
async fn with_a_point() -> Memory {
    let memory = Memory::default();
    let repository = Repository::init(Arc::new(memory.clone()), NOW.parse().unwrap()).await.unwrap().0;
    store(&memory);
    repository.publish(&manifest(&point()), None).await.unwrap();
    memory
}

/// What one order ended in.
struct Ended {
    relied: bool,
    withdrawal: Option<Withdrawal>,
    memory: Memory,
}

/// Runs a pin against a withdrawal that is killed before its operation number `killed_at`.
async fn one_order(order: &mut schedule::Order, killed_at: Option<usize>) -> Ended {
    let memory = with_a_point().await;
    let (database, id) = (shop(), point());
    let relying = async |store: Arc<dyn ObjectStore>| {
        let repository = Repository::open(store).await.unwrap();
        repository.pin(&database, &id, "run-1", &json!({})).await.is_ok()
    };
    let withdrawing = async |store: Arc<dyn ObjectStore>| {
        let repository = Repository::open(store).await.unwrap();
        repository.withdraw(&database, &id, &[]).await.unwrap()
    };
    let Outcome { first, second } =
        schedule::run(order, &memory, Box::new(relying), Box::new(withdrawing), killed_at).await;
    Ended { relied: first.expect("nobody kills it"), withdrawal: second, memory }
}

/// Whoever may rely on a point finds it whole, and finds it still after the next withdrawal.
async fn hold(ended: &Ended) {
    let there = |key: &str| ended.memory.has(key);
    let whole = there(&layout::manifest(&shop(), &point())) && there(&layout::archive(&shop(), &point()));
    let pinned = there(&layout::pin(&shop(), &point(), "run-1"));
    if ended.relied {
        assert!(whole && pinned, "relied upon, and gone: {:?}", ended.memory);
    }
    match &ended.withdrawal {
        Some(Withdrawal::Done { remains, .. }) => {
            assert!(!ended.relied && remains.is_empty());
            // Nothing but the record of the repository, and perhaps the pin of one that was refused.
            assert!(!there(&layout::manifest(&shop(), &point())) && !there(&layout::archive(&shop(), &point())));
        }
        Some(Withdrawal::Pinned { pins }) => {
            assert_eq!(pins, &["run-1"]);
            assert!(whole, "it was to be as it was: {:?}", ended.memory);
        }
        Some(other) => panic!("{other:?}"),
        None => {}
    }
    // The next one finishes what was left, or leaves it to whoever relies on it.
    let repository = Repository::open(Arc::new(ended.memory.clone())).await.unwrap();
    ended.memory.let_time_pass();
    let next = repository.withdraw(&shop(), &point(), &[]).await.unwrap();
    match (ended.relied, next) {
        (true, Withdrawal::Pinned { .. }) => {
            repository.manifest(&shop(), &point()).await.expect("it is not hidden any more");
        }
        (false, Withdrawal::Done { .. } | Withdrawal::Gone) => {
            assert_eq!(ended.memory.keys(), ["holdpoint.json"]);
        }
        (relied, next) => panic!("relied: {relied}, then {next:?}"),
    }
}

#[tokio::test]
async fn one_of_the_two_always_sees_the_other() {
    let (mut relied, mut withdrawn, mut neither) = (0, 0, 0);
    let orders = every_order(async |order| {
        let ended = one_order(order, None).await;
        hold(&ended).await;
        match (&ended.withdrawal, ended.relied) {
            (Some(Withdrawal::Done { .. }), _) => withdrawn += 1,
            (_, true) => relied += 1,
            (_, false) => neither += 1,
        }
    })
    .await;
    assert!(orders > 250, "{orders} orders");
    assert!(relied > 0 && withdrawn > 0 && neither > 0, "{relied} relied, {withdrawn} withdrawn, {neither} neither");
}

#[tokio::test]
async fn a_withdrawal_that_is_killed_leaves_nothing_relied_upon_and_lost() {
    let mut killed_at = 0;
    loop {
        let mut completed = true;
        every_order(async |order| {
            let ended = one_order(order, Some(killed_at)).await;
            completed &= ended.withdrawal.is_some();
            hold(&ended).await;
        })
        .await;
        if completed {
            break;
        }
        killed_at += 1;
    }
    assert!(killed_at > 8, "{killed_at} operations of a withdrawal");
}

/// How long it took nobody knows then: it may have been taken for dead.
#[tokio::test]
async fn a_withdrawal_gives_up_where_the_clock_is_set_back_or_far_ahead_under_its_mark() {
    let (minute, second) = (chrono::TimeDelta::minutes(1), chrono::TimeDelta::seconds(1));
    for (by, gives_up) in [(-minute - second, true), (-minute, false), (minute * 2, false), (minute * 2 + second, true)]
    {
        let memory = with_a_point().await;
        let marked = || memory.keys().iter().any(|key| key.contains("/withdrawn/"));
        let (steps, mut asks) = tokio::sync::mpsc::unbounded_channel::<stepped::Step>();
        let stepped: Arc<dyn ObjectStore> = Arc::new(stepped::Stepped::new(&memory, steps));
        let withdrawing = async move {
            let repository = Repository::open(stepped).await.unwrap();
            repository.withdraw(&shop(), &point(), &[]).await
        };
        let moving = async {
            let mut moved = false;
            while let Some(step) = asks.recv().await {
                if marked() && !std::mem::replace(&mut moved, true) {
                    memory.set_clock(by);
                }
                step.let_through();
            }
            moved
        };
        let (withdrawn, moved) = tokio::join!(withdrawing, moving);
        assert!(moved);
        let stays = memory.has(&layout::manifest(&shop(), &point())) && memory.has(&layout::archive(&shop(), &point()));
        assert_eq!((stays, marked()), (gives_up, false), "{by}: {withdrawn:?}");
        match withdrawn {
            Err(Error::Timeout { action: "withdraw", .. }) => assert!(gives_up, "{by}"),
            Ok(Withdrawal::Done { remains, .. }) => assert!(!gives_up && remains.is_empty(), "{by}"),
            other => panic!("{by}: {other:?}"),
        }
    }
}

/// Runs one that removes a pin and writes it anew against a withdrawal that knows it as ended.
async fn pinned_anew(order: &mut schedule::Order) -> (bool, Withdrawal, Memory) {
    let memory = with_a_point().await;
    let (database, id) = (shop(), point());
    // The memory's clock stands at the beginning of 1970.
    let ended = json!({"format": 1, "reason": "r", "at": NOW, "until": "1970-01-01T00:00:00Z"});
    memory.write(&layout::pin(&database, &id, "audit"), &ended.to_string());
    let relying = async |store: Arc<dyn ObjectStore>| {
        let repository = Repository::open(store).await.unwrap();
        repository.unpin(&database, &id, "audit").await.unwrap();
        let anew = json!({"format": 1, "reason": "r", "at": NOW});
        repository.pin_new(&database, &id, "audit", &anew).await.is_ok()
    };
    let withdrawing = async |store: Arc<dyn ObjectStore>| {
        let repository = Repository::open(store).await.unwrap();
        repository.withdraw(&database, &id, &["audit".to_owned()]).await.unwrap()
    };
    let Outcome { first, second } = schedule::run(order, &memory, Box::new(relying), Box::new(withdrawing), None).await;
    (first.expect("nobody kills it"), second.expect("nobody kills it"), memory)
}

#[tokio::test]
async fn a_pin_that_is_written_anew_under_the_name_of_an_ended_one_is_seen() {
    let (mut relied, mut withdrawn) = (0, 0);
    orders_interrupted(4, async |order| {
        let (pinned, withdrawal, memory) = pinned_anew(order).await;
        let there = |key: &str| memory.has(key);
        let whole = there(&layout::manifest(&shop(), &point())) && there(&layout::archive(&shop(), &point()));
        match &withdrawal {
            Withdrawal::Done { .. } => {
                assert!(!pinned && !whole, "relied upon, and gone: {memory:?}");
                withdrawn += 1;
            }
            Withdrawal::Pinned { pins } => {
                assert_eq!(pins, &["audit"]);
                assert!(whole, "it was to be as it was: {memory:?}");
                assert_eq!(pinned, there(&layout::pin(&shop(), &point(), "audit")));
                relied += usize::from(pinned);
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
    assert!(relied > 0 && withdrawn > 0, "{relied} relied, {withdrawn} withdrawn");
}

/// Runs one that pins anew in the stead of a pin that is over against a withdrawal that knows it as ended, and that is killed
/// before its operation number `killed_at`.
async fn pinned_in_its_stead(
    order: &mut schedule::Order,
    killed_at: Option<usize>,
) -> (bool, Option<Withdrawal>, Memory) {
    let memory = with_a_point().await;
    let (database, id) = (shop(), point());
    let ended = json!({"format": 1, "reason": "r", "at": NOW, "until": "1970-01-01T00:00:00Z"});
    memory.write(&layout::pin(&database, &id, "audit"), &ended.to_string());
    let relying = async |store: Arc<dyn ObjectStore>| {
        let repository = Repository::open(store).await.unwrap();
        let anew = json!({"format": 1, "reason": "anew", "at": NOW});
        matches!(repository.pin_anew(&database, &id, "audit", &anew).await, Ok(PinnedAnew::Pinned))
    };
    let withdrawing = async |store: Arc<dyn ObjectStore>| {
        let repository = Repository::open(store).await.unwrap();
        repository.withdraw(&database, &id, &["audit".to_owned()]).await.unwrap()
    };
    let Outcome { first, second } =
        schedule::run(order, &memory, Box::new(relying), Box::new(withdrawing), killed_at).await;
    (first.expect("nobody kills it"), second, memory)
}

#[tokio::test]
async fn a_pin_in_the_stead_of_one_that_is_over_is_seen_or_refused() {
    let (mut relied, mut withdrawn, mut neither) = (0, 0, 0);
    orders_interrupted(4, async |order| {
        let (pinned, withdrawal, memory) = pinned_in_its_stead(order, None).await;
        let there = |key: &str| memory.has(key);
        let whole = there(&layout::manifest(&shop(), &point())) && there(&layout::archive(&shop(), &point()));
        match (withdrawal.expect("nobody kills it"), pinned) {
            (Withdrawal::Done { .. }, false) => {
                assert_eq!(memory.keys(), ["holdpoint.json"], "nothing is left of it");
                withdrawn += 1;
            }
            (Withdrawal::Pinned { pins }, _) => {
                assert_eq!(pins, ["audit"]);
                assert!(whole, "it was to be as it was: {memory:?}");
                assert!(!pinned || there(&layout::pin(&shop(), &point(), "audit")), "relied upon: {memory:?}");
                relied += usize::from(pinned);
                neither += usize::from(!pinned);
            }
            other => panic!("relied upon, and gone: {other:?}, {memory:?}"),
        }
    })
    .await;
    assert!(relied > 0 && withdrawn > 0 && neither > 0, "{relied} relied, {withdrawn} withdrawn, {neither} neither");
}

#[tokio::test]
async fn a_pin_in_the_stead_of_one_that_is_over_outlives_a_withdrawal_that_is_killed() {
    let (mut killed_at, mut relied) = (0, 0);
    loop {
        let mut completed = true;
        orders_interrupted(2, async |order| {
            let (pinned, withdrawal, memory) = pinned_in_its_stead(order, Some(killed_at)).await;
            completed &= withdrawal.is_some();
            relied += usize::from(pinned && withdrawal.is_none());
            memory.let_time_pass();
            let repository = Repository::open(Arc::new(memory.clone())).await.unwrap();
            let next = repository.withdraw(&shop(), &point(), &["audit".to_owned()]).await.unwrap();
            match (pinned, next) {
                (true, Withdrawal::Pinned { pins }) => {
                    assert_eq!(pins, ["audit"]);
                    repository.manifest(&shop(), &point()).await.expect("it is there, and not hidden any more");
                    assert!(memory.has(&layout::archive(&shop(), &point())), "{memory:?}");
                }
                // Who was refused may have written its pin all the same: it holds, as long as the point is there.
                (false, Withdrawal::Pinned { .. }) => {
                    assert!(memory.has(&layout::pin(&shop(), &point(), "audit")), "{memory:?}");
                }
                (false, Withdrawal::Done { .. } | Withdrawal::Gone) => {
                    assert_eq!(memory.keys(), ["holdpoint.json"]);
                }
                (pinned, next) => panic!("relied: {pinned}, then {next:?}, {memory:?}"),
            }
        })
        .await;
        if completed {
            break;
        }
        killed_at += 1;
    }
    assert!(killed_at > 8 && relied > 0, "{killed_at} operations of a withdrawal, {relied} relied");
}

/// Of two that pin anew in the stead of one that is over, one does, in every order; and no third takes its pin away.
#[tokio::test]
async fn of_two_that_replace_a_pin_that_is_over_one_does() {
    let (mut first_won, mut second_won) = (0, 0);
    every_order(async |order| {
        let memory = with_a_point().await;
        let (database, id) = (shop(), point());
        let ended = json!({"format": 1, "reason": "r", "at": NOW, "until": "1970-01-01T00:00:00Z"});
        memory.write(&layout::pin(&database, &id, "audit"), &ended.to_string());
        let pinning = async |store: Arc<dyn ObjectStore>, reason: &str| {
            let repository = Repository::open(store).await.unwrap();
            let anew = json!({"format": 1, "reason": reason, "at": NOW});
            repository.pin_anew(&database, &id, "audit", &anew).await
        };
        let one = async |store: Arc<dyn ObjectStore>| pinning(store, "one").await;
        let two = async |store: Arc<dyn ObjectStore>| pinning(store, "two").await;
        let Outcome { first, second } = schedule::run(order, &memory, Box::new(one), Box::new(two), None).await;
        let (first, second) = (first.unwrap(), second.unwrap());
        let winner = match (&first, &second) {
            (Ok(PinnedAnew::Pinned), Ok(PinnedAnew::Taken)) => "one",
            (Ok(PinnedAnew::Taken), Ok(PinnedAnew::Pinned)) => "two",
            other => panic!("{other:?}"),
        };
        (first_won, second_won) = (first_won + usize::from(winner == "one"), second_won + usize::from(winner == "two"));
        let repository = Repository::open(Arc::new(memory.clone())).await.unwrap();
        assert_eq!(repository.pin_record(&database, &id, "audit").await.unwrap().reason, winner);
    })
    .await;
    assert!(first_won > 0 && second_won > 0, "{first_won} {second_won}");
}

#[tokio::test]
async fn of_two_withdrawals_at_once_neither_fails_and_nothing_is_left() {
    let (mut both, mut one) = (0, 0);
    orders_interrupted(3, async |order| {
        let memory = with_a_point().await;
        let withdrawing = async |store: Arc<dyn ObjectStore>| {
            Repository::open(store).await.unwrap().withdraw(&shop(), &point(), &[]).await
        };
        let Outcome { first, second } =
            schedule::run(order, &memory, Box::new(withdrawing), Box::new(withdrawing), None).await;
        let ended = [first.unwrap().expect("it failed"), second.unwrap().expect("it failed")];
        let done = ended.iter().filter(|one| matches!(one, Withdrawal::Done { remains, .. } if remains.is_empty()));
        let gone = ended.iter().filter(|one| matches!(one, Withdrawal::Gone));
        match (done.count(), gone.count()) {
            (2, 0) => both += 1,
            (1, 1) => one += 1,
            _ => panic!("{ended:?}"),
        }
        assert_eq!(memory.keys(), ["holdpoint.json"]);
    })
    .await;
    assert!(both > 0 && one > 0, "{both} {one}");
}

/// Of two prunes that find what a killed one hid, the one shows it again, and the other drops it.
#[tokio::test]
async fn whoever_shows_again_what_another_one_drops_loses_nothing_and_fails_in_nothing() {
    let (mut shown, mut dropped, mut at_work) = (0, 0, 0);
    let orders = orders_interrupted(4, async |order| {
        let memory = with_a_point().await;
        memory.write(&format!("{}killed.json", layout::withdrawn(&shop(), &point())), "{}");
        memory.let_time_pass();
        let showing = async |store: Arc<dyn ObjectStore>| {
            Repository::open(store).await.unwrap().show_again(&shop(), &point()).await
        };
        let withdrawing = async |store: Arc<dyn ObjectStore>| {
            Repository::open(store).await.unwrap().withdraw(&shop(), &point(), &[]).await
        };
        let Outcome { first, second } =
            schedule::run(order, &memory, Box::new(showing), Box::new(withdrawing), None).await;
        match first.unwrap().expect("it failed") {
            Some(NoLongerHidden::Shown) => shown += 1,
            Some(NoLongerHidden::Dropped) => dropped += 1,
            None => at_work += 1,
        }
        assert!(matches!(second.unwrap().expect("it failed"), Withdrawal::Done { .. }));
        assert_eq!(memory.keys(), ["holdpoint.json"]);
    })
    .await;
    assert!(orders > 50 && shown > 0 && dropped > 0 && at_work > 0, "{orders}: {shown} {dropped} {at_work}");
}

#[tokio::test]
async fn verifications_beside_a_withdrawal_are_those_of_a_point_or_the_point_is_gone() {
    let (mut read, mut gone) = (0, 0);
    every_order(async |order| {
        let memory = with_a_point().await;
        let at = NOW.parse().unwrap();
        memory.write(&layout::verification(&shop(), &point(), at, "proved"), &sample::proof(&point()).to_string());
        let reading = async |store: Arc<dyn ObjectStore>| {
            Repository::open(store).await.unwrap().verifications(&shop(), &point()).await
        };
        let withdrawing = async |store: Arc<dyn ObjectStore>| {
            Repository::open(store).await.unwrap().withdraw(&shop(), &point(), &[]).await.unwrap()
        };
        let Outcome { first, .. } = schedule::run(order, &memory, Box::new(reading), Box::new(withdrawing), None).await;
        match first.unwrap() {
            Ok(_) => read += 1,
            Err(holdpoint_repository::Error::NotFound { key, .. }) => {
                assert_eq!(key, layout::manifest(&shop(), &point()));
                gone += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    })
    .await;
    assert!(read > 0 && gone > 0, "{read} {gone}");
}
