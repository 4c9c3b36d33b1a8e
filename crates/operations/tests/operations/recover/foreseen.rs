//! What a run would be refused for is told by the dry run.

use holdpoint_operations::ErrorKind;
use holdpoint_operations::recover::{ColumnPair, RecoverMode, RecoverOptions, TableChange};

use super::Scene;

/// Plans, then runs: both must come to the same.
async fn told(scene: &Scene, options: &RecoverOptions) -> TableChange {
    let plan = RecoverOptions { dry_run: true, ..options.clone() };
    let table = scene.run(&plan).await.unwrap().plan.tables.remove(0);
    let run = scene.run(options).await;
    match &run {
        Ok(report) => {
            let done = &report.plan.tables[0];
            let counts = |one: &TableChange| (one.inserted, one.changed, one.deleted);
            assert_eq!((table.refusals.as_slice(), counts(&table)), (&[][..], counts(done)), "{table:?}\n{done:?}");
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
            assert!(
                !table.refusals.is_empty() || table.notes.iter().any(|note| note.contains("only when")),
                "{table:?}"
            );
        }
    }
    table
}

async fn refused(scene: &Scene, table: &str, mode: RecoverMode, says: &str) {
    let told = told(scene, &scene.options(&[table], mode)).await;
    assert!(told.refusals.iter().any(|one| one.contains(says)), "{says}: {told:?}");
}

async fn rows_without_a_partition(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE ev (id int, k int, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
         CREATE TABLE ev_1 PARTITION OF ev FOR VALUES IN (1); CREATE TABLE ev_2 PARTITION OF ev FOR VALUES IN (2) PARTITION BY HASH (id);
         CREATE TABLE ev_2a PARTITION OF ev_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE ev_2b PARTITION OF ev_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO ev SELECT n, n % 2 + 1, 'v' || n FROM generate_series(1, 20) n",
    )
    .await;
    let whole = scene.sql("SELECT md5(string_agg(e::text, ',' ORDER BY id)) FROM ev e");
    scene.sql("DELETE FROM ev WHERE id < 5; DROP TABLE ev_1");
    for mode in [RecoverMode::Missing, RecoverMode::Upsert, RecoverMode::Replace] {
        refused(&scene, "ev", mode, "10 rows belong into no partition of public.ev").await;
    }
    scene.sql("CREATE TABLE ev_0 PARTITION OF ev FOR VALUES IN (1, 3); CREATE UNIQUE INDEX ev_0_v ON ev_0 (v)");
    let table = told(&scene, &scene.options(&["ev"], RecoverMode::Missing)).await;
    assert!(table.notes.iter().any(|note| note.ends_with("unique index ev_0_v of public.ev_0")), "{table:?}");
    assert_eq!(scene.sql("SELECT md5(string_agg(e::text, ',' ORDER BY id)) FROM ev e"), whole);
    // Rows of a partition whose bounds are others now.
    scene.sql(
        "ALTER TABLE ev DETACH PARTITION ev_0; DELETE FROM ev_0; ALTER TABLE ev_0 RENAME TO ev_1;
         ALTER TABLE ev ATTACH PARTITION ev_1 FOR VALUES IN (7)",
    );
    refused(&scene, "ev_1", RecoverMode::Missing, "10 rows do not belong into the partition public.ev_1 any more")
        .await;
}

