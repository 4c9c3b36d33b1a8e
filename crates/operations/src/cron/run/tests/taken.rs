//! How a lease is taken: whether it stands although nobody answered, what a store must promise first, and one that is damaged.

use holdpoint_core::layout;
use holdpoint_testkit::{Fault, SeenRequest};

use super::*;
use crate::sample_context::ATTEMPTS;

/// The lease of which the answer to its write is lost may stand: it is that run's, and no killed one's.
#[tokio::test]
async fn a_run_that_does_not_know_whether_it_has_the_lease_says_so() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    let writes = |request: &SeenRequest| request.operation() == "PutObject" && request.target.contains("/lease");
    let looks = |request: &SeenRequest| request.operation() == "HeadObject" && request.target.contains("/lease");
    proxy.push_when(writes, Fault::LoseResponse);
    (1..ATTEMPTS).for_each(|_| proxy.push_when(writes, Fault::s3_error(503, "SlowDown")));
    (0..ATTEMPTS).for_each(|_| proxy.push_when(looks, Fault::s3_error(503, "SlowDown")));
    let (source, options) = nowhere(None);
    let report = Box::pin(cron(&context, &source, &options)).await;
    assert_eq!((proxy.pending(), report.failure.as_ref().unwrap().kind), (0, ErrorKind::Repository), "{report:?}");
    let left = report.left.as_ref().unwrap();
    assert_eq!((&left.turn, report.events.as_slice()), (&options.turn.id, &[CronEvent::Failed][..]));
    let written = context.repository.store().get_small(&layout::lease(&context.database), 10_000).await.unwrap();
    let written: serde_json::Value = serde_json::from_slice(&written.bytes).unwrap();
    assert_eq!(written["nonce"], options.turn.id.as_str(), "it was written");
    // One that never got so far leaves none.
    let reads = |request: &SeenRequest| request.operation() == "GetObject" && request.target.contains("/lease");
    // It is asked for once more, as a list shows that it is there.
    (0..2).for_each(|_| proxy.push_when(reads, Fault::s3_error(403, "AccessDenied")));
    let (source, options) = nowhere(None);
    let report = Box::pin(cron(&context, &source, &options)).await;
    assert_eq!((proxy.pending(), report.failure.as_ref().unwrap().kind), (0, ErrorKind::Repository), "{report:?}");
    assert!(report.left.is_none(), "{report:?}");
}

#[tokio::test]
async fn a_run_whose_store_cannot_be_asked_for_conditions_leaves_the_lease_free() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    // Taking the lease where there is none asks for a create-only write, and so does the proof.
    let creates = |request: &SeenRequest| {
        request.operation() == "PutObject"
            && request.header("if-none-match").is_some()
            && request.target.contains("/lease")
    };
    proxy.push_when(creates, Fault::Pass);
    proxy.push_when(creates, Fault::s3_error(403, "AccessDenied"));
    let (source, options) = nowhere(None);
    let report = Box::pin(cron(&context, &source, &options)).await;
    assert_eq!(report.failure.as_ref().unwrap().kind, ErrorKind::Repository, "{report:?}");
    assert!(report.steps.is_empty());
    assert_eq!(proxy.pending(), 0);
    let written = context.repository.store().get_small(&layout::lease(&context.database), 10_000).await.unwrap();
    let written: serde_json::Value = serde_json::from_slice(&written.bytes).unwrap();
    assert_eq!(written["holds_for_seconds"], 0);
}

#[tokio::test]
async fn a_damaged_lease_is_told_and_taken_over_when_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::in_directory(folder.path()).await;
    std::fs::create_dir(folder.path().join("shop")).unwrap();
    let path = folder.path().join("shop/lease");
    std::fs::write(&path, "{").unwrap();
    let (source, options) = nowhere(None);
    let report = Box::pin(cron(&context, &source, &options)).await;
    let failure = report.failure.as_ref().unwrap();
    assert_eq!((failure.kind, report.events.as_slice()), (ErrorKind::Repository, &[CronEvent::Failed][..]));
    assert!(failure.hint.as_ref().unwrap().contains("a quarter of an hour old"), "{failure:?}");
    let file = std::fs::File::open(&path).unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - HOLDS_FOR).unwrap();
    let (source, options) = nowhere(None);
    let report = Box::pin(cron(&context, &source, &options)).await;
    assert_eq!(report.failure.as_ref().unwrap().kind, ErrorKind::Postgres, "it was at work: {report:?}");
    assert!(report.warnings.iter().any(|one| one.contains("could not be read, and was taken over")), "{report:?}");
    assert!(report.recorded);
}
