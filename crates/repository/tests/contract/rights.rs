//! Identities that may not do everything, and places that are not there.

use bytes::Bytes;
use futures_util::TryStreamExt;
use holdpoint_core::cron::{CronHistory, Turn};
use holdpoint_core::layout;
use holdpoint_repository::{Error, LeaseTaken, ObjectStore, PutOptions, Repository, UploadOptions, Withdrawal};
use holdpoint_testkit::{
    ADMIN, Fault, FaultProxy, Identity, READ_ONLY, Rule, S3Server, STRANGER, WRITER, WRITER_BUCKET,
};

use crate::engine::{bucket, connect, new_prefix, new_url, options, spoiled, timing};
use crate::sample::{NOW, manifest, objects, point, shop};
use crate::suite::{keys, noise, put, upload};

async fn as_identity(url: &str, identity: &Identity) -> holdpoint_repository::S3Store {
    connect(&url.parse().unwrap(), options(S3Server::shared().endpoint()), identity, timing()).await
}

#[tokio::test]
async fn who_may_only_read_is_told_so_when_writing() {
    let url = new_url().to_string();
    let admin = as_identity(&url, &ADMIN).await;
    put(&admin, "record", "x").await;
    let reader = as_identity(&url, &READ_ONLY).await;
    assert_eq!(reader.get_small("record", 9).await.unwrap().bytes, "x");
    assert_eq!(keys(&reader, "").await, ["record"]);
    let denied = |error: Error, action: &str| match error {
        Error::AccessDenied { action: found, .. } => assert_eq!(found, action),
        other => panic!("{other:?}"),
    };
    denied(reader.put_new("other", Bytes::new(), PutOptions::default()).await.unwrap_err(), "write");
    denied(reader.delete("record").await.unwrap_err(), "delete");
    let mut small = reader.begin_upload("small", UploadOptions::default()).await.unwrap();
    small.write(noise(10, 1)).await.unwrap();
    denied(small.finish(Bytes::new()).await.unwrap_err(), "write");
    let mut large = reader.begin_upload("large", UploadOptions::default()).await.unwrap();
    denied(large.write(noise(6 << 20, 1)).await.unwrap_err(), "begin upload of");
    large.abort().await.unwrap();
    let results = reader.delete_many(&["record".to_owned()]).await;
    assert!(matches!(results[0].1, Err(Error::AccessDenied { .. })), "{results:?}");
    assert_eq!(keys(&admin, "").await, ["record"]);
}

#[tokio::test]
async fn strangers_and_wrong_secrets_are_refused() {
    let url = new_url().to_string();
    let wrong = Identity { access_key: ADMIN.access_key, secret_key: "not-it" };
    for (identity, expected) in [(&STRANGER, "InvalidAccessKeyId"), (&wrong, "SignatureDoesNotMatch")] {
        let store = as_identity(&url, identity).await;
        match store.get_small("record", 9).await.unwrap_err() {
            Error::AccessDenied { code, .. } => assert_eq!(code, expected),
            other => panic!("{other:?}"),
        }
        let error = store.put_new("record", Bytes::new(), PutOptions::default()).await.unwrap_err();
        assert!(matches!(error, Error::AccessDenied { .. }), "{error:?}");
        assert!(!format!("{error:?}").contains("not-it"));
        // The clock can be read all the same: doctor names skew even where the keys are wrong.
        assert!(store.server_time().await.is_ok());
    }
}

#[tokio::test]
async fn a_writer_of_one_bucket_stays_in_it() {
    bucket();
    let inside = as_identity(&format!("s3://{WRITER_BUCKET}/{}", new_prefix()), &WRITER).await;
    upload(&inside, "a/archive.dump", &noise(9, 1), &noise(11 << 20, 2)).await;
    assert_eq!(keys(&inside, "").await, ["a/archive.dump"]);
    let outside = as_identity(&new_url().to_string(), &WRITER).await;
    let error = outside.put_new("x", Bytes::new(), PutOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::AccessDenied { .. }), "{error:?}");
    let error = outside.list("").try_next().await.unwrap_err();
    assert!(matches!(error, Error::AccessDenied { .. }), "{error:?}");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named_and_not_made() {
    let store = as_identity("s3://no-such-bucket-here/pg", &ADMIN).await;
    let errors = [
        store.ensure_root().await.unwrap_err(),
        store.put_new("x", Bytes::new(), PutOptions::default()).await.unwrap_err(),
        store.get_small("x", 9).await.unwrap_err(),
        store.list("").try_next().await.unwrap_err(),
        store.list_uploads("").await.unwrap_err(),
    ];
    for error in errors {
        match error {
            Error::BucketNotFound { root, .. } => assert!(root.contains("no-such-bucket-here")),
            other => panic!("{other:?}"),
        }
    }
    let mut large = store.begin_upload("large", UploadOptions::default()).await.unwrap();
    let error = large.write(noise(6 << 20, 1)).await.unwrap_err();
    assert!(matches!(error, Error::BucketNotFound { .. }), "{error:?}");
    large.abort().await.unwrap();
    assert!(store.ensure_root().await.is_err());
}

