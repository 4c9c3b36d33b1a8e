//! What a run leaves that the backup's role may not read or lock.

use super::{Bench, judged, list};

/// The script of the command, by the superuser.
const MAKES: &str = "CREATE TABLE shop.columns_only (id integer); GRANT SELECT (id) ON shop.columns_only TO backs_up_all;\n\
    CREATE TABLE shop.parts_2027 PARTITION OF shop.parts FOR VALUES FROM (2027) TO (2028);\n\
    CREATE TABLE shop.policed (id integer); GRANT SELECT ON shop.policed TO backs_up_all;\n\
    ALTER TABLE shop.policed ENABLE ROW LEVEL SECURITY;\n\
    CREATE SEQUENCE shop.numbers;\n\
    CREATE SCHEMA inner_shop; CREATE TABLE inner_shop.kept (id integer); GRANT SELECT ON inner_shop.kept TO backs_up_all;\n\
    CREATE VIEW shop.seen AS SELECT 1 AS one; CREATE MATERIALIZED VIEW shop.counted AS SELECT 1 AS one;\n\
    CREATE TABLE shop.allowed (id integer); GRANT SELECT ON shop.allowed TO backs_up_all;\n";

#[test]
fn what_a_backup_could_read_and_not_lock_is_not_as_planned_either() {
    let mut bench = Bench::new();
    bench.sql(
        "DO $$ BEGIN CREATE ROLE backs_up_all LOGIN PASSWORD 'backs_up_all'; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    );
    bench.sql(
        "CREATE TABLE shop.parts (year integer) PARTITION BY RANGE (year); \
         GRANT USAGE ON SCHEMA shop TO backs_up_all; GRANT SELECT ON ALL TABLES IN SCHEMA shop TO backs_up_all; \
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA shop TO backs_up_all",
    );
    let reader = bench.scene.cluster.tcp_url_as("backs_up_all", "backs_up_all", &bench.scene.database);
    bench.scene.place.set("HOLDPOINT_BACKUP_URL", &reader);
    bench.write("makes.sql", MAKES);
    let apply = ["sh", "-c", "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f makes.sql"];
    let report = bench.guard(&[], &apply, 11);
    let named = [
        "inner_shop.kept",
        "shop.columns_only",
        "shop.numbers",
        "shop.parts_2027",
        "shop.policed (row security hides rows)",
    ];
    assert_eq!((judged(&report).1, list(&report, "unreadable")), (false, named.to_vec()), "{report:#}");
    let told = "the backup's role may not read or lock inner_shop.kept";
    assert!(report["warnings"].to_string().contains(told), "{report:#}");

    // Two of them can be read by it, to the last row, and not locked, which pg_dump does before it reads.
    let as_reader = |sql: &str| {
        let words = format!("psql -X -At -v ON_ERROR_STOP=1 '{reader}' -c '{sql}'");
        holdpoint_tests::shell(&bench.scene.place.work(), &bench.scene.place.environment(), &words)
    };
    for (reads, locks) in [("shop.columns_only", "shop.columns_only"), ("shop.parts", "ONLY shop.parts_2027")] {
        assert_eq!(as_reader(&format!("SELECT count(*) FROM {reads}")).ended_with(0).stdout.trim(), "0");
        let refused = as_reader(&format!("BEGIN; LOCK TABLE {locks} IN ACCESS SHARE MODE")).ended_with(1).stderr;
        assert!(refused.contains("permission denied for table"), "{refused}");
    }
    // As was told: the next restore point fails, and with the rights it does not.
    bench.scene.place.holdpoint(&["backup", "--json"]).ended_with(7).failure().says(&["shop.columns_only"]);
    bench.sql(
        "GRANT USAGE ON SCHEMA inner_shop TO backs_up_all; GRANT SELECT ON shop.columns_only, shop.parts_2027 TO backs_up_all; \
         GRANT SELECT ON SEQUENCE shop.numbers TO backs_up_all; ALTER TABLE shop.policed DISABLE ROW LEVEL SECURITY",
    );
    bench.scene.place.holdpoint(&["backup"]).ended_with(0);
}
