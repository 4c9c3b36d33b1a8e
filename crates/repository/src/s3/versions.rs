//! Versions: whether what is deleted stays in the bucket.

use super::Bucket;
use crate::error::Result;

impl Bucket {
    /// Whether the bucket keeps versions, or did: where that was suspended, those of before are still there.
    pub(super) async fn keeps_versions(&self) -> Result<bool> {
        let asked = self.call("ask for versions of", "", |client| {
            client.get_bucket_versioning().bucket(&self.name).set_expected_bucket_owner(self.owner()).send()
        });
        Ok(asked.await?.status().is_some())
    }
}
