//! `holdpoint doctor`: exercises the real thing and says what would fail.
//!
//! Every line is a thing that was tried: connections are made, a snapshot is exported and imported, a scratch server is
//! started, objects are written and removed. Nothing is recorded, and nothing of it stays. The first failure ends
//! nothing: what depends on it is named as not tried.

mod database;
mod findings;
mod programs;
mod repository;
mod scratch;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use holdpoint_core::DatabaseName;
use holdpoint_core::progress::Progress;
use holdpoint_postgres::scratch::ScratchOptions;
use holdpoint_repository::ObjectStore;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{Clock, Context, Source};
use findings::Findings;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// It works, but something is worth knowing; or it was not tried, and the detail says why.
    Warning,
    /// It would fail.
    Failure,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about: `database`, `programs`, `scratch`, `repository`.
    pub section: &'static str,
    /// What was tried.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty for `Ok`.
    pub cure: String,
}

/// Everything that was tried.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DoctorReport {
    /// The checks, in the order they were made.
    pub checks: Vec<Check>,
}

impl DoctorReport {
    /// The worst outcome; `Ok` for an empty report.
    pub fn worst(&self) -> Outcome {
        self.checks.iter().map(|check| check.outcome).max().unwrap_or(Outcome::Ok)
    }
}

/// What a doctor looks at.
///
/// Unlike a [`Context`] it holds a store that nobody has looked at yet, so that a missing bucket or a repository of
/// a newer form is a line of the report and not the end of it.
#[derive(Clone)]
pub struct Subject {
    /// The database's folder in the repository.
    pub database: DatabaseName,
    /// Where the repository is, or should be.
    pub store: Arc<dyn ObjectStore>,
    /// The database that is backed up.
    pub source: Source,
    /// The scratch server; of a local one the major is found out.
    pub scratch: ScratchOptions,
    /// Until when objects are locked, where Object Lock is configured: a small object stays locked until then.
    pub retain_until: Option<DateTime<Utc>>,
    /// Whom to tell about progress; notes only.
    pub progress: Arc<dyn Progress>,
    /// Cancelled when the work shall end: the rest is then named as not tried.
    pub cancel: CancellationToken,
    /// The clock of this machine.
    pub clock: Clock,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("database", &self.database).finish_non_exhaustive()
    }
}

/// Tries everything that a backup, its verification and a restore need, as [`examine`] does.
pub async fn doctor(context: &Context, source: &Source, scratch: &ScratchOptions) -> DoctorReport {
    let subject = Subject {
        database: context.database.clone(),
        store: Arc::clone(context.repository.store()),
        source: source.clone(),
        scratch: scratch.clone(),
        retain_until: None,
        progress: Arc::clone(&context.progress),
        cancel: context.cancel.clone(),
        clock: Arc::clone(&context.clock),
    };
    examine(&subject).await
}

/// Tries everything that a backup, its verification and a restore need; each within a time of its own.
///
/// It makes up to three connections to the source at once, none of which writes; starts and ends a scratch server; writes
/// some 11 MiB below `<database>/.doctor/` in the repository and deletes them. What could not be removed is said.
pub async fn examine(subject: &Subject) -> DoctorReport {
    let mut report = DoctorReport::default();
    // Asked first, since the folder knows which database it belongs to; told in its own section.
    let opened = repository::open(subject).await;
    let facts = database::examine(Findings::new("database", subject, &mut report), subject, opened.as_ref()).await;
    programs::examine(Findings::new("programs", subject, &mut report), subject, facts.as_ref()).await;
    scratch::examine(Findings::new("scratch", subject, &mut report), subject, facts.as_ref()).await;
    repository::examine(Findings::new("repository", subject, &mut report), subject, facts.as_ref(), opened).await;
    report
}
