//! What a database has in the repository, and what becomes of it: numbers for those who watch from afar.

use chrono::{DateTime, Utc};
use holdpoint_core::retention::{RetentionPolicy, next_drop};
use holdpoint_core::verification::{Level, Standing};
use holdpoint_core::{PointId, PointKind};
use serde::Serialize;

use super::holds::Holds;
use crate::catalogue::{Owners, PointSummary, Surveyed, survey};
use crate::{Context, Error};

/// What a database has in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// Restore points that can be read.
    pub points: u64,
    /// Those that are proven, and of which the store has everything.
    pub proven: u64,
    /// Those that are disproved, have lost an object, or cannot be read.
    pub unusable: u64,
    /// Bytes of all of them.
    pub stored_bytes: u64,
    /// The newest whole one.
    pub newest: Option<NewestPoint>,
    /// The newest whole one that is proven of each level, as far as it is proven, all of whose objects are there.
    pub proofs: Vec<NewestProof>,
    /// When the next one would be dropped if nothing but time passed; `None` where none would, or nothing is ever dropped.
    pub next_drop_at: Option<DateTime<Utc>>,
}

/// The newest restore point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewestPoint {
    /// Which.
    pub point: PointId,
    /// Its snapshot's instant.
    pub snapshot_at: DateTime<Utc>,
    /// Bytes that it stores.
    pub stored_bytes: u64,
    /// Rows.
    pub rows: u64,
}

/// The newest restore point that is proven at a level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewestProof {
    /// How far.
    pub level: Level,
    /// Which.
    pub point: PointId,
    /// Its snapshot's instant: what is older than this can be brought back.
    pub snapshot_at: DateTime<Utc>,
    /// When it was proven.
    pub proven_at: DateTime<Utc>,
}

/// Reads what a database has; without a `policy` nothing is ever dropped.
///
/// # Errors
/// What the store gives; [`Error::Core`] for a policy without a rule.
pub async fn outlook(context: &Context, policy: Option<&RetentionPolicy>) -> Result<Outlook, Error> {
    let now = context.repository.store().server_time().await?;
    let (mut points, unreadable) = survey(context, now).await?;
    Owners::read(context).await?.set_aside_others(&mut points);
    let held = Holds::new(context).held(&points).await?;
    let next_drop_at = match policy {
        None => None,
        Some(policy) => next_drop(&held, policy, now)?,
    };
    // What holds a part, or was stamped by a wrong clock, must not look like what the database can be brought back from.
    let counting: Vec<&Surveyed> = points.iter().filter(|one| one.counts(now)).collect();
    let summaries = || points.iter().map(|one| &one.summary);
    let is_unusable =
        |one: &&PointSummary| matches!(one.standing, Standing::Disproved { .. }) || !one.incomplete.is_empty();
    let unusable = summaries().filter(is_unusable).count();
    let archives = counting.iter().map(|one| &one.summary).filter(|one| one.stored_as.kind() == PointKind::Archive);
    let newest = archives.max_by_key(|one| one.snapshot_at);
    let mut proofs = Vec::new();
    for level in [Level::Stored, Level::Sampled, Level::Full, Level::Instance] {
        proofs.extend(newest_proof(context, &counting, level).await?);
    }
    Ok(Outlook {
        points: points.len() as u64,
        proven: summaries().filter(|one| one.is_proven_and_there()).count() as u64,
        unusable: (unusable + unreadable.len()) as u64,
        stored_bytes: summaries().map(|one| one.stored_bytes).sum(),
        newest: newest.map(|one| NewestPoint {
            point: one.id.clone(),
            snapshot_at: one.snapshot_at,
            stored_bytes: one.stored_bytes,
            rows: one.rows.unwrap_or_default(),
        }),
        proofs,
        next_drop_at,
    })
}

/// The newest of these that is proven exactly so far and has not lost an object since.
async fn newest_proof(context: &Context, points: &[&Surveyed], level: Level) -> Result<Option<NewestProof>, Error> {
    let proof =
        |one: &&&Surveyed| matches!(one.summary.standing, Standing::Proven { level: found, .. } if found == level);
    let mut proven: Vec<&&Surveyed> = points.iter().filter(proof).collect();
    proven.sort_by_key(|one| std::cmp::Reverse(one.summary.snapshot_at));
    for one in proven {
        let Standing::Proven { at: proven_at, .. } = one.summary.standing else { continue };
        if one.is_all_there(context).await? {
            let PointSummary { id, snapshot_at, .. } = &one.summary;
            return Ok(Some(NewestProof { level, point: id.clone(), snapshot_at: *snapshot_at, proven_at }));
        }
    }
    Ok(None)
}
