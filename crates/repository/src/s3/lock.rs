//! Object Lock: in which mode objects are written, and how a lock is extended.

use aws_sdk_s3::types::{ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode};
use chrono::{DateTime, Utc};

use super::{Bucket, LockMode, smithy_time};
use crate::error::{Error, Result};

impl Bucket {
    /// The configured mode, where a lock is asked for.
    pub(super) fn lock_mode(&self, retain_until: Option<DateTime<Utc>>) -> Option<ObjectLockMode> {
        let mode = self.options.object_lock_mode?;
        retain_until?;
        Some(match mode {
            LockMode::Governance => ObjectLockMode::Governance,
            LockMode::Compliance => ObjectLockMode::Compliance,
        })
    }

    /// Locks an object until then; a store refuses to shorten a lock.
    pub(super) async fn extend_retention(&self, key: &str, until: DateTime<Utc>) -> Result<()> {
        let full = self.checked_key(key)?;
        let Some(mode) = self.options.object_lock_mode else {
            let detail = "object_lock_mode is not configured".to_owned();
            return Err(Error::Unsupported { action: "lock", key: key.to_owned(), detail });
        };
        let mode = match mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let retention = ObjectLockRetention::builder().mode(mode).retain_until_date(smithy_time(until)).build();
        self.call("lock", key, |client| {
            let request = client.put_object_retention().bucket(&self.name).key(&full).retention(retention.clone());
            request.set_expected_bucket_owner(self.owner()).send()
        })
        .await
        .map(drop)
    }
}
