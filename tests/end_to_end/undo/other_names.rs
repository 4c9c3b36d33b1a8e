//! What a run changes under another name, or by a trigger: it comes back, or the undo does not call itself done.

use serde_json::{Value, json};

use super::project::Project;

fn run(report: &Value) -> &str {
    report["run"].as_str().unwrap()
}

fn way<'a>(report: &'a Value, name: &str) -> Option<&'a Value> {
    report["ways_back"].as_array().unwrap().iter().find(|one| one["way"] == name)
}

/// The instant that a loss of what was written since has to be accepted from.
fn since(report: &Value) -> String {
    let command = way(report, "restore").unwrap()["command"].as_str().unwrap();
    command.split("--accept-data-loss-since ").nth(1).unwrap().to_owned()
}

fn open(undone: &Value) -> String {
    undone["undo"]["not_as_before"].to_string()
}

const REHEARSED: &[&str] = &["--applied-through", "none"];
const NOT_REHEARSED: &[&str] = &["--applied-through", "none", "--no-rehearse"];
const TABLE: &str = "CREATE TABLE shop.t (id integer PRIMARY KEY, v text, w integer); \
                     INSERT INTO shop.t SELECT i, 'v' || i, i FROM generate_series(1, 100) AS i;";
/// Stands for what keeps the time of the last change, or a search vector.
const TRIGGER: &str = "CREATE FUNCTION shop.sets() RETURNS trigger LANGUAGE plpgsql AS \
                       $$ BEGIN NEW.w := 0; RETURN NEW; END $$; \
                       CREATE TRIGGER sets BEFORE UPDATE ON shop.t FOR EACH ROW \
                       WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION shop.sets();";
const RENAMES: &str = "ALTER TABLE shop.t RENAME COLUMN w TO ww;\nUPDATE shop.t SET ww = 0, v = 'gone';\n";
const RENAMES_BACK: &str = "ALTER TABLE shop.t RENAME COLUMN ww TO w;\n";

/// A folder with one file, what undoes it, and a table of a hundred rows.
fn project(make: &str, up: &str, down: Option<&str>) -> Project {
    let mut project = Project::plain();
    project.scene.sql(&format!("{TABLE} {make}"));
    project.write("sql/1_only.sql", up);
    if let Some(down) = down {
        project.write("sql/rollback/1_only.sql", down);
    }
    project.scene.place.set("FILES", "sql/1_only.sql");
    project
}

/// What the column holds that the run took: 5050 before.
fn sum(project: &Project) -> String {
    project.scene.sql("SELECT sum(w) FROM shop.t")
}

#[test]
fn columns_that_a_run_changed_under_another_name_come_back() {
    let back = "UPDATE shop.t SET ww = 0;\nALTER TABLE shop.t RENAME COLUMN ww TO w;\n";
    let renames_itself_back = format!("ALTER TABLE shop.t RENAME COLUMN w TO ww;\n{back}");
    let another = "ALTER TABLE shop.t ADD COLUMN u integer;\nUPDATE shop.t SET u = -w;\n\
                   ALTER TABLE shop.t RENAME COLUMN w TO x;\nALTER TABLE shop.t RENAME COLUMN u TO w;\n\
                   ALTER TABLE shop.t DROP COLUMN x;\n";
    let drops = "ALTER TABLE shop.t RENAME COLUMN w TO ww;\nALTER TABLE shop.t DROP COLUMN ww;\n";
    for (make, up, down) in [
        ("", RENAMES, Some(RENAMES_BACK)),
        ("", &renames_itself_back, Some("SELECT 1;\n")),
        ("", another, None),
        ("", drops, None),
        (TRIGGER, "UPDATE shop.t SET v = 'x';\n", None),
    ] {
        for flags in [REHEARSED, NOT_REHEARSED] {
            let project = project(make, up, down);
            let before = project.shop();
            let report = project.guard(flags, 0);
            assert_ne!(project.shop(), before, "{up}");
            let recover = way(&report, "recover").unwrap();
            assert!(!recover["title"].to_string().contains("ww"), "by its name of before: {recover:#}");
            // What a run did that nobody rehearsed may be others'.
            let since = since(&report);
            let accepts = ["--way", "recover", "--accept-data-loss-since", &since];
            let accepts = if flags == REHEARSED { &accepts[..2] } else { &accepts[..] };
            let undone = project.undo(run(&report), accepts, 0).json();
            assert_eq!((&undone["state"], sum(&project)), (&json!("undone"), "5050".to_owned()), "{undone:#}");
            assert_eq!(project.shop(), before, "{up}{undone:#}");
            let done = undone["undo"]["done"].to_string();
            let claims = ["ww of shop.t", "x of shop.t", "u of shop.t", "ww, ", "u, "];
            assert!(!claims.iter().any(|claim| done.contains(claim)), "it brings none of these: {done}");
        }
    }
}

