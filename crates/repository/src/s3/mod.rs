//! Object storage in an S3 bucket, Amazon's or another's.
//!
//! Requests are retried by the SDK with settings of our own; what it does not retry (a cut download, an expired token,
//! a part after its attempts) is retried here. Every conditional write carries a nonce in its metadata, so that a lost
//! answer to our own write is not taken for somebody else's object. Nothing relies on the order of lists, on regions
//! in answers, or on bucket settings.

mod absent;
mod attempts;
mod body;
mod connect;
mod delete;
mod encryption;
mod ending;
mod failure;
mod list;
mod lock;
mod multipart;
mod options;
mod pages;
mod parts;
mod probe;
mod put;
mod read;
mod upload;
mod versions;

use std::error::Error as StdError;
use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::types::{ChecksumMode as HeadChecksum, ObjectLockLegalHoldStatus};
use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::task::JoinSet;

use crate::checksum::{ChecksumAlgorithm, ChecksumMode, StoredChecksum};
use crate::error::{Error, Result};
use crate::key::check_key;
use crate::probe::PartsProbe;
use crate::reader::ObjectReader;
use crate::repository_url::RepositoryUrl;
use crate::store::{Created, ObjectInfo, ObjectStore, PutOptions, SmallObject, UnfinishedUpload};
use crate::upload::{ObjectUpload, UploadOptions};
use attempts::counted;
use connect::Connection;
use encryption::{Encryption, with_customer_key};
pub use ending::{ENDS_WITHIN, Ending};
use failure::Failure;
pub use holdpoint_aws::CredentialSource;
pub use options::{LockMode, S3Options, SseMode, Timing};
use parts::PartPlan;

/// Whoever worked on an upload so lately may have a part of it on its way still.
const LATELY: TimeDelta = TimeDelta::minutes(15);

/// User metadata by which a writer knows its own object again.
const NONCE: &str = "holdpoint-nonce";

/// A repository's objects in an S3 bucket.
#[derive(Debug, Clone)]
pub struct S3Store {
    bucket: Arc<Bucket>,
}

/// A bucket, how to reach it, and what was learnt of it.
#[derive(Debug)]
struct Bucket {
    url: RepositoryUrl,
    name: String,
    /// Empty, or ends in `/`.
    prefix: String,
    options: S3Options,
    timing: Timing,
    encryption: Encryption,
    connection: Connection,
    /// What `checksum = auto` came to; 0 while it is not known.
    checksum: AtomicU8,
    /// Clean-up of dropped uploads.
    cleaning: Mutex<JoinSet<()>>,
}

impl S3Store {
    /// Prepares the connection; no request is sent to the bucket yet.
    ///
    /// # Errors
    /// [`Error::Configuration`] for settings that contradict each other or cannot be read, and when no region is
    /// known; [`Error::InvalidUrl`] when the URL does not name a bucket.
    pub async fn connect(
        url: &RepositoryUrl,
        options: S3Options,
        credentials: CredentialSource,
        timing: Timing,
    ) -> Result<Self> {
        let RepositoryUrl::Bucket { bucket, prefix } = url else {
            return Err(Error::InvalidUrl { url: url.to_string(), reason: "does not name a bucket".to_owned() });
        };
        options.check()?;
        let bucket = Bucket {
            url: url.clone(),
            name: bucket.clone(),
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}/") },
            encryption: Encryption::load(&options).await?,
            connection: Connection::open(&options, credentials, &timing).await?,
            options,
            timing,
            checksum: AtomicU8::new(0),
            cleaning: Mutex::new(JoinSet::new()),
        };
        Ok(Self { bucket: Arc::new(bucket) })
    }

    /// Waits until the uploads that were dropped without an ending are removed, as well as that can be done.
    pub async fn settle_dropped_uploads(&self) {
        let mut cleaning = {
            let mut shared = self.bucket.cleaning.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::take(&mut *shared)
        };
        while cleaning.join_next().await.is_some() {}
    }

    /// The checksum mode in use: the configured one, or what `auto` came to once data was uploaded.
    #[must_use]
    pub fn checksum_mode(&self) -> Option<ChecksumMode> {
        self.bucket.checksum_mode()
    }
}

impl Bucket {
    fn full_key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn checked_key(&self, key: &str) -> Result<String> {
        check_key(key)?;
        Ok(self.full_key(key))
    }

    fn owner(&self) -> Option<String> {
        self.options.expected_bucket_owner.clone()
    }

