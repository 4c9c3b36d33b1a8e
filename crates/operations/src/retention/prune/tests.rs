use std::path::Path;

use holdpoint_core::layout;
use holdpoint_repository::{PutOptions, UploadOptions, Withdrawal};
use holdpoint_testkit::{Fault, Rule, SeenRequest};

use super::planned::far_past;
use super::*;
use crate::catalogue::survey;
use crate::check::{CheckOptions, CheckReport, FindingKind, check};
use crate::sample_context::{self, LOOKING, sample};

fn keeping_the_last() -> PruneOptions {
    let policy = RetentionPolicy { last: 1, ..RetentionPolicy::default() };
    PruneOptions { policy, dry_run: false, sweep_min_age: TimeDelta::seconds(-60) }
}

/// A repository with one restore point that was made in it.
async fn with_a_point(folder: &Path) -> Context {
    let context = sample_context::in_directory(folder).await;
    publish(&context, 1).await;
    context
}

/// Makes a restore point in the repository, which no clock vouches for.
async fn publish(context: &Context, n: u64) -> PointId {
    publish_at(context, n, None).await
}

/// Makes a restore point in the repository, of this time.
async fn publish_at(context: &Context, n: u64, at: Option<DateTime<Utc>>) -> PointId {
    let id = sample::point(n);
    for (key, text) in sample::objects(&id) {
        context.repository.store().put_new(&key, text.into(), PutOptions::default()).await.unwrap();
    }
    let mut manifest = sample::manifest(&id);
    manifest.repository_id = context.repository.id().to_owned();
    manifest.snapshot.at = at.unwrap_or(manifest.snapshot.at);
    context.repository.publish(&manifest, None).await.unwrap();
    id
}

/// Records what a verification of level *full* found at an instant.
async fn judged(context: &Context, id: &PointId, verdict: &str, at: DateTime<Utc>) {
    let mut made = sample::proof(id);
    made["verdict"] = verdict.into();
    made["started_at"] = serde_json::to_value(at).unwrap();
    made["manifest_sha256"] = context.repository.manifest(&context.database, id).await.unwrap().sha256.into();
    let made = serde_json::from_value(made).unwrap();
    context.repository.record_verification(&context.database, &made).await.unwrap();
}

fn pin_until(until: Option<DateTime<Utc>>) -> holdpoint_core::pin::PinRecord {
    let (reason, at) = ("release".to_owned(), sample_context::now());
    holdpoint_core::pin::PinRecord { format: 1, reason, at, until, run: None, operator: None }
}

#[tokio::test]
async fn restore_points_of_another_repository_are_not_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::in_directory(folder.path()).await;
    // The sample was made elsewhere.
    sample_context::publish(&context.repository).await;
    let before = context.repository.store().list_children("shop/restore-points/").await.unwrap();
    let refused = prune(&context, None, &keeping_the_last()).await.unwrap_err();
    assert!(matches!(&refused, Error::AnotherRepository { made_in, .. } if made_in == "r"), "{refused:?}");
    assert_eq!(context.repository.store().list_children("shop/restore-points/").await.unwrap(), before);
}

#[tokio::test]
async fn a_prune_removes_unfinished_uploads_that_are_old() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let store = context.repository.store();
    let key = layout::archive(&context.database, &sample::point(2));
    let mut upload = store.begin_upload(&key, UploadOptions::default()).await.unwrap();
    upload.write("rows".into()).await.unwrap();
    // As a kill leaves it.
    std::mem::forget(upload);
    let prefix = layout::database(&context.database);
    assert_eq!(store.list_uploads(&prefix).await.unwrap().len(), 1);
    let young = PruneOptions { sweep_min_age: TimeDelta::hours(1), ..keeping_the_last() };
    assert!(prune(&context, None, &young).await.unwrap().swept.is_empty());
    assert_eq!(store.list_uploads(&prefix).await.unwrap().len(), 1);
    let report = prune(&context, None, &keeping_the_last()).await.unwrap();
    assert!(
        report.is_complete() && report.swept.iter().any(|one| one.what.contains("unfinished upload")),
        "{report:?}"
    );
    assert_eq!(store.list_uploads(&prefix).await.unwrap().len(), 0);
}

