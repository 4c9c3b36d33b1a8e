//! Rows of one table.

use std::sync::Arc;

use holdpoint_core::PointId;
use holdpoint_core::progress::{Progress, Silent};
use holdpoint_operations::compare::{
    Against, CompareError, CompareRowsOptions, CompareTablesOptions, HowRows, RowCounts, RowKind, RowsReport,
    compare_rows, compare_tables,
};
use holdpoint_operations::{Context, Error, ErrorKind};
use holdpoint_testkit::{Cluster, ClusterOptions};
use tokio_util::sync::CancellationToken;

use super::{live, point};
use crate::support;

fn how() -> HowRows {
    HowRows {
        key: None,
        columns: None,
        renamed: Vec::new(),
        limit: 100,
        values: true,
        memory_bytes: 64 << 20,
        directory: std::env::temp_dir(),
        jobs: 2,
        lock_wait: super::LOCK_WAIT,
    }
}

pub(super) fn table(point: &PointId, against: Against, table: &str) -> CompareRowsOptions {
    CompareRowsOptions {
        point: point.clone(),
        against,
        table: table.parse().unwrap(),
        now_named: None,
        now_where: None,
        how: how(),
    }
}

async fn pair(cluster: &Cluster, database: &str, one: &str, other: &str) -> RowsReport {
    let source = support::source(cluster, database);
    let (table, with) = (one.parse().unwrap(), other.parse().unwrap());
    let options = CompareTablesOptions { source, table, with, how: how() };
    let progress: Arc<dyn Progress> = Arc::new(Silent);
    compare_tables(&progress, &CancellationToken::new(), &options).await.unwrap()
}

pub(super) fn counts(equal: u64, missing: u64, changed: u64, new: u64) -> Option<RowCounts> {
    Some(RowCounts { equal, missing, changed, new })
}

/// One line a row: how, key, columns, values then and now.
pub(super) fn lines(report: &RowsReport) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "NULL".to_owned());
    report
        .rows
        .iter()
        .map(|row| {
            let key: Vec<String> = row.key.iter().map(text).collect();
            let shown = |one: &holdpoint_operations::compare::ShownValue| {
                format!("{}: {} {}", one.column, text(&one.then), text(&one.now))
            };
            let values: Vec<String> = row.values.iter().map(shown).collect();
            format!("{:?} ({}) [{}] {}", row.change, key.join(","), row.columns.join(","), values.join("; "))
        })
        .collect()
}

pub(super) async fn refused(context: &Context, options: &CompareRowsOptions) -> CompareError {
    match compare_rows(context, options).await {
        Err(Error::Compare(error)) => error,
        other => panic!("{other:?}"),
    }
}

