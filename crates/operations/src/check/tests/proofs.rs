//! What is proven, by which clock, and damage that a check finds: whichever came last counts.

use super::*;

#[tokio::test]
async fn a_proof_of_the_future_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let (mut points, _) = survey(&context, sample_context::now()).await.unwrap();
    let now = "2026-11-21T12:00:00Z".parse::<DateTime<Utc>>().unwrap();
    points[0].summary.taken_at_by_store = None;
    let mut proof = |ahead: TimeDelta| {
        points[0].summary.standing = Standing::Proven { level: Level::Full, at: now + ahead };
        last_proof(points.iter(), now).map(|proof| proof.age_seconds)
    };
    assert_eq!(proof(TimeDelta::hours(-2)), Some(7200));
    assert_eq!(proof(TimeDelta::hours(1)), Some(-3600));
    assert_eq!(proof(TimeDelta::seconds(3601)), None);
    // Of what was stamped by a wrong clock nobody knows what it is a proof of.
    proof(TimeDelta::hours(-2));
    points[0].summary.taken_at_by_store = Some(points[0].summary.snapshot_at + TimeDelta::hours(2));
    assert!(last_proof(points.iter(), now).is_none());
    let mut report = empty(&context);
    let options = CheckOptions { max_proof_age: Some(TimeDelta::days(7)), ..LOOKING };
    proof_age(&options, now, None, &mut report);
    assert_eq!(report.findings[0].kind, FindingKind::ProofTooOld);
}

/// A machine whose clock ran ahead proved it once: what is found since counts.
#[tokio::test]
async fn a_proof_dated_in_the_future_is_found_and_outlives_no_damage() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let mut own = proven(&context).await;
    let mut ahead = context.repository.verifications(&context.database, own.id()).await.unwrap().made.remove(0);
    ahead.started_at = (context.clock)() + TimeDelta::days(30);
    let key = context.repository.record_verification(&context.database, &ahead).await.unwrap();
    let report = check(&context, &LOOKING).await.unwrap();
    let finding = report.findings.iter().find(|one| one.kind == FindingKind::WrongClock).unwrap();
    assert_eq!(finding.place, key);
    assert!(finding.cure.contains(&format!("holdpoint verify {}", own.id())), "{finding:?}");
    let mut report = empty(&context);
    assert!(!looked(&context, &mut own, true, &mut report).await);
    assert!(matches!(standing(&context).await, Standing::Disproved { .. }));
    // Also once that date has come.
    let (points, _) = survey(&context, sample_context::now() + TimeDelta::days(31)).await.unwrap();
    assert!(matches!(points[0].summary.standing, Standing::Disproved { .. }), "{:?}", points[0].summary.standing);
}

/// Its archive holds no archive, which reading finds: a disproof that the proof of another clock does not outlive, and that
/// does not outlive a proof after it.
#[tokio::test]
async fn a_proof_of_the_future_and_damage_that_is_found_after_it_are_weighed_as_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let id = sample::point(1);
    let sha256 = context.repository.manifest(&context.database, &id).await.unwrap().sha256;
    let record = async |at: chrono::DateTime<chrono::Utc>| {
        let mut proof = sample::proof(&id);
        proof["manifest_sha256"] = sha256.clone().into();
        proof["started_at"] = serde_json::to_value(at).unwrap();
        let made = serde_json::from_value(proof).unwrap();
        context.repository.record_verification(&context.database, &made).await.unwrap();
    };
    record(sample_context::now() + TimeDelta::hours(5)).await;
    let (mut points, _) = survey(&context, sample_context::now()).await.unwrap();
    points[0].repository_id = context.repository.id().to_owned();
    assert!(!looked(&context, &mut points[0], true, &mut empty(&context)).await);
    let weighed = async |after: TimeDelta| {
        let (points, _) = survey(&context, sample_context::now() + after).await.unwrap();
        points[0].summary.standing
    };
    for hours in [0, 6] {
        let standing = weighed(TimeDelta::hours(hours)).await;
        assert!(
            matches!(standing, Standing::Disproved { at } if at < sample_context::now() + TimeDelta::hours(1)),
            "{standing:?}"
        );
    }
    // Its objects came back, and it is proved: at once, and also once the first proof's date has come.
    record(sample_context::now() + TimeDelta::minutes(30)).await;
    for hours in [0, 6] {
        assert_eq!(weighed(TimeDelta::hours(hours)).await.level(), Some(Level::Full), "{hours}");
    }
}

