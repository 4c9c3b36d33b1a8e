//! Restore points that a prune hid behind its mark and did not drop: killed, or still at work.
//!
//! They are dropped where the policy drops them, and shown again where it keeps them and nobody can be at work on them.

use chrono::{DateTime, Utc};
use holdpoint_core::PointId;
use holdpoint_core::retention::{Entry, Fate, Held, RetentionPolicy, plan};
use holdpoint_repository::NoLongerHidden;
use serde::Serialize;

use super::dead::{self, StillHidden};
use super::holds::Holds;
use crate::catalogue::{Owners, Surveyed, show_hidden};
use crate::{Context, Error};

/// A hidden restore point.
#[derive(Clone, Debug, Serialize)]
pub struct Hidden {
    /// Which.
    pub point: PointId,
    /// What the policy says of it; `None` where its manifest cannot be read: it stays hidden.
    pub entry: Option<Entry>,
    /// It is shown again.
    pub shown: bool,
    /// Why it is still hidden.
    pub problem: Option<String>,
    /// It was to be shown again, and that failed.
    pub failed: bool,
    /// Another prune dropped it meanwhile.
    pub dropped_by_another: bool,
}

impl Hidden {
    pub(super) fn new(point: PointId, entry: Option<Entry>) -> Self {
        Self { point, entry, shown: false, problem: None, failed: false, dropped_by_another: false }
    }

    /// What is dropped of it by the policy.
    pub(super) fn drop(&self) -> Option<&Entry> {
        self.entry.as_ref().filter(|entry| matches!(entry.fate, Fate::Drop(_)))
    }
}

/// Asks the policy about each, beside those that everybody sees.
pub(super) async fn judge(
    context: &Context,
    holds: &mut Holds<'_>,
    seen: &[Held],
    (withdrawn, owners): (Vec<PointId>, &Owners),
    policy: &RetentionPolicy,
    now: DateTime<Utc>,
) -> Result<Vec<Hidden>, Error> {
    let mut hidden = Vec::new();
    for point in withdrawn {
        let mut report = match show_hidden(context, &point, now).await {
            Ok(report) => [Surveyed::from(&report)],
            Err(Error::Repository(error)) if error.is_not_found() => continue,
            Err(error) => {
                hidden.push(Hidden { problem: Some(error.line()), ..Hidden::new(point, None) });
                continue;
            }
        };
        // The others that are hidden may go: each is judged by itself.
        owners.set_aside_others(&mut report);
        let mut own = holds.held(&report).await?;
        let judged = |own: &[Held]| -> Result<Option<Entry>, Error> {
            let entries = plan(&[seen, own].concat(), policy, now)?.entries;
            Ok(entries.into_iter().find(|entry| entry.id == point))
        };
        let mut entry = judged(&own)?;
        if entry.as_ref().is_some_and(|entry| matches!(entry.fate, Fate::Drop(_)))
            && let Some(lock) = holds.lock(&point).await?
        {
            own.iter_mut().for_each(|one| one.holds.push(lock.clone()));
            entry = judged(&own)?;
        }
        hidden.push(Hidden::new(point, entry));
    }
    Ok(hidden)
}

/// Shows those again that are kept.
pub(super) async fn show(context: &Context, hidden: &mut [Hidden]) {
    for one in hidden {
        if one.entry.is_none() || one.drop().is_some() {
            continue;
        }
        match dead::show_again(context, &one.point).await {
            Ok(NoLongerHidden::Shown) => one.shown = true,
            Ok(NoLongerHidden::Dropped) => one.dropped_by_another = true,
            Err(StillHidden { reason, failed }) => (one.problem, one.failed) = (Some(reason), failed),
        }
    }
}