async fn what_generated_columns_will_hold(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE owners (low text PRIMARY KEY);
         CREATE TABLE t (id int PRIMARY KEY, e1 text, comes int DEFAULT 1, low text GENERATED ALWAYS AS (lower(e1)) STORED REFERENCES owners);
         INSERT INTO owners SELECT 'n' || n FROM generate_series(1, 20) n; INSERT INTO t SELECT n, 'N' || n FROM generate_series(1, 9) n",
    )
    .await;
    scene.sql("CREATE UNIQUE INDEX t_low ON t (low); DELETE FROM t WHERE id < 4; INSERT INTO t VALUES (100, 'n1'), (101, 'N2')");
    refused(&scene, "t", RecoverMode::Missing, "unique index t_low would be violated by 2 rows").await;
    assert_eq!(told(&scene, &scene.options(&["t"], RecoverMode::Replace)).await.deleted, 2);
    scene.sql("DELETE FROM t WHERE id = 1; DELETE FROM owners WHERE low = 'n1'");
    refused(&scene, "t", RecoverMode::Missing, "foreign key t_low_fkey (1 rows refer").await;
    scene.sql("INSERT INTO owners VALUES ('n1'); ALTER TABLE t ADD CHECK (low <> 'n1')");
    refused(&scene, "t", RecoverMode::Upsert, "check t_low_check would be violated by 1 rows").await;
}

/// Values of columns that the restore point does not have: those that are there, or their defaults.
async fn what_columns_of_now_will_hold(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int); INSERT INTO t SELECT n, n, n FROM generate_series(1, 9) n",
    )
    .await;
    scene.sql("DELETE FROM t WHERE id < 3; ALTER TABLE t ADD kind int DEFAULT 5, ADD token int DEFAULT floor(random() * 0 + 3)");
    scene.sql("UPDATE t SET kind = id, token = -id WHERE id <> 5; UPDATE t SET token = -5 WHERE id = 5; CREATE UNIQUE INDEX t_kind ON t (kind)");
    refused(&scene, "t", RecoverMode::Missing, "unique index t_kind would be violated by 3 rows").await;
    scene.sql("DROP INDEX t_kind; CREATE UNIQUE INDEX t_token ON t (token)");
    let table = told(&scene, &scene.options(&["t"], RecoverMode::Missing)).await;
    assert!(
        table.notes.iter().any(|note| note.contains("only when the change is made: unique index t_token")),
        "{table:?}"
    );
    scene.sql("DROP INDEX t_token; CREATE UNIQUE INDEX t_a_b ON t (a, b); UPDATE t SET a = -a; UPDATE t SET b = 4, a = 5 WHERE id = 3");
    scene.sql("UPDATE t SET a = 3 WHERE id = 4; UPDATE t SET b = 4 WHERE id = 4");
    let mut part = scene.options(&["t"], RecoverMode::Upsert);
    part.columns = vec![ColumnPair { then: "a".into(), now: "a".into() }];
    let told = told(&scene, &part).await;
    assert!(told.refusals[0].contains("unique index t_a_b would be violated by 1 rows"), "{told:?}");
}

async fn unique_values_that_moved(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE t (id int PRIMARY KEY, place int UNIQUE, late int UNIQUE DEFERRABLE); INSERT INTO t SELECT n, n, n FROM generate_series(1, 9) n",
    )
    .await;
    let whole = scene.sql("SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM t");
    scene.sql(
        "UPDATE t SET place = place + 100; UPDATE t SET place = 3 WHERE id = 2; UPDATE t SET place = 2 WHERE id = 3",
    );
    for mode in [RecoverMode::Upsert, RecoverMode::Replace] {
        refused(&scene, "t", mode, "unique index t_place_key would be violated by 2 rows").await;
    }
    // What is checked at the end only has to be right then.
    scene.sql("UPDATE t SET place = place + 200; UPDATE t SET place = id; UPDATE t SET late = 10 - late");
    for mode in [RecoverMode::Upsert, RecoverMode::Replace] {
        assert_eq!(told(&scene, &scene.options(&["t"], mode)).await.refusals, [""; 0]);
        assert_eq!(scene.sql("SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM t"), whole);
        scene.sql("UPDATE t SET late = 10 - late");
    }
    // Where the one whose value it was is gone, or comes back with its own, nothing is in the way.
    scene.sql("UPDATE t SET late = id; DELETE FROM t WHERE id = 1; UPDATE t SET place = 1 WHERE id = 2; INSERT INTO t VALUES (50, 2)");
    refused(&scene, "t", RecoverMode::Upsert, "unique index t_place_key would be violated by 1 rows").await;
    assert_eq!(told(&scene, &scene.options(&["t"], RecoverMode::Replace)).await.inserted, 1);
    assert_eq!(scene.sql("SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM t"), whole);
    scene.sql("DELETE FROM t WHERE id = 1; UPDATE t SET place = 1 WHERE id = 2");
    assert_eq!(told(&scene, &scene.options(&["t"], RecoverMode::Upsert)).await.inserted, 1, "an UPDATE comes first");
    // Unique only since.
    scene.sql("ALTER TABLE t DROP CONSTRAINT t_late_key; DELETE FROM t WHERE id < 4; CREATE UNIQUE INDEX t_late ON t ((late % 7))");
    refused(&scene, "t", RecoverMode::Missing, "unique index t_late would be violated by 2 rows").await;
}