    fn checksum_mode(&self) -> Option<ChecksumMode> {
        match (self.options.checksum, self.checksum.load(Ordering::Relaxed)) {
            (ChecksumMode::Auto, 0) => None,
            (ChecksumMode::Auto, 1) => Some(ChecksumMode::Crc64Nvme),
            (ChecksumMode::Auto, 2) => Some(ChecksumMode::Crc32c),
            (ChecksumMode::Auto, 3) => Some(ChecksumMode::Md5),
            (ChecksumMode::Auto, _) => Some(ChecksumMode::None),
            (configured, _) => Some(configured),
        }
    }

    fn learn_checksum_mode(&self, mode: ChecksumMode) {
        let code = match mode {
            ChecksumMode::Auto => 0,
            ChecksumMode::Crc64Nvme => 1,
            ChecksumMode::Crc32c => 2,
            ChecksumMode::Md5 => 3,
            ChecksumMode::None => 4,
        };
        self.checksum.store(code, Ordering::Relaxed);
    }

    /// Sends a request, once more with fresh credentials if they expired, and turns its failure into our error.
    ///
    /// # Errors
    /// Those that the store's answers are; [`Error::Timeout`] also where nobody waits for it any more ([`Ending`]).
    async fn call<T, E, F, Fut>(&self, action: &'static str, subject: &str, send: F) -> Result<T>
    where
        F: Fn(Client) -> Fut,
        Fut: Future<Output = std::result::Result<T, Failure<E>>>,
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let waited = self.timing.ending.wait(Box::pin(self.sent(action, subject, send))).await;
        waited.unwrap_or_else(|| Err(Error::Timeout { action, key: subject.to_owned(), attempts: 0 }))
    }

