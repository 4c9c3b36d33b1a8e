//! Everything of two sides.

use holdpoint_core::selector::Selector;
use holdpoint_core::verification::Level;
use holdpoint_operations::compare::{
    Against, LargeObjectDifferences, ObjectChange, TableChange, TableDifference, compare,
};
use holdpoint_operations::restore::{RestoreOptions, restore};
use holdpoint_operations::verify::verify;
use holdpoint_operations::{Error, ErrorKind};
use holdpoint_testkit::{Cluster, ClusterOptions, sample};

use super::{compared, live, options, point};
use crate::support;

const SCHEMA: &str = "
    CREATE TABLE same (id int PRIMARY KEY, t text);
    CREATE TABLE grown (id serial PRIMARY KEY, t text);
    CREATE TABLE edited (id int PRIMARY KEY, t text);
    CREATE TABLE wider (id int PRIMARY KEY, t text);
    CREATE TABLE narrower (id int PRIMARY KEY, t text, u text);
    CREATE TABLE gone (id int);
    CREATE TABLE empty ();
    CREATE TABLE root (id int, at date) PARTITION BY RANGE (at);
    CREATE TABLE root_1 PARTITION OF root FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE root_2 PARTITION OF root FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    CREATE TABLE \"Odd \"\"Schema\" (\"b,c\" int, \"d\"\"e\" text);
    CREATE VIEW v AS SELECT id FROM same WHERE id IN (1, 2);
    INSERT INTO same SELECT i, 'x' || i FROM generate_series(1, 100) i;
    INSERT INTO grown (t) SELECT 'x' || i FROM generate_series(1, 50) i;
    INSERT INTO edited SELECT i, 'x' || i FROM generate_series(1, 50) i;
    INSERT INTO wider SELECT i, 'x' || i FROM generate_series(1, 50) i;
    INSERT INTO narrower SELECT i, 'x', 'y' FROM generate_series(1, 50) i;
    INSERT INTO gone SELECT generate_series(1, 7);
    INSERT INTO root SELECT i, date '2026-01-15' + i FROM generate_series(1, 30) i;
    INSERT INTO \"Odd \"\"Schema\" VALUES (1, 'a'), (2, NULL);
    SELECT lo_from_bytea(4711, 'content'), lo_from_bytea(4712, 'other');
    SET lc_messages = 'C';
";

const CHANGES: &str = "
    INSERT INTO grown (t) SELECT 'new' FROM generate_series(1, 5);
    UPDATE edited SET t = 'other' WHERE id = 7;
    ALTER TABLE wider ADD COLUMN more int DEFAULT 5;
    ALTER TABLE narrower DROP COLUMN u;
    DROP TABLE gone;
    CREATE TABLE added (id int); INSERT INTO added VALUES (1), (2);
    UPDATE root SET at = date '2026-02-20' WHERE id = 1;
    INSERT INTO \"Odd \"\"Schema\" VALUES (3, 'c');
    CREATE OR REPLACE VIEW v AS SELECT id FROM same WHERE id IN (1, 2, 3);
    SELECT lo_put(4712, 0, 'changed'), lo_from_bytea(4713, 'new'), lo_unlink(4711);
    ALTER TABLE same OWNER TO somebody;
    COMMENT ON DATABASE shop IS 'changed';
";

