//! Damage of stored bytes that another verb than `verify` found: recorded as a disproof, as nobody may forget it.

use std::time::Instant;

use holdpoint_core::fingerprint::{Aspect, Difference};
use holdpoint_core::verification::{Compared, FORMAT, Level, Verdict, Verification};
use holdpoint_repository::StoredManifest;

use super::began::Began;
use super::run::not_compared;
use crate::{Context, Error};

/// What was found.
#[derive(Clone, Debug)]
pub(crate) struct DamageFound {
    /// When reading began, as for any verification.
    pub(crate) dates: Began,
    /// The same moment, to tell how long it took.
    pub(crate) began: Instant,
    /// What is wrong, in words.
    pub(crate) reason: String,
    /// What reading it twice told, where that was done.
    pub(crate) note: Option<String>,
    /// By which command.
    pub(crate) by: &'static str,
}

/// Records that a restore point's stored bytes are not what was written: a disproof of level *stored*.
///
/// # Errors
/// Those of the store; nothing is recorded then.
pub(crate) async fn record_damage(
    context: &Context,
    stored: &StoredManifest,
    found: DamageFound,
) -> Result<Verification, Error> {
    let manifest = &stored.manifest;
    let verification = Verification {
        format: FORMAT,
        point: manifest.id.clone(),
        level: Level::Stored,
        verdict: Verdict::Disproved,
        started_at: found.dates.at,
        newer_than: found.dates.newer_than,
        took_ms: u64::try_from(found.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        restore_took_ms: None,
        measured_on: format!("no scratch server: {}", found.by),
        manifest_sha256: stored.sha256.clone(),
        archive_sha256: None,
        bytes_read: 0,
        compared: Compared::default(),
        differences: vec![Difference {
            aspect: Aspect::StoredBytes,
            name: "archive".to_owned(),
            expected: Some("what was written".to_owned()),
            found: Some(found.reason),
        }],
        obstacles: Vec::new(),
        not_compared: not_compared(manifest, Level::Stored),
        notes: found.note.into_iter().collect(),
        sample: None,
        normal: Vec::new(),
        schema: None,
    };
    context.repository.record_verification(&context.database, &verification).await?;
    Ok(verification)
}
