//! Rows that go by another name now, are in another place, or are read by another role.

use holdpoint_core::verification::{Level, Verdict};
use holdpoint_operations::backup::backup;
use holdpoint_operations::compare::{Against, CompareError, compare_rows};
use holdpoint_operations::recover::ColumnPair;
use holdpoint_operations::verify::verify;
use holdpoint_operations::{Context, ErrorKind};
use holdpoint_testkit::{Cluster, ClusterOptions};

use super::rows::{counts, lines, refused, table};
use super::{live, point};
use crate::support;

/// What was renamed since is found where a person says so.
#[tokio::test(flavor = "multi_thread")]
async fn tables_and_columns_have_other_names_now() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE orders (id int PRIMARY KEY, note text, was text); INSERT INTO orders SELECT i, 'n' || i, 'w' FROM generate_series(1, 100) i;
         CREATE TABLE items (id int PRIMARY KEY);",
    );
    let place = support::place("shop").await;
    let context = &place.context;
    let before = point(context, &cluster, "shop", 1).await;
    cluster.psql(
        "shop",
        "ALTER TABLE orders RENAME TO orders_2; ALTER TABLE orders_2 RENAME id TO \"Order\"; ALTER TABLE orders_2 RENAME was TO is_now;
         ALTER TABLE orders_2 ALTER note TYPE varchar(9); DELETE FROM orders_2 WHERE \"Order\" = 3; UPDATE orders_2 SET is_now = 'x' WHERE \"Order\" = 5",
    );
    let after = point(context, &cluster, "shop", 2).await;
    let pair = |then: &str, now: &str| ColumnPair { then: then.to_owned(), now: now.to_owned() };
    for against in [live(&cluster, "shop"), Against::Point(after)] {
        let mut asked = table(&before, against, "orders");
        let gone = refused(context, &asked).await;
        assert!(gone.hint().unwrap().contains("--as public.orders_2"), "{gone} {:?}", gone.hint());
        asked.now_named = Some("orders_2".parse().unwrap());
        let no_key = refused(context, &asked).await;
        assert!(matches!(no_key, CompareError::NoKey { .. }), "the key has another name: {no_key}");
        asked.how.renamed = vec![pair("id", "Order")];
        let found = compare_rows(context, &asked).await.unwrap();
        assert_eq!((found.counts, found.with.as_deref()), (counts(99, 1, 0, 0), Some("public.orders_2")));
        assert_eq!((found.columns_gone.join(","), found.columns_added.join(",")), ("was".into(), "is_now".into()));
        let types = &found.types_changed[..];
        assert_eq!(types.len(), 1, "{types:?}");
        assert_eq!((types[0].then.as_str(), types[0].now.as_str()), ("text", "character varying(9)"));
        asked.how.renamed.push(pair("was", "is_now"));
        let found = compare_rows(context, &asked).await.unwrap();
        assert_eq!(
            lines(&found),
            ["Missing (3) [] id: 3 NULL; note: n3 NULL; was: w NULL", "Changed (5) [was] was: w x",]
        );
        assert!(found.columns_gone.is_empty() && found.columns_added.is_empty());
        for (wrong, text) in [
            (pair("nothing", "is_now"), "nothing is not on both sides"),
            (pair("was", "nothing"), "nothing is not on both sides"),
            (pair("note", "is_now"), "note is on both sides"),
        ] {
            asked.how.renamed = vec![pair("id", "Order"), wrong];
            let refused = refused(context, &asked).await;
            assert_eq!(refused.kind(), ErrorKind::Usage);
            assert!(refused.to_string().contains(text) && refused.hint().is_some(), "{refused}");
        }
    }
}

