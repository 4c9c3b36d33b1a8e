//! Commands that wait for locks, and who waits behind them.

use holdpoint_tests::Running;

use super::{Bench, judged};

const ALTERS: [&str; 3] = [
    "sh",
    "-c",
    "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -c 'ALTER TABLE shop.orders ADD COLUMN weight integer'",
];

#[test]
fn an_alter_that_waits_gives_up_by_its_time_out() {
    let bench = Bench::alone();
    let mut held = bench.hold("SELECT count(*) FROM shop.orders");
    let report = bench.guard(&["--lock-timeout", "2s"], &ALTERS, 10);
    assert_eq!(judged(&report).0, "unchanged", "{report:#}");
    assert!(held.lives());
}

#[test]
fn an_alter_that_waits_is_seen_with_its_blocker() {
    let bench = Bench::new();
    let held = bench.hold("SELECT count(*) FROM shop.orders");
    let mut run: Running = bench.start(&["--lock-timeout", "0", "--progress", "log"], &ALTERS);
    run.wait_until("the command waits", super::LONG, || bench.waits_for_a_lock());
    run.wait_until_said("ACCESS EXCLUSIVE on shop.orders");
    held.release();
    let report = run.finish().ended_with(0).json();
    let waits = report["observed"]["waits"].to_string();
    assert!(waits.contains("ACCESS EXCLUSIVE on shop.orders") && waits.contains("bystander"), "{report:#}");
}

#[test]
fn an_alter_that_holds_up_others_is_cancelled_and_nobody_else() {
    let bench = Bench::alone();
    let mut held = bench.hold("SELECT count(*) FROM shop.orders");
    let mut run = bench.start(&["--lock-timeout", "0", "--cancel-blocked-after", "1s"], &ALTERS);
    run.wait_until("the command waits", super::LONG, || bench.waits_for_a_lock());
    // Whoever reads now queues behind it, and is served once it is gone.
    assert_ne!(bench.sql("SELECT count(*) FROM shop.orders"), "");
    let report = run.finish().ended_with(10).json();
    assert_eq!(judged(&report).0, "unchanged", "{report:#}");
    assert_eq!(report["observed"]["cancelled"].as_array().unwrap().len(), 1, "{report:#}");
    assert!(
        held.lives() && bench.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bystander'") == "1"
    );
}
