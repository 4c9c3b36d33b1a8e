//! What an undo takes, and what the run leaves beside rows of tables: told as not as before, and gone by nobody's look.

use serde_json::{Value, json};

use super::project::Project;

/// A run that relies on no older proof is rehearsed, however little it does.
const ANEW: &[&str] = &["--max-age", "1s"];

fn way<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["ways_back"].as_array().unwrap().iter().find(|one| one["way"] == name).unwrap()
}

fn run(report: &Value) -> &str {
    report["run"].as_str().unwrap()
}

fn open(undone: &Value) -> String {
    undone["undo"]["not_as_before"].to_string()
}

/// One file, and what undoes it.
fn project(up: &str, down: &str) -> Project {
    let mut project = Project::plain();
    project.write("sql/1_only.sql", up);
    project.write("sql/rollback/1_only.sql", down);
    project.scene.place.set("FILES", "sql/1_only.sql");
    project
}

#[test]
fn a_script_that_deletes_rows_of_a_table_that_was_there_is_gone_only_by_somebody_who_looked() {
    let up = "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n\
              INSERT INTO shop.events (at, kind, body) SELECT now(), 'seed', '{}' FROM generate_series(1, 3);\n";
    let project = project(up, "DELETE FROM shop.events WHERE kind = 'seed';\nDROP TABLE shop.tags;\n");
    let before = project.shop();
    // The command fails on production alone, once it has done its work.
    let live = project.scene.cluster.data_directory();
    let apply = format!(
        "set -e\npsql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f sql/1_only.sql\n\
         [ $(psql -X -At -c 'SHOW data_directory' \"$DATABASE_URL\") != {} ]\n",
        live.display()
    );
    project.write("apply.sh", &apply);
    let report = project.guard(&["--applied-through", "none", "--on-failure", "rollback"], 13);
    let rollback = way(&report, "rollback");
    assert_eq!((&rollback["loss"], &rollback["time_from"]), (&json!("of_tables_at_risk"), &json!("measured")));
    let lost = rollback["data_lost"].as_str().unwrap();
    assert!(lost.contains("others wrote since into shop.events") && lost.contains("1_only.sql:1"), "{lost}");
    assert!(rollback["conditions"].to_string().contains("somebody has to look first"), "{rollback:#}");
    let told = report["undo_failure"].as_str().unwrap();
    assert!(told.contains("is not rolled back by itself") && told.contains("shop.events"), "{told}");
    assert_eq!(project.stands(), ("failed".to_owned(), true));
    let seeds = || project.scene.sql("SELECT count(*) FROM shop.events WHERE kind = 'seed'");
    assert_eq!(seeds(), "3", "nothing was undone");

    // Somebody goes it all the same: what it took of others is told, although the table holds what it held.
    project.scene.sql("INSERT INTO shop.events (at, kind, body) VALUES (now(), 'seed', '{}')");
    let undone = project.undo(run(&report), &["--way", "rollback"], 11).json();
    assert_eq!((seeds(), project.shop()), ("0".to_owned(), before), "{undone:#}");
    assert!(open(&undone).contains("4 rows of shop.events that were there when the undo began are gone"), "{undone:#}");
}

#[test]
fn rows_that_the_run_added_may_go_and_one_more_may_not() {
    let seeds = "INSERT INTO shop.events (at, kind, body) SELECT now(), 'seed', '{}' FROM generate_series(1, 3);\n";
    let project = project(seeds, "DELETE FROM shop.events WHERE kind = 'seed';\n");
    let before = project.shop();
    let report = project.guard(&["--applied-through", "none"], 0);
    let undone = project.undo(run(&report), &["--way", "rollback"], 0).json();
    assert_eq!((&undone["state"], project.shop()), (&json!("undone"), before), "{undone:#}");

    let report = project.guard(ANEW, 0);
    project.scene.sql("INSERT INTO shop.events (at, kind, body) VALUES (now(), 'seed', '{}')");
    let undone = project.undo(run(&report), &["--way", "rollback"], 11).json();
    let told = "4 rows of shop.events that were there when the undo began are gone, and the run added 3";
    assert!(open(&undone).contains(told), "{undone:#}");
}

