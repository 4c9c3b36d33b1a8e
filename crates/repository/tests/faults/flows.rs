//! The work that is spoiled, and what holds of it afterwards.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use holdpoint_core::cron::{CronHistory, Turn};
use holdpoint_core::layout;
use holdpoint_repository::{Error, LeaseTaken, ObjectStore, Repository, Result, S3Store, UploadOptions, Withdrawal};
use holdpoint_testkit::{ADMIN, S3Server};

use crate::cases::Flow;
use crate::engine::Spoiled;
use crate::sample::{NOW, manifest, objects, point, shop};
use crate::suite::{keys, noise, put, read_all};

/// Two parts, the first of the least size that there is.
const LARGE: usize = (5 << 20) + 1000;
const SMALL: usize = 100_000;
/// A pin that is over.
const OVER: &str = "over";

/// Made once: it takes longer than to upload it.
fn large() -> Bytes {
    static BYTES: LazyLock<Bytes> = LazyLock::new(|| noise(LARGE, 1));
    BYTES.clone()
}

fn archive() -> String {
    layout::archive(&shop(), &point(1))
}

fn globals() -> String {
    layout::globals(&shop(), &point(1))
}

async fn repository(store: &S3Store) -> Repository {
    Repository::init(Arc::new(store.clone()), NOW.parse().unwrap()).await.unwrap().0
}

/// Stores what the restore point is made of.
async fn stored(s: &Spoiled) {
    for (key, text) in objects(&point(1)) {
        put(&s.straight, &key, text).await;
    }
}

/// Makes what the work needs, past the proxy.
pub(crate) async fn prepare(flow: Flow, s: &Spoiled) {
    let repository = repository(&s.straight).await;
    match flow {
        Flow::Archive | Flow::Abort | Flow::Small | Flow::Lease => {}
        Flow::Pin => {
            stored(s).await;
            repository.publish(&manifest(&point(1)), None).await.unwrap();
        }
        Flow::Publish => stored(s).await,
        Flow::Head | Flow::Whole | Flow::Range | Flow::List => {
            let mut upload = s.straight.begin_upload(&archive(), UploadOptions::default()).await.unwrap();
            upload.write(noise(SMALL, 1)).await.unwrap();
            upload.finish(Bytes::new()).await.unwrap();
        }
        Flow::Withdraw | Flow::Pinned => {
            stored(s).await;
            repository.publish(&manifest(&point(1)), None).await.unwrap();
            let over = serde_json::json!({"format": 1, "reason": "r", "at": NOW, "until": NOW});
            repository.pin(&shop(), &point(1), OVER, &over).await.unwrap();
        }
        Flow::Sweep => {
            put(&s.straight, &globals(), "roles").await;
            let holdpoint_repository::RepositoryUrl::Bucket { bucket, prefix } = s.straight.url() else { panic!() };
            let path = format!("/{bucket}/{prefix}/{}", layout::archive(&shop(), &point(2)));
            assert_eq!(S3Server::shared().request(&ADMIN, "POST", &path, &[("uploads", "")], &[], b"").status, 200);
        }
    }
}

