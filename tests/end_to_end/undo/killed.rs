//! kill -9 of an undo where going on needs more than its record: after an exchange, and while a script runs.

use serde_json::Value;

use super::project::Project;

/// A run of Drizzle that dropped a column, with a script that adds it again.
fn dropped() -> (Project, String, Value) {
    let project = Project::drizzle_alone();
    let before = project.shop();
    project.write("drizzle/0001_drops.sql", "ALTER TABLE shop.orders DROP COLUMN note;\n");
    project.write("drizzle/rollbacks/0001_drops.sql", "ALTER TABLE shop.orders ADD COLUMN note text;\n");
    project.journal(&["0000_first", "0001_drops"]);
    let report = project.guard(&["--level", "stored"], 0);
    (project, before, report)
}

#[track_caller]
fn killed(project: &Project, run: &str, way: &[&str], phase: &str) {
    let words = [&["undo", run, "--json", "--yes", "--way"], way].concat();
    let mut undo = project.scene.place.start_paused(&words, phase);
    undo.wait_for_pause();
    let while_it_lives = project.stands();
    undo.kill();
    undo.finish().ended_with(137);
    // The server notices the end of a client when it next waits for it.
    let mut now = project.stands();
    while now.0 == "undoing" {
        std::thread::sleep(std::time::Duration::from_millis(50));
        now = project.stands();
    }
    assert_eq!(while_it_lives.0, "undoing", "{phase}");
    assert_eq!(now, ("interrupted_in_undo".to_owned(), true), "{phase}");
}

#[test]
fn a_restore_that_is_killed_right_after_its_exchange_exchanges_nothing_again() {
    let (project, before, report) = dropped();
    let run = report["run"].as_str().unwrap();
    let restore = report["ways_back"].as_array().unwrap().iter().find(|one| one["way"] == "restore").unwrap();
    let since = restore["command"].as_str().unwrap().split("--accept-data-loss-since ").nth(1).unwrap();
    let way = ["restore", "--accept-data-loss-since", since];
    killed(&project, run, &way, "recording-identity");
    assert_eq!(project.shop(), before, "the copy is in the live one's place");
    let oid = format!("SELECT oid FROM pg_database WHERE datname = '{}'", project.scene.database);
    let exchanged = project.scene.cluster.psql("postgres", &oid);
    let again = project.undo(run, &[&["--way"], &way[..]].concat(), 3).failure();
    again.says(&["its undo swapped the databases"]).hints(&["holdpoint leftovers --remove", "holdpoint settle"]);
    assert_eq!(project.scene.cluster.psql("postgres", &oid), exchanged);
    // As the refusal says: the folder follows, a look, and then somebody declares it done.
    project.scene.place.holdpoint(&["leftovers", "--remove", "--json"]).ended_with(0);
    let compared = ["compare", &format!("before:{run}"), "--json"];
    let compared = project.scene.place.holdpoint(&compared).ended_with(0).json();
    assert_eq!(compared["tables"]["differences"], serde_json::json!([]), "{compared:#}");
    let words = ["settle", run, "--reason", "the copy is in its place", "--json"];
    project.scene.place.holdpoint(&words).ended_with(0);
    assert_eq!(project.stands(), ("settled".to_owned(), false));
    project.guard(&["--level", "stored"], 0);
    assert!(project.pending().is_empty());
}

