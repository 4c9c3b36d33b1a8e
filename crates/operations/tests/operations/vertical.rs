//! Backup, verification and restore of the awkward schema.

use holdpoint_core::manifest::PointFormat;
use holdpoint_core::selector::Selector;
use holdpoint_core::verification::{Level, Verdict};
use holdpoint_operations::backup::{BackupOptions, backup};
use holdpoint_operations::restore::{RestoreOptions, restore};
use holdpoint_operations::verify::verify;
use holdpoint_testkit::{Cluster, ClusterOptions, sample};

use crate::support;

fn restore_options(cluster: &Cluster, from: Selector, into: &str) -> RestoreOptions {
    RestoreOptions {
        from,
        into: support::settings(cluster, into),
        programs: support::programs(cluster),
        jobs: 2,
        replace: None,
        no_owner: false,
        no_privileges: false,
        source: None,
        dry_run: false,
        foreign: None,
    }
}

async fn round(major: u32, format: PointFormat) {
    let cluster = Cluster::start(ClusterOptions::major(major));
    sample::load_awkward(&cluster, "awkward");
    let scratch = Cluster::start(ClusterOptions::major(major));
    let place = support::place("awkward").await;
    let context = &place.context;
    let source = support::source(&cluster, "awkward");
    let options = BackupOptions { format, ..support::backup_options() };
    let made = backup(context, &source, &options).await.unwrap();
    let point = made.manifest.id.clone();
    for level in [Level::Stored, Level::Full] {
        let report = verify(context, &point, &support::verify_options(&scratch, level)).await.unwrap();
        let found = &report.verification;
        let lines: Vec<String> = found.differences.iter().map(|one| one.line()).collect();
        assert_eq!(found.verdict, Verdict::Proved, "{major} {level}: {lines:#?} {:#?}", found.obstacles);
        if (format, level) != (PointFormat::Plain, Level::Stored) {
            assert_eq!(found.compared.rows, made.manifest.totals.rows);
        }
    }
    cluster.create_database_with("restored", "TEMPLATE template0");
    let options = restore_options(&cluster, Selector::Id(point), "restored");
    let report = restore(context, &options).await.unwrap();
    assert_eq!(report.compared.unwrap().rows, made.manifest.totals.rows);
    let again = restore(context, &options).await.unwrap_err();
    assert!(again.to_string().contains("not empty"), "{again}");
    assert_eq!(
        scratch.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdpoint%'"),
        "0",
        "the scratch databases are gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_awkward_schema_on_18() {
    round(18, PointFormat::Archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_awkward_schema_on_14() {
    round(14, PointFormat::Archive).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_awkward_schema_as_sql_text() {
    round(17, PointFormat::Plain).await;
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
