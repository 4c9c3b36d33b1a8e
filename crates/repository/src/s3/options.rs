//! How a bucket is reached and how objects are written to it.

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use holdpoint_aws::Address;
use serde::{Deserialize, Serialize};

use super::ending::Ending;
use crate::checksum::ChecksumMode;
use crate::error::{Error, Result};

/// Settings of an S3 repository, as they stand in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Options {
    /// The bucket's region; without it the profile's, the environment's or the instance's.
    pub region: Option<String>,
    /// The address of a store other than Amazon's, for example `https://minio.example:9000`.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path instead of the host name, as most other stores want it.
    pub path_style: bool,
    /// The profile in the AWS configuration files.
    pub profile: Option<String>,
    /// The storage class of data, for example `STANDARD_IA`. Records are always stored in the default class.
    pub storage_class: Option<String>,
    /// Encryption at rest.
    pub sse: SseMode,
    /// The KMS key for `sse = "kms"`; without it the account's default key.
    pub kms_key_id: Option<String>,
    /// A file with the 32 key bytes for `sse = "c"`. Whoever loses it loses every restore point.
    pub customer_key_file: Option<PathBuf>,
    /// Object Lock: `governance` or `compliance`.
    pub object_lock_mode: Option<LockMode>,
    /// How many days a new restore point is locked.
    pub object_lock_days: Option<u32>,
    /// Which checksum goes with what is written.
    pub checksum: ChecksumMode,
    /// The most parts of one upload that the store takes.
    pub max_parts: u32,
    /// The least size of a part in bytes, instead of 16 MiB.
    pub part_bytes: Option<u64>,
    /// Whether the store demands that all parts but the last have one size (Cloudflare R2).
    pub equal_parts: bool,
    /// How many parts are sent at once.
    pub parallel_uploads: u32,
    /// The account that must own the bucket.
    pub expected_bucket_owner: Option<String>,
    /// A PEM file with certificates to trust besides the system's.
    pub ca_bundle: Option<PathBuf>,
}

impl Default for S3Options {
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            path_style: false,
            profile: None,
            storage_class: None,
            sse: SseMode::None,
            kms_key_id: None,
            customer_key_file: None,
            object_lock_mode: None,
            object_lock_days: None,
            checksum: ChecksumMode::Auto,
            max_parts: 10_000,
            part_bytes: None,
            equal_parts: false,
            parallel_uploads: 4,
            expected_bucket_owner: None,
            ca_bundle: None,
        }
    }
}

/// Encryption at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SseMode {
    /// What the bucket does by default.
    #[default]
    None,
    /// Keys of S3 itself (SSE-S3).
    S3,
    /// A key of the key management service (SSE-KMS).
    Kms,
    /// A key that goes with every request (SSE-C).
    C,
}

/// How strictly Object Lock holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Some identities may lift it.
    Governance,
    /// Nobody may.
    Compliance,
}

impl S3Options {
    /// Until when a restore point made at `now` is locked; `None` without Object Lock.
    #[must_use]
    pub fn retain_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.object_lock_mode?;
        now.checked_add_signed(TimeDelta::days(i64::from(self.object_lock_days?)))
    }

    /// Where the store is reached, for the HTTP client and the credentials.
    pub(super) fn address(&self) -> Address {
        Address {
            region: self.region.clone(),
            endpoint: self.endpoint.clone(),
            profile: self.profile.clone(),
            ca_bundle: self.ca_bundle.clone(),
        }
    }

    /// Finds settings that contradict each other.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the setting.
    pub fn check(&self) -> Result<()> {
        let fail = |setting, reason: &str| Err(Error::Configuration { setting, reason: reason.to_owned() });
        if self.sse == SseMode::C && self.customer_key_file.is_none() {
            return fail("customer_key_file", "is needed with sse = \"c\"");
        }
        if self.sse != SseMode::C && self.customer_key_file.is_some() {
            return fail("customer_key_file", "needs sse = \"c\"");
        }
        if self.sse != SseMode::Kms && self.kms_key_id.is_some() {
            return fail("kms_key_id", "needs sse = \"kms\"");
        }
        if self.object_lock_mode.is_some() != self.object_lock_days.is_some_and(|days| days > 0) {
            return fail("object_lock_days", "a mode and at least one day belong together");
        }
        if !(2..=10_000).contains(&self.max_parts) {
            return fail("max_parts", "is from 2 to 10000");
        }
        if self.part_bytes.is_some_and(|bytes| !(MIN_PART_BYTES..=MAX_PART_BYTES).contains(&bytes)) {
            return fail("part_bytes", "is from 5242880 (5 MiB) to 5368709120 (5 GiB)");
        }
        if !(1..=64).contains(&self.parallel_uploads) {
            return fail("parallel_uploads", "is from 1 to 64");
        }
        if let Some(endpoint) = &self.endpoint
            && !url::Url::parse(endpoint).is_ok_and(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
        {
            return fail("endpoint", "is an http or https url");
        }
        Ok(())
    }
}

