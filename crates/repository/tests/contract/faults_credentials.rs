//! Credentials that run out, between requests and in the middle of an upload.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use bytes::Bytes;
use holdpoint_repository::{CredentialSource, Error, ObjectStore, PutOptions, S3Store, UploadOptions};
use holdpoint_testkit::{ADMIN, Fault, FaultProxy, Identity, Rule, S3Server, SeenRequest, WRITER, WRITER_BUCKET};

use crate::engine::{new_prefix, new_url, options, timing};
use crate::suite::{noise, put, read_all};

/// Counts how often credentials are asked for.
#[derive(Debug)]
struct Renewing(Arc<AtomicU32>);

impl ProvideCredentials for Renewing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.fetch_add(1, Ordering::SeqCst);
        future::ProvideCredentials::ready(Ok(Credentials::new(ADMIN.access_key, ADMIN.secret_key, None, None, "test")))
    }
}

#[tokio::test]
async fn expired_credentials_are_fetched_anew() {
    let server = S3Server::shared();
    let proxy = FaultProxy::http(server.address());
    let count = Arc::new(AtomicU32::new(0));
    let source = CredentialSource::Provider(SharedCredentialsProvider::new(Renewing(Arc::clone(&count))));
    let store = S3Store::connect(&new_url(), options(proxy.endpoint()), source, timing()).await.unwrap();
    let fetched = || count.load(Ordering::SeqCst);
    put(&store, "a", "x").await;
    assert_eq!(fetched(), 1, "they are kept while they hold");
    put(&store, "b", "x").await;
    assert_eq!(fetched(), 1);
    proxy.push_for("PutObject", Fault::s3_error(400, "ExpiredToken"));
    put(&store, "c", "x").await;
    assert_eq!(fetched(), 2);
    // The answer to HEAD has no code.
    proxy.push_for("HeadObject", Fault::answer(400, ""));
    store.head("c").await.unwrap();
    assert_eq!(fetched(), 3);
    // What does not help is said, not repeated for ever.
    proxy.push_times(9, &Fault::s3_error(400, "ExpiredToken"));
    let error = store.put_new("d", Bytes::new(), PutOptions::default()).await.unwrap_err();
    assert!(matches!(error, Error::Credentials { .. }), "{error:?}");
}

/// Gives the keys of one identity, and those of another once the first have run out.
#[derive(Debug, Default)]
struct RunningOut {
    over: AtomicBool,
    fetched: AtomicU32,
}

impl ProvideCredentials for RunningOut {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        let now = if self.over.load(Ordering::SeqCst) { ADMIN } else { WRITER };
        future::ProvideCredentials::ready(Ok(Credentials::new(now.access_key, now.secret_key, None, None, "test")))
    }
}

#[tokio::test]
async fn credentials_that_run_out_within_an_upload_are_fetched_once_and_the_upload_goes_on() {
    let server = S3Server::shared();
    let proxy = FaultProxy::http(server.address());
    let keys = Arc::new(RunningOut::default());
    let source =
        CredentialSource::Provider(SharedCredentialsProvider::from(Arc::clone(&keys) as Arc<dyn ProvideCredentials>));
    let url = format!("s3://{WRITER_BUCKET}/{}", new_prefix()).parse().unwrap();
    let store = S3Store::connect(&url, options(proxy.endpoint()), source, timing()).await.unwrap();
    let (before, after) = (noise(11 << 20, 1), noise(17 << 20, 2));
    let mut upload = store.begin_upload("x", UploadOptions::default()).await.unwrap();
    upload.write(before.clone()).await.unwrap();
    let parts = |identity: &Identity| {
        let signed = |request: &&SeenRequest| {
            request.operation() == "UploadPart"
                && request.header("authorization").is_some_and(|text| text.contains(identity.access_key))
        };
        proxy.requests().iter().filter(signed).count()
    };
    while parts(&WRITER) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // From now on the store takes the old keys for nothing, whatever is asked.
    keys.over.store(true, Ordering::SeqCst);
    let old =
        |request: &SeenRequest| request.header("authorization").is_some_and(|text| text.contains(WRITER.access_key));
    proxy.rule(Rule::new(Fault::s3_error(400, "ExpiredToken")).when(old).always());
    upload.write(after.clone()).await.unwrap();
    upload.finish(Bytes::new()).await.unwrap();
    assert!(parts(&ADMIN) > 0, "parts went with the new keys");
    assert_eq!(keys.fetched.load(Ordering::SeqCst), 2, "once for all parts in flight");
    assert!(read_all(&store, "x").await == [before, after].concat());
    assert_eq!(store.list_uploads("").await.unwrap(), []);
}
