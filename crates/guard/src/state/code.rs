//! The functions that a dump leaves out, as they belong to the server or to an extension: `CREATE OR REPLACE` and `ALTER FUNCTION`
//! change these, too.
//!
//! Only digests of one server are compared, and of an extension only those of the same version: a restore, or an update of the
//! extension, makes them anew.

use std::collections::BTreeMap;

use holdpoint_postgres::Session;

use crate::Error;

/// How the names of all of them begin.
const CODE: &str = "code of ";
/// And of those of an extension, with its version.
const OF_EXTENSION: &str = "code of extension ";

/// Whether it is what this module reads.
pub(crate) fn is_code(what: &str) -> bool {
    what.starts_with(CODE)
}

/// Whether it comes and goes with an extension or its version, which is told as that.
pub(super) fn is_of_extension(what: &str) -> bool {
    what.starts_with(OF_EXTENSION)
}

/// A digest for each extension with functions, and one for those of `pg_catalog`. Neither owners nor privileges are in it: a dump
/// has those that matter.
pub(super) async fn read(session: &Session) -> Result<BTreeMap<String, String>, Error> {
    // How the server writes an expression depends on the search path, which lasts for this statement alone.
    let sql = format!(
        "SELECT one.owner, pg_catalog.md5(pg_catalog.string_agg(one.digest, ',' ORDER BY one.digest)) FROM ( \
           SELECT CASE WHEN e.oid IS NULL THEN '{CODE}pg_catalog' \
                       ELSE pg_catalog.format('{OF_EXTENSION}%I %s', e.extname, e.extversion) END AS owner, \
                  pg_catalog.md5(ROW(p.proname, l.lanname, p.prokind, p.prosecdef, p.proleakproof, p.proisstrict, p.proretset, \
                    p.provolatile, p.proparallel, p.procost, p.prorows, p.proargnames, p.proargmodes, p.prosrc, p.probin, \
                    p.proconfig, (SELECT t.typname FROM pg_catalog.pg_type t WHERE t.oid = p.prorettype), \
                    ARRAY(SELECT t.typname FROM pg_catalog.unnest(p.proargtypes) WITH ORDINALITY AS a (oid, place) \
                          JOIN pg_catalog.pg_type t ON t.oid = a.oid ORDER BY a.place), \
                    CASE WHEN p.proargdefaults IS NOT NULL OR p.prosqlbody IS NOT NULL THEN \
                      CASE WHEN (SELECT pg_catalog.set_config('search_path', '', true)) = '' THEN \
                        ROW(pg_catalog.pg_get_expr(p.proargdefaults, 0), pg_catalog.pg_get_function_sqlbody(p.oid))::text \
                      END \
                    END)::text) AS digest \
           FROM pg_catalog.pg_proc p \
           JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
           LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid \
             AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e' \
           LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
           WHERE e.oid IS NOT NULL OR p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace \
         ) AS one GROUP BY one.owner"
    );
    let rows = session.query("reading the functions that no dump shows", &sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

#[cfg(test)]
mod tests {
    use holdpoint_postgres::{ConnectionSettings, SessionPurpose};
    use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};

    use super::*;

    #[tokio::test]
    async fn a_function_that_is_replaced_is_told_by_what_it_belongs_to() {
        for major in [NEWEST, 14] {
            let cluster = Cluster::start(ClusterOptions::major(major));
            cluster.create_database("shop");
            cluster.psql("shop", "CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; CREATE ROLE reads LOGIN");
            let settings = ConnectionSettings::resolve(&cluster.url_as("reads", "shop"), &Default::default()).unwrap();
            let session = Session::connect(&settings, &SessionPurpose::new("a test")).await.unwrap();
            let first = read(&session).await.unwrap();
            let replaces = |name: &str, language: &str, body: &str| {
                format!(
                    "CREATE OR REPLACE FUNCTION {name} RETURNS text[] LANGUAGE {language} IMMUTABLE STRICT PARALLEL SAFE AS {body}"
                )
            };
            let avals = replaces("ext.avals(ext.hstore)", "sql", "'SELECT NULL::text[]'");
            let back = replaces("ext.avals(ext.hstore)", "c", "'$libdir/hstore', 'hstore_avals'");
            let mut before = first.clone();
            for (sql, concerns) in [
                (avals.as_str(), Some("code of extension hstore ")),
                (back.as_str(), Some("code of extension hstore ")),
                ("ALTER FUNCTION ext.akeys(ext.hstore) SET work_mem = '8MB'", Some("code of extension hstore ")),
                ("ALTER FUNCTION ext.akeys(ext.hstore) RESET ALL", Some("code of extension hstore ")),
                ("ALTER FUNCTION ext.akeys(ext.hstore) RENAME TO akeys2", Some("code of extension hstore ")),
                ("ALTER FUNCTION ext.akeys2(ext.hstore) RENAME TO akeys", Some("code of extension hstore ")),
                ("ALTER FUNCTION pg_catalog.pg_sleep(float8) COST 7", Some("code of pg_catalog")),
                ("ALTER FUNCTION pg_catalog.pg_sleep(float8) COST 1", Some("code of pg_catalog")),
                ("CREATE FUNCTION public.own() RETURNS int LANGUAGE sql AS 'SELECT 1'", None),
                ("GRANT EXECUTE ON FUNCTION ext.akeys(ext.hstore) TO reads", None),
                ("ALTER ROLE reads SET search_path = ext", None),
                ("ALTER EXTENSION hstore SET SCHEMA public", None),
            ] {
                cluster.psql("shop", sql);
                let after = read(&session).await.unwrap();
                let changed: Vec<&String> = after.keys().filter(|name| after.get(*name) != before.get(*name)).collect();
                assert_eq!(changed.len(), usize::from(concerns.is_some()), "{major}: {sql}: {changed:?}");
                let right = changed.iter().all(|name| concerns.is_some_and(|begins| name.starts_with(begins)));
                assert!(right && changed.iter().all(|name| is_code(name)), "{major}: {sql}: {changed:?}");
                before = after;
            }
            assert_eq!(before, first, "{major}: each was taken back");
            let other = Session::connect(&settings, &SessionPurpose::new("a test")).await.unwrap();
            assert_eq!(read(&other).await.unwrap(), first, "{major}: whatever the search path");
        }
    }
}
