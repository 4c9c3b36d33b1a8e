//! What would make a backup incomplete is found before it starts; stock pg_dump agrees.

use holdpoint_postgres::preflight::{self, MissingRight};
use holdpoint_testkit::{Cluster, MAJORS, NEWEST};

use crate::open;

/// Whether stock pg_dump as this role gets through.
fn pg_dump_succeeds(cluster: &Cluster, role: &str, database: &str) -> bool {
    let mut pg_dump = cluster.program("pg_dump");
    pg_dump.args(["-Fc", "--no-sync", "-f", "/dev/null", "-d"]).arg(cluster.url_as(role, database));
    pg_dump.output().unwrap().status.success()
}

#[tokio::test]
async fn a_role_without_select_is_told_where() {
    for major in MAJORS {
        let cluster = Cluster::new(major);
        cluster.psql(
            "postgres",
            "CREATE ROLE backup LOGIN; CREATE SCHEMA hidden; CREATE TABLE hidden.h (x int); CREATE TABLE a (x int); \
             CREATE TABLE b (x int, y int); CREATE TABLE c (x serial); CREATE TABLE p (x int) PARTITION BY LIST (x); \
             CREATE VIEW v AS TABLE a; CREATE MATERIALIZED VIEW m AS TABLE a; CREATE TABLE \"Ö\"\".\" (x int); \
             GRANT SELECT ON a, c TO backup; GRANT SELECT (x) ON b TO backup; GRANT SELECT ON hidden.h TO backup",
        );
        let session = open(&cluster.url_as("backup", "postgres")).await;
        let found = preflight::unreadable_relations(&session).await.unwrap();
        let found: Vec<_> = found.iter().map(|r| (r.name.as_str(), r.kind, r.missing)).collect();
        assert_eq!(
            found,
            [
                ("hidden.h", 'r', MissingRight::SchemaUsage),
                ("public.b", 'r', MissingRight::Select),
                ("public.c_x_seq", 'S', MissingRight::Select),
                ("public.p", 'p', MissingRight::Select),
                ("public.\"Ö\"\".\"", 'r', MissingRight::Select),
            ],
            "{major}"
        );
        assert!(!pg_dump_succeeds(&cluster, "backup", "postgres"));
        cluster.psql(
            "postgres",
            "GRANT USAGE ON SCHEMA hidden TO backup; GRANT SELECT ON b, p, \"Ö\"\".\", c_x_seq TO backup",
        );
        assert_eq!(preflight::unreadable_relations(&session).await.unwrap(), []);
        assert!(pg_dump_succeeds(&cluster, "backup", "postgres"), "{major}");
    }
}

#[tokio::test]
async fn row_security_that_applies_is_named() {
    for major in [MAJORS[0], NEWEST] {
        let cluster = Cluster::new(major);
        cluster.psql(
            "postgres",
            "CREATE ROLE backup LOGIN; CREATE ROLE owner_role LOGIN; CREATE ROLE through LOGIN BYPASSRLS; \
             CREATE TABLE others (x int); CREATE TABLE owned (x int); CREATE TABLE forced (x int); CREATE TABLE off (x int); \
             ALTER TABLE others ENABLE ROW LEVEL SECURITY; ALTER TABLE owned ENABLE ROW LEVEL SECURITY; \
             ALTER TABLE forced ENABLE ROW LEVEL SECURITY; ALTER TABLE forced FORCE ROW LEVEL SECURITY; \
             ALTER TABLE owned OWNER TO owner_role; ALTER TABLE forced OWNER TO owner_role; \
             GRANT pg_read_all_data TO backup, owner_role, through",
        );
        for (role, expected, dumps) in [
            ("backup", vec!["public.forced", "public.others", "public.owned"], false),
            ("owner_role", vec!["public.forced", "public.others"], false),
            ("through", vec![], true),
            (cluster.superuser(), vec![], true),
        ] {
            let session = open(&cluster.url_as(role, "postgres")).await;
            for pinned in [false, true] {
                if pinned {
                    session.pin_text_form().await.unwrap();
                }
                let found = preflight::filtered_tables(&session).await.unwrap();
                assert_eq!(
                    found.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(),
                    expected,
                    "{role} {pinned}"
                );
                assert!(found.iter().all(|table| table.forced == (table.name == "public.forced")));
            }
            assert_eq!(pg_dump_succeeds(&cluster, role, "postgres"), dumps, "{major} {role}");
        }
    }
}

