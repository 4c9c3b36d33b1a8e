//! Scripts that fail: of what was never there, for another reason, or after a part of them was done.

use serde_json::{Value, json};

use super::project::Project;

const ROLLBACK: [&str; 3] = ["--way", "rollback", "--accept-changed-rollback"];

/// A folder whose second file failed before it did anything.
fn failed(mut project: Project) -> (Project, String, String) {
    let before = project.shop();
    project.write("sql/1_adds.sql", "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n");
    project.write("sql/2_word.sql", "SELECT 1 / 0;\nALTER TABLE shop.tags ADD COLUMN word text;\n");
    project.write("sql/rollback/1_adds.sql", "DROP TABLE shop.tags;\n");
    project.write("sql/rollback/2_word.sql", "ALTER TABLE shop.tags DROP COLUMN word;\n");
    project.scene.place.set("FILES", "sql/1_adds.sql sql/2_word.sql");
    let report = project.guard(&["--applied-through", "none", "--no-rehearse", "--level", "stored"], 11);
    (project, report["run"].as_str().unwrap().to_owned(), before)
}

fn begun(project: &Project, run: &str) -> Value {
    let shown = project.scene.place.holdpoint(&["show", &format!("run:{run}"), "--json"]).ended_with(0).json();
    shown["steps"].as_array().unwrap().last().unwrap()["undo"]["begun"].clone()
}

#[test]
fn a_script_is_of_something_that_was_never_there_only_where_the_server_says_that() {
    let (project, run, before) = failed(Project::plain());
    let role = format!("reads_{}", project.scene.database);
    project.scene.sql(&format!("CREATE ROLE {role}"));
    let word = "ALTER TABLE shop.tags DROP COLUMN word;\n";
    for (script, told) in [
        (format!("SET LOCAL ROLE {role};\n{word}"), "exit code 3, SQLSTATE 42501"),
        ("ALTER TABLE shop.orders ADD CONSTRAINT low CHECK (id < 0);\n".to_owned(), "exit code 3, SQLSTATE 23514"),
        ("SELECT pg_terminate_backend(pg_backend_pid());\n".to_owned(), "exit code 2"),
        ("ALTER TABLE shop.tags DROP word COLUMN;\n".to_owned(), "exit code 3, SQLSTATE 42601"),
        // psql's own words, after a notice of the server's that something is there already.
        ("CREATE TABLE IF NOT EXISTS shop.tags ();\n\\i nofile.sql\n".to_owned(), "exit code 3"),
    ] {
        project.write("sql/rollback/2_word.sql", &script);
        let outcome = project.undo(&run, &ROLLBACK, 13);
        let undone = outcome.json();
        let failure = undone["failure"].as_str().unwrap();
        assert!(failure.ends_with(&format!("2_word.sql (2_word.sql) ended with {told}")), "{failure}");
        // What psql says is as without the codes.
        let said = outcome.stderr.lines().find(|line| line.contains("ERROR:")).unwrap_or_default();
        assert!(!said.contains(": 42501: ") && !outcome.stderr.contains("LOCATION:"), "{}", outcome.stderr);
        assert_eq!(project.stands(), ("undo_failed".to_owned(), true));
        assert_eq!(project.scene.sql("SELECT to_regclass('shop.tags') IS NULL"), "f", "{script}");
        assert_eq!(begun(&project, &run), Value::Null, "{script}: nothing of it is there");
    }
    project.write("sql/rollback/2_word.sql", word);
    let outcome = project.undo(&run, &ROLLBACK, 0);
    assert_eq!((&outcome.json()["state"], project.shop()), (&json!("undone"), before));
    let shown = project.scene.place.holdpoint(&["show", &format!("run:{run}"), "--json"]).ended_with(0).json();
    let remarks: Vec<String> =
        shown["steps"].as_array().unwrap().iter().map(|step| step["remarks"].to_string()).collect();
    let told = "2_word.sql) ended with exit code 3, SQLSTATE 42703: what it works on is not there";
    assert!(remarks.iter().any(|remarks| remarks.contains(told)), "{remarks:#?}");
    assert!(
        outcome.stderr.contains("ERROR:  column \"word\" of relation \"tags\" does not exist"),
        "{}",
        outcome.stderr
    );
    project.scene.sql(&format!("DROP ROLE {role}"));
}

