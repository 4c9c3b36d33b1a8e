//! Reads.

use bytes::Bytes;
use chrono::TimeDelta;
use holdpoint_repository::{Error, ObjectStore};

use super::{noise, put, read_all, upload};

pub(crate) async fn ranges_are_exact(store: &dyn ObjectStore) {
    let data = noise(3_300_000, 1);
    let uploaded = upload(store, "d/archive.dump", &Bytes::new(), &data).await;
    assert_eq!(read_all(store, "d/archive.dump").await, data);
    for range in [0..10u64, 0..1, 3_299_999..3_300_000, 1_048_575..1_048_577, 5..3_000_000, 0..3_300_000] {
        let reader = store.read("d/archive.dump", Some(range.clone()), Some(&uploaded.etag)).await.unwrap();
        assert_eq!(reader.object_bytes(), 3_300_000);
        assert_eq!(reader.remaining_bytes(), range.end - range.start);
        assert_eq!(reader.etag(), uploaded.etag);
        let bytes = reader.read_to_end(u64::MAX).await.unwrap();
        assert_eq!(bytes, data.slice(range.start as usize..range.end as usize));
    }
    // Only what was asked for is fetched.
    let mut reader = store.read("d/archive.dump", Some(100..1_000_100), None).await.unwrap();
    while reader.next_chunk().await.unwrap().is_some() {}
    assert_eq!(reader.fetched_bytes(), 1_000_000);
    for empty in [0..0u64, 77..77, 3_300_000..3_300_000] {
        let reader = store.read("d/archive.dump", Some(empty), None).await.unwrap();
        assert_eq!(reader.read_to_end(0).await.unwrap(), "");
    }
    // A record that speaks of bytes which are not there is not obeyed.
    for beyond in [3_299_999..3_300_001u64, 3_300_000..3_300_001, 9_000_000..9_000_010] {
        let error = store.read("d/archive.dump", Some(beyond), None).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    }
    let reader = store.read("d/archive.dump", None, None).await.unwrap();
    assert!(matches!(reader.read_to_end(3_299_999).await, Err(Error::TooLarge { .. })));
    put(store, "d/empty", "").await;
    assert_eq!(read_all(store, "d/empty").await, "");
}

pub(crate) async fn an_object_that_was_replaced_is_not_read(store: &dyn ObjectStore) {
    let first = put(store, "record", "old").await;
    let second = store.put_if_matches("record", Bytes::from_static(b"new"), &first).await.unwrap().etag;
    for range in [None, Some(0..2), Some(1..1)] {
        let error = store.read("record", range.clone(), Some(&first)).await.unwrap_err();
        assert!(matches!(error, Error::PreconditionFailed { .. }), "{range:?}: {error:?}");
    }
    assert!(store.read("record", None, Some(&second)).await.is_ok());
}

pub(crate) async fn the_store_has_a_clock(store: &dyn ObjectStore) {
    let before = store.server_time().await.unwrap();
    put(store, "now", "x").await;
    let written = store.head("now").await.unwrap().modified_at;
    let after = store.server_time().await.unwrap();
    // Whole seconds on S3.
    assert!(
        before - written < TimeDelta::seconds(2) && written - after < TimeDelta::seconds(2),
        "{before} {written} {after}"
    );
    assert!(after >= before);
}
