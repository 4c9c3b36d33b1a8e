//! What a verification will take, known before it starts.

use holdpoint_core::verification::{Level, Verdict};
use holdpoint_core::{Manifest, PointId};
use holdpoint_postgres::scratch::{LOCAL_WAL_BYTES, ScratchOptions, available_bytes};

use super::{VerifyOptions, VerifyPlan};
use crate::catalogue::Attempt;
use crate::expected::manifest;
use crate::{Context, Error};

/// Disk that a fresh cluster takes before anything is in it.
const CLUSTER_BYTES: u64 = 64 << 20;

/// Says what a verification will take: bytes, disk, seconds by earlier verifications of the same database.
pub async fn plan(context: &Context, point: &PointId, options: &VerifyOptions) -> Result<VerifyPlan, Error> {
    plan_for(context, &manifest(context, point).await?.manifest, options).await
}

pub(super) async fn plan_for(
    context: &Context,
    manifest: &Manifest,
    options: &VerifyOptions,
) -> Result<VerifyPlan, Error> {
    let read_bytes = manifest.archive.bytes;
    let (scratch, disk_available_bytes) = match &options.scratch {
        ScratchOptions::Local(local) => {
            let directory = local.base_directory.as_path();
            let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
            (format!("local PostgreSQL {}", manifest.client_major), available_bytes(existing).ok())
        }
        ScratchOptions::Url(given) => (given.settings.redacted(), None),
        ScratchOptions::Command(_) => ("brought up by a command".to_owned(), None),
    };
    let rows = loaded_bytes(options, manifest.totals.database_bytes);
    Ok(VerifyPlan {
        point: manifest.id.clone(),
        level: options.level,
        read_bytes,
        disk_needed_bytes: disk_needed_bytes(rows),
        disk_available_bytes,
        estimated_seconds: estimate_from_records(context, manifest, options.level).await?,
        scratch,
    })
}

/// Disk that a scratch server needs for a database of this many bytes: itself, the rows with some slack, and WAL.
pub(super) fn disk_needed_bytes(database_bytes: u64) -> u64 {
    CLUSTER_BYTES + database_bytes + database_bytes / 10 + (database_bytes / 2).min(LOCAL_WAL_BYTES)
}

/// Bytes of a database of this size that a verification loads, at most.
pub(super) fn loaded_bytes(options: &VerifyOptions, database_bytes: u64) -> u64 {
    match options.level {
        Level::Stored => 0,
        Level::Sampled if options.sample.tables.is_empty() => {
            database_bytes / 100 * u64::from(options.sample.percent.min(100))
        }
        _ => database_bytes,
    }
}

/// How many restore points are asked for a verification to estimate from.
const ASKED: usize = 10;

/// Estimates from the point's own verifications, else from those of the points before it, the newest first.
async fn estimate_from_records(context: &Context, manifest: &Manifest, level: Level) -> Result<Option<f64>, Error> {
    let (repository, database) = (&context.repository, &context.database);
    let mut others = repository.points(database).await?;
    others.retain(|other| *other != manifest.id);
    others.sort_unstable();
    for point in std::iter::once(&manifest.id).chain(others.iter().rev()).take(ASKED) {
        // What cannot be read here says nothing of this point.
        let earlier = match repository.verifications(database, point).await {
            Ok(earlier) => earlier.made.iter().map(Attempt::from).collect::<Vec<_>>(),
            Err(error) if *point == manifest.id => return Err(error.into()),
            Err(_) => continue,
        };
        if let Some(seconds) = estimate(&earlier, level, manifest.archive.bytes) {
            return Ok(Some(seconds));
        }
    }
    Ok(None)
}

/// What a verification takes whatever it reads: starting and stopping the scratch server, the schema.
const AT_LEAST_SECONDS: f64 = 5.0;

/// Scales the newest conclusive verification of the level by the bytes it read, but for its first seconds.
pub(super) fn estimate(earlier: &[Attempt], level: Level, read_bytes: u64) -> Option<f64> {
    let like = earlier
        .iter()
        .rev()
        .find(|one| one.level == level && one.verdict != Verdict::CouldNotRun && one.bytes_read > 0)?;
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let (seconds, share) = (like.took_ms as f64 / 1000.0, read_bytes as f64 / like.bytes_read as f64);
    Some(seconds.min(AT_LEAST_SECONDS) + (seconds - AT_LEAST_SECONDS).max(0.0) * share)
}

/// A verification that took so long, for tests.
#[cfg(test)]
pub(super) fn took(level: Level, verdict: Verdict, took_ms: u64, bytes_read: u64) -> Attempt {
    Attempt { level, verdict, started_at: chrono::DateTime::UNIX_EPOCH, took_ms, bytes_read }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_by_bytes_and_ignores_what_did_not_run() {
        let earlier = [
            took(Level::Full, Verdict::Proved, 25_000, 100),
            took(Level::Full, Verdict::CouldNotRun, 1, 100),
            took(Level::Stored, Verdict::Proved, 2_000, 100),
        ];
        assert_eq!(estimate(&earlier, Level::Full, 300), Some(65.0));
        assert_eq!(estimate(&earlier, Level::Stored, 300), Some(2.0), "a server's start is not multiplied");
        assert_eq!(estimate(&earlier, Level::Sampled, 300), None);
    }
}