#[test]
fn a_rollback_that_leaves_what_the_run_changed_is_not_undone() {
    let writes = "ALTER TABLE shop.t RENAME COLUMN w TO ww;\nUPDATE shop.t SET ww = 0;\n";
    let adds = "ALTER TABLE shop.t ADD COLUMN n integer;\nUPDATE shop.t SET v = v;\n";
    for (make, up, down) in [("", writes, RENAMES_BACK), (TRIGGER, adds, "ALTER TABLE shop.t DROP COLUMN n;\n")] {
        for flags in [REHEARSED, NOT_REHEARSED] {
            let project = project(make, up, Some(down));
            let before = project.shop();
            let report = project.guard(flags, 0);
            let undone = project.undo(run(&report), &["--way", "rollback"], 11).json();
            assert_eq!((&undone["state"], sum(&project)), (&json!("undo_failed"), "0".to_owned()), "{undone:#}");
            assert!(open(&undone).contains("100 rows of shop.t have other values in w"), "{undone:#}");
            // The next way brings it back.
            let accepts = ["--way", "recover", "--accept-data-loss-since", &since(&report)];
            let undone = project.undo(run(&report), &accepts, 0).json();
            assert_eq!((&undone["state"], project.shop()), (&json!("undone"), before), "{undone:#}");
        }
    }
}

#[test]
fn what_neither_review_nor_rehearsal_saw_is_no_work_of_others() {
    // What the check of a domain calls that was there before is in no catalog that the review has.
    let make = "CREATE FUNCTION shop.takes(integer) RETURNS boolean LANGUAGE plpgsql AS \
                $$ BEGIN UPDATE shop.t SET w = 0 WHERE id <= 50; RETURN true; END $$; \
                CREATE DOMAIN shop.fine AS integer CHECK (shop.takes(VALUE))";
    let up = "UPDATE shop.t SET v = 'x' WHERE id > 50;\nCREATE TABLE shop.z (i shop.fine);\nINSERT INTO shop.z VALUES (1);\n";
    let project = project(make, up, Some("DROP TABLE shop.z;\n"));
    let report = project.guard(NOT_REHEARSED, 0);
    let accepts = ["--way", "recover", "--accept-data-loss-since", &since(&report)];
    let undone = project.undo(run(&report), &accepts, 11).json();
    let told = "50 rows of shop.t have other values in w: these were not known to be at risk, and nothing shows that the run \
                left them alone";
    assert!(open(&undone).contains(told), "{undone:#}");
    assert_eq!(project.scene.sql("SELECT count(*) FROM shop.t WHERE v = 'v' || id"), "100", "what was known came back");
}

#[test]
fn what_others_wrote_beside_a_run_is_theirs_only_where_that_is_shown() {
    let in_w = "1 rows of shop.t have other values in w: ";
    let nothing_shows =
        format!("{in_w}these were not known to be at risk, and nothing shows that the run left them alone");
    // A row that others wrote over hides what the run did there; one that it did not touch hides nothing.
    for (flags, up, told, code) in [
        (REHEARSED, "UPDATE shop.t SET v = 'x';\n", format!("{in_w}written since"), 0),
        (NOT_REHEARSED, "UPDATE shop.t SET v = 'x' WHERE id > 50;\n", format!("{in_w}written since"), 0),
        (NOT_REHEARSED, "UPDATE shop.t SET v = 'x';\n", nothing_shows, 11),
    ] {
        let project = project("", up, None);
        let report = project.guard(flags, 0);
        project.scene.sql("UPDATE shop.t SET w = -1 WHERE id = 7");
        let accepts = ["--way", "recover", "--accept-data-loss-since", &since(&report)];
        let undone = project.undo(run(&report), &accepts, code).json();
        assert!(undone["undo"].to_string().contains(&told), "{up}: {undone:#}");
        assert_eq!(project.scene.sql("SELECT w || v FROM shop.t WHERE id = 7"), "-1v7", "{up}");
    }
}

