//! The HTTP client: TLS and proxy.

use std::path::Path;
use std::sync::LazyLock;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder as HttpBuilder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::settings::{Address, Error};

type Result<T> = std::result::Result<T, Error>;

/// Whether the machine has roots that TLS can trust; looked at once, as the TLS library does.
static MACHINE_HAS_ROOTS: LazyLock<bool> = LazyLock::new(|| !rustls_native_certs::load_native_certs().certs.is_empty());

/// Makes the HTTP client: one TLS provider in the whole program, ring, named explicitly.
///
/// Loopback endpoints are reached past the environment's proxy, others through it.
///
/// # Errors
/// [`Error`] with the setting `ca_bundle`: a file that cannot be read or has no certificate, or a machine without roots.
pub async fn http_client(address: &Address) -> Result<SharedHttpClient> {
    let own = match &address.ca_bundle {
        Some(path) => Some(read_certificates(path).await?),
        None => None,
    };
    let trust = trust(*MACHINE_HAS_ROOTS, own, address.endpoint.as_deref())?;
    let fail = |reason: String| Error { setting: "ca_bundle", reason };
    let tls = TlsContext::builder().with_trust_store(trust).build().map_err(|e| fail(e.to_string()))?;
    let proxy =
        if is_loopback(address.endpoint.as_deref()) { ProxyConfig::disabled() } else { ProxyConfig::from_env() };
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
        return Err(Error { setting: "ca_bundle", reason });
    }
    // The TLS library would end the program where it is to use the machine's roots and finds none.
    let trust = if machine_has_roots { TrustStore::default() } else { TrustStore::empty() };
    Ok(match own {
        Some(pem) => trust.with_pem_certificate(pem),
        None => trust,
    })
}

async fn read_certificates(path: &Path) -> Result<Vec<u8>> {
    let fail = |reason: String| Error { setting: "ca_bundle", reason };
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