#[test]
fn settings_and_large_objects_that_the_run_leaves_are_not_as_before() {
    let project = project("SELECT 1;\n", "SELECT 1;\n");
    project.scene.sql("SELECT lo_from_bytea(900001, 'first'), lo_from_bytea(900002, 'second')");
    let database = &project.scene.database;
    let sets = format!(
        "ALTER DATABASE \"{database}\" SET work_mem = '8MB';\nCOMMENT ON DATABASE \"{database}\" IS 'migrated';\n\
         SELECT lo_from_bytea(900003, 'third'), lo_unlink(900001);\nSELECT lo_put(900002, 0, 'S');\n"
    );
    project.write("sql/1_only.sql", &sets);
    let report = project.guard(&["--applied-through", "none"], 0);
    let undone = project.undo(run(&report), &["--way", "rollback"], 11).json();
    for told in [
        "setting work_mem for all roles stays: by the run, or set since",
        "comment of the database is not as before",
        "1 large objects (900001) are gone",
        "1 large objects (900002) have another content",
        "1 large objects (900003) are new: by the run or its undo",
    ] {
        assert!(open(&undone).contains(told), "{told}: {undone:#}");
    }

    // A script that takes all of it back, beside what others wrote.
    project.scene.sql("SELECT lo_unlink(900003), lo_from_bytea(900001, 'first'); SELECT lo_put(900002, 0, 's')");
    project
        .scene
        .sql(&format!("ALTER DATABASE \"{database}\" RESET work_mem; COMMENT ON DATABASE \"{database}\" IS NULL"));
    let words = ["settle", run(&report), "--reason", "put right by hand", "--json"];
    project.scene.place.holdpoint(&words).ended_with(0);
    project.write("sql/2_more.sql", &format!("ALTER DATABASE \"{database}\" SET work_mem = '9MB';\n"));
    project.write("sql/rollback/2_more.sql", &format!("ALTER DATABASE \"{database}\" RESET work_mem;\n"));
    let mut project = project;
    project.scene.place.set("FILES", "sql/2_more.sql");
    let report = project.guard(&[ANEW, &["--applied-through", "1_only.sql"]].concat(), 0);
    project.scene.sql("SELECT lo_from_bytea(900004, 'others')");
    let undone = project.undo(run(&report), &["--way", "rollback"], 0).json();
    let proof = undone["undo"]["proof"].to_string();
    assert!(proof.contains("owner, grants, comment and settings of the database are as before"), "{undone:#}");
    assert!(proof.contains("1 large objects (900004) are new: written since, for the run makes none"), "{undone:#}");
}

/// A table in two partitions without a key, and one of another kind beside.
const PARTITIONED: &str = "CREATE TABLE shop.readings (at date, note text) PARTITION BY RANGE (at);
    CREATE TABLE shop.readings_2025 PARTITION OF shop.readings FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    CREATE TABLE shop.readings_2026 PARTITION OF shop.readings FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    INSERT INTO shop.readings SELECT date '2025-06-01' + i, 'x' FROM generate_series(1, 300) i;";

#[test]
fn each_partition_is_looked_at_and_one_that_is_as_before_is_shown_to_be_without_a_key() {
    let adds = "INSERT INTO shop.readings VALUES ('2026-05-05', 'seed');\n";
    let project = project(adds, "DELETE FROM shop.readings WHERE note = 'seed';\n");
    project.scene.sql(PARTITIONED);
    let report = project.guard(&["--applied-through", "none"], 0);
    // Others write elsewhere: that is no reason to doubt the partitions.
    project.scene.sql("INSERT INTO shop.events (at, kind, body) VALUES (now(), 'other', '{}')");
    let undone = project.undo(run(&report), &["--way", "rollback"], 0).json();
    let proof = undone["undo"]["proof"].to_string();
    let told = "rows of shop.readings_2025, shop.readings_2026 are those of the restore point";
    assert!(proof.contains(told), "{undone:#}");

    // What a script leaves in a partition is the run's, though the run named the table above.
    project.write("sql/rollback/1_only.sql", "DELETE FROM shop.readings WHERE note = 'nothing';\n");
    let report = project.guard(&[], 0);
    let undone = project.undo(run(&report), &["--way", "rollback"], 11).json();
    assert!(open(&undone).contains("rows of shop.readings_2026 differ"), "{undone:#}");
    assert!(!open(&undone).contains("readings_2025"), "{undone:#}");
}

/// A rollback, whatever others wrote into what the run made.
const ACCEPTED: [&str; 4] = ["--way", "rollback", "--accept-data-loss-since", "2026-01-01T00:00:00Z"];

