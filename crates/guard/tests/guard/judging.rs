//! What the database looks like after a command that failed.

use std::sync::Arc;
use std::time::Duration;

use holdpoint_core::RunId;
use holdpoint_core::ledger::RunState::{Failed, Proven, RolledBack, Running, Started};
use holdpoint_core::ledger::{PlanRecord, RunStep};
use holdpoint_core::selector::RunSelector;
use holdpoint_core::undoing::{Applied, Way};
use holdpoint_guard::ExitKind::{AppliedInPart, Done, NothingApplied, WayBackFailed};
use holdpoint_guard::runs::run;
use holdpoint_guard::{HealthOptions, OnFailure};
use tokio_util::sync::CancellationToken;

use crate::support::{Shop, shell, states, with_beside};

#[tokio::test]
async fn what_was_rolled_back_leaves_the_database_unchanged() {
    for major in [18, 14] {
        let mut shop = Shop::open(major).await;
        let sql = "DELETE FROM orders; ALTER TABLE orders ADD COLUMN total int; SELECT 1/0";
        let report = shop.guard(&format!("$SQL -1 -c '{sql}'")).await.unwrap();
        assert_eq!((report.state, report.database, report.exit_kind()), (RolledBack, "unchanged", NothingApplied));
        assert!(report.exit_code.is_some_and(|code| code != 0) && report.signal.is_none());
        assert!(!report.ways_back.is_empty());
        let steps = shop.only_steps().await;
        assert_eq!(states(&steps), [Started, Proven, Running, RolledBack]);
        assert_eq!(steps.last().unwrap().exit_code, report.exit_code);
        assert_eq!(shop.pins().await.len(), 1, "pinned without end until somebody settles it");
    }
}

#[tokio::test]
async fn what_was_applied_in_half_shows() {
    let mut shop = Shop::open(18).await;
    let report = shop.guard("$SQL -c 'CREATE TABLE half ()' -c 'SELECT 1/0'").await.unwrap();
    assert_eq!((report.state, report.database, report.exit_kind()), (Failed, "changed", AppliedInPart));
    assert!(report.warnings.iter().any(|text| text.contains("TABLE public.half (new)")), "{report:?}");
    assert!(!report.ways_back.is_empty());
}

#[tokio::test]
async fn rows_that_were_written_are_never_called_unchanged() {
    for major in [18, 14] {
        let mut shop = Shop::open(major).await;
        let changes = [
            ("UPDATE orders SET note = NULL WHERE id = 1", "public.orders"),
            ("TRUNCATE customers", "public.customers"),
            ("SELECT lo_from_bytea(0, $$x$$)", "pg_catalog.pg_largeobject"),
            ("ALTER DATABASE shop SET timezone = $$UTC$$", "pg_catalog.pg_db_role_setting"),
        ];
        for (sql, table) in changes {
            let report = shop.guard(&format!("$SQL -c '{sql}' -c 'SELECT 1/0'")).await.unwrap();
            assert_eq!((report.database, report.exit_kind()), ("unknown", AppliedInPart), "{sql}: {report:?}");
            assert!(report.warnings.iter().any(|text| text.contains(table)), "{sql}: {report:?}");
        }
    }
}

#[tokio::test]
async fn a_sequence_that_was_set_back_is_a_change_although_its_transaction_was_rolled_back() {
    for major in [18, 14] {
        let mut shop = Shop::open(major).await;
        shop.cluster.psql("shop", "CREATE SEQUENCE numbers; SELECT setval($$numbers$$, 500)");
        let back = "SELECT setval($$numbers$$, 1, false); SELECT 1/0";
        let report = shop.guard(&format!("$SQL -1 -c '{back}'")).await.unwrap();
        assert_eq!((report.state, report.database, report.exit_kind()), (Failed, "changed", AppliedInPart));
        let told = "set back, so that numbers are given out again: public.numbers";
        assert!(report.warnings.iter().any(|text| text.contains(told)), "{:?}", report.warnings);
        // Who looks again is not told otherwise, though its transactions were aborted.
        let looked = run(&shop.context, Some(&shop.place()), &RunSelector::Latest).await.unwrap().summary;
        assert_eq!(looked.verdict, Some(Applied::Unknown), "{looked:?}");
        // Further than before is what every use does.
        let report = shop.guard("$SQL -1 -c 'SELECT nextval($$numbers$$)' -c 'SELECT 1/0'").await.unwrap();
        assert_eq!((report.state, report.database, report.exit_kind()), (RolledBack, "unchanged", NothingApplied));
    }
}

