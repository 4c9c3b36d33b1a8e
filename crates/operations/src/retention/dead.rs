//! What is no restore point, or is to be none, and how it is removed: for `prune`, and for `check --repair`.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use holdpoint_core::{PointId, Recorded, layout};
use holdpoint_repository::{
    Leftover, LostPoint, NoLongerHidden, NotDropped, StoredPoint, UnfinishedUpload, Unpublished, Withdrawal,
};
use serde::Serialize;

use crate::rds::{ControlPlane, Found, drop_recorded, recorded_snapshot};
use crate::{Context, Error};

/// What became of a restore point that was to be dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// It is gone.
    Gone {
        /// Bytes that were deleted.
        bytes: u64,
    },
    /// It is gone, but some of its objects could not be deleted: a prune sweeps them once they are old enough.
    Remains {
        /// Bytes that were deleted.
        bytes: u64,
        /// The first of what remains, with the reason.
        objects: Vec<String>,
    },
    /// Somebody began to rely on it meanwhile: it stays.
    Pinned {
        /// By which pins.
        pins: Vec<String>,
    },
    /// The store keeps it from being deleted: it stays.
    Locked {
        /// Until then; `None` for a legal hold, which has no end.
        until: Option<DateTime<Utc>>,
    },
    /// What was to be kept in its stead is not all there, or was dropped meanwhile: it stays.
    Unjustified {
        /// What is missing, or gone.
        reason: String,
    },
    /// Dropping it failed.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What becomes of a snapshot that a prune hid and could not drop to the end.
const ASKS_AGAIN: &str = "it is hidden until the next prune, which asks RDS again";

/// Drops a restore point, and the snapshot where it is one; nothing where it is gone already.
pub(crate) async fn withdraw(context: &Context, point: &PointId, over: &[String]) -> Option<Outcome> {
    let (repository, database) = (&context.repository, &context.database);
    let read = repository.hidden(database, point).await;
    let is_snapshot = matches!(&read, Ok(StoredPoint { recorded: Recorded::Snapshot(_), .. }));
    let withdrawn = match read {
        Ok(StoredPoint { recorded: Recorded::Snapshot(manifest), .. }) => {
            let drop: BoxFuture<'_, Result<(), NotDropped>> =
                Box::pin(async move { drop_recorded(context, &manifest).await });
            repository.withdraw_with(database, point, over, Some(drop)).await
        }
        Ok(StoredPoint { recorded: Recorded::Archive(_), .. }) => repository.withdraw(database, point, over).await,
        // What is left of it holds no more than objects of an archive.
        Err(error) if error.is_not_found() => repository.withdraw(database, point, over).await,
        // It may be a snapshot, which would stay and cost, with nothing that names it.
        Err(error) => return Some(Outcome::Failed { reason: Error::from(error).line() }),
    };
    Some(match withdrawn {
        Ok(Withdrawal::Gone) => return None,
        Ok(Withdrawal::Done { bytes, remains }) if remains.is_empty() => Outcome::Gone { bytes },
        Ok(Withdrawal::Done { bytes, remains }) => {
            let line = |(key, error): (String, holdpoint_repository::Error)| format!("{key}: {error}");
            Outcome::Remains { bytes, objects: remains.into_iter().take(5).map(line).collect() }
        }
        Ok(Withdrawal::Pinned { pins }) => Outcome::Pinned { pins },
        Ok(Withdrawal::Locked { until }) => Outcome::Locked { until },
        Ok(Withdrawal::Kept { reason }) => Outcome::Failed { reason },
        Ok(Withdrawal::InDoubt { reason }) => Outcome::Failed { reason: format!("{reason}; {ASKS_AGAIN}") },
        Err(error) => {
            let is_hidden = matches!(error, holdpoint_repository::Error::Hidden { .. });
            let reason = Error::from(error).line();
            Outcome::Failed {
                reason: match (is_hidden, is_snapshot) {
                    (false, _) => reason,
                    (true, false) => format!("{reason}; {}", crate::hint::repository::SHOWN_AGAIN),
                    // Its snapshot may be gone.
                    (true, true) => format!("{reason}; {ASKS_AGAIN}"),
                },
            }
        }
    })
}

/// A restore point that is not shown again.
pub(crate) struct StillHidden {
    /// Why.
    pub(crate) reason: String,
    /// It is not for another prune that may be at work on it.
    pub(crate) failed: bool,
}

