//! Reading objects; a cut connection goes on where it ended.

use std::ops::Range;
use std::sync::Arc;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::types::ChecksumMode as GetChecksum;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt};
use tokio::time::{Duration, Instant};

use super::Bucket;
use super::encryption::with_customer_key;
use super::failure::{chain, dated};
use super::options::Timing;
use crate::error::{Error, Result};
use crate::reader::{FetchCount, ObjectReader};
use crate::store::SmallObject;

/// So many bytes without a cut, and earlier cuts no longer count.
const PROGRESS_BYTES: u64 = 1 << 20;

/// Reads a whole object; with its body that takes no longer than any other request of so many bytes.
pub(super) async fn whole(bucket: &Arc<Bucket>, key: &str, max_bytes: u64) -> Result<SmallObject> {
    let (reader, modified_at) = open_until(bucket, key, None, None, Some(Instant::now())).await?;
    let etag = reader.etag().to_owned();
    Ok(SmallObject { bytes: reader.read_to_end(max_bytes).await?, etag, modified_at })
}

pub(super) async fn open(
    bucket: &Arc<Bucket>,
    key: &str,
    range: Option<Range<u64>>,
    etag: Option<&str>,
) -> Result<(ObjectReader, DateTime<Utc>)> {
    open_until(bucket, key, range, etag, None).await
}

/// As [`open`]; with `began` the body must have come by when a request that began then is given up.
async fn open_until(
    bucket: &Arc<Bucket>,
    key: &str,
    range: Option<Range<u64>>,
    etag: Option<&str>,
    began: Option<Instant>,
) -> Result<(ObjectReader, DateTime<Utc>)> {
    let full = bucket.checked_key(key)?;
    if let Some(range) = range.as_ref().filter(|r| r.start >= r.end) {
        // S3 has no empty ranges.
        let found = bucket.head(key).await?;
        if etag.is_some_and(|expected| expected != found.etag) {
            return Err(Error::PreconditionFailed { action: "read", key: key.to_owned() });
        }
        let empty = stream::empty().boxed();
        let reader = ObjectReader::new(key, found.etag, found.size_bytes, 0, FetchCount::default(), empty);
        tracing::trace!(key, start = range.start, "empty range");
        return Ok((reader, found.modified_at));
    }
    let answer = get(bucket, key, &full, range.clone(), etag).await?;
    let body_bytes = answer.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
    let object_bytes = match &range {
        None => body_bytes,
        // "bytes 0-9/1234"
        Some(_) => answer.content_range().and_then(|text| text.rsplit_once('/')?.1.parse().ok()).unwrap_or(body_bytes),
    };
    let wanted = range.clone().unwrap_or(0..object_bytes);
    if wanted.end > object_bytes {
        let detail = format!("has {object_bytes} bytes, bytes up to {} were asked for", wanted.end);
        return Err(Error::Corrupt { action: "read", key: key.to_owned(), detail });
    }
    if body_bytes != wanted.end - wanted.start {
        let detail = format!("{body_bytes} bytes are offered instead of {}", wanted.end - wanted.start);
        return Err(Error::Corrupt { action: "read", key: key.to_owned(), detail });
    }
    let etag = answer.e_tag().unwrap_or_default().to_owned();
    let modified_at = dated("read", key, answer.last_modified())?;
    let fetched = FetchCount::default();
    let download = Download {
        bucket: Arc::clone(bucket),
        key: key.to_owned(),
        full,
        etag: etag.clone(),
        next: wanted.start,
        end: wanted.end,
        validated: range.is_none(),
        body: Some(answer.body),
        failures: 0,
        attempts: 0,
        since_failure: 0,
        pace: Pace::default(),
        until: began.map(|at| at + bucket.timing.request_for(bucket.timing.send_for(body_bytes))),
        fetched: fetched.clone(),
    };
    let chunks = stream::try_unfold(download, |mut download| async {
        Ok(download.next_chunk().await?.map(|chunk| (chunk, download)))
    });
    Ok((ObjectReader::new(key, etag, object_bytes, wanted.end - wanted.start, fetched, chunks.boxed()), modified_at))
}

async fn get(
    bucket: &Bucket,
    key: &str,
    full: &str,
    range: Option<Range<u64>>,
    etag: Option<&str>,
) -> Result<GetObjectOutput> {
    bucket
        .call_for_object("read", key, |client| {
            let request = client
                .get_object()
                .bucket(&bucket.name)
                .key(full)
                .set_range(range.as_ref().map(|r| format!("bytes={}-{}", r.start, r.end - 1)))
                .set_if_match(etag.map(str::to_owned))
                .set_checksum_mode(range.is_none().then_some(GetChecksum::Enabled))
                .set_expected_bucket_owner(bucket.owner());
            with_customer_key!(request, bucket.encryption).send()
        })
        .await
}

/// A download between two chunks.
struct Download {
    bucket: Arc<Bucket>,
    key: String,
    full: String,
    etag: String,
    next: u64,
    end: u64,
    /// Whether the body is a whole object, whose checksum the SDK compares at its end.
    validated: bool,
    body: Option<ByteStream>,
    failures: u32,
    /// Attempts of the failures that count.
    attempts: u32,
    since_failure: u64,
    pace: Pace,
    /// When it is given up, whatever came.
    until: Option<Instant>,
    fetched: FetchCount,
}

