//! Whether the catalogs of a database were written to, without reading what they say.

use std::collections::BTreeMap;

use holdpoint_postgres::Session;

use crate::Error;

/// How many rows a catalog has, and a sum over the transactions that wrote them: any row that was added, changed or
/// removed makes another one.
pub(crate) type Written = BTreeMap<String, (i64, String)>;

/// Reads which transactions wrote the rows of the database's own catalogs, but for statistics and large objects, as far
/// as the session's role may read them.
///
/// What VACUUM, ANALYZE and CREATE INDEX note in place leaves no trace here; tables that live for a session do.
pub(crate) async fn catalogs_written(session: &Session) -> Result<Written, Error> {
    const WHAT: &str = "looking whether the catalogs stand still";
    let sql = "SELECT c.relname::text FROM pg_catalog.pg_class c \
               WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace AND c.relkind = 'r' AND c.oid < 16384 \
                 AND NOT c.relisshared AND pg_catalog.has_table_privilege(c.oid, 'SELECT') \
                 AND c.relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', \
                                       'pg_largeobject_metadata') ORDER BY 1";
    let names: Vec<String> = session.query(WHAT, sql, &[]).await?.iter().map(|row| row.get(0)).collect();
    let one = |name: &String| {
        format!(
            "SELECT '{name}', pg_catalog.count(*), \
                    COALESCE(pg_catalog.sum(pg_catalog.hashtextextended(xmin::text, 0)), 0)::text \
             FROM pg_catalog.\"{name}\""
        )
    };
    let all = names.iter().map(one).collect::<Vec<_>>().join(" UNION ALL ");
    if all.is_empty() {
        return Ok(Written::new());
    }
    let rows = session.query(WHAT, &all, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect())
}

#[cfg(test)]
mod tests {
    use holdpoint_postgres::{ConnectionSettings, SessionPurpose};
    use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};

    use super::*;

    #[tokio::test]
    async fn every_change_of_the_schema_shows_and_rows_do_not() {
        for major in [NEWEST, 14] {
            let cluster = Cluster::start(ClusterOptions {
                configuration: vec!["autovacuum = off".into()],
                ..ClusterOptions::major(major)
            });
            cluster.create_database("shop");
            cluster.psql("shop", "CREATE ROLE reads LOGIN; CREATE TABLE t (i int, j int); CREATE SEQUENCE s");
            let settings = ConnectionSettings::resolve(&cluster.url_as("reads", "shop"), &Default::default()).unwrap();
            let session = Session::connect(&settings, &SessionPurpose::new("a test")).await.unwrap();
            let mut before = catalogs_written(&session).await.unwrap();
            for sql in [
                "ALTER TABLE t DROP COLUMN j",
                "ALTER TABLE t ADD COLUMN k int",
                "ALTER TABLE t ALTER k SET DEFAULT 1",
                "ALTER SEQUENCE s INCREMENT 2",
                "COMMENT ON TABLE t IS 'x'",
                "GRANT SELECT ON t TO reads",
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
                "DROP FUNCTION f",
            ] {
                cluster.psql("shop", sql);
                let after = catalogs_written(&session).await.unwrap();
                assert_ne!(before, after, "{major}: {sql}");
                before = after;
            }
            let rows = "INSERT INTO t SELECT n FROM generate_series(1, 1000) n; ANALYZE t; SELECT nextval('s')";
            cluster.psql("shop", rows);
            cluster.psql("shop", "VACUUM (FREEZE) t");
            assert_eq!(catalogs_written(&session).await.unwrap(), before, "{major}");
        }
    }
}