/// Shows a restore point again that a prune hid, unless another one dropped it; or tells why it is still hidden. Where its snapshot
/// was dropped before the prune was killed, what is left goes too, unless somebody relies on it.
pub(crate) async fn show_again(context: &Context, point: &PointId) -> Result<NoLongerHidden, StillHidden> {
    if snapshot_is_dropped(context, point).await? {
        match withdraw(context, point, &[]).await {
            None | Some(Outcome::Gone { .. } | Outcome::Remains { .. }) => return Ok(NoLongerHidden::Dropped),
            Some(Outcome::Failed { reason } | Outcome::Unjustified { reason }) => {
                return Err(StillHidden { reason, failed: true });
            }
            // It is to be seen again; `check` finds that its snapshot is missing.
            Some(Outcome::Pinned { .. } | Outcome::Locked { .. }) => {}
        }
    }
    match context.repository.show_again(&context.database, point).await {
        Ok(Some(shown)) => Ok(shown),
        Ok(None) => {
            let reason = "a prune may still be at work on it: see in a quarter of an hour".to_owned();
            Err(StillHidden { reason, failed: false })
        }
        Err(error) => Err(StillHidden { reason: Error::from(error).line(), failed: true }),
    }
}

/// Whether a restore point that a prune hid is a snapshot that RDS has no more; or why it stays hidden, as nobody can tell.
async fn snapshot_is_dropped(context: &Context, point: &PointId) -> Result<bool, StillHidden> {
    let manifest = match context.repository.hidden(&context.database, point).await {
        Ok(StoredPoint { recorded: Recorded::Snapshot(manifest), .. }) => manifest,
        Ok(StoredPoint { recorded: Recorded::Archive(_), .. }) => return Ok(false),
        Err(error) if error.is_not_found() => return Ok(false),
        Err(error) => return Err(StillHidden { reason: Error::from(error).line(), failed: true }),
    };
    let found = async {
        let plane = ControlPlane::of(context, &manifest.snapshot.region).await?;
        recorded_snapshot(&plane, &manifest.snapshot).await
    };
    match Box::pin(found).await {
        Ok(Found::Recorded(found)) => Ok(found.status == "deleting"),
        Ok(Found::Another | Found::Gone) => Ok(true),
        Err(error) => {
            let reason = format!("whether its snapshot is dropped is not known: {}", error.line());
            Err(StillHidden { reason, failed: true })
        }
    }
}

/// From its last object to its manifest a backup takes moments.
const ENDS_WITHIN: TimeDelta = TimeDelta::minutes(15);

/// What lies in a database's folder and is no restore point.
pub(crate) struct Dead {
    /// What is older than work that runs now.
    pub(crate) leftovers: Vec<Leftover>,
    /// Restore points whose manifest is lost, and that somebody relies on or verified: nobody's to remove.
    pub(crate) lost: Vec<LostPoint>,
    /// What lacks nothing but a manifest where no restore point is to be seen: not to be removed unasked.
    pub(crate) doubted: Vec<PointId>,
    /// What lacks nothing but a manifest beside restore points, too old for a backup that is at its end right now; and whether it
    /// is among the leftovers. Nothing but somebody who was told of it tells a killed backup from a lost manifest.
    pub(crate) lacking: Vec<(PointId, bool)>,
    /// Those among the leftovers that lack nothing but a manifest, and whose backup may be at its end right now.
    pub(crate) ending: Vec<PointId>,
    /// Uploads of which the store failed to tell the age: left alone.
    pub(crate) unaged: Vec<UnfinishedUpload>,
}

/// What becomes of objects that lack nothing but their manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sweeping {
    /// They stay until somebody asks for that: no prune removes what it is the first to tell of.
    Asked,
    /// They were removed now.
    Done,
    /// They go, or went, while their backup may be at its end: somebody asked for what is as young as that.
    Young,
}

/// What is said of objects that may have been a restore point, which nothing but their age tells from one that never was.
pub(crate) fn lacking(id: &PointId, sweeping: Sweeping) -> String {
    let then = match sweeping {
        Sweeping::Asked => {
            "No prune removes them: to keep them, bring it back from a version or copy; to give them up, once they are old \
             enough: holdpoint check --repair"
        }
        Sweeping::Done => {
            "They were old enough, and are swept: only versions or copies of the repository have them now"
        }
        Sweeping::Young => {
            "They are younger than a quarter of an hour, and older than --sweep-min-age, so they are swept: a backup that is at \
             its end right now fails by that; a longer time leaves them alone"
        }
    };
    format!(
        "the objects of {id} lack nothing but manifest.json: their backup was killed right before its end, or the manifest is \
         lost. {then}"
    )
}

