//! `holdpoint init`: makes a repository.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use holdpoint_repository::{ObjectStore, Repository};
use serde::Serialize;

use crate::Error;

/// A repository that was made, or was there.
#[derive(Clone, Debug, Serialize)]
pub struct InitReport {
    /// Where.
    pub repository: String,
    /// Its id.
    pub id: String,
    /// Whether it was made now.
    pub created: bool,
}

/// Makes a repository in a store, or finds the one that is there.
pub async fn init(store: Arc<dyn ObjectStore>, now: DateTime<Utc>) -> Result<InitReport, Error> {
    let (repository, created) = Repository::init(store, now).await?;
    let url = repository.store().url().to_string();
    Ok(InitReport { repository: url, id: repository.id().to_owned(), created })
}
