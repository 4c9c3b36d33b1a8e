//! Every mode, with the live table changed since.

use holdpoint_operations::leftovers::{LeftoverKind, LeftoversOptions, leftovers};
use holdpoint_operations::recover::{ColumnPair, RecoverMode, prepare};

use super::{SHOP, Scene};

const CONTENT: &str = "SELECT md5(string_agg(o::text, '|' ORDER BY id)) FROM orders o";
const DAMAGE: &str = "DELETE FROM orders WHERE id BETWEEN 11 AND 20; UPDATE orders SET note = 'wrong' WHERE id <= 5;
    INSERT INTO orders (customer, note) VALUES (1, 'new'), (2, 'newer')";

async fn side(major: u32) {
    let scene = Scene::with(major, SHOP).await;
    let content = scene.sql(CONTENT);
    scene.sql(DAMAGE);
    let before = scene.fingerprint(&[]);
    let report = scene.recover(&["orders"], RecoverMode::Side).await.unwrap();
    assert!(report.side_kept && !report.changed, "{report:?}");
    assert_eq!(report.plan.tables[0].recorded_rows, 1000);
    let schema = report.plan.side_schema.clone().unwrap();
    let in_side = format!("SELECT md5(string_agg(o::text, '|' ORDER BY id)) FROM {schema}.orders o");
    assert_eq!(scene.sql(&in_side), content, "rows and columns as they were");
    let indexes =
        format!("SELECT string_agg(indexname, ',' ORDER BY indexname) FROM pg_indexes WHERE schemaname = '{schema}'");
    assert_eq!(scene.sql(&indexes), "orders_note,orders_pkey");
    let again = scene.recover(&["orders"], RecoverMode::Side).await.unwrap();
    assert_eq!(again.plan.side_schema.unwrap(), format!("{schema}_2"));
    scene.sql(&format!("DROP SCHEMA {schema} CASCADE; DROP SCHEMA {schema}_2 CASCADE"));
    assert_eq!(scene.fingerprint(&[]), before, "live data are as they were");
}

async fn missing(major: u32) {
    let scene = Scene::with(major, SHOP).await;
    scene.sql(DAMAGE);
    let before = scene.fingerprint(&["orders"]);
    let report = scene.recover(&["public.orders"], RecoverMode::Missing).await.unwrap();
    let table = &report.plan.tables[0];
    assert_eq!((table.inserted, table.changed, table.deleted, table.left), (10, 0, 0, 990), "{table:?}");
    assert_eq!(table.key, ["id"]);
    assert_eq!(scene.sql("SELECT count(*), count(*) FILTER (WHERE note = 'wrong') FROM orders"), "1002|5");
    assert_eq!(scene.sql("SELECT count(*) FROM orders WHERE id BETWEEN 11 AND 20 AND doubled = total * 2"), "10");
    assert_eq!(scene.side_schemas(), "");
    assert_eq!(scene.fingerprint(&["orders"]), before, "everything else is as it was");
}

async fn upsert(major: u32) {
    let scene = Scene::with(major, SHOP).await;
    let content = scene.sql(CONTENT);
    scene.sql(DAMAGE);
    let mut plan = scene.options(&["orders"], RecoverMode::Upsert);
    plan.dry_run = true;
    let before = scene.fingerprint(&[]);
    let planned = scene.run(&plan).await.unwrap();
    assert_eq!((planned.plan.tables[0].inserted, planned.plan.tables[0].changed), (10, 5), "{planned:?}");
    assert_eq!(scene.fingerprint(&[]), before, "a plan changes nothing");
    let report = scene.recover(&["orders"], RecoverMode::Upsert).await.unwrap();
    let table = &report.plan.tables[0];
    assert_eq!((table.inserted, table.changed, table.deleted, table.left), (10, 5, 0, 985), "{table:?}");
    assert_eq!(scene.sql("SELECT count(*) FROM orders"), "1002", "new rows stay");
    assert_eq!(scene.sql("SELECT md5(string_agg(o::text, '|' ORDER BY id)) FROM orders o WHERE id <= 1000"), content);
}

async fn replace(major: u32) {
    let scene = Scene::with(major, SHOP).await;
    let content = scene.sql(CONTENT);
    scene.sql(DAMAGE);
    scene.sql("CREATE VIEW reads AS SELECT count(*) AS n FROM orders; GRANT SELECT ON orders TO PUBLIC");
    let before = scene.fingerprint(&["orders"]);
    let report = scene.recover(&["orders"], RecoverMode::Replace).await.unwrap();
    let table = &report.plan.tables[0];
    assert_eq!((table.inserted, table.changed, table.deleted, table.left), (10, 5, 2, 985), "{table:?}");
    assert_eq!(scene.sql(CONTENT), content);
    assert_eq!(scene.sql("SELECT n FROM reads"), "1000");
    assert_eq!(scene.fingerprint(&["orders"]), before, "views, grants and other tables are as they were");
    // The rows that came after are gone, their numbers are not given again.
    assert_eq!(scene.sql("INSERT INTO orders (customer) VALUES (1) RETURNING id").lines().next(), Some("1003"));
}

on_every_major! {
    side,
    missing,
    upsert,
    replace,
    a_condition_selects_rows_as_they_were,
    columns_are_refilled_by_key,
    several_tables_and_a_schema_go_together,
    what_changes_between_plan_and_change_is_met,
}

