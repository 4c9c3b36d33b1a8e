//! Stores on the real S3 engine, with time-outs that a test can wait for.

use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use holdpoint_repository::{CredentialSource, RepositoryUrl, S3Options, S3Store, Timing};
use holdpoint_testkit::{ADMIN, FaultProxy, Identity, S3Server};

/// A store with whatever must live as long as it is used.
pub(crate) struct Held {
    pub(crate) store: S3Store,
    _key_file: Option<tempfile::TempDir>,
}

impl Deref for Held {
    type Target = S3Store;

    fn deref(&self) -> &S3Store {
        &self.store
    }
}

/// Short, but long enough for two busy cores.
pub(crate) fn timing() -> Timing {
    Timing {
        connect_for: Duration::from_secs(5),
        answer_for: Duration::from_secs(20),
        complete_for: Duration::from_secs(20),
        stall_for: Duration::from_secs(10),
        attempts: 4,
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(200),
        ..Timing::default()
    }
}

/// For tests that wait until a time-out strikes.
pub(crate) fn impatient() -> Timing {
    Timing {
        answer_for: Duration::from_secs(2),
        stall_for: Duration::from_secs(1),
        slowest_bytes_per_second: 1 << 20,
        ..timing()
    }
}

/// Parts of 5 MiB, so that small uploads have several.
pub(crate) fn options(endpoint: String) -> S3Options {
    S3Options { endpoint: Some(endpoint), path_style: true, part_bytes: Some(5 << 20), ..S3Options::default() }
}

pub(crate) fn keys(identity: &Identity) -> CredentialSource {
    CredentialSource::Keys { access_key_id: identity.access_key.into(), secret_access_key: identity.secret_key.into() }
}

/// The bucket that most tests share; each takes a prefix of its own.
pub(crate) fn bucket() -> &'static str {
    static BUCKET: OnceLock<String> = OnceLock::new();
    BUCKET.get_or_init(|| S3Server::shared().new_bucket())
}

pub(crate) fn new_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test/{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn new_url() -> RepositoryUrl {
    format!("s3://{}/{}", bucket(), new_prefix()).parse().unwrap()
}

pub(crate) async fn connect(url: &RepositoryUrl, options: S3Options, identity: &Identity, timing: Timing) -> S3Store {
    S3Store::connect(url, options, keys(identity), timing).await.unwrap()
}

/// A store under a prefix of its own, directly on the engine.
pub(crate) async fn direct(change: impl FnOnce(&mut S3Options)) -> Held {
    let mut options = options(S3Server::shared().endpoint());
    change(&mut options);
    Held { store: connect(&new_url(), options, &ADMIN, timing()).await, _key_file: None }
}

/// A store that encrypts with a key of its own.
pub(crate) async fn with_customer_key(byte: u8, url: &RepositoryUrl) -> Held {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, [byte; 32]).unwrap();
    let options = S3Options {
        sse: holdpoint_repository::SseMode::C,
        customer_key_file: Some(file),
        ..options(S3Server::shared().endpoint())
    };
    Held { store: connect(url, options, &ADMIN, timing()).await, _key_file: Some(directory) }
}

/// A store behind a proxy that spoils requests, and the same place without it.
pub(crate) struct Spoiled {
    pub(crate) proxy: FaultProxy,
    pub(crate) store: S3Store,
    pub(crate) straight: S3Store,
}

pub(crate) async fn spoiled(timing: Timing) -> Spoiled {
    spoiled_with(timing, |_| {}).await
}

pub(crate) async fn spoiled_with(timing: Timing, change: impl FnOnce(&mut S3Options)) -> Spoiled {
    let server = S3Server::shared();
    let proxy = FaultProxy::http(server.address());
    let url = new_url();
    let mut options = options(proxy.endpoint());
    change(&mut options);
    let straight_options = S3Options { endpoint: Some(server.endpoint()), ..options.clone() };
    let store = connect(&url, options, &ADMIN, timing).await;
    let straight = connect(&url, straight_options, &ADMIN, self::timing()).await;
    Spoiled { proxy, store, straight }
}
