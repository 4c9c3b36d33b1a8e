//! Partitioned tables whose source holds the rows of some partitions only, or does not know all of them.

use std::path::Path;

use holdpoint_core::PointId;
use holdpoint_core::manifest::PointFormat;
use holdpoint_core::selector::Selector;
use holdpoint_operations::backup::{BackupOptions, backup};
use holdpoint_operations::recover::{RecoverFrom, RecoverMode, RecoverOptions, prepare};
use holdpoint_operations::{Context, ErrorKind};
use holdpoint_postgres::programs::DumpSelection;

use super::Scene;
use crate::support;

const PARTS: &str =
    "CREATE SCHEMA app; CREATE TABLE app.part (id int, k text, v text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
    CREATE TABLE app.part_x PARTITION OF app.part FOR VALUES IN ('x');
    CREATE TABLE app.part_y PARTITION OF app.part FOR VALUES IN ('y') PARTITION BY HASH (id);
    CREATE TABLE app.part_y0 PARTITION OF app.part_y FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    CREATE TABLE app.part_d PARTITION OF app.part DEFAULT;
    INSERT INTO app.part SELECT i, (array['x', 'y', 'z'])[i % 3 + 1], 'v' || i FROM generate_series(1, 30) i;
    CREATE TYPE app.feeling AS ENUM ('sad', 'ok', 'good');
    CREATE TABLE app.mood (id int, m app.feeling, PRIMARY KEY (id, m)) PARTITION BY HASH (m);
    CREATE TABLE app.mood_0 PARTITION OF app.mood FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    CREATE TABLE app.mood_1 PARTITION OF app.mood FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    INSERT INTO app.mood SELECT i, (enum_range(NULL::app.feeling))[i % 3 + 1] FROM generate_series(1, 30) i";
const CONTENT: &str = "SELECT md5(string_agg(p::text, '|' ORDER BY id)) FROM app.part p";
const EVERY_MODE: [RecoverMode; 4] =
    [RecoverMode::Side, RecoverMode::Missing, RecoverMode::Upsert, RecoverMode::Replace];

/// Writes a dump of the scene's database, and names it as a source.
fn dumped(scene: &Scene, folder: &Path, arguments: &[&str]) -> RecoverFrom {
    let place = folder.join("d");
    std::fs::write(&place, scene.cluster.pg_dump(&scene.database, &[&["--no-sync"], arguments].concat())).unwrap();
    RecoverFrom::Dump { place: place.to_string_lossy().into_owned(), stored: None }
}

/// Makes a restore point of a part of the database.
async fn point(scene: &Scene, seed: u64, format: PointFormat, selection: DumpSelection) -> RecoverFrom {
    let options = BackupOptions { format, selection, ..support::backup_options() };
    let context = Context { seed, ..scene.place.context.clone() };
    let source = support::source(scene.cluster, &scene.database);
    let point: PointId = backup(&context, &source, &options).await.unwrap().manifest.id;
    RecoverFrom::Point(Selector::Id(point))
}

fn options(scene: &Scene, from: &RecoverFrom, table: &str, mode: RecoverMode) -> RecoverOptions {
    RecoverOptions { from: from.clone(), ..scene.options(&[table], mode) }
}

/// Demands an error of this kind that says this.
async fn fails(scene: &Scene, options: &RecoverOptions, kind: ErrorKind, says: &[&str]) {
    let error = scene.run(options).await.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(says.iter().all(|one| error.to_string().contains(one)), "{says:?}: {error}");
    assert_eq!(scene.side_schemas(), "");
}

