//! What goes with a CASCADE of the scripts that undo a run: others' work is told and asked for, the run's own is not.

use serde_json::{Value, json};

use super::project::Project;

const REHEARSED: &[&str] = &["--applied-through", "none"];
const NOT_REHEARSED: &[&str] = &["--applied-through", "none", "--no-rehearse"];
/// Everything here that hangs on something else is the run's own.
const UP: &str = "CREATE SCHEMA ns;\nCREATE TABLE ns.z (id serial PRIMARY KEY, n text);\n\
                  CREATE TABLE shop.tags (id integer REFERENCES ns.z (id));\n\
                  CREATE VIEW shop.seen AS SELECT id FROM ns.z;\nCREATE INDEX ON ns.z (n);\n";
const DOWN: &str = "DROP TABLE shop.tags;\nDROP SCHEMA ns CASCADE;\n";
const OTHERS: &str = "CREATE TABLE ns.mine (id integer PRIMARY KEY); INSERT INTO ns.mine SELECT generate_series(1, 50); \
                      CREATE TABLE shop.kid (x integer) INHERITS (ns.z); INSERT INTO shop.kid (id) VALUES (7), (8); \
                      CREATE MATERIALIZED VIEW shop.kept AS SELECT * FROM ns.z";

fn run(report: &Value) -> &str {
    report["run"].as_str().unwrap()
}

fn since(report: &Value) -> String {
    let restore = report["ways_back"].as_array().unwrap().iter().find(|one| one["way"] == "restore").unwrap();
    restore["command"].as_str().unwrap().split("--accept-data-loss-since ").nth(1).unwrap().to_owned()
}

fn project(up: &str, down: &str) -> Project {
    let mut project = Project::plain();
    project.write("sql/1_only.sql", up);
    project.write("sql/rollback/1_only.sql", down);
    project.scene.place.set("FILES", "sql/1_only.sql");
    project
}

#[test]
fn what_others_made_is_told_and_goes_only_where_somebody_accepts_that() {
    let drops = format!("{UP}ALTER TABLE shop.orders DROP COLUMN note;\n");
    let adds = format!("{DOWN}ALTER TABLE shop.orders ADD COLUMN note text;\n");
    for (way, up, down) in [("rollback", UP, DOWN), ("recover", &drops, &adds)] {
        for flags in [REHEARSED, NOT_REHEARSED] {
            let project = project(up, down);
            let before = project.shop();
            let report = project.guard(flags, 0);
            let planned = project.undo(run(&report), &["--way", way, "--dry-run"], 0).json();
            assert_eq!(planned["plan"]["goes_along"], Value::Null, "all of it is the run's own: {planned:#}");

            project.scene.sql(OTHERS);
            let planned = project.undo(run(&report), &["--way", way, "--dry-run"], 0).json();
            let goes = json!([
                { "object": "materialized view shop.kept", "rows": 2 },
                { "object": "table ns.mine", "rows": 50 },
                { "object": "table shop.kid", "rows": 2 },
            ]);
            assert_eq!(planned["plan"]["goes_along"], goes, "{planned:#}");
            assert!(
                planned["plan"]["warnings"].to_string().contains("--accept-data-loss-since is needed"),
                "{planned:#}"
            );
            let failure = project.undo(run(&report), &["--way", way], 3).failure();
            failure
                .says(&["table ns.mine with 50 rows (goes with a CASCADE of the scripts)", "would be lost"])
                .hints(&[&format!("--way {way} --accept-data-loss-since {}", since(&report))]);
            assert_eq!(project.scene.sql("SELECT count(*) FROM ns.mine"), "50", "nothing was done");
            assert_eq!(project.stands(), ("succeeded".to_owned(), false));

            let accepts = ["--way", way, "--accept-data-loss-since", &since(&report)];
            let undone = project.undo(run(&report), &accepts, 0).json();
            assert_eq!((&undone["plan"]["goes_along"], project.shop()), (&goes, before), "{undone:#}");
        }
    }
}

#[test]
fn a_table_that_is_dropped_with_cascade_takes_what_hangs_on_it() {
    let project = project(
        "CREATE TABLE shop.tags (id integer PRIMARY KEY);\nINSERT INTO shop.tags VALUES (1);\n",
        "TRUNCATE shop.tags CASCADE;\nALTER TABLE shop.tags DROP CONSTRAINT tags_pkey CASCADE;\n\
         DROP TABLE IF EXISTS shop.tags CASCADE;\n",
    );
    let report = project.guard(REHEARSED, 0);
    project.scene.sql(
        "CREATE TABLE shop.mine (id integer CONSTRAINT points REFERENCES shop.tags); INSERT INTO shop.mine VALUES (1); \
         CREATE TABLE shop.tags_too (LIKE shop.tags)",
    );
    let failure = project.undo(run(&report), &["--way", "rollback"], 3).failure();
    let failure = failure.says(&["contents of table shop.mine with 1 rows (goes with a CASCADE of the scripts), \
         table constraint points on shop.mine (goes with a CASCADE of the scripts)"]);
    assert!(!failure.told.contains("tags_too") && !failure.told.contains(", table shop.mine"), "{}", failure.told);
    let text = project.scene.place.holdpoint(&[
        "undo",
        run(&report),
        "--way",
        "rollback",
        "--dry-run",
        "--tool",
        "plain-sql",
        "--migrations",
        "sql",
    ]);
    let text = text.ended_with(0).stdout;
    assert!(text.contains("goes with a CASCADE of the scripts, and the run did not make it"), "{text}");
    project.scene.sql("DROP TABLE shop.mine, shop.tags_too");
    project.undo(run(&report), &["--way", "rollback"], 0);
}
