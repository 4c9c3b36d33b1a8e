//! Faults while reading, made by a proxy before the real engine.

use std::time::{Duration, Instant};

use bytes::Bytes;
use holdpoint_repository::{Error, ObjectStore, Timing};
use holdpoint_testkit::{Fault, Rule};

use crate::engine::{impatient, spoiled, timing};
use crate::suite::{noise, put, upload};

const LENGTH: usize = 6 << 20;

#[tokio::test]
async fn a_cut_download_goes_on_where_it_ended() {
    let s = spoiled(timing()).await;
    let data = noise(LENGTH, 1);
    let etag = upload(&s.straight, "d", &Bytes::new(), &data).await.etag;
    for fault in [Fault::CloseAfterResponseBytes(2_000_000), Fault::ResetAfterResponseBytes(2_000_000)] {
        for range in [None, Some(1_000_000..5_000_000u64)] {
            s.proxy.push_for("GetObject", fault.clone());
            s.proxy.push_for("GetObject", fault.clone());
            let before = s.proxy.count("GetObject");
            let mut reader = s.store.read("d", range.clone(), Some(&etag)).await.unwrap();
            let mut all = Vec::new();
            while let Some(chunk) = reader.next_chunk().await.unwrap() {
                all.extend_from_slice(&chunk);
            }
            let wanted = range.map_or(0..LENGTH, |r| r.start as usize..r.end as usize);
            assert!(all == data[wanted.clone()], "{fault:?} {wanted:?}");
            assert!(s.proxy.count("GetObject") > before + 1, "it was cut");
            assert!(reader.fetched_bytes() <= wanted.len() as u64, "nothing was read twice");
            s.proxy.clear();
        }
    }
    let requests = s.proxy.requests();
    let resumed = requests.iter().rfind(|r| r.operation() == "GetObject").unwrap();
    assert!(resumed.header("range").is_some_and(|r| r.ends_with("-4999999")), "{resumed:?}");
    assert_eq!(resumed.header("if-match"), Some(&etag[..]));
}

#[tokio::test]
async fn a_download_that_never_gets_on_is_given_up() {
    let s = spoiled(timing()).await;
    upload(&s.straight, "d", &Bytes::new(), &noise(LENGTH, 1)).await;
    for fault in [Fault::CloseAfterResponseBytes(10), Fault::ResetAfterResponseBytes(10)] {
        s.proxy.push_times(40, &fault);
        let reader = s.store.read("d", Some(0..1_000_000), None).await.unwrap();
        let error = reader.read_to_end(u64::MAX).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        assert!(s.proxy.pending() > 30, "the attempts are bounded");
        s.proxy.clear();
    }
}

#[tokio::test]
async fn an_object_replaced_during_a_cut_is_noticed() {
    let s = spoiled(timing()).await;
    let etag = put(&s.straight, "d", &"old".repeat(500_000)).await;
    s.proxy.push_for("GetObject", Fault::CloseAfterResponseBytes(700_000));
    let mut reader = s.store.read("d", None, None).await.unwrap();
    reader.next_chunk().await.unwrap();
    let other = Bytes::from("new".repeat(500_000));
    s.straight.put_if_matches("d", other, &etag).await.unwrap();
    let error = reader.read_to_end(u64::MAX).await.unwrap_err();
    assert!(matches!(error, Error::PreconditionFailed { .. }), "{error:?}");
}

#[tokio::test]
async fn a_stalled_download_is_cut_and_goes_on() {
    let s = spoiled(impatient()).await;
    let data = noise(LENGTH, 1);
    upload(&s.straight, "d", &Bytes::new(), &data).await;
    let began = Instant::now();
    let mut reader = s.store.read("d", None, None).await.unwrap();
    let first = reader.next_chunk().await.unwrap().unwrap();
    s.proxy.stall(true);
    let (rest, ()) = tokio::join!(reader.read_to_end(u64::MAX), async {
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        s.proxy.stall(false);
    });
    let rest = rest.unwrap();
    assert!(first == data[..first.len()] && rest == data[first.len()..]);
    assert!(s.proxy.count("GetObject") > 1, "it was cut");
    assert!(began.elapsed() < Duration::from_secs(100));
}