/// A download that is slower over the time of a stall is no slow line but one that stands still: bytes a second. Others may take the most of
/// a line, so it is far less than an upload's, which holds memory.
const SLOWEST_BYTES_PER_SECOND: f64 = 4096.0;

/// What came in so much waiting. The time in which nobody asks for more does not count: whoever reads may be slow.
#[derive(Debug, Default, Clone, Copy)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// How long the next bytes may keep one waiting.
    fn left(&self, timing: &Timing) -> Duration {
        timing.stall_for.saturating_sub(self.waited)
    }

    /// Counts what came after a wait, and begins anew where there was enough for the time.
    fn came(&mut self, waited: Duration, bytes: u64, timing: &Timing) {
        self.waited += waited;
        self.bytes += bytes;
        let enough = SLOWEST_BYTES_PER_SECOND * timing.stall_for.as_secs_f64();
        if self.bytes as f64 >= enough {
            *self = Self::default();
        }
    }
}

impl Download {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>> {
        let Some(until) = self.until else { return self.advance().await };
        if let Ok(advanced) = tokio::time::timeout_at(until, self.advance()).await {
            return advanced;
        }
        Err(Error::Timeout { action: "read", key: self.key.clone(), attempts: self.attempts + 1 })
    }

    async fn advance(&mut self) -> Result<Option<Bytes>> {
        while self.next < self.end {
            let Some(body) = &mut self.body else {
                self.reopen().await?;
                continue;
            };
            let asked = Instant::now();
            let waited = tokio::time::timeout(self.pace.left(&self.bucket.timing), body.next());
            let waited = self.bucket.timing.ending.wait(waited).await;
            let error = match waited {
                Some(Ok(Some(Ok(chunk)))) => {
                    self.pace.came(asked.elapsed(), chunk.len() as u64, &self.bucket.timing);
                    let left = self.end - self.next;
                    self.fetched.add(chunk.len());
                    self.next += chunk.len() as u64;
                    self.since_failure += chunk.len() as u64;
                    if self.since_failure >= PROGRESS_BYTES {
                        (self.failures, self.attempts) = (0, 0);
                    }
                    if chunk.len() as u64 >= left {
                        self.compare_checksum().await?;
                    }
                    return Ok(Some(chunk));
                }
                Some(Ok(Some(Err(error)))) if is_checksum_mismatch(&error) => return Err(self.damaged()),
                Some(Ok(Some(Err(error)))) => Error::Io {
                    action: "read",
                    key: self.key.clone(),
                    attempts: 1,
                    source: std::io::Error::new(std::io::ErrorKind::ConnectionReset, error).into(),
                },
                Some(Ok(None)) => Error::Io {
                    action: "read",
                    key: self.key.clone(),
                    attempts: 1,
                    source: std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into(),
                },
                Some(Err(_)) | None => Error::Timeout { action: "read", key: self.key.clone(), attempts: 1 },
            };
            self.failed(error).await?;
        }
        Ok(None)
    }

    /// Waits before the next attempt, or gives the error up.
    async fn failed(&mut self, error: Error) -> Result<()> {
        self.body = None;
        self.validated = false;
        self.failures += 1;
        self.attempts += error.attempts();
        self.since_failure = 0;
        self.pace = Pace::default();
        if self.failures >= self.bucket.timing.attempts || self.bucket.timing.ending.is_over() {
            return Err(error.after(self.attempts));
        }
        tracing::debug!(key = %self.key, at = self.next, %error, "download resumes");
        tokio::time::sleep(self.bucket.timing.pause(self.failures)).await;
        Ok(())
    }

    async fn reopen(&mut self) -> Result<()> {
        let rest = Some(self.next..self.end);
        match get(&self.bucket, &self.key, &self.full, rest, Some(&self.etag)).await {
            Ok(answer) => {
                let offered = answer.content_length().and_then(|n| u64::try_from(n).ok());
                if offered != Some(self.end - self.next) {
                    let detail = format!("{offered:?} bytes are offered instead of {}", self.end - self.next);
                    return Err(Error::Corrupt { action: "read", key: self.key.clone(), detail });
                }
                self.body = Some(answer.body);
                Ok(())
            }
            Err(error) if error.is_transient() => self.failed(error).await,
            Err(error) => Err(error),
        }
    }

    /// The SDK compares the stored checksum when it is asked for what comes after the last byte.
    async fn compare_checksum(&mut self) -> Result<()> {
        let Some(body) = self.body.as_mut().filter(|_| self.validated) else { return Ok(()) };
        match tokio::time::timeout(self.bucket.timing.stall_for, body.next()).await {
            Ok(Some(Err(error))) if is_checksum_mismatch(&error) => Err(self.damaged()),
            _ => Ok(()),
        }
    }

    fn damaged(&self) -> Error {
        let detail = "the bytes do not have the checksum that the store keeps".to_owned();
        Error::Corrupt { action: "read", key: self.key.clone(), detail }
    }
}

fn is_checksum_mismatch(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).any(|e| e.to_string().contains("checksum mismatch"))
}