#[test]
fn what_others_wrote_under_the_other_name_is_counted_and_asked_for() {
    for flags in [REHEARSED, NOT_REHEARSED] {
        let project = project("", RENAMES, Some(RENAMES_BACK));
        let before = project.shop();
        let report = project.guard(flags, 0);
        project.scene.sql("UPDATE shop.t SET ww = 77 WHERE id IN (3, 4)");
        let failure = project.undo(run(&report), &["--way", "recover"], 3).failure();
        let rows = if flags == REHEARSED { 2 } else { 100 };
        let failure =
            failure.says(&[&format!("what others may have written into {rows} rows of shop.t (w, v) would be lost")]);
        assert!(!failure.told.contains("made by the run"), "it is the column of before: {}", failure.told);
        assert_eq!(project.scene.sql("SELECT ww FROM shop.t WHERE id = 3"), "77", "nothing was done");
        let accepts = ["--way", "recover", "--accept-data-loss-since", &since(&report)];
        let undone = project.undo(run(&report), &accepts, 0).json();
        assert_eq!((&undone["state"], project.shop()), (&json!("undone"), before), "{undone:#}");
    }
}

#[test]
fn a_column_that_nothing_renames_back_is_no_way_back_by_recover_and_that_is_told() {
    for flags in [REHEARSED, NOT_REHEARSED] {
        let project = project("", RENAMES, None);
        let report = project.guard(flags, 0);
        let told = "the run renames w of shop.t to ww, and nothing is there that renames it back";
        assert!(report["warnings"].to_string().contains(told), "{report:#}");
        assert!(way(&report, "recover").is_none(), "{:#}", report["ways_back"]);
        let failure = project.undo(run(&report), &["--way", "recover"], 3).failure();
        failure.says(&["the run renamed w of shop.t to ww"]);
    }
    // A way that was there when the run began, and is passed over, is told with the next one.
    let project = project("", "UPDATE shop.t SET v = 'x';\n", None);
    let report = project.guard(REHEARSED, 0);
    project.scene.sql("ALTER TABLE shop.t RENAME TO u");
    let planned = project.undo(run(&report), &["--dry-run"], 0).json();
    assert_eq!(planned["plan"]["way"], "restore", "{planned:#}");
    let told = "a better way is passed over: recover: shop.t (v) is at risk, and there is no table of that name now";
    assert!(planned["plan"]["warnings"].to_string().contains(told), "{planned:#}");
}

#[test]
fn drizzle_renames_a_column_and_writes_it() {
    let project = Project::drizzle();
    project.scene.sql(TABLE);
    let before = project.shop();
    let up =
        "ALTER TABLE shop.t RENAME COLUMN w TO ww;\n--> statement-breakpoint\nUPDATE shop.t SET ww = 0, v = 'gone';\n";
    project.write("drizzle/0001_renames.sql", up);
    project.write("drizzle/rollbacks/0001_renames.sql", RENAMES_BACK);
    project.journal(&["0000_first", "0001_renames"]);
    let report = project.guard(&[], 0);
    let undone = project.undo(run(&report), &[], 0).json();
    assert_eq!((&undone["plan"]["way"], sum(&project)), (&json!("recover"), "5050".to_owned()), "{undone:#}");
    assert_eq!(project.shop(), before);
}

#[test]
fn a_table_that_a_run_renamed_which_nobody_rehearsed_was_not_dropped_by_others() {
    let up = "ALTER TABLE shop.t RENAME TO t2;\nALTER TABLE shop.t2 DROP COLUMN v;\n";
    let project = project("", up, Some("ALTER TABLE shop.t2 RENAME TO t;\n"));
    let report = project.guard(NOT_REHEARSED, 0);
    let failure = project.undo(run(&report), &["--way", "restore"], 3).failure();
    let failure = failure.says(&["shop.t2 (the run renamed shop.t, and others may have written there since)"]);
    assert!(!failure.told.contains("was dropped"), "{}", failure.told);
}