#[test]
fn of_a_script_that_failed_without_a_transaction_a_person_says_what_of_it_is_done() {
    let (project, run, before) = failed(Project::plain());
    project.scene.sql("CREATE INDEX tags_one ON shop.tags (id)");
    let drops = "DROP INDEX CONCURRENTLY shop.tags_one;\nDROP INDEX CONCURRENTLY shop.tags_two;\n";
    project.write("sql/rollback/2_word.sql", drops);
    let undone = project.undo(&run, &ROLLBACK, 13).json();
    let failure = undone["failure"].as_str().unwrap();
    assert!(failure.contains("SQLSTATE 42704, and what of it is done is not known"), "{failure}");
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.tags_one') IS NULL"), "t", "its first statement ran");
    assert_eq!(begun(&project, &run)["failed"], "exit code 3, SQLSTATE 42704");
    let refused = project.undo(&run, &ROLLBACK, 3).failure();
    let refused = refused.says(&["failed (exit code 3, SQLSTATE 42704), and what of it is done is not known"]);
    refused.hints(&["--unfinished-script done", "--unfinished-script again"]);
    // Run again it finds nothing, and fails in the same way: it is still a person's to say.
    let again = [&ROLLBACK[..], &["--unfinished-script", "again"]].concat();
    project.undo(&run, &again, 13);
    project.undo(&run, &ROLLBACK, 3).failure().says(&["what of it is done is not known"]);
    // One statement alone leaves nothing where what it works on is not there.
    project.write("sql/rollback/2_word.sql", "DROP INDEX CONCURRENTLY shop.tags_two;\n");
    let undone = project.undo(&run, &again, 0).json();
    assert_eq!((&undone["state"], &undone["undo"]["begun"], project.shop()), (&json!("undone"), &Value::Null, before));
}

#[test]
fn a_script_that_somebody_finished_by_hand_is_out_of_the_tools_table_too() {
    let project = Project::drizzle();
    let before = project.shop();
    project.write("drizzle/0001_adds.sql", "CREATE INDEX events_kind ON shop.events (kind);\n");
    let drops = "DROP INDEX CONCURRENTLY shop.events_kind;\nDROP INDEX CONCURRENTLY shop.events_none;\n";
    project.write("drizzle/rollbacks/0001_adds.sql", drops);
    project.journal(&["0000_first", "0001_adds"]);
    let report = project.guard(&["--level", "stored", "--no-rehearse"], 0);
    let run = report["run"].as_str().unwrap();
    project.undo(run, &ROLLBACK[..2], 13);
    assert!(project.pending().is_empty(), "the tool still has it recorded");
    let undone = project.undo(run, &["--unfinished-script", "done"], 0).json();
    let done = &undone["undo"]["done"];
    assert_eq!(done[1], "drizzle/rollbacks/0001_adds.sql (0001_adds) is pending again", "{undone:#}");
    assert_eq!((project.pending(), project.shop()), (vec!["0001_adds.sql".to_owned()], before));
    project.run_the_tool();
    assert!(project.pending().is_empty());
}

#[test]
fn a_script_whose_transaction_nobody_could_ask_for_is_told_as_that() {
    let mut project = Project::plain();
    project.write("sql/1_adds.sql", "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n");
    project
        .write("sql/rollback/1_adds.sql", "SET LOCAL transaction_isolation = 'serializable';\nDROP TABLE shop.tags;\n");
    project.scene.place.set("FILES", "sql/1_adds.sql");
    let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
    let run = report["run"].as_str().unwrap();
    let words = ["undo", run, "--json", "--yes", "--way", "rollback", "--tool", "plain-sql", "--migrations", "sql"];
    let mut undo = project.scene.place.start_paused(&words, "recording-undo");
    undo.wait_for_pause();
    undo.kill();
    undo.finish().ended_with(137);
    while project.stands().0 == "undoing" {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let refused = project.undo(run, &[], 3).failure();
    refused.says(&["says itself what kind it is", "all of it may be there, or nothing"]);
    assert_eq!(project.undo(run, &["--unfinished-script", "done"], 0).json()["state"], "undone");
}

#[test]
fn a_file_that_a_script_includes_counts_as_the_script() {
    let mut project = Project::plain();
    let before = project.shop();
    project.write("sql/1_adds.sql", "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n");
    project.write("sql/rollback/1_adds.sql", "\\ir parts/tags.psql\n");
    project.write("sql/rollback/parts/tags.psql", "DROP TABLE shop.tags;\n");
    project.scene.place.set("FILES", "sql/1_adds.sql");
    let report = project.guard(&["--applied-through", "none", "--level", "stored", "--no-rehearse"], 0);
    let run = report["run"].as_str().unwrap();
    project.write("sql/rollback/parts/tags.psql", "DROP TABLE shop.tags;\nDELETE FROM shop.orders;\n");
    let failure = project.undo(run, &["--way", "rollback"], 3).failure();
    failure.says(&["what sql/rollback/1_adds.sql includes was changed since the run was planned"]);
    project.write("sql/rollback/parts/tags.psql", "DROP TABLE shop.tags;\n");
    let undone = project.undo(run, &["--way", "rollback"], 0).json();
    assert_eq!((&undone["state"], project.shop()), (&"undone".into(), before), "{undone:#}");
}
