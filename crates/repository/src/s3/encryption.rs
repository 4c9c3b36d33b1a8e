//! Encryption at rest, as it goes with the requests.

use std::fmt;
use std::path::Path;

use aws_sdk_s3::types::ServerSideEncryption;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

use super::options::{S3Options, SseMode};
use crate::error::{Error, Result};

/// Encryption that was asked for.
#[derive(Debug, Default)]
pub(super) struct Encryption {
    pub(super) server_side: Option<ServerSideEncryption>,
    pub(super) kms_key_id: Option<String>,
    pub(super) customer: Option<CustomerKey>,
}

/// A key that the store does not keep: it goes with every request that reads or writes data.
#[derive(Clone)]
pub(super) struct CustomerKey {
    pub(super) key: String,
    pub(super) md5: String,
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerKey(…)")
    }
}

impl Encryption {
    pub(super) async fn load(options: &S3Options) -> Result<Self> {
        Ok(match options.sse {
            SseMode::None => Self::default(),
            SseMode::S3 => Self { server_side: Some(ServerSideEncryption::Aes256), ..Self::default() },
            SseMode::Kms => Self {
                server_side: Some(ServerSideEncryption::AwsKms),
                kms_key_id: options.kms_key_id.clone(),
                ..Self::default()
            },
            SseMode::C => {
                let path = options.customer_key_file.as_deref().unwrap_or(Path::new(""));
                Self { customer: Some(CustomerKey::load(path).await?), ..Self::default() }
            }
        })
    }
}

impl CustomerKey {
    async fn load(path: &Path) -> Result<Self> {
        let fail = |reason: String| Error::Configuration { setting: "customer_key_file", reason };
        let bytes = tokio::fs::read(path).await.map_err(|e| fail(format!("{}: {e}", path.display())))?;
        if bytes.len() != 32 {
            return Err(fail(format!("{} has {} bytes instead of 32", path.display(), bytes.len())));
        }
        Ok(Self { key: STANDARD.encode(&bytes), md5: STANDARD.encode(Md5::digest(&bytes)) })
    }
}

/// Adds the customer's key to a request that reads or writes data. The builders share no trait.
macro_rules! with_customer_key {
    ($request:expr, $encryption:expr) => {{
        let customer = $encryption.customer.as_ref();
        $request
            .set_sse_customer_algorithm(customer.map(|_| "AES256".to_owned()))
            .set_sse_customer_key(customer.map(|c| c.key.clone()))
            .set_sse_customer_key_md5(customer.map(|c| c.md5.clone()))
    }};
}
pub(super) use with_customer_key;

/// Adds everything about encryption to a request that creates an object.
macro_rules! with_encryption {
    ($request:expr, $encryption:expr) => {
        with_customer_key!($request, $encryption)
            .set_server_side_encryption($encryption.server_side.clone())
            .set_ssekms_key_id($encryption.kms_key_id.clone())
    };
}
pub(super) use with_encryption;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn takes_exactly_32_bytes_and_hides_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, [7u8; 32]).unwrap();
        let options = S3Options { sse: SseMode::C, customer_key_file: Some(path.clone()), ..S3Options::default() };
        let loaded = Encryption::load(&options).await.unwrap();
        assert_eq!(loaded.customer.as_ref().unwrap().md5, STANDARD.encode(Md5::digest([7u8; 32])));
        assert!(!format!("{loaded:?}").contains(&STANDARD.encode([7u8; 32])[..8]));
        std::fs::write(&path, "short").unwrap();
        let error = Encryption::load(&options).await.unwrap_err();
        assert!(error.to_string().contains("5 bytes instead of 32"), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(Encryption::load(&options).await.is_err());
    }
}
