//! Ills of the repository.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use holdpoint_operations::backup::backup;
use holdpoint_operations::doctor::{Outcome, examine};
use holdpoint_repository::{
    CredentialSource, LocalDirectory, ObjectStore, Repository, RepositoryUrl, S3Options, S3Store, Timing,
};
use holdpoint_testkit::{ADMIN, Cluster, Identity, READ_ONLY, S3Server};

use super::{examined, failures, given, subject, text, the};
use crate::support;

async fn bucket(url: &RepositoryUrl, identity: &Identity) -> Arc<dyn ObjectStore> {
    let options = S3Options { endpoint: Some(S3Server::shared().endpoint()), path_style: true, ..S3Options::default() };
    let keys = CredentialSource::Keys {
        access_key_id: identity.access_key.into(),
        secret_access_key: identity.secret_key.into(),
    };
    Arc::new(S3Store::connect(url, options, keys, Timing::default()).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_tried_out_and_a_key_that_only_reads_is_told() {
    let place = support::place("shop").await;
    let source = support::source(Cluster::shared(18), "postgres");
    let url: RepositoryUrl = format!("s3://{}/backups", S3Server::shared().new_bucket()).parse().unwrap();
    let admin = bucket(&url, &ADMIN).await;
    Repository::init(Arc::clone(&admin), chrono::Utc::now()).await.unwrap();

    let report = examine(&subject(&place.context, Arc::clone(&admin), source.clone(), given())).await;
    assert_eq!(failures(&report), [], "{}", text(&report));
    for name in ["multipart upload", "abort", "checksum", "list uploads", "ranged read", "conditional writes", "delete"]
    {
        the(&report, "repository", name, Outcome::Ok);
    }
    let left: Vec<_> = admin.list("").try_concat().await.unwrap().into_iter().map(|object| object.key).collect();
    assert_eq!(left, ["holdpoint.json"], "nothing stays");
    assert_eq!(admin.list_uploads("").await.unwrap(), []);

    let report = examine(&subject(&place.context, bucket(&url, &READ_ONLY).await, source, given())).await;
    let denied = the(&report, "repository", "write", Outcome::Failure);
    assert!(denied.detail.contains("denied") && denied.cure.contains("only to restore"), "{denied:?}");
    assert!(denied.cure.contains("--print-policy"), "{denied:?}");
    the(&report, "repository", "format", Outcome::Ok);
    the(&report, "repository", "manifests", Outcome::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_no_repository_is_a_line_of_the_report() {
    let (place, outer) = (support::place("shop").await, tempfile::tempdir().unwrap());
    let source = support::source(Cluster::shared(18), "postgres");
    let of = |name: &str| Arc::new(LocalDirectory::new(outer.path().join(name)).unwrap());

    let report = examine(&subject(&place.context, of("absent"), source.clone(), given())).await;
    assert_eq!(failures(&report), [("repository", "format")]);
    assert!(the(&report, "repository", "format", Outcome::Failure).cure.contains("holdpoint init"));
    the(&report, "repository", "write", Outcome::Warning);
    assert!(!outer.path().join("absent").exists(), "nothing is made");

    std::fs::write(outer.path().join("file"), "").unwrap();
    let report = examine(&subject(&place.context, of("file"), source.clone(), given())).await;
    assert!(failures(&report).contains(&("repository", "format")), "{}", text(&report));
    assert!(failures(&report).contains(&("repository", "write")), "{}", text(&report));
    the(&report, "database", "snapshot", Outcome::Ok);
    let identity = the(&report, "database", "identity", Outcome::Warning);
    assert_eq!(identity.detail, "not tried: the repository cannot be opened");

    std::fs::create_dir(outer.path().join("newer")).unwrap();
    let record = r#"{"format":99,"id":"x","created_at":"2026-11-21T00:00:00Z"}"#;
    std::fs::write(outer.path().join("newer/holdpoint.json"), record).unwrap();
    let report = examine(&subject(&place.context, of("newer"), source, given())).await;
    assert_eq!(failures(&report), [("repository", "format")], "{}", text(&report));
    assert!(the(&report, "repository", "format", Outcome::Failure).cure.contains("newer holdpoint"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_manifest_is_found() {
    let cluster = Cluster::shared(18);
    cluster.create_database("doctored");
    cluster.psql("doctored", "CREATE TABLE t (id int); INSERT INTO t VALUES (1)");
    let place = support::place("doctored").await;
    let source = support::source(cluster, "doctored");
    let made = backup(&place.context, &source, &support::backup_options()).await.unwrap();
    let report = examined(&place.context, &source).await;
    assert_eq!(failures(&report), []);
    assert!(the(&report, "repository", "manifests", Outcome::Ok).detail.starts_with("1 restore point,"));
    assert!(the(&report, "database", "identity", Outcome::Ok).detail.contains("belongs to"));

    let id = made.manifest.id;
    let manifest = place.directory.path().join(format!("doctored/restore-points/{id}/manifest.json"));
    std::fs::write(manifest, "{\"format\": 1}").unwrap();
    let report = examined(&place.context, &source).await;
    assert_eq!(failures(&report), [("repository", "manifests")]);
    assert!(the(&report, "repository", "manifests", Outcome::Failure).detail.contains(id.as_str()));
}