async fn a_condition_selects_rows_as_they_were(major: u32) {
    let scene = Scene::with(major, SHOP).await;
    scene.sql("UPDATE orders SET note = 'wrong', total = 0");
    let mut options = scene.options(&["orders"], RecoverMode::Upsert);
    options.condition = Some("total > 990 AND orders.note LIKE 'note%' -- as they were".to_owned());
    let report = scene.run(&options).await.unwrap();
    let table = &report.plan.tables[0];
    assert_eq!((table.recorded_rows, table.found_rows, table.changed), (1000, 10, 10), "{table:?}");
    assert_eq!(scene.sql("SELECT count(*), min(total) FROM orders WHERE note <> 'wrong'"), "10|991.00");
}

async fn columns_are_refilled_by_key(major: u32) {
    let scene = Scene::with(major, SHOP).await;
    scene.sql(
        "ALTER TABLE orders DROP COLUMN note; ALTER TABLE orders ADD COLUMN remark text; DELETE FROM orders WHERE id = 7;
         UPDATE orders SET total = 5; UPDATE orders SET remark = 'mine' WHERE id = 1",
    );
    let columns = vec![ColumnPair { then: "note".into(), now: "remark".into() }];
    let mut options = scene.options(&["orders"], RecoverMode::Missing);
    options.columns = columns;
    let report = scene.run(&options).await.unwrap();
    assert_eq!((report.plan.tables[0].inserted, report.plan.tables[0].changed), (0, 998), "{report:?}");
    assert_eq!(scene.sql("SELECT remark FROM orders WHERE id IN (1, 2) ORDER BY id"), "mine\nnote 2");
    assert_eq!(scene.sql("SELECT count(*), sum(total) FROM orders"), "999|4995.00", "other columns and rows stay");
    options.mode = RecoverMode::Upsert;
    let report = scene.run(&options).await.unwrap();
    assert_eq!(report.plan.tables[0].changed, 1);
    assert_eq!(scene.sql("SELECT remark FROM orders WHERE id = 1"), "note 1");
}

async fn several_tables_and_a_schema_go_together(major: u32) {
    let scene = Scene::with(major, SHOP).await;
    scene.sql("DELETE FROM orders; DELETE FROM customers WHERE id > 50");
    let alone = scene.recover(&["orders"], RecoverMode::Missing).await.unwrap_err();
    assert!(alone.to_string().contains("500 rows refer to rows that public.customers does not have"), "{alone}");
    let report = scene.recover(&["orders", "customers"], RecoverMode::Missing).await.unwrap();
    assert_eq!(report.plan.tables.iter().map(|table| table.inserted).collect::<Vec<_>>(), [1000, 50]);
    scene.sql("TRUNCATE orders, customers, other");
    let mut options = scene.options(&[], RecoverMode::Replace);
    options.wanted = holdpoint_operations::recover::Wanted::Schema("public".to_owned());
    let report = scene.run(&options).await.unwrap();
    assert_eq!(report.plan.tables.len(), 3);
    assert_eq!(scene.sql("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM customers)"), "1000|100");
    assert_eq!(scene.side_schemas(), "");
}

async fn what_changes_between_plan_and_change_is_met(major: u32) {
    let scene = Scene::with(major, SHOP).await;
    scene.sql(DAMAGE);
    let options = scene.options(&["orders"], RecoverMode::Upsert);
    let context = &scene.place.context;
    let recovery = prepare(context, &options).await.unwrap();
    assert_eq!((recovery.plan().tables[0].inserted, recovery.plan().tables[0].changed), (10, 5));
    scene.sql("DELETE FROM orders WHERE id = 500; UPDATE orders SET note = 'note 1' WHERE id = 1");
    let report = recovery.apply(context).await.unwrap();
    assert_eq!((report.plan.tables[0].inserted, report.plan.tables[0].changed), (11, 4), "{report:?}");
    scene.sql(DAMAGE);
    let recovery = prepare(context, &options).await.unwrap();
    scene.sql("ALTER TABLE orders ADD COLUMN late text");
    let before = scene.fingerprint_of_live();
    let error = recovery.apply(context).await.unwrap_err();
    assert!(error.to_string().contains("was altered since the plan was made"), "{error}");
    assert_eq!(scene.side_schemas(), "");
    assert_eq!(scene.fingerprint(&[]), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn side_schemas_are_leftovers_and_others_are_not() {
    let scene = Scene::with(18, SHOP).await;
    let made = scene.recover(&["orders"], RecoverMode::Side).await.unwrap().plan.side_schema.unwrap();
    scene.sql("CREATE SCHEMA holdpoint_of_mine; CREATE TABLE holdpoint_of_mine.t (id int)");
    let options = |remove, min_age_seconds| LeftoversOptions {
        remove,
        min_age_seconds,
        scratch_directory: scene.place.directory.path().join("none"),
        servers: vec![crate::support::settings(scene.cluster, &scene.database)],
        instance: None,
    };
    let found = async |remove, age| {
        let report = leftovers(&scene.place.context, &options(remove, age)).await.unwrap();
        let schemas = report.leftovers.into_iter().filter(|one| one.kind == LeftoverKind::SideSchema);
        schemas.map(|one| (one.id, one.dead, one.removed)).collect::<Vec<_>>()
    };
    let mine = ("holdpoint_of_mine".to_owned(), false, false);
    assert_eq!(found(true, 3600).await, [(made.clone(), false, false), mine.clone()], "young ones are used");
    scene.sql(&format!("CREATE VIEW reads AS SELECT count(*) FROM {made}.orders"));
    assert_eq!(found(true, 0).await, [(made.clone(), true, false), mine.clone()], "somebody reads from it");
    scene.sql("DROP VIEW reads");
    assert_eq!(found(true, 0).await, [(made, true, true), mine]);
    assert_eq!(scene.side_schemas(), "holdpoint_of_mine");
}