#[tokio::test]
async fn work_in_another_database_does_not_hide_that_this_one_is_unchanged() {
    for major in [18, 14] {
        let mut shop = Shop::open(major).await;
        let report = shop.guard("$SQL -d postgres -c 'CREATE TABLE elsewhere ()'; exit 3").await.unwrap();
        assert_eq!((report.exit_code, report.database, report.exit_kind()), (Some(3), "unchanged", NothingApplied));
    }
}

#[tokio::test]
async fn what_others_do_with_other_databases_does_not_hide_that_this_one_is_unchanged() {
    for major in [18, 14] {
        let mut shop = Shop::open(major).await;
        shop.cluster.psql("postgres", "CREATE DATABASE there");
        let busy =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND application_name = $$elsewhere$$";
        let command = format!(
            "$SQL -d postgres -c 'CREATE DATABASE made' -c 'ALTER DATABASE there SET work_mem = $$8MB$$' \
               -c 'COMMENT ON DATABASE there IS $$x$$' -c 'DROP DATABASE there'; \
             $SQL -d made -c 'BEGIN; CREATE TABLE later (); PREPARE TRANSACTION $$there$$'; \
             PGAPPNAME=elsewhere $SQL -d made -c 'BEGIN; CREATE TABLE never (); SELECT pg_sleep(600)' > /dev/null 2>&1 & \
             until [ \"$($SQL -At -c '{busy}')\" = 1 ]; do sleep 0.05; done; exit 3"
        );
        let report = shop.guard(&command).await.unwrap();
        let told = (report.exit_code, report.database, report.exit_kind());
        assert_eq!(told, (Some(3), "unchanged", NothingApplied), "{major}: {:?}", report.warnings);
        let told = "other databases of the server changed, by the command or by others: made (new), there (gone)";
        assert!(report.warnings.iter().any(|text| text == told), "{major}: {:?}", report.warnings);
        assert_eq!(shop.cluster.psql("shop", busy), "1", "it is open to the end");
        shop.cluster.psql("made", "ROLLBACK PREPARED 'there'");
        // The same in this database is in the way.
        let report =
            shop.guard("$SQL -c 'BEGIN; CREATE TABLE later (); PREPARE TRANSACTION $$here$$'; exit 3").await.unwrap();
        assert_eq!((report.database, report.exit_kind()), ("unknown", AppliedInPart), "{major}: {:?}", report.warnings);
        shop.cluster.psql("shop", "ROLLBACK PREPARED 'here'");
        let report =
            shop.guard("$SQL -d postgres -c 'ALTER DATABASE shop SET work_mem = $$8MB$$'; exit 3").await.unwrap();
        assert_eq!((report.database, report.exit_kind()), ("unknown", AppliedInPart), "{major}: {:?}", report.warnings);
    }
}

