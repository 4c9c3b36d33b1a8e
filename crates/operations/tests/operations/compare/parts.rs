//! Restore points that hold a part of a database, and definitions that hold secrets.

use holdpoint_core::PointId;
use holdpoint_operations::backup::{BackupOptions, backup};
use holdpoint_operations::compare::{Against, CompareError, ObjectChange, TableChange, TableDifference, compare_rows};
use holdpoint_operations::{Context, ErrorKind};
use holdpoint_postgres::programs::DumpSelection;
use holdpoint_testkit::{Cluster, ClusterOptions};

use super::rows::{refused, table};
use super::{compared, live, point};
use crate::support;

/// What a restore point leaves out is not called gone, added, or equal.
#[tokio::test(flavor = "multi_thread")]
async fn points_that_hold_different_parts() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1), (2);
         CREATE TABLE log (id int PRIMARY KEY); INSERT INTO log VALUES (1), (2), (3); SELECT lo_from_bytea(4711, 'x');",
    );
    let place = support::place("shop").await;
    let context = &place.context;
    let whole = point(context, &cluster, "shop", 1).await;
    let selection = DumpSelection { exclude_table_data: vec!["public.log".to_owned()], ..DumpSelection::default() };
    let options = BackupOptions { selection, ..support::backup_options() };
    let part = async |seed| {
        let context = Context { seed, ..context.clone() };
        backup(&context, &support::source(&cluster, "shop"), &options).await.unwrap().manifest.id
    };
    let (one, other) = (part(2).await, part(3).await);
    let lacking = compared(context, &whole, Against::Point(one.clone())).await;
    let told = |one: &TableDifference| (one.table.clone(), one.change, one.rows_then, one.rows_now);
    let differences: Vec<_> = lacking.tables.differences.iter().map(told).collect();
    assert_eq!(differences, [("public.log".to_owned(), TableChange::NotCompared, Some(3), None)]);
    assert!(lacking.tables.differences[0].why.as_ref().unwrap().contains(one.as_str()), "{lacking:#?}");
    assert_eq!((lacking.objects.len(), lacking.large_objects.gone), (0, 0), "{lacking:#?}");
    assert!(!lacking.equal && lacking.not_read[0].contains("log"), "{lacking:#?}");
    for against in [Against::Point(whole), Against::Point(other), live(&cluster, "shop")] {
        let report = compared(context, &one, against).await;
        assert!(report.equal, "{report:#?}");
        let note = "rows that it leaves out were not compared";
        assert!(report.notes.iter().any(|one| one.contains(note)), "{:?}", report.notes);
    }
    let no_rows = refused(context, &table(&one, live(&cluster, "shop"), "log")).await;
    assert!(matches!(&no_rows, CompareError::RowsLeftOut { table, .. } if table == "public.log"), "{no_rows}");
    assert_eq!((no_rows.kind(), no_rows.hint().is_some()), (ErrorKind::NotFound, true));
}

