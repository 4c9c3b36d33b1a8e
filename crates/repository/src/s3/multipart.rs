//! The requests of a multipart upload.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::types::{ChecksumAlgorithm as Algorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::body::replayable;
use super::encryption::{with_customer_key, with_encryption};
use super::failure::refuses_feature;
use super::{Bucket, NONCE, smithy_time};
use crate::checksum::{ChecksumMode, Crc64, PartChecksum};
use crate::error::{Error, Result};

/// How often an upload is aborted again because a part arrived meanwhile.
const ABORTS: u32 = 6;
/// So long after an upload was aborted while a part was on its way it is looked at again, each time after the look before.
const LOOKS_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(1)];

/// An upload that the store knows.
#[derive(Debug, Clone)]
pub(super) struct Multipart {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) mode: ChecksumMode,
}

/// A part that the store has.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) number: u64,
    pub(super) etag: String,
    pub(super) checksum: PartChecksum,
    pub(super) crc: Crc64,
    /// Whether the answer repeated our checksum, which only a store that compared it does.
    pub(super) echoed: bool,
}

impl Bucket {
    /// Begins an upload in the checksum mode that is configured, known, or found out now.
    ///
    /// To find it out, sixteen bytes go up as part 1, which the real part 1 replaces later: so nothing is written that
    /// would have to be deleted, which an append-only identity could not.
    pub(super) async fn open_multipart(
        &self,
        key: &str,
        nonce: &str,
        retain_until: Option<DateTime<Utc>>,
    ) -> Result<Multipart> {
        if let Some(mode) = self.checksum_mode() {
            return self.create_multipart(key, nonce, retain_until, mode).await;
        }
        for mode in [ChecksumMode::Crc64Nvme, ChecksumMode::Crc32c, ChecksumMode::Md5] {
            let upload = match self.create_multipart(key, nonce, retain_until, mode).await {
                Ok(upload) => upload,
                Err(e) if refuses_feature(&e) && mode != ChecksumMode::Md5 => continue,
                Err(e) => return Err(e),
            };
            let slices: Arc<[Bytes]> = Arc::from([Bytes::from_static(b"holdpoint probes")]);
            let refused = match self.upload_part(&upload, 1, slices).await {
                Ok(part) if part.echoed || mode == ChecksumMode::Md5 => {
                    self.learn_checksum_mode(mode);
                    return Ok(upload);
                }
                Ok(_) => None,
                Err(e) if refuses_feature(&e) => None,
                Err(e) => Some(e),
            };
            match (self.abort_multipart(key, &upload.id, false).await, refused) {
                (Ok(()), None) => {}
                (Ok(()), Some(error)) => return Err(error),
                (Err(left), Some(error)) => return Err(left.caused_by(error)),
                (Err(left), None) => return Err(left),
            }
        }
        self.learn_checksum_mode(ChecksumMode::None);
        self.create_multipart(key, nonce, retain_until, ChecksumMode::None).await
    }

    async fn create_multipart(
        &self,
        key: &str,
        nonce: &str,
        retain_until: Option<DateTime<Utc>>,
        mode: ChecksumMode,
    ) -> Result<Multipart> {
        let full = self.checked_key(key)?;
        let answer = self
            .call("begin upload of", key, |client| {
                let request = client
                    .create_multipart_upload()
                    .bucket(&self.name)
                    .key(&full)
                    .metadata(NONCE, nonce)
                    .set_storage_class(self.storage_class(true))
                    .set_object_lock_mode(self.lock_mode(retain_until))
                    .set_object_lock_retain_until_date(self.lock_mode(retain_until).and(retain_until).map(smithy_time))
                    .set_expected_bucket_owner(self.owner());
                let request = match mode {
                    ChecksumMode::Crc64Nvme => {
                        request.checksum_algorithm(Algorithm::Crc64Nvme).checksum_type(ChecksumType::FullObject)
                    }
                    ChecksumMode::Crc32c => request.checksum_algorithm(Algorithm::Crc32C),
                    ChecksumMode::Auto | ChecksumMode::Md5 | ChecksumMode::None => request,
                };
                with_encryption!(request, self.encryption).send()
            })
            .await?;
        match answer.upload_id() {
            Some(id) if !id.is_empty() => Ok(Multipart { key: key.to_owned(), id: id.to_owned(), mode }),
            _ => Err(Error::Unsupported {
                action: "begin upload of",
                key: key.to_owned(),
                detail: "the store gave no upload id".to_owned(),
            }),
        }
    }