#[tokio::test]
async fn where_counting_may_be_off_nothing_that_was_kept_is_called_unchanged() {
    let mut shop = Shop::open(18).await;
    let off = "$SQL -c 'SET track_counts = off' -c 'DELETE FROM orders WHERE id <= 10'; exit 1";
    let report = shop.guard(off).await.unwrap();
    assert_eq!((report.database, report.exit_kind()), ("unknown", AppliedInPart), "{:?}", report.warnings);
    shop.cluster.psql("shop", "ALTER DATABASE shop SET track_counts = off");
    let report = shop.guard("$SQL -c 'DELETE FROM orders WHERE id <= 20'; exit 1").await.unwrap();
    assert_eq!((report.database, report.exit_kind()), ("unknown", AppliedInPart), "{:?}", report.warnings);
    // What was rolled back needs no counting.
    let report = shop.guard("$SQL -1 -c 'DELETE FROM orders' -c 'SELECT 1/0'").await.unwrap();
    assert_eq!((report.database, report.exit_kind()), ("unchanged", NothingApplied), "{:?}", report.warnings);
}

#[tokio::test]
async fn an_invalid_index_shows_although_no_dump_has_it() {
    let mut shop = Shop::open(18).await;
    let report = shop.guard("$SQL -c 'CREATE UNIQUE INDEX CONCURRENTLY twice ON customers (id)'").await.unwrap();
    assert_eq!((report.database, report.exit_kind()), ("changed", AppliedInPart), "{report:?}");
    assert!(report.warnings.iter().any(|text| text.contains("public.twice")), "{report:?}");
}

#[tokio::test]
async fn a_command_that_was_killed_is_told_by_its_signal() {
    let mut shop = Shop::open(18).await;
    let report = shop.guard("kill -9 $$").await.unwrap();
    assert_eq!((report.state, report.exit_code, report.signal), (RolledBack, None, Some(9)));
    assert_eq!((report.database, report.exit_kind()), ("unchanged", NothingApplied));
    let steps = shop.only_steps().await;
    assert_eq!(steps.last().unwrap().signal, Some(9));
}

#[tokio::test]
async fn a_server_that_stops_leaves_the_state_unknown() {
    let mut shop = Shop::open(18).await;
    let pid = shop.cluster.pid().unwrap();
    let report = shop.guard(&format!("kill -QUIT {pid}; sleep 1; exit 1")).await.unwrap();
    assert_eq!((report.state, report.database, report.exit_kind()), (Failed, "unknown", AppliedInPart));
    assert!(report.warnings.iter().any(|text| text.contains("could not be read")), "{report:?}");
    assert_eq!(states(&shop.only_steps().await), [Started, Proven, Running, Failed]);
}

#[tokio::test]
async fn the_next_run_says_that_nobody_settled_the_last() {
    let mut shop = Shop::open(18).await;
    let failed = shop.guard("$SQL -c 'CREATE TABLE left_over ()'; exit 1").await.unwrap();
    let next = shop.guard("true").await.unwrap();
    assert_eq!(next.exit_kind(), Done);
    let told = format!("run {} is failed and nobody has settled it", failed.run);
    assert!(next.warnings.contains(&told), "{next:?}");
}

#[tokio::test]
async fn a_session_that_goes_on_without_its_client_keeps_the_state_unknown_or_is_ended() {
    let mut shop = Shop::open(18).await;
    // What succeeded may have started a program that stays.
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = $$PgSleep$$";
    let begun =
        format!("$SQL -c 'SELECT pg_sleep(120)' & until [ \"$($SQL -At -c '{asleep}')\" = 1 ]; do sleep 0.05; done");
    let report = shop.guard(&format!("{begun}; exit 0")).await.unwrap();
    assert_eq!((report.database, report.exit_kind()), ("unknown", Done), "{report:?}");
    assert!(report.warnings.iter().any(|text| text.contains("may still be working")), "{report:?}");
    shop.cluster.psql(
        "shop",
        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(120)'",
    );
    // Of what failed nobody waits for more.
    let report = shop.guard(&format!("{begun}; exit 1")).await.unwrap();
    assert_eq!((report.database, report.exit_kind()), ("unchanged", NothingApplied), "{report:?}");
    assert!(report.warnings.iter().any(|text| text.starts_with("cancelled the command's session")), "{report:?}");
}

