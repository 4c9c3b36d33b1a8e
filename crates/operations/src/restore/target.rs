//! Whether a database can take a restore.

use holdpoint_core::manifest::Manifest;
use holdpoint_postgres::scratch::{GapReason, extension_gaps};
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};

use crate::Error;

/// The first OID that `initdb` does not give (`FirstNormalObjectId` in PostgreSQL's source).
const OWN_OID: &str = "oid >= 16384";

/// What a database may hold beside what every new one does (PostgreSQL manual, "System Catalogs"): one, several, the
/// catalog, and which rows of it. `{in}` stands for the schemas that are not PostgreSQL's.
pub(super) const KINDS: &[(&str, &str, &str, &str)] = &[
    ("table", "tables", "pg_class", "relnamespace {in} AND relkind IN ('r','p','f')"),
    ("view", "views", "pg_class", "relnamespace {in} AND relkind IN ('v','m')"),
    ("sequence", "sequences", "pg_class", "relnamespace {in} AND relkind = 'S'"),
    ("composite type", "composite types", "pg_class", "relnamespace {in} AND relkind = 'c'"),
    ("type", "types", "pg_type", "typnamespace {in} AND typtype IN ('d','e','r','p')"),
    ("function", "functions", "pg_proc", "pronamespace {in}"),
    ("operator", "operators", "pg_operator", "oprnamespace {in}"),
    ("operator family", "operator families", "pg_opfamily", "opfnamespace {in}"),
    ("collation", "collations", "pg_collation", "collnamespace {in}"),
    ("conversion", "conversions", "pg_conversion", "connamespace {in}"),
    ("text search configuration", "text search configurations", "pg_ts_config", "cfgnamespace {in}"),
    ("text search dictionary", "text search dictionaries", "pg_ts_dict", "dictnamespace {in}"),
    ("text search parser", "text search parsers", "pg_ts_parser", "prsnamespace {in}"),
    ("text search template", "text search templates", "pg_ts_template", "tmplnamespace {in}"),
    ("schema", "schemas", "pg_namespace", "oid {in} AND nspname <> 'public'"),
    ("extension", "extensions", "pg_extension", "extname <> 'plpgsql'"),
    ("procedural language", "procedural languages", "pg_language", OWN_OID),
    ("cast", "casts", "pg_cast", OWN_OID),
    ("foreign data wrapper", "foreign data wrappers", "pg_foreign_data_wrapper", "true"),
    ("foreign server", "foreign servers", "pg_foreign_server", "true"),
    ("default privilege", "default privileges", "pg_default_acl", "true"),
    ("large object", "large objects", "pg_largeobject_metadata", "true"),
    ("publication", "publications", "pg_publication", "true"),
    ("event trigger", "event triggers", "pg_event_trigger", "true"),
];

/// Counts each of the kinds; what an extension brought is the extension's.
fn counts() -> String {
    let count = |(_, _, catalog, which): &(&str, &str, &str, &str)| {
        format!("(SELECT pg_catalog.count(*) {})", of_kind(catalog, which))
    };
    format!("SELECT ARRAY[{}]", KINDS.iter().map(count).collect::<Vec<_>>().join(", "))
}

/// Writes the part of a query that finds the objects `o` of one kind.
pub(super) fn of_kind(catalog: &str, which: &str) -> String {
    const IN: &str = "IN (SELECT oid FROM pg_catalog.pg_namespace \
                      WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')";
    let which = which.replace("{in}", IN);
    format!(
        "FROM pg_catalog.{catalog} o WHERE {which} AND NOT EXISTS (\
           SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' AND d.objid = o.oid \
           AND d.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass)"
    )
}

/// Connects to a target; no limit for idle sessions ends the session while others restore.
pub(super) async fn connect(settings: &ConnectionSettings) -> Result<Session, Error> {
    let session = Session::connect(settings, &SessionPurpose::new("holdpoint restore")).await?;
    session.run("lifting time limits", "SET idle_session_timeout = 0").await?;
    Ok(session)
}

/// Refuses a database that holds anything.
pub(super) async fn must_be_empty(session: &Session) -> Result<(), Error> {
    let row = session.query_one("looking whether the target is empty", &counts(), &[]).await?;
    let found: Vec<i64> = row.get(0);
    let holds = KINDS.iter().zip(found).filter_map(|((one, many, ..), count)| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        _ => Some(format!("{count} {many}")),
    });
    let holds: Vec<String> = holds.collect();
    if holds.is_empty() {
        return Ok(());
    }
    Err(Error::TargetNotEmpty { target: session.settings().redacted(), holds: holds.join(", ") })
}

/// Refuses a server that cannot take the archive: an older major, extensions that are missing, a database of another
/// encoding.
pub(super) async fn must_fit(session: &Session, manifest: &Manifest) -> Result<Vec<String>, Error> {
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
    Ok(warnings)
}
