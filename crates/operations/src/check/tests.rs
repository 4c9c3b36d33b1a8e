//! Checks of a repository with one restore point, to which something happened.

mod hidden;
mod identity;
mod proofs;
mod strays;

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::layout;
use holdpoint_core::verification::{Level, Standing};
use holdpoint_repository::{LocalDirectory, PutOptions};
use holdpoint_testkit::{Fault, SeenRequest};

use super::folder::folder;
use super::point::one_point;
use super::proofs::{last_proof, proof_age};
use super::run::doubted;
use super::snapshots::Snapshots;
use super::*;
use crate::Context;
use crate::catalogue::{Owners, Surveyed, survey};
use crate::sample_context::{self, LOOKING, sample};

/// A repository with one restore point, whose archive holds no archive.
async fn with_a_point(folder: &Path) -> Context {
    sample_context::with_a_point(Arc::new(LocalDirectory::new(folder).unwrap())).await
}

fn empty(context: &Context) -> CheckReport {
    CheckReport {
        database: context.database.clone(),
        points: Vec::new(),
        last_proof: None,
        read_bytes: 0,
        findings: Vec::new(),
        repaired: Vec::new(),
        notes: Vec::new(),
    }
}

fn owners() -> Owners {
    Owners(holdpoint_repository::Identities::default())
}

/// As a check looks at one.
async fn looked(context: &Context, point: &mut Surveyed, read: bool, report: &mut CheckReport) -> bool {
    let now = sample_context::now();
    one_point(context, point, read, (&LOOKING, now), (report, &mut Snapshots::new(context))).await.unwrap()
}

/// The first restore point as its repository's own, with a proof of level *full* that counts.
async fn proven(context: &Context) -> Surveyed {
    let id = sample::point(1);
    let sha256 = context.repository.manifest(&context.database, &id).await.unwrap().sha256;
    let mut proof = sample::proof(&id);
    proof["manifest_sha256"] = sha256.into();
    let made = serde_json::from_value(proof).unwrap();
    context.repository.record_verification(&context.database, &made).await.unwrap();
    let (mut points, _) = survey(context, sample_context::now()).await.unwrap();
    let mut own = points.remove(0);
    assert_eq!(own.summary.standing.level(), Some(Level::Full));
    own.repository_id = context.repository.id().to_owned();
    own
}

async fn standing(context: &Context) -> Standing {
    survey(context, sample_context::now()).await.unwrap().0[0].summary.standing
}

/// What a check finds of these kinds: where, and the words.
async fn found(context: &Context, kinds: &[FindingKind]) -> Vec<(String, String)> {
    let report = check(context, &LOOKING).await.unwrap();
    let found = report.findings.into_iter().filter(|one| kinds.contains(&one.kind));
    found.map(|one| (one.place, format!("{}; {}", one.reason, one.cure))).collect()
}

#[tokio::test]
async fn what_is_dropped_after_it_was_listed_is_no_finding() {
    for read in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let context = with_a_point(folder.path()).await;
        let (points, _) = survey(&context, sample_context::now()).await.unwrap();
        let mut report = empty(&context);
        // It is there, and its index is not what the manifest says.
        let mut own = points[0].clone();
        own.repository_id = context.repository.id().to_owned();
        looked(&context, &mut own, read, &mut report).await;
        assert_eq!((report.points.len(), report.findings.len()), (1, usize::from(read)), "{:?}", report.findings);
        // Gone.
        context.repository.withdraw(&context.database, own.id(), &[]).await.unwrap();
        let mut report = empty(&context);
        looked(&context, &mut own, read, &mut report).await;
        assert_eq!((report.points.len(), report.findings.len()), (0, 0), "{:?}", report.findings);
    }
}

#[tokio::test]
async fn what_is_missing_of_a_point_whose_manifest_cannot_be_read_any_more_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let (mut points, _) = survey(&context, sample_context::now()).await.unwrap();
    let (store, id) = (context.repository.store(), points[0].id().clone());
    store.delete(&layout::archive(&context.database, &id)).await.unwrap();
    let manifest = layout::manifest(&context.database, &id);
    store.delete(&manifest).await.unwrap();
    store.put_new(&manifest, "spoiled".into(), PutOptions::default()).await.unwrap();
    let mut report = empty(&context);
    looked(&context, &mut points[0], false, &mut report).await;
    assert!(report.findings.iter().any(|one| one.kind == FindingKind::Missing), "{:?}", report.findings);
}

/// As a bucket whose index is out of step with its objects, or a replica, answers.
#[tokio::test]
async fn a_manifest_that_is_listed_and_cannot_be_had_is_told() {
    let (context, proxy) = sample_context::behind_a_proxy().await;
    sample_context::publish(&context.repository).await;
    let id = sample::point(1);
    let key = layout::manifest(&context.database, &id);
    let lose = || {
        let key = key.clone();
        let reads = move |request: &SeenRequest| request.operation() == "GetObject" && request.target.contains(&key);
        proxy.push_when(reads, Fault::s3_error(404, "NoSuchKey"));
    };
    lose();
    let listed = crate::catalogue::list(&context).await.unwrap();
    assert_eq!((listed.points.len(), listed.unreadable.len()), (0, 1), "{listed:?}");
    assert_eq!((&listed.unreadable[0].id, proxy.pending()), (&id, 0));
    lose();
    let findings = check(&context, &LOOKING).await.unwrap().findings;
    let told =
        findings.iter().find(|one| one.kind == FindingKind::Unreadable).unwrap_or_else(|| panic!("{findings:?}"));
    assert!(told.place.contains(id.as_str()) && told.reason.contains("lists its manifest"), "{told:?}");
    assert_eq!(crate::catalogue::list(&context).await.unwrap().points.len(), 1);
}

#[tokio::test]
async fn restore_points_of_a_wrong_clock_are_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let (mut points, _) = survey(&context, sample_context::now()).await.unwrap();
    let at = points[0].summary.snapshot_at;
    points[0].summary.taken_at_by_store = Some(at);
    assert_eq!(doubted(&points, at), None);
    assert!(doubted(&points, at - TimeDelta::hours(2)).unwrap().contains(points[0].id().as_str()), "of the future");
    points[0].summary.taken_at_by_store = Some(at + TimeDelta::hours(2));
    assert!(doubted(&points, at + TimeDelta::hours(2)).is_some(), "apart from the store's clock");
}

#[tokio::test]
async fn nothing_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let context = sample_context::in_directory(folder.path()).await;
    let report = check(&context, &LOOKING).await.unwrap();
    let nothing = report.findings.iter().find(|one| one.kind == FindingKind::NothingThere).unwrap();
    assert!(nothing.cure.contains("holdpoint backup"), "{nothing:?}");
}

#[tokio::test]
async fn a_lease_that_cannot_be_read_is_found_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let key = layout::lease(&context.database);
    context.repository.store().put_new(&key, "".into(), PutOptions::default()).await.unwrap();
    let report = check(&context, &LOOKING).await.unwrap();
    let found = report.findings.iter().find(|one| one.place == key).unwrap();
    assert_eq!(found.kind, FindingKind::Unreadable);
    assert!(found.cure.contains("a quarter of an hour old"), "{found:?}");
    context.repository.store().delete(&key).await.unwrap();
    context.repository.store().put_new(&key, vec![b' '; (16 << 20) + 1].into(), PutOptions::default()).await.unwrap();
    let report = check(&context, &LOOKING).await.unwrap();
    let found = report.findings.iter().find(|one| one.place == key).unwrap();
    assert!(found.cure.contains(&format!("remove {key}")), "{found:?}");
}
