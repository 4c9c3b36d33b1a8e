//! The contract on the S3 engine, in every way that a bucket can be written to.

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use holdpoint_repository::{
    ChecksumAlgorithm, ChecksumMode, Error, LockMode, ObjectStore, PutOptions, SseMode, UploadOptions,
};
use holdpoint_testkit::{ADMIN, S3Server};

use crate::engine::{Held, connect, direct, new_url, options, timing, with_customer_key};
use crate::suite::{self, noise, put, read_all, upload};

async fn store() -> Held {
    direct(|_| {}).await
}

suite::whole_contract!();

macro_rules! also {
    ($module:ident, $store:expr) => {
        mod $module {
            use super::*;

            async fn store() -> Held {
                $store.await
            }

            suite::contract!(
                small_objects_are_created_once,
                replacing_needs_the_current_etag,
                deleting_is_idempotent_and_says_how_each_went,
                ranges_are_exact,
                uploads_of_many_shapes_read_back_equal,
                an_upload_never_replaces,
                an_aborted_upload_leaves_nothing,
            );
        }
    };
}

also!(with_crc32c, direct(|o| o.checksum = ChecksumMode::Crc32c));
also!(with_md5, direct(|o| o.checksum = ChecksumMode::Md5));
also!(without_checksum, direct(|o| o.checksum = ChecksumMode::None));
also!(with_equal_parts, direct(|o| o.equal_parts = true));
also!(with_keys_of_the_store, direct(|o| o.sse = SseMode::S3));
also!(with_a_customer_key, async { with_customer_key(7, &new_url()).await });

#[tokio::test]
async fn the_strongest_checksum_is_found_out_and_confirmed() {
    let store = direct(|_| {}).await;
    assert_eq!(store.checksum_mode(), None);
    let (head, data) = (noise(1000, 1), noise(12 << 20, 2));
    let uploaded = upload(&*store, "a/archive.dump", &head, &data).await;
    assert_eq!(store.checksum_mode(), Some(ChecksumMode::Crc64Nvme));
    let confirmed = uploaded.confirmed.unwrap();
    assert_eq!(confirmed.algorithm, ChecksumAlgorithm::Crc64Nvme);
    assert_eq!(confirmed.value, uploaded.crc64nvme.base64());
    assert_eq!(store.head("a/archive.dump").await.unwrap().checksum, Some(confirmed));
    // What the first upload found out, the second need not.
    assert!(upload(&*store, "b/archive.dump", &head, &data).await.confirmed.is_some());
    // One request has it too.
    assert!(upload(&*store, "c/archive.dump", &head, &Bytes::new()).await.confirmed.is_some());
    // CRC-32C: the store keeps the composite of the parts.
    let composite = direct(|o| o.checksum = ChecksumMode::Crc32c).await;
    let uploaded = upload(&*composite, "a/archive.dump", &head, &data).await;
    assert_eq!(uploaded.confirmed.unwrap().algorithm, ChecksumAlgorithm::Crc32c);
}

#[tokio::test]
async fn another_customer_key_reads_nothing() {
    let url = new_url();
    let ours = with_customer_key(7, &url).await;
    let data = noise(11 << 20, 2);
    upload(&*ours, "a/archive.dump", &noise(10, 1), &data).await;
    put(&*ours, "a/record", "secret").await;
    assert_eq!(read_all(&*ours, "a/archive.dump").await.len(), data.len() + 10);
    let other = with_customer_key(8, &url).await;
    let without = connect(&url, options(S3Server::shared().endpoint()), &ADMIN, timing()).await;
    for store in [&other.store, &without] {
        assert!(store.read("a/archive.dump", None, None).await.is_err());
        assert!(store.get_small("a/record", 100).await.is_err());
    }
}

#[tokio::test]
async fn a_locked_object_cannot_be_lost() {
    let server = S3Server::shared();
    let name = format!("locked-{}", std::process::id());
    server.create_bucket_with_lock(&name);
    let url = format!("s3://{name}/pg").parse().unwrap();
    let mut options = options(server.endpoint());
    options.object_lock_mode = Some(LockMode::Governance);
    options.object_lock_days = Some(1);
    let store = connect(&url, options, &ADMIN, timing()).await;
    assert!(store.keeps_versions().await.unwrap() && !direct(|_| {}).await.keeps_versions().await.unwrap());
    #[expect(clippy::disallowed_methods, reason = "a lock ends in the real future")]
    let until = Utc::now() + TimeDelta::days(1);
    for (key, size) in [("small/archive.dump", 10), ("large/archive.dump", 11 << 20)] {
        let upload_options = UploadOptions { retain_until: Some(until), ..UploadOptions::default() };
        let mut upload = store.begin_upload(key, upload_options).await.unwrap();
        upload.write(noise(size, 1)).await.unwrap();
        upload.finish(Bytes::new()).await.unwrap();
        let locked = store.head(key).await.unwrap().retain_until.unwrap();
        assert!((locked - until).num_seconds().abs() <= 1, "{locked}");
    }
    store.put_new("record", Bytes::new(), PutOptions { retain_until: Some(until) }).await.unwrap();
    assert!(store.head("record").await.unwrap().retain_until.is_some());
    let later = until + TimeDelta::days(6);
    store.extend_retention("record", later).await.unwrap();
    let locked = store.head("record").await.unwrap().retain_until.unwrap();
    assert!((locked - later).num_seconds().abs() <= 1, "{locked}");
    // Records that come and go are not locked.
    put(&store, "pin", "x").await;
    assert_eq!(store.head("pin").await.unwrap().retain_until, None);
    let unlocked = direct(|_| {}).await;
    put(&*unlocked, "record", "x").await;
    let error = unlocked.extend_retention("record", later).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
}

#[tokio::test]
async fn many_small_parts_with_a_low_cap() {
    // The store takes 8 parts only: the guess was right, and then wrong by three times.
    let store = direct(|o| o.max_parts = 8).await;
    for expected in [30 << 20, 10 << 20] {
        let key = format!("u/{expected}");
        let options = UploadOptions { expected_bytes: expected, held_back_bytes: 5, ..UploadOptions::default() };
        let mut upload = store.begin_upload(&key, options).await.unwrap();
        let data = noise(30 << 20, 9);
        for n in 0..30 {
            upload.write(data.slice(n << 20..(n + 1) << 20)).await.unwrap();
        }
        let uploaded = upload.finish(Bytes::from_static(b"PGDMP")).await.unwrap();
        assert_eq!(uploaded.size_bytes, (30 << 20) + 5);
        assert!(read_all(&store.store, &key).await[5..] == data);
    }
    // Equal parts cannot grow: the object does not fit, and says what to set.
    let equal = direct(|o| {
        o.max_parts = 2;
        o.equal_parts = true;
    })
    .await;
    let mut upload = equal.begin_upload("x", UploadOptions::default()).await.unwrap();
    let error = upload.write(noise(11 << 20, 1)).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { ref detail, .. } if detail.contains("part_bytes")), "{error:?}");
    upload.abort().await.unwrap();
    assert_eq!(equal.list_uploads("").await.unwrap(), []);
}
