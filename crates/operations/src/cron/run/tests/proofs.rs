//! What a run reads of the repository's proofs before its steps and after them.

use holdpoint_core::cron::StepEnd;
use holdpoint_core::layout;
use holdpoint_testkit::{Fault, Rule};

use super::*;
use crate::sample_context::sample;

#[tokio::test]
async fn a_proof_is_found_and_nothing_is_asked_once_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::with_a_point(Arc::new(LocalDirectory::new(folder.path()).unwrap())).await;
    assert!(!proven(&context).await);
    let id = sample::point(1);
    let sha256 = context.repository.manifest(&context.database, &id).await.unwrap().sha256;
    let mut made = sample::proof(&id);
    made["manifest_sha256"] = sha256.into();
    let made = serde_json::from_value(made).unwrap();
    context.repository.record_verification(&context.database, &made).await.unwrap();
    assert!(proven(&context).await);
    context.cancel.cancel();
    assert!(!proven(&context).await);
}

/// What lost an object since it was proven is proven for nobody who asks whether another proof is due.
#[tokio::test]
async fn a_proof_of_what_is_not_all_there_any_more_is_none() {
    use holdpoint_core::verification::Level;
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::with_a_point(Arc::new(LocalDirectory::new(folder.path()).unwrap())).await;
    let id = sample::point(1);
    sample_context::date(folder.path(), &id);
    let mut made = sample::proof(&id);
    made["manifest_sha256"] = context.repository.manifest(&context.database, &id).await.unwrap().sha256.into();
    let made = serde_json::from_value(made).unwrap();
    context.repository.record_verification(&context.database, &made).await.unwrap();
    let ((source, options), history) = (nowhere(None), CronHistory::default());
    let steps = Steps::new(&context, &source, &options, &history);
    assert_eq!(steps.proven_at(Level::Full).await.unwrap(), Some(made.started_at));
    let found = outlook(&context, None).await.unwrap();
    assert_eq!((found.proofs.len(), &found.proofs[0].point), (1, &id));
    context.repository.store().delete(&layout::archive(&context.database, &id)).await.unwrap();
    assert_eq!(steps.proven_at(Level::Stored).await.unwrap(), None);
    assert_eq!(outlook(&context, None).await.unwrap().proofs, []);
}

#[tokio::test]
async fn a_signal_in_the_last_look_is_told() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    sample_context::publish(&context.repository).await;
    let (cancel, read) = (context.cancel.clone(), std::sync::atomic::AtomicUsize::new(0));
    // Read first to see whether it is proven, and then to tell what the repository holds.
    let rule = Rule::new(Fault::Silence).operation("GetObject").target("manifest.json").when(move |_| {
        let second = read.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 1;
        if second {
            cancel.cancel();
        }
        second
    });
    proxy.rule(rule);
    let (source, options) = nowhere(None);
    let report = cron(&context, &source, &options).await;
    assert_eq!((proxy.pending(), report.steps[0].end), (0, StepEnd::Failed), "{report:?}");
    let told = report.warnings.join(" ");
    assert!(report.outlook.is_none() && told.contains("what the repository holds could not be read"), "{report:?}");
    // The run ends as its steps did.
    assert_eq!(report.failure, report.steps[0].failure);
    assert_ne!(report.failure.unwrap().kind, ErrorKind::Interrupted);
}