/// Partitions that are foreign tables are elsewhere: no restore brings their rows back, and they are not read.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_elsewhere_or_none() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE root (id int, t text) PARTITION BY RANGE (id); CREATE TABLE near PARTITION OF root FOR VALUES FROM (1) TO (100);
         INSERT INTO root SELECT i, 'x' FROM generate_series(1, 50) i;
         CREATE FOREIGN DATA WRAPPER unreadable; CREATE SERVER far FOREIGN DATA WRAPPER unreadable;
         CREATE FOREIGN TABLE away PARTITION OF root FOR VALUES FROM (100) TO (200) SERVER far;
         CREATE TABLE bare (id int PRIMARY KEY, t text, twice int GENERATED ALWAYS AS (id * 2) STORED) PARTITION BY RANGE (id);",
    );
    let place = support::place("shop").await;
    let context = &place.context;
    let made = point(context, &cluster, "shop", 1).await;
    let mut asked = table(&made, live(&cluster, "shop"), "root");
    asked.how.key = Some(vec!["id".to_owned()]);
    let same = compare_rows(context, &asked).await.unwrap();
    assert_eq!((same.counts, same.equal), (counts(50, 0, 0, 0), true), "{same:#?}");
    assert!(same.notes.iter().any(|note| note.contains("foreign tables (public.away)")), "{:?}", same.notes);
    cluster.psql("shop", "UPDATE root SET t = 'y' WHERE id = 7; DELETE FROM root WHERE id = 8");
    let found = compare_rows(context, &asked).await.unwrap();
    assert_eq!(found.counts, counts(48, 1, 1, 0));
    assert_eq!(lines(&found)[1], "Changed (7) [t] t: x y", "a listed row is found again in its partition");
    // A partitioned table that had no partition then is one without rows.
    let bare = table(&made, live(&cluster, "shop"), "bare");
    assert_eq!(compare_rows(context, &bare).await.unwrap().counts, counts(0, 0, 0, 0));
    cluster.psql("shop", "CREATE TABLE bare_1 PARTITION OF bare DEFAULT; INSERT INTO bare VALUES (1, 'new')");
    let filled = compare_rows(context, &bare).await.unwrap();
    assert_eq!(
        (filled.counts, lines(&filled)),
        (counts(0, 0, 0, 1), vec!["New (1) [] id: NULL 1; t: NULL new".into()])
    );
}

/// What a role or a database sets changes no text: neither side's values nor its definitions.
#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_role_change_no_text() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql(
        "shop",
        "CREATE TABLE t (id int PRIMARY KEY, r regclass, f float8, b bytea, i interval, at timestamptz, n name);
         INSERT INTO t SELECT i, 't', i / 3.0, 'x', '1 day -2 hours', '2026-03-29 01:30+00', 'ü€' FROM generate_series(1, 10) i;
         CREATE VIEW v AS SELECT id, r::text, E'a\\\\b'::text AS s FROM t; CREATE ROLE other LOGIN BYPASSRLS IN ROLE pg_read_all_data;",
    );
    let place = support::place("shop").await;
    let made = point(&place.context, &cluster, "shop", 1).await;
    for setting in [
        "quote_all_identifiers = on",
        "search_path = public",
        "DateStyle = German",
        "IntervalStyle = iso_8601",
        "bytea_output = escape",
        "extra_float_digits = 0",
        "TimeZone = 'Asia/Tokyo'",
        "standard_conforming_strings = off",
        "client_encoding = LATIN1",
        "lock_timeout = '1ms'",
        "default_transaction_read_only = on",
    ] {
        cluster.psql("postgres", &format!("ALTER ROLE other SET {setting}"));
    }
    let mut source = support::source(&cluster, "shop");
    source.settings = holdpoint_postgres::ConnectionSettings::resolve(
        &cluster.url_as("other", "shop"),
        &holdpoint_postgres::connection::Environment::default(),
    )
    .unwrap();
    let against = Against::Database { source: Box::new(source.clone()), own: false };
    let rows = compare_rows(&place.context, &table(&made, against.clone(), "t")).await.unwrap();
    assert!(rows.equal, "{:#?}", lines(&rows));
    let whole = super::compared(&place.context, &made, against).await;
    assert_eq!((whole.tables.differences, whole.objects), (vec![], vec![]));
    // Nor does what that role itself stores differ: it is proven, and equal to the other one's.
    let context = Context { seed: 7, ..place.context.clone() };
    let own = backup(&context, &source, &support::backup_options()).await.unwrap().manifest.id;
    let proof = verify(&context, &own, &support::verify_options(&cluster, Level::Full)).await.unwrap();
    assert_eq!(proof.verification.verdict, Verdict::Proved, "{proof:#?}");
    let points = super::compared(&context, &made, Against::Point(own)).await;
    assert_eq!((points.tables.differences, points.objects), (vec![], vec![]));
}
