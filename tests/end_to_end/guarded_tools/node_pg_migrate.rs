//! node-pg-migrate: one transaction for all, unless a migration steps out of it.

use serde_json::Value;

use super::{Bench, judged, list};

const TOOL: &str = "node_modules/node-pg-migrate/bin/node-pg-migrate.js";
pub(super) const UP: [&str; 3] = ["node", TOOL, "up"];

/// What the first migration leaves, and the tool's own table with its row.
const FIRST_AND_ITS_ROW: [&str; 10] = [
    "+ TABLE shop.first",
    "+ TABLE DATA shop.first",
    "+ CONSTRAINT shop.first first_pkey",
    "+ TABLE public.pgmigrations",
    "+ TABLE DATA public.pgmigrations",
    "+ CONSTRAINT public.pgmigrations pgmigrations_pkey",
    "+ DEFAULT public.pgmigrations id",
    "+ SEQUENCE public.pgmigrations_id_seq",
    "+ SEQUENCE OWNED BY public.pgmigrations_id_seq",
    "+ SEQUENCE SET public.pgmigrations_id_seq",
];

pub(super) fn bench(bench: Bench) -> Bench {
    let bench = bench.with_tool("node-pg-migrate");
    bench.write("package.json", "{\"devDependencies\":{\"node-pg-migrate\":\"9.0.0\"},\"type\":\"module\"}");
    bench.write("holdpoint.toml", &format!("[migrations]\ncommands = [\"node {TOOL} up\"]\n"));
    migration(&bench, "1_first", "CREATE TABLE shop.first (id integer PRIMARY KEY);");
    bench
}

pub(super) fn migration(bench: &Bench, name: &str, up: &str) {
    bench.write(&format!("migrations/{name}.sql"), &format!("-- Up Migration\n{up}\n"));
}

#[test]
fn success_is_judged_by_the_table_and_the_rehearsal() {
    let bench = bench(Bench::new());
    migration(&bench, "2_second", "ALTER TABLE shop.orders ADD COLUMN weight integer;");
    let words = ["guard", "--json", "--", "node", TOOL, "up"];
    let report = bench.scene.place.holdpoint(&words).ended_with(0).json();
    assert_eq!(judged(&report), ("fully_applied", true, "succeeded"), "{report:#}");
    assert_eq!(list(&report, "recorded"), ["1_first.sql", "2_second.sql"]);
    assert_eq!(list(&report, "still_pending"), [""; 0]);
    assert_eq!(list(&report, "unlike_rehearsal"), [""; 0], "{report:#}");
    // What it wrote is kept, and the ledger says where.
    let key = report["output"].as_str().unwrap();
    let output = String::from_utf8(bench.scene.place.object(key)).unwrap();
    assert!(output.contains("Migrations complete!"), "{output}");
    let tree = bench.scene.place.tree();
    let step = bench.scene.place.object(tree.ending_with("-succeeded.json").next().unwrap());
    let step: Value = serde_json::from_slice(&step).unwrap();
    assert_eq!((&step["judgement"]["verdict"], &step["output"]["key"]), (&report["verdict"], &report["output"]));
    assert!(step["origin"]["host"].is_string(), "{step:#}");
    // Nothing pending: nothing is asked for, and it is as planned.
    let report = bench.guard(&[], &UP, 0);
    assert_eq!((judged(&report).1, &report["point"]), (true, &Value::Null), "{report:#}");
}

#[test]
fn the_time_outs_are_in_force_and_that_is_shown() {
    let bench = bench(Bench::new());
    let held = bench.hold("SELECT count(*) FROM shop.orders");
    migration(
        &bench,
        "2_waits",
        "CREATE TABLE shop.told AS SELECT current_setting('lock_timeout') AS it; \
               ALTER TABLE shop.orders ADD COLUMN weight integer;",
    );
    let mut run = bench.start(&["--lock-timeout", "10m"], &UP);
    run.wait_until("the migration waits", super::LONG, || bench.waits_for_a_lock());
    bench.wait_until_looked_at();
    held.release();
    let report = run.finish().ended_with(0).json();
    assert_eq!(report["judgement"]["time_outs"], "yes", "{report:#}");
    assert_eq!(bench.sql("SELECT it FROM shop.told"), "10min");
}

#[test]
fn a_command_that_applies_one_of_two_is_not_as_planned() {
    let bench = bench(Bench::new());
    migration(&bench, "2_second", "ALTER TABLE shop.orders ADD COLUMN weight integer;");
    let report = bench.guard(&["--after", "touch after"], &["node", TOOL, "up", "1"], 11);
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    assert_eq!(
        (list(&report, "recorded"), list(&report, "still_pending")),
        (vec!["1_first.sql"], vec!["2_second.sql"])
    );
    assert!(report["warnings"].to_string().contains("still pending: 2_second.sql"), "{report:#}");
    assert!(!bench.scene.place.work().join("after").exists(), "maintenance mode stays");
}