#[test]
fn a_script_that_ran_when_its_undo_was_killed_is_done_once() {
    let project = Project::drizzle();
    let before = project.shop();
    project.write("drizzle/0001_adds.sql", "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n");
    project
        .write("drizzle/rollbacks/0001_adds.sql", "DROP TABLE shop.tags;\nDO $$ BEGIN PERFORM pg_sleep(3); END $$;\n");
    project.journal(&["0000_first", "0001_adds"]);
    let report = project.guard(&["--level", "stored"], 0);
    let run = report["run"].as_str().unwrap();
    let mut undo = project.scene.place.start(&["undo", run, "--json", "--yes", "--way", "rollback"]);
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_sleep(3)%'";
    let within = std::time::Duration::from_secs(120);
    undo.wait_until("the script runs", within, || project.scene.sql(sleeps) == "1");
    undo.kill();
    undo.finish().ended_with(137);
    while project.scene.sql(sleeps) != "0" {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // Whether psql outlived holdpoint or not, it did all of it or nothing.
    let gone = project.scene.sql("SELECT to_regclass('shop.tags') IS NULL") == "t";
    assert_eq!(project.pending().len(), usize::from(gone));
    let mut now = project.stands();
    while now.0 == "undoing" {
        std::thread::sleep(std::time::Duration::from_millis(50));
        now = project.stands();
    }
    assert_eq!(now, ("interrupted_in_undo".to_owned(), true));
    let undone = project.undo(run, &[], 0).json();
    assert_eq!((&undone["plan"]["way"], &undone["state"]), (&"rollback".into(), &"undone".into()), "{undone:#}");
    assert_eq!(project.shop(), before);
}

/// Kills an undo where it pauses, and waits until `runs` says so.
fn killed_at(project: &Project, words: &[&str], phase: &str) {
    let mut undo = project.scene.place.start_paused(words, phase);
    undo.wait_for_pause();
    undo.kill();
    undo.finish().ended_with(137);
    interrupted(project);
}

fn interrupted(project: &Project) {
    let mut now = project.stands();
    while now.0 == "undoing" {
        std::thread::sleep(std::time::Duration::from_millis(50));
        now = project.stands();
    }
    assert_eq!(now, ("interrupted_in_undo".to_owned(), true));
}

/// A folder without a tool, whose one script must not run twice; with what is run before it commits.
fn halves(mut project: Project, and: &str) -> (Project, String, String) {
    let before = project.shop();
    project.write("sql/1_first.sql", "UPDATE shop.products SET price = price * 2;\n");
    let back = format!("UPDATE shop.products SET price = price / 2;\n{and}");
    project.write("sql/rollback/1_first.sql", &back);
    project.scene.place.set("FILES", "sql/1_first.sql");
    let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
    (project, report["run"].as_str().unwrap().to_owned(), before)
}

const PLAIN: [&str; 4] = ["--tool", "plain-sql", "--migrations", "sql"];

#[test]
fn a_script_of_a_folder_that_was_committed_before_the_kill_is_not_run_again() {
    let (project, run, before) = halves(Project::plain(), "");
    let words = [&["undo", &run, "--json", "--yes", "--way", "rollback"][..], &PLAIN].concat();
    killed_at(&project, &words, "recording-undo");
    assert_eq!(project.shop(), before, "it was committed");
    let script = "sql/rollback/1_first.sql (1_first.sql)";
    let shown = project.scene.place.holdpoint(&["show", &format!("run:{run}"), "--json"]).ended_with(0).json();
    let undo = &shown["steps"].as_array().unwrap().last().unwrap()["undo"];
    assert_eq!((&undo["begun"]["script"], &undo["done"]), (&script.into(), &Value::Null), "{undo:#}");
    let planned = project.undo(&run, &["--dry-run"], 0).json();
    assert_eq!(planned["plan"]["done"], serde_json::json!([script]), "{planned:#}");
    let undone = project.undo(&run, &[], 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert_eq!((&undone["undo"]["done"], &undone["undo"]["begun"]), (&serde_json::json!([script]), &Value::Null));
    assert_eq!((project.shop(), project.pending()), (before, vec!["1_first.sql".to_owned()]));
}

#[test]
fn after_a_restart_a_number_may_be_another_transactions() {
    let (project, run, before) = halves(Project::plain_alone(), "");
    let words = [&["undo", &run, "--json", "--yes", "--way", "rollback"][..], &PLAIN].concat();
    killed_at(&project, &words, "recording-undo");
    project.scene.cluster.restart();
    let failure = project.undo(&run, &[], 3).failure();
    failure.says(&["the server was started again since transaction"]).hints(&["--unfinished-script done"]);
    assert_eq!(project.stands(), ("interrupted_in_undo".to_owned(), true));
    let undone = project.undo(&run, &["--unfinished-script", "done"], 0).json();
    assert_eq!((&undone["state"], project.shop()), (&"undone".into(), before), "{undone:#}");
}

#[test]
fn a_script_of_a_folder_that_was_rolled_back_after_the_kill_runs_again() {
    let waits = "DO $$ BEGIN IF to_regclass('public.hold') IS NOT NULL THEN PERFORM pg_sleep(600); END IF; END $$;\n";
    let (project, run, before) = halves(Project::plain(), waits);
    let words = [&["undo", &run, "--json", "--yes", "--way", "rollback"][..], &PLAIN].concat();
    project.scene.sql("CREATE TABLE public.hold ()");
    let mut undo = project.scene.place.start(&words);
    let sleeps = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%public.hold%' \
                  AND datname = current_database()";
    undo.wait_until("the script waits", std::time::Duration::from_secs(120), || project.scene.sql(sleeps) == "1");
    undo.kill();
    undo.finish().ended_with(137);
    // Its client may have outlived holdpoint, and then it is at work.
    if project.scene.sql(sleeps) == "1" {
        project.undo(&run, &[], 14).failure().says(&["is still at work"]);
    }
    project.scene.sql(&sleeps.replace("count(*)", "count(pg_terminate_backend(pid))"));
    while project.scene.sql(sleeps) != "0" {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    project.scene.sql("DROP TABLE public.hold");
    interrupted(&project);
    assert_ne!(project.shop(), before, "it was rolled back");
    let undone = project.undo(&run, &[], 0).json();
    assert_eq!((&undone["state"], project.shop()), (&"undone".into(), before), "{undone:#}");
}

#[test]
fn of_a_script_without_a_transaction_a_person_says_whether_it_ran() {
    let mut project = Project::plain();
    let before = project.shop();
    for (name, column) in [("1_at", "at"), ("2_kind", "kind")] {
        project
            .write(&format!("sql/{name}.sql"), &format!("CREATE INDEX events_{column} ON shop.events ({column});\n"));
        let back = format!("DROP INDEX CONCURRENTLY shop.events_{column};\n");
        project.write(&format!("sql/rollback/{name}.sql"), &back);
    }
    project.scene.place.set("FILES", "sql/1_at.sql sql/2_kind.sql");
    let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
    let run = report["run"].as_str().unwrap();
    let words = [&["undo", run, "--json", "--yes", "--way", "rollback"][..], &PLAIN].concat();
    killed_at(&project, &words, "recording-undo");
    let told =
        "sql/rollback/2_kind.sql (2_kind.sql) had begun when the undo broke off, and whether it ended is not known";
    let failure = project.undo(run, &[], 3).failure();
    failure.says(&[told]).hints(&["--unfinished-script done", "--unfinished-script again", "holdpoint settle"]);
    let planned = project.undo(run, &["--dry-run"], 0).json();
    assert!(planned["plan"]["warnings"].to_string().contains("--unfinished-script is needed"), "{planned:#}");

    // It ran, as a look at the database shows; the next breaks off before it began.
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.events_kind') IS NULL"), "t");
    killed_at(&project, &[&words[..], &["--unfinished-script", "done"]].concat(), "undoing");
    let planned = project.undo(run, &["--dry-run"], 0).json();
    let done = serde_json::json!(["sql/rollback/2_kind.sql (2_kind.sql)"]);
    assert_eq!(planned["plan"]["done"], done, "what somebody said is kept: {planned:#}");
    // Of the other one nothing is there, once somebody has made its index again: it may run again.
    killed_at(&project, &words, "recording-undo");
    project.scene.sql("CREATE INDEX events_at ON shop.events (at)");
    let undone = project.undo(run, &["--unfinished-script", "again"], 0).json();
    assert_eq!((&undone["state"], project.shop()), (&"undone".into(), before), "{undone:#}");
    let left = "SELECT count(*) FROM pg_indexes WHERE indexname IN ('events_at', 'events_kind')";
    assert_eq!(project.scene.sql(left), "0");
}
