//! Whether a database is the one that its folder belongs to.

use chrono::{DateTime, Utc};
use holdpoint_core::Identity;
use holdpoint_core::identity::{IdentityMatch, IdentityRecord};

use crate::{Context, Error};

/// Whose a folder is, seen from the database that is about to write into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FolderOwner {
    /// Nobody's yet: the first restore point claims it.
    Nobody,
    /// This database's; with a warning when only the timeline changed.
    Ours(Option<String>),
}

/// Compares a database with the one that the folder belongs to, and fails when it is another one: a clone must never
/// write into production's folder, nor let retention drop production's points. Writes nothing.
pub(crate) async fn folder_owner(context: &Context, now: &Identity) -> Result<FolderOwner, Error> {
    let Some(recorded) = context.repository.identity(&context.database).await? else {
        return Ok(FolderOwner::Nobody);
    };
    match Identity::compare(&recorded.identity, now) {
        IdentityMatch::Same => Ok(FolderOwner::Ours(None)),
        IdentityMatch::TimelineChanged => Ok(FolderOwner::Ours(Some(format!(
            "the database is on timeline {} now, was on {}: it was promoted or restored in place",
            now.timeline.unwrap_or_default(),
            recorded.identity.timeline.unwrap_or_default()
        )))),
        IdentityMatch::Different(differences) => {
            Err(Error::AnotherDatabase { database: context.database.to_string(), differences })
        }
    }
}

/// Records that a folder belongs to a database; whoever else claimed it meanwhile keeps it.
pub(crate) async fn claim_folder(context: &Context, identity: &Identity, at: DateTime<Utc>) -> Result<(), Error> {
    if folder_owner(context, identity).await? == FolderOwner::Nobody {
        let reason = "first restore point".to_owned();
        let record = IdentityRecord { format: 1, identity: identity.clone(), recorded_at: at, reason };
        context.repository.record_identity(&context.database, &record).await?;
    }
    Ok(())
}
