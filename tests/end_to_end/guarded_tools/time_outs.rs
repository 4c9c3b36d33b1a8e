//! That the time-outs are in force in the server by each tool, and what is said where they are not.

use super::Bench;
use super::each_tool::Tool;

/// Keeps what is in force, and stands still until nobody has the lock any more.
const TELLS: &str = "CREATE TABLE public.told AS SELECT current_setting('lock_timeout') AS lock, \
                     current_setting('statement_timeout') AS statement;\nSELECT pg_advisory_xact_lock(7);\n";
const SLEEPS: &str = "SELECT pg_sleep(3600);\n";

/// Both reach the server; `shown` says what the run could see of that. A statement whose time is over is ended.
fn are_in_force(tool: &Tool, shown: &str) {
    let Tool { bench, flags, at_first, command, write, .. } = tool;
    write(bench, &[TELLS]);
    let held = bench.hold("SELECT pg_advisory_lock(7)");
    let both = ["--lock-timeout", "10m", "--statement-timeout", "20m"];
    let mut run = bench.start(&[flags, at_first, &both[..]].concat(), command);
    run.wait_until("the migration stands still", super::LONG, || bench.waits_for_a_lock());
    bench.wait_until_looked_at();
    held.release();
    let report = run.finish().ended_with(0).json();
    assert_eq!(report["judgement"]["time_outs"], shown, "{report:#}");
    assert_eq!(bench.sql("SELECT lock, statement FROM public.told"), "10min|20min");

    write(bench, &[TELLS, SLEEPS]);
    let cancelled = || {
        let log = std::fs::read_to_string(bench.scene.cluster.log_file()).unwrap();
        log.lines().filter(|line| line.contains("canceling statement due to statement timeout")).count()
    };
    let before = cancelled();
    let outcome = bench.try_guard(&[flags, &["--statement-timeout", "5s"][..]].concat(), command);
    assert!(matches!(outcome.code, 10 | 11), "{} {}", outcome.code, outcome.stderr);
    assert_ne!(outcome.json()["exit_code"], 0, "{}", outcome.stdout);
    assert!(cancelled() > before, "its statement was ended by the server");
}

#[test]
fn by_drizzle() {
    are_in_force(&Tool::drizzle(), "yes");
}

#[test]
fn by_node_pg_migrate() {
    are_in_force(&Tool::node_pg_migrate(), "yes");
}

#[test]
fn by_prisma() {
    are_in_force(&Tool::prisma(), "yes");
}

#[test]
fn by_a_script_of_which_nobody_knows_what_it_reads() {
    are_in_force(&Tool::plain_sql(), "not_shown");
}

#[test]
fn by_psql_and_not_where_its_own_options_take_their_place() {
    let bench = Bench::new();
    let url = bench.scene.cluster.url(&bench.scene.database);
    let replaced = format!("{url}{}options=-c%20search_path%3Dshop", if url.contains('?') { '&' } else { '?' });
    let shows = |url: &str, code: &str| {
        let sql = "CREATE TABLE IF NOT EXISTS shop.told (it text); \
                   INSERT INTO shop.told SELECT current_setting('statement_timeout'); SELECT pg_advisory_xact_lock(7)";
        let held = bench.hold("SELECT pg_advisory_lock(7)");
        let mut run = bench.start(
            &["--statement-timeout", "20m", "--lock-timeout", "10m"],
            &["psql", "-X", "-q", "-d", url, "-c", sql],
        );
        run.wait_until("it stands still", super::LONG, || bench.waits_for_a_lock());
        bench.wait_until_looked_at();
        held.release();
        let report = run.finish().ended_with(0).json();
        assert_eq!(report["judgement"]["time_outs"], code, "{report:#}");
        let shown = format!("run:{}", report["run"].as_str().unwrap());
        bench.scene.place.holdpoint(&["show", &shown]).ended_with(0).stdout
    };
    shows(&url, "yes");
    let told = shows(&replaced, "no");
    assert!(
        told.contains("time-outs in force: no: the connection string among the command's words has options"),
        "{told}"
    );
    assert_eq!(bench.sql("SELECT it FROM shop.told ORDER BY ctid"), "20min\n0");
}

#[test]
fn not_where_something_runs_concurrently() {
    let bench = Bench::new();
    bench.write("index.sql", "CREATE INDEX CONCURRENTLY note ON shop.orders (note);\nCREATE TABLE shop.told AS SELECT current_setting('statement_timeout') AS it;\n");
    let apply = ["sh", "-c", "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f index.sql"];
    let report = bench.guard(&["--statement-timeout", "20m"], &apply, 0);
    assert_eq!(report["judgement"]["time_outs"], "no", "{report:#}");
    assert!(report["warnings"].to_string().contains("no time-outs: something runs CONCURRENTLY"), "{report:#}");
    assert_eq!(bench.sql("SELECT it FROM shop.told"), "0");
}
