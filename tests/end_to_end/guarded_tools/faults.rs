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

/// No dump shows it, and the transaction that did it was committed: it was once called unchanged.
#[test]
fn a_constraint_that_is_not_enforced_any_more_is_a_change() {
    let bench = Bench::alone();
    bench.sql("CREATE TABLE shop.parts (id integer PRIMARY KEY, of integer CONSTRAINT whole REFERENCES shop.parts)");
    let script =
        "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -c 'ALTER TABLE shop.parts DISABLE TRIGGER ALL'; exit 1";
    let report = bench.guard(&[], &["sh", "-c", script], 11);
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    let told = "changed beside the schema: unenforced constraint whole of shop.parts (new)";
    assert!(report["warnings"].to_string().contains(told), "{report:#}");
    assert_eq!(bench.sql("INSERT INTO shop.parts VALUES (1, 999); SELECT count(*) FROM shop.parts"), "1");
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
    let flags = ["--lock-timeout", "0", "--command-timeout", "10s"];
    let report = bench.guard(&flags, &["sh", "-c", &script], 10);
    assert_eq!(judged(&report).0, "unchanged", "{report:#}");
    assert!(report["warnings"].to_string().contains("did not end within 10 s"), "{report:#}");
    wait("its session is gone", || !bench.waits_for_a_lock());
    assert!(
        held.lives() && bench.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bystander'") == "1"
    );
}

/// Plain files with a script that undoes the first; the second stands still until the server is restarted.
const FILES: [&str; 6] = ["--tool", "plain-sql", "--migrations", "sql", "--applied-through", "none"];

/// A file that psql runs, by a command that says success although the server was stopped in the middle of it.
fn file_while_away(bench: &Bench, sql: &str, flags: &[&str]) -> serde_json::Value {
    bench.write("sql/1_adds.sql", &format!("SELECT pg_advisory_xact_lock(7);\n{sql};\n"));
    let applies = "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -1 -f sql/1_adds.sql";
    ended_while_away(bench, applies, &[&FILES[..], flags].concat())
}

/// A command that says success although the server was stopped while it waited; its report once that is back.
fn ended_while_away(bench: &Bench, applies: &str, flags: &[&str]) -> serde_json::Value {
    let _held = bench.hold("SELECT pg_advisory_lock(7)");
    bench.write("apply.sh", &format!("{applies}\ntouch lost\nexit 0\n"));
    let flags = [&["--lock-timeout", "0", "--after", "touch off"], flags].concat();
    let mut run = bench.start(&flags, &["sh", "apply.sh"]);
    run.wait_until("the migration stands still", super::LONG, || bench.waits_for_a_lock());
    let there = |name: &str| bench.scene.place.work().join(name).exists();
    if there("lost") {
        // Of the rehearsal.
        std::fs::remove_file(bench.scene.place.work().join("lost")).unwrap();
    }
    bench.scene.cluster.stop();
    run.wait_until("the migration has noticed", super::LONG, || there("lost"));
    std::thread::sleep(std::time::Duration::from_secs(2));
    bench.scene.cluster.resume();
    let report = run.finish().ended_with(11).json();
    assert_eq!((judged(&report).1, judged(&report).2), (false, "failed"), "{report:#}");
    assert!(!there("off"), "maintenance mode stays on");
    report
}

/// Its word was once taken for it: the run succeeded, and nothing was applied.
#[test]
fn a_command_that_ends_well_while_the_server_is_away_is_judged_when_it_is_back() {
    let bench = Bench::alone();
    let report = file_while_away(&bench, "ALTER TABLE shop.orders ADD COLUMN half integer", &[]);
    assert!(report["judgement"]["reasons"].to_string().contains("shop.orders has no column half"), "{report:#}");
    assert!(report["warnings"].to_string().contains("the run lock was taken again"), "{report:#}");
}

