//! What a command leaves that no dump of the schema shows, and that no transaction takes back.

use holdpoint_core::ledger::RunState::{Failed, RolledBack, Running, Succeeded};
use holdpoint_guard::ExitKind::{AppliedInPart, NotRecorded, NothingApplied};

use crate::support::Shop;

#[tokio::test]
async fn what_no_dump_shows_is_a_change_although_the_command_failed() {
    for major in [18, 14] {
        let mut shop = Shop::open(major).await;
        shop.cluster.psql(
            "shop",
            "CREATE EXTENSION hstore; CREATE SUBSCRIPTION s CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)",
        );
        for (sql, told) in [
            ("ALTER SUBSCRIPTION s SET (binary = true)", "subscription s (changed)"),
            ("ALTER SYSTEM SET work_mem = $$7MB$$", "the server's setting work_mem (new)"),
            ("SELECT pg_create_physical_replication_slot($$mig$$)", "replication slot mig (new)"),
            ("ALTER SYSTEM RESET work_mem", "the server's setting work_mem (gone)"),
            ("ALTER FUNCTION hstore(text, text) COST 7", "code of extension hstore"),
            ("SELECT pg_drop_replication_slot($$mig$$)", "replication slot mig (gone)"),
        ] {
            let report = shop.guard(&format!("$SQL -c '{sql}' -c 'SELECT 1/0'")).await.unwrap();
            assert_eq!((report.database, report.exit_kind()), ("changed", AppliedInPart), "{major}: {sql}: {report:?}");
            assert!(report.warnings.iter().any(|text| text.contains(told)), "{sql}: {:?}", report.warnings);
        }
        let report = shop.guard("$SQL -c 'SELECT 1/0'").await.unwrap();
        assert_eq!((report.state, report.exit_kind()), (RolledBack, NothingApplied), "{report:?}");
    }
}

#[tokio::test]
async fn a_sequence_that_was_set_to_its_end_is_told_although_nothing_else_was_kept() {
    let mut shop = Shop::open(18).await;
    shop.cluster.psql("shop", "CREATE SEQUENCE numbers; SELECT nextval('numbers')");
    let sql = "SELECT setval($$numbers$$, 9223372036854775807)";
    let report = shop.guard(&format!("$SQL -1 -c '{sql}' -c 'SELECT 1/0'")).await.unwrap();
    assert_eq!((report.state, report.database, report.exit_kind()), (RolledBack, "unchanged", NothingApplied));
    for told in ["sequences that are further, which nothing takes back: public.numbers", "nearly exhausted since"] {
        let found = report.warnings.iter().any(|text| text.contains(told) && text.contains("(at 9223372036854775807)"));
        assert!(found, "{told}: {:?}", report.warnings);
    }
}

#[tokio::test]
async fn a_transaction_that_was_only_prepared_is_not_a_success() {
    let mut shop = Shop::open(18).await;
    let sql = "BEGIN; CREATE TABLE later (); PREPARE TRANSACTION $$px$$";
    let report = shop.guard(&format!("$SQL -c '{sql}'")).await.unwrap();
    assert_eq!((report.state, report.exit_code, report.exit_kind()), (Failed, Some(0), AppliedInPart), "{report:?}");
    let told = "COMMIT PREPARED 'px', or ROLLBACK PREPARED 'px'";
    assert!(report.warnings.iter().any(|text| text.contains(told)), "{:?}", report.warnings);
    // It was there before the next one.
    let report = shop.guard("true").await.unwrap();
    assert_eq!(report.state, Succeeded, "{:?}", report.warnings);
    shop.cluster.psql("shop", "ROLLBACK PREPARED 'px'");
}

#[tokio::test]
async fn a_run_that_nobody_could_write_down_is_not_told_as_done() {
    let mut shop = Shop::open(18).await;
    shop.options.run.after = Some("touch $HERE/after".into());
    // A file stands where the folder was.
    let goes = "mv $HERE/repository $HERE/away; touch $HERE/repository; $SQL -c 'CREATE TABLE made ()'";
    let report = shop.guard(goes).await.unwrap();
    assert_eq!((report.state, report.exit_kind()), (Succeeded, NotRecorded), "{report:?}");
    let told = report.not_recorded.clone().unwrap_or_default();
    assert!(told.contains("the run succeeded") && told.contains(&format!("holdpoint settle {}", report.run)), "{told}");
    assert!(report.warnings.contains(&told));
    assert!(shop.file("after").exists(), "the database is as it should be: maintenance mode goes off");
    std::fs::remove_file(shop.file("repository")).unwrap();
    std::fs::rename(shop.file("away"), shop.file("repository")).unwrap();
    assert_eq!(shop.steps(&report.run).await.pop().unwrap().state, Running);

    // What happened to the database still decides where it failed.
    let goes = "mv $HERE/repository $HERE/away; touch $HERE/repository; exit 1";
    shop.cluster.psql("shop", "DROP TABLE made");
    let failed = shop.guard(goes).await.unwrap();
    assert_eq!((failed.exit_kind(), failed.not_recorded.is_some()), (NothingApplied, true), "{failed:?}");
}