#[tokio::test]
async fn an_empty_folder_that_a_killed_prune_left_goes_once_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let left = folder.path().join(layout::point(&context.database, &sample::point(2)));
    std::fs::create_dir_all(left.join("withdrawn")).unwrap();
    let young = PruneOptions { sweep_min_age: TimeDelta::hours(1), ..keeping_the_last() };
    for options in [young, PruneOptions { dry_run: true, ..keeping_the_last() }] {
        prune(&context, None, &options).await.unwrap();
        assert!(left.join("withdrawn").exists(), "{options:?}");
    }
    prune(&context, None, &keeping_the_last()).await.unwrap();
    assert!(!left.exists());
    assert_eq!(context.repository.points(&context.database).await.unwrap(), [sample::point(1)]);
}

#[tokio::test]
async fn what_cannot_be_shown_again_makes_a_prune_fail_unless_another_one_is_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let report = prune(&context, None, &keeping_the_last()).await.unwrap();
    let hidden = |failed| PruneReport {
        hidden: vec![Hidden { problem: Some(String::new()), failed, ..Hidden::new(sample::point(2), None) }],
        ..report.clone()
    };
    assert!(report.is_complete() && hidden(false).is_complete() && !hidden(true).is_complete());
    assert_eq!(serde_json::to_value(hidden(true)).unwrap()["hidden"][0]["failed"], true);
    // A sweep was killed after it had begun with its objects.
    let id = sample::point(1);
    let mark = format!("{}0.json", layout::withdrawn(&context.database, &id));
    context.repository.store().put_new(&mark, "{}".into(), PutOptions::default()).await.unwrap();
    let young = dead::show_again(&context, &id).await.unwrap_err();
    assert!(!young.failed && young.reason.contains("quarter of an hour"), "{}", young.reason);
    let file = std::fs::File::open(folder.path().join(&mark)).unwrap();
    let long_ago = file.metadata().unwrap().modified().unwrap() - std::time::Duration::from_secs(3600);
    file.set_modified(long_ago).unwrap();
    context.repository.store().delete(&layout::archive(&context.database, &id)).await.unwrap();
    let failed = dead::show_again(&context, &id).await.unwrap_err();
    assert!(failed.failed && failed.reason.contains("archive"), "{}", failed.reason);
}

/// Between what a prune found hidden and its showing it again, another one dropped it.
#[tokio::test]
async fn what_another_prune_dropped_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let kept = prune(&context, None, &keeping_the_last()).await.unwrap();
    let id = sample::point(1);
    let entry = kept.plan.keeps().next().unwrap().clone();
    let mark = format!("{}0.json", layout::withdrawn(&context.database, &id));
    context.repository.store().put_new(&mark, "{}".into(), PutOptions::default()).await.unwrap();
    context.repository.withdraw(&context.database, &id, &[]).await.unwrap();
    let mut hidden = vec![Hidden::new(id, Some(entry))];
    hidden::show(&context, &mut hidden).await;
    assert!(hidden[0].dropped_by_another && !hidden[0].shown && hidden[0].problem.is_none(), "{hidden:?}");
    assert!(PruneReport { hidden, ..kept }.is_complete());
}

/// The store fails to tell of one upload what it tells of the others.
#[tokio::test]
async fn an_odd_upload_is_told_and_the_others_are_swept() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    let store = context.repository.store();
    for n in 2..=4 {
        let key = layout::archive(&context.database, &sample::point(n));
        let options = UploadOptions { expected_bytes: 64 << 20, ..UploadOptions::default() };
        let mut upload = store.begin_upload(&key, options).await.unwrap();
        upload.write(bytes::Bytes::from(vec![7; 20 << 20])).await.unwrap();
        std::mem::forget(upload);
    }
    let prefix = layout::database(&context.database);
    while store.list_uploads(&prefix).await.unwrap().len() < 3 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let odd = layout::archive(&context.database, &sample::point(3));
    let parts = move |request: &SeenRequest| request.operation() == "ListParts" && request.target.contains(&odd);
    for _ in 0..sample_context::ATTEMPTS {
        proxy.push_when(parts.clone(), Fault::s3_error(500, "InternalError"));
    }
    let (options, now) = (keeping_the_last(), store.server_time().await.unwrap());
    let found = dead::look(&context, options.sweep_min_age, now).await.unwrap();
    assert_eq!((found.leftovers.len(), found.unaged.len(), proxy.pending()), (2, 1, 0));
    // What can be swept is, and the rest is told as not removed.
    let report = sweep(&context, &options, found).await;
    let told: Vec<_> = report.iter().filter_map(|one| Some((&one.what, one.problem.as_ref()?))).collect();
    let [(what, problem)] = told.as_slice() else { panic!("{report:?}") };
    assert!(what.contains(sample::point(3).as_str()) && problem.contains("InternalError"), "{told:?}");
    assert_eq!(store.list_uploads(&prefix).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_clock_that_nobody_else_vouches_for_is_told_where_it_is_far_past_the_newest_point() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let (points, _) = survey(&context, sample_context::now()).await.unwrap();
    let newest = points[0].summary.taken_at();
    assert_eq!(far_past(&points, newest + TimeDelta::days(13)), None);
    let told = far_past(&points, newest + TimeDelta::days(14)).unwrap();
    assert!(told.contains("14 days old") && told.contains("--offline"), "{told}");
}