/// A directory's clock is the machine's: one that is ahead by less than an hour is noticed by nobody.
#[tokio::test]
async fn a_proof_of_a_clock_that_was_a_little_ahead_does_not_outlive_damage_that_is_found_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let id = sample::point(1);
    let mut proof = sample::proof(&id);
    proof["manifest_sha256"] = context.repository.manifest(&context.database, &id).await.unwrap().sha256.into();
    proof["started_at"] = serde_json::to_value(sample_context::now() + TimeDelta::minutes(50)).unwrap();
    let made = serde_json::from_value(proof).unwrap();
    context.repository.record_verification(&context.database, &made).await.unwrap();
    assert_eq!(standing(&context).await.level(), Some(Level::Full));
    // Its archive holds no archive, which reading finds.
    let (mut points, _) = survey(&context, sample_context::now()).await.unwrap();
    points[0].repository_id = context.repository.id().to_owned();
    assert!(!looked(&context, &mut points[0], true, &mut empty(&context)).await);
    assert!(matches!(standing(&context).await, Standing::Disproved { .. }));
    // Nor once its hour has come.
    let (later, _) = survey(&context, sample_context::now() + TimeDelta::hours(2)).await.unwrap();
    assert!(matches!(later[0].summary.standing, Standing::Disproved { .. }), "{:?}", later[0].summary.standing);
}

#[tokio::test]
async fn what_reading_finds_damaged_is_disproved_for_everybody() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let mut own = proven(&context).await;
    let mut report = empty(&context);
    assert!(looked(&context, &mut own, false, &mut report).await, "nothing was read");
    assert_eq!(standing(&context).await.level(), Some(Level::Full));
    let mut report = empty(&context);
    assert!(!looked(&context, &mut own, true, &mut report).await);
    assert_eq!(report.findings[0].kind, FindingKind::Damaged);
    assert!(!report.findings[0].reason.contains("recorded"), "{:?}", report.findings);
    assert!(matches!(report.points[0].standing, Standing::Disproved { .. }));
    assert!(matches!(standing(&context).await, Standing::Disproved { .. }));
    let made = context.repository.verifications(&context.database, own.id()).await.unwrap().made;
    assert_eq!((made.len(), made[1].level), (2, Level::Stored));
    assert!(made[1].measured_on.contains("check --read-data"), "{made:#?}");
    // What is known is not read and recorded night after night.
    let mut report = empty(&context);
    looked(&context, &mut own, true, &mut report).await;
    assert_eq!(report.findings[0].kind, FindingKind::Disproved);
    assert_eq!(context.repository.verifications(&context.database, own.id()).await.unwrap().made.len(), 2);
}

#[tokio::test]
async fn damage_that_cannot_be_recorded_is_told_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let mut own = proven(&context).await;
    // Nobody can write below a file.
    let records = folder.path().join(layout::verifications(&context.database, own.id()));
    std::fs::remove_dir_all(&records).unwrap();
    std::fs::write(records.to_str().unwrap().trim_end_matches('/'), "").unwrap();
    let mut report = empty(&context);
    assert!(!looked(&context, &mut own, true, &mut report).await);
    let finding = &report.findings[0];
    assert_eq!(finding.kind, FindingKind::Damaged);
    assert!(finding.reason.contains("could not be recorded"), "{finding:?}");
    assert!(finding.cure.contains(&format!("holdpoint verify {}", own.id())), "{finding:?}");
}

#[tokio::test]
async fn a_verification_that_cannot_be_read_is_named_and_hides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let id = proven(&context).await.id().clone();
    let later = "2026-11-21T03:43:00Z".parse().unwrap();
    let key = layout::verification(&context.database, &id, later, "proved");
    context.repository.store().put_new(&key, "{".into(), PutOptions::default()).await.unwrap();
    assert_eq!(standing(&context).await, Standing::Unproven, "it may be a disproof");
    let report = check(&context, &LOOKING).await.unwrap();
    let finding = report.findings.iter().find(|one| one.kind == FindingKind::Unreadable).unwrap();
    assert_eq!(finding.place, key);
    assert!(finding.cure.contains(&format!("holdpoint verify {id} --level full")), "{finding:?}");
    assert_eq!(report.points.len(), 1);
    context.repository.store().delete(&key).await.unwrap();
    assert_eq!(standing(&context).await.level(), Some(Level::Full));
}

#[tokio::test]
async fn a_manifest_that_is_not_the_one_that_was_proven_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let own = proven(&context).await;
    let changed = async || {
        let report = check(&context, &LOOKING).await.unwrap();
        report.findings.into_iter().find(|one| one.kind == FindingKind::ManifestChanged)
    };
    assert_eq!(changed().await, None);
    let key = layout::manifest(&context.database, own.id());
    let path = folder.path().join(&key);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text} ")).unwrap();
    assert_eq!(standing(&context).await, Standing::Unproven);
    assert_eq!(changed().await.unwrap().place, key);
}
