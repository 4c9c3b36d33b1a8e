//! Whether a database is the one that its folder belongs to.

use chrono::{DateTime, Utc};
use holdpoint_core::Identity;
use holdpoint_core::identity::{IdentityMatch, IdentityRecord};

use crate::{Context, Error};

/// Compares a database with the one that the folder belongs to; the first one that asks becomes it.
///
/// Returns a warning when only the timeline changed. A clone must never write into production's folder, nor let
/// retention drop production's points.
pub(crate) async fn check_identity(
    context: &Context,
    now: &Identity,
    at: DateTime<Utc>,
) -> Result<Option<String>, Error> {
    let Some(recorded) = context.repository.identity(&context.database).await? else {
        let reason = "first restore point".to_owned();
        let record = IdentityRecord { format: 1, identity: now.clone(), recorded_at: at, reason };
        context.repository.record_identity(&context.database, &record).await?;
        return Ok(None);
    };
    match Identity::compare(&recorded.identity, now) {
        IdentityMatch::Same => Ok(None),
        IdentityMatch::TimelineChanged => Ok(Some(format!(
            "the database is on timeline {} now, was on {}: it was promoted or restored in place",
            now.timeline.unwrap_or_default(),
            recorded.identity.timeline.unwrap_or_default()
        ))),
        IdentityMatch::Different(differences) => {
            Err(Error::AnotherDatabase { database: context.database.to_string(), differences })
        }
    }
}