    /// Sends one part, in as many rounds as it takes; the same part may safely be sent twice.
    pub(super) async fn send_part(&self, upload: &Multipart, number: u64, slices: Arc<[Bytes]>) -> Result<Part> {
        let (mut round, mut attempts) = (1, 0);
        loop {
            match self.upload_part(upload, number, Arc::clone(&slices)).await {
                Err(error) if error.is_transient() => {
                    attempts += error.attempts();
                    if round >= self.timing.rounds || self.timing.ending.is_over() {
                        return Err(error.after(attempts));
                    }
                    tracing::debug!(key = %upload.key, part = number, round, %error, "part is sent again");
                    tokio::time::sleep(self.timing.pause(round + 2)).await;
                    round += 1;
                }
                done => return done,
            }
        }
    }

    async fn upload_part(&self, upload: &Multipart, number: u64, slices: Arc<[Bytes]>) -> Result<Part> {
        let (full, mode, hashed) = (self.full_key(&upload.key), upload.mode, Arc::clone(&slices));
        let sums = move || (Crc64::of_slices(&hashed), PartChecksum::of(mode, &hashed));
        let (crc, checksum) = tokio::task::spawn_blocking(sums).await.map_err(|e| Error::Io {
            action: "hash",
            key: upload.key.clone(),
            attempts: 0,
            source: e.into(),
        })?;
        let number_on_wire = i32::try_from(number).unwrap_or(i32::MAX);
        let answer = self
            .call("upload part of", &upload.key, |client| {
                let request = client
                    .upload_part()
                    .bucket(&self.name)
                    .key(&full)
                    .upload_id(&upload.id)
                    .part_number(number_on_wire)
                    .content_length(i64::try_from(crc.bytes()).unwrap_or(i64::MAX))
                    .set_expected_bucket_owner(self.owner())
                    .body(replayable(&slices));
                let request = match &checksum {
                    PartChecksum::Crc64Nvme(value) => request.checksum_crc64_nvme(value),
                    PartChecksum::Crc32c(value) => request.checksum_crc32_c(value),
                    PartChecksum::Md5(value) => request.content_md5(value),
                    PartChecksum::None => request,
                };
                let request = with_customer_key!(request, self.encryption);
                request.customize().config_override(self.connection.patient(self.timing.send_for(crc.bytes()))).send()
            })
            .await
            .map_err(gone)?;
        let echoed = match &checksum {
            PartChecksum::Crc64Nvme(value) => answer.checksum_crc64_nvme() == Some(value),
            PartChecksum::Crc32c(value) => answer.checksum_crc32_c() == Some(value),
            PartChecksum::Md5(_) | PartChecksum::None => false,
        };
        Ok(Part { number, etag: answer.e_tag().unwrap_or_default().to_owned(), checksum, crc, echoed })
    }

