//! Tables from dumps made elsewhere, from points stored as text, and from other databases.

use holdpoint_core::manifest::PointFormat;
use holdpoint_core::selector::Selector;
use holdpoint_operations::ErrorKind;
use holdpoint_operations::backup::{BackupOptions, backup};
use holdpoint_operations::recover::{RecoverFrom, RecoverMode, RecoverOptions};
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use tokio::io::AsyncWriteExt;

use super::{SHOP, Scene};
use crate::support;

const DAMAGE: &str = "DELETE FROM orders WHERE id BETWEEN 11 AND 20; UPDATE orders SET note = 'wrong' WHERE id <= 5";

async fn upserts(scene: &Scene, from: RecoverFrom) {
    scene.sql(DAMAGE);
    let mut options = scene.options(&["public.orders"], RecoverMode::Upsert);
    options.from = from;
    let report = scene.run(&options).await.unwrap();
    let table = &report.plan.tables[0];
    assert_eq!((table.recorded_rows, table.inserted, table.changed), (1000, 10, 5), "{table:?}");
    assert_eq!(scene.sql("SELECT count(*) FROM orders WHERE note = 'note ' || id"), "1000");
    options.mode = RecoverMode::Side;
    let report = scene.run(&options).await.unwrap();
    let schema = report.plan.side_schema.unwrap();
    let indexes = format!("SELECT count(*) FROM pg_indexes WHERE schemaname = '{schema}'");
    assert_eq!(scene.sql(&indexes), "2", "{:?}", report.plan.warnings);
    scene.sql(&format!("DROP SCHEMA {schema} CASCADE"));
}