#[test]
fn rows_that_moved_to_another_partition_and_those_of_a_partition_that_goes_are_told() {
    let moves = "UPDATE shop.readings SET at = '2026-12-05' WHERE at = '2025-12-05';\n";
    let project = project(moves, "UPDATE shop.readings SET note = note WHERE false;\n");
    project.scene.sql(PARTITIONED);
    project.scene.sql("ALTER TABLE shop.readings ADD PRIMARY KEY (at)");
    let report = project.guard(&["--applied-through", "none"], 0);
    let undone = project.undo(run(&report), &["--way", "rollback"], 11).json();
    for told in ["rows of shop.readings_2025 are gone", "rows of shop.readings_2026 are new"] {
        assert!(open(&undone).contains(told), "{told}: {undone:#}");
    }
    let words = ["settle", run(&report), "--reason", "looked at it", "--json"];
    project.scene.place.holdpoint(&words).ended_with(0);

    // A partition that the run made goes again, with what others wrote into it through the table that was there.
    let makes = "CREATE TABLE shop.readings_2027 PARTITION OF shop.readings \
                 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');\n";
    project.write("sql/2_makes.sql", makes);
    project.write("sql/rollback/2_makes.sql", "DROP TABLE shop.readings_2027;\n");
    let mut project = project;
    project.scene.place.set("FILES", "sql/2_makes.sql");
    let report = project.guard(&[ANEW, &["--applied-through", "1_only.sql"]].concat(), 0);
    let rollback = way(&report, "rollback");
    assert_eq!(rollback["loss"], "of_tables_at_risk", "{rollback:#}");
    let lost = rollback["data_lost"].as_str().unwrap();
    assert!(lost.contains("into shop.readings,") && lost.contains("2_makes.sql:1"), "{rollback:#}");
    project.scene.sql("INSERT INTO shop.readings VALUES ('2027-05-05', 'others')");
    let told = "1 rows that others wrote into shop.readings_2027 (made by the run) would be lost";
    project.undo(run(&report), &["--way", "rollback"], 3).failure().says(&[told]);
    let undone = project.undo(run(&report), &ACCEPTED, 11).json();
    assert!(open(&undone).contains("1 rows of shop.readings_2027 that were there when the undo began"), "{undone:#}");
}

#[test]
fn rows_that_went_while_the_command_ran_are_told_where_no_review_could_see_it() {
    // What the check of a domain calls that was there before is in no catalog that the review has.
    let project =
        project("CREATE TABLE shop.z (i shop.fine);\nINSERT INTO shop.z VALUES (1);\n", "DROP TABLE shop.z;\n");
    project
        .scene
        .sql("CREATE TABLE shop.taken (id integer PRIMARY KEY); INSERT INTO shop.taken SELECT generate_series(1, 9)");
    project.scene.sql(
        "CREATE FUNCTION shop.takes(integer) RETURNS boolean LANGUAGE plpgsql AS \
         $$ BEGIN DELETE FROM shop.taken WHERE id < 5; RETURN true; END $$",
    );
    project.scene.sql("CREATE DOMAIN shop.fine AS integer CHECK (shop.takes(VALUE))");
    let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
    assert_eq!(project.scene.sql("SELECT count(*) FROM shop.taken"), "5");
    project.scene.sql("INSERT INTO shop.events (at, kind, body) VALUES (now(), 'later', '{}')");
    // Nobody rehearsed it: the row in the table that it made may be others'.
    let undone = project.undo(run(&report), &ACCEPTED, 0).json();
    let (proof, look) = (undone["undo"]["proof"].to_string(), undone["warnings"].to_string());
    let told = "(0 inserted, 0 updated, 4 deleted)";
    assert!(
        proof.contains(&format!(
            "rows of shop.taken were written since the restore point, also while the command ran {told}"
        )),
        "{undone:#}"
    );
    assert!(look.contains(&format!("rows of shop.taken went or changed while the command ran {told}")), "{undone:#}");
    // What others wrote afterwards is still told as that.
    let later = "rows of shop.events were written since the restore point, and not while the command ran: they were not at risk";
    assert!(proof.contains(later) && !look.contains("shop.events"), "{undone:#}");
    let ledger =
        project.scene.place.holdpoint(&["show", &format!("run:{}", run(&report)), "--json"]).ended_with(0).json();
    assert!(ledger.to_string().contains("brings none of them back"), "{ledger:#}");
}

#[test]
fn a_default_that_takes_rows_is_no_additive_migration() {
    let up = "CREATE TABLE shop.z (i integer DEFAULT shop.takes());\nINSERT INTO shop.z DEFAULT VALUES;\n";
    let project = project(up, "DROP TABLE shop.z;\n");
    project
        .scene
        .sql("CREATE TABLE shop.taken (id integer PRIMARY KEY); INSERT INTO shop.taken SELECT generate_series(1, 9)");
    project.scene.sql(
        "CREATE FUNCTION shop.takes() RETURNS integer LANGUAGE plpgsql AS \
         $$ BEGIN DELETE FROM shop.taken WHERE id < 5; RETURN 1; END $$",
    );
    let report = project.guard(&["--applied-through", "none"], 0);
    assert_eq!(way(&report, "rollback")["loss"], json!("known"), "{report:#}");
    let undone = project.undo(run(&report), &["--way", "rollback"], 11).json();
    assert!(open(&undone).contains("4 rows of shop.taken are gone"), "{undone:#}");
}

