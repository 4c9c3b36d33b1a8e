//! Objects in a single request: conditional, and known again when the answer was lost.

use std::sync::Arc;

use aws_sdk_s3::types::StorageClass;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::body::replayable;
use super::encryption::{with_customer_key, with_encryption};
use super::failure::refuses_feature;
use super::{Bucket, NONCE, smithy_time};
use crate::checksum::{ChecksumMode, PartChecksum};
use crate::error::{Error, Result};
use crate::nonce::nonce;
use crate::store::Created;

/// How often a write is tried again that lost a race which nobody won (409).
const CONFLICTS: u32 = 5;

/// What a write demands of the object it writes.
#[derive(Debug, Clone)]
pub(super) enum Condition {
    /// It must not exist.
    Absent,
    /// It must have this ETag.
    Matches(String),
    /// Nothing.
    None,
}

/// One request's worth of object.
pub(super) struct Put<'a> {
    pub(super) key: &'a str,
    pub(super) slices: Arc<[Bytes]>,
    pub(super) condition: Condition,
    pub(super) retain_until: Option<DateTime<Utc>>,
    /// Data goes into the configured storage class, records into the default one.
    pub(super) is_data: bool,
}

impl Bucket {
    pub(super) async fn put_small(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition,
        retain_until: Option<DateTime<Utc>>,
    ) -> Result<Created> {
        let slices: Arc<[Bytes]> = Arc::from([body]);
        let etag = self.put(Put { key, slices, condition, retain_until, is_data: false }).await?;
        Ok(Created { etag })
    }

    /// Writes an object and returns its ETag.
    pub(super) async fn put(&self, mut put: Put<'_>) -> Result<String> {
        let full = self.checked_key(put.key)?;
        let nonce = nonce()?;
        let mut mode = self.checksum_mode().unwrap_or(ChecksumMode::Auto);
        let mut conflicts = 0;
        loop {
            let error = match self.send_put(&put, &full, &nonce, mode).await {
                Ok(etag) => return Ok(etag),
                Err(error) => error,
            };
            match &error {
                // Lost answers: an earlier attempt of this very call may have written the object.
                Error::PreconditionFailed { .. } | Error::NotFound { .. } => {
                    return self.own_write(&put, &nonce).await.unwrap_or(Err(match put.condition {
                        Condition::Absent => Error::AlreadyExists { key: put.key.to_owned() },
                        _ => Error::PreconditionFailed { action: "replace", key: put.key.to_owned() },
                    }));
                }
                // Two conditional writes at once: neither may have won, so ask again.
                Error::Service { status: 409, .. } if conflicts < CONFLICTS => {
                    conflicts += 1;
                    tokio::time::sleep(self.timing.pause(conflicts)).await;
                }
                transient if transient.is_transient() => {
                    let own = self.own_write(&put, &nonce).await.and_then(Result::ok);
                    return own.ok_or(error);
                }
                refused if refuses_feature(refused) && mode == ChecksumMode::Auto => mode = ChecksumMode::Md5,
                Error::Unsupported { .. } if matches!(put.condition, Condition::Absent) => {
                    // No conditional writes here: look first. Random names keep this safe for restore points.
                    match self.head(put.key).await {
                        Ok(_) => return Err(Error::AlreadyExists { key: put.key.to_owned() }),
                        Err(e) if e.is_not_found() => put.condition = Condition::None,
                        Err(e) => return Err(e),
                    }
                }
                _ => return Err(error),
            }
        }
    }

    async fn send_put(&self, put: &Put<'_>, full: &str, nonce: &str, mode: ChecksumMode) -> Result<String> {
        let length: u64 = put.slices.iter().map(|s| s.len() as u64).sum();
        let checksum = PartChecksum::of(mode, &put.slices);
        let answer = self
            .call("write", put.key, |client| {
                let request = client
                    .put_object()
                    .bucket(&self.name)
                    .key(full)
                    .metadata(NONCE, nonce)
                    .content_length(i64::try_from(length).unwrap_or(i64::MAX))
                    .set_object_lock_mode(self.lock_mode(put.retain_until))
                    .set_object_lock_retain_until_date(
                        self.lock_mode(put.retain_until).and(put.retain_until).map(smithy_time),
                    )
                    .set_storage_class(self.storage_class(put.is_data))
                    .set_expected_bucket_owner(self.owner())
                    .body(replayable(&put.slices));
                let request = match &put.condition {
                    Condition::Absent => request.if_none_match("*"),
                    Condition::Matches(etag) => request.if_match(etag),
                    Condition::None => request,
                };
                let request = match &checksum {
                    PartChecksum::Crc64Nvme(value) => request.checksum_crc64_nvme(value),
                    PartChecksum::Crc32c(value) => request.checksum_crc32_c(value),
                    PartChecksum::Md5(value) => request.content_md5(value),
                    PartChecksum::None => request,
                };
                let request = with_encryption!(request, self.encryption);
                request.customize().config_override(self.connection.patient(self.timing.send_for(length))).send()
            })
            .await?;
        Ok(answer.e_tag().unwrap_or_default().to_owned())
    }

    pub(super) fn storage_class(&self, is_data: bool) -> Option<StorageClass> {
        let class = self.options.storage_class.as_deref().filter(|_| is_data)?;
        Some(StorageClass::from(class))
    }

    /// Finds out whether the object is the one that this call wrote: `None` when it is another or none.
    async fn own_write(&self, put: &Put<'_>, nonce: &str) -> Option<Result<String>> {
        match self.head(put.key).await {
            Ok(found) if found.metadata.get(NONCE).is_some_and(|n| n == nonce) => Some(Ok(found.etag)),
            Ok(_) => None,
            Err(e) if e.is_not_found() => None,
            Err(e) => Some(Err(e)),
        }
    }
}
