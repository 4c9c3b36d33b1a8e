//! kill -9 at each named step of an undo: `runs` tells the truth, and the same undo goes on from there.

use serde_json::Value;

use super::project::Project;

/// A run of Drizzle that dropped a column, with a script that adds it again.
fn dropped() -> (Project, String, Value) {
    let project = Project::drizzle();
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
    match phase {
        // Nothing of the undo is written before its own restore point is there.
        "copying-data" => {
            assert_eq!((while_it_lives.0.as_str(), now.0.as_str()), ("succeeded", "succeeded"), "{phase}")
        }
        _ => {
            assert_eq!(while_it_lives.0, "undoing", "{phase}");
            assert_eq!(now, ("interrupted_in_undo".to_owned(), true), "{phase}");
        }
    }
}

#[test]
fn an_undo_that_is_killed_at_any_step_goes_on_from_there() {
    let (project, before, report) = dropped();
    let run = report["run"].as_str().unwrap().to_owned();
    for phase in ["copying-data", "undoing", "fetching-tables", "changing-tables", "committing-change", "proving-undo"]
    {
        killed(&project, &run, &["recover"], phase);
    }
    let words = ["show", "run:latest", "--json"];
    let shown = project.scene.place.holdpoint(&words).ended_with(0).json();
    assert_eq!(shown["standing"], "interrupted_in_undo", "{:#}", shown["found"]);
    // No way named: the one at which it broke off.
    let undone = project.undo(&run, &[], 0).json();
    assert_eq!((&undone["plan"]["way"], &undone["state"]), (&"recover".into(), &"undone".into()), "{undone:#}");
    assert_eq!(project.shop(), before);
    assert_eq!(project.pending(), ["0001_drops.sql"]);
    let made = project.scene.place.holdpoint(&["list", "--json"]).ended_with(0).json();
    let labelled = made["points"].as_array().unwrap().iter().filter(|one| one["label"].is_string()).count();
    assert_eq!(labelled, 1, "one restore point before it, however often it broke off");
    project.scene.place.holdpoint(&["leftovers", "--remove", "--min-age", "0"]);
    project.run_the_tool();
    assert!(project.pending().is_empty());
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
    again.says(&["its undo swapped the databases"]).hints(&["holdpoint settle"]);
    assert_eq!(project.scene.cluster.psql("postgres", &oid), exchanged);
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
