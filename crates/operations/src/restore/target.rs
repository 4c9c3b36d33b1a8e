//! Whether a database can take a restore.

use holdpoint_core::manifest::Manifest;
use holdpoint_postgres::scratch::{GapReason, extension_gaps};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use crate::Error;

/// Counts what a database holds beside what every new one does (PostgreSQL manual, "System Catalogs").
const HOLDS: &str = "WITH own AS (SELECT oid FROM pg_catalog.pg_namespace \
     WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'), \
   members AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'), \
   counts (what, n) AS ( \
     SELECT 'tables, views, sequences', pg_catalog.count(*) FROM pg_catalog.pg_class \
       WHERE relnamespace IN (SELECT oid FROM own) AND relkind IN ('r','p','v','m','S','f') \
         AND NOT EXISTS (SELECT FROM members WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND objid = pg_class.oid) \
     UNION ALL SELECT 'functions', pg_catalog.count(*) FROM pg_catalog.pg_proc \
       WHERE pronamespace IN (SELECT oid FROM own) \
         AND NOT EXISTS (SELECT FROM members WHERE classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND objid = pg_proc.oid) \
     UNION ALL SELECT 'types', pg_catalog.count(*) FROM pg_catalog.pg_type \
       WHERE typnamespace IN (SELECT oid FROM own) AND typtype IN ('d','e','r') \
         AND NOT EXISTS (SELECT FROM members WHERE classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND objid = pg_type.oid) \
     UNION ALL SELECT 'schemas', pg_catalog.count(*) FROM pg_catalog.pg_namespace \
       WHERE oid IN (SELECT oid FROM own) AND nspname <> 'public' \
         AND NOT EXISTS (SELECT FROM members WHERE classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND objid = pg_namespace.oid) \
     UNION ALL SELECT 'extensions', pg_catalog.count(*) FROM pg_catalog.pg_extension WHERE extname <> 'plpgsql' \
     UNION ALL SELECT 'large objects', pg_catalog.count(*) FROM pg_catalog.pg_largeobject_metadata \
     UNION ALL SELECT 'publications', pg_catalog.count(*) FROM pg_catalog.pg_publication \
     UNION ALL SELECT 'event triggers', pg_catalog.count(*) FROM pg_catalog.pg_event_trigger \
       WHERE NOT EXISTS (SELECT FROM members WHERE classid = 'pg_catalog.pg_event_trigger'::pg_catalog.regclass AND objid = pg_event_trigger.oid)) \
   SELECT pg_catalog.string_agg(n || ' ' || what, ', ') FROM counts WHERE n > 0";

/// Connects to a target.
pub(super) async fn connect(settings: &ConnectionSettings) -> Result<Session, Error> {
    Ok(Session::connect(settings, &SessionPurpose::new("holdpoint restore")).await?)
}

/// Refuses a database that holds anything.
pub(super) async fn must_be_empty(session: &Session) -> Result<(), Error> {
    let row = session.query_one("looking whether the target is empty", HOLDS, &[]).await?;
    match row.get::<_, Option<String>>(0) {
        Some(holds) => Err(Error::TargetNotEmpty { target: session.settings().redacted(), holds }),
        None => Ok(()),
    }
}

/// Refuses a server that cannot take the archive: an older major, extensions or roles that are missing, a database of
/// another encoding.
pub(super) async fn must_fit(session: &Session, manifest: &Manifest, roles: &[String]) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    let major = session.server().major;
    if major < manifest.client_major {
        return Err(Error::Usage(format!(
            "the target is PostgreSQL {major}, the restore point was made by pg_dump {}: restore into {} or newer",
            manifest.client_major, manifest.client_major
        )));
    }
    if major > manifest.major() {
        warnings.push(format!(
            "the target is PostgreSQL {major}, the source was {}: rows are compared, texts of schema objects are not",
            manifest.major()
        ));
    }
    let encoding = session.show("server_encoding").await?;
    if encoding != manifest.server.encoding {
        return Err(Error::Usage(format!(
            "the target's encoding is {encoding}, the restore point's is {}: create it with ENCODING '{}' TEMPLATE template0",
            manifest.server.encoding, manifest.server.encoding
        )));
    }
    let available = holdpoint_postgres::scratch::available_extensions(session).await?;
    let wanted = manifest.extensions.iter().map(|one| (one.name.as_str(), one.version.as_str()));
    for gap in extension_gaps(wanted, &available) {
        match gap.reason {
            GapReason::Absent => {
                return Err(Error::Usage(format!("extension {} is not installed on the target's server", gap.name)));
            }
            GapReason::VersionDiffers { created } => warnings.push(format!(
                "extension {} will be {}, the source had {}",
                gap.name,
                created.unwrap_or_default(),
                gap.needed
            )),
        }
    }
    let rows = session.query("listing roles", "SELECT rolname::text FROM pg_catalog.pg_roles", &[]).await?;
    let there: std::collections::BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    let missing: Vec<String> = roles.iter().filter(|role| !there.contains(*role)).cloned().collect();
    if !missing.is_empty() {
        return Err(Error::RolesMissing { roles: missing });
    }
    Ok(warnings)
}
