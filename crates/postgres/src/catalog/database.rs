//! The database itself: encoding, locale, owner, grants, settings, extensions, size.

use holdpoint_core::manifest::{DatabaseProperties, DatabaseSetting, Extension, ServerFacts};

use crate::Error;
use crate::session::Session;

/// Reads the server's and the database's settings that a restore has to reproduce.
///
/// The catalog's columns differ by major: 14 knows libc only, 15 and 16 have `daticulocale`, 17 `datlocale`.
pub async fn server_facts(session: &Session) -> Result<ServerFacts, Error> {
    const WHAT: &str = "reading the database's encoding and locale";
    let (provider, locale, version) = match session.server().major {
        ..=14 => ("'c'", "NULL::text", "NULL::text"),
        15 | 16 => ("datlocprovider::text", "daticulocale::text", "datcollversion::text"),
        _ => ("datlocprovider::text", "datlocale::text", "datcollversion::text"),
    };
    let sql = format!(
        "SELECT pg_catalog.pg_encoding_to_char(encoding)::text, {provider}, datcollate::text, datctype::text, \
                {locale}, {version}, pg_catalog.current_setting('lc_monetary'), pg_catalog.current_setting('xmloption'), \
                (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'shared_preload_libraries'), \
                ARRAY(SELECT DISTINCT spcname::text FROM pg_catalog.pg_class \
                      JOIN pg_catalog.pg_tablespace t ON t.oid = reltablespace \
                      WHERE reltablespace NOT IN (0, 1664) ORDER BY 1) \
         FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
    );
    let row = session.query_one(WHAT, &sql, &[]).await?;
    let provider = match row.get::<_, &str>(1) {
        "i" => "icu",
        "b" => "builtin",
        _ => "libc",
    };
    Ok(ServerFacts {
        version_num: session.server().num,
        version: session.server().text.clone(),
        encoding: row.get(0),
        locale_provider: provider.to_owned(),
        collate: row.get(2),
        ctype: row.get(3),
        locale: row.get(4),
        collation_version: row.get(5),
        lc_monetary: row.get(6),
        xmloption: row.get(7),
        // Hidden from roles outside pg_read_all_settings: unknown is then empty.
        preload_libraries: row.get::<_, Option<String>>(8).unwrap_or_default(),
        tablespaces: row.get(9),
    })
}

/// Reads the collation version that the system has now, where it differs from the recorded one: indexes on text may
/// then be out of order. `None` where they agree or none is known (PostgreSQL 14).
pub async fn changed_collation_version(session: &Session) -> Result<Option<String>, Error> {
    if session.server().major < 15 {
        return Ok(None);
    }
    let sql = "SELECT pg_catalog.pg_database_collation_actual_version(oid) FROM pg_catalog.pg_database \
               WHERE datname = pg_catalog.current_database() \
                 AND datcollversion IS DISTINCT FROM pg_catalog.pg_database_collation_actual_version(oid)";
    let rows = session.query("comparing collation versions", sql, &[]).await?;
    Ok(rows.first().and_then(|row| row.get(0)))
}

/// Reads owner, grants, comment, per-database settings and connection limit of the session's database.
pub async fn properties(session: &Session) -> Result<DatabaseProperties, Error> {
    properties_of(session, None).await
}

/// Reads the same of any database of that server, or of the session's own: all of it stands in shared catalogs.
///
/// # Errors
/// Also when there is no such database.
pub async fn properties_of(session: &Session, database: Option<&str>) -> Result<DatabaseProperties, Error> {
    const WHAT: &str = "reading the database's properties";
    let sql = "SELECT pg_catalog.pg_get_userbyid(datdba)::text, datacl::text[], \
                      pg_catalog.shobj_description(oid, 'pg_database'), datconnlimit \
               FROM pg_catalog.pg_database WHERE datname = COALESCE($1::text, pg_catalog.current_database())";
    let row = session.query_one(WHAT, sql, &[&database]).await?;
    let sql = "SELECT CASE WHEN setrole <> 0 THEN pg_catalog.pg_get_userbyid(setrole)::text END, setting \
               FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) AS setting \
               WHERE setdatabase = (SELECT oid FROM pg_catalog.pg_database \
                                    WHERE datname = COALESCE($1::text, pg_catalog.current_database()))";
    let mut settings: Vec<DatabaseSetting> = Vec::new();
    for row in session.query(WHAT, sql, &[&database]).await? {
        let setting: &str = row.get(1);
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        settings.push(DatabaseSetting { role: row.get(0), name: name.to_owned(), value: value.to_owned() });
    }
    settings.sort();
    Ok(DatabaseProperties {
        owner: row.get(0),
        grants: row.get(1),
        comment: row.get(2),
        settings,
        connection_limit: row.get(3),
    })
}

/// Lists the extensions, by name.
pub async fn extensions(session: &Session) -> Result<Vec<Extension>, Error> {
    let sql = "SELECT extname::text, extversion, nspname::text FROM pg_catalog.pg_extension \
               JOIN pg_catalog.pg_namespace n ON n.oid = extnamespace ORDER BY 1";
    let rows = session.query("listing extensions", sql, &[]).await?;
    let extension = |row: &tokio_postgres::Row| Extension { name: row.get(0), version: row.get(1), schema: row.get(2) };
    Ok(rows.iter().map(extension).collect())
}

/// Reads the database's size on the server's disk in bytes; `None` where the role may not know it.
///
/// Call it outside a transaction.
pub async fn size_bytes(session: &Session) -> Result<Option<u64>, Error> {
    let sql = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())";
    let row = session.query_if_allowed("reading the database's size", sql).await?;
    Ok(row.and_then(|row| u64::try_from(row.get::<_, i64>(0)).ok()))
}
