//! `holdpoint adopt`: records that a database's folder now belongs to another server or database.

use holdpoint_core::Identity;
use holdpoint_core::identity::IdentityRecord;
use holdpoint_postgres::{Session, SessionPurpose, identity, preflight};
use serde::Serialize;

use crate::{Context, Error, Source};

/// An identity that was adopted.
#[derive(Clone, Debug, Serialize)]
pub struct AdoptReport {
    /// What was recorded before.
    pub before: Option<Identity>,
    /// What is recorded now.
    pub now: Identity,
    /// Why.
    pub reason: String,
}

/// Records that the database's folder now belongs to the source as it is.
pub async fn adopt(context: &Context, source: &Source, reason: &str) -> Result<AdoptReport, Error> {
    if reason.trim().is_empty() {
        return Err(Error::Usage("a reason is needed: it is recorded for whoever looks later".to_owned()));
    }
    let session = Session::connect(&source.settings, &SessionPurpose::new("holdpoint adopt")).await?;
    let now = identity::read(&session).await?.identity;
    let recorded_at = preflight::clock(&session).await?;
    session.close().await;
    let before = context.repository.identity(&context.database).await?.map(|record| record.identity);
    let record = IdentityRecord { format: 1, identity: now.clone(), recorded_at, reason: reason.to_owned() };
    context.repository.record_identity(&context.database, &record).await?;
    Ok(AdoptReport { before, now, reason: reason.to_owned() })
}