    /// Asks the store to put the parts together, unless the object exists.
    pub(super) async fn complete_multipart(
        &self,
        upload: &Multipart,
        parts: &[Part],
        crc: Crc64,
        conditional: bool,
    ) -> Result<()> {
        let full = self.full_key(&upload.key);
        let completed = parts.iter().map(|part| {
            let one = CompletedPart::builder()
                .part_number(i32::try_from(part.number).unwrap_or(i32::MAX))
                .e_tag(part.etag.clone());
            match &part.checksum {
                PartChecksum::Crc64Nvme(value) => one.checksum_crc64_nvme(value).build(),
                PartChecksum::Crc32c(value) => one.checksum_crc32_c(value).build(),
                PartChecksum::Md5(_) | PartChecksum::None => one.build(),
            }
        });
        let list = CompletedMultipartUpload::builder().set_parts(Some(completed.collect())).build();
        self.call("complete upload of", &upload.key, |client| {
            let request = client
                .complete_multipart_upload()
                .bucket(&self.name)
                .key(&full)
                .upload_id(&upload.id)
                .set_if_none_match(conditional.then(|| "*".to_owned()))
                .set_expected_bucket_owner(self.owner())
                .multipart_upload(list.clone());
            let request = match upload.mode {
                ChecksumMode::Crc64Nvme => request
                    .checksum_type(ChecksumType::FullObject)
                    .checksum_crc64_nvme(crc.base64())
                    .mpu_object_size(i64::try_from(crc.bytes()).unwrap_or(i64::MAX)),
                _ => request,
            };
            let request = with_customer_key!(request, self.encryption);
            request.customize().config_override(self.connection.patient(self.timing.complete_for)).send()
        })
        .await
        .map(drop)
        .map_err(gone)
    }

    /// Aborts an upload and makes sure that nothing of it remains.
    ///
    /// A part that arrives while the upload is aborted may survive it, so it is aborted until the store lists no part of it. Where
    /// one was `on_its_way`, as nobody waited for its answer, the store has to say so several times, moments apart, and anew after
    /// each part that came. One that arrives later than that is an unfinished upload, which the next sweep removes.
    pub(super) async fn abort_multipart(&self, key: &str, id: &str, on_its_way: bool) -> Result<()> {
        let full = self.full_key(key);
        let pauses: &[Duration] = if on_its_way { &LOOKS_AGAIN } else { &[] };
        let (mut attempt, mut left) = (1, pauses.iter());
        loop {
            let aborted = self
                .call("abort upload of", key, |client| {
                    let request = client.abort_multipart_upload().bucket(&self.name).key(&full).upload_id(id);
                    request.set_expected_bucket_owner(self.owner()).send()
                })
                .await;
            let remains = match aborted {
                Ok(_) => self.has_parts(key, id).await.map_err(|error| Error::left(key, id, error))?,
                Err(e) if e.is_not_found() => false,
                Err(e) => return Err(Error::left(key, id, e)),
            };
            if remains && attempt == ABORTS {
                let detail = "parts remain after it was aborted".to_owned();
                let source = Error::Corrupt { action: "abort upload of", key: key.to_owned(), detail };
                return Err(Error::left(key, id, source));
            }
            if remains {
                tokio::time::sleep(self.timing.pause(attempt)).await;
                (attempt, left) = (attempt + 1, pauses.iter());
            } else if let Some(pause) = left.next() {
                tokio::time::sleep(*pause).await;
            } else {
                return Ok(());
            }
        }
    }

    /// Whether the store still has parts of an upload that was aborted.
    async fn has_parts(&self, key: &str, id: &str) -> Result<bool> {
        let full = self.full_key(key);
        let parts = self
            .call("list parts of", key, |client| {
                let request = client.list_parts().bucket(&self.name).key(&full).upload_id(id).max_parts(1);
                with_customer_key!(request, self.encryption).set_expected_bucket_owner(self.owner()).send()
            })
            .await;
        match parts {
            Ok(found) => Ok(!found.parts().is_empty()),
            Err(e) if e.is_not_found() => Ok(false),
            // The store said that it is aborted; whether parts linger is not for this identity to know.
            Err(Error::AccessDenied { .. } | Error::Unsupported { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

/// Of an upload under way nothing else can be missing than the upload itself.
fn gone(error: Error) -> Error {
    match error {
        Error::NotFound { key, .. } => Error::UploadGone { key },
        error => error,
    }
}