async fn dumps_of_every_form(major: u32) {
    let scene = Scene::with(major, SHOP).await;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let sql = scene.cluster.pg_dump(&scene.database, &["--no-sync"]);
    write("d.sql", &sql);
    let mut gzip = async_compression::tokio::write::GzipEncoder::new(Vec::new());
    gzip.write_all(&sql).await.unwrap();
    gzip.shutdown().await.unwrap();
    write("d.sql.gz", &gzip.into_inner());
    write("d.dump", &scene.cluster.pg_dump(&scene.database, &["-Fc"]));
    write("d.tar", &scene.cluster.pg_dump(&scene.database, &["-Ft"]));
    let directory = path("d.dir");
    // pg_dump runs as another user.
    std::os::unix::fs::chown(folder.path(), Some(0), Some(0)).unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    scene.cluster.pg_dump(&scene.database, &["-Fd".to_owned(), format!("--file={directory}")]);
    for name in ["d.sql", "d.sql.gz", "d.dump", "d.tar", "d.dir"] {
        upserts(&scene, RecoverFrom::Dump { place: path(name), stored: None }).await;
    }
    // A dump that is cut is an error, and nothing stays.
    for (name, cut) in [("d.sql", sql.len() - 100), ("d.sql", sql.len() / 2)] {
        write(name, &sql[..cut]);
        let mut options = scene.options(&["orders"], RecoverMode::Upsert);
        options.from = RecoverFrom::Dump { place: path(name), stored: None };
        let error = scene.run(&options).await.unwrap_err();
        assert!(error.line().contains("ended within SQL text"), "{}", error.line());
        assert_eq!(scene.side_schemas(), "");
    }
    // One that was copied as a text of another system is not called cut.
    write("d.sql", &String::from_utf8(sql.clone()).unwrap().replace('\n', "\r\n").into_bytes());
    let mut options = scene.options(&["orders"], RecoverMode::Upsert);
    options.from = RecoverFrom::Dump { place: path("d.sql"), stored: None };
    let error = scene.run(&options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    assert!(error.to_string().contains("end in CR LF") && error.hint().unwrap().contains("tr -d"), "{error}");
    write("d.sql", &sql);
    // A dump that is read as a stream does not tell all that a table was.
    scene.sql("ALTER TABLE orders RENAME TO kept");
    let mut gone = scene.options(&["orders"], RecoverMode::Missing);
    gone.from = RecoverFrom::Dump { place: path("d.dump"), stored: None };
    let error = scene.run(&gone).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("there is no such table now"), "{error}");
    assert!(error.to_string().contains("--as public.kept"), "{error}");
    assert_eq!(scene.side_schemas(), "");
    gone.now_named = Some("kept".parse().unwrap());
    assert_eq!(scene.run(&gone).await.unwrap().plan.tables[0].left, 1000);
    scene.sql("ALTER TABLE kept RENAME TO orders");
    write("i.sql", &scene.cluster.pg_dump(&scene.database, &["--inserts"]));
    let mut options = scene.options(&["orders"], RecoverMode::Upsert);
    options.from = RecoverFrom::Dump { place: path("i.sql"), stored: None };
    let error = scene.run(&options).await.unwrap_err();
    assert!(error.to_string().contains("INSERT statements"), "{error}");
    options.from = RecoverFrom::Dump { place: path("none.sql"), stored: None };
    assert_eq!(scene.run(&options).await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn a_point_stored_as_text(major: u32) {
    let scene = Scene::with(major, SHOP).await;
    let options = BackupOptions { format: PointFormat::Plain, ..support::backup_options() };
    let context = holdpoint_operations::Context { seed: 9, ..scene.place.context.clone() };
    let made = backup(&context, &support::source(scene.cluster, &scene.database), &options).await.unwrap();
    upserts(&scene, RecoverFrom::Point(Selector::Id(made.manifest.id))).await;
}

async fn another_database(major: u32) {
    let scene = Scene::with(major, SHOP).await;
    let other = format!("{}_pitr", scene.database);
    scene.cluster.create_database_with(&other, &format!("TEMPLATE {}", scene.database));
    let from = || RecoverFrom::Database(Box::new(support::settings(scene.cluster, &other)));
    upserts(&scene, from()).await;
    scene.sql("DROP TABLE orders");
    let mut options = scene.options(&["orders"], RecoverMode::Missing);
    options.from = from();
    let report = scene.run(&options).await.unwrap();
    assert!(report.plan.tables[0].made_again, "{report:?}");
    assert_eq!(scene.sql("SELECT count(*) FROM orders"), "1000");
    scene.cluster.drop_database(&other);
}

/// Of another database no table is read, or locked, that was not asked for.
async fn another_database_only_in_part(major: u32) {
    let scene = Scene::with(
        major,
        &format!(
            "{SHOP} CREATE SCHEMA \"odd.one\"; CREATE TABLE \"odd.one\".\"a*|b\"\"?\" (id int); CREATE TABLE ordersx (id int);
             CREATE TABLE lines (id serial PRIMARY KEY, o bigint REFERENCES orders); INSERT INTO lines (o) SELECT generate_series(101, 150);
             CREATE VIEW whose AS SELECT name, o FROM customers, lines"
        ),
    )
    .await;
    let other = format!("{}_part", scene.database);
    scene.cluster.create_database_with(&other, &format!("TEMPLATE {}", scene.database));
    let role = format!("reader_{}", scene.database);
    scene.cluster.psql(&other, &format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON orders, ordersx TO {role}"));
    let holder =
        Session::connect(&support::settings(scene.cluster, &other), &SessionPurpose::new("holder")).await.unwrap();
    let locked = "BEGIN; LOCK TABLE customers, ordersx, lines, \"odd.one\".\"a*|b\"\"?\" IN ACCESS EXCLUSIVE MODE";
    holder.run("locking", locked).await.unwrap();
    let from = |role: &str| {
        let url = scene.cluster.url_as(role, &other);
        let settings = ConnectionSettings::resolve(&url, &Environment::default()).unwrap();
        RecoverFrom::Database(Box::new(settings))
    };
    upserts(&scene, from(&role)).await;
    let mut lines = RecoverOptions { from: from(&role), ..scene.options(&["lines"], RecoverMode::Missing) };
    let error = scene.run(&lines).await.unwrap_err();
    assert!(error.to_string().contains(&format!("role {role} cannot read public.lines")), "{error}");
    holder.run("letting go", "ROLLBACK").await.unwrap();
    // What is made again takes the foreign keys that pointed to it, as far as this role may see them.
    let content = "SELECT md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o";
    let whole = scene.sql(content);
    let pointing = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND confrelid = to_regclass('orders')";
    for (role, keys) in [(role.as_str(), "0"), (scene.cluster.superuser(), "1")] {
        scene.sql("DROP TABLE orders CASCADE");
        let options = RecoverOptions { from: from(role), ..scene.options(&["orders"], RecoverMode::Missing) };
        let report = scene.run(&options).await.unwrap();
        assert!(report.plan.tables[0].made_again, "{report:?}");
        let told = report.plan.warnings.iter().any(|one| one.contains("foreign keys of public.lines"));
        assert_eq!((told, scene.sql(pointing).as_str()), (keys == "0", keys), "{report:?}");
        assert_eq!(scene.sql(content), whole);
    }
    assert_eq!(scene.sql("INSERT INTO orders (customer) VALUES (1) RETURNING id").lines().next(), Some("1001"));
    lines.from = from(scene.cluster.superuser());
    scene.sql("DROP TABLE lines CASCADE");
    scene.run(&lines).await.unwrap();
    assert_eq!(scene.sql("INSERT INTO lines DEFAULT VALUES RETURNING id").lines().next(), Some("51"));
    holder.close().await;
    // What was made again has its grants.
    scene.sql(&format!("DROP OWNED BY {role}"));
    scene.cluster.psql(&other, &format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    scene.cluster.drop_database(&other);
}

/// As pg_dumpall writes it: each database's dump behind its `\connect`.
async fn a_text_of_several_databases(major: u32) {
    let scene = Scene::with(major, SHOP).await;
    let (other, empty) = (format!("{}_other", scene.database), format!("{}_empty", scene.database));
    scene.cluster.create_database(&other);
    scene.cluster.create_database(&empty);
    scene.cluster.psql(&other, "CREATE TABLE orders (id bigint, note text); INSERT INTO orders VALUES (5000, 'other')");
    let part = |database: &str| scene.cluster.pg_dump(database, &["--no-sync", "--create"]);
    let (own, others, nothing) = (part(&scene.database), part(&other), part(&empty));
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("all.sql").to_string_lossy().into_owned();
    let from = || RecoverFrom::Dump { place: place.clone(), stored: None };
    let template = b"SET x = 1;\n\\connect template1\n\n".to_vec();
    std::fs::write(&place, [&template[..], &nothing, &own].concat()).unwrap();
    upserts(&scene, from()).await;
    let without_connect =
        [scene.cluster.pg_dump(&scene.database, &["--no-sync"]), scene.cluster.pg_dump(&other, &["--no-sync"])];
    for text in [[&own[..], &others].concat(), [&others[..], &own].concat(), without_connect.concat()] {
        std::fs::write(&place, text).unwrap();
        for mode in [RecoverMode::Side, RecoverMode::Missing, RecoverMode::Replace] {
            let mut options = scene.options(&["orders"], mode);
            options.from = from();
            let error = scene.run(&options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
            assert!(error.to_string().contains("all.sql holds the tables of several databases"), "{error}");
            assert!(error.hint().unwrap().contains("\\connect"), "{error:?}");
            assert_eq!(scene.side_schemas(), "");
        }
    }
    scene.cluster.drop_database(&other);
    scene.cluster.drop_database(&empty);
}

on_every_major! {
    a_text_of_several_databases,
    dumps_of_every_form,
    a_point_stored_as_text,
    another_database,
    another_database_only_in_part,
}
