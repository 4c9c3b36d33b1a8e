//! The upload of a stream that cannot be read twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;

use super::multipart::{Multipart, Part};
use super::options::MAX_PART_BYTES;
use super::parts::PartPlan;
use super::put::{Condition, Put};
use super::{Bucket, NONCE};
use crate::checksum::{ChecksumAlgorithm, ChecksumMode, Crc64, PartChecksum, StoredChecksum, composite_crc32c};
use crate::error::{Error, Result};
use crate::nonce::nonce;
use crate::store::ObjectInfo;
use crate::upload::{ObjectUpload, UploadOptions, Uploaded};

/// For so long parts that are on their way may land before their upload is aborted.
const LANDS_WITHIN: Duration = Duration::from_secs(3);

/// An upload in parts, or in one request when it turns out to be small.
pub(super) struct S3Upload {
    bucket: Arc<Bucket>,
    key: String,
    nonce: String,
    plan: PartPlan,
    held_back: u64,
    retain_until: Option<DateTime<Utc>>,
    /// The data that stands behind the head in the first parts.
    first: BytesMut,
    /// The part that is being filled.
    filling: BytesMut,
    position: u64,
    next_part: u64,
    flying: JoinSet<Result<Part>>,
    flying_bytes: u64,
    /// Behind `flying`, so that a drop ends the parts before the upload.
    open: OpenUpload,
    done: BTreeMap<u64, Part>,
}

/// The store's side of the upload. Dropped while the store still has it, it is aborted in the background.
struct OpenUpload {
    bucket: Arc<Bucket>,
    multipart: Option<Multipart>,
}

impl S3Upload {
    pub(super) fn begin(bucket: &Arc<Bucket>, key: &str, options: &UploadOptions) -> Result<Self> {
        let plan = PartPlan::new(&bucket.options, options.expected_bytes, options.held_back_bytes);
        Ok(Self {
            bucket: Arc::clone(bucket),
            key: key.to_owned(),
            nonce: nonce()?,
            held_back: options.held_back_bytes,
            retain_until: options.retain_until,
            first: BytesMut::new(),
            filling: BytesMut::new(),
            position: options.held_back_bytes,
            next_part: plan.first_data_part(),
            plan,
            open: OpenUpload { bucket: Arc::clone(bucket), multipart: None },
            flying: JoinSet::new(),
            flying_bytes: 0,
            done: BTreeMap::new(),
        })
    }

    async fn take(&mut self, mut rest: &[u8]) -> Result<()> {
        self.position += rest.len() as u64;
        let first_room = self.plan.first_bytes().saturating_sub(self.held_back) as usize - self.first.len();
        let (first, behind) = rest.split_at(first_room.min(rest.len()));
        self.first.extend_from_slice(first);
        rest = behind;
        while !rest.is_empty() {
            let size = self.size_of(self.next_part)?;
            if self.filling.capacity() == 0 {
                // Untouched memory costs nothing, growing would cost twice the part.
                self.filling.reserve(size as usize);
            }
            let room = (size as usize).saturating_sub(self.filling.len());
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.filling.extend_from_slice(now);
            rest = later;
            if self.filling.len() as u64 >= size {
                self.send_filled().await?;
            }
        }
        Ok(())
    }

    fn size_of(&self, number: u64) -> Result<u64> {
        self.plan.size_of(number).ok_or_else(|| {
            let detail = format!(
                "{} bytes need more parts than the store takes ({}); set part_bytes higher",
                self.position, self.bucket.options.max_parts
            );
            Error::TooLarge { action: "upload", key: self.key.clone(), detail }
        })
    }

    async fn send_filled(&mut self) -> Result<()> {
        if self.filling.is_empty() {
            return Ok(());
        }
        let part = std::mem::take(&mut self.filling).freeze();
        let number = self.next_part;
        self.next_part += 1;
        self.send(number, vec![part]).await
    }

    /// Sends a part as soon as there is room among those in flight.
    async fn send(&mut self, number: u64, slices: Vec<Bytes>) -> Result<()> {
        let multipart = self.opened().await?;
        let bytes: u64 = slices.iter().map(|s| s.len() as u64).sum();
        while !self.flying.is_empty() && self.flying_bytes + bytes > self.plan.flight_bytes(bytes) {
            self.land_one().await?;
        }
        self.flying_bytes += bytes;
        let bucket = Arc::clone(&self.bucket);
        self.flying.spawn(async move { bucket.send_part(&multipart, number, slices.into()).await });
        // Parts that have landed need not wait for the next one to be noticed.
        while let Some(landed) = self.flying.try_join_next() {
            self.landed(landed)?;
        }
        Ok(())
    }