/// Nothing but its age tells what lost its manifest from what never had one.
#[tokio::test]
async fn what_lacks_nothing_but_its_manifest_is_told_and_swept_by_whoever_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let lost = publish(&context, 2).await;
    context.repository.store().delete(&layout::manifest(&context.database, &lost)).await.unwrap();
    let told = async |options: &PruneOptions| {
        let report = prune(&context, None, options).await.unwrap();
        let told: Vec<_> = report.warnings.into_iter().filter(|one| one.contains(lost.as_str())).collect();
        (told.join(" "), report.swept.len())
    };
    let days = PruneOptions { sweep_min_age: TimeDelta::days(3), ..keeping_the_last() };
    assert_eq!(told(&days).await, (String::new(), 0), "its backup may be at its end right now");
    // Who asks for less than that is told.
    let (young, _) = told(&PruneOptions { dry_run: true, ..keeping_the_last() }).await;
    assert!(
        young.contains("lack nothing but manifest.json") && young.contains("a backup that is at its end"),
        "{young}"
    );
    let aged = |by: std::time::Duration| {
        for (key, _) in sample::objects(&lost) {
            let file = std::fs::File::open(folder.path().join(key)).unwrap();
            let at = file.metadata().unwrap().modified().unwrap() - by;
            file.set_modified(at).unwrap();
        }
    };
    aged(std::time::Duration::from_secs(3600));
    let words = |then: &str| {
        format!(
            "the objects of {lost} lack nothing but manifest.json: their backup was killed right before its end, or the \
             manifest is lost. {then}"
        )
    };
    let later = words(
        "No prune removes them: to keep them, bring it back from a version or copy; to give them up, once they are old enough: \
         holdpoint check --repair",
    );
    assert_eq!(told(&days).await, (later.clone(), 0));
    let noted = |report: CheckReport| {
        report.notes.into_iter().filter(|one| one.contains(lost.as_str())).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(noted(check(&context, &LOOKING).await.unwrap()), later);
    aged(std::time::Duration::from_secs(4 * 86_400));
    let report = check(&context, &LOOKING).await.unwrap();
    let leftovers = report.findings.iter().filter(|one| one.kind == FindingKind::Leftover);
    let cures: Vec<&str> = leftovers.map(|one| one.cure.as_str()).collect();
    assert_eq!(cures, ["to keep them: bring manifest.json back; else: holdpoint check --repair"]);
    assert_eq!(noted(report), later);
    let archive = folder.path().join(layout::archive(&context.database, &lost));
    let done = words("They were old enough, and are swept: only versions or copies of the repository have them now");
    for dry_run in [true, false, false] {
        assert_eq!(told(&PruneOptions { dry_run, ..days.clone() }).await, (later.clone(), 0));
        assert!(archive.exists(), "whoever is told of it may bring its manifest back");
    }
    // Who asks for it was told.
    let repaired = check(&context, &CheckOptions { repair: true, ..LOOKING }).await.unwrap();
    assert_eq!((noted(repaired), archive.exists()), (done, false));
}

