//! Verifications: attempts to restore a restore point and match its fingerprint, with level, verdict and reasons.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::fingerprint::Difference;
use crate::index::ObjectRecord;
use crate::{Error, PointId};

/// The newest form of a verification that this program knows.
pub const FORMAT: u32 = 1;

/// How far a verification goes; a later level includes what the earlier ones show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Every stored byte read back, hashed, decompressed and digested.
    Stored,
    /// Stored, and a share of the tables loaded and digested.
    Sampled,
    /// Everything restored into a scratch server and the whole fingerprint matched.
    Full,
    /// An RDS instance restored and read to its end.
    Instance,
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Restored, and everything compared is equal.
    Proved,
    /// Something differs, or the stored bytes are not what was written.
    Disproved,
    /// Nothing can be said about the restore point, for a reason that lies elsewhere.
    CouldNotRun,
}

impl Verdict {
    /// The verdict as a word of a key or flag.
    pub fn word(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Disproved => "disproved",
            Self::CouldNotRun => "could-not-run",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::CouldNotRun => "could not run",
            other => other.word(),
        })
    }
}

impl Level {
    /// The level as a word of a flag or record.
    pub fn word(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Sampled => "sampled",
            Self::Full => "full",
            Self::Instance => "instance",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Level {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Stored, Self::Sampled, Self::Full, Self::Instance]
            .into_iter()
            .find(|level| level.word() == text)
            .ok_or_else(|| format!("\"{text}\" is not a level: use stored, sampled, full or instance"))
    }
}

/// Why a verification could not run, with its cure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// What stood in the way.
    pub reason: String,
    /// What to install or change.
    pub cure: String,
}

/// A recorded verification.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Version of this document's form.
    pub format: u32,
    /// The restore point.
    pub point: PointId,
    /// How far it went.
    pub level: Level,
    /// What it found.
    pub verdict: Verdict,
    /// When it began, by the verifying machine's clock; by the store's where both differ by more than a minute.
    pub started_at: DateTime<Utc>,
    /// Dates, as in their keys, of those that were there before it although they are dated more than an hour later, by a
    /// clock that ran ahead: it is newer than these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub newer_than: Vec<DateTime<Utc>>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// How long the restore alone took, in milliseconds, where there was one.
    pub restore_took_ms: Option<u64>,
    /// Where it was measured, in words: scratch kind, version.
    pub measured_on: String,
    /// SHA-256 of the manifest that was verified, in hexadecimal.
    pub manifest_sha256: String,
    /// Flat SHA-256 of the archive as read back, in hexadecimal.
    pub archive_sha256: Option<String>,
    /// Bytes read from the repository.
    pub bytes_read: u64,
    /// Tables, rows and objects that were compared.
    pub compared: Compared,
    /// What differs, for *disproved*; at most 1,000 are kept.
    #[serde(default)]
    pub differences: Vec<Difference>,
    /// What stood in the way, for *could not run*.
    #[serde(default)]
    pub obstacles: Vec<Obstacle>,
    /// What was not compared, in words.
    #[serde(default)]
    pub not_compared: Vec<String>,
    /// What was not reproduced although the verdict stands, such as a sort order.
    #[serde(default)]
    pub notes: Vec<String>,
    /// What was loaded, for level *sampled*.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// Schema objects that any restore of this point writes differently than the source did, as they are then: what a
    /// later restore compares with.
    #[serde(default)]
    pub normal: Vec<ObjectRecord>,
    /// Schema objects of the database as a restored instance has it, for level *instance*: of a snapshot nobody recorded
    /// them when it was made. `None` where they were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Vec<ObjectRecord>>,
}

/// What a *sampled* verification loaded and digested; all else was digested as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// The share of the tables that were not named, in percent of their bytes.
    pub percent: u8,
    /// What the share was chosen by: the same seed chooses the same tables of the same restore point.
    pub seed: u64,
    /// The tables that were asked for by name.
    pub named: Vec<String>,
    /// Tables that were loaded.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
}

/// How much was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Tables whose rows were digested.
    pub tables: u64,
    /// Rows.
    pub rows: u64,
    /// Sequences.
    pub sequences: u64,
    /// Large objects.
    pub large_objects: u64,
    /// Schema objects.
    pub objects: u64,
}

impl Verification {
    /// Writes the record as JSON for storage.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Damaged { document: "verification", reason: error.to_string() })
    }

    /// Reads a stored record; refuses a newer form.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let damaged = |reason: String| Error::Damaged { document: "verification", reason };
        let value: serde_json::Value = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        let found = value.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if found > u64::from(FORMAT) {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            return Err(Error::NewerFormat { document: "verification", found, known: FORMAT });
        }
        serde_json::from_value(value).map_err(|error| damaged(error.to_string()))
    }
}

mod standing;

pub use standing::{Standing, UnreadableVerification, is_ahead, standing};

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn made(verdict: Verdict, level: Level, minute: u32) -> Verification {
        Verification {
            format: FORMAT,
            point: "20261121T024300Z-k3f9".parse().unwrap(),
            level,
            verdict,
            started_at: format!("2026-11-21T03:{minute:02}:00Z").parse().unwrap(),
            newer_than: vec![],
            took_ms: 1,
            restore_took_ms: None,
            measured_on: String::new(),
            manifest_sha256: "aa".into(),
            archive_sha256: None,
            bytes_read: 0,
            compared: Compared::default(),
            differences: vec![],
            obstacles: vec![],
            not_compared: vec![],
            notes: vec![],
            sample: None,
            normal: vec![],
            schema: None,
        }
    }

    #[test]
    fn a_newer_record_is_refused() {
        let mut record = made(Verdict::Proved, Level::Full, 1);
        assert_eq!(Verification::from_json(&record.to_json().unwrap()).unwrap(), record);
        record.format = FORMAT + 1;
        assert!(matches!(Verification::from_json(&record.to_json().unwrap()), Err(Error::NewerFormat { .. })));
    }
}
