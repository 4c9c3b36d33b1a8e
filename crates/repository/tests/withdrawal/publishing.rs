//! Every order in which a backup publishes what a sweep takes for a leftover.

use std::sync::Arc;

use holdpoint_core::layout;
use holdpoint_repository::{Leftover, ManifestWrite, NoLongerHidden, ObjectStore, Repository};

use crate::sample::{NOW, manifest, objects, shop};
use crate::schedule::{self, Outcome, orders_interrupted};
use crate::stepped::Memory;
use crate::{point, store};

/// Who is killed, before which of its operations.
#[derive(Clone, Copy, Debug)]
enum Killed {
    Nobody,
    Sweep(usize),
    Backup(usize),
}

/// Runs both in one order; gives whether the one that may be killed came to its end, and what is left.
async fn one_order(order: &mut schedule::Order, killed: Killed) -> (Option<bool>, bool, Memory) {
    let memory = Memory::default();
    Repository::init(Arc::new(memory.clone()), NOW.parse().unwrap()).await.unwrap();
    store(&memory);
    let publishing = async |store: Arc<dyn ObjectStore>| {
        let repository = Repository::open(store).await.unwrap();
        repository.publish(&manifest(&point()), None).await.is_ok()
    };
    let sweeping = async |store: Arc<dyn ObjectStore>| {
        let repository = Repository::open(store).await.unwrap();
        let leftover = Leftover::Orphan { database: shop(), id: point(), size_bytes: 10, newest_at: None };
        repository.remove_leftover(&leftover).await.is_ok()
    };
    match killed {
        Killed::Nobody => {
            let Outcome { first, second } =
                schedule::run(order, &memory, Box::new(publishing), Box::new(sweeping), None).await;
            (first, second.is_some(), memory)
        }
        Killed::Sweep(at) => {
            let Outcome { first, second } =
                schedule::run(order, &memory, Box::new(publishing), Box::new(sweeping), Some(at)).await;
            (first, second.is_some(), memory)
        }
        Killed::Backup(at) => {
            let Outcome { first, second } =
                schedule::run(order, &memory, Box::new(sweeping), Box::new(publishing), Some(at)).await;
            assert!(first.is_some(), "nobody kills it");
            (second, second.is_some(), memory)
        }
    }
}

/// What was said to be published is whole, and stays; what is listed is whole; the rest goes with the next sweep.
///
/// But where the backup itself was killed between its manifest and its second look, nobody takes the manifest back.
async fn hold(published: Option<bool>, killed: Killed, memory: &Memory) {
    let whole = || objects(&point()).iter().all(|(key, _)| memory.has(key));
    let manifest_there = || memory.has(&layout::manifest(&shop(), &point()));
    if published == Some(true) {
        assert!(whole() && manifest_there(), "published, and gone: {memory:?}");
    }
    let repository = Repository::open(Arc::new(memory.clone())).await.unwrap();
    if !matches!(killed, Killed::Backup(_)) && !repository.points(&shop()).await.unwrap().is_empty() {
        assert!(whole(), "listed, and half of it is gone: {memory:?}");
    }
    memory.let_time_pass();
    // A sweep that was killed after its mark hides it: it is shown again, or known not to be whole.
    if manifest_there() {
        let shown = repository.show_again(&shop(), &point()).await;
        assert_eq!(shown.is_ok(), whole(), "{shown:?}: {memory:?}");
        if published == Some(true) {
            assert_eq!(shown.unwrap(), Some(NoLongerHidden::Shown));
            repository.manifest(&shop(), &point()).await.expect("it is not hidden any more");
        }
    } else {
        for leftover in repository.leftovers(&shop()).await.unwrap() {
            repository.remove_leftover(&leftover).await.unwrap();
        }
        assert_eq!(memory.keys(), ["holdpoint.json"]);
    }
}

#[tokio::test]
async fn what_is_published_is_whole_whoever_sweeps() {
    let (mut published, mut refused) = (0, 0);
    let orders = orders_interrupted(4, async |order| {
        let (ended, _, memory) = one_order(order, Killed::Nobody).await;
        hold(ended, Killed::Nobody, &memory).await;
        if ended == Some(true) { published += 1 } else { refused += 1 }
    })
    .await;
    assert!(orders > 250 && published > 0 && refused > 0, "{orders} orders: {published} published, {refused} refused");
}

#[tokio::test]
async fn whoever_of_the_two_is_killed_nothing_half_is_listed() {
    for of in [Killed::Sweep as fn(usize) -> Killed, Killed::Backup] {
        let mut at = 0;
        loop {
            let mut completed = true;
            orders_interrupted(3, async |order| {
                let (published, ended, memory) = one_order(order, of(at)).await;
                completed &= ended;
                hold(published, of(at), &memory).await;
            })
            .await;
            if completed {
                break;
            }
            at += 1;
        }
        assert!(at > 8, "{at} operations");
    }
}

/// Whoever stands still after its look looks again before it asks the store to write the manifest: killed wherever, there is
/// none over nothing.
#[tokio::test]
async fn whoever_stood_still_for_days_writes_no_manifest_over_nothing() {
    for swept in [true, false] {
        let memory = Memory::default();
        let repository = Repository::init(Arc::new(memory.clone()), NOW.parse().unwrap()).await.unwrap().0;
        store(&memory);
        let manifest = manifest(&point());
        let ready = repository.ready(&manifest).await.unwrap();
        (0..72).for_each(|_| memory.let_time_pass());
        if swept {
            for leftover in repository.leftovers(&shop()).await.unwrap() {
                repository.remove_leftover(&leftover).await.unwrap();
            }
        }
        let writes = memory.writes();
        match ready.publish(None).await {
            Ok(_) => assert!(!swept && memory.writes() == writes + 1),
            Err(not) => {
                assert!(swept, "{not}");
                assert_eq!((not.manifest, memory.writes()), (ManifestWrite::NeverAsked, writes), "{not}");
                assert_eq!(memory.keys(), ["holdpoint.json"]);
            }
        }
    }
}
