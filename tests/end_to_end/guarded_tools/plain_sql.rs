//! A folder of SQL files and a script that runs them: no table says what is applied.

use super::{Bench, judged};

pub(super) const FLAGS: [&str; 4] = ["--tool", "plain-sql", "--migrations", "sql"];
const SCRIPT: &str =
    "for file in sql/*.sql; do psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f \"$file\" || exit 1; done\n";

fn bench() -> Bench {
    with_first(Bench::new())
}

fn with_first(bench: Bench) -> Bench {
    bench.write("apply.sh", SCRIPT);
    bench.write("sql/1_first.sql", "CREATE TABLE IF NOT EXISTS shop.first (id integer);\n");
    bench
}

#[test]
fn without_a_table_the_rehearsal_tells_what_was_done() {
    let bench = bench();
    let words = [&["guard", "--json"], &FLAGS[..], &["--applied-through", "none", "--", "sh", "apply.sh"]].concat();
    let report = bench.scene.place.holdpoint(&words).ended_with(0).json();
    assert_eq!(judged(&report), ("fully_applied", true, "succeeded"), "{report:#}");
    // Without one there is the script's word alone; the ledger knows by now what is applied.
    bench.write("sql/2_second.sql", "CREATE TABLE IF NOT EXISTS shop.second (id integer);\n");
    let report = bench.guard(&FLAGS, &["sh", "apply.sh"], 0);
    assert_eq!(judged(&report), ("unknown", true, "succeeded"), "{report:#}");
    assert_eq!(report["plan"]["pending"].as_array().unwrap().len(), 1, "{report:#}");
}

#[test]
fn a_script_that_fails_leaves_a_part() {
    let bench = bench();
    bench.write("sql/2_fails.sql", "SELECT 1 / 0;\n");
    let flags = [&FLAGS[..], &["--applied-through", "none"]].concat();
    let report = bench.guard(&flags, &["sh", "apply.sh"], 11);
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    assert!(!report["ways_back"].as_array().unwrap().is_empty(), "{report:#}");
}

#[test]
fn a_run_that_is_not_well_afterwards_counts_its_files_as_applied() {
    let bench = bench();
    let flags = [&FLAGS[..], &["--applied-through", "none", "--health-cmd", "false", "--health-retries", "0"]].concat();
    let report = bench.guard(&flags, &["sh", "apply.sh"], 11);
    assert_eq!((judged(&report).2, &report["judgement"]["health"]), ("failed", &serde_json::json!("never_green")));
    bench.write("sql/2_second.sql", "CREATE TABLE shop.second (id integer);\n");
    let report = bench.guard(&FLAGS, &["sh", "apply.sh"], 0);
    assert_eq!(report["plan"]["pending"].as_array().unwrap().len(), 1, "{report:#}");
}

#[test]
fn what_was_skipped_without_a_word_is_pending_still() {
    let bench = with_first(Bench::alone());
    let flags = [&FLAGS[..], &["--applied-through", "none"]].concat();
    let report = bench.guard(&flags, &["sh", "apply.sh"], 0);
    assert_eq!(judged(&report).2, "succeeded", "{report:#}");
    bench.write("sql/2_second.sql", "CREATE TABLE shop.second (id integer);\n");
    let report = bench.guard(&FLAGS, &["true"], 11);
    assert_eq!(judged(&report), ("unchanged", false, "failed"), "{report:#}");
    let words = [&["plan", "--json"], &FLAGS[..]].concat();
    let plan = bench.scene.place.holdpoint(&words).ended_with(0).json();
    assert_eq!(plan["pending"].as_array().unwrap().len(), 1, "{plan:#}");
}