    async fn sent<T, E, F, Fut>(&self, action: &'static str, subject: &str, send: F) -> Result<T>
    where
        F: Fn(Client) -> Fut,
        Fut: Future<Output = std::result::Result<T, Failure<E>>>,
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let mut renewed = false;
        let mut tried = 0;
        loop {
            let (client, generation) = self.connection.current();
            let (sent, attempts) = counted(send(client)).await;
            tried += attempts;
            match sent {
                Ok(answer) => return Ok(answer),
                Err(failure) if !renewed && failure::credentials_expired(&failure) => {
                    renewed = true;
                    self.connection.renew(generation).await?;
                }
                Err(failure) => return Err(failure::classify(failure, action, &self.name, subject, tried)),
            }
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectInfo> {
        let full = self.checked_key(key)?;
        let found = self
            .call_for_object("look at", key, |client| {
                let request = client.head_object().bucket(&self.name).key(&full).checksum_mode(HeadChecksum::Enabled);
                let request = with_customer_key!(request, self.encryption);
                request.set_expected_bucket_owner(self.owner()).send()
            })
            .await?;
        let crc64 = found.checksum_crc64_nvme().map(|v| (ChecksumAlgorithm::Crc64Nvme, v));
        let checksum = crc64.or_else(|| found.checksum_crc32_c().map(|v| (ChecksumAlgorithm::Crc32c, v)));
        Ok(ObjectInfo {
            key: key.to_owned(),
            size_bytes: found.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
            etag: found.e_tag().unwrap_or_default().to_owned(),
            modified_at: failure::dated("look at", key, found.last_modified())?,
            checksum: checksum.map(|(algorithm, value)| StoredChecksum { algorithm, value: value.to_owned() }),
            metadata: found.metadata().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
            retain_until: found.object_lock_retain_until_date().and_then(instant),
            legal_hold: found.object_lock_legal_hold_status() == Some(&ObjectLockLegalHoldStatus::On),
        })
    }

    async fn look_at_bucket(&self) -> Result<()> {
        let looked = self.call("look at", "", |client| {
            client.head_bucket().bucket(&self.name).set_expected_bucket_owner(self.owner()).send()
        });
        match looked.await {
            Ok(_) => Ok(()),
            // The answer to HEAD has no code: without a key, what is not found is the bucket.
            Err(Error::NotFound { action, .. }) => {
                Err(Error::BucketNotFound { action, root: format!("bucket {}", self.name) })
            }
            // Who may list a prefix only may not look at the bucket.
            Err(Error::AccessDenied { .. }) if !self.prefix.is_empty() => self.look_at_prefix().await,
            Err(other) => Err(other),
        }
    }

    /// Takes the `Date` of any answer, be it a refusal.
    async fn server_time(&self) -> Result<DateTime<Utc>> {
        let seen = DateHeader::default();
        let asked = self.call("read clock of", "", |client| {
            let seen = seen.clone();
            async move {
                let request = client.head_bucket().bucket(&self.name).set_expected_bucket_owner(self.owner());
                match request.customize().interceptor(seen.clone()).send().await {
                    Ok(_) => Ok(seen.take()),
                    Err(failure) => failure::date_header(&failure).map(Some).ok_or(failure),
                }
            }
        });
        let date = asked.await?;
        let date = date.and_then(|text| DateTime::parse_from_rfc2822(&text).ok());
        date.map(|d| d.with_timezone(&Utc)).ok_or_else(|| Error::Unsupported {
            action: "read clock of",
            key: format!("bucket {}", self.name),
            detail: "its answers carry no date".to_owned(),
        })
    }
}

fn instant(time: &aws_smithy_types::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(time.secs(), time.subsec_nanos())
}

fn smithy_time(time: DateTime<Utc>) -> aws_smithy_types::DateTime {
    aws_smithy_types::DateTime::from_secs(time.timestamp())
}

/// Keeps the `Date` header of an answer, which the SDK does not hand on.
#[derive(Debug, Clone, Default)]
struct DateHeader(Arc<Mutex<Option<String>>>);

impl DateHeader {
    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

impl Intercept for DateHeader {
    fn name(&self) -> &'static str {
        "date header"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> std::result::Result<(), crate::error::BoxError> {
        let date = context.response().headers().get("date").map(str::to_owned);
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = date;
        Ok(())
    }
}

impl ObjectStore for S3Store {
    fn url(&self) -> &RepositoryUrl {
        &self.bucket.url
    }

    fn ensure_root(&self) -> BoxFuture<'_, Result<()>> {
        self.bucket.look_at_bucket().boxed()
    }

    fn server_time(&self) -> BoxFuture<'_, Result<DateTime<Utc>>> {
        self.bucket.server_time().boxed()
    }

    fn put_new<'a>(&'a self, key: &'a str, body: Bytes, options: PutOptions) -> BoxFuture<'a, Result<Created>> {
        self.bucket.put_small(key, body, put::Condition::Absent, options.retain_until).boxed()
    }

    fn put_if_matches<'a>(&'a self, key: &'a str, body: Bytes, etag: &'a str) -> BoxFuture<'a, Result<Created>> {
        self.bucket.put_small(key, body, put::Condition::Matches(etag.to_owned()), None).boxed()
    }

    fn keeps_versions(&self) -> BoxFuture<'_, Result<bool>> {
        self.bucket.keeps_versions().boxed()
    }

    fn get_small<'a>(&'a self, key: &'a str, max_bytes: u64) -> BoxFuture<'a, Result<SmallObject>> {
        read::whole(&self.bucket, key, max_bytes).boxed()
    }

    fn head<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<ObjectInfo>> {
        self.bucket.head(key).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<()>> {
        self.bucket.delete_one(key).boxed()
    }

    fn delete_many<'a>(&'a self, keys: &'a [String]) -> BoxFuture<'a, Vec<(String, Result<()>)>> {
        self.bucket.delete_many(keys).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxStream<'a, Result<Vec<ObjectInfo>>> {
        self.bucket.list(prefix)
    }

    fn list_children<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>>> {
        self.bucket.list_children(prefix).boxed()
    }

    fn list_uploads<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<UnfinishedUpload>>> {
        self.bucket.list_uploads(prefix).boxed()
    }

    fn abort_upload<'a>(&'a self, upload: &'a UnfinishedUpload) -> BoxFuture<'a, Result<()>> {
        async move {
            let lately = match upload.worked_on_at {
                Some(at) => self.bucket.server_time().await.is_ok_and(|now| now.signed_duration_since(at) < LATELY),
                None => false,
            };
            // Whoever works on it, or was killed a moment ago, may have a part on its way.
            self.bucket.abort_multipart(&upload.key, &upload.id, lately).await
        }
        .boxed()
    }

    fn read<'a>(
        &'a self,
        key: &'a str,
        range: Option<Range<u64>>,
        etag: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ObjectReader>> {
        async move { Ok(read::open(&self.bucket, key, range, etag).await?.0) }.boxed()
    }

    fn begin_upload<'a>(
        &'a self,
        key: &'a str,
        options: UploadOptions,
    ) -> BoxFuture<'a, Result<Box<dyn ObjectUpload>>> {
        async move {
            check_key(key)?;
            let upload = upload::S3Upload::begin(&self.bucket, key, &options)?;
            Ok(Box::new(upload) as Box<dyn ObjectUpload>)
        }
        .boxed()
    }

    fn upload_memory_bytes(&self, options: &UploadOptions) -> u64 {
        PartPlan::new(&self.bucket.options, options.expected_bytes, options.held_back_bytes).memory_bytes()
            + options.held_back_bytes
    }

    fn probe_parts<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<PartsProbe>> {
        self.bucket.probe_parts(key).map(Some).boxed()
    }

    fn extend_retention<'a>(&'a self, key: &'a str, until: DateTime<Utc>) -> BoxFuture<'a, Result<()>> {
        self.bucket.extend_retention(key, until).boxed()
    }
}
