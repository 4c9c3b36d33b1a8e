//! The client: credentials, TLS, proxy, time-outs and retries.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::{BeforeDeserializationInterceptorContextMut, InterceptorContext};
use aws_sdk_s3::config::retry::{ClassifyRetry, RetryAction, RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Builder, ConfigBag, IdentityCache, Intercept, Region, RequestChecksumCalculation, RuntimeComponents,
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder as HttpBuilder, Connector};

use super::attempts::CountAttempts;
use super::options::{CredentialSource, S3Options, SseMode, Timing};
use crate::error::{BoxError, Error, Result};

/// Whether the machine has roots that TLS can trust; looked at once, as the TLS library does.
static MACHINE_HAS_ROOTS: LazyLock<bool> = LazyLock::new(|| !rustls_native_certs::load_native_certs().certs.is_empty());

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
        let http = http_client(options).await?;
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
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(provider) = credentials.provider() {
        loader = loader.credentials_provider(provider);
    }
    match (&options.region, &options.endpoint) {
        (Some(region), _) => loader = loader.region(Region::new(region.clone())),
        // Other stores mostly ignore the region, but the signature needs one.
        (None, Some(_)) => loader = loader.region(Region::new("us-east-1")),
        (None, None) => {}
    }
    let shared = loader.load().await;
    if shared.region().is_none() {
        let reason = "is not set here, in the profile, in AWS_REGION or on the instance".to_owned();
        return Err(Error::Configuration { setting: "region", reason });
    }
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

/// One TLS provider in the whole program, ring, named explicitly.
async fn http_client(options: &S3Options) -> Result<SharedHttpClient> {
    let own = match &options.ca_bundle {
        Some(path) => Some(read_certificates(path).await?),
        None => None,
    };
    let trust = trust(*MACHINE_HAS_ROOTS, own, options.endpoint.as_deref())?;
    let fail = |reason: String| Error::Configuration { setting: "ca_bundle", reason };
    let tls = TlsContext::builder().with_trust_store(trust).build().map_err(|e| fail(e.to_string()))?;
    let proxy =
        if is_loopback(options.endpoint.as_deref()) { ProxyConfig::disabled() } else { ProxyConfig::from_env() };
    Ok(HttpBuilder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(proxy.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|c| c.sleep_impl()));
        connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls.clone()).build()
    }))
}

/// Whom TLS trusts: the machine's roots where it has any, and those of the configured file.
fn trust(machine_has_roots: bool, own: Option<Vec<u8>>, endpoint: Option<&str>) -> Result<TrustStore> {
    let plain = endpoint.is_some_and(|url| url.starts_with("http://"));
    if !machine_has_roots && own.is_none() && !plain {
        let reason =
            "is not set, and this machine has no root certificates, without which TLS trusts nobody: install the \
                      package ca-certificates"
                .to_owned();
        return Err(Error::Configuration { setting: "ca_bundle", reason });
    }
    // The TLS library would end the program where it is to use the machine's roots and finds none.
    let trust = if machine_has_roots { TrustStore::default() } else { TrustStore::empty() };
    Ok(match own {
        Some(pem) => trust.with_pem_certificate(pem),
        None => trust,
    })
}

async fn read_certificates(path: &Path) -> Result<Vec<u8>> {
    let fail = |reason: String| Error::Configuration { setting: "ca_bundle", reason };
    let pem = tokio::fs::read(path).await.map_err(|e| fail(format!("{}: {e}", path.display())))?;
    // The TLS library would end the program on a file without certificates.
    if !pem.windows(27).any(|w| w == b"-----BEGIN CERTIFICATE-----") {
        return Err(fail(format!("{} has no PEM certificate", path.display())));
    }
    Ok(pem)
}

/// A proxy of the environment cannot reach this machine's own loopback.
fn is_loopback(endpoint: Option<&str>) -> bool {
    let Some(url) = endpoint.and_then(|e| url::Url::parse(e).ok()) else { return false };
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

/// Some stores throttle with 429, which the SDK does not retry by itself.
#[derive(Debug)]
struct TooManyRequests;

impl ClassifyRetry for TooManyRequests {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        match context.response().map(|r| r.status().as_u16()) {
            Some(429) => RetryAction::throttling_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "429 is transient"
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_roots_is_told_unless_none_are_needed() {
        let pem = || Some(b"-----BEGIN CERTIFICATE-----".to_vec());
        for endpoint in [None, Some("https://s3.example.com")] {
            let refused = trust(false, None, endpoint).unwrap_err().to_string();
            assert!(refused.contains("ca-certificates"), "{refused}");
            assert!(trust(true, None, endpoint).is_ok() && trust(true, pem(), endpoint).is_ok());
            assert!(trust(false, pem(), endpoint).is_ok());
        }
        assert!(trust(false, None, Some("http://127.0.0.1:8333")).is_ok());
        // With the machine's empty roots the library would panic; those of the file alone count.
        let alone = trust(false, pem(), None).unwrap();
        assert_eq!(format!("{alone:?}"), format!("{:?}", TrustStore::empty().with_pem_certificate(pem().unwrap())));
    }
}
