//! What every adapter keeps, as functions over a store whose root is empty.

mod lists;
mod reading;
mod small;
mod uploads;

use bytes::Bytes;
use futures_util::TryStreamExt;
use holdpoint_repository::{Crc64, ObjectInfo, ObjectStore, PutOptions, UploadOptions, Uploaded};

pub(crate) use lists::*;
pub(crate) use reading::*;
pub(crate) use small::*;
pub(crate) use uploads::*;

/// The whole contract as tests of a module that has `async fn store() -> Held`, where `Held` derefs to the store.
macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let held = store().await;
                crate::suite::$name(&*held).await;
            }
        )*
    };
}

macro_rules! whole_contract {
    () => {
        crate::suite::contract!(
            small_objects_are_created_once,
            one_of_many_racing_writers_wins,
            replacing_needs_the_current_etag,
            small_reads_are_limited,
            keys_are_checked_everywhere,
            deleting_is_idempotent_and_says_how_each_went,
            lists_lose_and_repeat_nothing,
            children_are_named_once,
            ranges_are_exact,
            an_object_that_was_replaced_is_not_read,
            uploads_of_many_shapes_read_back_equal,
            an_upload_never_replaces,
            a_wrong_head_publishes_nothing,
            an_aborted_upload_leaves_nothing,
            an_unfinished_upload_is_listed_and_can_be_removed,
            an_upload_is_as_old_as_its_newest_bytes,
            a_dropped_upload_publishes_nothing,
            the_store_has_a_clock,
        );
    };
}
pub(crate) use {contract, whole_contract};

/// Bytes that do not compress and differ everywhere.
pub(crate) fn noise(length: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

pub(crate) async fn put(store: &dyn ObjectStore, key: &str, text: &str) -> String {
    let body = Bytes::copy_from_slice(text.as_bytes());
    store.put_new(key, body, PutOptions::default()).await.unwrap().etag
}

pub(crate) async fn read_all(store: &dyn ObjectStore, key: &str) -> Bytes {
    store.read(key, None, None).await.unwrap().read_to_end(u64::MAX).await.unwrap()
}

pub(crate) async fn list(store: &dyn ObjectStore, prefix: &str) -> Vec<ObjectInfo> {
    let pages: Vec<Vec<ObjectInfo>> = store.list(prefix).try_collect().await.unwrap();
    assert!(pages.iter().all(|page| page.len() <= 1000));
    let mut all: Vec<ObjectInfo> = pages.into_iter().flatten().collect();
    all.sort_by(|a, b| a.key.cmp(&b.key));
    all
}

pub(crate) async fn keys(store: &dyn ObjectStore, prefix: &str) -> Vec<String> {
    list(store, prefix).await.into_iter().map(|info| info.key).collect()
}

/// Uploads `head` and `data`, the latter in writes of odd sizes.
pub(crate) async fn upload(store: &dyn ObjectStore, key: &str, head: &Bytes, data: &Bytes) -> Uploaded {
    let options = UploadOptions {
        expected_bytes: data.len() as u64,
        held_back_bytes: head.len() as u64,
        ..UploadOptions::default()
    };
    let mut upload = store.begin_upload(key, options).await.unwrap();
    assert_eq!(upload.position(), head.len() as u64);
    let mut offset = 0;
    let mut step = 1;
    while offset < data.len() {
        let end = data.len().min(offset + step);
        upload.write(data.slice(offset..end)).await.unwrap();
        offset = end;
        step = (step * 7 + 3) % 1_900_000 + 1;
        assert_eq!(upload.position(), (head.len() + offset) as u64);
    }
    let uploaded = upload.finish(head.clone()).await.unwrap();
    assert_eq!(uploaded.crc64nvme, Crc64::of(head).then(Crc64::of(data)));
    uploaded
}