/// Nothing is known of a script but what its rehearsal did; its word was once taken, and the migration was pending.
#[test]
fn a_script_around_a_tool_that_ends_well_while_the_server_is_away_is_not_taken_at_its_word() {
    for (flags, why) in [
        (&["--rehearse"][..], "whether it wrote the rows of public.pgmigrations, shop.orders that"),
        (&[], "whether it did anything is not known, and these are still pending: 2_waits.sql"),
    ] {
        let bench = super::node_pg_migrate::bench(Bench::alone());
        bench.bare(&super::node_pg_migrate::UP.join(" "));
        let writes = "SELECT pg_advisory_xact_lock(7); UPDATE shop.orders SET note = 'half';";
        super::node_pg_migrate::migration(&bench, "2_waits", writes);
        let report = ended_while_away(&bench, &super::node_pg_migrate::UP.join(" "), flags);
        assert!(report["judgement"]["reasons"].to_string().contains(why), "{report:#}");
    }
}

/// A server that was restarted counts rows anew: what the rehearsal wrote was once taken for written, and the file for
/// applied.
#[test]
fn rows_that_a_restarted_server_does_not_count_are_not_taken_for_written() {
    for flags in [&["--rehearse"][..], &[]] {
        let bench = Bench::alone();
        let report = file_while_away(&bench, "UPDATE shop.orders SET note = 'half'", flags);
        assert_eq!(bench.sql("SELECT count(*) FROM shop.orders WHERE note = 'half'"), "0");
        let reasons = report["judgement"]["reasons"].to_string();
        assert!(reasons.contains("whether it ran 1_adds.sql is not known"), "{report:#}");
        assert_eq!(report["judgement"]["not_shown"], serde_json::json!(["1_adds.sql"]), "{report:#}");
    }
}

/// The server goes on by itself, and was started when it was; what its tables counted is gone.
#[test]
fn a_process_of_the_server_that_crashed_leaves_no_evidence_of_rows() {
    let bench = Bench::alone();
    let crash = |name: &str| {
        let pid = bench.sql(&format!("SELECT pid FROM pg_stat_activity WHERE application_name = '{name}'"));
        holdpoint_tests::kill(pid.parse().unwrap());
    };
    // From then on it counts from nothing, as after an upgrade.
    bench.sql("CHECKPOINT");
    let _first = bench.hold("SELECT 1");
    crash("bystander");
    let gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bystander'";
    wait("the server is there again", || {
        let mut psql = bench.scene.cluster.program("psql");
        psql.args(["-X", "-A", "-t", "-d", &bench.scene.cluster.url("postgres"), "-c", gone]);
        let answer = psql.output().unwrap();
        answer.status.success() && answer.stdout.trim_ascii() == b"0"
    });
    let script = "psql -X -q \"$DATABASE_URL\" -c \"SET synchronous_commit = on; UPDATE shop.orders SET note = 'kept'\"\n\
                  PGAPPNAME=crashes psql -X -q \"$DATABASE_URL\" -c 'SELECT pg_sleep(3600)'\nexit 1\n";
    bench.write("apply.sh", script);
    let mut run = bench.start(&[], &["sh", "apply.sh"]);
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'crashes' AND wait_event = 'PgSleep'";
    run.wait_until("its second statement runs", super::LONG, || bench.sql(sleeps) == "1");
    crash("crashes");
    let report = run.finish().ended_with(11).json();
    assert_eq!(judged(&report), ("unknown", false, "failed"), "{report:#}");
    assert_ne!(bench.sql("SELECT count(*) FROM shop.orders WHERE note = 'kept'"), "0");
}

