//! Faults while writing, made by a proxy before the real engine.

use std::time::{Duration, Instant};

use bytes::Bytes;
use holdpoint_repository::{Error, ObjectStore, PutOptions, Timing, UploadOptions};
use holdpoint_testkit::{ADMIN, Fault, S3Server, SeenRequest};

use crate::engine::{connect, impatient, new_url, options, spoiled, spoiled_with, timing};
use crate::suite::{keys, noise, put, read_all, upload};

const LARGE: usize = 17 << 20;

#[tokio::test]
async fn busy_stores_are_asked_again() {
    let s = spoiled(timing()).await;
    for fault in [
        Fault::s3_error(503, "SlowDown"),
        Fault::s3_error(429, "TooManyRequests"),
        Fault::answer(429, ""),
        Fault::answer(503, ""),
        Fault::s3_error(500, "InternalError"),
        Fault::s3_error(400, "RequestTimeout"),
        Fault::ResetAtOnce,
        Fault::CloseAtOnce,
    ] {
        s.proxy.push_times(2, &fault);
        let key = format!("k{}", s.proxy.connections());
        put(&s.store, &key, "x").await;
        assert_eq!(s.straight.get_small(&key, 9).await.unwrap().bytes, "x", "{fault:?}");
        assert_eq!(s.proxy.pending(), 0);
    }
}

#[tokio::test]
async fn a_store_that_stays_busy_is_given_up_and_said() {
    let s = spoiled(timing()).await;
    for (fault, transient) in [
        (Fault::s3_error(503, "SlowDown"), true),
        (Fault::s3_error(429, "TooManyRequests"), true),
        (Fault::s3_error(500, "InternalError"), true),
        (Fault::ResetAtOnce, true),
        (Fault::s3_error(403, "AccessDenied"), false),
    ] {
        s.proxy.push_times(40, &fault);
        let error = s.store.put_new("k", Bytes::from_static(b"x"), PutOptions::default()).await.unwrap_err();
        assert_eq!(error.is_transient(), transient, "{error:?}");
        s.proxy.clear();
    }
    assert_eq!(keys(&s.straight, "").await, [""; 0]);
}

#[tokio::test]
async fn many_retries_in_one_process_do_not_use_up_a_budget() {
    // The SDK's own budget ends after some hundred retries in the life of the process.
    let s = spoiled(Timing { first_pause: Duration::from_millis(1), ..timing() }).await;
    for n in 0..130 {
        s.proxy.push(Fault::s3_error(503, "SlowDown"));
        put(&s.store, &format!("k{n}"), "x").await;
    }
    assert_eq!(keys(&s.straight, "").await.len(), 130);
}

#[tokio::test]
async fn a_lost_answer_to_our_own_write_is_success() {
    let s = spoiled(timing()).await;
    s.proxy.push_for("PutObject", Fault::LoseResponse);
    let etag = put(&s.store, "record", "ours").await;
    assert_eq!(s.proxy.count("PutObject"), 2, "it was sent again");
    assert_eq!(s.straight.head("record").await.unwrap().etag, etag);
    // Replacing has the same trap.
    s.proxy.push_for("PutObject", Fault::LoseResponse);
    let replaced = s.store.put_if_matches("record", Bytes::from_static(b"ours again"), &etag).await.unwrap();
    assert_eq!(s.straight.head("record").await.unwrap().etag, replaced.etag);
    // And a write that never hears anything.
    s.proxy.push_times(4, &Fault::LoseResponse);
    put(&s.store, "silent", "ours").await;
}

