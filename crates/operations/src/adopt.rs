//! `holdpoint adopt`: records that a database's folder now belongs to another server or database.

use holdpoint_core::Identity;
use holdpoint_core::identity::{IdentityMatch, IdentityRecord};
use holdpoint_postgres::{Session, SessionPurpose, identity, preflight};
use holdpoint_repository::{Error as Store, Identities};
use serde::Serialize;

use crate::catalogue::survey;
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

/// Records that the database's folder now belongs to the source as it is. Where all records before were lost, the databases
/// that its restore points are of are recorded first: it belonged to them.
///
/// # Errors
/// [`Error::Usage`] without a reason; those of the server and of the repository. A record that is damaged is none.
pub async fn adopt(context: &Context, source: &Source, reason: &str) -> Result<AdoptReport, Error> {
    if reason.trim().is_empty() {
        return Err(Error::Usage("a reason is needed: it is recorded for whoever looks later".to_owned()));
    }
    let session = Session::connect(&source.settings, &SessionPurpose::new("holdpoint adopt")).await?;
    let now = identity::read(&session).await?.identity;
    let recorded_at = preflight::clock(&session).await?;
    session.close().await;
    let before = before(context).await?;
    let record = IdentityRecord { format: 1, identity: now.clone(), recorded_at, reason: reason.to_owned() };
    context.repository.record_identity(&context.database, &record).await?;
    Ok(AdoptReport { before, now, reason: reason.to_owned() })
}

/// To whom the folder belonged until now; `None` where nobody had claimed it, or its record is damaged.
async fn before(context: &Context) -> Result<Option<Identity>, Error> {
    let (repository, database) = (&context.repository, &context.database);
    let before = match repository.identity(database).await {
        Ok(before) => before.map(|record| record.identity),
        Err(Store::InvalidRecord { .. } | Store::TooLarge { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let Identities { records, unreadable, .. } = repository.identities(database).await?;
    if !records.is_empty() || !unreadable.is_empty() {
        return Ok(before);
    }
    let mut recorded: Vec<Identity> = Vec::new();
    for point in survey(context, context.time(true).await?.0).await?.0 {
        let (id, identity) = (point.id(), &point.identity);
        if recorded.iter().any(|known| !matches!(Identity::compare(known, identity), IdentityMatch::Different(_))) {
            continue;
        }
        let reason = format!("as restore point {id} says: the record was lost");
        let recorded_at = point.summary.snapshot_at;
        let record = IdentityRecord { format: 1, identity: identity.clone(), recorded_at, reason };
        repository.record_identity(database, &record).await?;
        recorded.push(record.identity);
    }
    Ok(before)
}
