//! Drizzle 0.x: one transaction for all, a journal that decides by its times.

use serde_json::{Value, json};

use super::{Bench, judged, list};

const UP: [&str; 2] = ["npx", "drizzle-kit"];
const FIRST: (&str, &str) = ("0000_first", "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n");

pub(super) fn bench(bench: Bench) -> Bench {
    let bench = bench.with_tool("drizzle-0");
    bench.write("package.json", &json!({ "scripts": { "db:migrate": "drizzle-kit migrate" } }).to_string());
    bench.write(
        "drizzle.config.ts",
        "import { defineConfig } from 'drizzle-kit';\n\
         export default defineConfig({ dialect: 'postgresql', out: './drizzle', \
         dbCredentials: { url: process.env.DATABASE_URL! } });\n",
    );
    bench
}

pub(super) fn migrations(bench: &Bench, all: &[(&str, &str)]) {
    let entry = |(idx, (tag, sql)): (usize, &(&str, &str))| {
        bench.write(&format!("drizzle/{tag}.sql"), sql);
        json!({ "idx": idx, "version": "7", "when": 1000 * (idx + 1), "tag": tag, "breakpoints": true })
    };
    let entries: Vec<Value> = all.iter().enumerate().map(entry).collect();
    let journal = json!({ "version": "7", "dialect": "postgresql", "entries": entries });
    bench.write("drizzle/meta/_journal.json", &journal.to_string());
}

fn command() -> Vec<&'static str> {
    [&UP[..], &["migrate"]].concat()
}

#[test]
fn success_and_an_edited_file_afterwards() {
    let bench = bench(Bench::new());
    migrations(&bench, &[FIRST]);
    let report = bench.guard(&[], &command(), 0);
    assert_eq!(judged(&report), ("fully_applied", true, "succeeded"), "{report:#}");
    assert_eq!(list(&report, "recorded"), ["0000_first.sql"]);
    // An applied file that is edited is never run again; that is told, and nothing happens.
    bench.write("drizzle/0000_first.sql", "CREATE TABLE shop.other ();\n");
    let report = bench.guard(&[], &command(), 0);
    assert!(report["warnings"].to_string().contains("0000_first"), "{report:#}");
    assert_eq!(bench.sql("SELECT to_regclass('shop.other') IS NULL"), "t");
}

#[test]
fn a_failure_takes_all_of_it_back() {
    let bench = bench(Bench::alone());
    migrations(&bench, &[FIRST]);
    bench.bare("npx drizzle-kit migrate");
    let all = [FIRST, ("0001_second", "CREATE TABLE shop.second ();\n"), ("0002_fails", "SELECT 1 / 0;\n")];
    migrations(&bench, &all);
    let before = bench.contents();
    let report = bench.guard(&[], &command(), 10);
    assert_eq!(judged(&report), ("unchanged", false, "rolled_back"), "{report:#}");
    assert_eq!(list(&report, "still_pending"), ["0001_second.sql", "0002_fails.sql"]);
    // The number that the second's row had taken is gone all the same: no rollback gives numbers back.
    bench.differs_in(&before, &["~ SEQUENCE SET drizzle.__drizzle_migrations_id_seq"]);
}

#[test]
fn the_first_run_of_all_that_fails_leaves_the_tools_empty_table_which_is_no_change() {
    let bench = bench(Bench::alone());
    migrations(&bench, &[FIRST, ("0001_fails", "SELECT 1 / 0;\n")]);
    let report = bench.guard(&[], &command(), 10);
    assert_eq!(judged(&report), ("unchanged", false, "rolled_back"), "{report:#}");
    assert_eq!(bench.sql("SELECT count(*) FROM drizzle.__drizzle_migrations"), "0");
}

#[test]
fn a_commit_in_a_migration_leaves_a_part() {
    let bench = bench(Bench::new());
    migrations(&bench, &[FIRST]);
    bench.bare("npx drizzle-kit migrate");
    let commits =
        "CREATE TABLE shop.second ();\n--> statement-breakpoint\nCOMMIT;\n--> statement-breakpoint\nSELECT 1 / 0;\n";
    migrations(&bench, &[FIRST, ("0001_commits", commits)]);
    let before = bench.contents();
    let report = bench.guard(&[], &command(), 11);
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    assert!(report["warnings"].to_string().contains("TABLE shop.second (new)"), "{report:#}");
    bench.differs_in(&before, &["+ TABLE shop.second", "+ TABLE DATA shop.second"]);
    bench.undo("restore", &[]);
    bench.is_as_before(&before);
}