#[test]
fn a_session_under_another_name_leaves_open_what_the_command_leaves() {
    let bench = Bench::alone();
    // It has no transaction's number before it finds its first row.
    let sql = "DELETE FROM shop.orders WHERE id <= 3 AND (SELECT pg_sleep(600)) IS NOT NULL";
    let script = format!("PGAPPNAME=rails psql -X -q \"$DATABASE_URL\" -c \"{sql}\"");
    let report = bench.guard(&["--command-timeout", "3s"], &["sh", "-c", &script], 11);
    assert_eq!(judged(&report), ("unknown", false, "failed"), "{report:#}");
    let pid = bench.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'rails'");
    let told = format!("under another name, and still in a transaction (process {pid})");
    assert!(report["warnings"].to_string().contains(&told), "{report:#}");
    bench.sql(&format!("SELECT pg_terminate_backend({pid})"));
}

#[test]
fn a_run_that_a_restart_of_the_server_broke_is_undone_once_it_is_back() {
    let bench = Bench::alone();
    bench.write("sql/1_adds.sql", "CREATE TABLE shop.kept (id integer PRIMARY KEY);\n");
    bench.write(
        "sql/2_stands.sql",
        "ALTER TABLE shop.orders ADD COLUMN half integer;\nSELECT pg_advisory_xact_lock(7);\n",
    );
    bench.write("sql/rollback/1_adds.sql", "DROP TABLE shop.kept;\n");
    bench.write("sql/rollback/2_stands.sql", "ALTER TABLE shop.orders DROP COLUMN IF EXISTS half;\n");
    let apply = "for file in sql/*.sql; do psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -1 -f $file || break; done\n\
                 touch lost\nwhile [ ! -e back ]; do sleep 0.05; done\nexit 1\n";
    bench.write("apply.sh", apply);
    let before = bench.scene.before();
    let lost = bench.scene.place.work().join("lost");
    let accepts = ["--accept-data-loss-since", "2026-01-01T00:00:00Z"];
    for (way, flags) in [("rollback", &[][..]), ("restore", &accepts)] {
        let held = bench.hold("SELECT pg_advisory_lock(7)");
        let on_failure = ["--lock-timeout", "0", "--after", "echo off >> log", "--on-failure", way];
        let mut run = bench.start(&[&FILES, &on_failure[..], flags].concat(), &["sh", "apply.sh"]);
        run.wait_until("the migration stands still", super::LONG, || bench.waits_for_a_lock());
        bench.scene.cluster.restart();
        run.wait_until("the migration has noticed", super::LONG, || lost.exists());
        bench.write("back", "");
        let report = run.finish().ended_with(12).json();
        assert_eq!(report["undo"]["state"], "undone", "{way}: {report:#}");
        let warnings = report["warnings"].to_string();
        assert!(
            warnings.contains("the server was restarted") && warnings.contains("the run lock was lost"),
            "{report:#}"
        );
        holdpoint_tests::assert_same(way, &before.database, &bench.scene.before().database);
        let listed = bench.scene.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
        assert_eq!(
            (&listed["runs"][0]["standing"], &listed["runs"][0]["unsettled"]),
            (&"undone".into(), &false.into())
        );
        for gone in ["lost", "back"] {
            std::fs::remove_file(bench.scene.place.work().join(gone)).unwrap();
        }
        drop(held);
    }
    let log = std::fs::read_to_string(bench.scene.place.work().join("log")).unwrap();
    assert_eq!(log, "off\noff\n", "maintenance mode is off once it is undone");
}

/// The run lock's two keys, as a session of somebody else takes them.
const RUN_LOCK: &str =
    "SELECT pg_advisory_lock(1752132708, oid::integer) FROM pg_database WHERE datname = current_database()";

