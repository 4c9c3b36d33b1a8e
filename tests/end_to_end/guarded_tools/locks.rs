//! Commands that wait for locks, and who waits behind them.

use holdpoint_tests::Running;

use crate::watch::Client;

use super::{Bench, judged, node_pg_migrate, wait};

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

#[test]
fn the_longest_transaction_of_others_and_the_builds_of_indexes_are_seen() {
    let bench = Bench::new();
    let held = bench.hold("LOCK TABLE shop.orders IN ROW EXCLUSIVE MODE");
    let builds =
        "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -c 'CREATE INDEX CONCURRENTLY notes ON shop.orders (note)'";
    let mut run = bench.start(&["--lock-timeout", "0", "--progress", "log"], &["sh", "-c", builds]);
    run.wait_until("the build waits", super::LONG, || bench.waits_for_a_lock());
    // Told once it has lasted a second: by then there was a look at everything.
    run.wait_until_said("bystander");
    held.release();
    let report = run.finish().ended_with(0).json();
    let observed = &report["observed"];
    assert!(observed["longest_transaction_ms"].as_u64().unwrap() >= 1000, "{observed:#}");
    let builds = observed["index_builds"].as_object().unwrap();
    let told: Vec<&str> = builds.values().map(|one| one.as_str().unwrap()).collect();
    assert!(told.iter().any(|one| one.starts_with("CREATE INDEX CONCURRENTLY: ")), "{observed:#}");
    assert!(builds.keys().all(|name| name == "shop.notes" || name == "shop.orders"), "{observed:#}");
}

#[test]
fn an_index_build_that_waits_for_an_old_snapshot_is_seen_cancelled_by_policy_and_its_index_told() {
    let bench = node_pg_migrate::bench(Bench::new());
    bench.write(
        "migrations/2_index.js",
        "export const up = (pgm) => { pgm.noTransaction(); \
         pgm.sql('CREATE INDEX CONCURRENTLY notes ON shop.orders (note)'); };\nexport const down = false;\n",
    );
    let mut held = bench.hold("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM shop.events");
    let of_others = |name: &str, more: &str| {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name";
        bench.sql(&format!("{sql} = '{name}' AND {more}")) == "1"
    };
    wait("the bystander has a snapshot", || of_others("bystander", "backend_xmin IS NOT NULL"));
    let mut run = bench.start(&["--cancel-blocked-after", "1s", "--progress", "log"], &node_pg_migrate::UP);
    run.wait_until("the build waits", super::LONG, || bench.waits_for_a_lock());
    // Nobody is behind it: it may wait as long as it likes, and is told with its blocker.
    run.wait_until_said("the end of an older snapshot behind process");
    let mut waiter = Client::running(&bench.scene, "waiter", "BEGIN; LOCK TABLE shop.orders IN SHARE MODE;");
    let report = run.finish().ended_with(11).json();
    let waits = report["observed"]["waits"].to_string();
    assert!(waits.contains("the end of an older snapshot") && waits.contains("bystander"), "{report:#}");
    assert_eq!(report["observed"]["cancelled"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!(super::list(&report, "invalid_indexes"), ["shop.notes"]);
    assert!(!judged(&report).1, "{report:#}");
    // It had waited for as long as nobody was behind it, time-out or not.
    assert_eq!(report["judgement"]["time_outs"], "no", "{report:#}");
    assert!(held.lives() && of_others("bystander", "backend_xmin IS NOT NULL"), "its snapshot is whole");
    wait("who was behind it goes on", || of_others("waiter", "state = 'idle in transaction'"));
    waiter.say("COMMIT;");
}

#[test]
fn who_takes_the_tools_own_lock_while_a_run_comes_to_its_command_is_told() {
    const KEYS: [(&str, i64); 2] = [("prisma", 72_707_369), ("node-pg-migrate", 7_241_865_325_823_964)];
    let bench = Bench::new();
    let before =
        ["--before", "rm -f go; touch began; while [ ! -e go ]; do sleep 0.05; done", "--after", "touch after"];
    let there = |name: &str| bench.scene.place.work().join(name).exists();
    let began = || {
        for left in ["began", "after"] {
            std::fs::remove_file(bench.scene.place.work().join(left)).ok();
        }
        let mut run = bench.start(&before, &["touch", "ran"]);
        run.wait_until("--before runs", super::LONG, || there("began"));
        run
    };
    let ends = |run: holdpoint_tests::Running, tool: &str, pid: &str| {
        let told = format!("somebody else is migrating with {tool}: migrator (process {pid})");
        run.finish().ended_with(14).failure().says(&[&told]);
        assert!(there("after") && !there("ran"), "{tool}");
    };
    for (tool, key) in KEYS {
        // Once the run lock is held.
        let run = began();
        let sql = format!("SELECT pg_advisory_lock({key});");
        let holds = "state = 'idle' AND query LIKE '%pg_advisory_lock%'";
        let migrator = Client::running(&bench.scene, "migrator", &sql).once(holds);
        bench.write("go", "");
        ends(run, tool, &migrator.pid());
        drop(migrator);
        // While everything is looked at again, after that.
        let run = began();
        let mut locks = Client::running(&bench.scene, "locks", "BEGIN; LOCK TABLE shop.orders;")
            .once("state = 'idle in transaction' AND query LIKE 'LOCK%'");
        bench.write("go", "");
        let looks = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                     AND application_name = 'holdpoint schema check' AND datname = current_database()";
        wait("the schema is looked at", || bench.sql(looks) == "1");
        let migrator = Client::running(&bench.scene, "migrator", &sql).once(holds);
        locks.say("COMMIT;");
        ends(run, tool, &migrator.pid());
    }
}
