//! The folder follows the database: who was replaced on purpose is not another database to be refused.

use chrono::{DateTime, Utc};
use holdpoint_core::Identity;
use holdpoint_core::identity::IdentityRecord;

use crate::{Context, Error};

/// Records that the database's folder belongs to the database with another OID of the same server from now on.
///
/// Everything else stays as it is recorded: the endpoint of the URL that backups use, above all.
pub(crate) async fn follow(context: &Context, oid: u32, at: DateTime<Utc>, reason: String) -> Result<(), Error> {
    let Some(recorded) = context.repository.identity(&context.database).await? else {
        return Ok(());
    };
    if recorded.identity.database_oid == oid {
        return Ok(());
    }
    let identity = Identity { database_oid: oid, ..recorded.identity };
    let record = IdentityRecord { format: 1, identity, recorded_at: at, reason };
    Ok(context.repository.record_identity(&context.database, &record).await?)
}
