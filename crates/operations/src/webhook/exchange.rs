//! One small HTTP exchange.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use holdpoint_core::Secret;
use http_body_util::Full;
use hyper::Request;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// Asks by GET, or by POST where there is a body of JSON, and gives the status.
///
/// Redirections are not followed: a sign-in page answers 200, and is not well.
///
/// # Errors
/// Why there was no answer, in words that never hold the address.
pub async fn exchange(
    url: &Secret,
    json: Option<String>,
    headers: &[(&str, String)],
    within: Duration,
) -> Result<u16, String> {
    let told = |text: String| url.masked_in(&text, "***");
    let provider = rustls::crypto::ring::default_provider();
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(provider)
        .map_err(|error| format!("the system's certificates cannot be read: {error}"))?
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let mut request = Request::builder()
        .uri(url.expose())
        .method(if json.is_some() { "POST" } else { "GET" })
        .header("user-agent", concat!("holdpoint/", env!("CARGO_PKG_VERSION")));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = match json {
        Some(json) => request.header("content-type", "application/json").body(Full::new(Bytes::from(json))),
        None => request.body(Full::new(Bytes::new())),
    };
    let request = request.map_err(|_| "the address cannot be read".to_owned())?;
    match tokio::time::timeout(within, client.request(request)).await {
        Ok(Ok(answer)) => Ok(answer.status().as_u16()),
        Ok(Err(error)) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            Err(told(text))
        }
        Err(_) => Err(format!("no answer within {} s", within.as_secs_f32())),
    }
}

/// Refuses what is no address that can be asked.
///
/// # Errors
/// What is wrong, without the address.
pub fn check(url: &Secret) -> Result<(), &'static str> {
    match url.expose().parse::<hyper::Uri>() {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => Ok(()),
        _ => Err("it is no URL of http or https"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_does_not_answer_is_not_told() {
        let url = Secret::new("http://127.0.0.1:9/hook/s3cret");
        let told = exchange(&url, Some("{}".to_owned()), &[], Duration::from_secs(5)).await.unwrap_err();
        assert!(!told.contains("s3cret"), "{told}");
        for wrong in ["", "x", "ftp://h/x", "/path", "http://"] {
            assert!(check(&Secret::new(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(check(&url), Ok(()));
    }
}
