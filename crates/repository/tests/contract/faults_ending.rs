//! A store that stands still while somebody waits for the end: after a signal there is little time.

use std::time::{Duration, Instant};

use holdpoint_repository::{Ending, Error, ObjectStore as _, Timing, UploadOptions};
use holdpoint_testkit::{Fault, Rule};
use tokio_util::sync::CancellationToken;

use crate::engine::{Spoiled, spoiled};
use crate::suite::{noise, put};

const WITHIN: Duration = Duration::from_secs(1);

/// A store whose own times no test would wait for, and what ends the waiting.
async fn patient() -> (Spoiled, CancellationToken) {
    let end = CancellationToken::new();
    let ending = Ending::after(end.clone(), WITHIN);
    (spoiled(Timing { ending, ..Timing::default() }).await, end)
}

/// Does the work, and gives the signal while it waits.
async fn signalled<T>(end: &CancellationToken, work: impl Future<Output = T>) -> T {
    let signal = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        end.cancel();
        Instant::now()
    };
    let (done, at) = tokio::join!(work, signal);
    assert!(at.elapsed() < Duration::from_secs(45), "it took {:?}", at.elapsed());
    done
}

#[tokio::test]
async fn a_silent_store_is_given_up_soon_after_the_end_was_asked_for() {
    for fault in [Fault::Silence, Fault::StallAfterResponseBytes(4), Fault::StopReading] {
        let (s, end) = patient().await;
        put(&s.straight, "record", "0123456789").await;
        s.proxy.rule(Rule::new(fault.clone()).always());
        let error = signalled(&end, s.store.get_small("record", 10)).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{fault:?}: {error:?}");
        // What comes next is not waited for anew.
        let began = Instant::now();
        s.store.get_small("record", 10).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(30), "{fault:?}: {:?}", began.elapsed());
        // One that answers again is heard.
        s.proxy.clear();
        assert_eq!(s.store.get_small("record", 10).await.unwrap().bytes, "0123456789", "{fault:?}");
    }
}

#[tokio::test]
async fn an_upload_that_could_not_be_aborted_in_time_is_told() {
    let (s, end) = patient().await;
    let mut upload = s.store.begin_upload("shop/archive.dump", UploadOptions::default()).await.unwrap();
    upload.write(noise(12 << 20, 1)).await.unwrap();
    while s.straight.list_uploads("").await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    s.proxy.rule(Rule::new(Fault::StopReading).always());
    let error = signalled(&end, upload.abort()).await.unwrap_err();
    let id = error.left_behind().unwrap_or_else(|| panic!("{error:?}")).to_owned();
    assert!(error.to_string().contains("shop/archive.dump"), "{error}");
    let left = s.straight.list_uploads("").await.unwrap();
    assert_eq!(left.iter().map(|one| &one.id).collect::<Vec<_>>(), [&id]);
    s.straight.abort_upload(&left[0]).await.unwrap();
}
