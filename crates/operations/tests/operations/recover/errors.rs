//! What is refused, and why; live data are never touched by it.

use holdpoint_core::selector::Selector;
use holdpoint_operations::ErrorKind;
use holdpoint_operations::recover::{RecoverFrom, RecoverMode, TableName};

use super::{SHOP, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_found_or_read_is_told() {
    let scene = Scene::with(18, &format!("{SHOP} CREATE SCHEMA shop; CREATE TABLE shop.other (id int);")).await;
    let before = scene.fingerprint(&[]);
    let unknown = scene.recover(&["public.ordres"], RecoverMode::Upsert).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert_eq!(unknown.hint().unwrap(), "did you mean public.orders?");
    let ambiguous = scene.recover(&["other"], RecoverMode::Side).await.unwrap_err();
    assert_eq!(ambiguous.kind(), ErrorKind::Usage);
    assert!(ambiguous.to_string().contains("public.other, shop.other"), "{ambiguous}");
    for (condition, said) in [
        ("nothing = 1", "column \"nothing\" does not exist"),
        ("id >", "syntax error"),
        ("1/(id - 5) > 0", "22012"),
        ("true) IS TRUE; DELETE FROM orders; --", "syntax error"),
    ] {
        let mut options = scene.options(&["orders"], RecoverMode::Upsert);
        options.condition = Some(condition.to_owned());
        let error = scene.run(&options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains(said), "{condition}: {error}");
    }
    let mut gone = scene.options(&["orders"], RecoverMode::Upsert);
    gone.now_named = Some("public.bestellungen".parse::<TableName>().unwrap());
    let error = scene.run(&gone).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("--as"), "{error}");
    let mut nobody = scene.options(&["orders"], RecoverMode::Upsert);
    nobody.from = RecoverFrom::Point(Selector::Id("20200101T000000Z-aaaa".parse().unwrap()));
    assert_eq!(scene.run(&nobody).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(scene.side_schemas(), "", "whatever was made is gone");
    assert_eq!(scene.fingerprint(&[]), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_is_refused_unless_it_is_named() {
    let scene = Scene::with(18, SHOP).await;
    let clone = format!("{}_clone", scene.database);
    scene.cluster.create_database_with(&clone, &format!("TEMPLATE {}", scene.database));
    scene.cluster.psql(&clone, "DELETE FROM orders");
    let mut options = scene.options(&["orders"], RecoverMode::Missing);
    options.into = crate::support::settings(scene.cluster, &clone);
    let error = scene.run(&options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("another database") && error.hint().unwrap().contains("--into"), "{error}");
    options.target = holdpoint_operations::recover::Target::Named;
    assert_eq!(scene.run(&options).await.unwrap().plan.tables[0].inserted, 1000);
    scene.cluster.drop_database(&clone);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_stays_locked_is_busy() {
    let scene = Scene::with(18, SHOP).await;
    scene.sql("DELETE FROM orders WHERE id = 1");
    let holder = holdpoint_postgres::Session::connect(
        &crate::support::settings(scene.cluster, &scene.database),
        &holdpoint_postgres::SessionPurpose::new("holder"),
    )
    .await
    .unwrap();
    holder.run("locking", "BEGIN; LOCK TABLE orders IN ROW EXCLUSIVE MODE").await.unwrap();
    let mut options = scene.options(&["orders"], RecoverMode::Missing);
    options.lock_wait_seconds = 1;
    let error = scene.run(&options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert_eq!(scene.side_schemas(), "");
    holder.run("ending", "ROLLBACK").await.unwrap();
    assert_eq!(scene.run(&options).await.unwrap().plan.tables[0].inserted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_are_named() {
    let scene = Scene::with(18, SHOP).await;
    scene.sql("DELETE FROM orders WHERE id = 1");
    let role = format!("clerk_{}", scene.database);
    scene.sql(&format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON orders TO {role}"));
    let mut options = scene.options(&["orders"], RecoverMode::Upsert);
    let url = scene.cluster.url_as(&role, &scene.database);
    options.into =
        holdpoint_postgres::ConnectionSettings::resolve(&url, &holdpoint_postgres::connection::Environment::default())
            .unwrap();
    let error = scene.run(&options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("GRANT CREATE ON DATABASE"), "{error}");
    scene.sql(&format!("GRANT CREATE ON DATABASE {} TO {role}", scene.database));
    let error = scene.run(&options).await.unwrap_err();
    assert!(error.to_string().contains("lacks INSERT, UPDATE, DELETE"), "{error}");
    scene.sql(&format!(
        "GRANT INSERT, UPDATE, DELETE ON orders TO {role}; GRANT ALL ON SEQUENCE orders_id_seq TO {role}"
    ));
    assert_eq!(scene.run(&options).await.unwrap().plan.tables[0].inserted, 1);
    scene.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
