//! Where the credentials come from.

use std::fmt;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;

/// Where the credentials come from.
#[derive(Clone, Default)]
pub enum CredentialSource {
    /// The default chain: environment, profile, SSO, web identity, container, instance.
    #[default]
    Chain,
    /// A pair of keys.
    Keys {
        /// The access key's id.
        access_key_id: String,
        /// The secret.
        secret_access_key: String,
    },
    /// Any provider of the SDK.
    Provider(SharedCredentialsProvider),
}

impl CredentialSource {
    /// The provider to give to a client; `None` for the chain, which the SDK makes itself.
    #[must_use]
    pub fn provider(&self) -> Option<SharedCredentialsProvider> {
        match self {
            Self::Chain => None,
            Self::Keys { access_key_id, secret_access_key } => {
                let keys = Credentials::new(access_key_id, secret_access_key, None, None, "given");
                Some(SharedCredentialsProvider::new(keys))
            }
            Self::Provider(provider) => Some(provider.clone()),
        }
    }
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "Chain",
            Self::Keys { .. } => "Keys(…)",
            Self::Provider(_) => "Provider(…)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_never_shown() {
        let keys = CredentialSource::Keys { access_key_id: "AKIA".into(), secret_access_key: "hush".into() };
        assert!(!format!("{keys:?}").contains("hush"));
    }
}