#[tokio::test]
async fn nothing_goes_because_of_a_restore_point_of_another_database() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let record = |database: &str| {
        let mut identity = sample::identity();
        identity["database"] = database.into();
        let text = serde_json::json!({"format": 1, "identity": identity, "recorded_at": sample::NOW, "reason": "r"});
        serde_json::from_value(text).unwrap()
    };
    let aside = async || {
        let report = prune(&context, None, &PruneOptions { dry_run: true, ..keeping_the_last() }).await.unwrap();
        report.plan.entries[0].aside.clone()
    };
    assert_eq!(aside().await, None, "nobody knows");
    context.repository.record_identity(&context.database, &record("crm")).await.unwrap();
    assert_eq!(aside().await, Some(holdpoint_core::retention::Aside::AnotherDatabase));
    context.repository.record_identity(&context.database, &record("shop")).await.unwrap();
    assert_eq!(aside().await, None);
}

/// What a manifest says decides whether more than its folder goes: one that cannot be read now is no archive because of it.
#[tokio::test]
async fn a_manifest_that_cannot_be_read_keeps_its_restore_point() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    sample_context::publish(&context.repository).await;
    let id = sample::point(1);
    let key = layout::manifest(&context.database, &id);
    for _ in 0..sample_context::ATTEMPTS {
        let key = key.clone();
        let reads = move |request: &SeenRequest| request.operation() == "GetObject" && request.target.contains(&key);
        proxy.push_when(reads, Fault::s3_error(503, "SlowDown"));
    }
    let outcome = dead::withdraw(&context, &id, &[]).await;
    assert!(matches!(&outcome, Some(Outcome::Failed { reason }) if !reason.is_empty()), "{outcome:?}");
    assert_eq!(proxy.pending(), 0);
    context.repository.store().head(&key).await.expect("it is there as before");
    let outcome = dead::withdraw(&context, &id, &[]).await;
    assert!(matches!(outcome, Some(Outcome::Gone { .. })), "{outcome:?}");
}

/// Verdicts are dated by the store's clock, so a machine that is two hours behind does not take the newest for one of the future.
#[tokio::test]
async fn what_was_disproved_and_proven_again_is_weighed_by_the_clock_that_dated_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut context = with_a_point(folder.path()).await;
    let (old, new) = (sample::point(1), publish(&context, 2).await);
    [&old, &new].into_iter().for_each(|id| sample_context::date(folder.path(), id));
    let now = context.repository.store().server_time().await.unwrap();
    judged(&context, &old, "proved", now - TimeDelta::hours(5)).await;
    judged(&context, &new, "disproved", now - TimeDelta::hours(4)).await;
    judged(&context, &new, "proved", now).await;
    context.clock = std::sync::Arc::new(move || now - TimeDelta::hours(2));

    let listed = crate::catalogue::list(&context).await.unwrap().points;
    let shown = crate::catalogue::show_any(&context, &new).await.unwrap();
    for standing in [listed[1].standing, shown.standing] {
        assert!(standing.level().is_some(), "{standing:?}");
    }
    let findings = check(&context, &LOOKING).await.unwrap().findings;
    let of_it: Vec<_> = findings.iter().filter(|one| one.place.contains(new.as_str())).collect();
    assert!(of_it.is_empty(), "{of_it:?}");
    let looked = super::super::outlook(&context, None).await.unwrap();
    assert_eq!((looked.proven, looked.unusable), (2, 0));
    prune(&context, None, &keeping_the_last()).await.unwrap();
    assert_eq!(context.repository.points(&context.database).await.unwrap(), [new], "the one that is proven and newest");
}

/// Without the store's clock nobody who only reads is kept from reading.
#[tokio::test]
async fn a_store_that_tells_no_time_can_be_read() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    sample_context::publish(&context.repository).await;
    let dateless =
        Fault::Answer { status: 200, headers: vec![("date".to_owned(), "yesterday".to_owned())], body: String::new() };
    for _ in 0..4 {
        proxy.push_for("HeadBucket", dateless.clone());
    }
    assert_eq!(crate::catalogue::list(&context).await.unwrap().points.len(), 1);
    crate::catalogue::show_any(&context, &sample::point(1)).await.unwrap();
    let (at, why) = context.time(false).await.unwrap();
    assert!(why.is_some_and(|why| why.contains("does not tell the time")), "{at}");
    context.time(true).await.expect_err("who drops something must know");
    assert_eq!(proxy.pending(), 0);
}

mod faults;
mod pins;
mod signal;
mod spoiled;