#[test]
fn a_failure_in_the_transaction_leaves_nothing() {
    let bench = bench(Bench::alone());
    bench.bare(&format!("node {TOOL} up"));
    migration(&bench, "2_fails", "CREATE TABLE shop.second (id integer); SELECT 1 / 0;");
    let before = bench.contents();
    let report = bench.guard(&[], &UP, 10);
    assert_eq!(judged(&report), ("unchanged", false, "rolled_back"), "{report:#}");
    assert_eq!(list(&report, "still_pending"), ["2_fails.sql"]);
    bench.is_as_before(&before);
}

#[test]
fn the_first_run_of_all_that_fails_leaves_the_tools_empty_table_which_is_no_change() {
    let bench = bench(Bench::alone());
    migration(&bench, "1_first", "ALTER TABLE shop.orders ADD COLUMN weight integer; SELECT 1 / 0;");
    let report = bench.guard(&["--on-failure", "rollback"], &UP, 10);
    assert_eq!(judged(&report), ("unchanged", false, "rolled_back"), "{report:#}");
    assert!(report["warnings"].to_string().contains("its own table public.pgmigrations, which is empty"), "{report:#}");
    assert_eq!((bench.sql("SELECT count(*) FROM public.pgmigrations").as_str(), &report["undo"]), ("0", &Value::Null));
}

#[test]
fn what_others_do_while_a_migration_fails_is_not_undone_where_the_table_shows_that_nothing_was_kept() {
    let bench = bench(Bench::new());
    bench.bare(&format!("node {TOOL} up"));
    let waits =
        "SELECT pg_advisory_lock(7); UPDATE shop.orders SET note = note; ALTER TABLE shop.orders ADD CHECK (id < 0);";
    migration(&bench, "2_fails", waits);
    let held = bench.hold("SELECT pg_advisory_lock(7)");
    let flags = ["--lock-timeout", "0", "--on-failure", "restore", "--accept-data-loss-since", "2026-01-01T00:00:00Z"];
    let mut run = bench.start(&flags, &UP);
    run.wait_until("the migration waits", super::LONG, || bench.waits_for_a_lock());
    // Beside it somebody else makes a partition.
    bench.sql("CREATE TABLE shop.events_2026_12 AS SELECT 1 AS id");
    held.release();
    let report = run.finish().ended_with(11).json();
    assert_eq!(judged(&report), ("unknown", false, "failed"), "{report:#}");
    assert_eq!((list(&report, "recorded"), &report["undo"]), (Vec::<&str>::new(), &Value::Null), "{report:#}");
    assert!(report["warnings"].to_string().contains("nothing shows that a migration left anything"), "{report:#}");
    assert_eq!(bench.sql("SELECT to_regclass('shop.events_2026_12') IS NULL"), "f");
}

#[test]
fn what_a_run_changed_although_nothing_was_pending_is_not_taken_for_the_work_of_others() {
    let bench = bench(Bench::new());
    bench.bare(&format!("node {TOOL} up"));
    let sneaks = format!("psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE shop.sneaked ()'\nexec node {TOOL} up\n");
    bench.write("deploy.sh", &sneaks);
    bench.write("holdpoint.toml", "[migrations]\ncommands = [\"sh deploy.sh\"]\n");
    let flags = ["--on-failure", "restore", "--accept-data-loss-since", "2026-01-01T00:00:00Z"];
    // An undo was asked for, and there is nothing that it could go back to.
    let report = bench.guard(&flags, &["sh", "deploy.sh"], 13);
    assert_eq!(judged(&report).2, "failed", "{report:#}");
    assert!(report["undo_failure"].to_string().contains("it relied on no restore point"), "{report:#}");
}

#[test]
fn what_a_command_of_which_nothing_is_known_leaves_pending_is_told() {
    let bench = bench(Bench::new());
    let report = bench.guard(&[], &["true"], 0);
    assert!(report["warnings"].to_string().contains("still pending: 1_first.sql"), "{report:#}");
}

#[test]
fn one_that_steps_out_of_the_transaction_leaves_a_part() {
    let bench = bench(Bench::new());
    bench.write(
        "migrations/2_outside.js",
        "export const up = (pgm) => { pgm.noTransaction(); pgm.sql('CREATE TABLE shop.outside ()'); \
         pgm.sql('SELECT 1 / 0'); };\n",
    );
    let before = bench.contents();
    let report = bench.guard(&[], &UP, 11);
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    assert_eq!(list(&report, "recorded"), ["1_first.sql"], "{report:#}");
    assert_eq!(list(&report, "still_pending"), ["2_outside.js"]);
    bench.differs_in(
        &before,
        &[&FIRST_AND_ITS_ROW[..], &["+ TABLE shop.outside", "+ TABLE DATA shop.outside"]].concat(),
    );
    bench.undo("restore", &[]);
    bench.is_as_before(&before);
}

#[test]
fn one_that_says_failure_and_did_everything_is_told_so() {
    let bench = bench(Bench::new());
    bench.write("holdpoint.toml", "[migrations]\ncommands = [\"sh lies.sh\"]\n");
    bench.write("lies.sh", &format!("node {TOOL} up\nexit 1\n"));
    let report = bench.guard(&[], &["sh", "lies.sh"], 11);
    assert_eq!(judged(&report), ("fully_applied", false, "failed"), "{report:#}");
    assert!(report["warnings"].to_string().contains("the command failed, and yet everything"), "{report:#}");
}

