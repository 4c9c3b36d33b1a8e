//! The faults of a store at each phase of a prune.

use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use holdpoint_repository::Timing;

use super::*;

/// Requests of a prune, in the order in which it comes to them.
const PHASES: [(&str, &str); 12] = [
    ("ListObjects", "restore-points"),
    ("HeadBucket", ""),
    ("GetObject", "manifest.json"),
    ("GetObject", "verifications"),
    ("ListObjects", "pins"),
    ("GetObject", "pins"),
    ("HeadObject", "archive.dump"),
    ("PutObject", "withdrawn"),
    ("HeadObject", "withdrawn"),
    ("DeleteObject", "manifest.json"),
    ("DeleteObjects", ""),
    ("ListMultipartUploads", ""),
];

fn faults() -> Vec<Fault> {
    vec![
        Fault::s3_error(500, "InternalError"),
        Fault::s3_error(503, "SlowDown"),
        Fault::answer(429, ""),
        Fault::s3_error(400, "ExpiredToken"),
        Fault::ResetAtOnce,
        Fault::ResetAfterRequestBytes(30),
        Fault::ResetAfterResponseBytes(30),
        Fault::CloseAfterResponseBytes(30),
        Fault::LoseResponse,
        Fault::FlipResponseByte(30),
        Fault::StopReading,
        Fault::StallAfterResponseBytes(30),
        Fault::Trickle(Duration::from_millis(500)),
        Fault::Silence,
    ]
}

/// Whether a request can meet it: what nobody compares with a checksum is not told from what was sent.
fn applies(fault: &Fault, operation: &str) -> bool {
    !matches!(fault, Fault::FlipResponseByte(_)) || operation == "GetObject"
}

/// Two proven restore points, the older one with a pin that is over, and objects of one that never was.
async fn prepared(attempts: u32) -> (Context, holdpoint_testkit::FaultProxy) {
    let second = Duration::from_secs(1);
    let (answer_for, first_pause) = (second * 3 / 2, second / 50);
    let timing = Timing { attempts, first_pause, answer_for, stall_for: second, ..Timing::default() };
    let (context, proxy) = sample_context::behind_a_proxy_with(timing).await;
    for n in [1, 2] {
        let at = sample_context::now() - TimeDelta::seconds(60 - 10 * n);
        let id = publish_at(&context, n.cast_unsigned(), Some(at)).await;
        judged(&context, &id, "proved", sample_context::now()).await;
    }
    let over = pin_until(Some(sample_context::now() - TimeDelta::days(1)));
    context.repository.pin_new(&context.database, &sample::point(1), "audit", &over).await.unwrap();
    let orphan = layout::archive(&context.database, &sample::point(9));
    context.repository.store().put_new(&orphan, "rows".into(), PutOptions::default()).await.unwrap();
    (context, proxy)
}

fn dropping() -> PruneOptions {
    let policy = RetentionPolicy { minimum_age: TimeDelta::zero(), ..keeping_the_last().policy };
    PruneOptions { policy, ..keeping_the_last() }
}

/// In the end the newest one is there, whole and proven, and nothing of any other.
async fn assert_pruned(context: &Context, after: &str) {
    let newest = sample::point(2);
    let mut left: Vec<String> = Vec::new();
    let mut pages = context.repository.store().list("shop/restore-points/");
    while let Some(page) = pages.try_next().await.unwrap() {
        left.extend(page.into_iter().map(|one| one.key));
    }
    let strange: Vec<_> = left.iter().filter(|key| !key.contains(newest.as_str())).collect();
    assert!(strange.is_empty(), "{after}: {strange:?}");
    let point = crate::catalogue::list(context).await.unwrap().points.remove(0);
    assert!(point.id == newest && point.is_proven_and_there(), "{after}: {point:?}");
}

#[tokio::test]
async fn each_fault_at_each_phase_is_got_over_when_it_comes_once() {
    let began = Instant::now();
    join_all(faults().into_iter().map(async |fault| {
        let (context, proxy) = prepared(6).await;
        for (operation, target) in PHASES.into_iter().filter(|(operation, _)| applies(&fault, operation)) {
            proxy.rule(Rule::new(fault.clone()).operation(operation).target(target));
        }
        let report = prune(&context, None, &dropping()).await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        assert_eq!(proxy.pending(), 0, "{fault:?}: not every phase met it");
        assert!(report.is_complete() && report.dropped.len() == 1 && report.swept.len() == 1, "{fault:?}: {report:#?}");
        assert_pruned(&context, &format!("{fault:?}")).await;
    }))
    .await;
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_phase_that_fails_for_good_is_told_and_the_next_prune_ends_it() {
    for (operation, target) in PHASES {
        let (context, proxy) = prepared(1).await;
        proxy.rule(Rule::new(Fault::s3_error(503, "SlowDown")).operation(operation).target(target).always());
        let ended = prune(&context, None, &dropping()).await;
        let told = match &ended {
            Ok(report) => !report.is_complete(),
            Err(error) => error.line().contains("too busy"),
        };
        assert!(told && proxy.met() > 0, "{operation} {target}: {} {ended:#?}", proxy.met());
        proxy.clear();
        let newest = context.repository.recorded(&context.database, &sample::point(2)).await;
        assert!(newest.is_ok(), "{operation} {target}: {newest:?}");
        prune(&context, None, &dropping()).await.unwrap();
        assert_pruned(&context, &format!("{operation} {target}")).await;
    }
}