async fn rows_that_were_left_out(major: u32) {
    let scene = Scene::with(major, PARTS).await;
    let folder = tempfile::tempdir().unwrap();
    let one = || vec!["app.part_x".to_owned()];
    let all = || vec!["app.part*".to_owned()];
    let without = |exclude_table_data| DumpSelection { exclude_table_data, ..DumpSelection::default() };
    let (archive, plain) = (PointFormat::Archive, PointFormat::Plain);
    let mut sources = vec![
        (point(&scene, 11, archive, without(one())).await, vec!["app.part_x,"]),
        (point(&scene, 12, archive, without(all())).await, vec!["app.part_d", "app.part_x", "app.part_y0"]),
        (point(&scene, 13, plain, without(one())).await, vec!["app.part_x,"]),
        (point(&scene, 14, plain, without(all())).await, vec!["app.part_d", "app.part_x", "app.part_y0"]),
    ];
    for (arguments, lacking) in [
        (vec!["--schema-only"], "app.part_x"),
        (vec!["-Fc", "--schema-only"], "app.part_x"),
        (vec!["-Fc", "--exclude-table-data=app.part*"], "app.part_y0"),
        (vec!["--exclude-table-data=app.part_d"], "app.part_d,"),
        (vec!["--exclude-table-data-and-children=app.part"], "app.part_d"),
        (vec!["--load-via-partition-root", "--exclude-table-data=app.part_x"], "app.part_x"),
    ] {
        if major < 16 && arguments[0].ends_with("-and-children=app.part") {
            continue;
        }
        let name = folder.path().join(format!("folder_{}", sources.len()));
        std::fs::create_dir(&name).unwrap();
        sources.push((dumped(&scene, &name, &arguments), vec![lacking]));
    }
    for (nth, (from, says)) in sources.iter().enumerate() {
        for mode in EVERY_MODE.into_iter().filter(|mode| nth % 4 == 0 || *mode == RecoverMode::Replace) {
            fails(&scene, &options(&scene, from, "app.part", mode), ErrorKind::NotFound, says).await;
        }
    }
    // A partition whose rows are there comes back by its own name.
    let content = scene.sql(CONTENT);
    for nth in [0, 2] {
        scene.sql("DELETE FROM app.part WHERE k = 'y' AND id > 5");
        let report = scene.run(&options(&scene, &sources[nth].0, "app.part_y", RecoverMode::Replace)).await.unwrap();
        assert_eq!((report.plan.tables[0].inserted > 0, scene.sql(CONTENT)), (true, content.clone()), "{report:?}");
    }
}

async fn partitions_that_the_source_does_not_know(major: u32) {
    let scene = Scene::with(major, PARTS).await;
    let folder = tempfile::tempdir().unwrap();
    let without = || DumpSelection { exclude_tables: vec!["app.part_x".to_owned()], ..DumpSelection::default() };
    let sources = [
        dumped(&scene, folder.path(), &["-T", "app.part_x"]),
        point(&scene, 11, PointFormat::Archive, without()).await,
        point(&scene, 12, PointFormat::Plain, without()).await,
    ];
    let content = scene.sql(CONTENT);
    for from in &sources {
        let replace = options(&scene, from, "app.part", RecoverMode::Replace);
        fails(&scene, &replace, ErrorKind::Refused, &["10 rows of app.part_x would be deleted"]).await;
        for mode in [RecoverMode::Missing, RecoverMode::Upsert] {
            scene.sql("DELETE FROM app.part_d");
            let report = scene.run(&options(&scene, from, "app.part", mode)).await.unwrap();
            let table = &report.plan.tables[0];
            assert_eq!((table.inserted, table.deleted), (10, 0), "{table:?}");
            assert_eq!(scene.sql(CONTENT), content);
        }
    }
    let alone = dumped(&scene, folder.path(), &["-t", "app.part"]);
    fails(&scene, &options(&scene, &alone, "app.part", RecoverMode::Replace), ErrorKind::NotFound, &["app.part"]).await;
    // One that came since, and one that has another name now.
    let made = RecoverFrom::Point(Selector::Id(scene.point.clone()));
    let replace = options(&scene, &made, "app.part", RecoverMode::Replace);
    scene.sql(
        "CREATE TABLE app.part_w PARTITION OF app.part FOR VALUES IN ('w'); ALTER TABLE app.part_x RENAME TO app_x",
    );
    scene.sql("DELETE FROM app.part WHERE id < 7; INSERT INTO app.part VALUES (100, 'z', 'new')");
    let report = scene.run(&replace).await.unwrap();
    assert_eq!((report.plan.tables[0].inserted, report.plan.tables[0].deleted), (6, 1), "{report:?}");
    assert_eq!(scene.sql(CONTENT), content);
    scene.sql("INSERT INTO app.part VALUES (101, 'w', 'new')");
    fails(&scene, &replace, ErrorKind::Refused, &["1 rows of app.part_w would be deleted", "--mode upsert"]).await;
    // Where the table was not partitioned then, nothing of it can have been left out.
    scene.sql("CREATE TABLE app.plain (id int PRIMARY KEY); INSERT INTO app.plain VALUES (1), (2)");
    let plain = dumped(&scene, folder.path(), &["-Fc"]);
    scene.sql(
        "DROP TABLE app.plain; CREATE TABLE app.plain (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE app.plain_1 PARTITION OF app.plain DEFAULT; INSERT INTO app.plain VALUES (2), (3)",
    );
    let report = scene.run(&options(&scene, &plain, "app.plain", RecoverMode::Replace)).await.unwrap();
    assert_eq!((report.plan.tables[0].inserted, report.plan.tables[0].deleted), (1, 1), "{report:?}");
}

