//! Region, profile and credentials of a client.

use std::path::PathBuf;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::CredentialSource;

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting} {reason}")]
pub struct Error {
    /// The setting's name in the configuration.
    pub setting: &'static str,
    /// What is wrong with it, and the cure where there is one.
    pub reason: String,
}

/// Where a service is reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Address {
    /// The region; without it the profile's, the environment's or the instance's.
    pub region: Option<String>,
    /// The address of an endpoint other than Amazon's.
    pub endpoint: Option<String>,
    /// The profile in the AWS configuration files.
    pub profile: Option<String>,
    /// A PEM file with certificates to trust besides the system's.
    pub ca_bundle: Option<PathBuf>,
}

/// Finds region and credentials, from which the client of a service is made.
///
/// # Errors
/// [`Error`] with the setting `region` when there is none and no other endpoint is given.
pub async fn shared_config(
    address: &Address,
    credentials: &CredentialSource,
    http: &SharedHttpClient,
) -> Result<SdkConfig, Error> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
    if let Some(profile) = &address.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(provider) = credentials.provider() {
        loader = loader.credentials_provider(provider);
    }
    match (&address.region, &address.endpoint) {
        (Some(region), _) => loader = loader.region(Region::new(region.clone())),
        // Other endpoints mostly ignore the region, but the signature needs one.
        (None, Some(_)) => loader = loader.region(Region::new("us-east-1")),
        (None, None) => {}
    }
    let shared = loader.load().await;
    if shared.region().is_none() {
        let reason = "is not set here, in the profile, in AWS_REGION or on the instance".to_owned();
        return Err(Error { setting: "region", reason });
    }
    Ok(shared)
}