#[test]
fn a_deploy_script_that_records_one_of_two_is_not_as_planned_and_undone() {
    let bench = bench(Bench::new());
    migrations(&bench, &[FIRST]);
    bench.bare("npx drizzle-kit migrate");
    let all =
        [FIRST, ("0001_second", "CREATE TABLE shop.second ();\n"), ("0002_third", "CREATE TABLE shop.third ();\n")];
    migrations(&bench, &all[..2]);
    bench.bare("cp drizzle/meta/_journal.json short.json");
    migrations(&bench, &all);
    bench.write("drizzle/rollbacks/0001_second.sql", "DROP TABLE shop.second;\n");
    bench.write("drizzle/rollbacks/0002_third.sql", "DROP TABLE shop.third;\n");
    // It deploys by a journal of its own, and nobody can see that in the command.
    bench.write(
        "deploy.sh",
        "cp drizzle/meta/_journal.json whole.json; cp short.json drizzle/meta/_journal.json; npx drizzle-kit migrate; code=$?; \
         cp whole.json drizzle/meta/_journal.json; rm whole.json; exit $code\n",
    );
    let command = ["sh", "deploy.sh"];
    let hooks = ["--before", "echo on >> log", "--after", "echo off >> log"];
    let report = bench.guard(&hooks, &command, 11);
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    assert_eq!(
        (list(&report, "recorded"), list(&report, "still_pending")),
        (vec!["0001_second.sql"], vec!["0002_third.sql"])
    );
    let reasons = report["judgement"]["reasons"].to_string();
    assert!(reasons.contains("ended with success, but these are still pending: 0002_third.sql"), "{report:#}");
    let log = || std::fs::read_to_string(bench.scene.place.work().join("log")).unwrap();
    assert_eq!(log(), "on\n", "maintenance mode stays on");
    bench.scene.place.holdpoint(&["undo", "latest", "--way", "rollback", "--yes"]).ended_with(0);
    // The same where that was asked for beforehand.
    let restore = ["--on-failure", "restore", "--accept-data-loss-since", "2026-01-01T00:00:00Z"];
    let report = bench.guard(&[&hooks[..], &restore].concat(), &command, 12);
    assert_eq!(report["undo"]["state"], "undone", "{report:#}");
    assert_eq!(log(), "on\non\noff\n", "and off once it is undone");
    assert_eq!(bench.sql("SELECT to_regclass('shop.second') IS NULL AND to_regclass('shop.third') IS NULL"), "t");
}

#[test]
fn a_migration_that_drizzle_passes_over_is_refused_and_found_out_behind_a_script() {
    let bench = bench(Bench::new());
    let second = ("0001_second", "CREATE TABLE shop.second ();\n");
    let (merged, last) =
        (("0002_merged", "CREATE TABLE shop.merged ();\n"), ("0003_last", "CREATE TABLE shop.last ();\n"));
    migrations(&bench, &[FIRST, second]);
    bench.bare("npx drizzle-kit migrate");
    // From another branch: its time is before that of the last one that is applied.
    migrations(&bench, &[FIRST, second, merged, last]);
    bench.bare("sed -i 's/\"when\":3000/\"when\":1500/' drizzle/meta/_journal.json");
    let before = bench.contents();
    bench.try_guard(&[], &command()).ended_with(3).failure().says(&["0002_merged"]);
    bench.is_as_before(&before);
    bench.write("deploy.sh", "npx drizzle-kit migrate\n");
    let report = bench.guard(&[], &["sh", "deploy.sh"], 11);
    assert_eq!((judged(&report), &report["exit_code"]), (("partly_applied", false, "failed"), &json!(0)), "{report:#}");
    assert_eq!(
        (list(&report, "recorded"), list(&report, "still_pending")),
        (vec!["0003_last.sql"], vec!["0002_merged.sql"])
    );
}