async fn rows_that_come_through_the_root(major: u32) {
    let scene = Scene::with(major, PARTS).await;
    let folder = tempfile::tempdir().unwrap();
    let other = format!("{}_copy", scene.database);
    let moods = "SELECT md5(string_agg(m::text, '|' ORDER BY id)) FROM app.mood m";
    let before = (scene.sql(CONTENT), scene.sql(moods));
    scene.cluster.create_database_with(&other, &format!("TEMPLATE {}", scene.database));
    let mut sources = vec![RecoverFrom::Point(Selector::Id(scene.point.clone()))];
    sources.push(point(&scene, 11, PointFormat::Plain, DumpSelection::default()).await);
    sources.push(RecoverFrom::Database(Box::new(support::settings(scene.cluster, &other))));
    for (nth, arguments) in
        [vec![], vec!["--load-via-partition-root"], vec!["-Fc", "--load-via-partition-root"]].into_iter().enumerate()
    {
        let name = folder.path().join(nth.to_string());
        std::fs::create_dir(&name).unwrap();
        sources.push(dumped(&scene, &name, &arguments));
    }
    for from in &sources {
        scene.sql("DELETE FROM app.part WHERE id % 2 = 0; DELETE FROM app.mood WHERE id % 2 = 0; INSERT INTO app.part VALUES (99, 'x', '-')");
        for (table, deleted) in [("app.part", 1), ("app.mood", 0)] {
            let report = scene.run(&options(&scene, from, table, RecoverMode::Replace)).await.unwrap();
            let one = &report.plan.tables[0];
            assert_eq!((one.recorded_rows, one.inserted, one.deleted), (30, 15, deleted), "{one:?}");
        }
        assert_eq!((scene.sql(CONTENT), scene.sql(moods)), before);
    }
    scene.cluster.drop_database(&other);
}

/// A person may think for long: a table with rows of its own that is attached meanwhile keeps them.
async fn what_is_attached_in_between(major: u32) {
    let scene = Scene::with(major, PARTS).await;
    scene.sql("DELETE FROM app.part WHERE id < 7; INSERT INTO app.part VALUES (100, 'z', 'new')");
    scene.sql(
        "CREATE TABLE app.old (LIKE app.part INCLUDING ALL); INSERT INTO app.old SELECT n, 'q', 'old' FROM generate_series(1, 50) n;
         CREATE TABLE app.deep (LIKE app.part INCLUDING ALL); CREATE TABLE app.part_w PARTITION OF app.part FOR VALUES IN ('w') PARTITION BY HASH (id)",
    );
    let attached = "ALTER TABLE app.part ATTACH PARTITION app.old FOR VALUES IN ('q')";
    let deep = "ALTER TABLE app.part_w ATTACH PARTITION app.deep FOR VALUES WITH (MODULUS 1, REMAINDER 0)";
    for mode in [RecoverMode::Replace, RecoverMode::Upsert] {
        for (change, undo) in [
            (attached, "ALTER TABLE app.part DETACH PARTITION app.old"),
            (deep, "ALTER TABLE app.part_w DETACH PARTITION app.deep"),
        ] {
            let recovery = prepare(&scene.place.context, &scene.options(&["app.part"], mode)).await.unwrap();
            assert_eq!(recovery.plan().refusals(), [""; 0]);
            scene.sql(change);
            let before = scene.fingerprint_of_live();
            let error = recovery.apply(&scene.place.context).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
            assert!(
                error.to_string().contains("partitions of app.part came or went since the plan was made"),
                "{error}"
            );
            assert_eq!((scene.side_schemas().as_str(), scene.fingerprint(&[])), ("", before));
            scene.sql(undo);
        }
    }
    // Rows that came since into a partition that the restore point does not have are not deleted either.
    scene.sql(deep);
    let replace = scene.options(&["app.part"], RecoverMode::Replace);
    let recovery = prepare(&scene.place.context, &replace).await.unwrap();
    assert_eq!(recovery.plan().refusals(), [""; 0]);
    scene.sql("INSERT INTO app.part VALUES (200, 'w', 'late')");
    let before = scene.fingerprint_of_live();
    let error = recovery.apply(&scene.place.context).await.unwrap_err();
    assert!(error.to_string().contains("1 rows of app.deep would be deleted"), "{error}");
    assert_eq!((scene.side_schemas().as_str(), scene.fingerprint(&[])), ("", before));
    scene.sql("DELETE FROM app.part WHERE id = 200");
    assert_eq!(scene.run(&replace).await.unwrap().plan.tables[0].inserted, 6);
}

on_every_major! {
    what_is_attached_in_between,
    rows_that_were_left_out,
    partitions_that_the_source_does_not_know,
    rows_that_come_through_the_root,
}
