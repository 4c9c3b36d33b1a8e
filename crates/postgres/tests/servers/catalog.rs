//! What the catalog says, on every major.

use futures_util::TryStreamExt;
use holdpoint_postgres::catalog::{database, large_objects, relations, roles};
use holdpoint_testkit::{Cluster, MAJORS, NEWEST};

use crate::open;

const SCHEMA: &str = "CREATE SCHEMA \"odd.\"\"schema\"; CREATE TABLE \"odd.\"\"schema\".\"T(1)\" (x int, y text); \
    CREATE TABLE p (x int) PARTITION BY LIST (x); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); \
    CREATE UNLOGGED TABLE u (x serial); CREATE MATERIALIZED VIEW m AS SELECT 1 AS x; CREATE VIEW v AS SELECT 1; \
    CREATE EXTENSION hstore; SELECT lo_create(4294967295), lo_create(5); \
    CREATE TABLE big AS SELECT repeat('x', 100) FROM generate_series(1, 5000); VACUUM ANALYZE big";

#[tokio::test]
async fn relations_are_listed_as_pg_dump_sees_them() {
    for major in MAJORS {
        let cluster = Cluster::shared(major);
        let name = crate::database(cluster);
        for statement in SCHEMA.split("; ") {
            cluster.psql(&name, statement);
        }
        let session = open(&cluster.url(&name)).await;
        session.pin_text_form().await.unwrap();
        let tables = relations::tables(&session).await.unwrap();
        let found: Vec<_> = tables.iter().map(|t| (t.quoted.as_str(), t.kind, t.persistence)).collect();
        assert_eq!(
            found,
            [
                ("\"odd.\"\"schema\".\"T(1)\"", 'r', 'p'),
                ("public.big", 'r', 'p'),
                ("public.m", 'm', 'p'),
                ("public.p", 'p', 'p'),
                ("public.p1", 'r', 'p'),
                ("public.u", 'r', 'u'),
            ]
        );
        assert_eq!((tables[0].schema.as_str(), tables[0].name.as_str()), ("odd.\"schema", "T(1)"));
        assert_eq!(tables[0].access_method.as_deref(), Some("heap"));
        assert!(tables[1].estimated_bytes > 500_000, "{:?}", tables[1]);
        assert!(tables[4].is_partition && !tables[3].is_partition);
        assert_eq!(tables[3].file_node, 0);
        let sequences = relations::sequences(&session).await.unwrap();
        assert_eq!(sequences.iter().map(|s| s.quoted.as_str()).collect::<Vec<_>>(), ["public.u_x_seq"]);

        let oids = [tables[1].oid, 1];
        assert_eq!(relations::by_oids(&session, &oids).await.unwrap(), tables[1..2]);
        assert_eq!(
            relations::current_file_nodes(&session, &oids).await.unwrap(),
            [(tables[1].oid, tables[1].file_node)]
        );
        cluster.psql(&name, "TRUNCATE big");
        assert_ne!(relations::current_file_nodes(&session, &oids).await.unwrap()[0].1, tables[1].file_node);

        let oids: Vec<u32> = large_objects::oids(&session).await.unwrap().try_collect().await.unwrap();
        assert_eq!(oids, [5, u32::MAX]);
        assert_eq!(large_objects::count(&session).await.unwrap(), 2);
        let extensions = database::extensions(&session).await.unwrap();
        assert_eq!(extensions.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["hstore", "plpgsql"]);
        assert_eq!(extensions[0].schema, "public");
    }
}

/// No contrib extension has a configuration table, so one is marked by hand, as its script would.
#[tokio::test]
async fn configuration_tables_come_with_their_condition() {
    let cluster = Cluster::shared(NEWEST);
    let name = crate::database(cluster);
    cluster.psql(
        &name,
        "CREATE EXTENSION hstore; CREATE TABLE config (x int); CREATE TABLE internal (x int); \
         ALTER EXTENSION hstore ADD TABLE config; ALTER EXTENSION hstore ADD TABLE internal; \
         UPDATE pg_extension SET extconfig = ARRAY['config'::regclass::oid], extcondition = ARRAY['WHERE x > 5'] \
         WHERE extname = 'hstore'",
    );
    let session = open(&cluster.url(&name)).await;
    let tables = relations::tables(&session).await.unwrap();
    assert_eq!(tables.iter().map(|t| t.quoted.as_str()).collect::<Vec<_>>(), ["public.config"]);
    assert_eq!(tables[0].extension.as_deref(), Some("hstore"));
    let config = relations::configuration_tables(&session).await.unwrap();
    assert_eq!(config.len(), 1);
    assert_eq!((config[0].oid, config[0].condition.as_deref()), (tables[0].oid, Some("WHERE x > 5")));
}

#[tokio::test]
async fn the_databases_own_properties_are_read() {
    for major in MAJORS {
        let cluster = Cluster::new(major);
        cluster.psql("postgres", "CREATE ROLE app LOGIN; CREATE ROLE owner_role CREATEDB");
        cluster.create_database_with(
            "shop",
            "OWNER owner_role CONNECTION LIMIT 7 ENCODING LATIN1 TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
        );
        cluster.psql("shop", "ALTER DATABASE shop SET timezone = 'UTC'");
        cluster.psql("shop", "ALTER ROLE app IN DATABASE shop SET search_path = a, b");
        cluster.psql("shop", "GRANT CREATE ON DATABASE shop TO app");
        cluster.psql("shop", "COMMENT ON DATABASE shop IS 'the shop'");
        let session = open(&cluster.url("shop")).await;
        let properties = database::properties(&session).await.unwrap();
        assert_eq!((properties.owner.as_str(), properties.connection_limit), ("owner_role", 7));
        assert_eq!(properties.comment.as_deref(), Some("the shop"));
        assert!(properties.grants.unwrap().iter().any(|grant| grant == "app=C/owner_role"));
        let settings: Vec<_> =
            properties.settings.iter().map(|s| (s.role.as_deref(), s.name.as_str(), s.value.as_str())).collect();
        assert_eq!(settings, [(None, "TimeZone", "UTC"), (Some("app"), "search_path", "a, b")], "{major}");
        let facts = database::server_facts(&session).await.unwrap();
        assert_eq!((facts.encoding.as_str(), facts.locale_provider.as_str()), ("LATIN1", "libc"));
        assert_eq!((facts.collate.as_str(), facts.ctype.as_str()), ("C", "C"));
        assert_eq!(facts.version_num / 10_000, major);
        assert_eq!(facts.xmloption, "content");
        assert_eq!(database::changed_collation_version(&session).await.unwrap(), None);
        assert!(database::size_bytes(&session).await.unwrap().is_some_and(|bytes| bytes > 1 << 20));
        let names = roles::names(&session).await.unwrap();
        assert!(names.contains(&"app".to_owned()) && names.iter().all(|name| !name.starts_with("pg_")));

        let rights = roles::own_rights(&open(&cluster.url_as("app", "shop")).await).await.unwrap();
        assert_eq!(rights.name, "app");
        assert!(!rights.superuser && !rights.bypass_row_security && !rights.read_all_data && !rights.create_databases);
        assert!(roles::own_rights(&session).await.unwrap().superuser);
    }
}
