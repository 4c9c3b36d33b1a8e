//! What a verb needs to know, for tests: a repository and nobody who listens.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_core::identity::IdentityRecord;
use holdpoint_core::progress::Silent;
use holdpoint_core::{PointId, layout};
use holdpoint_repository::{
    CredentialSource, LocalDirectory, ObjectStore, PutOptions, Repository, S3Options, S3Store, Timing,
};
use holdpoint_testkit::{ADMIN, FaultProxy, S3Server};
use tokio_util::sync::CancellationToken;

use crate::Context;
use crate::check::CheckOptions;
pub(crate) use crate::sample_points as sample;

#[expect(clippy::disallowed_methods, reason = "a test has this machine's time")]
pub(crate) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// As `holdpoint check` looks without more.
pub(crate) const LOOKING: CheckOptions = CheckOptions {
    read_data: None,
    jobs: 1,
    max_proof_age: None,
    snapshots_count: false,
    min_age: TimeDelta::days(3),
    repair: false,
};

/// With this repository.
pub(crate) fn of(repository: Repository) -> Context {
    Context {
        database: sample::shop(),
        repository: Arc::new(repository),
        progress: Arc::new(Silent),
        cancel: CancellationToken::new(),
        clock: Arc::new(now),
        seed: 7,
        reads_for: crate::READS_FOR,
        rds: crate::rds::RdsReach::default(),
    }
}

/// With a new repository in a directory.
pub(crate) async fn in_directory(folder: &Path) -> Context {
    of(Repository::init(Arc::new(LocalDirectory::new(folder).unwrap()), now()).await.unwrap().0)
}

/// So often each request through the proxy is tried.
pub(crate) const ATTEMPTS: u32 = 4;

/// With a new repository in a bucket, behind a proxy that spoils requests.
pub(crate) async fn behind_a_proxy() -> (Context, FaultProxy) {
    let first_pause = std::time::Duration::from_millis(20);
    behind_a_proxy_with(Timing { attempts: ATTEMPTS, first_pause, ..Timing::default() }).await
}

/// As [`behind_a_proxy`], with times of its own.
pub(crate) async fn behind_a_proxy_with(timing: Timing) -> (Context, FaultProxy) {
    let server = S3Server::shared();
    let proxy = FaultProxy::http(server.address());
    let url = format!("s3://{}/r", server.new_bucket()).parse().unwrap();
    let options = S3Options { endpoint: Some(proxy.endpoint()), path_style: true, ..S3Options::default() };
    let (access_key_id, secret_access_key) = (ADMIN.access_key.into(), ADMIN.secret_key.into());
    let keys = CredentialSource::Keys { access_key_id, secret_access_key };
    let store = S3Store::connect(&url, options, keys, timing).await.unwrap();
    (of(Repository::init(Arc::new(store), now()).await.unwrap().0), proxy)
}

/// Makes the first restore point in a store; its archive holds no archive.
pub(crate) async fn publish(repository: &Repository) {
    let id = sample::point(1);
    for (key, text) in sample::objects(&id) {
        repository.store().put_new(&key, text.into(), PutOptions::default()).await.unwrap();
    }
    let manifest = sample::manifest(&id);
    let (identity, recorded_at) = (manifest.identity.clone(), manifest.snapshot.at);
    let record = IdentityRecord { format: 1, identity, recorded_at, reason: "first restore point".to_owned() };
    repository.record_first_identity(&manifest.database, &record).await.unwrap();
    repository.publish(&manifest, None).await.unwrap();
}

/// Dates a restore point's manifest as the sample tells its time: else its clock is doubted, and it counts for nothing.
pub(crate) fn date(folder: &Path, id: &PointId) {
    let manifest = std::fs::File::open(folder.join(layout::manifest(&sample::shop(), id))).unwrap();
    manifest.set_modified(sample::NOW.parse::<DateTime<Utc>>().unwrap().into()).unwrap();
}

/// A new repository in this store, with one restore point.
pub(crate) async fn with_a_point(store: Arc<dyn ObjectStore>) -> Context {
    let repository = Repository::init(store, now()).await.unwrap().0;
    publish(&repository).await;
    of(repository)
}