/// Rows that were left out leave everything else to be compared.
#[tokio::test(flavor = "multi_thread")]
async fn all_but_the_rows_that_were_left_out_is_compared() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1), (2);
         CREATE TABLE log (id serial PRIMARY KEY); INSERT INTO log SELECT FROM generate_series(1, 3);
         CREATE MATERIALIZED VIEW logged AS SELECT count(*) FROM log; SELECT lo_from_bytea(4711, 'x');",
    );
    let place = support::place("shop").await;
    let context = &place.context;
    let exclude_table_data = vec!["public.log*".to_owned()];
    let selection = DumpSelection { exclude_table_data, ..DumpSelection::default() };
    let options = BackupOptions { selection, ..support::backup_options() };
    let made = backup(context, &support::source(&cluster, "shop"), &options).await.unwrap().manifest.id;
    let whole = point(context, &cluster, "shop", 2).await;
    cluster.psql("shop", "INSERT INTO log VALUES (9)");
    for against in [live(&cluster, "shop"), Against::Point(whole)] {
        let same = compared(context, &made, against).await;
        assert!(same.equal, "{same:#?}");
    }
    let differs = async |sql: &str, seed: u64| {
        cluster.psql("shop", sql);
        let later = point(context, &cluster, "shop", seed).await;
        let reports = [
            compared(context, &made, live(&cluster, "shop")).await,
            compared(context, &made, Against::Point(later)).await,
        ];
        assert!(reports.iter().all(|report| !report.equal), "{sql}: {reports:#?}");
        reports
    };
    for report in differs("SELECT lo_put(4711, 0, 'y'), lo_from_bytea(4712, 'z')", 3).await {
        assert_eq!((report.large_objects.changed, report.large_objects.added), (1, 1), "{report:#?}");
    }
    cluster.psql("shop", "SELECT lo_put(4711, 0, 'x'), lo_unlink(4712)");
    for report in differs("ALTER DATABASE shop SET work_mem = '5MB'", 4).await {
        assert_eq!(report.properties.len(), 1, "{report:#?}");
    }
    cluster.psql("shop", "ALTER DATABASE shop RESET work_mem");
    for report in differs("CREATE INDEX fresh ON log (id)", 5).await {
        let told: Vec<_> = report.objects.iter().map(|one| (one.object.as_str(), one.change)).collect();
        assert_eq!(told, [("INDEX public.fresh", ObjectChange::Added)]);
    }
    for report in differs("DROP INDEX fresh; CREATE TABLE fresh (id int); INSERT INTO fresh VALUES (1)", 6).await {
        let one = &report.tables.differences[..];
        assert_eq!(one.len(), 1, "{report:#?}");
        assert_eq!((one[0].table.as_str(), one[0].change), ("public.fresh", TableChange::Added), "{report:#?}");
        assert_eq!(one[0].rows_now, Some(1));
    }
    cluster.psql("shop", "DROP TABLE fresh");
    for report in differs("DROP TABLE log CASCADE", 7).await {
        assert!(report.objects.iter().any(|one| one.object == "TABLE public.log"), "{report:#?}");
    }
}

/// What belongs to no table is compared where it can be, and told where it cannot.
#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_no_table() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE kept (id int PRIMARY KEY); INSERT INTO kept VALUES (1), (2);
         CREATE TABLE log (id int PRIMARY KEY); SELECT lo_from_bytea(4711, 'x')",
    );
    let place = support::place("shop").await;
    let part = async |seed, selection| {
        let options = BackupOptions { selection, ..support::backup_options() };
        let context = Context { seed, ..place.context.clone() };
        backup(&context, &support::source(&cluster, "shop"), &options).await.unwrap().manifest.id
    };
    let names = || vec!["public.log".to_owned()];
    let without = part(1, DumpSelection { exclude_tables: names(), ..DumpSelection::default() }).await;
    let alone = part(2, DumpSelection { tables: vec!["public.kept".to_owned()], ..DumpSelection::default() }).await;
    let context = &place.context;
    let whole = point(context, &cluster, "shop", 3).await;
    for against in [live(&cluster, "shop"), Against::Point(whole)] {
        for part in [&without, &alone] {
            let same = compared(context, part, against.clone()).await;
            assert!(same.equal, "{same:#?}");
        }
    }
    cluster.psql("shop", "SELECT lo_put(4711, 0, 'y'); ALTER DATABASE shop SET work_mem = '5MB'; DROP TABLE log");
    let whole = point(context, &cluster, "shop", 4).await;
    for against in [live(&cluster, "shop"), Against::Point(whole.clone())] {
        let found = compared(context, &without, against.clone()).await;
        assert_eq!((found.equal, found.large_objects.changed, found.properties.len()), (false, 1, 1), "{found:#?}");
        let alone = compared(context, &alone, against).await;
        assert!(alone.equal && alone.notes.iter().any(|note| note.contains("nor were large objects")), "{alone:#?}");
    }
    let other_way = compared(context, &whole, Against::Point(alone)).await;
    assert!(other_way.not_read[0].contains("nor were large objects"), "{other_way:#?}");
}

