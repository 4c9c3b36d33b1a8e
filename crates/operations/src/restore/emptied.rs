//! Emptying a target again after a restore into it failed.

use std::time::Duration;

use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use super::alone;
use super::target::{KINDS, must_be_empty, of_kind};
use crate::Error;

/// Dropping one object takes others with it, and may need others gone first.
const ROUNDS: usize = 4;
/// Objects dropped by one transaction: each takes locks.
const TOGETHER: usize = 100;
/// A server that crashed needs a moment.
const TRIES: u32 = 60;
const TRY_EVERY: Duration = Duration::from_millis(500);
const WHAT: &str = "emptying the target again";

/// Drops whatever a failed restore left in its target, which held nothing before; gives the failure back, and where
/// something remains says what.
///
/// `holder` is the session that took the target; where it is lost, so may be the target, to another restore.
///
/// Not to be cancelled: whoever interrupts a restore must not be left with half of it.
pub(super) async fn after(holder: &Session, failure: Error) -> Error {
    let target = holder.settings();
    match empty(target, holder).await {
        Ok(()) => failure,
        Err(Error::TargetBusy { target, pid }) => {
            let remains = format!(
                "a part of the restore may remain in {target}, where another one is at work (process {pid} of the \
                 server): look before you drop anything"
            );
            Error::LeftBehind { failure: Box::new(failure), remains }
        }
        Err(error) => {
            let database = target.database();
            let why = match error {
                Error::TargetNotEmpty { holds, .. } => format!("it still holds {holds}"),
                error => error.line(),
            };
            let remains = format!(
                "a part of the restore may remain in {} ({why}): drop database \"{database}\" and create it again \
                 before the next try",
                target.redacted()
            );
            Error::LeftBehind { failure: Box::new(failure), remains }
        }
    }
}

async fn empty(target: &ConnectionSettings, holder: &Session) -> Result<(), Error> {
    let session = connect(target).await?;
    if holder.ping().await.is_err() {
        alone::take(&session).await?;
    }
    let mut outcome = must_be_empty(&session).await;
    for _ in 0..ROUNDS {
        match &outcome {
            Err(Error::TargetNotEmpty { .. }) => {}
            _ => break,
        }
        drop_all(&session).await?;
        outcome = must_be_empty(&session).await;
    }
    session.close().await;
    outcome
}

async fn connect(target: &ConnectionSettings) -> Result<Session, Error> {
    let mut tries = 0;
    loop {
        let connected = async {
            let session = Session::connect(target, &SessionPurpose::new("holdpoint restore")).await?;
            // Whose session is still ending holds its locks; whoever waits for them for ever says nothing.
            let limits = "SET statement_timeout = 0; SET lock_timeout = '60s'; SET client_min_messages = warning";
            session.run(WHAT, limits).await?;
            Ok::<_, holdpoint_postgres::Error>(session)
        };
        match connected.await {
            Err(error) if error.is_transient() && tries < TRIES => tokio::time::sleep(TRY_EVERY).await,
            connected => return Ok(connected?),
        }
        tries += 1;
    }
}

/// Drops objects of every kind, a few in a transaction; one that cannot be dropped is left to the next round.
async fn drop_all(session: &Session) -> Result<(), Error> {
    let statements = statements(session).await?;
    for some in statements.chunks(TOGETHER) {
        if session.run(WHAT, &some.join("; ")).await.is_ok() {
            continue;
        }
        for one in some {
            if let Err(error) = session.run(WHAT, one).await {
                if session.is_closed() {
                    return Err(error.into());
                }
                tracing::debug!(%error, "an object is left to the next round");
            }
        }
    }
    Ok(())
}

/// Writes a statement for every object that is there; event triggers come first, as they would see the others go.
async fn statements(session: &Session) -> Result<Vec<String>, Error> {
    let mut statements = Vec::new();
    let first = |catalog: &str| catalog != "pg_event_trigger";
    let mut kinds: Vec<_> = KINDS.iter().collect();
    kinds.sort_by_key(|(_, _, catalog, _)| first(catalog));
    for (_, _, catalog, which) in kinds {
        let found = of_kind(catalog, which);
        let sql = match *catalog {
            "pg_largeobject_metadata" => {
                format!("SELECT pg_catalog.format('SELECT pg_catalog.lo_unlink(%s)', o.oid) {found}")
            }
            "pg_default_acl" => default_privileges(&found),
            _ => format!(
                "SELECT pg_catalog.format('DROP %s IF EXISTS %s CASCADE', \
                   pg_catalog.upper(pg_catalog.replace(named.type, '-', ' ')), named.identity) \
                 FROM (SELECT o.oid {found}) o, \
                   pg_catalog.pg_identify_object('pg_catalog.{catalog}'::pg_catalog.regclass, o.oid, 0) named"
            ),
        };
        let rows = session.query(WHAT, &sql, &[]).await?;
        statements.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    Ok(statements)
}

/// Takes back what was granted by default, and gives back what PostgreSQL grants by itself where that was taken: the
/// entry is gone once it says nothing.
fn default_privileges(found: &str) -> String {
    format!(
        "SELECT pg_catalog.format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s %s', o.role, o.place, change) \
         FROM (SELECT o.oid, o.defaclrole, o.defaclobjtype, o.defaclacl, \
                 pg_catalog.pg_get_userbyid(o.defaclrole) AS role, \
                 coalesce((SELECT pg_catalog.format(' IN SCHEMA %I', nspname) FROM pg_catalog.pg_namespace n \
                           WHERE n.oid = o.defaclnamespace), '') AS place, \
                 CASE o.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' \
                   WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END AS kind {found}) o, \
         LATERAL (SELECT 1 AS turn, pg_catalog.format('REVOKE ALL ON %s FROM %s', o.kind, \
                    CASE held.grantee WHEN 0 THEN 'PUBLIC' \
                      ELSE pg_catalog.format('%I', pg_catalog.pg_get_userbyid(held.grantee)) END) AS change \
                  FROM (SELECT DISTINCT grantee FROM pg_catalog.aclexplode(o.defaclacl)) held \
                  UNION ALL \
                  SELECT 2, pg_catalog.format('GRANT ALL ON %s TO %I', o.kind, o.role) WHERE o.place = '' \
                  UNION ALL \
                  SELECT 3, pg_catalog.format('GRANT %s ON %s TO PUBLIC', \
                    CASE o.defaclobjtype WHEN 'f' THEN 'EXECUTE' ELSE 'USAGE' END, o.kind) \
                  WHERE o.place = '' AND o.defaclobjtype IN ('f', 'T')) changes \
         ORDER BY o.oid, turn"
    )
}