async fn everything_that_changed_is_named(major: u32) {
    let cluster = Cluster::start(ClusterOptions::major(major));
    cluster.create_database("shop");
    cluster.psql("postgres", "CREATE ROLE somebody");
    cluster.psql("shop", SCHEMA);
    let place = support::place("shop").await;
    let context = &place.context;
    let before = point(context, &cluster, "shop", 1).await;
    let report = compared(context, &before, live(&cluster, "shop")).await;
    assert!(report.equal, "{report:#?}");
    assert_eq!((report.tables.then, report.tables.equal), (10, 10), "{major}");

    cluster.psql("shop", CHANGES);
    let after = point(context, &cluster, "shop", 2).await;
    let now = compared(context, &before, live(&cluster, "shop")).await;
    assert!(!now.equal);
    type Told = (String, TableChange, Option<u64>, Option<u64>, Option<bool>);
    let told = |one: &TableDifference| (one.table.clone(), one.change, one.rows_then, one.rows_now, one.rows_equal);
    let names: Vec<Told> = now.tables.differences.iter().map(told).collect();
    let one = |name: &str, change, then: Option<u64>, now: Option<u64>, equal| -> Told {
        (name.to_owned(), change, then, now, equal)
    };
    assert_eq!(
        names,
        [
            one("public.\"Odd \"\"Schema\"", TableChange::Rows, Some(2), Some(3), Some(false)),
            one("public.edited", TableChange::Rows, Some(50), Some(50), Some(false)),
            one("public.gone", TableChange::Gone, Some(7), None, None),
            one("public.grown", TableChange::Rows, Some(50), Some(55), Some(false)),
            one("public.narrower", TableChange::Columns, Some(50), Some(50), None),
            one("public.root_1", TableChange::Rows, Some(16), Some(15), Some(false)),
            one("public.root_2", TableChange::Rows, Some(14), Some(15), Some(false)),
            one("public.wider", TableChange::Columns, Some(50), Some(50), Some(true)),
            one("public.added", TableChange::Added, None, Some(2), None),
        ],
        "{major}"
    );
    let narrower = &now.tables.differences[4];
    assert_eq!((&narrower.columns_gone[..], narrower.columns_added.len()), (&["u".to_owned()][..], 0));
    let object = |name: &str| now.objects.iter().find(|one| one.object == name).unwrap_or_else(|| panic!("{now:#?}"));
    assert_eq!(object("TABLE public.same").change, ObjectChange::Owner);
    assert_eq!(object("TABLE public.same").owner_now.as_deref(), Some("somebody"));
    assert_eq!(object("TABLE public.gone").change, ObjectChange::Gone);
    assert_eq!(object("TABLE public.added").change, ObjectChange::Added);
    let view = object("VIEW public.v").definition.clone().unwrap();
    assert!(view.contains("-") && view.contains("+") && view.contains("ARRAY[1, 2, 3]"), "{view}");
    let wider = object("TABLE public.wider").definition.clone().unwrap();
    assert!(wider.contains("+    more integer DEFAULT 5\n"), "{wider}");
    assert_eq!(now.objects.iter().filter(|one| one.object.contains("LARGE OBJECT")).count(), 0);
    let sequences: Vec<String> = now.sequences.iter().map(|one| one.line()).collect();
    assert_eq!(sequences, ["public.grown_id_seq: expected 50, true, found 55, true"]);
    let large = &now.large_objects;
    assert_eq!((large.gone, large.changed, large.added), (1, 1, 1), "{large:#?}");
    assert!(now.properties.iter().any(|one| one.name == "comment of the database"), "{:#?}", now.properties);

    // What two restore points recorded says the same, without a server.
    let points = compared(context, &before, Against::Point(after.clone())).await;
    let mut recorded = now.tables.clone();
    // Rows of a table with a column more are not comparable by what was recorded.
    recorded.differences[7].rows_equal = None;
    assert_eq!(points.tables, recorded, "{major}");
    assert_eq!(points.objects, now.objects, "{major}");
    assert_eq!((points.sequences, points.large_objects), (now.sequences, now.large_objects));
    assert!(compared(context, &after, Against::Point(after.clone())).await.equal);
    assert!(compared(context, &after, live(&cluster, "shop")).await.equal);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_changed_is_named_on_18() {
    everything_that_changed_is_named(18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_changed_is_named_on_17() {
    everything_that_changed_is_named(17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_changed_is_named_on_16() {
    everything_that_changed_is_named(16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_changed_is_named_on_15() {
    everything_that_changed_is_named(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_changed_is_named_on_14() {
    everything_that_changed_is_named(14).await;
}

/// PostgreSQL writes some definitions differently after a restore; with a proof on record that is no difference.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_copy_is_equal_once_the_point_is_proven() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    sample::load_awkward(&cluster, "awkward");
    let place = support::place("awkward").await;
    let context = &place.context;
    let made = point(context, &cluster, "awkward", 1).await;
    cluster.create_database_with("copy", "TEMPLATE template0");
    let into = RestoreOptions {
        from: Selector::Id(made.clone()),
        into: support::settings(&cluster, "copy"),
        programs: support::programs(&cluster),
        jobs: 2,
        replace: None,
        no_owner: false,
        no_privileges: false,
        source: None,
        dry_run: false,
        parallel_above_bytes: 0,
        foreign: None,
    };
    restore(context, &into).await.unwrap();
    let unproven = compared(context, &made, live(&cluster, "copy")).await;
    assert_eq!(unproven.tables.differences, [], "rows are equal all the same");
    assert!(unproven.objects.iter().all(|one| one.change == ObjectChange::Definition), "{:#?}", unproven.objects);
    assert!(!unproven.objects.is_empty() && unproven.notes.iter().any(|note| note.contains("no full proof")));
    verify(context, &made, &support::verify_options(&cluster, Level::Full)).await.unwrap();
    let proven = compared(context, &made, live(&cluster, "copy")).await;
    assert!(proven.equal, "{:#?} {:#?} {:#?}", proven.objects, proven.properties, proven.sequences);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_quick_leaves_out_is_never_called_equal() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE small AS SELECT i FROM generate_series(1, 10) i;
         CREATE TABLE large AS SELECT i, repeat('x', 500) AS t FROM generate_series(1, 1000) i; ANALYZE;",
    );
    let place = support::place("shop").await;
    let made = point(&place.context, &cluster, "shop", 1).await;
    let mut quick = options(&made, live(&cluster, "shop"));
    quick.quick = Some(100_000);
    let report = compare(&place.context, &quick).await.unwrap();
    assert!(!report.equal);
    let [large] = &report.tables.differences[..] else { panic!("{:#?}", report.tables) };
    assert_eq!((large.table.as_str(), large.change, large.estimated), ("public.large", TableChange::NotCompared, true));
    assert_eq!((large.rows_then, large.rows_now), (Some(1000), Some(1000)));
    quick.quick = Some(10_000_000);
    assert!(compare(&place.context, &quick).await.unwrap().equal);
}

/// Large objects are read from the shortest on; the others are compared by length, which is told.
#[tokio::test(flavor = "multi_thread")]
async fn quick_reads_short_large_objects_and_measures_long_ones() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "SELECT lo_from_bytea(900001, 'short'), lo_from_bytea(900002, convert_to(repeat('l', 5000), 'UTF8'));
         CREATE ROLE other",
    );
    let place = support::place("shop").await;
    let made = point(&place.context, &cluster, "shop", 1).await;
    let mut quick = options(&made, live(&cluster, "shop"));
    quick.quick = Some(1000);
    let report = compare(&place.context, &quick).await.unwrap();
    assert_eq!(report.large_objects, LargeObjectDifferences::default());
    assert!(!report.equal, "one was not read");
    assert!(report.not_read[0].contains("contents of 1 large objects"), "{:?}", report.not_read);
    cluster.psql("shop", "SELECT lo_put(900001, 0, 'S'), lo_put(900002, 0, 'L')");
    let report = compare(&place.context, &quick).await.unwrap();
    assert_eq!(report.large_objects.changed, 1, "of the long one the length is the same: {:?}", report.large_objects);
    cluster.psql("shop", "SELECT lo_put(900002, 5000, 'and more')");
    assert_eq!(compare(&place.context, &quick).await.unwrap().large_objects.changed, 2);
    quick.quick = None;
    cluster.psql("shop", "ALTER LARGE OBJECT 900001 OWNER TO other");
    let report = compare(&place.context, &quick).await.unwrap();
    assert!(report.large_objects.owners_or_grants && report.large_objects.changed == 2, "{:?}", report.large_objects);
}

/// A table that pg_dump would write no rows of, although it is there, is neither gone nor equal.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_partitioned_now_is_not_called_gone() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql("shop", "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2)");
    let place = support::place("shop").await;
    let made = point(&place.context, &cluster, "shop", 1).await;
    cluster.psql(
        "shop",
        "ALTER TABLE t RENAME TO t_all; CREATE TABLE t (id int) PARTITION BY RANGE (id);
         ALTER TABLE t ATTACH PARTITION t_all FOR VALUES FROM (0) TO (100);",
    );
    let report = compared(&place.context, &made, live(&cluster, "shop")).await;
    let told: Vec<_> = report.tables.differences.iter().map(|one| (one.table.as_str(), one.change)).collect();
    assert_eq!(told, [("public.t", TableChange::NotCompared), ("public.t_all", TableChange::Added)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_live_side_is_one_instant_whatever_is_written() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE a (id int, n int); CREATE TABLE b (id int, n int);
         INSERT INTO a SELECT i, 0 FROM generate_series(1, 20000) i; INSERT INTO b SELECT i, 0 FROM generate_series(1, 20000) i;
         CREATE TABLE log (n int PRIMARY KEY); INSERT INTO log VALUES (0);",
    );
    let place = support::place("shop").await;
    let context = &place.context;
    let made = point(context, &cluster, "shop", 1).await;
    // Each transaction writes all three tables; any state in between would show another number of rows in one of them.
    let write = |_| {
        "BEGIN; INSERT INTO a VALUES (0, 1); INSERT INTO log SELECT max(n) + 1 FROM log; INSERT INTO b VALUES (0, 1); COMMIT"
            .to_owned()
    };
    let runtime = tokio::runtime::Handle::current();
    super::beside_a_writer(&cluster, &write, &mut || {
        let report = tokio::task::block_in_place(|| {
            runtime.block_on(compare(context, &options(&made, live(&cluster, "shop")))).unwrap()
        });
        let more = |name: &str| {
            let one = report.tables.differences.iter().find(|one| one.table == name);
            one.map_or(0, |one| one.rows_now.unwrap() - one.rows_then.unwrap())
        };
        assert_eq!(more("public.a"), more("public.b"), "{report:#?}");
        assert_eq!(more("public.a"), more("public.log"), "{report:#?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_identity_and_folders_are_looked_at() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE a (id int); CREATE TABLE secret (id int); CREATE ROLE reader LOGIN; GRANT SELECT ON a TO reader",
    );
    cluster.create_database_with("clone", "TEMPLATE shop");
    let place = support::place("shop").await;
    let context = &place.context;
    let made = point(context, &cluster, "shop", 1).await;
    let mut source = support::source(&cluster, "shop");
    source.settings = holdpoint_postgres::ConnectionSettings::resolve(
        &cluster.url_as("reader", "shop"),
        &holdpoint_postgres::connection::Environment::default(),
    )
    .unwrap();
    let against = Against::Database { source: Box::new(source), own: true };
    let refused = compare(context, &options(&made, against)).await.unwrap_err();
    assert!(
        matches!(&refused, Error::CannotRead { role, objects, .. } if role == "reader" && objects == &["public.secret"])
    );
    assert_eq!(refused.kind(), ErrorKind::Postgres);
    // A clone that nobody named is not what was asked about; named, it may be compared.
    let clone = || Box::new(support::source(&cluster, "clone"));
    let own = options(&made, Against::Database { source: clone(), own: true });
    let refused = compare(context, &own).await.unwrap_err();
    assert!(matches!(refused, Error::AnotherDatabase { .. }), "{refused}");
    assert_eq!(
        compared(context, &made, Against::Database { source: clone(), own: false }).await.tables.differences,
        []
    );
    // A restore point of another folder is found there.
    let other = holdpoint_operations::Context { database: "other".parse().unwrap(), ..context.clone() };
    let elsewhere = compare(&other, &options(&made, live(&cluster, "shop"))).await.unwrap_err();
    assert!(matches!(&elsewhere, Error::PointElsewhere { folder, .. } if folder == "shop"), "{elsewhere}");
    assert_eq!(
        (elsewhere.kind(), elsewhere.hint().unwrap().as_str()),
        (ErrorKind::NotFound, "name that database: --database shop")
    );
}
