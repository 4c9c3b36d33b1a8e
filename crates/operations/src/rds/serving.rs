//! Which server is behind an endpoint of RDS.

use holdpoint_postgres::identity::ServerIdentity;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose, identity};
use holdpoint_rds::Endpoint;

use crate::Error;

/// Reads which server and database settings lead to.
///
/// # Errors
/// It cannot be asked.
pub async fn identity_behind(settings: &ConnectionSettings) -> Result<ServerIdentity, Error> {
    let session = Session::connect(settings, &SessionPurpose::new("holdpoint rds")).await?;
    let read = identity::read(&session).await;
    session.close().await;
    Ok(read?)
}

/// Why the server at an instance's endpoint is not the one that the database is reached at; `None` where it is.
///
/// A copy has the same system identifier and OIDs, but was not started in the same microsecond.
///
/// # Errors
/// Either server cannot be asked.
pub async fn serves_another(endpoint: Option<&Endpoint>, live: &ConnectionSettings) -> Result<Option<String>, Error> {
    let Some(at) = endpoint else { return Ok(Some("RDS does not say where it is reached".to_owned())) };
    let own = identity_behind(live).await?;
    let there = identity_behind(&live.with_server(at.host.clone(), at.port)).await?;
    let same = own.started_at == there.started_at
        && own.identity.system_identifier == there.identity.system_identifier
        && own.identity.database_oid == there.identity.database_oid;
    Ok((!same).then(|| {
        format!(
            "the server at its endpoint {}:{} is another than the one that the database is reached at, {}",
            at.host,
            at.port,
            live.endpoint()
        )
    }))
}