#[tokio::test]
async fn a_download_that_trickles_is_cut_and_goes_on_or_is_given_up() {
    let s = spoiled(impatient()).await;
    let data = noise(LENGTH, 1);
    upload(&s.straight, "d", &Bytes::new(), &data).await;
    // Each byte comes long before the stream would count as stalled.
    let trickle = Fault::Trickle(Duration::from_millis(100));
    s.proxy.push_for("GetObject", trickle.clone());
    let all = s.store.read("d", None, None).await.unwrap().read_to_end(u64::MAX).await.unwrap();
    assert!(all == data && s.proxy.count("GetObject") > 1, "it was cut");
    s.proxy.rule(Rule::new(trickle).operation("GetObject").always());
    let began = Instant::now();
    let error = s.store.read("d", None, None).await.unwrap().read_to_end(u64::MAX).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { attempts: 4, .. }), "{error:?}");
    let error = s.store.get_small("d", u64::MAX).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { attempts: 4, .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

/// What is slow all the time and above 4 KiB/s is a slow line; what is below stands still.
#[tokio::test]
async fn a_slow_line_gives_the_right_bytes_and_one_that_is_too_slow_ends() {
    let s = spoiled(Timing { stall_for: Duration::from_secs(5), ..timing() }).await;
    let data = noise(100_000, 1);
    let etag = upload(&s.straight, "d", &Bytes::new(), &data).await.etag;
    s.proxy.rule(Rule::new(Fault::Throttle(16 << 10)).always());
    for range in [None, Some(1_000..90_000u64)] {
        let (began, before) = (Instant::now(), s.proxy.count("GetObject"));
        let reader = s.store.read("d", range.clone(), Some(&etag)).await.unwrap();
        let all = reader.read_to_end(u64::MAX).await.unwrap();
        let wanted = range.map_or(0..data.len(), |range| range.start as usize..range.end as usize);
        assert!(all == data[wanted.clone()], "{wanted:?}");
        assert_eq!(s.proxy.count("GetObject"), before + 1, "it was cut");
        assert!(began.elapsed() >= Duration::from_secs(4), "it was not slow: {:?}", began.elapsed());
    }
    // What is written is as slow, and arrives.
    put(&s.store, "written", std::str::from_utf8(&[b'w'; 60_000]).unwrap()).await;
    assert_eq!(s.straight.head("written").await.unwrap().size_bytes, 60_000);
    s.proxy.clear();
    s.proxy.rule(Rule::new(Fault::Throttle(1 << 10)).operation("GetObject").always());
    let began = Instant::now();
    let error = s.store.read("d", Some(0..90_000), None).await.unwrap().read_to_end(u64::MAX).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { action: "read", attempts: 4, .. }), "{error:?}");
    assert!(error.to_string().contains("given up after 4 attempts"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_small_read_has_the_time_of_a_request_with_its_body() {
    // Neither a stall nor a number of attempts ends it.
    let patient = Timing { stall_for: Duration::from_secs(600), request_for: Duration::from_secs(8), ..impatient() };
    let s = spoiled(patient).await;
    put(&s.straight, "record", &"0123456789".repeat(100)).await;
    s.proxy.rule(Rule::new(Fault::Trickle(Duration::from_secs(1))).operation("GetObject").always());
    let began = Instant::now();
    let error = s.store.get_small("record", 1000).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(7) && took < Duration::from_secs(60), "{took:?}");
}

#[tokio::test]
async fn whoever_reads_slowly_is_not_cut() {
    let s = spoiled(Timing { stall_for: Duration::from_secs(4), ..timing() }).await;
    let data = noise(LENGTH, 1);
    upload(&s.straight, "d", &Bytes::new(), &data).await;
    let mut reader = s.store.read("d", None, None).await.unwrap();
    let mut all = Vec::new();
    while let Some(chunk) = reader.next_chunk().await.unwrap() {
        if all.len() < 3 * chunk.len() {
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        all.extend_from_slice(&chunk);
    }
    assert!(all == data);
    assert_eq!(s.proxy.count("GetObject"), 1, "it was cut");
}

#[tokio::test]
async fn a_flipped_byte_is_noticed_in_a_whole_object_only() {
    let s = spoiled(timing()).await;
    let data = noise(LENGTH, 1);
    let uploaded = upload(&s.straight, "d", &Bytes::new(), &data).await;
    assert!(uploaded.confirmed.is_some());
    s.proxy.push_for("GetObject", Fault::FlipResponseByte(1_234_567));
    let reader = s.store.read("d", None, None).await.unwrap();
    let error = reader.read_to_end(u64::MAX).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    // No checksum goes with a range: this is why every piece has a hash in the index.
    s.proxy.push_for("GetObject", Fault::FlipResponseByte(500));
    let reader = s.store.read("d", Some(0..1000), None).await.unwrap();
    let bytes = reader.read_to_end(u64::MAX).await.unwrap();
    assert_eq!(bytes.iter().zip(&data[..1000]).filter(|(a, b)| a != b).count(), 1);
    // The proxy is what was wrong.
    let reader = s.store.read("d", None, None).await.unwrap();
    assert!(reader.read_to_end(u64::MAX).await.unwrap() == data);
}

#[tokio::test]
async fn small_reads_survive_faults_too() {
    let s = spoiled(impatient()).await;
    put(&s.straight, "record", "0123456789").await;
    for fault in
        [Fault::CloseAfterResponseBytes(4), Fault::s3_error(503, "SlowDown"), Fault::ResetAtOnce, Fault::Silence]
    {
        s.proxy.push_for("GetObject", fault.clone());
        assert_eq!(s.store.get_small("record", 10).await.unwrap().bytes, "0123456789", "{fault:?}");
        assert_eq!(s.proxy.pending(), 0);
    }
}