/// Also where no row is read: a condition that the server does not know.
async fn conditions_beside(major: u32) {
    let scene = Scene::with(major, super::SHOP).await;
    let mut options = scene.options(&["orders"], RecoverMode::Side);
    options.dry_run = true;
    options.condition = Some("nocol = 1".to_owned());
    let error = scene.run(&options).await.unwrap_err();
    assert!(error.to_string().contains("column \"nocol\" does not exist"), "{error}");
    assert_eq!(scene.side_schemas(), "");
    options.condition = Some("id < 10".to_owned());
    let plan = scene.run(&options).await.unwrap().plan;
    assert_eq!((plan.side_schema, scene.side_schemas()), (None, String::new()));
}

/// What a person says of columns is taken as it is meant, or not at all.
async fn columns_that_cannot_be_meant(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int); INSERT INTO t SELECT n, n, -n FROM generate_series(1, 9) n",
    )
    .await;
    scene.sql("UPDATE t SET a = 0, b = 0");
    let pairs = |text: &[(&str, &str)]| -> Vec<ColumnPair> {
        text.iter().map(|(then, now)| ColumnPair { then: (*then).into(), now: (*now).into() }).collect()
    };
    for (columns, says) in [
        (&[("a", "b"), ("b", "b")][..], "would both fill \"b\""),
        (&[("a", "a"), ("a", "b")], "is to fill several columns"),
        (&[("id", "id")], "is what rows are found by"),
    ] {
        let mut options = scene.options(&["t"], RecoverMode::Upsert);
        options.columns = pairs(columns);
        let told = told(&scene, &options).await;
        assert!(told.refusals[0].contains(says), "{says}: {told:?}");
    }
    let mut options = scene.options(&["t"], RecoverMode::Upsert);
    options.columns = pairs(&[("a", "b")]);
    assert_eq!(told(&scene, &options).await.changed, 9);
    assert_eq!(scene.sql("SELECT sum(a), sum(b) FROM t"), "0|45");
}

/// Columns may have any name.
async fn names_of_any_kind(major: u32) {
    let scene = Scene::with(
        major,
        "CREATE TABLE t (e1 int, s int, t int UNIQUE, v text, o text UNIQUE, comes text, PRIMARY KEY (e1, s));
         INSERT INTO t SELECT n, n, n, 'v', 'o' || n, 'c' FROM generate_series(1, 9) n",
    )
    .await;
    let whole = scene.sql("SELECT md5(string_agg(x::text, ',' ORDER BY e1)) FROM t x");
    for mode in [RecoverMode::Missing, RecoverMode::Upsert, RecoverMode::Replace] {
        scene.sql("DELETE FROM t WHERE e1 < 3");
        assert_eq!(told(&scene, &scene.options(&["t"], mode)).await.inserted, 2);
        assert_eq!(scene.sql("SELECT md5(string_agg(x::text, ',' ORDER BY e1)) FROM t x"), whole);
    }
}

on_every_major! {
    rows_without_a_partition,
    what_generated_columns_will_hold,
    what_columns_of_now_will_hold,
    unique_values_that_moved,
    conditions_beside,
    columns_that_cannot_be_meant,
    names_of_any_kind,
}
