//! `holdpoint init`: makes a repository.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
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
    /// What is worth knowing.
    pub warnings: Vec<String>,
}

/// What becomes of a place with restore points whose own record is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostRecord {
    /// Nothing: that is an error.
    Refuse,
    /// The record is written anew, with the id that all restore points name.
    Adopt,
}

/// Makes a repository in a store, or finds the one that is there.
pub async fn init(store: Arc<dyn ObjectStore>, lost: LostRecord, now: DateTime<Utc>) -> Result<InitReport, Error> {
    let (repository, created) = match lost {
        LostRecord::Refuse => Repository::init(store, now).await?,
        LostRecord::Adopt => Repository::init_adopting(store, now).await?,
    };
    let warnings = repository.url().directory().and_then(open_to_others).into_iter().collect();
    let url = repository.store().url().to_string();
    Ok(InitReport { repository: url, id: repository.id().to_owned(), created, warnings })
}

/// Says that others may look into a directory that was there before.
fn open_to_others(directory: &Path) -> Option<String> {
    let mode = directory.metadata().ok()?.mode() & 0o777;
    let place = directory.display();
    (mode & 0o077 != 0).then(|| {
        format!("the mode of {place} is {mode:03o}: others than its owner may look into it: chmod 700 {place}")
    })
}
