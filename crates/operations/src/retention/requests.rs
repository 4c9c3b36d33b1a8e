//! How many requests each look at a repository makes, in all and for each restore point: the numbers of `docs/scale.md`.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use holdpoint_core::pin::PinRecord;
use holdpoint_core::retention::RetentionPolicy;
use holdpoint_repository::PutOptions;
use holdpoint_testkit::FaultProxy;

use super::{PruneOptions, outlook, prune};
use crate::Context;
use crate::catalogue::list;
use crate::check::check;
use crate::sample_context::{self, LOOKING, now, sample};

/// The pin of each restore point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pinned {
    No,
    ByHand,
    Over,
}

/// Makes restore points with these numbers, each proven in full, and pinned by hand where that is asked for.
async fn make(context: &Context, numbers: std::ops::RangeInclusive<u64>, pinned: Pinned) {
    let repository = &context.repository;
    for n in numbers {
        let id = sample::point(n);
        for (key, text) in sample::objects(&id) {
            repository.store().put_new(&key, text.into(), PutOptions::default()).await.unwrap();
        }
        let mut manifest = sample::manifest(&id);
        manifest.repository_id = repository.id().to_owned();
        manifest.snapshot.at = now() - TimeDelta::seconds(60 - n.cast_signed());
        repository.publish(&manifest, None).await.unwrap();
        let mut proof = sample::proof(&id);
        proof["manifest_sha256"] = repository.manifest(&context.database, &id).await.unwrap().sha256.into();
        proof["started_at"] = serde_json::to_value(now()).unwrap();
        repository.record_verification(&context.database, &serde_json::from_value(proof).unwrap()).await.unwrap();
        if pinned != Pinned::No {
            let until = (pinned == Pinned::Over).then(|| now() - TimeDelta::days(1));
            let pin = PinRecord { format: 1, reason: "r".to_owned(), at: now(), until, run: None, operator: None };
            repository.pin_new(&context.database, &id, "audit", &pin).await.unwrap();
        }
    }
}

/// The requests of the work, as `LIST GET HEAD others`.
async fn counted(proxy: &FaultProxy, work: impl Future<Output = ()>) -> [usize; 4] {
    let before = proxy.requests().len();
    work.await;
    let mut counts = BTreeMap::<&str, usize>::new();
    for one in &proxy.requests()[before..] {
        let kind = match one.operation() {
            "ListObjects" | "ListMultipartUploads" => "LIST",
            "GetObject" => "GET",
            "HeadObject" | "HeadBucket" => "HEAD",
            _ => "others",
        };
        *counts.entry(kind).or_default() += 1;
    }
    ["LIST", "GET", "HEAD", "others"].map(|kind| counts.get(kind).copied().unwrap_or_default())
}

/// What each look costs: with no rule that lets one go, and with nothing to sweep.
async fn looks(context: &Context, proxy: &FaultProxy) -> [(&'static str, [usize; 4]); 4] {
    let policy = RetentionPolicy { last: 100, ..RetentionPolicy::default() };
    let pruning = PruneOptions { policy: policy.clone(), dry_run: false, sweep_min_age: TimeDelta::days(3) };
    [
        ("list", counted(proxy, async { drop(list(context).await.unwrap()) }).await),
        ("prune", counted(proxy, async { drop(prune(context, None, &pruning).await.unwrap()) }).await),
        ("check", counted(proxy, async { drop(check(context, &LOOKING).await.unwrap()) }).await),
        ("outlook", counted(proxy, async { drop(outlook(context, Some(&policy)).await.unwrap()) }).await),
    ]
}

#[tokio::test]
async fn a_restore_point_costs_each_look_so_many_requests() {
    let mut costs = BTreeMap::new();
    for pinned in [Pinned::No, Pinned::ByHand, Pinned::Over] {
        let (context, proxy) = sample_context::behind_a_proxy().await;
        make(&context, 1..=3, pinned).await;
        let few = looks(&context, &proxy).await;
        make(&context, 4..=8, pinned).await;
        let more = looks(&context, &proxy).await;
        for ((look, few), (_, more)) in few.into_iter().zip(more) {
            let each: Vec<usize> = few.iter().zip(more).map(|(few, more)| (more - few) / 5).collect();
            let besides: Vec<usize> = few.iter().zip(&each).map(|(few, each)| few - 3 * each).collect();
            assert!(few.iter().zip(more).all(|(few, more)| (more - few) % 5 == 0), "{look}: {few:?} {more:?}");
            costs.insert((look, pinned), (each, besides));
        }
    }
    // As LIST, GET, HEAD and others: for each restore point, and besides.
    let wanted = [
        (("list", Pinned::No), ([3, 2, 0, 0], [1, 0, 1, 0])),
        (("list", Pinned::ByHand), ([3, 3, 0, 0], [1, 0, 1, 0])),
        (("list", Pinned::Over), ([3, 3, 0, 0], [1, 0, 1, 0])),
        // Each fills a place, so its objects are looked at.
        (("prune", Pinned::No), ([3, 2, 3, 0], [5, 0, 1, 1])),
        (("prune", Pinned::ByHand), ([4, 4, 3, 0], [5, 0, 1, 1])),
        (("prune", Pinned::Over), ([3, 3, 3, 0], [5, 0, 1, 1])),
        (("check", Pinned::No), ([3, 2, 3, 0], [6, 1, 1, 0])),
        (("check", Pinned::ByHand), ([3, 3, 3, 0], [6, 1, 1, 0])),
        (("check", Pinned::Over), ([3, 3, 3, 0], [6, 1, 1, 0])),
        (("outlook", Pinned::No), ([3, 2, 0, 0], [2, 0, 4, 0])),
        (("outlook", Pinned::ByHand), ([4, 4, 0, 0], [2, 0, 4, 0])),
        (("outlook", Pinned::Over), ([3, 3, 0, 0], [2, 0, 4, 0])),
    ];
    let wanted = wanted.map(|(look, (each, besides))| (look, (each.to_vec(), besides.to_vec())));
    assert_eq!(costs, BTreeMap::from(wanted));
}
