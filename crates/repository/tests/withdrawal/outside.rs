//! A pin against the withdrawal of what lies elsewhere for the most part, as a snapshot of an instance does: what somebody relies
//! on is not dropped there either, whatever is killed.

use std::sync::Arc;

use futures_util::FutureExt as _;
use holdpoint_core::layout;
use holdpoint_repository::{ObjectStore, Repository, Withdrawal};
use serde_json::json;

use super::schedule::{self, Outcome, every_order, orders_interrupted};
use super::{point, shop, with_a_point};

/// What lies elsewhere: no folder of a database.
const ELSEWHERE: &str = "elsewhere/snapshot";

async fn withdraw(store: Arc<dyn ObjectStore>) -> Withdrawal {
    let repository = Repository::open(Arc::clone(&store)).await.unwrap();
    let outside = async move {
        store.delete(ELSEWHERE).await.unwrap();
        Ok(())
    };
    repository.withdraw_with(&shop(), &point(), &[], Some(outside.boxed())).await.unwrap()
}

/// Runs both, the withdrawal killed before its operation number `killed_at`; whether the one relies, and how the other ended.
async fn one_order(order: &mut schedule::Order, killed_at: Option<usize>) -> (bool, Option<Withdrawal>) {
    let memory = with_a_point().await;
    memory.write(ELSEWHERE, "rows");
    let relying = async |store: Arc<dyn ObjectStore>| {
        let repository = Repository::open(store).await.unwrap();
        repository.pin(&shop(), &point(), "run-1", &json!({})).await.is_ok()
    };
    let Outcome { first, second } =
        schedule::run(order, &memory, Box::new(relying), Box::new(withdraw), killed_at).await;
    let relied = first.expect("nobody kills it");
    let there = || memory.has(ELSEWHERE) && memory.has(&layout::manifest(&shop(), &point()));
    assert!(!relied || there(), "relied upon, and gone: {memory:?}");
    match &second {
        Some(Withdrawal::Done { .. }) => assert!(!relied && !memory.has(ELSEWHERE), "{memory:?}"),
        Some(Withdrawal::Pinned { .. }) => assert!(there(), "it was to be as it was: {memory:?}"),
        Some(other) => panic!("{other:?}"),
        None => {}
    }
    memory.let_time_pass();
    match (relied, withdraw(Arc::new(memory.clone())).await) {
        (true, Withdrawal::Pinned { .. }) => {
            assert!(there(), "{memory:?}");
            let repository = Repository::open(Arc::new(memory.clone())).await.unwrap();
            repository.recorded(&shop(), &point()).await.expect("it is not hidden any more");
        }
        (false, Withdrawal::Done { .. } | Withdrawal::Gone) => assert_eq!(memory.keys(), ["holdpoint.json"]),
        (relied, next) => panic!("relied: {relied}, then {next:?}"),
    }
    (relied, second)
}

#[tokio::test]
async fn what_lies_elsewhere_is_dropped_where_nobody_relies_on_it() {
    let (mut relied, mut withdrawn) = (0, 0);
    every_order(async |order| {
        let (relies, ended) = one_order(order, None).await;
        relied += usize::from(relies);
        withdrawn += usize::from(matches!(ended, Some(Withdrawal::Done { .. })));
    })
    .await;
    assert!(relied > 0 && withdrawn > 0, "{relied} relied, {withdrawn} withdrawn");
}

#[tokio::test]
async fn a_withdrawal_that_is_killed_drops_nothing_elsewhere_that_is_relied_upon() {
    let mut killed_at = 0;
    loop {
        let mut completed = true;
        orders_interrupted(2, async |order| completed &= one_order(order, Some(killed_at)).await.1.is_some()).await;
        if completed {
            break;
        }
        killed_at += 1;
    }
    assert!(killed_at > 9, "{killed_at} operations");
}
