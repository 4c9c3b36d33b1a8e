//! Each way back with real tools: what is there afterwards, and the tool applies the migration again.

use serde_json::{Value, json};

use super::project::Project;
use crate::web::Web;

const DROPS: &str = "ALTER TABLE shop.orders DROP COLUMN note;\n";
const ADDS: &str = "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n";

fn first_way(report: &Value) -> &str {
    report["ways_back"][0]["way"].as_str().unwrap()
}

fn run(report: &Value) -> &str {
    report["run"].as_str().unwrap()
}

#[test]
fn scripts_of_drizzle_are_run_newest_first_and_the_tool_applies_again() {
    let project = Project::drizzle();
    let before = project.shop();
    project.write("drizzle/0001_adds.sql", ADDS);
    project.write("drizzle/0002_word.sql", "ALTER TABLE shop.tags ADD COLUMN word text;\n");
    project.write("drizzle/rollbacks/0001_adds.sql", "DROP TABLE shop.tags;\n");
    project.write("drizzle/rollbacks/0002_word.sql", "ALTER TABLE shop.tags DROP COLUMN word;\n");
    project.journal(&["0000_first", "0001_adds", "0002_word"]);
    let report = project.guard(&[], 0);
    assert_eq!(first_way(&report), "rollback", "{:#}", report["ways_back"]);
    let way = &report["ways_back"][0];
    assert_eq!(
        (&way["time_from"], &way["data_lost"]),
        (
            &json!("measured"),
            &json!(
                "nothing that was there before, as the rehearsal showed; what was written since into what the migration made goes"
            )
        ),
        "{way:#}"
    );
    assert!(way["command"].as_str().unwrap().starts_with(&format!("holdpoint undo {} --way rollback", run(&report))));
    assert!(project.pending().is_empty());

    let planned = project.undo(run(&report), &["--dry-run"], 0).json();
    assert_eq!(planned["plan"]["way"], "rollback", "{planned:#}");
    assert_eq!(
        planned["plan"]["steps"],
        json!(["drizzle/rollbacks/0002_word.sql (0002_word)", "drizzle/rollbacks/0001_adds.sql (0001_adds)"])
    );
    assert!(project.pending().is_empty(), "a dry run does nothing");

    let undone = project.undo(run(&report), &[], 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert_eq!(project.shop(), before);
    assert_eq!(project.pending(), ["0001_adds.sql", "0002_word.sql"]);
    let point = undone["undo"]["point"].as_str().unwrap();
    let shown = project.scene.place.holdpoint(&["show", point, "--json"]).ended_with(0).json();
    assert_eq!(shown["manifest"]["label"], json!(format!("before-undo-{}", run(&report))));
    assert_eq!(project.stands(), ("undone".to_owned(), false));
    // Its own restore point is never chosen.
    let latest = project.scene.place.holdpoint(&["show", "latest", "--json"]).ended_with(0).json();
    assert_eq!(latest["manifest"]["id"], report["point"]);

    project.undo(run(&report), &[], 3).failure().says(&["undone already"]);
    project.run_the_tool();
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.tags') IS NULL"), "f", "the tool applied them again");
    assert!(project.pending().is_empty());
}

#[test]
fn a_dropped_column_is_filled_again_after_the_script_that_adds_it() {
    let project = Project::drizzle();
    let before = project.shop();
    project.write("drizzle/0001_drops.sql", DROPS);
    project.write("drizzle/rollbacks/0001_drops.sql", "ALTER TABLE shop.orders ADD COLUMN note text;\n");
    project.journal(&["0000_first", "0001_drops"]);
    let report = project.guard(&[], 0);
    assert_eq!(first_way(&report), "recover", "{:#}", report["ways_back"]);
    // What came in meanwhile is no concern of the undo.
    project.scene.sql("DELETE FROM shop.events WHERE id <= 3");
    let after = project.shop();
    let undone = project.undo(run(&report), &[], 0).json();
    assert_eq!((&undone["state"], &undone["plan"]["way"]), (&json!("undone"), &json!("recover")), "{undone:#}");
    let orders = |shop: &str| shop.lines().find(|line| line.starts_with("orders ")).unwrap().to_owned();
    assert_eq!(orders(&project.shop()), orders(&before), "every value of the column is back");
    let events = |shop: &str| shop.lines().find(|line| line.starts_with("events ")).unwrap().to_owned();
    assert_eq!(events(&project.shop()), events(&after), "other tables keep what was written since");
    assert_eq!(project.pending(), ["0001_drops.sql"]);
    project.run_the_tool();
    assert!(project.pending().is_empty());
}

#[test]
fn without_a_script_a_column_is_added_as_it_was_and_filled() {
    let project = Project::drizzle();
    let before = project.shop();
    project.write("drizzle/0001_drops.sql", DROPS);
    project.journal(&["0000_first", "0001_drops"]);
    let report = project.guard(&[], 0);
    project.undo(run(&report), &["--way", "rollback"], 3).failure().says(&["no way back by rollback", "0001_drops"]);
    let undone = project.undo(run(&report), &["--way", "recover"], 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert_eq!(project.shop(), before);
    assert_eq!(project.pending(), ["0001_drops.sql"]);
    project.run_the_tool();
    assert!(project.pending().is_empty());
}

#[test]
fn the_tools_own_way_down_a_table_that_was_dropped_and_all_of_it() {
    let project = Project::node_pg_migrate();
    let before = project.shop();
    let write = |name: &str, up: &str, down: &str| {
        let text = format!("-- Up Migration\n{up}\n-- Down Migration\n{down}\n");
        project.write(&format!("migrations/{name}.sql"), &text);
    };
    write(
        "2_weight",
        "ALTER TABLE shop.orders ADD COLUMN weight integer;",
        "ALTER TABLE shop.orders DROP COLUMN weight;",
    );
    write("3_tags", ADDS, "DROP TABLE shop.tags;");
    let report = project.guard(&[], 0);
    assert_eq!(first_way(&report), "rollback", "{:#}", report["ways_back"]);
    let undone = project.undo("latest", &["--way", "rollback"], 0).json();
    assert_eq!(undone["undo"]["done"].as_array().unwrap().len(), 2, "{undone:#}");
    assert_eq!((project.shop(), project.pending()), (before.clone(), vec!["2_weight.sql".into(), "3_tags.sql".into()]));

    std::fs::remove_file(project.scene.place.work().join("migrations/2_weight.sql")).unwrap();
    std::fs::remove_file(project.scene.place.work().join("migrations/3_tags.sql")).unwrap();
    project.write("migrations/4_events.sql", "-- Up Migration\nDROP TABLE shop.events;\n");
    let report = project.guard(&[], 0);
    let undone = project.undo("latest", &["--way", "recover"], 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert_eq!((project.shop(), project.pending()), (before.clone(), vec!["4_events.sql".to_owned()]));

    // The same once more, and all of it as it was: of what the run itself dropped nothing can be lost.
    let again = project.guard(&[], 0);
    let undone = project.undo("latest", &["--way", "restore"], 0).json();
    let steps = undone["plan"]["steps"].to_string();
    assert!(steps.contains("that brings back what the run dropped: shop.events"), "{undone:#}");
    assert_eq!((&undone["state"], &undone["plan"]["run"]), (&json!("undone"), &again["run"]), "{undone:#}");
    assert_eq!((project.shop(), project.pending()), (before, vec!["4_events.sql".to_owned()]));
    project.run_the_tool();
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.events') IS NULL"), "t", "{}", run(&report));
}

#[test]
fn the_whole_database_is_swapped_and_only_what_somebody_accepts_is_lost() {
    let project = Project::drizzle();
    let before = project.shop();
    project.write("drizzle/0001_drops.sql", DROPS);
    project.journal(&["0000_first", "0001_drops"]);
    let report = project.guard(&[], 0);
    let alone = project.undo("latest", &["--way", "restore"], 3).failure();
    let orders = "shop.orders (the run changed its columns: what others wrote is not told apart)";
    assert!(
        alone.told.contains(&format!("{orders} would be lost")) && !alone.told.contains("(not by the run)"),
        "{}",
        alone.told
    );
    project.scene.sql(
        "DELETE FROM shop.events WHERE id <= 3; CREATE FUNCTION shop.theirs() RETURNS int LANGUAGE sql AS 'SELECT 1'; \
         GRANT SELECT ON shop.events TO PUBLIC;",
    );
    let failure = project.undo("latest", &["--way", "restore"], 3).failure();
    let told = format!("shop.events, {orders} would be lost");
    let failure =
        failure.says(&[&told, "ACL shop.TABLE events (not by the run)", "FUNCTION shop.theirs() (not by the run)"]);
    failure.hints(&["--accept-data-loss-since"]);
    let late = ["--way", "restore", "--accept-data-loss-since", "2099-01-01T00:00:00Z"];
    project.undo("latest", &late, 3).failure().says(&["only what was written since 2099"]);
    assert_eq!(project.stands(), ("succeeded".to_owned(), false), "a refusal changes nothing");
    // The run's report has the words.
    let restore = report["ways_back"].as_array().unwrap().iter().find(|one| one["way"] == "restore").unwrap();
    let since = restore["command"].as_str().unwrap().split("--accept-data-loss-since ").nth(1).unwrap();
    let undone = project.undo("latest", &["--way", "restore", "--accept-data-loss-since", since], 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert_eq!(project.shop(), before);
    assert_eq!(project.pending(), ["0001_drops.sql"]);
    let kept = undone["swap"]["kept_as"].as_str().unwrap();
    assert!(project.scene.cluster.psql("postgres", "SELECT datname FROM pg_database").contains(kept));
    project.run_the_tool();
    assert!(project.pending().is_empty());
    project.scene.place.backup();
}

#[test]
fn a_folder_of_files_is_pending_again() {
    let mut project = Project::plain();
    let before = project.shop();
    project.write("sql/1_adds.sql", ADDS);
    project.write("sql/rollback/1_adds.sql", "DROP TABLE shop.tags;\n");
    project.scene.place.set("FILES", "sql/1_adds.sql");
    let report = project.guard(&["--applied-through", "none"], 0);
    // What others wrote into what the run made is theirs.
    project.scene.sql("INSERT INTO shop.tags VALUES (1), (2)");
    let told = "2 rows that others wrote into shop.tags (made by the run) would be lost";
    project.undo(run(&report), &["--way", "rollback"], 3).failure().says(&[told]);
    assert_eq!(project.scene.sql("SELECT count(*) FROM shop.tags"), "2", "a refusal changes nothing");
    // What is too large to be read counts as theirs, and is said not to be counted.
    let large = ["--way", "rollback", "--compare-limit", "1K"];
    let told = "rows that others may have written into shop.tags (made by the run; not counted: it holds 8.0 KiB, and more \
                than 1.0 KiB are not read (--compare-limit))";
    project.undo(run(&report), &large, 3).failure().says(&[told]);
    let planned = project.undo(run(&report), &["--way", "rollback", "--dry-run"], 0).json();
    assert_eq!(planned["plan"]["taken"][0]["goes"]["others"], 2, "{planned:#}");
    let accepts = ["--way", "rollback", "--accept-data-loss-since", "2026-01-01T00:00:00Z"];
    let undone = project.undo(run(&report), &accepts, 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert_eq!(project.shop(), before);
    assert_eq!(project.pending(), ["1_adds.sql"], "the ledger says what is applied");
    project.guard(&[], 0);
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.tags') IS NULL"), "f");
    assert!(project.pending().is_empty());
}

#[test]
fn what_is_applied_in_part_is_to_be_looked_at_and_undone_as_far_as_it_is_there() {
    let project = Project::plain();
    let before = project.shop();
    project.write("sql/1_adds.sql", ADDS);
    project.write("sql/2_word.sql", "ALTER TABLE shop.tags ADD COLUMN word text;\n");
    project.write("sql/rollback/1_adds.sql", "DROP TABLE shop.tags;\n");
    project.write("sql/rollback/2_word.sql", "ALTER TABLE shop.tags DROP COLUMN word;\n");
    // Everything on the copy, and then the first file alone: and yet it ends with 0.
    let live = project.scene.cluster.data_directory();
    let apply = format!(
        "set -e\nhere=$(psql -X -At -c 'SHOW data_directory' \"$DATABASE_URL\")\n\
         [ $here = {} ] && FILES=sql/1_adds.sql || FILES='sql/1_adds.sql sql/2_word.sql'\n\
         for file in $FILES; do psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f $file; done\n",
        live.display()
    );
    project.write("apply.sh", &apply);
    let report = project.guard(&["--applied-through", "none"], 11);
    assert_eq!(report["judgement"]["verdict"], "partly_applied", "{report:#}");
    assert_eq!(project.pending(), ["1_adds.sql", "2_word.sql"], "nobody knows which of them ran");
    let words = ["plan", "--json", "--tool", "plain-sql", "--migrations", "sql"];
    let planned = project.scene.place.holdpoint(&words).json();
    let told = format!("run {} failed, broke off or did not do all", run(&report));
    assert!(planned["findings"].to_string().contains(&told), "{planned:#}");
    let undone = project.undo(run(&report), &["--way", "rollback"], 0).json();
    assert_eq!((&undone["state"], project.shop()), (&json!("undone"), before), "{undone:#}");
}

#[test]
fn rows_that_nothing_takes_away_again_are_not_as_before() {
    let project = Project::drizzle();
    let adds = "INSERT INTO shop.events (at, kind, body) VALUES (now(), 'seed', '{}');\n";
    project.write("drizzle/0001_rows.sql", adds);
    project.write("drizzle/rollbacks/0001_rows.sql", "SELECT setval('shop.orders_id_seq', 1);\n");
    project.journal(&["0000_first", "0001_rows"]);
    let report = project.guard(&["--no-rehearse"], 0);
    let rollback = report["ways_back"].as_array().unwrap().iter().find(|one| one["way"] == "rollback").unwrap();
    assert_eq!(rollback["loss"], "unknown", "{rollback:#}");
    let undone = project.undo(run(&report), &["--way", "rollback"], 11).json();
    let open = undone["undo"]["not_as_before"].to_string();
    assert!(open.contains("1 rows of shop.events are new: by the run or its undo"), "{undone:#}");
    assert!(open.contains("shop.orders_id_seq is behind where it stood"), "{undone:#}");
}

#[test]
fn a_run_that_fails_is_undone_at_once_where_that_was_asked_for() {
    let mut project = Project::plain_alone();
    let before = project.shop();
    project.write("sql/1_adds.sql", ADDS);
    project.write("sql/2_fails.sql", "CREATE INDEX events_id ON shop.events (id);\nSELECT 1 / 0;\n");
    project.write("sql/rollback/1_adds.sql", "DROP TABLE shop.tags;\n");
    project.write("sql/rollback/2_fails.sql", "DROP INDEX IF EXISTS shop.events_id;\n");
    // The third never runs, and neither does what would undo it.
    project.write("sql/3_never.sql", "CREATE TABLE shop.never ();\n");
    project.write("sql/rollback/3_never.sql", "CREATE TABLE shop.undone_too_much ();\n");
    project.scene.place.set("FILES", "sql/1_adds.sql sql/2_fails.sql sql/3_never.sql");
    // Who undoes has the lock of the run that failed all the while.
    let under_lock = "SELECT 1 / count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) \
                      WHERE locktype = 'advisory' AND granted AND application_name LIKE 'holdpoint guard %';\n";
    project.write("sql/rollback/1_adds.sql", &format!("DROP TABLE shop.tags;\n{under_lock}"));
    let web = Web::answering(&[200]);
    let hook = web.url("/hook");
    let flags = ["--applied-through", "none", "--no-rehearse", "--on-failure", "rollback", "--notify", &hook];
    let maintenance = ["--before", "echo on >> log", "--after", "echo off >> log"];
    let log = |project: &Project| std::fs::read_to_string(project.scene.place.work().join("log")).unwrap();
    let told = || serde_json::from_str::<Value>(&web.asked().last().unwrap().body).unwrap();
    let report = project.guard(&[&flags[..], &maintenance].concat(), 12);
    assert_eq!((&report["state"], &report["undo"]["state"]), (&json!("failed"), &json!("undone")), "{report:#}");
    assert_eq!((project.shop(), project.stands()), (before, ("undone".to_owned(), false)));
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.undone_too_much') IS NULL"), "t");
    assert!(report["undo"]["plan"]["warnings"].to_string().contains("3_never.sql"), "{report:#}");
    assert_eq!(log(&project), "on\noff\n", "maintenance mode is off once it is undone");
    assert_eq!((web.asked().len(), &told()["event"], &told()["state"]), (2, &json!("ended"), &json!("undone")));
    assert_eq!(told()["reasons"][0], "its command failed, and it was undone by rollback");
    let shown = project.scene.place.holdpoint(&["show", &format!("run:{}", run(&report)), "--json"]).ended_with(0);
    let shown = shown.json();
    assert_eq!(shown["steps"].as_array().unwrap().last().unwrap()["remarks"], json!(["what --after runs was run"]));

    // What left nothing is not undone: there is nothing to undo.
    project.scene.place.set("FILES", "");
    let report = project.guard(&flags[..5], 11);
    assert_eq!(
        (&report["verdict"], &report["undo"], &report["undo_failure"]),
        (&json!("unchanged"), &json!(null), &json!(null))
    );
    let open = report["ways_back"].as_array().unwrap().iter().all(|one| one["way"] == "beside");
    assert!(open, "{report:#}");
    project.scene.place.set("FILES", "sql/1_adds.sql sql/2_fails.sql sql/3_never.sql");
    project.scene.place.holdpoint(&["settle", "latest", "--reason", "it ran nothing"]).ended_with(0);

    // Rows in what it made may be others', where nobody rehearsed it: that is left to a person.
    project.write("sql/1_adds.sql", &format!("{ADDS}INSERT INTO shop.tags VALUES (7);\n"));
    let report = project.guard(&flags[..5], 13);
    let refused = report["undo_failure"].as_str().unwrap();
    assert!(refused.contains("1 rows that others may have written into shop.tags (made by the run)"), "{refused}");
    assert!(refused.contains("--way rollback --accept-data-loss-since"), "{refused}");
    assert_eq!(project.scene.sql("SELECT count(*) FROM shop.tags"), "1", "no script ran");
    project.scene.sql("DROP TABLE shop.tags; DROP INDEX shop.events_id");
    project.scene.place.holdpoint(&["settle", "latest", "--reason", "undone by hand"]).ended_with(0);
    project.write("sql/1_adds.sql", ADDS);

    // A way back that fails is the worst that can be told, and maintenance mode stays on.
    project.write("sql/rollback/1_adds.sql", "SELECT 1 / 0;\n");
    let report = project.guard(&[&flags[..], &maintenance].concat(), 13);
    assert_eq!(project.stands(), ("undo_failed".to_owned(), true), "{report:#}");
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.tags') IS NULL"), "f");
    assert_eq!(log(&project), "on\noff\non\n", "{report:#}");
    assert!(report["warnings"].to_string().contains("its undo, too: what --before did still holds"), "{report:#}");
    assert_eq!((web.asked().len(), &told()["state"]), (4, &json!("undo_failed")));
    assert!(told()["text"].as_str().unwrap().contains("the undo failed: "), "{:#}", told());
    // Mended, it is a script that nobody reviewed: it goes on from there only where somebody says so.
    project.write("sql/rollback/1_adds.sql", "DROP TABLE shop.tags;\n");
    let changed = "sql/rollback/1_adds.sql was changed since the run was planned";
    let failure = project.undo("latest", &["--way", "rollback"], 3).failure();
    failure.says(&[changed]).hints(&["--way rollback --accept-changed-rollback"]);
    let planned = project.undo("latest", &["--way", "rollback", "--dry-run"], 0).json();
    assert!(planned["plan"]["warnings"].to_string().contains(changed), "{planned:#}");
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.tags') IS NULL"), "f");
    let undone = project.undo("latest", &["--way", "rollback", "--accept-changed-rollback"], 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.tags') IS NULL"), "t");

    // What would take more than the migration made is left to a person, with the command.
    project.write("sql/rollback/1_adds.sql", "DROP TABLE shop.tags;\nDELETE FROM shop.orders;\n");
    let before = project.shop();
    let report = project.guard(&flags, 13);
    let told = report["undo_failure"].as_str().unwrap();
    assert!(told.contains("is not rolled back by itself") && told.contains("shop.orders"), "{told}");
    assert!(told.contains("sql/rollback/1_adds.sql:2") && told.contains("--way rollback"), "{told}");
    assert_eq!(project.stands(), ("failed".to_owned(), true));
    let orders = |shop: &str| shop.lines().find(|line| line.starts_with("orders ")).unwrap().to_owned();
    assert_eq!(orders(&project.shop()), orders(&before));
    let ways = report["ways_back"].as_array().unwrap();
    assert_eq!(ways.last().unwrap()["way"], "rollback", "what may lose more than a restore comes last: {ways:#?}");

    // A restore loses what others wrote: nothing but the flag says that it may, and an instant that has not come holds
    // for no restore point.
    let words = ["guard", "--json", "--yes", "--on-failure", "restore", "--", "false"];
    project.scene.place.holdpoint(&words).ended_with(2).failure().hints(&["--accept-data-loss-since"]);
    let points = || project.scene.place.tree().ending_with("manifest.json").count();
    let had = points();
    for way in ["restore", "rollback"] {
        let late = ["--on-failure", way, "--accept-data-loss-since", "2999-01-01T00:00:00Z"];
        let words = [&["guard", "--json", "--yes"], &late[..], &["--", "false"]].concat();
        let failure = project.scene.place.holdpoint(&words).ended_with(3).failure();
        failure.says(&["only what was written since 2999-01-01T00:00:00.000000Z may be lost"]);
    }
    assert_eq!(points(), had, "nothing was made for it");
}

#[test]
fn a_run_that_fails_is_swapped_away_at_once_where_the_loss_was_accepted() {
    let mut project = Project::plain_alone();
    let before = project.shop();
    project.write("sql/1_masks.sql", "UPDATE shop.customers SET name = 'masked';\nSELECT 1 / 0;\n");
    project.scene.place.set("FILES", "sql/1_masks.sql");
    let flags = ["--no-rehearse", "--applied-through", "none", "--on-failure", "restore"];
    let accepts = ["--accept-data-loss-since", "2026-01-01T00:00:00Z"];
    let report = project.guard(&[&flags[..], &accepts].concat(), 12);
    assert_eq!((&report["undo"]["state"], &report["state"]), (&"undone".into(), &"failed".into()), "{report:#}");
    assert_eq!(project.shop(), before);
    assert_eq!(project.stands(), ("undone".to_owned(), false));
    let kept = report["undo"]["swap"]["kept_as"].as_str().unwrap();
    assert!(project.scene.cluster.psql("postgres", "SELECT datname FROM pg_database").contains(kept));
}

#[test]
fn what_others_write_while_a_command_fails_is_not_undone_by_itself() {
    let mut project = Project::plain();
    let fails = "BEGIN; ALTER TABLE shop.customers ADD COLUMN note text; SELECT 1 / 0; COMMIT;\n";
    project.write("sql/1_fails.sql", fails);
    project.write("sql/rollback/1_fails.sql", "ALTER TABLE shop.customers DROP COLUMN note;\n");
    // A writer of somebody else's, in another table.
    project.write("busy.sql", "UPDATE shop.orders SET note = 'of others';\n");
    let accepts = ["--accept-data-loss-since", "2026-01-01T00:00:00Z"];
    // The last command ends with 0, and passed over the migration.
    let fails = "busy.sql sql/1_fails.sql";
    for (files, way, flags) in
        [(fails, "restore", &accepts[..]), (fails, "rollback", &[]), ("busy.sql", "restore", &accepts)]
    {
        project.scene.place.set("FILES", files);
        let on_failure = ["--no-rehearse", "--applied-through", "none", "--on-failure", way];
        let report = project.guard(&[&on_failure[..], flags].concat(), 11);
        assert_eq!((&report["state"], &report["undo"]), (&json!("failed"), &Value::Null), "{way}: {report:#}");
        assert!(report["warnings"].to_string().contains("nothing shows that a migration left anything"), "{report:#}");
        assert!(!report["ways_back"].as_array().unwrap().is_empty(), "a person may: {report:#}");
        assert_eq!(project.stands(), ("failed".to_owned(), true), "{way}");
        assert_eq!(project.scene.sql("SELECT count(*) > 0 FROM shop.orders WHERE note = 'of others'"), "t", "{way}");
        project.scene.place.holdpoint(&["settle", "latest", "--reason", "nothing was left", "--json"]).ended_with(0);
    }
}

#[test]
fn what_cannot_be_undone_is_refused_with_the_reason() {
    let project = Project::drizzle();
    project.undo("20261121T024300Z-k3f9", &[], 6).failure().says(&["no run 20261121T024300Z-k3f9"]);
    let nothing = project.guard(&[], 0);
    project.undo(run(&nothing), &[], 3).failure().says(&["cannot be undone"]);
    // Refused first, asked then.
    for (words, code) in [(["undo", run(&nothing), "--json"], 3), (["undo", "20261121T024300Z-k3f9", "--json"], 6)] {
        project.scene.place.holdpoint(&words).ended_with(code);
    }
    project.write("drizzle/0001_adds.sql", ADDS);
    project.write("drizzle/rollbacks/0001_adds.sql", "DROP TABLE shop.tags;\n");
    project.journal(&["0000_first", "0001_adds"]);
    let older = project.guard(&[], 0);
    project.write("drizzle/0002_word.sql", "ALTER TABLE shop.tags ADD COLUMN word text;\n");
    project.write("drizzle/rollbacks/0002_word.sql", "ALTER TABLE shop.tags DROP COLUMN word;\n");
    project.journal(&["0000_first", "0001_adds", "0002_word"]);
    let younger = project.guard(&[], 0);
    let failure = project.undo(run(&older), &[], 3).failure();
    failure.says(&["younger runs", run(&younger)]).hints(&[&format!("holdpoint undo {}", run(&younger))]);
    let words = ["undo", run(&younger), "--json"];
    project.scene.place.holdpoint(&words).ended_with(16).failure().says(&["nobody confirmed"]);
    project.undo(run(&younger), &[], 0);
    project.undo(run(&older), &[], 0);
    assert_eq!(project.pending(), ["0001_adds.sql", "0002_word.sql"]);

    // A run that somebody settled, and one whose restore point is gone.
    let third = project.guard(&[], 0);
    let folder = project.scene.place.repository().to_owned();
    let point = third["point"].as_str().unwrap();
    let manifest =
        project.scene.place.tree().ending_with("manifest.json").find(|key| key.contains(point)).unwrap().to_owned();
    std::fs::remove_file(folder.join(&manifest)).unwrap();
    project.undo(run(&third), &[], 3).failure().says(&["too old", point]);
    let step = project.scene.place.tree().ending_with("succeeded.json").last().unwrap().to_owned();
    let mut text: Value = serde_json::from_slice(&project.scene.place.object(&step)).unwrap();
    text["state"] = json!("failed");
    project.scene.place.put_object(&step, text.to_string().as_bytes());
    let words = ["settle", run(&third), "--reason", "looked at it", "--json"];
    project.scene.place.holdpoint(&words).ended_with(0);
    project.undo(run(&third), &[], 3).failure().says(&["is settled", "looked at it"]);
}