#[tokio::test]
async fn what_nobody_could_look_at_is_not_undone_by_itself() {
    let mut shop = Shop::open(18).await;
    shop.options.on_failure = Some(shop.on_failure());
    shop.options.run.health = HealthOptions { command: Some("false".into()), retries: 0, ..HealthOptions::default() };
    // From then on nobody may connect, as where no connection is free.
    let closes = "$SQL -c 'CREATE TABLE made ()'; $SQL -d postgres -c 'ALTER DATABASE shop ALLOW_CONNECTIONS false'";
    let report = shop.guard(closes).await.unwrap();
    assert_eq!((report.exit_code, report.database, report.state), (Some(0), "unknown", Failed), "{report:?}");
    assert!(report.undo.is_none() && report.undo_failure.is_none(), "{report:?}");
    assert_eq!(report.exit_kind(), AppliedInPart);
    let told = |text: &str| report.warnings.iter().any(|warning| warning.contains(text));
    assert!(told("it was not undone by itself") && told("the schema was not read"), "{:?}", report.warnings);
    assert!(!report.ways_back.is_empty(), "a person may");
}

#[tokio::test]
async fn of_a_killed_run_unchanged_is_said_only_where_no_transaction_was_kept() {
    for major in [18, 14] {
        let mut shop = Shop::open(major).await;
        let ran = shop.guard("true").await.unwrap();
        // What a guard that was killed right after its command was started leaves; nothing was pending.
        let step = shop.steps(&ran.run).await.into_iter().find(|step| step.state == Running).unwrap();
        let killed = RunId::new(chrono::Utc::now(), 4711);
        let plan = Some(PlanRecord::default());
        let step = RunStep { run: killed.clone(), n: 1, process: None, command_process: None, plan, ..step };
        shop.context.repository.record_step(&shop.context.database, &step).await.unwrap();
        let found = async || {
            let place = shop.place();
            let report = run(&shop.context, Some(&place), &RunSelector::Id(killed.clone())).await.unwrap();
            report.summary.found.unwrap()
        };
        assert_eq!(found().await.applied, Applied::Unchanged);
        shop.cluster.psql("shop", "BEGIN; UPDATE orders SET note = 'x'; ROLLBACK");
        assert_eq!(found().await.applied, Applied::Unchanged, "rolled back");
        shop.cluster.psql("shop", "UPDATE orders SET note = 'x' WHERE id = 1");
        let found = found().await;
        assert_eq!((found.applied, found.schema_changes), (Applied::Unknown, Some(vec![])), "a row alone");
        assert!(found.not_known.iter().any(|one| one.contains("holdpoint compare before:")), "{:?}", found.not_known);
    }
}

#[tokio::test]
async fn who_interrupted_the_command_may_interrupt_its_undo() {
    let mut shop = Shop::open(18).await;
    // The next signal came already.
    let next = CancellationToken::new();
    next.cancel();
    let mut on_failure = OnFailure { cancel: Some(Arc::new(move || next.clone())), ..shop.on_failure() };
    (on_failure.undo.way, on_failure.undo.accept_data_loss_since) =
        (Some(Way::Restore), Some(chrono::DateTime::UNIX_EPOCH));
    shop.options.on_failure = Some(on_failure);
    shop.options.command = shell("$SQL -c 'CREATE TABLE half ()'; touch $HERE/half; sleep 60");
    let interrupt = async {
        while !shop.file("half").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        shop.context.cancel.cancel();
    };
    let (report, ()) = with_beside(shop.try_guard(), interrupt).await;
    assert_eq!((report.state, report.interrupted, report.exit_kind()), (Failed, true, WayBackFailed), "{report:?}");
    let why = report.undo.and_then(|undo| undo.failure.clone()).or(report.undo_failure);
    assert!(why.as_ref().is_some_and(|why| why.contains("interrupted")), "{why:?}");
    assert_eq!(
        shop.cluster.psql("shop", "SELECT to_regclass('half') IS NOT NULL"),
        "t",
        "it is as the command left it"
    );
}