#[tokio::test]
async fn large_objects_of_others_are_counted() {
    for major in MAJORS {
        let cluster = Cluster::new(major);
        cluster.psql(
            "postgres",
            "CREATE ROLE other; CREATE ROLE backup LOGIN; CREATE ROLE member LOGIN IN ROLE other; \
             SELECT lo_create(g) FROM generate_series(100, 102) g; GRANT SELECT ON LARGE OBJECT 101 TO backup; \
             ALTER LARGE OBJECT 102 OWNER TO other",
        );
        let at = async |role: &str| {
            let session = open(&cluster.url_as(role, "postgres")).await;
            let found = preflight::unreadable_large_objects(&session).await.unwrap();
            found.map(|found| found.examples).unwrap_or_default()
        };
        assert_eq!(at("backup").await, [100, 102], "{major}");
        assert_eq!(at("member").await, [100, 101], "{major}");
        assert_eq!(at(cluster.superuser()).await, [0_u32; 0]);
        assert!(!pg_dump_succeeds(&cluster, "backup", "postgres"));
        cluster.psql("postgres", "GRANT SELECT ON LARGE OBJECT 100, 102 TO PUBLIC");
        assert_eq!(at("backup").await, [0_u32; 0]);
        assert!(pg_dump_succeeds(&cluster, "backup", "postgres"), "{major}");
    }
}

#[tokio::test]
async fn a_running_alter_table_and_its_waiter_are_seen() {
    let cluster = Cluster::shared(NEWEST);
    let name = crate::database(cluster);
    cluster.psql(&name, "CREATE TABLE t (x int)");
    let (holder, waiter) = (open(&cluster.url(&name)).await, open(&cluster.url(&name)).await);
    let session = open(&cluster.url(&name)).await;
    assert_eq!(preflight::blockers(&session).await.unwrap(), []);
    holder.run("x", "BEGIN; ALTER TABLE t ADD y text DEFAULT 'hunter2'").await.unwrap();
    let wait = waiter.run("x", "ALTER TABLE t ADD z text DEFAULT 'hunter2'");
    let look = async {
        let found = loop {
            let found = preflight::blockers(&session).await.unwrap();
            if found.len() == 2 {
                break found;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        };
        let open = preflight::open_transactions(&session, 0).await.unwrap();
        holder.run("x", "ROLLBACK").await.unwrap();
        (found, open)
    };
    let (waited, (found, open)) = tokio::join!(wait, look);
    waited.unwrap();
    assert_eq!(found.iter().map(|b| b.granted).collect::<Vec<_>>(), [true, false]);
    assert!(found.iter().all(|b| b.relation == "public.t" && b.application_name.as_deref() == Some("holdpoint test")));
    assert_eq!(found[1].doing.as_deref(), Some("ALTER TABLE"));
    assert_eq!(open.len(), 2, "{open:?}");
    assert!(!format!("{found:?}{open:?}").contains("hunter2"));
}

#[tokio::test]
async fn sizes_counts_and_headroom_are_plausible() {
    for major in MAJORS {
        let cluster = Cluster::shared(major);
        let name = crate::database(cluster);
        cluster.psql(&name, "CREATE TABLE small (x int); CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 2000) g");
        cluster.psql(&name, "CREATE UNLOGGED TABLE u (x int); CREATE PUBLICATION pub FOR TABLE small");
        cluster.psql(&name, "VACUUM ANALYZE");
        let session = open(&cluster.url(&name)).await;
        let sizes = preflight::table_sizes(&session).await.unwrap();
        assert_eq!(sizes[0].name, "public.large");
        assert!(sizes[0].estimated_bytes > 2_000_000, "{sizes:?}");
        let counts = preflight::object_counts(&session).await.unwrap();
        assert_eq!(
            (counts.publications, counts.unlogged_tables, counts.event_triggers, counts.subscriptions),
            (1, 1, 0, 0)
        );
        let headroom = preflight::headroom(&session).await.unwrap();
        assert!(headroom.allowed >= 90 && headroom.left > 0 && headroom.left < headroom.allowed, "{headroom:?}");
        assert_eq!(headroom.left_to_role, None, "a superuser has no limit");
        let limited = format!("limited_{name}");
        cluster.psql(&name, &format!("CREATE ROLE {limited} LOGIN CONNECTION LIMIT 3"));
        let own = open(&cluster.url_as(&limited, &name)).await;
        let headroom = preflight::headroom(&own).await.unwrap();
        assert_eq!((headroom.left, headroom.left_to_role), (2, Some(2)), "{major}");
        own.close().await;
        // Nobody counts a superuser's connections.
        cluster.psql(&name, &format!("ALTER ROLE {limited} SUPERUSER"));
        let own = open(&cluster.url_as(&limited, &name)).await;
        assert_eq!(preflight::headroom(&own).await.unwrap().left_to_role, None, "{major}");
        own.close().await;
        cluster.psql(&name, &format!("DROP ROLE {limited}"));
    }
}
