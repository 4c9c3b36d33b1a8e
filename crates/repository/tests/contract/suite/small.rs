//! Small objects.

use bytes::Bytes;
use holdpoint_repository::{Error, ObjectStore, PutOptions, UnfinishedUpload, UploadOptions};

use super::{keys, put};

pub(crate) async fn small_objects_are_created_once(store: &dyn ObjectStore) {
    let etag = put(store, "shop/runs/1/0001-started.json", "first").await;
    let again =
        store.put_new("shop/runs/1/0001-started.json", Bytes::from_static(b"second"), PutOptions::default()).await;
    assert!(matches!(again, Err(Error::AlreadyExists { ref key }) if key.ends_with("started.json")), "{again:?}");
    let found = store.get_small("shop/runs/1/0001-started.json", 100).await.unwrap();
    assert_eq!(found.bytes, "first");
    assert_eq!(found.etag, etag);
    let info = store.head("shop/runs/1/0001-started.json").await.unwrap();
    assert_eq!((info.size_bytes, &info.etag, info.modified_at), (5, &etag, found.modified_at));
    // An empty object is one.
    put(store, "empty", "").await;
    assert_eq!(store.get_small("empty", 0).await.unwrap().bytes, "");
    assert_eq!(store.head("empty").await.unwrap().size_bytes, 0);
}

pub(crate) async fn one_of_many_racing_writers_wins(store: &dyn ObjectStore) {
    let writers = (0..8).map(|n| store.put_new("race", Bytes::from(format!("writer {n}")), PutOptions::default()));
    let results = futures_util::future::join_all(writers).await;
    let winners: Vec<usize> = (0..8).filter(|n| results[*n].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    let losers = results.iter().filter(|r| matches!(r, Err(Error::AlreadyExists { .. }))).count();
    assert_eq!(losers, 7, "{results:?}");
    assert_eq!(store.get_small("race", 100).await.unwrap().bytes, format!("writer {}", winners[0]));
}

pub(crate) async fn replacing_needs_the_current_etag(store: &dyn ObjectStore) {
    let first = put(store, "shop/lease", "one").await;
    let second = store.put_if_matches("shop/lease", Bytes::from_static(b"two"), &first).await.unwrap().etag;
    assert_ne!(first, second);
    let stale = store.put_if_matches("shop/lease", Bytes::from_static(b"three"), &first).await;
    assert!(matches!(stale, Err(Error::PreconditionFailed { .. })), "{stale:?}");
    assert_eq!(store.get_small("shop/lease", 9).await.unwrap().bytes, "two");
    store.delete("shop/lease").await.unwrap();
    let gone = store.put_if_matches("shop/lease", Bytes::from_static(b"four"), &second).await;
    assert!(matches!(gone, Err(Error::PreconditionFailed { .. })), "{gone:?}");
    assert_eq!(keys(store, "").await, [""; 0]);
    // Of many that hold the same ETag one wins.
    let held = put(store, "shop/lease", "five").await;
    let racing = (0..8).map(|n| store.put_if_matches("shop/lease", Bytes::from(n.to_string()), &held));
    let results = futures_util::future::join_all(racing).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1, "{results:?}");
}

pub(crate) async fn small_reads_are_limited(store: &dyn ObjectStore) {
    put(store, "a/manifest.json", "0123456789").await;
    assert_eq!(store.get_small("a/manifest.json", 10).await.unwrap().bytes, "0123456789");
    let error = store.get_small("a/manifest.json", 9).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    for absent in ["nothing", "a", "a/manifest.json/below", "b/manifest.json"] {
        let error = store.get_small(absent, 9).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { ref key, .. } if key == absent), "{error:?}");
        let error = store.head(absent).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
        let error = store.read(absent, None, None).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    }
}

pub(crate) async fn keys_are_checked_everywhere(store: &dyn ObjectStore) {
    for bad in ["", "/a", "a/", "a//b", "../a", "a/../../b", "ä", "a b", ".holdpoint-upload-1.a"] {
        let refused = |e: Error| assert!(matches!(e, Error::InvalidKey { .. }), "{bad}: {e:?}");
        refused(store.put_new(bad, Bytes::new(), PutOptions::default()).await.unwrap_err());
        refused(store.put_if_matches(bad, Bytes::new(), "x").await.unwrap_err());
        refused(store.get_small(bad, 9).await.unwrap_err());
        refused(store.head(bad).await.unwrap_err());
        refused(store.delete(bad).await.unwrap_err());
        refused(store.read(bad, None, None).await.unwrap_err());
        refused(store.begin_upload(bad, UploadOptions::default()).await.map(drop).unwrap_err());
    }
    refused_prefix(store).await;
}

async fn refused_prefix(store: &dyn ObjectStore) {
    for bad in ["a", "../", "/", "a//"] {
        assert!(matches!(store.list_children(bad).await, Err(Error::InvalidKey { .. })), "{bad}");
        assert!(matches!(store.list_uploads(bad).await, Err(Error::InvalidKey { .. })), "{bad}");
    }
}

pub(crate) async fn deleting_is_idempotent_and_says_how_each_went(store: &dyn ObjectStore) {
    for n in 0..5 {
        put(store, &format!("p/{n}/x"), "x").await;
    }
    store.delete("p/0/x").await.unwrap();
    store.delete("p/0/x").await.unwrap();
    store.delete("never/was").await.unwrap();
    let wanted: Vec<String> = ["p/1/x", "p/0/x", "bad key", "p/3/x"].map(String::from).to_vec();
    let results = store.delete_many(&wanted).await;
    assert_eq!(results.iter().map(|(k, _)| k.clone()).collect::<Vec<_>>(), wanted);
    assert!(results[0].1.is_ok() && results[1].1.is_ok() && results[3].1.is_ok(), "{results:?}");
    assert!(matches!(results[2].1, Err(Error::InvalidKey { .. })), "{results:?}");
    assert_eq!(keys(store, "").await, ["p/2/x", "p/4/x"]);
    assert_eq!(store.delete_many(&[]).await.len(), 0);
    // What is not there anymore can be made again.
    put(store, "p/1/x", "again").await;
    // An upload that never was counts as removed; what is no upload cannot be removed this way.
    let invented = UnfinishedUpload { key: "p/2/x".into(), id: "p/2/x".into(), worked_on_at: None, problem: None };
    let outcome = store.abort_upload(&invented).await;
    assert_eq!(store.get_small("p/2/x", 9).await.unwrap().bytes, "x", "{outcome:?}");
}