const SCHEMA: &str = "
    CREATE TABLE plain (id int PRIMARY KEY, t text, n numeric, at timestamptz);
    INSERT INTO plain SELECT i, 'row ' || i, i / 3.0, timestamptz '2026-01-01 00:00:00+00' + i * interval '1 h' FROM generate_series(1, 1000) i;
    CREATE SCHEMA \"odd schema\";
    CREATE TABLE \"odd schema\".\"a.b\" (\"k,1\" text, \"k\"\"2\" int, v text, gen int GENERATED ALWAYS AS (\"k\"\"2\" * 2) STORED,
        UNIQUE (\"k\"\"2\", \"k,1\"), dropped int);
    ALTER TABLE \"odd schema\".\"a.b\" ALTER \"k,1\" SET NOT NULL, ALTER \"k\"\"2\" SET NOT NULL, DROP COLUMN dropped;
    INSERT INTO \"odd schema\".\"a.b\" VALUES (E'tab\\there', 1, E'line\\nfeed'), (E'back\\\\slash', 1, NULL), ('ü', 2, '');
    CREATE TABLE no_key (id int, t text); CREATE UNIQUE INDEX ON no_key (id);
    INSERT INTO no_key VALUES (1, 'a'), (2, 'b'), (NULL, 'c'), (NULL, 'd');
    CREATE TABLE root (id int, at date, t text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
    CREATE TABLE root_1 PARTITION OF root FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
    CREATE TABLE root_2 (t text, at date NOT NULL, id int NOT NULL);
    ALTER TABLE root ATTACH PARTITION root_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
    INSERT INTO root SELECT i, date '2026-01-01' + i % 59, 'r' || i FROM generate_series(1, 500) i;
    CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TABLE by_mood (id int, m mood, PRIMARY KEY (id, m)) PARTITION BY HASH (m);
    CREATE TABLE by_mood_0 PARTITION OF by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE by_mood_1 PARTITION OF by_mood FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO by_mood SELECT i, 'sad' FROM generate_series(1, 20) i;
    CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child () INHERITS (parent);
    INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (3);
";

const CHANGES: &str = "
    DELETE FROM plain WHERE id IN (3, 900);
    UPDATE plain SET t = 'other', n = NULL WHERE id = 5;
    INSERT INTO plain VALUES (2001, NULL, 1, '2026-01-01 00:00:00+00');
    ALTER TABLE plain ADD COLUMN more int;
    UPDATE \"odd schema\".\"a.b\" SET v = 'now' WHERE \"k\"\"2\" = 1 AND v IS NULL;
    DELETE FROM \"odd schema\".\"a.b\" WHERE \"k,1\" LIKE 'tab%';
    UPDATE root SET at = date '2026-02-20' WHERE id = 7;
    UPDATE root SET t = 'changed' WHERE id = 40;
    DELETE FROM by_mood WHERE id = 4; UPDATE by_mood SET m = 'ok' WHERE id = 5;
    INSERT INTO child VALUES (4); DELETE FROM parent WHERE id = 2;
";

async fn rows_by_key(major: u32) {
    let cluster = Cluster::start(ClusterOptions::major(major));
    cluster.create_database("shop");
    cluster.psql("shop", SCHEMA);
    cluster.psql("postgres", "ALTER DATABASE shop SET timezone = 'Europe/Vienna'");
    let place = support::place("shop").await;
    let context = &place.context;
    let before = point(context, &cluster, "shop", 1).await;
    let same = compare_rows(context, &table(&before, live(&cluster, "shop"), "plain")).await.unwrap();
    assert!(same.equal && same.rows.is_empty(), "{same:#?}");
    assert_eq!(same.counts, counts(1000, 0, 0, 0));
    cluster.psql("shop", CHANGES);
    let after = point(context, &cluster, "shop", 2).await;
    for against in [live(&cluster, "shop"), Against::Point(after.clone())] {
        let found = async |name: &str| compare_rows(context, &table(&before, against.clone(), name)).await.unwrap();
        let plain = found("public.plain").await;
        assert_eq!(plain.counts, counts(997, 2, 1, 1), "{major}");
        assert_eq!((plain.rows_then, plain.rows_now, &plain.columns_added[..]), (1000, 999, &["more".to_owned()][..]));
        assert_eq!((plain.key.clone(), plain.equal, plain.rows_equal), (vec!["id".to_owned()], false, false));
        assert_eq!(
            lines(&plain),
            [
                "Missing (3) [] id: 3 NULL; t: row 3 NULL; n: 1.00000000000000000000 NULL; at: 2026-01-01 03:00:00+00 NULL",
                "Missing (900) [] id: 900 NULL; t: row 900 NULL; n: 300.0000000000000000 NULL; at: 2026-02-07 12:00:00+00 NULL",
                "Changed (5) [t,n] t: row 5 other; n: 1.6666666666666667 NULL",
                "New (2001) [] id: NULL 2001; t: NULL NULL; n: NULL 1; at: NULL 2026-01-01 00:00:00+00",
            ],
            "{major}"
        );
        // Some columns alone, and of the live rows those of a condition.
        let mut part = table(&before, against.clone(), "public.plain");
        part.how.columns = Some(vec!["at".to_owned(), "nowhere".to_owned()]);
        let same = compare_rows(context, &part).await.unwrap();
        assert_eq!(same.counts, counts(998, 2, 0, 1), "{major}");
        part.how.columns = Some(vec!["t".to_owned()]);
        assert_eq!(lines(&compare_rows(context, &part).await.unwrap())[2], "Changed (5) [t] t: row 5 other");
        part.now_where = Some("t = 'other' OR id = 6".to_owned());
        let some = compare_rows(context, &part).await.unwrap();
        let is_live = matches!(against, Against::Database { .. });
        assert_eq!(some.counts, if is_live { counts(1, 998, 1, 0) } else { counts(997, 2, 1, 1) }, "{major}");
        let odd = found("\"odd schema\".\"a.b\"").await;
        assert_eq!(odd.key, ["k\"2", "k,1"], "the unique constraint's order");
        assert_eq!(
            lines(&odd),
            [
                "Missing (1,tab\there) [] k,1: tab\there NULL; k\"2: 1 NULL; v: line\nfeed NULL",
                "Changed (1,back\\slash) [v] v: NULL now"
            ]
        );
        // The whole partitioned table: a row that moved is a row that changed, where the key stays.
        let root = found("root").await;
        assert_eq!((root.counts, root.key.join(",")), (counts(498, 1, 1, 1), "id,at".to_owned()), "{:#?}", root.rows);
        assert_eq!(lines(&root)[1], "Changed (40,2026-02-10) [t] t: r40 changed");
        let mut by_id = table(&before, against.clone(), "root");
        by_id.how.key = Some(vec!["id".to_owned()]);
        let by_id = compare_rows(context, &by_id).await.unwrap();
        assert_eq!(by_id.counts, counts(498, 0, 2, 0));
        assert_eq!(lines(&by_id)[0], "Changed (7) [at] at: 2026-01-08 2026-02-20");
        let leaf = found("root_2").await;
        assert_eq!(leaf.counts, counts(leaf.rows_then - 1, 0, 1, 1), "one partition alone: {:#?}", leaf.rows);
        let mood = found("by_mood").await;
        assert_eq!(mood.counts, counts(18, 2, 0, 1), "loaded through its root: {:#?}", mood.rows);
        let parent = found("parent").await;
        assert_eq!(parent.counts, counts(1, 1, 0, 0), "children by inheritance are tables of their own");
        // Rows of a table without a key are not told apart.
        let none = refused(context, &table(&before, against.clone(), "no_key")).await;
        assert!(matches!(none, CompareError::NoKey { .. }), "{none}");
        assert_eq!((none.kind(), none.hint().unwrap().contains("--key")), (ErrorKind::Usage, true));
        let mut twice = table(&before, against.clone(), "no_key");
        twice.how.key = Some(vec!["id".to_owned()]);
        let repeats = refused(context, &twice).await;
        assert!(matches!(repeats, CompareError::KeyRepeats { keys: 1, .. }), "{repeats}");
        twice.how.key = Some(vec!["t".to_owned()]);
        assert_eq!(compare_rows(context, &twice).await.unwrap().counts, counts(4, 0, 0, 0));
        twice.how.key = Some(vec!["x".to_owned()]);
        assert!(matches!(refused(context, &twice).await, CompareError::UnknownColumn { .. }));
    }
    let none = refused(context, &table(&before, live(&cluster, "shop"), "no_key")).await;
    assert!(none.to_string().contains("no_key_id_idx allows NULL"), "{none}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_by_key_on_18() {
    rows_by_key(18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_by_key_on_14() {
    rows_by_key(14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_found_or_refused_with_reasons() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE SCHEMA s; CREATE TABLE orders (id int PRIMARY KEY); CREATE TABLE s.orders (id int PRIMARY KEY);
         CREATE TABLE gone (id int PRIMARY KEY); CREATE TABLE other (a int PRIMARY KEY); CREATE ROLE reader LOGIN;
         CREATE TABLE hidden (id int PRIMARY KEY); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; GRANT SELECT ON hidden TO reader;",
    );
    let place = support::place("shop").await;
    let context = &place.context;
    let made = point(context, &cluster, "shop", 1).await;
    cluster.psql("shop", "DROP TABLE gone; ALTER TABLE other RENAME a TO b");
    let asked = async |name: &str| refused(context, &table(&made, live(&cluster, "shop"), name)).await;
    let unknown = asked("public.ordrs").await;
    assert_eq!(
        (unknown.kind(), unknown.hint().unwrap().as_str()),
        (ErrorKind::NotFound, "did you mean public.orders or s.orders?")
    );
    let ambiguous = asked("orders").await;
    assert!(ambiguous.to_string().contains("public.orders, s.orders"), "{ambiguous}");
    let gone = asked("gone").await;
    assert!(matches!(&gone, CompareError::NotThere { place, .. } if place.contains("postgresql://")), "{gone}");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert!(matches!(asked("other").await, CompareError::NothingInCommon { .. }));
    let mut source = support::source(&cluster, "shop");
    source.settings = holdpoint_postgres::ConnectionSettings::resolve(
        &cluster.url_as("reader", "shop"),
        &holdpoint_postgres::connection::Environment::default(),
    )
    .unwrap();
    let against = Against::Database { source: Box::new(source), own: false };
    let no_right = compare_rows(context, &table(&made, against.clone(), "public.orders")).await.unwrap_err();
    assert!(matches!(&no_right, Error::CannotRead { role, .. } if role == "reader"), "{no_right}");
    let hidden = compare_rows(context, &table(&made, against, "hidden")).await.unwrap_err();
    assert!(matches!(&hidden, Error::RowSecurity { .. }), "{hidden}");
    let plain = holdpoint_operations::backup::BackupOptions {
        format: holdpoint_core::manifest::PointFormat::Plain,
        ..support::backup_options()
    };
    let context = Context { seed: 9, ..context.clone() };
    let source = support::source(&cluster, "shop");
    let text = holdpoint_operations::backup::backup(&context, &source, &plain).await.unwrap().manifest.id;
    let stored = refused(&context, &table(&text, live(&cluster, "shop"), "s.orders")).await;
    assert!(matches!(stored, CompareError::StoredAsText { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tables_of_one_database() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE a (id int PRIMARY KEY, t text); INSERT INTO a SELECT i, 't' || i FROM generate_series(1, 100) i;
         CREATE TABLE shadow (t text, id int, extra int); INSERT INTO shadow SELECT 't' || i, i FROM generate_series(1, 100) i;
         CREATE TABLE loose AS SELECT t FROM a; CREATE TABLE looser AS SELECT t FROM a UNION ALL SELECT 't1';",
    );
    let equal = pair(&cluster, "shop", "a", "shadow").await;
    assert_eq!((equal.rows_equal, equal.equal, equal.with.as_deref()), (true, false, Some("public.shadow")));
    assert_eq!((equal.counts, &equal.columns_added[..]), (counts(100, 0, 0, 0), &["extra".to_owned()][..]));
    cluster.psql(
        "shop",
        "UPDATE shadow SET t = 'x' WHERE id = 9; DELETE FROM shadow WHERE id = 10; INSERT INTO shadow VALUES ('n', 0)",
    );
    let differ = pair(&cluster, "shop", "a", "shadow").await;
    assert_eq!(differ.counts, counts(98, 1, 1, 1));
    assert_eq!(
        lines(&differ),
        ["Missing (10) [] id: 10 NULL; t: t10 NULL", "Changed (9) [t] t: t9 x", "New (0) [] id: NULL 0; t: NULL n"]
    );
    // A type is a part of a table too, however the values are written.
    cluster.psql(
        "shop",
        "CREATE TABLE wide (id bigint PRIMARY KEY, t varchar(40)); INSERT INTO wide SELECT id, t FROM a;
         CREATE TABLE same (t text, id int PRIMARY KEY); INSERT INTO same SELECT t, id FROM a",
    );
    let types = pair(&cluster, "shop", "a", "wide").await;
    let told: Vec<String> =
        types.types_changed.iter().map(|one| format!("{} {} {}", one.column, one.then, one.now)).collect();
    assert_eq!((types.rows_equal, types.equal), (true, false));
    assert_eq!(told, ["id integer bigint", "t text character varying(40)"]);
    assert!(pair(&cluster, "shop", "a", "same").await.equal);
    // Without a key there are counts and digests, and the reason.
    let loose = pair(&cluster, "shop", "loose", "looser").await;
    assert_eq!((loose.rows_then, loose.rows_now, loose.rows_equal, loose.counts), (100, 101, false, None));
    assert!(loose.notes.iter().any(|note| note.contains("no primary key")), "{:?}", loose.notes);
    let same = pair(&cluster, "shop", "looser", "looser").await;
    assert!(same.equal && same.counts.is_none(), "rows that repeat are digested too: {same:#?}");
}

/// What others write while the table is read does not show, and a table that loses its rows is not called equal.
#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_read_at_one_instant() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);
         INSERT INTO a SELECT generate_series(1, 20000); INSERT INTO b SELECT generate_series(1, 20000);",
    );
    let write = |nth| {
        let next = 20_001 + nth;
        format!("BEGIN; INSERT INTO a VALUES ({next}); INSERT INTO b VALUES ({next}); COMMIT")
    };
    let runtime = tokio::runtime::Handle::current();
    super::beside_a_writer(&cluster, &write, &mut || {
        let report = tokio::task::block_in_place(|| runtime.block_on(pair(&cluster, "shop", "a", "b")));
        assert!(report.equal, "{report:#?}");
    });
}

/// So little that a part by itself is too large, and is divided again.
const LITTLE: usize = 200_000;

/// What does not fit into memory goes to the disk, and is gone afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn many_rows_in_little_memory() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE big (id int PRIMARY KEY, t text);
         INSERT INTO big SELECT i, md5(i::text) FROM generate_series(1, 200000) i;",
    );
    let place = support::place("shop").await;
    let context = &place.context;
    let made = point(context, &cluster, "shop", 1).await;
    cluster.psql(
        "shop",
        "DELETE FROM big WHERE id % 20000 = 17; UPDATE big SET t = 'x' WHERE id % 1000 = 0;
         INSERT INTO big SELECT i, 'new' FROM generate_series(1000001, 1000500) i;",
    );
    let directory = tempfile::tempdir().unwrap();
    let mut options = table(&made, live(&cluster, "shop"), "big");
    options.how.directory = directory.path().to_owned();
    options.how.memory_bytes = LITTLE;
    options.how.limit = 7;
    let found = compare_rows(context, &options).await.unwrap();
    assert_eq!(found.counts, counts(199_790, 10, 200, 500));
    // 40 bytes a row and side, but for what the memory holds; so many rows need a second division.
    assert!(found.spilled_bytes > 31_000_000, "{}", found.spilled_bytes);
    assert!(found.most_held_bytes <= 2 * LITTLE as u64, "{}", found.most_held_bytes);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    let kinds: Vec<RowKind> = found.rows.iter().map(|row| row.change).collect();
    assert_eq!(kinds, [[RowKind::Missing; 7], [RowKind::Changed; 7], [RowKind::New; 7]].concat());
    assert!(found.rows[..7].iter().all(|row| row.key[0].as_ref().unwrap().ends_with("17")));
    options.how.memory_bytes = 256 << 20;
    let in_memory = compare_rows(context, &options).await.unwrap();
    assert_eq!((in_memory.spilled_bytes, in_memory.counts), (0, found.counts));
    assert_eq!(in_memory.rows, found.rows, "the same rows are listed, however much memory there is");
    options.how.memory_bytes = LITTLE;
    options.how.directory = "/proc".into();
    let no_room = compare_rows(context, &options).await.unwrap_err();
    assert_eq!(no_room.kind(), ErrorKind::Internal, "{no_room}");
}