#[test]
fn a_table_that_nobody_wrote_is_not_called_written_since() {
    let project =
        project("ALTER TABLE shop.orders ADD COLUMN n integer;\n", "ALTER TABLE shop.orders DROP COLUMN n;\n");
    let report = project.guard(&["--applied-through", "none"], 0);
    let undone = project.undo(run(&report), &["--way", "rollback"], 0).json();
    let proof = undone["undo"]["proof"].to_string();
    assert!(!proof.contains("written since"), "{undone:#}");
    assert!(proof.contains("tables hold exactly the restore point's rows"), "{undone:#}");
}

#[test]
fn roles_and_slots_that_a_run_left_are_told_with_the_plan_and_with_the_result() {
    let mut project = Project::plain_alone();
    project.scene.sql("CREATE ROLE app_left LOGIN");
    let made = "CREATE ROLE made_by_run;\nALTER ROLE app_left NOLOGIN;\nGRANT made_by_run TO app_left;\n\
                SELECT pg_create_physical_replication_slot('left_by_run');\nALTER TABLE shop.orders ADD COLUMN n integer;\n";
    project.write("sql/1_first.sql", made);
    project.write("sql/rollback/1_first.sql", "ALTER TABLE shop.orders DROP COLUMN n;\n");
    project.scene.place.set("FILES", "sql/1_first.sql");
    let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
    let run = report["run"].as_str().unwrap();
    let way = report["ways_back"].as_array().unwrap().iter().find(|one| one["way"] == "rollback").unwrap();
    let condition = "stay as the run leaves them: 1_first.sql:1 CREATE ROLE, 1_first.sql:2 ALTER ROLE";
    assert!(way["conditions"].to_string().contains(condition), "{way:#}");

    let told = [
        "membership of app_left in made_by_run is still there",
        "replication slot left_by_run is still there",
        "role app_left is not as before",
        "role made_by_run is still there",
    ];
    let planned = project.undo(run, &["--way", "rollback", "--dry-run"], 0).json();
    let undone = project.undo(run, &["--way", "rollback"], 0).json();
    for told in told {
        assert!(planned["plan"]["warnings"].to_string().contains(told), "{told}: {planned:#}");
        assert!(undone["warnings"].to_string().contains(told), "{told}: {undone:#}");
    }
    project.scene.sql("SELECT pg_drop_replication_slot('left_by_run')");
}

#[test]
fn a_column_that_still_has_what_it_was_added_with_shows_nobodys_work() {
    let adds = "ALTER TABLE shop.orders ADD COLUMN weight integer NOT NULL DEFAULT 5;\n";
    let project = project(adds, "ALTER TABLE shop.orders DROP COLUMN weight;\n");
    let report = project.guard(&["--applied-through", "none"], 0);
    project
        .scene
        .sql("UPDATE shop.orders SET note = note WHERE id <= 3; UPDATE shop.orders SET weight = 7 WHERE id = 1");
    let planned = project.undo(run(&report), &["--way", "rollback", "--dry-run"], 0).json();
    assert_eq!(planned["plan"]["taken"][0]["goes"]["may_be_others"], 1, "{planned:#}");
    let undone = project.undo(run(&report), &["--way", "rollback"], 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
}

#[test]
fn a_constraint_that_is_still_not_enforced_is_not_as_before() {
    let disables = "ALTER TABLE shop.parts DISABLE TRIGGER ALL;\nALTER TABLE shop.parts ADD COLUMN w integer;\n";
    let project = project(disables, "ALTER TABLE shop.parts DROP COLUMN w;\n");
    project
        .scene
        .sql("CREATE TABLE shop.parts (id integer PRIMARY KEY, of integer CONSTRAINT whole REFERENCES shop.parts)");
    let report = project.guard(&["--applied-through", "none"], 0);
    let unenforced = "unenforced constraint whole of shop.parts is still there";
    let warned = |way: &str| {
        let accepts = ["--way", way, "--dry-run", "--accept-data-loss-since", "2026-01-01T00:00:00Z"];
        project.undo(run(&report), &accepts, 0).json()["plan"]["warnings"].to_string().contains(unenforced)
    };
    assert!(warned("rollback") && !warned("restore"), "a restore makes it anew");
    let undone = project.undo(run(&report), &["--way", "rollback"], 11).json();
    assert!(open(&undone).contains(unenforced), "{undone:#}");
}
