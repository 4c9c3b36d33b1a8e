//! Trying out how a bucket takes uploads in parts.

use std::sync::Arc;

use bytes::Bytes;

use super::Bucket;
use super::multipart::{Multipart, Part};
use super::options::MIN_PART_BYTES;
use crate::checksum::Crc64;
use crate::error::{Error, Result};
use crate::nonce::nonce;
use crate::probe::PartsProbe;

impl Bucket {
    pub(super) async fn probe_parts(&self, key: &str) -> PartsProbe {
        let unequal = self.upload_unequal_parts(key).await;
        let abort = self.begin_and_abort(&format!("{key}-aborted")).await;
        PartsProbe { unequal, abort, checksum: self.checksum_mode() }
    }

    /// Part 1 is sent last, as backups do, and is smaller than part 2.
    async fn upload_unequal_parts(&self, key: &str) -> Result<()> {
        let upload = self.open_multipart(key, &nonce()?, None).await?;
        let outcome = self.put_unequal_parts_together(key, &upload).await;
        if let Err(error) = outcome {
            return Err(match self.abort_multipart(key, &upload.id, false).await {
                Ok(()) => error,
                Err(left) => left.caused_by(error),
            });
        }
        Ok(())
    }

    async fn put_unequal_parts_together(&self, key: &str, upload: &Multipart) -> Result<()> {
        let least = usize::try_from(MIN_PART_BYTES).unwrap_or_default();
        let zeros = Bytes::from(vec![0; least + (1 << 20)]);
        let sizes = [(2, zeros.len()), (3, 1), (1, least)];
        let mut parts: Vec<Part> = Vec::new();
        for (number, size) in sizes {
            parts.push(self.send_part(upload, number, Arc::from([zeros.slice(..size)])).await?);
        }
        parts.sort_unstable_by_key(|part| part.number);
        let crc = parts.iter().fold(Crc64::default(), |sum, part| sum.then(part.crc));
        let completed = match self.complete_multipart(upload, &parts, crc, true).await {
            Err(Error::Unsupported { .. }) => self.complete_multipart(upload, &parts, crc, false).await,
            completed => completed,
        };
        completed?;
        let found = self.head(key).await?;
        if found.size_bytes != crc.bytes() {
            let detail = format!("{} bytes were sent in parts, the object has {}", crc.bytes(), found.size_bytes);
            return Err(Error::Corrupt { action: "compare", key: key.to_owned(), detail });
        }
        Ok(())
    }

    async fn begin_and_abort(&self, key: &str) -> Result<()> {
        let upload = self.open_multipart(key, &nonce()?, None).await?;
        let part = self.send_part(&upload, 1, Arc::from([Bytes::from_static(b"to be aborted")])).await;
        self.abort_multipart(key, &upload.id, false).await?;
        part.map(drop)
    }
}