/// Does the work through the proxy. It may fail, but says nothing that is not so.
pub(crate) async fn work(flow: Flow, s: &Spoiled) -> Result<()> {
    let opened = || repository(&s.straight);
    // The same repository, seen through the proxy; to open it is no part of what is spoiled.
    let spoiled = async || {
        let rules_do_not_fit_this = Repository::open(Arc::new(s.store.clone())).await;
        rules_do_not_fit_this.unwrap()
    };
    match flow {
        Flow::Archive => {
            let data = large();
            upload(&s.store, &archive(), data.clone()).await?;
            assert!(read_all(&s.straight, &archive()).await == data, "other bytes were stored");
        }
        Flow::Abort => {
            let mut upload = s.store.begin_upload(&archive(), UploadOptions::default()).await?;
            upload.write(large()).await?;
            upload.abort().await?;
            assert_eq!(s.straight.list_uploads("").await.unwrap(), []);
        }
        Flow::Small => {
            let data = noise(SMALL, 1);
            upload(&s.store, &globals(), data.clone()).await?;
            assert!(read_all(&s.straight, &globals()).await == data, "other bytes were stored");
        }
        Flow::Publish => {
            let published = spoiled().await.publish(&manifest(&point(1)), None).await?;
            let found = opened().await.manifest(&shop(), &point(1)).await.unwrap();
            assert_eq!((found.manifest, found.sha256), (manifest(&point(1)), published.sha256));
        }
        Flow::Head => {
            let found = s.store.head(&archive()).await?;
            assert_eq!(found.size_bytes, SMALL as u64);
            let reader = s.store.read(&archive(), None, Some(&found.etag)).await?;
            assert!(reader.read_to_end(u64::MAX).await? == noise(SMALL, 1), "other bytes were read");
        }
        Flow::Whole => {
            let read = s.store.get_small(&archive(), u64::MAX).await?.bytes;
            assert!(read == noise(SMALL, 1), "other bytes were read");
        }
        Flow::Range => {
            let reader = s.store.read(&archive(), Some(1_000..90_000), None).await?;
            let read = reader.read_to_end(u64::MAX).await?;
            assert!(read == noise(SMALL, 1)[1_000..90_000], "other bytes were read");
        }
        Flow::List => {
            let pages: Vec<_> = s.store.list("shop/").try_collect().await?;
            let found: Vec<String> = pages.into_iter().flatten().map(|object| object.key).collect();
            assert_eq!(found, [archive()]);
        }
        Flow::Withdraw => match spoiled().await.withdraw(&shop(), &point(1), &[OVER.to_owned()]).await? {
            Withdrawal::Done { remains, .. } => {
                assert!(opened().await.manifest(&shop(), &point(1)).await.is_err());
                if let Some((_, error)) = remains.into_iter().next() {
                    return Err(error);
                }
                assert_eq!(keys(&s.straight, "").await, [layout::REPOSITORY]);
            }
            other => panic!("{other:?}"),
        },
        Flow::Pinned => match spoiled().await.withdraw(&shop(), &point(1), &[]).await? {
            Withdrawal::Pinned { pins } => assert_eq!(pins, [OVER]),
            other => panic!("{other:?}"),
        },
        Flow::Sweep => {
            let repository = spoiled().await;
            for leftover in repository.leftovers(&shop()).await? {
                repository.remove_leftover(&leftover).await?;
            }
            assert_eq!(opened().await.leftovers(&shop()).await.unwrap(), []);
        }
        Flow::Pin => {
            let repository = spoiled().await;
            let ends = serde_json::json!({"format": 1, "reason": "it is read", "at": NOW, "until": NOW});
            for name in ["reading-1", "reading-2"] {
                repository.pin_new(&shop(), &point(1), name, &ends).await?;
            }
            repository.unpin(&shop(), &point(1), "reading-1").await?;
            assert_eq!(repository.pins(&shop(), &point(1)).await?, ["reading-2"]);
            repository.unpin(&shop(), &point(1), "reading-2").await?;
            assert_eq!(opened().await.pins(&shop(), &point(1)).await.unwrap(), [""; 0]);
        }
        Flow::Lease => {
            let (repository, now) = (spoiled().await, NOW.parse().unwrap());
            let held_for = std::time::Duration::from_secs(3600);
            let turn = |id: &str| Turn { id: id.to_owned(), began_at: now };
            let mut lease = match repository.take_lease(&shop(), "us", &turn("us"), held_for).await? {
                LeaseTaken::Ours(lease) => lease,
                LeaseTaken::Unanswered(error) => return Err(error),
                LeaseTaken::Others { owner, .. } => panic!("{owner} has it"),
            };
            assert!(lease.proves_conditional_writes().await?, "the store keeps conditions");
            // Whoever cannot renew it, or release it, is told so.
            let lost = || Error::PreconditionFailed { action: "renew", key: layout::lease(&shop()) };
            let mut kept = lease.renew().await?;
            let others = opened().await.take_lease(&shop(), "others", &turn("others"), held_for).await.unwrap();
            assert!(matches!(others, LeaseTaken::Others { .. }), "it is held: {others:?}");
            let begun_at = Some(now);
            kept &= lease.release(CronHistory { begun_at, ..CronHistory::default() }).await?;
            if !kept {
                return Err(lost());
            }
            assert_eq!(opened().await.cron_history(&shop()).await.unwrap().begun_at, begun_at);
        }
    }
    Ok(())
}