#[test]
fn a_run_lock_that_another_keeps_is_told_with_who_and_since_when_and_what_to_do() {
    let bench = Bench::new();
    // Time that passes is nothing to it: its session is idle for as long as its command takes.
    let database = &bench.scene.database;
    bench.sql(&format!("ALTER DATABASE \"{database}\" SET idle_session_timeout = '500ms'"));
    let script = "touch first; while [ ! -e go ]; do sleep 0.05; done";
    let mut first = bench.start(&[], &["sh", "-c", script]);
    let marker = bench.scene.place.work().join("first");
    first.wait_until("the command is at work", super::LONG, || marker.exists());
    let holder =
        "FROM pg_stat_activity WHERE application_name LIKE 'holdpoint guard 2%' AND datname = current_database()";
    let long = format!("SELECT count(*) {holder} AND backend_start < clock_timestamp() - interval '3 s'");
    first.wait_until("it has had it for long", super::LONG, || bench.sql(&long) == "1");
    // It hangs: a guard that is stopped keeps its lock for as long as anybody likes.
    first.freeze();
    let about =
        format!("SELECT pid, to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') {holder}");
    let (pid, since) = {
        let found = bench.sql(&about);
        let (pid, since) = found.split_once('|').unwrap();
        (pid.to_owned(), since.to_owned())
    };
    let listed = bench.scene.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
    let run = listed["runs"][0]["run"].as_str().unwrap().to_owned();
    let points = bench.scene.place.points();
    let end = format!("pg_terminate_backend({pid})");
    let told = [run.as_str(), &format!("process {pid}"), &format!("since {since}")];
    for verb in ["guard", "prepare"] {
        let words = [&[verb, "--json", "--level", "stored", "--", "touch", "beside"][..]].concat();
        let failure = bench.scene.place.holdpoint(&words).ended_with(14).failure();
        failure.says(&told).hints(&["retry when it has ended", "holdpoint runs", &end]);
    }
    bench.scene.place.holdpoint(&["undo", &run, "--yes", "--json"]).ended_with(14).failure().says(&told);
    assert_eq!(bench.scene.place.points(), points, "nothing was made");
    // As the hint says: its session is ended, and its command still lives.
    bench.sql(&format!("SELECT pg_terminate_backend({pid}, 10000)"));
    bench.try_guard(&[], &["touch", "beside"]).ended_with(14).failure().says(&["still at work"]);
    first.thaw();
    bench.write("go", "");
    let report = first.finish().ended_with(0).json();
    assert!(report["warnings"].to_string().contains("the run lock was lost while the command ran"), "{report:#}");
    assert!(!bench.scene.place.work().join("beside").exists());

    // One that takes it between the first look and the run: it is tried for, and then told.
    let around = ["--before", "echo on >> log", "--after", "echo off >> log"];
    let words = [&["guard", "--json"], &super::CHEAP[..], &around, &["--", "touch", "beside"]].concat();
    let mut run = bench.scene.place.start_paused(&words, "taking-run-lock");
    run.wait_for_pause();
    let held = bench.hold(RUN_LOCK);
    run.go_on();
    run.finish().ended_with(14).failure().says(&["another guarded run or swap", "bystander"]).hints(&["retry"]);
    assert!(!bench.scene.place.work().join("beside").exists());
    assert!(!bench.scene.place.work().join("log").exists(), "who has no lock switches nothing on or off");
    held.release();
    bench.guard(&[], &["true"], 0);
}

#[test]
fn a_standby_that_falls_behind_is_told_while_the_command_runs() {
    let bench = Bench::alone();
    let standby = bench.scene.cluster.standby();
    let arrived = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
    wait("the standby is there", || bench.sql(arrived) == "1");
    standby.psql("postgres", "SELECT pg_wal_replay_pause()");
    let script = "psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE shop.made AS SELECT generate_series(1, 1000) AS id'; \
                  while [ ! -e go ]; do sleep 0.05; done";
    let mut run = bench.start(&["--progress", "log"], &["sh", "-c", script]);
    run.wait_until_said("standby standby is");
    standby.psql("postgres", "SELECT pg_wal_replay_resume()");
    bench.write("go", "");
    let report = run.finish().ended_with(0).json();
    assert!(report["observed"]["replication_lag_ms"].as_u64().unwrap() >= 1_000, "{report:#}");
}
