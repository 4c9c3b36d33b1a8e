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
    let before = bench.contents();
    let report = bench.guard(&flags, &["sh", "apply.sh"], 11);
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    assert!(!report["ways_back"].as_array().unwrap().is_empty(), "{report:#}");
    bench.differs_in(&before, &["+ TABLE shop.first", "+ TABLE DATA shop.first"]);
    bench.undo("restore", &FLAGS);
    bench.is_as_before(&before);
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
    let before = bench.contents();
    let report = bench.guard(&FLAGS, &["true"], 11);
    assert_eq!(judged(&report), ("unchanged", false, "failed"), "{report:#}");
    bench.is_as_before(&before);
    let words = [&["plan", "--json"], &FLAGS[..]].concat();
    let plan = bench.scene.place.holdpoint(&words).ended_with(0).json();
    assert_eq!(plan["pending"].as_array().unwrap().len(), 1, "{plan:#}");
}

/// Guards a script that runs these two files alone, by a psql that goes on after errors.
fn sloppy(bench: &Bench, rehearsed: bool) -> holdpoint_tests::Outcome {
    bench.write("apply.sh", "psql -X -q \"$DATABASE_URL\" -f sql/1_first.sql -f sql/2_second.sql\n");
    let flags =
        [&FLAGS[..], &["--applied-through", "none", "--after", "touch after", "--"], &["sh", "apply.sh"]].concat();
    let how: &[&str] = if rehearsed { &["--yes"] } else { &super::CHEAP };
    bench.scene.place.holdpoint(&[&["guard", "--json"], how, &flags].concat())
}

fn pending(bench: &Bench) -> serde_json::Value {
    bench.scene.place.holdpoint(&[&["plan", "--json"], &FLAGS[..]].concat()).json()
}

#[test]
fn a_file_that_failed_half_way_and_one_that_never_ran_stop_the_run_before_production() {
    let bench = bench();
    bench.write("sql/2_second.sql", "CREATE TABLE shop.second (id integer); SELECT 1 / 0;\n");
    bench.write("sql/3_third.sql", "CREATE TABLE shop.third (id integer);\n");
    let before = bench.scene.before();
    let failure = sloppy(&bench, true).ended_with(3).failure();
    failure.says(&["the rehearsal was not as planned", "3_third.sql: shop.third is not there"]);
    holdpoint_tests::assert_same("production", &before.database, &bench.scene.before().database);
    assert!(!bench.scene.place.work().join("after").exists());
}

#[test]
fn without_a_rehearsal_a_file_that_never_ran_is_applied_in_part() {
    let bench = bench();
    bench.write(
        "sql/2_second.sql",
        "CREATE TABLE shop.second (id integer); SELECT 1 / 0; ALTER TABLE shop.second ADD COLUMN a integer;\n",
    );
    bench.write("sql/3_third.sql", "CREATE TABLE shop.third (id integer);\n");
    let report = sloppy(&bench, false).ended_with(11).json();
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("3_third.sql: shop.third is not there"), "{report:#}");
    assert!(warnings.contains("its output tells of 1 errors of the server"), "{report:#}");
    assert_eq!(super::list(&report, "not_shown"), ["3_third.sql"]);
    assert!(!bench.scene.place.work().join("after").exists(), "maintenance mode stays");
}

#[test]
fn a_change_of_rows_that_never_ran_stays_pending_and_is_told() {
    let bench = bench();
    bench.write("sql/2_second.sql", "CREATE TABLE shop.second (id integer);\n");
    bench.write("sql/3_rows.sql", "UPDATE shop.orders SET note = upper(note);\n");
    let report = sloppy(&bench, true).ended_with(0).json();
    let told = "3_rows.sql: its UPDATE of shop.orders wrote no rows on the copy";
    assert!(report["rehearsal"]["warnings"].to_string().contains(told), "{report:#}");
    assert!(
        report["warnings"].to_string().contains("nothing shows that 3_rows.sql ran: it stays pending"),
        "{report:#}"
    );
    let plan = pending(&bench);
    let left: Vec<&str> = plan["pending"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    assert_eq!(left, ["3_rows.sql"], "{plan:#}");
    assert!(plan["findings"].to_string().contains("and nothing shows that it ran"), "{plan:#}");
    // One that does run is applied.
    bench.write("apply.sh", "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f sql/3_rows.sql\n");
    let words = [&["guard", "--json", "--yes"], &FLAGS[..], &["--", "sh", "apply.sh"]].concat();
    let report = bench.scene.place.holdpoint(&words).ended_with(0).json();
    assert!(report["judgement"]["not_shown"].is_null(), "{report:#}");
    assert_eq!(pending(&bench)["pending"].as_array().unwrap().len(), 0);
}

#[test]
fn a_label_that_gets_another_name_is_as_rehearsed_although_no_row_was_written() {
    let bench = bench();
    bench.sql("CREATE TYPE shop.colour AS ENUM ('red', 'blue'); CREATE TABLE shop.paints (id integer PRIMARY KEY, colour shop.colour); \
               INSERT INTO shop.paints VALUES (1, 'red'), (2, 'blue')");
    bench.write("sql/2_label.sql", "ALTER TYPE shop.colour RENAME VALUE 'red' TO 'crimson';\n");
    let flags = [&FLAGS[..], &["--applied-through", "none", "--after", "touch after", "--", "sh", "apply.sh"]].concat();
    let report =
        bench.scene.place.holdpoint(&[&["guard", "--json", "--yes"], &flags[..]].concat()).ended_with(0).json();
    assert_eq!(judged(&report), ("fully_applied", true, "succeeded"), "{report:#}");
    assert_eq!(report["rehearsal"]["outcome"], "as_planned", "{report:#}");
    assert!(bench.scene.place.work().join("after").exists());
    assert_eq!(bench.sql("SELECT string_agg(colour::text, ' ' ORDER BY id) FROM shop.paints"), "crimson blue");
}

#[test]
fn of_two_files_that_change_rows_of_one_table_neither_is_taken_for_the_other() {
    let bench = bench();
    bench.write("sql/2_one.sql", "INSERT INTO shop.events (at, kind, body) VALUES (now(), 'one', '{}');\n");
    bench.write("sql/3_two.sql", "INSERT INTO shop.events (at, kind, body) VALUES (now(), 'two', '{}');\n");
    bench.write("apply.sh", "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f sql/1_first.sql -f sql/2_one.sql\n");
    let flags = [&FLAGS[..], &["--applied-through", "none", "--", "sh", "apply.sh"]].concat();
    let report =
        bench.scene.place.holdpoint(&[&["guard", "--json", "--yes"], &flags[..]].concat()).ended_with(0).json();
    assert_eq!(super::list(&report, "not_shown"), ["2_one.sql", "3_two.sql"], "{report:#}");
    let told = "2_one.sql: rows of shop.events were written, by it or by 3_two.sql";
    assert!(report["warnings"].to_string().contains(told), "{report:#}");
    let left = pending(&bench);
    let left: Vec<&str> = left["pending"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
    assert_eq!(left, ["2_one.sql", "3_two.sql"]);
    // Who has looked says so.
    let said = [&["plan", "--json"], &FLAGS[..], &["--applied-through", "2_one.sql"]].concat();
    assert_eq!(bench.scene.place.holdpoint(&said).json()["pending"].as_array().unwrap().len(), 1);
}