    async fn opened(&mut self) -> Result<Multipart> {
        if let Some(open) = &self.open.multipart {
            return Ok(open.clone());
        }
        let opened = self.bucket.open_multipart(&self.key, &self.nonce, self.retain_until).await?;
        self.open.multipart = Some(opened.clone());
        Ok(opened)
    }

    async fn land_one(&mut self) -> Result<()> {
        match self.flying.join_next().await {
            Some(landed) => self.landed(landed),
            None => Ok(()),
        }
    }

    fn landed(&mut self, landed: std::result::Result<Result<Part>, tokio::task::JoinError>) -> Result<()> {
        let part = landed.map_err(|e| Error::Io {
            action: "upload",
            key: self.key.clone(),
            attempts: 0,
            source: e.into(),
        })??;
        self.flying_bytes -= part.crc.bytes();
        self.done.insert(part.number, part);
        Ok(())
    }

    async fn complete(&mut self, head: Bytes) -> Result<Uploaded> {
        if head.len() as u64 != self.held_back {
            let detail = format!("{} first bytes were held back, {} were given", self.held_back, head.len());
            return Err(self.corrupt("upload", detail));
        }
        let first = std::mem::take(&mut self.first).freeze();
        if self.open.multipart.is_none() && self.position <= MAX_PART_BYTES {
            let filled = std::mem::take(&mut self.filling).freeze();
            return self.put_whole(vec![head, first, filled]).await;
        }
        self.send_filled().await?;
        let mut source = vec![head, first];
        for (index, size) in self.plan.first_sizes().into_iter().enumerate() {
            let slices = cut(&mut source, size);
            self.send(index as u64 + 1, slices).await?;
        }
        while !self.flying.is_empty() {
            self.land_one().await?;
        }
        let parts: Vec<Part> = std::mem::take(&mut self.done).into_values().collect();
        let crc = parts.iter().fold(Crc64::default(), |sum, part| sum.then(part.crc));
        let in_order = parts.iter().zip(1..).all(|(part, number)| part.number == number);
        if !in_order || crc.bytes() != self.position {
            let detail = format!("{} bytes were written, {} are in the parts", self.position, crc.bytes());
            return Err(self.corrupt("upload", detail));
        }
        let multipart = self.opened().await?;
        self.put_together(&multipart, &parts, crc).await?;
        let composite = composite_of(&parts);
        let uploaded = self.confirm(crc, composite.as_deref()).await;
        // The store has put it together: there is nothing left to abort, whatever the comparison said.
        self.open.multipart = None;
        uploaded
    }

