//! Where a round happens, as a parent tells it to its children.

use std::sync::Arc;
use std::time::Duration;

use holdpoint_repository::{
    ChecksumMode, CredentialSource, LocalDirectory, ObjectStore, RepositoryUrl, S3Options, S3Store, Timing,
};
use holdpoint_testkit::ADMIN;
use serde::{Deserialize, Serialize};

/// A repository's place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    /// `file:///…` or `s3://…`.
    pub(crate) url: String,
    /// The engine's address, for a bucket.
    pub(crate) endpoint: Option<String>,
}

impl Place {
    pub(crate) async fn store(&self) -> Arc<dyn ObjectStore> {
        let Some(endpoint) = self.endpoint.clone() else {
            return Arc::new(LocalDirectory::new(self.url.strip_prefix("file://").unwrap()).unwrap());
        };
        let options = S3Options {
            endpoint: Some(endpoint),
            path_style: true,
            part_bytes: Some(5 << 20),
            checksum: ChecksumMode::Crc64Nvme,
            ..S3Options::default()
        };
        let keys = CredentialSource::Keys {
            access_key_id: ADMIN.access_key.into(),
            secret_access_key: ADMIN.secret_key.into(),
        };
        let timing = Timing { first_pause: Duration::from_millis(50), ..Timing::default() };
        let url: RepositoryUrl = self.url.parse().unwrap();
        Arc::new(S3Store::connect(&url, options, keys, timing).await.unwrap())
    }
}
