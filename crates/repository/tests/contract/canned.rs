//! What the engine cannot show: canned answers before it, and what goes over the wire.

use bytes::Bytes;
use chrono::{TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use holdpoint_repository::{ChecksumMode, Error, LockMode, ObjectStore, PutOptions, S3Options, SseMode, UploadOptions};
use holdpoint_testkit::{Fault, SeenRequest};

use crate::engine::{Spoiled, spoiled, spoiled_with, timing};
use crate::suite::{keys, noise, put, read_all, upload};

fn with_region(status: u16, body: &str) -> Fault {
    Fault::Answer {
        status,
        headers: vec![("x-amz-bucket-region".into(), "eu-central-1".into())],
        body: body.to_owned(),
    }
}

#[tokio::test]
async fn a_bucket_in_another_region_is_named() {
    let s = spoiled(timing()).await;
    let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; \
        the region 'us-east-1' is wrong; expecting 'eu-central-1'</Message><Region>eu-central-1</Region></Error>";
    let redirect = "<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be \
        addressed using the specified endpoint.</Message></Error>";
    for fault in [with_region(301, redirect), with_region(301, ""), Fault::answer(400, malformed)] {
        s.proxy.push(fault.clone());
        let error = s.store.get_small("x", 9).await.unwrap_err();
        assert!(
            matches!(error, Error::WrongRegion { actual: Some(ref region), .. } if region == "eu-central-1"),
            "{fault:?}: {error:?}"
        );
        assert!(error.to_string().contains("eu-central-1"));
    }
    s.proxy.push(with_region(301, ""));
    let error = s.store.ensure_root().await.unwrap_err();
    assert!(matches!(error, Error::WrongRegion { .. }), "{error:?}");
}

#[tokio::test]
async fn a_wrong_clock_is_named() {
    let s = spoiled(timing()).await;
    s.proxy.push_times(8, &Fault::s3_error(403, "RequestTimeTooSkewed"));
    let error = s.store.put_new("x", Bytes::new(), PutOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::ClockSkew { .. }), "{error:?}");
}

#[tokio::test]
async fn damage_on_the_way_is_named_and_never_published() {
    let s = spoiled(timing()).await;
    s.proxy.push_times(8, &Fault::s3_error(400, "BadDigest"));
    let error = s.store.put_new("x", Bytes::from_static(b"x"), PutOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    s.proxy.clear();
    assert_eq!(keys(&s.straight, "").await, [""; 0]);
}

/// One small object, one upload in a request, one upload in parts.
async fn write_everything(s: &Spoiled) {
    #[expect(clippy::disallowed_methods, reason = "a lock ends in the real future")]
    let until = Utc::now() + TimeDelta::days(1);
    drop(s.store.put_new("record", Bytes::new(), PutOptions { retain_until: Some(until) }).await);
    for size in [10, 11 << 20] {
        let options = UploadOptions { retain_until: Some(until), ..UploadOptions::default() };
        let mut upload = s.store.begin_upload(&format!("data/{size}"), options).await.unwrap();
        if upload.write(noise(size, 1)).await.is_ok() {
            drop(upload.finish(Bytes::new()).await);
        } else {
            drop(upload.abort().await);
        }
    }
}

fn writes(s: &Spoiled) -> Vec<SeenRequest> {
    let makes = |r: &SeenRequest| matches!(r.operation(), "PutObject" | "CreateMultipartUpload");
    s.proxy.requests().into_iter().filter(makes).collect()
}

#[tokio::test]
async fn encryption_class_lock_and_owner_go_with_every_write_of_data() {
    let change = |o: &mut S3Options| {
        o.sse = SseMode::Kms;
        o.kms_key_id = Some("arn:aws:kms:eu-central-1:1:key/2".into());
        o.storage_class = Some("STANDARD_IA".into());
        o.object_lock_mode = Some(LockMode::Compliance);
        o.object_lock_days = Some(1);
        o.expected_bucket_owner = Some("111122223333".into());
    };
    let s = spoiled_with(timing(), change).await;
    // The engine has no KMS; what counts is what it was asked.
    write_everything(&s).await;
    let seen = writes(&s);
    assert!(seen.iter().any(|r| r.operation() == "CreateMultipartUpload"));
    for request in &seen {
        assert_eq!(request.header("x-amz-server-side-encryption"), Some("aws:kms"), "{request:?}");
        let key = request.header("x-amz-server-side-encryption-aws-kms-key-id");
        assert_eq!(key, Some("arn:aws:kms:eu-central-1:1:key/2"));
        assert_eq!(request.header("x-amz-object-lock-mode"), Some("COMPLIANCE"));
        assert!(request.header("x-amz-object-lock-retain-until-date").is_some());
        assert_eq!(request.header("x-amz-expected-bucket-owner"), Some("111122223333"));
        let is_record = request.target.contains("/record");
        assert_eq!(request.header("x-amz-storage-class"), (!is_record).then_some("STANDARD_IA"));
        if request.operation() == "PutObject" {
            assert_eq!(request.header("if-none-match"), Some("*"));
        }
    }
}

#[tokio::test]
async fn keys_of_the_store_are_asked_for() {
    let s = spoiled_with(timing(), |o| o.sse = SseMode::S3).await;
    write_everything(&s).await;
    let seen = writes(&s);
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|r| r.header("x-amz-server-side-encryption") == Some("AES256")));
}

