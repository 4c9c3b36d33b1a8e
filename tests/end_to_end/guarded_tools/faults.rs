//! Commands that are cut off, and what they leave.

use super::{Bench, judged, list, wait};

/// A migration in one transaction that stands still until `go` is locked no more.
const STANDS_STILL: &str = "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -1 \
                            -c 'CREATE TABLE shop.made ()' -c 'SELECT pg_advisory_xact_lock(7)'";

#[test]
fn a_connection_that_is_lost_in_mid_migration_leaves_nothing() {
    let bench = Bench::alone();
    let _held = bench.hold("SELECT pg_advisory_lock(7)");
    let mut run = bench.start(&["--lock-timeout", "0"], &["sh", "-c", STANDS_STILL]);
    run.wait_until("the migration stands still", super::LONG, || bench.waits_for_a_lock());
    bench.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE application_name LIKE 'holdpoint:%' AND datname = current_database()",
    );
    let report = run.finish().ended_with(10).json();
    assert_eq!(judged(&report), ("unchanged", false, "rolled_back"), "{report:#}");
    assert_eq!(bench.sql("SELECT to_regclass('shop.made') IS NULL"), "t");
}

#[test]
fn a_server_that_is_restarted_in_mid_run_is_judged_when_it_is_back() {
    let bench = Bench::alone();
    // Until the server goes down: what is let go before could be committed before.
    let _held = bench.hold("SELECT pg_advisory_lock(7)");
    let script = format!(
        "psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE shop.kept ()'; {STANDS_STILL}; test -e back || touch lost; while [ ! -e back ]; do sleep 0.05; done; exit 1"
    );
    let mut run = bench.start(&["--lock-timeout", "0"], &["sh", "-c", &script]);
    run.wait_until("the migration stands still", super::LONG, || bench.waits_for_a_lock());
    bench.scene.cluster.restart();
    let lost = bench.scene.place.work().join("lost");
    run.wait_until("the migration has noticed", super::LONG, || lost.exists());
    bench.write("back", "");
    let report = run.finish().ended_with(11).json();
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("the server was restarted") && warnings.contains("TABLE shop.kept (new)"), "{report:#}");
    assert!(warnings.contains("the run lock was lost"), "{report:#}");
}

#[test]
fn an_invalid_index_is_not_as_planned_although_the_command_says_success() {
    let bench = Bench::new();
    let twice =
        "psql -X -q \"$DATABASE_URL\" -c 'CREATE UNIQUE INDEX CONCURRENTLY twice ON shop.orders (customer)'; exit 0";
    let report = bench.guard(&[], &["sh", "-c", twice], 11);
    assert!(!judged(&report).1, "{report:#}");
    assert_eq!(list(&report, "invalid_indexes"), ["shop.twice"]);
}

#[test]
fn an_index_is_built_concurrently_and_nothing_of_ours_is_in_its_way() {
    let bench = Bench::new();
    let script =
        "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -c 'CREATE INDEX CONCURRENTLY note ON shop.orders (note)'";
    let flags = ["--statement-timeout", "1h", "--command-timeout", "1h"];
    let report = bench.guard(&flags, &["sh", "-c", script], 0);
    assert_eq!(judged(&report).2, "succeeded", "{report:#}");
    assert_eq!(bench.sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'shop.note'::regclass"), "t");
}

#[test]
fn what_no_backup_could_read_is_not_as_planned() {
    let mut bench = Bench::new();
    bench.sql("DO $$ BEGIN CREATE ROLE backs_up LOGIN PASSWORD 'backs_up' BYPASSRLS; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
    bench.sql(
        "GRANT USAGE ON SCHEMA shop TO backs_up; GRANT SELECT ON ALL TABLES IN SCHEMA shop TO backs_up; \
               GRANT SELECT ON ALL SEQUENCES IN SCHEMA shop TO backs_up",
    );
    let url = bench.scene.cluster.tcp_url_as("backs_up", "backs_up", &bench.scene.database);
    bench.scene.place.set("HOLDPOINT_BACKUP_URL", &url);
    let script = "psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE shop.hidden (id integer)'";
    let report = bench.guard(&[], &["sh", "-c", script], 11);
    assert_eq!((judged(&report).1, list(&report, "unreadable")), (false, vec!["shop.hidden"]), "{report:#}");
    assert!(report["warnings"].to_string().contains("the next restore point would fail"), "{report:#}");
}

#[test]
fn a_command_whose_time_is_over_ends_with_its_sessions_and_no_others() {
    let bench = Bench::alone();
    let mut held = bench.hold("SELECT pg_advisory_lock(7)");
    // The shell ends at once; its psql, in a session of its own, is gone from the group.
    let script = format!("setsid sh -c '{}' & sleep 3600", STANDS_STILL.replace('\'', "'\\''"));
    let flags = ["--lock-timeout", "0", "--command-timeout", "3s"];
    let report = bench.guard(&flags, &["sh", "-c", &script], 10);
    assert_eq!(judged(&report).0, "unchanged", "{report:#}");
    assert!(report["warnings"].to_string().contains("did not end within 3 s"), "{report:#}");
    wait("its session is gone", || !bench.waits_for_a_lock());
    assert!(
        held.lives() && bench.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bystander'") == "1"
    );
}