#[tokio::test]
async fn an_append_only_writer_can_write_and_not_delete() {
    let server = S3Server::shared();
    let name = server.new_bucket();
    server.forbid_delete(&name);
    let store = as_identity(&format!("s3://{name}/pg"), &ADMIN).await;
    put(&store, "a/record", "x").await;
    put(&store, "a/other", "x").await;
    upload(&store, "a/archive.dump", &noise(9, 1), &noise(11 << 20, 2)).await;
    let error = store.delete("a/record").await.unwrap_err();
    assert!(matches!(error, Error::AccessDenied { .. }), "{error:?}");
    assert_eq!(keys(&store, "").await, ["a/archive.dump", "a/other", "a/record"]);
    // An upload that failed is removed: that is no deletion.
    let mut failing = store.begin_upload("b/archive.dump", UploadOptions::default()).await.unwrap();
    failing.write(noise(11 << 20, 1)).await.unwrap();
    failing.abort().await.unwrap();
    assert_eq!(store.list_uploads("").await.unwrap(), []);
}

#[tokio::test]
async fn tls_is_spoken_and_its_settings_are_checked() {
    let server = S3Server::shared();
    // The engine speaks plain HTTP on this port: the handshake fails, and nothing panics over TLS providers.
    let mut settings = options(server.endpoint().replace("http://", "https://"));
    let store = connect(&new_url(), settings.clone(), &ADMIN, timing()).await;
    let error = store.get_small("x", 9).await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error:?}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    settings.ca_bundle = Some(file.clone());
    for content in [None, Some("no certificate")] {
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let keys = crate::engine::keys(&ADMIN);
        let error = holdpoint_repository::S3Store::connect(&new_url(), settings.clone(), keys, timing()).await;
        assert!(matches!(error, Err(Error::Configuration { setting: "ca_bundle", .. })), "{error:?}");
    }
}

/// As Amazon answers to who may list below a prefix only.
fn hide_absence(proxy: &FaultProxy) {
    for operation in ["GetObject", "HeadObject"] {
        proxy.rule(Rule::new(Fault::HideAbsence).operation(operation).always());
    }
}

#[tokio::test]
async fn what_is_not_there_is_told_from_what_is_forbidden() {
    let s = spoiled(timing()).await;
    put(&s.straight, "lease.old", "x").await;
    hide_absence(&s.proxy);
    for error in [
        s.store.get_small("lease", 9).await.unwrap_err(),
        s.store.head("lease").await.unwrap_err(),
        s.store.read("lease", Some(0..1), None).await.unwrap_err(),
    ] {
        assert!(error.is_not_found(), "{error:?}");
    }
    assert_eq!(s.proxy.count("ListObjects"), 3);
    // What came to be since the answer is read.
    s.proxy.clear();
    put(&s.straight, "lease", "x").await;
    s.proxy.push_for("GetObject", Fault::s3_error(403, "AccessDenied"));
    assert_eq!(s.store.get_small("lease", 9).await.unwrap().bytes, "x");
    // What is there and may not be read, and where nothing may be listed.
    let denied = |error: Error, action: &str| match error {
        Error::AccessDenied { action: found, key, .. } => assert_eq!((found, key.as_str()), (action, "lease")),
        other => panic!("{other:?}"),
    };
    s.proxy.rule(Rule::new(Fault::s3_error(403, "AccessDenied")).operation("GetObject").always());
    denied(s.store.get_small("lease", 9).await.unwrap_err(), "read");
    s.straight.delete("lease").await.unwrap();
    s.proxy.rule(Rule::new(Fault::answer(403, "")).operation("HeadObject").always());
    s.proxy.rule(Rule::new(Fault::s3_error(403, "AccessDenied")).operation("ListObjects").always());
    denied(s.store.get_small("lease", 9).await.unwrap_err(), "read");
    denied(s.store.head("lease").await.unwrap_err(), "look at");
    // A store that is busy says nothing of rights.
    s.proxy.clear();
    s.proxy.rule(Rule::new(Fault::answer(403, "")).operation("HeadObject").always());
    s.proxy.rule(Rule::new(Fault::s3_error(503, "SlowDown")).operation("ListObjects").always());
    let busy = s.store.head("lease").await.unwrap_err();
    assert!(busy.is_transient(), "{busy:?}");
}

#[tokio::test]
async fn who_may_list_below_a_prefix_only_makes_withdraws_and_sweeps() {
    let s = spoiled(timing()).await;
    hide_absence(&s.proxy);
    let at = NOW.parse().unwrap();
    let (repository, _) = Repository::init(std::sync::Arc::new(s.store.clone()), at).await.unwrap();
    let turn = Turn { id: "a".to_owned(), began_at: at };
    let taken = repository.take_lease(&shop(), "a", &turn, std::time::Duration::from_secs(900)).await.unwrap();
    let LeaseTaken::Ours(mut lease) = taken else { panic!("the first takes it: {taken:?}") };
    assert!(lease.release(CronHistory::default()).await.unwrap());
    for n in [1, 2] {
        for (key, text) in objects(&point(n)) {
            put(&s.straight, &key, text).await;
        }
    }
    repository.publish(&manifest(&point(1)), None).await.unwrap();
    let leftovers = repository.leftovers(&shop()).await.unwrap();
    assert_eq!(leftovers.len(), 1, "{leftovers:?}");
    repository.remove_leftover(&leftovers[0]).await.unwrap();
    assert!(repository.manifest(&shop(), &point(2)).await.unwrap_err().is_not_found());
    let done = repository.withdraw(&shop(), &point(1), &[]).await.unwrap();
    assert!(matches!(&done, Withdrawal::Done { remains, .. } if remains.is_empty()), "{done:?}");
    assert_eq!(keys(&s.straight, "").await, [layout::REPOSITORY.to_owned(), layout::lease(&shop())]);
}