#[tokio::test]
async fn complete_is_conditional_and_names_size_and_checksum() {
    let s = spoiled(timing()).await;
    let uploaded = upload(&s.store, "x", &noise(10, 1), &noise(11 << 20, 2)).await;
    let requests = s.proxy.requests();
    let complete = requests.iter().find(|r| r.operation() == "CompleteMultipartUpload").unwrap();
    assert_eq!(complete.header("if-none-match"), Some("*"));
    assert_eq!(complete.header("x-amz-checksum-crc64nvme"), Some(&uploaded.crc64nvme.base64()[..]));
    assert_eq!(complete.header("x-amz-checksum-type"), Some("FULL_OBJECT"));
    assert_eq!(complete.header("x-amz-mp-object-size"), Some(&uploaded.size_bytes.to_string()[..]));
}

fn refuses(header: &'static str, value: &'static str) -> impl Fn(&SeenRequest) -> bool + Send + 'static {
    move |request| request.header(header).is_some_and(|v| value.is_empty() || v == value)
}

#[tokio::test]
async fn an_old_store_gets_the_checksum_it_knows() {
    // One that refuses CRC-64/NVME when the upload begins.
    let s = spoiled(timing()).await;
    let refusal = Fault::s3_error(400, "InvalidRequest");
    s.proxy.push_when(refuses("x-amz-checksum-algorithm", "CRC64NVME"), refusal.clone());
    upload(&s.store, "x", &noise(10, 1), &noise(11 << 20, 2)).await;
    assert_eq!(s.store.checksum_mode(), Some(ChecksumMode::Crc32c));
    // One that refuses every algorithm.
    let s = spoiled(timing()).await;
    s.proxy.push_when(refuses("x-amz-checksum-algorithm", "CRC64NVME"), Fault::s3_error(501, "NotImplemented"));
    s.proxy.push_when(refuses("x-amz-checksum-algorithm", "CRC32C"), refusal.clone());
    upload(&s.store, "x", &noise(10, 1), &noise(11 << 20, 2)).await;
    assert_eq!(s.store.checksum_mode(), Some(ChecksumMode::Md5));
    let parts = s.proxy.requests().into_iter().filter(|r| r.operation() == "UploadPart");
    assert!(parts.into_iter().all(|r| r.header("content-md5").is_some()));
    // One that takes the header and does not look at it: its answer does not repeat the sum.
    let s = spoiled(timing()).await;
    let ignorant = Fault::Answer { status: 200, headers: vec![("etag".into(), "\"x\"".into())], body: String::new() };
    s.proxy.push_when(refuses("x-amz-checksum-crc64nvme", ""), ignorant);
    upload(&s.store, "x", &noise(10, 1), &noise(11 << 20, 2)).await;
    assert_eq!(s.store.checksum_mode(), Some(ChecksumMode::Crc32c));
    assert_eq!(s.straight.list_uploads("").await.unwrap(), [], "what was tried was removed");
    // Small objects before anything is known.
    let s = spoiled(timing()).await;
    s.proxy.push_when(refuses("x-amz-checksum-crc64nvme", ""), refusal);
    put(&s.store, "record", "x").await;
    assert_eq!(s.straight.get_small("record", 9).await.unwrap().bytes, "x");
    assert_eq!(s.proxy.pending(), 0);
}

