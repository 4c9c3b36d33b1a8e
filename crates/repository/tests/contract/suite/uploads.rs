//! Uploads.

use bytes::Bytes;
use holdpoint_repository::{Error, ObjectStore, UploadOptions};

use super::{keys, noise, put, read_all, upload};

const MIB: usize = 1 << 20;

pub(crate) async fn uploads_of_many_shapes_read_back_equal(store: &dyn ObjectStore) {
    // (held-back head, data behind it); parts are 5 MiB where there are parts.
    let shapes = [
        (0, 0),
        (0, 10),
        (100, 0),
        (100, 5 * MIB - 100),
        (100, 5 * MIB - 99),
        (1, 11 * MIB),
        (0, 10 * MIB),
        (0, 10 * MIB + 1),
        (5 * MIB, 5 * MIB),
        (11 * MIB + 7, 6 * MIB),
        (6 * MIB, 0),
    ];
    for (index, (head, data)) in shapes.into_iter().enumerate() {
        let (head, data) = (noise(head, 7), noise(data, 8));
        let key = format!("u/{index}/archive.dump");
        let uploaded = upload(store, &key, &head, &data).await;
        assert_eq!(uploaded.size_bytes, (head.len() + data.len()) as u64);
        let found = store.head(&key).await.unwrap();
        assert_eq!((found.size_bytes, &found.etag), (uploaded.size_bytes, &uploaded.etag));
        let stored = read_all(store, &key).await;
        assert_eq!(stored.len(), head.len() + data.len(), "{index}");
        assert!(stored[..head.len()] == head && stored[head.len()..] == data, "shape {index} differs");
    }
    assert_eq!(store.list_uploads("").await.unwrap(), []);
}

pub(crate) async fn an_upload_never_replaces(store: &dyn ObjectStore) {
    for size in [10, 12 * MIB] {
        let key = format!("taken/{size}");
        let mut late = store.begin_upload(&key, UploadOptions::default()).await.unwrap();
        late.write(noise(size, 3)).await.unwrap();
        put(store, &key, "first").await;
        let error = late.finish(Bytes::new()).await.unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
        assert_eq!(store.get_small(&key, 9).await.unwrap().bytes, "first");
    }
    assert_eq!(store.list_uploads("").await.unwrap(), []);
}

pub(crate) async fn a_wrong_head_publishes_nothing(store: &dyn ObjectStore) {
    for given in [99, 101] {
        let options = UploadOptions { held_back_bytes: 100, ..UploadOptions::default() };
        let mut upload = store.begin_upload("h/archive.dump", options).await.unwrap();
        upload.write(noise(11 * MIB, 4)).await.unwrap();
        let error = upload.finish(noise(given, 5)).await.unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    }
    assert_eq!(keys(store, "").await, [""; 0]);
    assert_eq!(store.list_uploads("").await.unwrap(), []);
}

pub(crate) async fn an_aborted_upload_leaves_nothing(store: &dyn ObjectStore) {
    for size in [0, 10, 16 * MIB] {
        let mut upload = store.begin_upload("x/archive.dump", UploadOptions::default()).await.unwrap();
        upload.write(noise(size, 6)).await.unwrap();
        assert_eq!(keys(store, "").await, [""; 0], "an upload in progress is not to be seen");
        assert!(store.head("x/archive.dump").await.unwrap_err().is_not_found());
        upload.abort().await.unwrap();
    }
    assert_eq!(keys(store, "").await, [""; 0]);
    assert_eq!(store.list_uploads("").await.unwrap(), []);
    assert_eq!(store.list_children("").await.unwrap(), [""; 0]);
}

pub(crate) async fn an_unfinished_upload_is_listed_and_can_be_removed(store: &dyn ObjectStore) {
    let before = store.server_time().await.unwrap();
    let mut running = store.begin_upload("shop/p1/archive.dump", UploadOptions::default()).await.unwrap();
    running.write(noise(11 * MIB, 6)).await.unwrap();
    let other = store.begin_upload("other/p1/archive.dump", UploadOptions::default()).await.unwrap();
    let found = store.list_uploads("shop/").await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].key, "shop/p1/archive.dump");
    let worked_on = found[0].worked_on_at.unwrap();
    assert!((worked_on - before).num_seconds().abs() < 60, "{worked_on}");
    assert_eq!(store.list_children("").await.unwrap(), [""; 0], "no object is there yet");
    store.abort_upload(&found[0]).await.unwrap();
    store.abort_upload(&found[0]).await.unwrap();
    assert_eq!(store.list_uploads("shop/").await.unwrap(), []);
    // Whoever was still writing cannot publish anymore.
    running.finish(Bytes::new()).await.unwrap_err();
    assert!(store.head("shop/p1/archive.dump").await.unwrap_err().is_not_found());
    other.abort().await.unwrap();
    assert_eq!(store.list_uploads("").await.unwrap(), []);
}

/// The archive of a large database is uploaded for longer than leftovers are left alone.
pub(crate) async fn an_upload_is_as_old_as_its_newest_bytes(store: &dyn ObjectStore) {
    let listed = async || match &*store.list_uploads("long/").await.unwrap() {
        [one] => one.worked_on_at.unwrap(),
        found => panic!("{found:?}"),
    };
    let mut running = store.begin_upload("long/p1/archive.dump", UploadOptions::default()).await.unwrap();
    running.write(noise(6 * MIB, 6)).await.unwrap();
    let first = listed().await;
    // Stores tell whole seconds.
    while (store.server_time().await.unwrap() - first).num_seconds() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    running.write(noise(11 * MIB, 7)).await.unwrap();
    let mut newest = listed().await;
    // Parts go up behind the writing.
    for _ in 0..400 {
        if newest > first {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        newest = listed().await;
    }
    assert!(newest > first, "{newest} is not after {first}");
    running.abort().await.unwrap();
}

pub(crate) async fn a_dropped_upload_publishes_nothing(store: &dyn ObjectStore) {
    let mut upload = store.begin_upload("x/archive.dump", UploadOptions::default()).await.unwrap();
    upload.write(noise(11 * MIB, 6)).await.unwrap();
    drop(upload);
    // The removal runs behind the drop.
    for _ in 0..200 {
        if store.list_uploads("").await.unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    assert_eq!(store.list_uploads("").await.unwrap(), []);
    assert_eq!(keys(store, "").await, [""; 0]);
}
