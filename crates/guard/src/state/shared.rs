//! What the catalogs that all databases of a server share say of this database; what they say of others is theirs.
//!
//! Counters tell rows of one database from those of another as little as files do: somebody's CREATE DATABASE would leave unknown
//! what became of this one. So of `pg_database`, of settings, comments and labels only those rows are looked at that are of this
//! database or of none; a row that was written has another `xmin`. Roles, memberships, privileges on parameters and
//! tablespaces are everybody's, and are told by their counters.

use std::collections::BTreeSet;

use holdpoint_core::quantity::listed;
use holdpoint_postgres::Session;

use super::LISTED;
use super::counters::Counters;
use crate::Error;

/// The catalogs with the rows that concern this database. Which one that is `own` says.
const BY_ROW: [(&str, &str); 4] = [
    ("pg_database", "oid = own"),
    ("pg_db_role_setting", "setdatabase IN (0, own)"),
    ("pg_shdescription", "classoid <> 'pg_catalog.pg_database'::pg_catalog.regclass OR objoid = own"),
    ("pg_shseclabel", "classoid <> 'pg_catalog.pg_database'::pg_catalog.regclass OR objoid = own"),
];

/// The names of these, as a list for SQL.
pub(super) fn names() -> String {
    BY_ROW.map(|(name, _)| format!("'{name}'")).join(", ")
}

/// Reads what was written of this database into the shared catalogs, as far as the session's role may read them; the others are
/// told by their counters.
pub(super) async fn written(session: &Session) -> Result<Vec<(String, Counters)>, Error> {
    const WHAT: &str = "reading what the server says of the database";
    let sql = format!(
        "SELECT relname::text FROM pg_catalog.pg_class WHERE relnamespace = 'pg_catalog'::pg_catalog.regnamespace \
           AND relname IN ({}) AND pg_catalog.has_table_privilege(oid, 'SELECT')",
        names()
    );
    let readable: Vec<String> = session.query(WHAT, &sql, &[]).await?.iter().map(|row| row.get(0)).collect();
    let one = |(name, is_own): (&str, &str)| {
        format!(
            "SELECT 'pg_catalog.{name}', pg_catalog.count(*), COALESCE(pg_catalog.hashtextextended( \
                    pg_catalog.string_agg(c.xmin::text, ',' ORDER BY c.xmin::text), 0), 0) \
             FROM pg_catalog.{name} c, (SELECT d.oid AS own FROM pg_catalog.pg_database d \
                                        WHERE d.datname = pg_catalog.current_database()) AS this WHERE {is_own}"
        )
    };
    let readable = BY_ROW.into_iter().filter(|(name, _)| readable.iter().any(|one| one == name));
    let sql = readable.map(one).collect::<Vec<_>>().join(" UNION ALL ");
    if sql.is_empty() {
        return Ok(Vec::new());
    }
    let rows = session.query(WHAT, &sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2), 0, 0))).collect())
}

/// The other databases of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Databases(BTreeSet<String>);

impl Databases {
    /// Reads their names.
    pub(super) async fn read(session: &Session) -> Result<Self, Error> {
        let sql = "SELECT datname::text FROM pg_catalog.pg_database WHERE datname <> pg_catalog.current_database()";
        let rows = session.query("listing the databases", sql, &[]).await?;
        Ok(Self(rows.iter().map(|row| row.get(0)).collect()))
    }

    /// Tells which came and went: that is no part of this one, whoever did it.
    pub(super) fn changes(&self, later: &Self) -> Option<String> {
        let new = later.0.difference(&self.0).map(|name| format!("{name} (new)"));
        let gone = self.0.difference(&later.0).map(|name| format!("{name} (gone)"));
        let names: Vec<String> = new.chain(gone).collect();
        (!names.is_empty()).then(|| {
            format!("other databases of the server changed, by the command or by others: {}", listed(&names, LISTED))
        })
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_postgres::{ConnectionSettings, SessionPurpose};
    use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};

    use super::*;

    #[tokio::test]
    async fn what_is_written_of_this_database_shows_and_of_others_does_not() {
        for major in [NEWEST, 14] {
            let cluster = Cluster::start(ClusterOptions::major(major));
            cluster.create_database("shop");
            cluster.psql("postgres", "CREATE ROLE reads LOGIN; CREATE DATABASE other");
            let settings = ConnectionSettings::resolve(&cluster.url_as("reads", "shop"), &Default::default()).unwrap();
            let session = Session::connect(&settings, &SessionPurpose::new("a test")).await.unwrap();
            let mut before = written(&session).await.unwrap();
            assert_eq!(before.len(), BY_ROW.len(), "{before:?}");
            for (sql, concerns) in [
                ("CREATE DATABASE third", false),
                ("ALTER DATABASE other SET work_mem = '8MB'", false),
                ("COMMENT ON DATABASE other IS 'x'", false),
                ("ALTER ROLE reads IN DATABASE other SET work_mem = '8MB'", false),
                ("DROP DATABASE other", false),
                ("ALTER DATABASE shop SET work_mem = '8MB'", true),
                ("ALTER DATABASE shop SET work_mem = '9MB'", true),
                ("ALTER ROLE reads IN DATABASE shop SET work_mem = '8MB'", true),
                ("ALTER ROLE reads SET work_mem = '8MB'", true),
                ("COMMENT ON DATABASE shop IS 'x'", true),
                ("COMMENT ON DATABASE shop IS NULL", true),
                ("COMMENT ON ROLE reads IS 'x'", true),
                ("ALTER DATABASE shop CONNECTION LIMIT 50", true),
                ("GRANT CREATE ON DATABASE shop TO reads", true),
                ("VACUUM (FREEZE) pg_database", false),
            ] {
                cluster.psql("postgres", sql);
                let after = written(&session).await.unwrap();
                assert_eq!(before != after, concerns, "{major}: {sql}");
                before = after;
            }
        }
    }

    #[test]
    fn databases_that_came_and_went_are_told() {
        let of = |names: &[&str]| Databases(names.iter().map(|one| (*one).to_owned()).collect());
        assert_eq!(of(&["a"]).changes(&of(&["a"])), None);
        let told = of(&["a", "b"]).changes(&of(&["b", "c"])).unwrap();
        assert!(told.ends_with("c (new), a (gone)"), "{told}");
    }
}