#[tokio::test]
async fn a_configured_checksum_is_not_bargained_over() {
    let s = spoiled_with(timing(), |o| o.checksum = ChecksumMode::Crc64Nvme).await;
    s.proxy.push_when(refuses("x-amz-checksum-algorithm", ""), Fault::s3_error(400, "InvalidRequest"));
    let mut upload = s.store.begin_upload("x", UploadOptions::default()).await.unwrap();
    let error = upload.write(noise(11 << 20, 1)).await.unwrap_err();
    assert!(matches!(error, Error::Service { .. }), "{error:?}");
    upload.abort().await.unwrap();
}

#[tokio::test]
async fn a_store_without_conditional_writes_is_looked_at_first() {
    let s = spoiled_with(timing(), |o| o.checksum = ChecksumMode::Md5).await;
    let refusal = Fault::s3_error(501, "NotImplemented");
    s.proxy.push_when(refuses("if-none-match", ""), refusal.clone());
    put(&s.store, "record", "x").await;
    s.proxy.push_when(refuses("if-none-match", ""), refusal.clone());
    let error = s.store.put_new("record", Bytes::new(), PutOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    s.proxy.push_when(refuses("if-none-match", ""), refusal.clone());
    let data = noise(11 << 20, 1);
    upload(&s.store, "large", &Bytes::new(), &data).await;
    assert!(read_all(&s.straight, "large").await == data);
    s.proxy.push_when(refuses("if-none-match", ""), refusal);
    let mut again = s.store.begin_upload("large", UploadOptions::default()).await.unwrap();
    again.write(noise(11 << 20, 2)).await.unwrap();
    let error = again.finish(Bytes::new()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(s.proxy.pending(), 0);
}

#[tokio::test]
async fn a_race_that_nobody_won_is_run_again() {
    let s = spoiled(timing()).await;
    s.proxy.push_for("PutObject", Fault::s3_error(409, "ConditionalRequestConflict"));
    put(&s.store, "record", "x").await;
    assert_eq!(s.proxy.count("PutObject"), 2);
}

#[tokio::test]
async fn each_key_of_a_deletion_has_its_own_verdict() {
    // The engine does not apply a bucket's policy to deletions of many, so the answer is canned: 200, with errors in it.
    let s = spoiled(timing()).await;
    let wanted = ["a", "b", "c", "d", "e"].map(String::from);
    for key in &wanted {
        put(&s.straight, key, "x").await;
    }
    let prefix = s.store.url().to_string();
    let prefix = prefix.splitn(4, '/').nth(3).unwrap();
    let body = format!(
        "<DeleteResult><Deleted><Key>{prefix}/a</Key></Deleted>\
         <Error><Key>{prefix}/b</Key><Code>AccessDenied</Code><Message>no</Message></Error>\
         <Error><Key>{prefix}/c</Key><Code>InternalError</Code><Message>later</Message></Error>\
         <Error><Key>{prefix}/d</Key><Code>NoSuchKey</Code></Error></DeleteResult>"
    );
    s.proxy.push(Fault::Answer { status: 200, headers: vec![("content-type".into(), "application/xml".into())], body });
    let results = s.store.delete_many(&wanted).await;
    let verdicts: Vec<&Result<(), Error>> = results.iter().map(|(_, result)| result).collect();
    assert!(verdicts[0].is_ok() && verdicts[3].is_ok(), "{verdicts:?}");
    assert!(matches!(verdicts[1], Err(Error::AccessDenied { key, .. }) if key == "b"), "{verdicts:?}");
    assert!(verdicts[2].as_ref().is_err_and(Error::is_transient), "{verdicts:?}");
    assert!(verdicts[4].is_err(), "a key that the answer does not mention is not deleted: {verdicts:?}");
    // The request for many is refused as a whole: each key is asked for.
    s.proxy.push(Fault::s3_error(501, "NotImplemented"));
    let results = s.store.delete_many(&wanted).await;
    assert!(results.iter().all(|(_, result)| result.is_ok()), "{results:?}");
    assert_eq!(keys(&s.straight, "").await, [""; 0]);
}

#[tokio::test]
async fn an_answer_that_is_cut_off_or_tells_no_age_is_refused() {
    let s = spoiled(timing()).await;
    put(&s.straight, "a", "x").await;
    let prefix = s.store.url().to_string();
    let prefix = prefix.splitn(4, '/').nth(3).unwrap();
    let answer = |body: &str| {
        let headers = vec![("content-type".into(), "application/xml".into())];
        Fault::Answer { status: 200, headers, body: body.to_owned() }
    };
    let list = |more: &str, date: &str| {
        let object =
            format!("<Contents><Key>{prefix}/a</Key><Size>1</Size><ETag>&quot;e&quot;</ETag>{date}</Contents>");
        answer(&format!("<ListBucketResult>{object}{more}</ListBucketResult>"))
    };
    let date = "<LastModified>2026-11-21T02:43:00.000Z</LastModified>";
    let cut = "<IsTruncated>true</IsTruncated>";
    let again = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
    let listed = async || s.store.list("").try_collect::<Vec<_>>().await;
    let refused = |error: Error, said: &str| {
        assert!(matches!(&error, Error::Service { code, .. } if code == "InvalidAnswer"), "{error:?}");
        assert!(error.to_string().contains(said) && !error.is_transient(), "{error}");
    };
    s.proxy.push(list(cut, date));
    refused(listed().await.unwrap_err(), "does not say where it goes on");
    s.proxy.push_times(2, &list(again, date));
    refused(listed().await.unwrap_err(), "goes on where it has been");
    // One that makes up a token for each answer.
    for n in 0..2 {
        s.proxy.push(list(&format!("{cut}<NextContinuationToken>{n}</NextContinuationToken>"), date));
    }
    refused(listed().await.unwrap_err(), "goes on where it has been");
    s.proxy.push(list(cut, date));
    refused(s.store.list_children("").await.unwrap_err(), "does not say where it goes on");
    s.proxy.push(answer("<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>"));
    refused(s.store.list_uploads("").await.unwrap_err(), "does not say where it goes on");
    let marker =
        "<IsTruncated>true</IsTruncated><NextKeyMarker>a</NextKeyMarker><NextUploadIdMarker>1</NextUploadIdMarker>";
    s.proxy.push_times(2, &answer(&format!("<ListMultipartUploadsResult>{marker}</ListMultipartUploadsResult>")));
    refused(s.store.list_uploads("").await.unwrap_err(), "goes on where it has been");
    s.proxy.push(list("", ""));
    refused(listed().await.unwrap_err(), "when the object was written");
    let undated = |body: &str| {
        let headers = vec![("etag".into(), "\"e\"".into())];
        Fault::Answer { status: 200, headers, body: body.to_owned() }
    };
    s.proxy.push(undated("x"));
    refused(s.store.get_small("a", 9).await.unwrap_err(), "when the object was written");
    s.proxy.push(undated(""));
    refused(s.store.head("a").await.unwrap_err(), "when the object was written");
    // What says everything is taken.
    s.proxy.push(list("", date));
    assert_eq!(listed().await.unwrap().concat().len(), 1);
    assert_eq!(s.proxy.pending(), 0);
}
