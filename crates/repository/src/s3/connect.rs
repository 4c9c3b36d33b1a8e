//! The client: time-outs and retries; credentials, TLS and proxy are those of every client of AWS.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, ConfigBag, IdentityCache, Intercept, RequestChecksumCalculation, RuntimeComponents, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use holdpoint_aws::{CredentialSource, TooManyRequests};

use super::attempts::CountAttempts;
use super::options::{S3Options, SseMode, Timing};
use crate::error::{BoxError, Result};

/// A client that can be made anew with fresh credentials.
#[derive(Debug)]
pub(super) struct Connection {
    options: S3Options,
    credentials: CredentialSource,
    timing: Timing,
    http: SharedHttpClient,
    current: Mutex<Client>,
    generation: AtomicU64,
    renewing: tokio::sync::Mutex<()>,
}

impl Connection {
    pub(super) async fn open(options: &S3Options, credentials: CredentialSource, timing: &Timing) -> Result<Self> {
        let http = holdpoint_aws::http_client(&options.address()).await?;
        let client = client(options, &credentials, timing, &http).await?;
        Ok(Self {
            options: options.clone(),
            credentials,
            timing: timing.clone(),
            http,
            current: Mutex::new(client),
            generation: AtomicU64::new(0),
            renewing: tokio::sync::Mutex::new(()),
        })
    }

    /// The client, and its generation for [`renew`](Self::renew).
    pub(super) fn current(&self) -> (Client, u64) {
        let client = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        (client, self.generation.load(Ordering::Acquire))
    }

    /// Makes the client anew from the credentials' source, unless somebody did since `generation`.
    pub(super) async fn renew(&self, generation: u64) -> Result<()> {
        let _one_at_a_time = self.renewing.lock().await;
        if self.generation.load(Ordering::Acquire) != generation {
            return Ok(());
        }
        let client = client(&self.options, &self.credentials, &self.timing, &self.http).await?;
        *self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = client;
        self.generation.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }

    /// The time-outs for one attempt that may take longer than usual.
    pub(super) fn patient(&self, attempt_for: std::time::Duration) -> Builder {
        Builder::new().timeout_config(timeouts(&self.timing, attempt_for))
    }
}

fn timeouts(timing: &Timing, attempt_for: std::time::Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(timing.connect_for)
        .operation_attempt_timeout(attempt_for)
        .operation_timeout(timing.request_for(attempt_for))
        .build()
}

async fn client(
    options: &S3Options,
    credentials: &CredentialSource,
    timing: &Timing,
    http: &SharedHttpClient,
) -> Result<Client> {
    let shared = holdpoint_aws::shared_config(&options.address(), credentials, http).await?;
    let retries = RetryConfig::standard()
        .with_max_attempts(timing.attempts)
        .with_initial_backoff(timing.first_pause)
        .with_max_backoff(timing.longest_pause);
    // The SDK's own budget of retries is shared by the whole process and never refills by time.
    let partition = RetryPartition::custom("holdpoint").token_bucket(TokenBucket::unlimited()).build();
    let stalls = StalledStreamProtectionConfig::enabled().upload_enabled(true).grace_period(timing.stall_for).build();
    let mut config = Builder::from(&shared)
        .force_path_style(options.path_style)
        .retry_config(retries)
        .retry_partition(partition)
        .retry_classifier(TooManyRequests)
        .interceptor(CountAttempts)
        .timeout_config(timeouts(timing, timing.answer_for))
        .stalled_stream_protection(stalls)
        .identity_cache(IdentityCache::lazy().build())
        .disable_s3_express_session_auth(true)
        // Checksums are given explicitly: one added by the SDK would be a trailer, which many stores refuse.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
    if options.sse == SseMode::C {
        config = config.interceptor(OneKeyHeader);
    }
    if let Some(endpoint) = &options.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

/// SeaweedFS 4.48 repeats a header in its answers, which the SDK takes for a broken answer.
#[derive(Debug)]
struct OneKeyHeader;

impl Intercept for OneKeyHeader {
    fn name(&self) -> &'static str {
        "one header for the customer's key"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> std::result::Result<(), BoxError> {
        let headers = context.response_mut().headers_mut();
        for name in ["x-amz-server-side-encryption-customer-key-md5", "x-amz-server-side-encryption-customer-algorithm"]
        {
            if let Some(first) = headers.get(name).map(str::to_owned) {
                headers.insert(name, first);
            }
        }
        Ok(())
    }
}
