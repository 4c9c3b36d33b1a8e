//! Backup, verification and restore of the awkward schema.

use holdpoint_core::manifest::PointFormat;
use holdpoint_core::selector::Selector;
use holdpoint_core::verification::{Level, Standing, Verdict};
use holdpoint_operations::ErrorKind;
use holdpoint_operations::backup::{BackupOptions, backup};
use holdpoint_operations::restore::{RestoreOptions, restore};
use holdpoint_operations::verify::{RestoreAs, SampleOptions, VerifyOptions, verify};
use holdpoint_postgres::programs::DumpSelection;
use holdpoint_testkit::{Cluster, ClusterOptions, sample};

use crate::support;

fn restore_options(cluster: &Cluster, from: Selector, into: &str) -> RestoreOptions {
    RestoreOptions {
        from,
        into: support::settings(cluster, into),
        programs: support::programs(cluster),
        jobs: 2,
        parallel_above_bytes: 0,
        replace: None,
        no_owner: false,
        no_privileges: false,
        source: None,
        dry_run: false,
        foreign: None,
    }
}

/// Rows go through the loader from this many bytes on.
async fn round(major: u32, format: PointFormat, parallel_above_bytes: u64) {
    // An autovacuum that analyzes a table meanwhile holds a snapshot: what was loaded after it cannot be marked as visible
    // to all, by nobody's VACUUM.
    let cluster = Cluster::start(ClusterOptions::major(major).with_configuration("autovacuum = off"));
    sample::load_awkward(&cluster, "awkward");
    let scratch = Cluster::start(ClusterOptions::major(major));
    let place = support::place("awkward").await;
    let context = &place.context;
    let source = support::source(&cluster, "awkward");
    let options = BackupOptions { format, ..support::backup_options() };
    let made = backup(context, &source, &options).await.unwrap();
    let point = made.manifest.id.clone();
    for level in [Level::Stored, Level::Full] {
        let options = VerifyOptions { parallel_above_bytes, ..support::verify_options(&scratch, level) };
        let report = verify(context, &point, &options).await.unwrap();
        let found = &report.verification;
        let lines: Vec<String> = found.differences.iter().map(|one| one.line()).collect();
        assert_eq!(found.verdict, Verdict::Proved, "{major} {level}: {lines:#?} {:#?}", found.obstacles);
        if (format, level) != (PointFormat::Plain, Level::Stored) {
            assert_eq!(found.compared.rows, made.manifest.totals.rows);
        }
    }
    cluster.create_database_with("restored", "TEMPLATE template0");
    let options = RestoreOptions { parallel_above_bytes, ..restore_options(&cluster, Selector::Id(point), "restored") };
    let report = restore(context, &options).await.unwrap();
    assert_eq!(report.compared.unwrap().rows, made.manifest.totals.rows);
    // Handed over vacuumed and analyzed: nobody's first queries pay for that.
    let untouched = "SELECT string_agg(c.oid::regclass::text, ' ') FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
                     WHERE relkind IN ('r', 'm') AND relispopulated AND nspname !~ '^pg_' AND nspname <> 'information_schema' \
                       AND (reltuples < 0 OR relpages > 0 AND relallvisible = 0)";
    assert_eq!(cluster.psql("restored", untouched), "", "{major}");
    let analyzed = "SELECT count(*) > 0 FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema')";
    assert_eq!(cluster.psql("restored", analyzed), "t", "{major}");
    let again = restore(context, &options).await.unwrap_err();
    assert!(again.to_string().contains("not empty"), "{again}");
    assert_eq!(
        scratch.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdpoint%'"),
        "0",
        "the scratch databases are gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_awkward_schema_on_14() {
    round(14, PointFormat::Archive, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_awkward_schema_on_15() {
    round(15, PointFormat::Archive, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_awkward_schema_on_16() {
    round(16, PointFormat::Archive, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_awkward_schema_on_17() {
    round(17, PointFormat::Archive, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_awkward_schema_on_18() {
    round(18, PointFormat::Archive, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_awkward_schema_through_one_pg_restore() {
    round(18, PointFormat::Archive, u64::MAX).await;
    round(14, PointFormat::Archive, u64::MAX).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_awkward_schema_as_sql_text() {
    round(17, PointFormat::Plain, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_client_is_recorded_and_then_used() {
    let cluster = Cluster::start(ClusterOptions::major(15));
    cluster.create_database("old");
    cluster.psql("old", "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)");
    let place = support::place("old").await;
    let mut source = support::source(&cluster, "old");
    source.programs.configured = Some(holdpoint_testkit::postgresql_directory());
    source.client_major = Some(17);
    let made = backup(&place.context, &source, &support::backup_options()).await.unwrap().manifest;
    assert_eq!((made.major(), made.client_major), (15, 17));
    assert!(made.not_covered.iter().any(|text| text.contains("pg_restore 17")), "{:?}", made.not_covered);
    let scratch = Cluster::start(ClusterOptions::major(17));
    let mut options = support::verify_options(&scratch, Level::Full);
    options.programs = source.programs.clone();
    let found = verify(&place.context, &made.id, &options).await.unwrap().verification;
    assert_eq!(found.verdict, Verdict::Proved, "{:#?} {:#?}", found.differences, found.obstacles);
    source.client_major = Some(14);
    assert!(backup(&place.context, &source, &support::backup_options()).await.is_err(), "older than the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_what_was_asked_for_and_never_chosen_for_the_whole() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE SCHEMA s2; CREATE TABLE a (id int); CREATE TABLE c (id int); CREATE TABLE s2.b (id int);
         INSERT INTO a VALUES (1); INSERT INTO c VALUES (1), (2); INSERT INTO s2.b VALUES (1), (2), (3);",
    );
    let place = support::place("shop").await;
    let source = support::source(&cluster, "shop");
    let part = async |seed: u64, selection: DumpSelection| {
        let context = holdpoint_operations::Context { seed, ..place.context.clone() };
        let options = BackupOptions { selection, ..support::backup_options() };
        backup(&context, &source, &options).await.unwrap().manifest
    };
    let list = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let whole = part(1, DumpSelection::default()).await;
    assert_eq!(whole.totals.rows, 6);
    // Patterns without a schema match as pg_dump's manual says.
    let without = part(2, DumpSelection { exclude_tables: list(&["c"]), ..DumpSelection::default() }).await;
    assert_eq!(without.totals.rows, 4);
    let no_rows = part(3, DumpSelection { exclude_table_data: list(&["a"]), ..DumpSelection::default() }).await;
    assert_eq!(no_rows.totals.rows, 5);
    let only = part(4, DumpSelection { tables: list(&["c"]), ..DumpSelection::default() }).await;
    assert_eq!(only.totals.rows, 2);
    let elsewhere = part(5, DumpSelection { tables: list(&["s2.b"]), ..DumpSelection::default() }).await;
    assert!(elsewhere.not_covered.iter().any(|text| text.contains("--table=s2.b")), "{:?}", elsewhere.not_covered);
    let schema = part(6, DumpSelection { schemas: list(&["s2"]), ..DumpSelection::default() }).await;
    for made in [&without, &no_rows, &only, &elsewhere, &schema] {
        let options = support::verify_options(&cluster, Level::Full);
        let found = verify(&place.context, &made.id, &options).await.unwrap().verification;
        assert_eq!(
            found.verdict,
            Verdict::Proved,
            "{:?}: {:#?} {:#?}",
            made.options,
            found.differences,
            found.obstacles
        );
    }
    // All of them are younger than the whole one, and proven; none is taken for it.
    let latest = holdpoint_operations::selection::resolve(&place.context, &Selector::Latest).await.unwrap();
    assert_eq!(latest, whole.id);
    assert!(holdpoint_operations::selection::resolve(&place.context, &Selector::Proven).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_loads_what_is_named_and_a_share_and_notices_what_differs() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    sample::load_awkward(&cluster, "awkward");
    let place = support::place("sampled").await;
    let made = backup(&place.context, &support::source(&cluster, "awkward"), &support::backup_options()).await.unwrap();
    let point = made.manifest.id;
    let scratch = Cluster::start(ClusterOptions::major(18));
    let options = |tables: &[&str], percent| {
        let tables = tables.iter().map(|name| (*name).to_owned()).collect();
        let sample = SampleOptions { percent, tables, seed: Some(7) };
        VerifyOptions { sample, ..support::verify_options(&scratch, Level::Sampled) }
    };
    let found = verify(&place.context, &point, &options(&["app.wide"], 30)).await.unwrap().verification;
    assert_eq!(found.verdict, Verdict::Proved, "{:#?} {:#?}", found.differences, found.obstacles);
    assert_eq!(found.compared.rows, made.manifest.totals.rows, "all rows were digested as stored");
    let loaded = found.sample.unwrap();
    assert_eq!((loaded.seed, loaded.named.join(",").as_str()), (7, "app.wide"));
    assert!(loaded.tables > 1 && loaded.rows > 0 && loaded.rows < made.manifest.totals.rows, "{loaded:?}");
    let unknown = verify(&place.context, &point, &options(&["app.nothing"], 0)).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::Usage, "{unknown}");
    let standing = holdpoint_operations::catalogue::show(&place.context, &point).await.unwrap().standing;
    assert!(matches!(standing, Standing::Proven { level: Level::Sampled, .. }), "{standing:?}");
    let left = scratch.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdpoint%'");
    assert_eq!(left, "0", "the scratch databases are gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_fewer_rights_restores_what_it_may_and_says_what_it_may_not() {
    let cluster = Cluster::start(ClusterOptions::major(17));
    cluster.create_database("plain");
    cluster.psql(
        "plain",
        "CREATE ROLE app; CREATE SCHEMA s AUTHORIZATION app; CREATE TABLE s.t (id int PRIMARY KEY, body text);
         ALTER TABLE s.t OWNER TO app; INSERT INTO s.t SELECT n, md5(n::text) FROM generate_series(1, 1000) n;
         CREATE SEQUENCE s.q; ALTER SEQUENCE s.q OWNER TO app; SELECT lo_from_bytea(70000, 'large'); ALTER LARGE OBJECT 70000 OWNER TO app;
         ALTER TABLE s.t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON s.t USING (id > 5);",
    );
    let place = support::place("lesser").await;
    let source = support::source(&cluster, "plain");
    let scratch = Cluster::start(ClusterOptions::major(17));
    for kind in [RestoreAs::Owner, RestoreAs::Rds] {
        let context = holdpoint_operations::Context { seed: kind as u64, ..place.context.clone() };
        let point = backup(&context, &source, &support::backup_options()).await.unwrap().manifest.id;
        let options = VerifyOptions { restore_as: Some(kind), ..support::verify_options(&scratch, Level::Full) };
        let found = verify(&context, &point, &options).await.unwrap().verification;
        assert_eq!(found.verdict, Verdict::Proved, "{kind}: {:#?} {:#?}", found.obstacles, found.differences);
        assert!(found.measured_on.ends_with(&format!("with the rights of {kind}")), "{}", found.measured_on);
    }
    cluster.psql(
        "plain",
        "CREATE FUNCTION s.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; ALTER FUNCTION s.f() OWNER TO app;
         CREATE EVENT TRIGGER watched ON ddl_command_end EXECUTE FUNCTION s.f();",
    );
    let context = holdpoint_operations::Context { seed: 99, ..place.context.clone() };
    let point = backup(&context, &source, &support::backup_options()).await.unwrap().manifest.id;
    let options = VerifyOptions { restore_as: Some(RestoreAs::Rds), ..support::verify_options(&scratch, Level::Full) };
    let found = verify(&context, &point, &options).await.unwrap().verification;
    assert_eq!(found.verdict, Verdict::CouldNotRun);
    let named = found.obstacles.iter().any(|one| one.reason.contains("EVENT TRIGGER watched"));
    assert!(named, "{:#?}", found.obstacles);
    let left =
        scratch.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'holdpoint%' OR rolname = 'app'");
    assert_eq!(left, "0", "the roles are gone");
}