    /// Completes the upload; tells a lost answer from somebody else's object.
    async fn put_together(&self, multipart: &Multipart, parts: &[Part], crc: Crc64) -> Result<()> {
        let error = match self.bucket.complete_multipart(multipart, parts, crc, true).await {
            Ok(()) => return Ok(()),
            Err(Error::Unsupported { .. }) => {
                // No conditional writes here: look first. Random names keep this safe.
                match self.bucket.head(&self.key).await {
                    Ok(_) => return Err(Error::AlreadyExists { key: self.key.clone() }),
                    Err(e) if e.is_not_found() => {}
                    Err(e) => return Err(e),
                }
                match self.bucket.complete_multipart(multipart, parts, crc, false).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        let may_be_ours = match &error {
            Error::PreconditionFailed { .. } | Error::UploadGone { .. } | Error::Service { status: 409, .. } => true,
            other => other.is_transient(),
        };
        if !may_be_ours {
            return Err(error);
        }
        match self.bucket.head(&self.key).await {
            Ok(found) if self.is_ours(&found) && found.size_bytes == crc.bytes() => Ok(()),
            Ok(_) => Err(Error::AlreadyExists { key: self.key.clone() }),
            Err(_) => Err(error),
        }
    }

    fn is_ours(&self, found: &ObjectInfo) -> bool {
        found.metadata.get(NONCE) == Some(&self.nonce)
    }

    async fn put_whole(&self, slices: Vec<Bytes>) -> Result<Uploaded> {
        let crc = Crc64::of_slices(&slices);
        let put = Put {
            key: &self.key,
            slices: slices.into(),
            condition: Condition::Absent,
            retain_until: self.retain_until,
            is_data: true,
        };
        self.bucket.put(put).await?;
        self.confirm(crc, None).await
    }

    /// Reads back what the store says of the object and compares.
    async fn confirm(&self, crc: Crc64, composite: Option<&str>) -> Result<Uploaded> {
        let found = self.bucket.head(&self.key).await?;
        if found.size_bytes != crc.bytes() {
            let detail = format!("the store has {} bytes, {} were sent", found.size_bytes, crc.bytes());
            return Err(self.corrupt("compare", detail));
        }
        let ours = match &found.checksum {
            Some(StoredChecksum { algorithm: ChecksumAlgorithm::Crc64Nvme, .. }) => Some(crc.base64()),
            Some(StoredChecksum { algorithm: ChecksumAlgorithm::Crc32c, .. }) => composite.map(str::to_owned),
            None => None,
        };
        // Stores write the composite with or without the number of parts behind it.
        let same = |stored: &str, ours: &str| stored == ours || Some(stored) == ours.rsplit_once('-').map(|(v, _)| v);
        let confirmed = match (found.checksum, ours) {
            (Some(stored), Some(ours)) if same(&stored.value, &ours) => Some(stored),
            (Some(stored), Some(ours)) => {
                let detail = format!("the store has the checksum {}, {ours} was sent", stored.value);
                return Err(self.corrupt("compare", detail));
            }
            _ => None,
        };
        if confirmed.is_none() && self.bucket.checksum_mode() == Some(ChecksumMode::Crc64Nvme) {
            tracing::debug!(key = %self.key, "the store keeps no checksum of the whole object");
        }
        Ok(Uploaded { size_bytes: found.size_bytes, etag: found.etag, crc64nvme: crc, confirmed })
    }

    fn corrupt(&self, action: &'static str, detail: String) -> Error {
        Error::Corrupt { action, key: self.key.clone(), detail }
    }

    /// Ends everything in flight and removes what the store has.
    ///
    /// A part whose answer nobody waits for may arrive after the upload was aborted, so what is on its way may land first.
    async fn clear(&mut self) -> Result<()> {
        let landed = async { while self.flying.join_next().await.is_some() {} };
        let cut_off = tokio::time::timeout(LANDS_WITHIN, landed).await.is_err();
        self.flying.shutdown().await;
        self.filling = BytesMut::new();
        self.first = BytesMut::new();
        let Some(multipart) = self.open.multipart.clone() else { return Ok(()) };
        let aborted = self.bucket.abort_multipart(&self.key, &multipart.id, cut_off).await;
        // Whether it worked or not, it has been tried and is reported: dropping need not try again.
        self.open.multipart = None;
        aborted
    }
}

/// Takes the next `size` bytes off the slices, without copying.
fn cut(source: &mut Vec<Bytes>, size: u64) -> Vec<Bytes> {
    let mut left = size as usize;
    let mut taken = Vec::new();
    for slice in source.iter_mut() {
        let piece = slice.split_to(left.min(slice.len()));
        left -= piece.len();
        if !piece.is_empty() {
            taken.push(piece);
        }
    }
    source.retain(|s| !s.is_empty());
    taken
}

fn composite_of(parts: &[Part]) -> Option<String> {
    let sums: Option<Vec<String>> = parts
        .iter()
        .map(|part| match &part.checksum {
            PartChecksum::Crc32c(value) => Some(value.clone()),
            _ => None,
        })
        .collect();
    composite_crc32c(&sums?)
}

impl ObjectUpload for S3Upload {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        async move { self.take(&bytes).await }.boxed()
    }

    fn position(&self) -> u64 {
        self.position
    }

    fn finish(mut self: Box<Self>, head: Bytes) -> BoxFuture<'static, Result<Uploaded>> {
        async move {
            match self.complete(head).await {
                Ok(uploaded) => Ok(uploaded),
                Err(cause) => Err(match self.clear().await {
                    Ok(()) => cause,
                    Err(left) => left.caused_by(cause),
                }),
            }
        }
        .boxed()
    }

    fn abort(mut self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        async move { self.clear().await }.boxed()
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        let Some(multipart) = self.multipart.take() else { return };
        tracing::warn!(key = %multipart.key, upload = %multipart.id, "upload dropped without finish or abort");
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let bucket = Arc::clone(&self.bucket);
        let mut cleaning = self.bucket.cleaning.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let abort = async move {
            if let Err(error) = bucket.abort_multipart(&multipart.key, &multipart.id, true).await {
                tracing::warn!(key = %multipart.key, upload = %multipart.id, %error, "unfinished upload remains");
            }
        };
        drop(cleaning.spawn_on(abort, &runtime));
    }
}
