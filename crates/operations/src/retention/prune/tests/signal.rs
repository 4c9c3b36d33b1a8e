//! A signal in a prune, and in a check.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use holdpoint_testkit::FaultProxy;

use super::*;

/// A stalled answer is waited for longer than that.
const AT_ONCE: Duration = Duration::from_secs(40);

/// Does the work, of which requests meet the rule's fault, and gives the signal once one did.
async fn signalled<T>(
    (context, proxy): (&Context, &FaultProxy),
    (what, rule): (&str, Rule),
    work: impl AsyncFnOnce(Context) -> Result<T, Error>,
) -> Result<T, Error> {
    proxy.clear();
    let met = proxy.met();
    proxy.rule(rule.always());
    let context = Context { cancel: tokio_util::sync::CancellationToken::new(), ..context.clone() };
    let signal = async {
        let began = Instant::now();
        while proxy.met() == met {
            assert!(began.elapsed() < Duration::from_secs(120), "{what}: nobody asks for it");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        context.cancel.cancel();
        Instant::now()
    };
    let work = async {
        let ended = work(context.clone()).await;
        assert!(proxy.met() > met, "{what}: nobody asks for it");
        ended
    };
    let (ended, at) = tokio::join!(work, signal);
    assert!(at.elapsed() < AT_ONCE, "{what}: it took {:?} to end", at.elapsed());
    proxy.clear();
    ended
}

/// Planning is reading: whoever ends a prune does not wait until a store has answered.
#[tokio::test]
async fn a_signal_ends_what_a_prune_and_a_check_read_at_once() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    publish_at(&context, 1, Some(sample_context::now() - TimeDelta::seconds(20))).await;
    let newest = publish_at(&context, 2, Some(sample_context::now() - TimeDelta::seconds(10))).await;
    judged(&context, &newest, "proved", sample_context::now()).await;
    let of_both = [
        ("HeadBucket", ""),
        ("ListObjects", "identities"),
        ("ListObjects", "restore-points"),
        ("GetObject", "manifest.json"),
        ("GetObject", "verifications"),
        ("HeadObject", "archive.dump"),
        ("ListMultipartUploads", ""),
    ];
    // Reading finds both damaged and records that: what comes after it comes last.
    let first = std::iter::once((("GetObject", "index.jsonl.zst"), true));
    let both = of_both.into_iter().flat_map(|one| [(one, false), (one, true)]);
    for ((operation, target), checks) in first.chain(both).chain([(("GetObject", "lease"), true)]) {
        let rule = Rule::new(Fault::Silence).operation(operation).target(target);
        let what = format!("{operation} {target}, {checks}");
        let ended = signalled((&context, &proxy), (&what, rule), async |context| match checks {
            false => prune(&context, None, &keeping_the_last()).await.map(drop),
            true => check(&context, &CheckOptions { read_data: Some(100), ..LOOKING }).await.map(drop),
        });
        let ended = ended.await;
        assert!(matches!(ended, Err(Error::Interrupted)), "{what}: {ended:?}");
    }
}

/// What is gone by then was told by nobody else.
#[tokio::test]
async fn a_signal_after_the_first_drop_ends_a_prune_with_a_report_of_what_is_gone() {
    // Before the second goes, and when both have gone.
    for (operation, target, dropped) in [("HeadObject", "archive.dump", 1), ("ListMultipartUploads", "", 2)] {
        let (context, proxy) = sample_context::behind_a_proxy().await;
        let reader = "reading-20200101T000000Z-0000000000000001";
        for n in 1..=3_u64 {
            let at = sample_context::now() - TimeDelta::seconds(60 - 10 * n.cast_signed());
            let (id, pin) = (publish_at(&context, n, Some(at)).await, pin_until(Some(at)));
            context.repository.pin_new(&context.database, &id, reader, &pin).await.unwrap();
        }
        judged(&context, &sample::point(3), "proved", sample_context::now()).await;
        let (first, kept) = (AtomicBool::new(false), layout::point(&context.database, &sample::point(3)));
        let rule = Rule::new(Fault::Silence).when(move |request| {
            // Its manifest goes first.
            if request.operation() == "DeleteObject" && request.target.contains("manifest.json") {
                first.store(true, Ordering::SeqCst);
            }
            let of_kept = operation == "ListMultipartUploads" || request.target.contains(&kept);
            let fits = request.operation() == operation && request.target.contains(target) && of_kept;
            fits && first.load(Ordering::SeqCst)
        });
        let policy = RetentionPolicy { minimum_age: TimeDelta::zero(), ..keeping_the_last().policy };
        let dropping = PruneOptions { policy, ..keeping_the_last() };
        let ended = signalled((&context, &proxy), (operation, rule), async |context| {
            prune(&context, None, &dropping).await //
        });
        let report = ended.await.unwrap();
        assert!(report.interrupted && !report.is_complete() && report.swept.is_empty(), "{report:?}");
        assert!(report.warnings.iter().any(|one| one.contains("a signal ended it")), "{report:?}");
        let gone: Vec<_> = report.dropped.iter().map(|one| (one.point.clone(), &one.outcome)).collect();
        assert_eq!(gone.len(), dropped, "{report:?}");
        let left: Vec<_> = (dropped as u64 + 1..=2).map(sample::point).collect();
        assert_eq!(report.left, left, "{report:?}");
        for (n, (point, outcome)) in gone.iter().enumerate() {
            assert_eq!(*point, sample::point(n as u64 + 1));
            assert!(matches!(outcome, Outcome::Gone { .. }), "{report:?}");
        }
        let there: Vec<_> = (dropped as u64 + 1..=3).map(sample::point).collect();
        assert_eq!(context.repository.points(&context.database).await.unwrap(), there);
        // Of the pins what went with its restore point; a reader's that is over waits for the next prune until all is dropped.
        let with_point = report.pins.iter().filter(|pin| pin.with_point && pin.problem.is_none()).count();
        assert_eq!((with_point, report.pins.len()), (dropped, dropped + usize::from(dropped == 2)), "{report:?}");
        let next = prune(&context, None, &dropping).await.unwrap();
        assert!(next.is_complete() && !next.interrupted && next.dropped.len() == 2 - dropped, "{next:?}");
        assert_eq!(context.repository.points(&context.database).await.unwrap(), [sample::point(3)]);
    }
}