/// The least size of a part that is not the last (Amazon S3, "Multipart upload limits").
pub(super) const MIN_PART_BYTES: u64 = 5 << 20;
/// The greatest size of a part, and of an object in a single request.
pub(super) const MAX_PART_BYTES: u64 = 5 << 30;

/// How long things may take, and how often they are tried. Tests make all of it small.
#[derive(Debug, Clone)]
pub struct Timing {
    /// To open a connection.
    pub connect_for: Duration,
    /// One attempt of a request until its answer; longer for parts at [`slowest_bytes_per_second`](Self::slowest_bytes_per_second).
    pub answer_for: Duration,
    /// A request with all its attempts and pauses; never less than three attempts may take.
    pub request_for: Duration,
    /// To put the parts of a large object together.
    pub complete_for: Duration,
    /// A part may take as long as it needs at this speed.
    pub slowest_bytes_per_second: u64,
    /// How long no byte need move before a transfer counts as stalled.
    pub stall_for: Duration,
    /// Attempts of one request.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles.
    pub first_pause: Duration,
    /// The longest pause between attempts.
    pub longest_pause: Duration,
    /// How often the attempts for one part are begun anew.
    pub rounds: u32,
    /// How long all of it may take once the end was asked for.
    pub ending: Ending,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect_for: Duration::from_secs(5),
            answer_for: Duration::from_secs(60),
            request_for: Duration::from_secs(300),
            complete_for: Duration::from_secs(600),
            slowest_bytes_per_second: 128 << 10,
            stall_for: Duration::from_secs(20),
            attempts: 8,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(20),
            rounds: 3,
            ending: Ending::default(),
        }
    }
}

impl Timing {
    /// The pause before attempt number `failures + 1`: at least half of its length, so that those who failed together do
    /// not come back together.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let longest = self.first_pause.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(self.longest_pause);
        let mut random = [0u8; 4];
        // Without randomness it is the whole pause.
        let share =
            getrandom::fill(&mut random).map_or(1.0, |()| f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX));
        longest.mul_f64(0.5 + share / 2.0)
    }

    /// The time for a request of which one attempt may take so long.
    pub(super) fn request_for(&self, attempt_for: Duration) -> Duration {
        self.request_for.max(attempt_for.saturating_mul(3))
    }

    /// The time for one attempt to send `bytes`.
    pub(super) fn send_for(&self, bytes: u64) -> Duration {
        self.answer_for.max(Duration::from_secs(bytes / self.slowest_bytes_per_second.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_settings_are_refused() {
        let read = |text: &str| serde_json::from_str::<S3Options>(text);
        assert!(read(r#"{"region":"eu-west-1","sse":"kms","checksum":"crc32c"}"#).is_ok());
        assert!(read(r#"{"regoin":"eu-west-1"}"#).unwrap_err().to_string().contains("regoin"));
    }

    #[test]
    fn contradictions_are_found() {
        let base = S3Options::default();
        assert!(base.check().is_ok());
        let wrong = [
            S3Options { sse: SseMode::C, ..base.clone() },
            S3Options { kms_key_id: Some("k".into()), ..base.clone() },
            S3Options { object_lock_mode: Some(LockMode::Governance), ..base.clone() },
            S3Options { object_lock_days: Some(3), ..base.clone() },
            S3Options { part_bytes: Some(1), ..base.clone() },
            S3Options { max_parts: 10_001, ..base.clone() },
            S3Options { parallel_uploads: 0, ..base.clone() },
            S3Options { endpoint: Some("minio:9000".into()), ..base },
        ];
        for options in wrong {
            assert!(matches!(options.check(), Err(Error::Configuration { .. })), "{options:?}");
        }
    }

    #[test]
    fn locks_for_days_from_now() -> std::result::Result<(), chrono::ParseError> {
        let options = S3Options {
            object_lock_mode: Some(LockMode::Compliance),
            object_lock_days: Some(30),
            ..S3Options::default()
        };
        let until: DateTime<Utc> = "2026-12-21T00:00:00Z".parse()?;
        assert_eq!(options.retain_until("2026-11-21T00:00:00Z".parse()?), Some(until));
        assert_eq!(S3Options::default().retain_until(until), None);
        Ok(())
    }

    #[test]
    fn pauses_double_and_differ() {
        let timing = Timing::default();
        for (failures, longest) in [(1, 250), (2, 500), (5, 4_000), (7, 16_000), (8, 20_000), (90, 20_000)] {
            let pauses: Vec<_> = (0..20).map(|_| timing.pause(failures)).collect();
            let (least, most) = (Duration::from_millis(longest / 2), Duration::from_millis(longest));
            assert!(pauses.iter().all(|pause| (least..=most).contains(pause)), "{failures}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
        }
    }

    #[test]
    fn a_request_has_time_for_three_attempts() {
        let timing = Timing::default();
        assert_eq!(timing.request_for(timing.answer_for), Duration::from_secs(300));
        assert_eq!(timing.request_for(timing.send_for(64 << 20)), Duration::from_secs(3 * 512));
    }
}