/// A partition whose rows were left out is no partition without rows.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_partitions_that_were_left_out() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE low PARTITION OF root FOR VALUES FROM (1) TO (10); CREATE TABLE high PARTITION OF root DEFAULT;
         INSERT INTO root SELECT generate_series(1, 20)",
    );
    let place = support::place("shop").await;
    let context = &place.context;
    let part = async |seed, selection| {
        let context = Context { seed, ..context.clone() };
        let options = BackupOptions { selection, ..support::backup_options() };
        backup(&context, &support::source(&cluster, "shop"), &options).await.unwrap().manifest.id
    };
    let low = || vec!["public.low".to_owned()];
    let without_rows = part(1, DumpSelection { exclude_table_data: low(), ..DumpSelection::default() }).await;
    let without_it = part(2, DumpSelection { exclude_tables: low(), ..DumpSelection::default() }).await;
    let whole = point(context, &cluster, "shop", 3).await;
    let asked = |one: &PointId, against| table(one, against, "root");
    for (then, against) in [
        (&without_rows, live(&cluster, "shop")),
        (&without_rows, Against::Point(whole.clone())),
        (&whole, Against::Point(without_rows.clone())),
    ] {
        let error = refused(context, &asked(then, against)).await;
        assert!(matches!(&error, CompareError::RowsLeftOut { table, .. } if table == "public.low"), "{error}");
    }
    let high = compare_rows(context, &table(&without_rows, live(&cluster, "shop"), "high")).await.unwrap();
    assert!(high.equal, "{high:#?}");
    for (then, against) in [(&without_it, live(&cluster, "shop")), (&whole, Against::Point(without_it.clone()))] {
        let report = compare_rows(context, &asked(then, against)).await.unwrap();
        assert!(report.notes.iter().any(|note| note.contains("partitions that it leaves out")), "{report:#?}");
    }
}

/// That a password or a setting changed is told, neither the old nor the new value is.
#[tokio::test(flavor = "multi_thread")]
async fn no_password_and_no_setting_is_shown() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER far FOREIGN DATA WRAPPER w OPTIONS (token 'secret-1');
         CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (password 'secret-2');
         CREATE SUBSCRIPTION sub CONNECTION 'dbname=x password=secret-3' PUBLICATION p WITH (connect = false);
         CREATE VIEW shown AS SELECT 1 AS a; ALTER DATABASE shop SET app.token = 'secret-7';",
    );
    let place = support::place("shop").await;
    let made = point(&place.context, &cluster, "shop", 1).await;
    cluster.psql(
        "shop",
        "ALTER SERVER far OPTIONS (SET token 'secret-4'); ALTER USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (SET password 'secret-5');
         ALTER SUBSCRIPTION sub CONNECTION 'dbname=x password=secret-6'; CREATE OR REPLACE VIEW shown AS SELECT 2 AS a;
         ALTER DATABASE shop SET app.token = 'secret-8';",
    );
    let report = compared(&place.context, &made, live(&cluster, "shop")).await;
    assert!(!format!("{report:?}").contains("secret"), "{report:#?}");
    let shown: Vec<(bool, bool)> = ["SERVER far", "SUBSCRIPTION sub", "USER MAPPING", "VIEW public.shown"]
        .iter()
        .map(|name| report.objects.iter().find(|one| one.object.starts_with(name)).unwrap_or_else(|| panic!("{name}")))
        .map(|one| (one.change == ObjectChange::Definition, one.definition.is_some()))
        .collect();
    assert_eq!(shown, [(true, false), (true, false), (true, false), (true, true)], "{:#?}", report.objects);
    assert!(report.notes.iter().any(|note| note.contains("may hold passwords")), "{:?}", report.notes);
    let settings: Vec<String> = report.properties.iter().map(|one| one.line()).collect();
    assert_eq!(settings, ["setting app.token for all roles: expected a value, found another"]);
    // Without a change there is nothing to hide.
    let made = point(&place.context, &cluster, "shop", 2).await;
    let same = compared(&place.context, &made, live(&cluster, "shop")).await;
    assert!(same.equal && !same.notes.iter().any(|note| note.contains("passwords")), "{same:#?}");
}