#[test]
fn one_that_says_success_and_did_nothing_is_found_out() {
    let bench = bench(Bench::new());
    bench.write("holdpoint.toml", "[migrations]\ncommands = [\"sh lies.sh\"]\n");
    bench.write("lies.sh", "echo done\n");
    let report = bench.guard(&[], &["sh", "lies.sh"], 11);
    let (_, as_planned, state) = judged(&report);
    assert_eq!((as_planned, state, &report["exit_code"]), (false, "failed", &serde_json::json!(0)), "{report:#}");
    assert_eq!(list(&report, "still_pending"), ["1_first.sql"]);
    assert!(report["warnings"].to_string().contains("these are still pending: 1_first.sql"), "{report:#}");
}

#[test]
fn one_that_skips_a_migration_is_found_out() {
    let bench = bench(Bench::new());
    migration(&bench, "2_second", "CREATE TABLE shop.second ();");
    bench.write("holdpoint.toml", "[migrations]\ncommands = [\"sh lies.sh\"]\n");
    bench.write("lies.sh", &format!("node {TOOL} up 1\n"));
    let before = bench.contents();
    let report = bench.guard(&[], &["sh", "lies.sh"], 11);
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    assert_eq!(
        (list(&report, "recorded"), list(&report, "still_pending")),
        (vec!["1_first.sql"], vec!["2_second.sql"])
    );
    bench.differs_in(&before, &FIRST_AND_ITS_ROW);
    bench.undo("restore", &[]);
    bench.is_as_before(&before);
}

/// A command that applies the first of two, and then does this.
fn skips_the_second(bench: &Bench, then: &str) {
    migration(bench, "2_second", "CREATE TABLE shop.second ();");
    bench.write("holdpoint.toml", "[migrations]\ncommands = [\"sh lies.sh\"]\n");
    let url = bench.scene.cluster.tcp_url(&bench.scene.database);
    bench.write("lies.sh", &format!("node {TOOL} up 1\npsql -X -q '{url}' -c '{then}'\n"));
}

#[test]
fn one_that_skips_a_migration_is_no_success_where_its_table_cannot_be_read_afterwards() {
    let bench = bench(Bench::new());
    skips_the_second(&bench, "ALTER TABLE pgmigrations DROP COLUMN name");
    let way = ["--on-failure", "restore", "--accept-data-loss-since", "2026-01-01T00:00:00Z"];
    let report = bench.guard(&way, &["sh", "lies.sh"], 11);
    assert_eq!(judged(&report), ("unknown", false, "failed"), "{report:#}");
    let told = report["warnings"].to_string();
    assert!(told.contains("what was recorded could not be read: whether it ran 1_first.sql, 2_second.sql"), "{told}");
    assert!(told.contains("it was not undone by itself"), "nothing shows that anything is wrong: {told}");
}

#[test]
fn one_that_skips_a_migration_is_found_out_by_the_role_that_backs_up_where_the_other_may_not_connect() {
    let mut bench = bench(Bench::new());
    bench.sql(
        "DO $$ BEGIN CREATE ROLE migrates_once LOGIN PASSWORD 'migrates_once'; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    );
    let database = bench.scene.database.clone();
    bench.sql(&format!(
        "GRANT ALL ON DATABASE \"{database}\" TO migrates_once; GRANT ALL ON SCHEMA shop, public TO migrates_once"
    ));
    let cluster = bench.scene.cluster;
    bench.scene.place.set("HOLDPOINT_BACKUP_URL", &cluster.tcp_url(&database));
    bench.scene.place.set("DATABASE_URL", &cluster.tcp_url_as("migrates_once", "migrates_once", &database));
    skips_the_second(&bench, "ALTER ROLE migrates_once NOLOGIN");
    let report = bench.guard(&[], &["sh", "lies.sh"], 11);
    assert_eq!(judged(&report), ("partly_applied", false, "failed"), "{report:#}");
    assert_eq!(list(&report, "still_pending"), ["2_second.sql"]);
}

#[test]
fn somebody_who_migrates_without_holdpoint_is_not_joined() {
    let bench = bench(Bench::new());
    let _held = bench.hold("SELECT pg_advisory_lock(7241865325823964)");
    let before = bench.scene.before();
    let told = bench.scene.place.holdpoint(&["plan", "--fail-on", "stopped"]).ended_with(0).stderr;
    assert!(told.contains("somebody is migrating with node-pg-migrate") && told.contains("bystander"), "{told}");
    let failure = bench.try_guard(&[], &UP).ended_with(14).failure();
    failure.says(&["somebody else is migrating with node-pg-migrate", "bystander"]);
    assert_eq!(bench.scene.place.points(), Vec::<String>::new(), "told before a restore point is made");
    holdpoint_tests::assert_same("the database", &before.database, &bench.scene.before().database);
}
