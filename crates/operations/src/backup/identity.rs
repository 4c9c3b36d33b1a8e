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

/// Records that a folder belongs to a database, and looks whose it is then: of many that claim it at once, one has it.
///
/// # Errors
/// [`Error::AnotherDatabase`] where another one claimed it meanwhile; else those of the repository.
pub(crate) async fn claim_folder(context: &Context, identity: &Identity, at: DateTime<Utc>) -> Result<(), Error> {
    if folder_owner(context, identity).await? != FolderOwner::Nobody {
        return Ok(());
    }
    let reason = "first restore point".to_owned();
    let record = IdentityRecord { format: 1, identity: identity.clone(), recorded_at: at, reason };
    match context.repository.record_first_identity(&context.database, &record).await {
        Ok(()) | Err(holdpoint_repository::Error::AlreadyExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    folder_owner(context, identity).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdpoint_repository::{ObjectStore, Repository};

    use super::*;
    use crate::sample_context::{self, sample};
    use crate::{schedule, stepped};

    fn identity(of: u32) -> Identity {
        let mut identity = sample::identity();
        identity["system_identifier"] = of.to_string().into();
        serde_json::from_value(identity).unwrap()
    }

    #[tokio::test]
    async fn of_two_databases_that_claim_a_folder_at_once_one_is_refused() {
        let mut firsts = 0;
        schedule::every_order(async |order| {
            let memory = stepped::Memory::default();
            let now = sample_context::now();
            let repository = Repository::init(Arc::new(memory.clone()), now).await.unwrap().0;
            let claims = |of: u32| {
                async move |store: Arc<dyn ObjectStore>| {
                    // The clock of the first one is ahead.
                    let at = now - chrono::TimeDelta::minutes(of.into());
                    let context = sample_context::of(Repository::open(store).await.unwrap());
                    claim_folder(&context, &identity(of), at).await
                }
            };
            let ended = schedule::run(order, &memory, Box::new(claims(1)), Box::new(claims(2)), None).await;
            let ended = [ended.first.unwrap(), ended.second.unwrap()];
            let owner = repository.identity(&sample::shop()).await.unwrap().unwrap().identity;
            for (claimed, of) in ended.iter().zip([1, 2]) {
                match claimed {
                    Ok(()) => assert_eq!(owner, identity(of)),
                    Err(Error::AnotherDatabase { .. }) => assert_ne!(owner, identity(of)),
                    Err(error) => panic!("{error:?}"),
                }
            }
            firsts += usize::from(ended[0].is_ok());
        })
        .await;
        assert!(firsts > 0, "{firsts}");
    }
}
