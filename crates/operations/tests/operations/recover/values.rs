//! Values and constraints that came in the way since: refused with a reason, or met.

use holdpoint_operations::ErrorKind;
use holdpoint_operations::recover::RecoverMode;

use super::Scene;
use super::hard::refused;

async fn types_that_take_less(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE DOMAIN amount AS int; CREATE TYPE pair AS (a int, b int);
         CREATE TABLE t (id int PRIMARY KEY, free text); INSERT INTO t SELECT n, 'word ' || n FROM generate_series(1, 9) n;
         CREATE TABLE d (id int PRIMARY KEY, v amount); INSERT INTO d SELECT n, n FROM generate_series(1, 9) n;
         CREATE TABLE c (id int PRIMARY KEY, p pair); INSERT INTO c SELECT n, ROW(n, n)::pair FROM generate_series(1, 9) n",
    )
    .await;
    scene.sql(
        "DELETE FROM t WHERE id > 2; UPDATE t SET free = '1'; ALTER TABLE t ALTER free TYPE int USING free::int;
         DELETE FROM d WHERE v < 5; ALTER DOMAIN amount ADD CONSTRAINT enough CHECK (value >= 5);
         DELETE FROM c WHERE id > 2; ALTER TYPE pair DROP ATTRIBUTE b CASCADE",
    );
    refused(&scene, &["t"], RecoverMode::Missing, "a value cannot be converted to its column's type now").await;
    refused(&scene, &["d"], RecoverMode::Missing, "a value cannot be converted to its column's type now").await;
    refused(&scene, &["c"], RecoverMode::Missing, "a value cannot be converted to its column's type now").await;
    let mut some = scene.options(&["d"], RecoverMode::Missing);
    some.condition = Some("v::int > 5".to_owned());
    assert_eq!(scene.run(&some).await.unwrap().plan.tables[0].inserted, 0, "those are there");
    scene.sql("DELETE FROM d WHERE id = 7");
    assert_eq!(scene.run(&some).await.unwrap().plan.tables[0].inserted, 1);
    // Beside, all of them can be looked at.
    for table in ["t", "d", "c"] {
        let made = scene.recover(&[table], RecoverMode::Side).await.unwrap().plan.side_schema.unwrap();
        assert_eq!(scene.sql(&format!("SELECT count(*) FROM {made}.{table}")), "9");
        scene.sql(&format!("DROP SCHEMA {made} CASCADE"));
    }
}

/// An exclusion constraint is only met when the change is made, which is then taken back.
async fn exclusions(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE rooms (id int PRIMARY KEY, taken int4range, EXCLUDE USING gist (taken WITH &&));
         INSERT INTO rooms SELECT n, int4range(n * 10, n * 10 + 5) FROM generate_series(1, 9) n",
    )
    .await;
    scene.sql("DELETE FROM rooms WHERE id IN (1, 2); INSERT INTO rooms VALUES (100, '[12,13)')");
    let mut plan = scene.options(&["rooms"], RecoverMode::Missing);
    plan.dry_run = true;
    let notes = scene.run(&plan).await.unwrap().plan.tables[0].notes.join("\n");
    assert!(notes.contains("checked only when the change is made: rooms_taken_excl"), "{notes}");
    let before = scene.fingerprint(&[]);
    let error = scene.recover(&["rooms"], RecoverMode::Missing).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains("rooms_taken_excl"), "{error}");
    assert!(!error.line().contains("[12,13)"), "values are not told: {}", error.line());
    assert_eq!((scene.side_schemas().as_str(), scene.fingerprint(&[])), ("", before));
    plan.dry_run = false;
    plan.condition = Some("id = 2".to_owned());
    assert_eq!(scene.run(&plan).await.unwrap().plan.tables[0].inserted, 1);
    assert_eq!(scene.recover(&["rooms"], RecoverMode::Replace).await.unwrap().plan.tables[0].deleted, 1);
}

/// Keys that are equal and written differently are the same row, which comes back as it was written.
async fn keys_that_are_written_differently(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE n (k numeric PRIMARY KEY, v int); INSERT INTO n VALUES (1.0, 1), (2.50, 2), (3, 3);
         CREATE TABLE b (k bpchar PRIMARY KEY, v int); INSERT INTO b VALUES ('a', 1), ('b ', 2)",
    )
    .await;
    let content = "SELECT string_agg(k || '=' || v, ' ' ORDER BY k) FROM n";
    for mode in [RecoverMode::Upsert, RecoverMode::Replace] {
        scene.sql("UPDATE n SET k = 1.00 WHERE v = 1; DELETE FROM n WHERE v = 2");
        let report = scene.recover(&["n"], mode).await.unwrap();
        assert_eq!((report.plan.tables[0].inserted, report.plan.tables[0].changed), (1, 1), "{report:?}");
        assert_eq!(scene.sql(content), "1.0=1 2.50=2 3=3");
    }
    // Blanks at the end of a `character` count for nothing, and are there.
    for mode in [RecoverMode::Upsert, RecoverMode::Replace] {
        scene.sql("UPDATE b SET k = 'a   ' WHERE v = 1");
        let report = scene.recover(&["b"], mode).await.unwrap();
        assert_eq!((report.plan.tables[0].inserted, report.plan.tables[0].changed), (0, 1), "{report:?}");
        assert_eq!(scene.sql("SELECT string_agg(octet_length(k)::text, ' ' ORDER BY v) FROM b"), "1 2");
    }
}

