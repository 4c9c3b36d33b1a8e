//! Whose the folder and its restore points are.

use super::*;

#[tokio::test]
async fn a_lost_or_damaged_identity_record_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let of_identity = [FindingKind::Unreadable, FindingKind::IdentityMissing, FindingKind::AnotherDatabase];
    assert_eq!(found(&context, &of_identity).await, []);
    let key = layout::first_identity(&context.database);
    let path = folder.path().join(&key);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "x").unwrap();
    let damaged = found(&context, &of_identity).await;
    assert!(damaged.len() == 1 && damaged[0].0 == key && damaged[0].1.contains("holdpoint adopt"), "{damaged:?}");
    std::fs::remove_file(&path).unwrap();
    let lost = found(&context, &of_identity).await;
    assert!(lost.len() == 1 && lost[0].0 == "shop/identities/", "{lost:?}");
    assert!(lost[0].1.contains("shop on h:5432") && lost[0].1.contains("holdpoint adopt"), "{lost:?}");
}

#[tokio::test]
async fn a_restore_point_of_another_database_is_found_and_counts_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let counts = async || {
        let (mut points, _) = survey(&context, sample_context::now()).await.unwrap();
        Owners::read(&context).await.unwrap().set_aside_others(&mut points);
        points[0].aside.is_none()
    };
    let mut record = context.repository.identity(&context.database).await.unwrap().unwrap();
    record.identity.database = "crm".to_owned();
    context.repository.record_identity(&context.database, &record).await.unwrap();
    // The folder was its own once.
    assert_eq!(found(&context, &[FindingKind::AnotherDatabase]).await, []);
    assert!(counts().await);
    std::fs::remove_file(folder.path().join(layout::first_identity(&context.database))).unwrap();
    let told = found(&context, &[FindingKind::AnotherDatabase]).await;
    assert!(
        told.len() == 1 && told[0].0 == sample::point(1).as_str() && told[0].1.contains("shop on h:5432"),
        "{told:?}"
    );
    assert!(!counts().await);
}

/// What a lifecycle rule by age takes first is the first record, and with it whose the older restore points rightly are.
#[tokio::test]
async fn a_first_record_that_is_lost_is_named_before_anybody_moves_anything() {
    let folder = tempfile::tempdir().unwrap();
    let context = with_a_point(folder.path()).await;
    let mut identity = sample::identity();
    identity["database"] = "crm".into();
    let adopted =
        serde_json::json!({"format": 1, "identity": identity, "recorded_at": sample::NOW, "reason": "it was moved"});
    context.repository.record_identity(&context.database, &serde_json::from_value(adopted).unwrap()).await.unwrap();
    let another = async || {
        let findings = check(&context, &LOOKING).await.unwrap().findings;
        findings.into_iter().find(|one| one.kind == FindingKind::AnotherDatabase)
    };
    assert_eq!(another().await, None, "the folder was its own");
    context.repository.store().delete(&layout::first_identity(&context.database)).await.unwrap();
    let lost = another().await.unwrap();
    assert!(lost.reason.contains("the first record of whose the folder was is lost"), "{lost:?}");
    assert!(lost.cure.starts_with("bring the record back"), "{lost:?}");
}
