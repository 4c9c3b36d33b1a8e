//! What is still at work on the server when the command is gone, and what it does to what is told.

use std::time::Duration;

use holdpoint_core::ledger::RunState::{Failed, RolledBack};
use holdpoint_guard::ExitKind::{AppliedInPart, NothingApplied};
use holdpoint_guard::{Error, GuardReport, guard};
use holdpoint_operations::Source;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use holdpoint_testkit::Cluster;

use crate::support::{Shop, backup_options, settings, shell, source, verify_options, with_beside};

/// Whether the column is there that the command drops.
fn note_is_there(shop: &Shop) -> bool {
    let sql = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'note'";
    shop.cluster.psql("shop", sql) == "1"
}

async fn until(session: &Session, what: &str, sql: &str) {
    for _ in 0..6_000 {
        if session.query_one("a test", sql, &[]).await.unwrap().get::<_, bool>(0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}

/// A reader holds the table until `released` is true; the command's client is killed while its ALTER TABLE waits.
async fn killed_while_it_waits(shop: &mut Shop, client: &str, released: &str) -> GuardReport {
    let reader = Session::connect(&settings(&shop.cluster, "shop"), &SessionPurpose::new("reader")).await.unwrap();
    reader.run("a test", "BEGIN; SELECT count(*) FROM orders").await.unwrap();
    let looks = Session::connect(&settings(&shop.cluster, "shop"), &SessionPurpose::new("looks")).await.unwrap();
    // `kill -9` of the client alone, as an out-of-memory killer does it: nobody cancels its statement.
    let script = format!(
        "{client} $PSQL -X -q -c 'ALTER TABLE orders DROP COLUMN note' & client=$!; \
         until test -e $HERE/queued; do sleep 0.05; done; kill -9 $client; exit 1"
    );
    shop.options.command = shell(&script);
    shop.options.run.lock_timeout = Some(Duration::from_secs(300));
    let queued = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'orders'::regclass \
                  AND mode = 'AccessExclusiveLock')";
    let file = shop.file("queued");
    let beside = async {
        until(&looks, "the command's ALTER TABLE waits", queued).await;
        std::fs::write(file, "").unwrap();
        until(&looks, released, released).await;
        reader.run("a test", "COMMIT").await.unwrap();
    };
    with_beside(shop.try_guard(), beside).await.0
}

#[tokio::test]
async fn what_a_failed_command_left_waiting_is_ended_before_anybody_looks() {
    let mut shop = Shop::open(18).await;
    let gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE%' AND state = 'active')";
    let report = killed_while_it_waits(&mut shop, "", gone).await;
    assert_eq!((report.state, report.database, report.exit_kind()), (RolledBack, "unchanged", NothingApplied));
    assert!(report.warnings.iter().any(|text| text.starts_with("cancelled the command's session")), "{report:?}");
    assert!(note_is_there(&shop), "it said that nothing was changed");
}

#[tokio::test]
async fn what_commits_while_the_schema_is_read_is_not_overlooked() {
    for major in [18, 14] {
        let mut shop = Shop::open(major).await;
        // Without the token nobody knows that it is the command's, and pg_dump queues behind it.
        let dump_waits = "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                          WHERE NOT l.granted AND l.relation = 'orders'::regclass AND l.mode = 'AccessShareLock' \
                            AND a.application_name = 'holdpoint schema check')";
        let client = "env -u PGOPTIONS PGAPPNAME=deploy";
        let report = killed_while_it_waits(&mut shop, client, dump_waits).await;
        assert!(!note_is_there(&shop));
        assert_eq!((report.state, report.database, report.exit_kind()), (Failed, "changed", AppliedInPart), "{major}");
        let told = "TABLE public.orders (changed)";
        assert!(report.warnings.iter().any(|text| text.contains(told)), "{major}: {:?}", report.warnings);
    }
}

/// Migrations connect as the owner of everything; restore points are made by a role that only reads.
fn by_two_roles(shop: &mut Shop, backup: &str) -> Source {
    shop.cluster.psql(
        "shop",
        "CREATE ROLE owns LOGIN; CREATE ROLE reads LOGIN BYPASSRLS IN ROLE pg_read_all_data; \
         ALTER DATABASE shop OWNER TO owns; ALTER SCHEMA public OWNER TO owns; \
         ALTER TABLE orders OWNER TO owns; ALTER TABLE customers OWNER TO owns",
    );
    let as_role =
        |role: &str| ConnectionSettings::resolve(&shop.cluster.url_as(role, "shop"), &Default::default()).unwrap();
    shop.options.environment.push(("PGUSER".into(), "owns".into()));
    shop.options.way_back = Some(as_role("owns"));
    Source { settings: as_role(backup), ..source(&shop.cluster) }
}

async fn guarded(shop: &Shop, source: &Source) -> Result<GuardReport, Error> {
    let verify = verify_options(Cluster::shared(shop.scratch));
    guard(&shop.context, source, &verify, &backup_options(), &shop.options).await
}

#[tokio::test]
async fn what_runs_out_of_time_is_cancelled_although_the_backups_role_may_not() {
    for major in [18, 14] {
        let mut shop = Shop::open(major).await;
        let source = by_two_roles(&mut shop, "reads");
        let name = SessionPurpose::new("bystander");
        let owns = shop.options.way_back.clone().unwrap();
        let bystander = Session::connect(&owns, &name).await.unwrap();
        shop.options.command = shell("$SQL -c 'DELETE FROM orders; SELECT pg_sleep(300)'");
        shop.options.run.command_timeout = Some(Duration::from_secs(5));
        let asleep = async { bystander.query("a test", "SELECT pg_sleep(12)", &[]).await };
        let (report, slept) = tokio::join!(guarded(&shop, &source), asleep);
        let report = report.unwrap();
        slept.unwrap();
        assert_eq!((report.state, report.database), (RolledBack, "unchanged"), "{major}: {:?}", report.warnings);
        assert!(report.warnings.iter().any(|text| text.starts_with("cancelled the command's session")), "{report:?}");
        let works = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'holdpoint:%'";
        assert_eq!(shop.cluster.psql("shop", works), "0", "{major}");
    }
}

#[tokio::test]
async fn what_no_role_may_cancel_is_told_with_what_allows_it() {
    let mut shop = Shop::open(18).await;
    let source = by_two_roles(&mut shop, "reads");
    shop.options.way_back = None;
    shop.options.command = shell("$SQL -c 'DELETE FROM orders; SELECT pg_sleep(300)'");
    shop.options.run.command_timeout = Some(Duration::from_secs(5));
    let report = guarded(&shop, &source).await.unwrap();
    let told = "could not be cancelled: permission denied";
    let told = report.warnings.iter().find(|text| text.contains(told)).cloned().unwrap_or_default();
    assert!(told.contains("GRANT pg_signal_backend TO \"reads\""), "{:?}", report.warnings);
    assert!(report.warnings.iter().any(|text| text.contains("still on the server")), "{:?}", report.warnings);
    assert_eq!((report.state, report.exit_kind()), (Failed, AppliedInPart), "nobody knows what it does: {report:?}");
}

#[tokio::test]
async fn what_others_wait_behind_is_cancelled_by_the_migrating_role() {
    let mut shop = Shop::open(18).await;
    let source = by_two_roles(&mut shop, "reads");
    let connect = async |name: &str| {
        Session::connect(&settings(&shop.cluster, "shop"), &SessionPurpose::new(name)).await.unwrap()
    };
    let (reader, behind, looks) = (connect("reader").await, connect("behind").await, connect("looks").await);
    reader.run("a test", "BEGIN; SELECT count(*) FROM orders").await.unwrap();
    shop.options.run.lock_timeout = Some(Duration::ZERO);
    shop.options.run.cancel_blocked_after = Some(Duration::from_secs(1));
    shop.options.command = shell("$SQL -c 'ALTER TABLE orders ADD COLUMN total int'");
    let queued = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'orders'::regclass \
                  AND mode = 'AccessExclusiveLock')";
    let beside = async {
        until(&looks, "the command's ALTER TABLE waits", queued).await;
        // The reader stays: who waits behind is let through by nothing but the cancelling.
        behind.run("a test", "SELECT count(*) FROM orders").await.unwrap();
        reader.run("a test", "COMMIT").await.unwrap();
    };
    let (report, ()) = with_beside(guarded(&shop, &source), beside).await;
    assert_eq!(report.observed.cancelled.len(), 1, "{:?}", report.observed);
    assert!(report.observed.not_cancelled.is_empty(), "{:?}", report.observed);
    assert_eq!((report.database, report.exit_kind()), ("unchanged", NothingApplied), "{:?}", report.warnings);
    assert!(!report.observed.waits.iter().any(|wait| wait.contains("for 0 ms")), "{:?}", report.observed);
}