/// A cast that never gives the same twice: what came back is not what was meant to, so nothing did.
async fn what_is_not_as_planned(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE r (id int PRIMARY KEY, v int); INSERT INTO r SELECT n, n FROM generate_series(1, 9) n",
    )
    .await;
    scene.sql(
        "CREATE TYPE chance AS (v float8); CREATE FUNCTION chance(int) RETURNS chance LANGUAGE sql VOLATILE AS 'SELECT ROW(random())::public.chance';
         CREATE CAST (int AS chance) WITH FUNCTION chance(int); ALTER TABLE r ALTER v TYPE chance USING chance(v); DELETE FROM r WHERE id > 7",
    );
    let before = scene.fingerprint(&[]);
    let error = scene.recover(&["r"], RecoverMode::Upsert).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Postgres, "{error}");
    assert!(
        error.to_string().contains("public.r was not as planned after the change, so it was taken back"),
        "{error}"
    );
    assert_eq!((scene.side_schemas().as_str(), scene.fingerprint(&[])), ("", before));
}

/// What the live table is now decides, not what it was.
async fn no_table_any_more(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE v (id int PRIMARY KEY); INSERT INTO v VALUES (1); CREATE TABLE f (id int PRIMARY KEY); INSERT INTO f VALUES (1)",
    )
    .await;
    scene.sql(
        "ALTER TABLE v RENAME TO v_all; CREATE VIEW v AS SELECT * FROM v_all; DROP TABLE f;
         CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER away FOREIGN DATA WRAPPER nothing; CREATE FOREIGN TABLE f (id int) SERVER away",
    );
    for table in ["v", "f"] {
        let error = scene.recover(&[table], RecoverMode::Upsert).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
        assert!(error.to_string().contains(&format!("public.{table} is no table now")), "{error}");
    }
    assert_eq!(scene.side_schemas(), "");
}

/// Rows that have exchanged their unique values: an UPDATE of both meets the other's value on the way.
async fn unique_values_that_were_exchanged(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE items (id int PRIMARY KEY, place int UNIQUE, name text);
         INSERT INTO items SELECT n, n, 'item ' || n FROM generate_series(1, 100) n",
    )
    .await;
    let content = "SELECT md5(string_agg(i::text, ',' ORDER BY id)) FROM items i";
    let whole = scene.sql(content);
    scene.sql(
        "UPDATE items SET place = -1 WHERE id = 1; UPDATE items SET place = 1 WHERE id = 2; UPDATE items SET place = 2 WHERE id = 1",
    );
    for mode in [RecoverMode::Upsert, RecoverMode::Replace] {
        refused(&scene, &["items"], mode, "items_place_key").await;
    }
    // Out of the way, they come back.
    scene.sql("UPDATE items SET place = -id WHERE id <= 2");
    assert_eq!(scene.recover(&["items"], RecoverMode::Upsert).await.unwrap().plan.tables[0].changed, 2);
    assert_eq!(scene.sql(content), whole);
}

on_every_major! {
    types_that_take_less,
    exclusions,
    keys_that_are_written_differently,
    what_is_not_as_planned,
    no_table_any_more,
    unique_values_that_were_exchanged,
}

/// Columns that are computed when they are read hold nothing that could come back.
#[tokio::test(flavor = "multi_thread")]
async fn virtual_columns_are_left_to_themselves() {
    let scene = Scene::with(
        18,
        "CREATE TABLE t (id int PRIMARY KEY, v int, twice int GENERATED ALWAYS AS (v * 2) VIRTUAL);
         INSERT INTO t (id, v) SELECT n, n FROM generate_series(1, 20) n",
    )
    .await;
    let content = "SELECT md5(string_agg(t::text || twice, ',' ORDER BY id)) FROM t";
    let before = scene.sql(content);
    for mode in [RecoverMode::Upsert, RecoverMode::Replace] {
        scene.sql("DELETE FROM t WHERE id < 5; UPDATE t SET v = 0 WHERE id > 15");
        let report = scene.recover(&["t"], mode).await.unwrap();
        assert_eq!((report.plan.tables[0].inserted, report.plan.tables[0].changed), (4, 5), "{report:?}");
        assert_eq!(scene.sql(content), before);
    }
}

/// A key over periods says which rows overlap, not which rows are the same.
#[tokio::test(flavor = "multi_thread")]
async fn keys_over_periods_find_no_rows() {
    let scene = Scene::with(
        18,
        "CREATE TABLE p (what int4range, during daterange, price int, PRIMARY KEY (what, during WITHOUT OVERLAPS));
         INSERT INTO p SELECT '[1,2)', daterange(date '2026-01-01' + n * 10, date '2026-01-06' + n * 10), n FROM generate_series(1, 9) n",
    )
    .await;
    let before = scene.sql("SELECT md5(string_agg(p::text, ',' ORDER BY during)) FROM p");
    scene.sql("DELETE FROM p WHERE price < 4; INSERT INTO p VALUES ('[1,2)', '[2026-01-12,2026-01-13)', 0)");
    for mode in [RecoverMode::Missing, RecoverMode::Upsert] {
        refused(&scene, &["p"], mode, "rows cannot be told apart").await;
    }
    let report = scene.recover(&["p"], RecoverMode::Replace).await.unwrap();
    assert_eq!((report.plan.tables[0].inserted, report.plan.tables[0].deleted), (9, 7), "{report:?}");
    assert_eq!(scene.sql("SELECT md5(string_agg(p::text, ',' ORDER BY during)) FROM p"), before);
}
