use std::path::Path;
use std::sync::Arc;

use holdpoint_core::layout;
use holdpoint_repository::{LocalDirectory, PutOptions};

use super::*;
use crate::sample_context::{self, sample};

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

const OPTIONS: CheckOptions =
    CheckOptions { read_data: None, jobs: 1, max_proof_age: None, min_age: TimeDelta::days(3), repair: false };

#[tokio::test]
async fn what_is_dropped_after_it_was_listed_is_no_finding() {
    for read in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let context = with_a_point(folder.path()).await;
        let (points, _) = survey(&context).await.unwrap();
        let mut report = empty(&context);
        // It is there, and its index is not what the manifest says.
        let mut own = points[0].clone();
        own.repository_id = context.repository.id().to_owned();
        one_point(&context, &own, read, &OPTIONS, &mut report).await.unwrap();
        assert_eq!((report.points.len(), report.findings.len()), (1, usize::from(read)), "{:?}", report.findings);
        // Gone.
        context.repository.withdraw(&context.database, own.id(), &[]).await.unwrap();
        let mut report = empty(&context);
        one_point(&context, &own, read, &OPTIONS, &mut report).await.unwrap();
        assert_eq!((report.points.len(), report.findings.len()), (0, 0), "{:?}", report.findings);
    }
}

#[tokio::test]
async fn what_is_missing_of_a_point_whose_manifest_cannot_be_read_any_more_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let (points, _) = survey(&context).await.unwrap();
    let (store, id) = (context.repository.store(), points[0].id());
    store.delete(&layout::archive(&context.database, id)).await.unwrap();
    let manifest = layout::manifest(&context.database, id);
    store.delete(&manifest).await.unwrap();
    store.put_new(&manifest, "spoiled".into(), PutOptions::default()).await.unwrap();
    let mut report = empty(&context);
    one_point(&context, &points[0], false, &OPTIONS, &mut report).await.unwrap();
    assert!(report.findings.iter().any(|one| one.kind == FindingKind::Missing), "{:?}", report.findings);
}

#[tokio::test]
async fn a_proof_of_the_future_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let (mut points, _) = survey(&context).await.unwrap();
    let now = "2026-11-21T12:00:00Z".parse::<DateTime<Utc>>().unwrap();
    let mut proof = |ahead: TimeDelta| {
        points[0].summary.standing = Standing::Proven { level: Level::Full, at: now + ahead };
        last_proof(&points, now).map(|proof| proof.age_seconds)
    };
    assert_eq!(proof(TimeDelta::hours(-2)), Some(7200));
    assert_eq!(proof(TimeDelta::hours(1)), Some(-3600));
    assert_eq!(proof(TimeDelta::seconds(3601)), None);
    let mut report = empty(&context);
    let options = CheckOptions { max_proof_age: Some(TimeDelta::days(7)), ..OPTIONS };
    proof_age(&options, now, &mut report);
    assert_eq!(report.findings[0].kind, FindingKind::ProofTooOld);
}

#[tokio::test]
async fn what_a_prune_is_at_work_on_is_a_note_and_what_a_killed_one_hid_a_finding() {
    let folder_of = tempfile::tempdir().unwrap();
    let context = with_a_point(folder_of.path()).await;
    let id = sample::point(1);
    let mark = format!("{}ab.json", layout::withdrawn(&context.database, &id));
    context.repository.store().put_new(&mark, "{}".into(), PutOptions::default()).await.unwrap();
    let written = context.repository.store().head(&mark).await.unwrap().modified_at;
    for (age, notes, findings) in [(14, 1, 0), (16, 0, 1)] {
        let mut report = empty(&context);
        folder(&context, &OPTIONS, written + TimeDelta::minutes(age), &mut report).await.unwrap();
        assert_eq!((report.notes.len(), report.findings.len()), (notes, findings), "{age}: {:?}", report.findings);
    }
}
