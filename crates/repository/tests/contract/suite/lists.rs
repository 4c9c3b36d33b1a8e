//! Lists.

use futures_util::StreamExt;
use holdpoint_repository::ObjectStore;

use super::{keys, list, put};

pub(crate) async fn lists_lose_and_repeat_nothing(store: &dyn ObjectStore) {
    assert_eq!(keys(store, "").await, [""; 0]);
    assert_eq!(keys(store, "shop/").await, [""; 0]);
    // Names that sort differently by bytes and by segments.
    let mut wanted: Vec<String> =
        ["a/1", "a-b/1", "a.c", "a_d", "A/1", "a/1-x", "b/c/d/e/f"].map(String::from).to_vec();
    wanted.extend((0..1100).map(|n| format!("many/{:02}/{n}.json", n % 37)));
    let puts = futures_util::stream::iter(&wanted).for_each_concurrent(16, |key| async move {
        put(store, key, key).await;
    });
    puts.await;
    wanted.sort_unstable();
    let found = list(store, "").await;
    assert_eq!(found.iter().map(|o| &o.key).collect::<Vec<_>>(), wanted.iter().collect::<Vec<_>>());
    for object in &found {
        assert_eq!(object.size_bytes, object.key.len() as u64);
    }
    assert_eq!(keys(store, "a/").await, ["a/1", "a/1-x"]);
    assert_eq!(keys(store, "many/05/").await.len(), (0..1100).filter(|n| n % 37 == 5).count());
    assert_eq!(keys(store, "a/1/").await, [""; 0]);
    let info = store.head("a/1").await.unwrap();
    let listed = list(store, "a/").await.remove(0);
    assert_eq!((listed.etag, listed.size_bytes), (info.etag, info.size_bytes));
    // More than one request's worth at once, and nothing is left.
    let results = store.delete_many(&wanted).await;
    assert!(results.iter().all(|(_, r)| r.is_ok()));
    assert_eq!(keys(store, "").await, [""; 0]);
}

pub(crate) async fn children_are_named_once(store: &dyn ObjectStore) {
    assert_eq!(store.list_children("").await.unwrap(), [""; 0]);
    for key in [
        "holdpoint.json",
        "shop/lease",
        "shop/restore-points/p2/manifest.json",
        "shop/restore-points/p1/x/y",
        "shop/restore-points/p1/manifest.json",
        "shop-2/runs/r/0001.json",
    ] {
        put(store, key, "x").await;
    }
    assert_eq!(store.list_children("").await.unwrap(), ["shop", "shop-2"]);
    assert_eq!(store.list_children("shop/restore-points/").await.unwrap(), ["p1", "p2"]);
    assert_eq!(store.list_children("shop/restore-points/p2/").await.unwrap(), [""; 0]);
    assert_eq!(store.list_children("absent/").await.unwrap(), [""; 0]);
}