/// What shows that a folder without a manifest was a restore point.
pub(crate) fn evidence(lost: &LostPoint) -> String {
    let pinned = (!lost.pins.is_empty()).then(|| format!("it is pinned ({})", lost.pins.join(", ")));
    let verified = lost.verified.then(|| "it was verified".to_owned());
    pinned.into_iter().chain(verified).collect::<Vec<_>>().join(", and ")
}

/// What is said of an upload of which the store failed to tell the age.
pub(crate) fn unaged(upload: &UnfinishedUpload) -> (String, String) {
    let problem = upload.problem.as_deref().unwrap_or("the store does not say");
    (format!("unfinished upload of {}", upload.key), format!("its age is not known, so it is left alone: {problem}"))
}

/// Lists what is no restore point; leftovers that are older, by the store's clock. Whose age nobody knows may belong to
/// work that runs now.
pub(crate) async fn look(context: &Context, min_age: TimeDelta, now: DateTime<Utc>) -> Result<Dead, Error> {
    let (repository, database) = (&context.repository, &context.database);
    let old = |one: &Leftover| one.at().is_some_and(|at| now.signed_duration_since(at) > min_age);
    let mut uploads = repository.store().list_uploads(&layout::database(database)).await?;
    let Unpublished { orphans, lost, lacking, doubted } = repository.unpublished(database).await?;
    let lacking = orphans.iter().filter_map(|one| match one {
        Leftover::Orphan { id, newest_at: Some(at), .. } if lacking.contains(id) && !doubted.contains(id) => {
            Some((id.clone(), old(one), now.signed_duration_since(*at) > ENDS_WITHIN))
        }
        _ => None,
    });
    let (stands, ends): (Vec<_>, Vec<_>) = lacking.partition(|(_, _, stands)| *stands);
    let lacking = stands.into_iter().map(|(id, old, _)| (id, old)).collect();
    let ending = ends.into_iter().filter_map(|(id, old, _)| old.then_some(id)).collect();
    let unaged = uploads.extract_if(.., |one| one.problem.is_some()).collect();
    let mut leftovers: Vec<Leftover> = uploads.into_iter().map(Leftover::Upload).chain(orphans).filter(old).collect();
    let doubtful = leftovers.extract_if(.., |one| matches!(one, Leftover::Orphan { id, .. } if doubted.contains(id)));
    let doubted = doubtful.filter_map(|one| match one {
        Leftover::Orphan { id, .. } => Some(id),
        Leftover::Upload(_) => None,
    });
    let doubted = doubted.collect();
    Ok(Dead { leftovers, lost, doubted, lacking, ending, unaged })
}

/// What became of a leftover that was to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is gone.
    Done,
    /// It is a restore point by now, or is one that the list did not show.
    Published,
    /// It, or a part of it, is still there, and why.
    Failed(String),
}

impl Removal {
    /// Why it is still there although it should not be.
    pub(crate) fn problem(self) -> Option<String> {
        match self {
            Self::Failed(reason) => Some(reason),
            Self::Done | Self::Published => None,
        }
    }
}

/// Removes it, unless it became a restore point.
pub(crate) async fn remove(context: &Context, leftover: &Leftover) -> Removal {
    match context.repository.remove_leftover(leftover).await {
        Ok(()) => Removal::Done,
        Err(holdpoint_repository::Error::AlreadyExists { .. }) => Removal::Published,
        Err(error) => Removal::Failed(Error::from(error).line()),
    }
}

/// Removes the empty folders that a kill left between deleting an object and its folder, once they are old. Nobody is held by
/// one that stays.
pub(crate) async fn remove_empty_folders(context: &Context, min_age: TimeDelta, now: DateTime<Utc>) {
    let before = now.checked_sub_signed(min_age).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let prefix = layout::points(&context.database);
    if let Err(error) = context.repository.store().remove_empty_folders(&prefix, before).await {
        tracing::debug!(%error, "an empty folder stays");
    }
}