async fn upload(store: &S3Store, key: &str, data: Bytes) -> Result<()> {
    let mut upload = store.begin_upload(key, UploadOptions::default()).await?;
    match upload.write(data).await {
        Ok(()) => upload.finish(Bytes::new()).await.map(drop),
        Err(error) => match upload.abort().await {
            Ok(()) => Err(error),
            Err(left) => Err(left),
        },
    }
}

/// What holds after the work, however it ended; and that the next sweep leaves nothing of it behind.
pub(crate) async fn hold(flow: Flow, s: &Spoiled, ended: &Result<()>) {
    let repository = repository(&s.straight).await;
    s.store.settle_dropped_uploads().await;
    let there = keys(&s.straight, "").await;
    let folders = repository.folders(&shop()).await.unwrap();
    match flow {
        // Never a part of an object, whatever was said of it.
        Flow::Archive if there.contains(&archive()) => {
            assert!(read_all(&s.straight, &archive()).await == large(), "a part of the object is there");
        }
        Flow::Small if there.contains(&globals()) => {
            assert!(read_all(&s.straight, &globals()).await == noise(SMALL, 1), "a part of the object is there");
        }
        // Listed and whole, or not listed.
        Flow::Withdraw if !folders.published.is_empty() => {
            assert!(ended.is_err() && there.contains(&archive()) && there.contains(&globals()), "{there:?}");
            repository.manifest(&shop(), &point(1)).await.unwrap();
        }
        // Seen, or told to be hidden.
        Flow::Pinned => {
            let told = matches!(ended, Err(Error::Hidden { .. }));
            assert!(told || !folders.published.is_empty(), "{ended:?}");
            assert!(repository.hidden(&shop(), &point(1)).await.is_ok() && there.contains(&archive()), "{there:?}");
        }
        _ => {}
    }
    let published: Vec<_> = folders.published.iter().chain(&folders.withdrawn).collect();
    for point in published {
        // A pin that could not be removed ends by itself.
        let over = repository.pins(&shop(), point).await.unwrap();
        let done = repository.withdraw(&shop(), point, &over).await.unwrap();
        assert!(matches!(done, Withdrawal::Done { ref remains, .. } if remains.is_empty()), "{done:?}");
    }
    if flow == Flow::Lease && there.contains(&layout::lease(&shop())) {
        // Whole, whatever was cut: the next run can read it.
        repository.cron_history(&shop()).await.unwrap();
        s.straight.delete(&layout::lease(&shop())).await.unwrap();
    }
    for leftover in repository.leftovers(&shop()).await.unwrap() {
        match repository.remove_leftover(&leftover).await {
            Ok(()) => {}
            Err(error) => panic!("{leftover:?} cannot be swept: {error}"),
        }
    }
    assert_eq!(keys(&s.straight, "").await, [layout::REPOSITORY], "orphans");
    assert_eq!(s.straight.list_uploads("").await.unwrap(), [], "orphans");
}

/// An error names what was attempted on what; one that was tried again says how often.
pub(crate) fn assert_clear(error: &Error, always: bool) {
    if let Error::Hidden { source, .. } = error {
        return assert_clear(source, always);
    }
    let text = error.to_string();
    assert!(text.contains("shop") || text.contains("bucket"), "it names nothing: {text}");
    if let Error::UploadLeftBehind { cause, source, .. } = error {
        assert!(cause.is_some() || source.attempts() > 0 || !source.is_transient(), "{error:?}");
    } else if error.is_transient() && always {
        assert!(error.attempts() >= 2, "tried {} times: {error:?}", error.attempts());
        assert!(text.contains("given up after"), "{text}");
    }
}