#[tokio::test]
async fn a_lost_answer_does_not_make_anothers_object_ours() {
    let s = spoiled(timing()).await;
    put(&s.straight, "record", "theirs").await;
    s.proxy.push_for("PutObject", Fault::LoseResponse);
    let error = s.store.put_new("record", Bytes::from_static(b"theirs"), PutOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
}

/// Uploads through the proxy and compares what the store has.
async fn upload_through(s: &crate::engine::Spoiled, key: &str) {
    let (head, data) = (noise(1000, 1), noise(LARGE, 2));
    let uploaded = upload(&s.store, key, &head, &data).await;
    assert!(uploaded.confirmed.is_some());
    let stored = read_all(&s.straight, key).await;
    assert!(stored[..1000] == head && stored[1000..] == data);
    assert_eq!(s.proxy.pending(), 0, "every fault was met");
}

#[tokio::test]
async fn parts_survive_faults() {
    let s = spoiled(timing()).await;
    // The first upload also finds out the checksum mode.
    upload_through(&s, "calm").await;
    for (n, fault) in [
        Fault::s3_error(503, "SlowDown"),
        Fault::ResetAfterRequestBytes(1 << 20),
        Fault::ResetAtOnce,
        Fault::LoseResponse,
    ]
    .into_iter()
    .enumerate()
    {
        s.proxy.push_for("UploadPart", fault.clone());
        s.proxy.push_for("UploadPart", fault);
        upload_through(&s, &format!("spoiled/{n}")).await;
    }
    assert_eq!(s.straight.list_uploads("").await.unwrap(), []);
}

#[tokio::test]
async fn a_part_outlasts_the_attempts_of_one_request() {
    let s = spoiled(timing()).await;
    upload_through(&s, "calm").await;
    // Four attempts are one round; the part is begun anew.
    for _ in 0..5 {
        s.proxy.push_for("UploadPart", Fault::s3_error(503, "SlowDown"));
    }
    upload_through(&s, "spoiled").await;
}

#[tokio::test]
async fn a_store_that_stops_reading_or_answering_is_cut_off() {
    let s = spoiled(impatient()).await;
    upload_through(&s, "calm").await;
    let began = Instant::now();
    for (n, fault) in [Fault::StopReading, Fault::Silence].into_iter().enumerate() {
        s.proxy.push_for("UploadPart", fault);
        upload_through(&s, &format!("spoiled/{n}")).await;
    }
    s.proxy.push_for("PutObject", Fault::Silence);
    put(&s.store, "record", "x").await;
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_lost_answer_to_complete_is_success() {
    let s = spoiled(timing()).await;
    s.proxy.push_for("CompleteMultipartUpload", Fault::LoseResponse);
    upload_through(&s, "once").await;
    for _ in 0..4 {
        s.proxy.push_for("CompleteMultipartUpload", Fault::LoseResponse);
    }
    upload_through(&s, "never-answered").await;
    // "200" with an error in its body is none.
    let error_in_200 = Fault::Answer {
        status: 200,
        headers: vec![("content-type".into(), "application/xml".into())],
        body: "<Error><Code>InternalError</Code><Message>try again</Message></Error>".into(),
    };
    s.proxy.push_for("CompleteMultipartUpload", error_in_200);
    upload_through(&s, "error-in-200").await;
    assert_eq!(s.straight.list_uploads("").await.unwrap(), []);
}

#[tokio::test]
async fn a_lost_answer_to_complete_does_not_make_anothers_object_ours() {
    let s = spoiled(timing()).await;
    let mut upload = s.store.begin_upload("taken", UploadOptions::default()).await.unwrap();
    upload.write(noise(LARGE, 1)).await.unwrap();
    put(&s.straight, "taken", "theirs").await;
    s.proxy.push_for("CompleteMultipartUpload", Fault::LoseResponse);
    let error = upload.finish(Bytes::new()).await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(s.straight.get_small("taken", 9).await.unwrap().bytes, "theirs");
    assert_eq!(s.straight.list_uploads("").await.unwrap(), []);
}

#[tokio::test]
async fn a_lost_answer_to_begin_leaves_an_upload_that_can_be_found() {
    let s = spoiled(timing()).await;
    s.proxy.push_for("CreateMultipartUpload", Fault::LoseResponse);
    upload_through(&s, "shop/archive.dump").await;
    let left = s.straight.list_uploads("shop/").await.unwrap();
    assert_eq!(left.len(), 1, "the first answer was lost, and with it the upload's id");
    s.straight.abort_upload(&left[0]).await.unwrap();
    assert_eq!(s.straight.list_uploads("").await.unwrap(), []);
    assert_eq!(keys(&s.straight, "").await, ["shop/archive.dump"]);
}

#[tokio::test]
async fn a_failed_upload_is_aborted_and_says_why() {
    let s = spoiled(timing()).await;
    s.proxy.push_for("CompleteMultipartUpload", Fault::s3_error(403, "AccessDenied"));
    let mut upload = s.store.begin_upload("x", UploadOptions::default()).await.unwrap();
    upload.write(noise(LARGE, 1)).await.unwrap();
    let error = upload.finish(Bytes::new()).await.unwrap_err();
    assert!(matches!(error, Error::AccessDenied { action: "complete upload of", .. }), "{error:?}");
    assert_eq!(s.straight.list_uploads("").await.unwrap(), []);
    assert_eq!(keys(&s.straight, "").await, [""; 0]);
}

/// Whoever cuts a part off does not know when the store takes it in: it may outlive the upload's end.
#[tokio::test]
async fn a_part_that_arrives_after_the_upload_was_aborted_is_looked_for() {
    let s = spoiled(timing()).await;
    // The second is the first of the data: sixteen bytes went before it to find out about checksums.
    let data = |request: &SeenRequest| {
        request.operation() == "UploadPart" && request.header("content-length").is_some_and(|length| length != "16")
    };
    s.proxy.push_when(data, Fault::StopReading);
    let mut upload = s.store.begin_upload("x", UploadOptions::default()).await.unwrap();
    upload.write(noise(LARGE, 1)).await.unwrap();
    // The store says that nothing is left, twice, and then something is.
    for _ in 0..2 {
        s.proxy.push_for("AbortMultipartUpload", Fault::answer(204, ""));
        s.proxy.push_for("ListParts", Fault::s3_error(404, "NoSuchUpload"));
    }
    upload.abort().await.unwrap();
    assert_eq!((s.proxy.pending(), s.proxy.count("AbortMultipartUpload")), (0, 3));
    assert_eq!(s.straight.list_uploads("").await.unwrap(), []);
}

/// A sweep does not know either whether whoever worked on an upload a moment ago has a part on its way.
#[tokio::test]
async fn a_part_that_arrives_after_its_upload_was_swept_is_looked_for() {
    let s = spoiled(timing()).await;
    for operation in ["CompleteMultipartUpload", "AbortMultipartUpload"] {
        s.proxy.push_for(operation, Fault::s3_error(403, "AccessDenied"));
    }
    let mut upload = s.store.begin_upload("shop/archive.dump", UploadOptions::default()).await.unwrap();
    upload.write(noise(LARGE, 1)).await.unwrap();
    upload.finish(Bytes::new()).await.unwrap_err();
    let left = s.straight.list_uploads("").await.unwrap();
    assert_eq!((left.len(), s.proxy.pending()), (1, 0), "{left:?}");
    // The store says that nothing is left, and then something is.
    s.proxy.push_for("AbortMultipartUpload", Fault::answer(204, ""));
    s.proxy.push_for("ListParts", Fault::s3_error(404, "NoSuchUpload"));
    s.store.abort_upload(&left[0]).await.unwrap();
    assert_eq!((s.proxy.pending(), s.straight.list_uploads("").await.unwrap()), (0, vec![]));
}

#[tokio::test]
async fn parts_on_their_way_land_before_their_upload_is_aborted() {
    let s = spoiled(timing()).await;
    let mut upload = s.store.begin_upload("x", UploadOptions::default()).await.unwrap();
    upload.write(noise(LARGE, 1)).await.unwrap();
    upload.abort().await.unwrap();
    let asked: Vec<_> = s.proxy.requests().iter().map(SeenRequest::operation).collect();
    let aborts = asked.iter().filter(|one| **one == "AbortMultipartUpload").count();
    let part = asked.iter().rposition(|one| *one == "UploadPart").unwrap();
    assert!(asked.iter().position(|one| *one == "AbortMultipartUpload").unwrap() > part && aborts > 0, "{asked:?}");
    assert_eq!(s.straight.list_uploads("").await.unwrap(), []);
}

/// A prune, or a rule of the bucket, took it for a leftover.
#[tokio::test]
async fn an_upload_that_is_swept_in_the_middle_says_so() {
    let s = spoiled(timing()).await;
    let mut upload = s.store.begin_upload("shop/archive.dump", UploadOptions::default()).await.unwrap();
    upload.write(noise(LARGE, 1)).await.unwrap();
    let left = loop {
        match s.straight.list_uploads("").await.unwrap().pop() {
            Some(left) => break left,
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    // Parts that are on their way may bring it back for a moment.
    s.straight.abort_upload(&left).await.unwrap();
    let mut outcome = Ok(());
    for _ in 0..20 {
        outcome = upload.write(noise(6 << 20, 1)).await;
        if outcome.is_err() {
            break;
        }
        drop(s.straight.abort_upload(&left).await);
    }
    let error = outcome.unwrap_err();
    assert!(matches!(&error, Error::UploadGone { key } if key == "shop/archive.dump"), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("prune") && text.contains("lifecycle rule") && !text.contains("no such object"), "{text}");
    upload.abort().await.unwrap();
    assert_eq!((s.straight.list_uploads("").await.unwrap(), keys(&s.straight, "").await), (vec![], vec![]));

    // Right before it is completed.
    let mut upload = s.store.begin_upload("shop/archive.dump", UploadOptions::default()).await.unwrap();
    upload.write(noise(LARGE, 1)).await.unwrap();
    s.proxy.push_for("CompleteMultipartUpload", Fault::s3_error(404, "NoSuchUpload"));
    let error = upload.finish(Bytes::new()).await.unwrap_err();
    assert!(matches!(error, Error::UploadGone { .. }), "{error:?}");
    assert_eq!(s.straight.list_uploads("").await.unwrap(), []);
}

#[tokio::test]
async fn an_upload_that_cannot_be_aborted_is_named() {
    let s = spoiled(timing()).await;
    let mut upload = s.store.begin_upload("x", UploadOptions::default()).await.unwrap();
    upload.write(noise(LARGE, 1)).await.unwrap();
    s.proxy.push_for("CompleteMultipartUpload", Fault::s3_error(400, "InvalidPart"));
    s.proxy.push_for("AbortMultipartUpload", Fault::s3_error(403, "AccessDenied"));
    let error = upload.finish(Bytes::new()).await.unwrap_err();
    let left = s.straight.list_uploads("").await.unwrap();
    assert_eq!(left.len(), 1);
    match &error {
        Error::UploadLeftBehind { upload_id, cause, source, .. } => {
            assert_eq!(*upload_id, left[0].id);
            assert!(
                matches!(cause.as_deref(), Some(Error::Service { code, .. }) if code == "InvalidPart"),
                "{error:?}"
            );
            assert!(matches!(**source, Error::AccessDenied { .. }), "{error:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains(&left[0].id));
    s.straight.abort_upload(&left[0]).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_killed_fails_the_upload_and_the_leftover_is_found() {
    let server = S3Server::start();
    let name = server.new_bucket();
    let url = format!("s3://{name}/pg").parse().unwrap();
    let quick = Timing { rounds: 1, attempts: 2, ..impatient() };
    let store = connect(&url, options(server.endpoint()), &ADMIN, quick).await;
    let mut upload = store.begin_upload("shop/archive.dump", UploadOptions::default()).await.unwrap();
    upload.write(noise(LARGE, 1)).await.unwrap();
    server.kill();
    let mut outcome = Ok(());
    for _ in 0..10 {
        outcome = upload.write(noise(6 << 20, 1)).await;
        if outcome.is_err() {
            break;
        }
    }
    let error = outcome.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let error = upload.abort().await.unwrap_err();
    let id = error.left_behind().unwrap_or_else(|| panic!("{error:?}")).to_owned();
    server.resume();
    let left = store.list_uploads("").await.unwrap();
    assert_eq!(left.iter().map(|u| (&u.key[..], &u.id)).collect::<Vec<_>>(), [("shop/archive.dump", &id)]);
    assert_eq!(keys(&store, "").await, [""; 0]);
    store.abort_upload(&left[0]).await.unwrap();
    assert_eq!(store.list_uploads("").await.unwrap(), []);
}

#[tokio::test]
async fn nobody_listening_is_said_soon() {
    let store = connect(&new_url(), options("http://127.0.0.1:1".to_owned()), &ADMIN, timing()).await;
    let began = Instant::now();
    let error = store.put_new("a", Bytes::new(), PutOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.is_transient(), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(100));
}

#[tokio::test]
async fn equal_parts_are_equal_on_the_wire() {
    let s = spoiled_with(timing(), |o| o.equal_parts = true).await;
    upload(&s.store, "x", &noise(1000, 1), &noise(LARGE, 2)).await;
    let mut sizes: Vec<(u32, u64)> = s
        .proxy
        .requests()
        .iter()
        .filter(|r| r.operation() == "UploadPart")
        .map(|r| {
            let number = r.target.split(['?', '&']).find_map(|p| p.strip_prefix("partNumber=")).unwrap();
            (number.parse().unwrap(), r.header("content-length").unwrap().parse().unwrap())
        })
        .filter(|(_, size)| *size != 16)
        .collect();
    sizes.sort_unstable();
    let full = 5 << 20;
    let rest = (LARGE as u64 + 1000) % full;
    assert_eq!(sizes, [(1, full), (2, full), (3, full), (4, rest)]);
    let checksums = s.proxy.requests().into_iter().filter(|r| r.operation() == "UploadPart");
    for request in checksums {
        assert!(request.header("x-amz-checksum-crc64nvme").is_some());
        assert_eq!(request.header("x-amz-trailer"), None, "many stores refuse trailers");
        assert_eq!(request.header("content-encoding"), None);
    }
}
