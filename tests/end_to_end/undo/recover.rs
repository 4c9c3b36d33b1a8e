//! `undo --way recover`: what others did since is not taken back unasked, and what cannot come back is known before.

use serde_json::{Value, json};

use super::project::Project;

fn run(report: &Value) -> &str {
    report["run"].as_str().unwrap()
}

/// A folder of files, each applied in its turn, with this one.
fn guarded(sql: &str) -> (Project, Value, String) {
    let mut project = Project::plain();
    let before = project.shop();
    project.write("sql/1_first.sql", sql);
    project.scene.place.set("FILES", "sql/1_first.sql");
    let report = project.guard(&["--applied-through", "none"], 0);
    (project, report, before)
}

/// The instant that the restore of the same run asks for.
fn since(report: &Value) -> String {
    let restore = report["ways_back"].as_array().unwrap().iter().find(|one| one["way"] == "restore").unwrap();
    restore["command"].as_str().unwrap().split("--accept-data-loss-since ").nth(1).unwrap().to_owned()
}

fn points(project: &Project) -> usize {
    project.scene.place.tree().ending_with("manifest.json").count()
}

#[test]
fn rows_that_others_deleted_come_back_only_where_somebody_accepts_that() {
    let (project, report, _) = guarded("DELETE FROM shop.events WHERE id <= 5;\n");
    let dry = || project.undo(run(&report), &["--way", "recover", "--dry-run"], 0).json()["plan"].clone();
    let none = json!({ "rows": 0, "others": 0, "may_be_others": 0 });
    let own = json!({ "rows": 5, "others": 0, "may_be_others": 0 });
    let planned = dry();
    assert_eq!(
        planned["taken"],
        json!([{ "table": "shop.events", "come_back": own, "set_back": none }]),
        "{planned:#}"
    );
    assert_eq!(planned["steps"], json!(["rows of shop.events that are gone from the restore point"]));
    assert!(!planned["warnings"].to_string().contains("--accept-data-loss-since"), "{planned:#}");

    project.scene.sql("DELETE FROM shop.events WHERE id = 7; UPDATE shop.events SET kind = 'theirs' WHERE id = 8");
    let planned = dry();
    let theirs = json!({ "rows": 6, "others": 1, "may_be_others": 0 });
    assert_eq!(planned["taken"], json!([{ "table": "shop.events", "come_back": theirs, "set_back": none }]));
    let told = "--accept-data-loss-since is needed: others' deletion of 1 rows of shop.events would be lost";
    assert!(planned["warnings"].to_string().contains(told), "{planned:#}");
    let had = points(&project);
    let failure = project.undo(run(&report), &["--way", "recover"], 3).failure();
    failure
        .says(&["others' deletion of 1 rows of shop.events would be lost: written since"])
        .hints(&[&format!("--way recover --accept-data-loss-since {}", since(&report))])
        .hints(&[&format!("holdpoint undo {} --tool plain-sql --migrations ", run(&report))]);
    let late = ["--way", "recover", "--accept-data-loss-since", "2099-01-01T00:00:00Z"];
    project.undo(run(&report), &late, 3).failure().says(&["only what was written since 2099"]);
    assert_eq!((project.stands(), points(&project)), (("succeeded".to_owned(), false), had), "nothing was done");

    let accepts = ["--way", "recover", "--accept-data-loss-since", &since(&report)];
    let undone = project.undo(run(&report), &accepts, 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    let found =
        project.scene.sql("SELECT count(*), count(*) FILTER (WHERE kind = 'theirs') FROM shop.events WHERE id <= 8");
    assert_eq!(found, "8|1", "the run changes no row, so what others wrote is left");
    assert!(
        undone["undo"]["proof"].to_string().contains("1 rows of shop.events have other values in kind: written since")
    );
}

#[test]
fn what_others_write_while_the_undo_makes_its_own_restore_point_is_asked_for() {
    let (project, report, _) = guarded("UPDATE shop.customers SET name = upper(name) WHERE id <= 5;\n");
    let words = ["undo", run(&report), "--json", "--yes", "--way", "recover"];
    let mut undo = project.scene.place.start_paused(&words, "snapshot-exported");
    undo.wait_for_pause();
    let point = report["point"].as_str().unwrap();
    let shown = project.scene.place.holdpoint(&["show", point, "--json"]).ended_with(0).json();
    assert!(shown["pins"].to_string().contains("\"reading-"), "no prune takes it meanwhile: {shown:#}");
    project.scene.sql("UPDATE shop.customers SET name = 'Theirs' WHERE id = 3");
    undo.go_on();
    undo.finish()
        .ended_with(3)
        .failure()
        .says(&["others may have written into 1 rows of shop.customers (name) would be lost"]);
    assert_eq!(project.scene.sql("SELECT name FROM shop.customers WHERE id = 3"), "Theirs");
    assert_eq!(project.stands(), ("succeeded".to_owned(), false), "nothing was done");
}

#[test]
fn rows_that_others_changed_are_set_back_only_where_somebody_accepts_that() {
    let (project, report, before) = guarded("UPDATE shop.customers SET name = upper(name);\n");
    let rows: u64 = project.scene.sql("SELECT count(*) FROM shop.customers").parse().unwrap();
    let dry = || project.undo(run(&report), &["--way", "recover", "--dry-run"], 0).json()["plan"]["taken"][0].clone();
    let of = |others: u64| json!({ "rows": rows, "others": 0, "may_be_others": others });
    assert_eq!((&dry()["columns"], &dry()["set_back"]), (&json!(["name"]), &of(0)));
    // Every row is one that the run changed: only its last writer tells that it was not the run.
    project.scene.sql("UPDATE shop.customers SET name = 'Theirs' WHERE id IN (3, 4)");
    assert_eq!(dry()["set_back"], of(2));
    let told = "what others may have written into 2 rows of shop.customers (name) would be lost";
    project.undo(run(&report), &[], 3).failure().says(&[told]).hints(&["--way recover --accept-data-loss-since"]);
    assert_eq!(project.scene.sql("SELECT name FROM shop.customers WHERE id = 3"), "Theirs");
    let accepts = ["--accept-data-loss-since", &since(&report)];
    let undone = project.undo(run(&report), &accepts, 0).json();
    assert_eq!((&undone["plan"]["way"], &undone["state"]), (&json!("recover"), &json!("undone")), "{undone:#}");
    assert_eq!(project.shop(), before);
}

#[test]
fn without_a_rehearsal_what_the_run_did_may_be_others() {
    let mut project = Project::plain();
    project.write("sql/1_first.sql", "UPDATE shop.orders SET note = 'x' WHERE id <= 3;\n");
    project.scene.place.set("FILES", "sql/1_first.sql");
    let before = project.shop();
    let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
    let told = "what others may have written into 3 rows of shop.orders (note) would be lost";
    project.undo(run(&report), &["--way", "recover"], 3).failure().says(&[told]);
    let accepts = ["--way", "recover", "--accept-data-loss-since", &since(&report)];
    project.undo(run(&report), &accepts, 0);
    assert_eq!(project.shop(), before);
}

#[test]
fn what_scripts_may_take_of_tables_that_were_there_is_asked_for_before() {
    let mut project = Project::plain();
    let before = project.shop();
    project.write(
        "sql/1_first.sql",
        "UPDATE shop.orders SET note = 'x' WHERE id <= 3;\n\
         INSERT INTO shop.events (at, kind, body) VALUES (now(), 'seed', '{}');\n",
    );
    project.write("sql/rollback/1_first.sql", "DELETE FROM shop.events WHERE kind = 'seed';\n");
    project.scene.place.set("FILES", "sql/1_first.sql");
    let report = project.guard(&["--applied-through", "none"], 0);
    let way = report["ways_back"].as_array().unwrap().iter().find(|one| one["way"] == "recover").unwrap();
    let told = "what undoes the migrations may take or change rows of shop.events that others wrote";
    assert!(way["conditions"].to_string().contains(told), "{way:#}");
    let goes = "; what was written since into what the migration made goes";
    assert!(way["data_lost"].as_str().unwrap().ends_with(goes), "the scripts take it: {way:#}");
    let had = points(&project);
    let lost = "what others wrote into shop.events, as far as the scripts take or change rows there, would be lost";
    let planned = project.undo(run(&report), &["--way", "recover", "--dry-run"], 0).json();
    assert_eq!(planned["plan"]["scripts_take"], json!(["shop.events"]), "{planned:#}");
    assert!(planned["plan"]["warnings"].to_string().contains("--accept-data-loss-since is needed"), "{planned:#}");
    let failure = project.undo(run(&report), &["--way", "recover"], 3).failure();
    failure.says(&[lost]).hints(&[&format!("--way recover --accept-data-loss-since {}", since(&report))]);
    assert_eq!((project.stands(), points(&project)), (("succeeded".to_owned(), false), had), "nothing was done");
    let accepts = ["--way", "recover", "--accept-data-loss-since", &since(&report)];
    let undone = project.undo(run(&report), &accepts, 0).json();
    assert_eq!((&undone["state"], project.shop()), (&json!("undone"), before), "{undone:#}");
}

#[test]
fn rows_of_partitions_are_counted_once() {
    let mut project = Project::plain();
    project.scene.sql(
        "CREATE TABLE shop.log (id integer, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); \
         CREATE TABLE shop.log_1 PARTITION OF shop.log FOR VALUES FROM ('2026-01-01') TO ('2026-02-01'); \
         CREATE TABLE shop.log_2 PARTITION OF shop.log FOR VALUES FROM ('2026-02-01') TO ('2026-03-01'); \
         INSERT INTO shop.log SELECT n, date '2026-01-20' + n FROM generate_series(1, 20) n",
    );
    let before = project.shop();
    project.write("sql/1_first.sql", "DELETE FROM shop.log WHERE id BETWEEN 9 AND 14;\n");
    project.scene.place.set("FILES", "sql/1_first.sql");
    let report = project.guard(&["--applied-through", "none"], 0);
    project.scene.sql("DELETE FROM shop.log WHERE id = 1");
    let planned = project.undo(run(&report), &["--way", "recover", "--dry-run"], 0).json();
    // The rehearsal tells of each partition, and so of the whole.
    let theirs = json!({ "rows": 7, "others": 1, "may_be_others": 0 });
    let taken = planned["plan"]["taken"].as_array().unwrap();
    assert_eq!(
        (taken.len(), &taken[0]["table"], &taken[0]["come_back"]),
        (1, &json!("shop.log"), &theirs),
        "{planned:#}"
    );
    project.scene.sql("INSERT INTO shop.log VALUES (1, '2026-01-21')");
    // What is left is surely the run's own: nobody has to accept anything.
    let undone = project.undo(run(&report), &["--way", "recover"], 0).json();
    assert_eq!((&undone["state"], project.shop()), (&json!("undone"), before), "{undone:#}");
}

#[test]
fn columns_that_came_with_the_run_are_left_out_and_computed_ones_are_computed() {
    let mut project = Project::plain();
    project.scene.sql(
        "ALTER TABLE shop.products ADD COLUMN gross numeric GENERATED ALWAYS AS (price * 2) STORED, \
         ADD COLUMN shout text GENERATED ALWAYS AS (upper(title)) STORED",
    );
    let before = project.shop();
    let sql = "UPDATE shop.products SET price = price + 1;\nALTER TABLE shop.products ADD COLUMN weight integer;\n\
               UPDATE shop.products SET weight = 5;\nALTER TABLE shop.products DROP COLUMN shout;\n";
    project.write("sql/1_first.sql", sql);
    project.write("sql/rollback/1_first.sql", "ALTER TABLE shop.products DROP COLUMN weight;\n");
    project.scene.place.set("FILES", "sql/1_first.sql");
    let report = project.guard(&["--applied-through", "none"], 0);
    let undone = project.undo(run(&report), &["--way", "recover"], 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert_eq!(project.shop(), before);
    let told = undone["plan"]["warnings"].to_string();
    assert!(told.contains("weight of shop.products is left out: the restore point holds no values"), "{told}");
    assert!(told.contains("gross of shop.products is left out: it makes its values itself"), "{told}");
    let generated = "SELECT string_agg(attname, ',' ORDER BY attname) FROM pg_attribute \
                     WHERE attrelid = 'shop.products'::regclass AND attgenerated = 's'";
    assert_eq!(project.scene.sql(generated), "gross,shout");

    // Where nothing else is at risk, there is nothing to bring back.
    project.write(
        "sql/2_second.sql",
        "ALTER TABLE shop.products ADD COLUMN height integer;\nUPDATE shop.products SET height = 1;\n",
    );
    project.scene.place.set("FILES", "sql/1_first.sql sql/2_second.sql");
    std::fs::remove_file(project.scene.place.work().join("sql/1_first.sql")).unwrap();
    project.scene.place.set("FILES", "sql/2_second.sql");
    let report = project.guard(&[], 0);
    let why = "puts no data at risk that could come back (height of shop.products is left out";
    project.undo(run(&report), &["--way", "recover"], 3).failure().says(&[why]);
}

#[test]
fn a_key_that_the_run_changes_is_refused_before_anything_is_done() {
    let mut project = Project::plain();
    project.scene.sql("CREATE TABLE shop.tags (name text PRIMARY KEY, word text)");
    project.scene.sql("INSERT INTO shop.tags VALUES ('a', 'x'), ('b', 'y')");
    project.write("sql/1_first.sql", "UPDATE shop.tags SET name = upper(name);\n");
    project.scene.place.set("FILES", "sql/1_first.sql");
    let report = project.guard(&["--applied-through", "none"], 0);
    let had = points(&project);
    let why = "no way back by recover: name of shop.tags is what its rows are told apart by, and the run changes";
    project.undo(run(&report), &["--way", "recover"], 3).failure().says(&[why]);
    assert_eq!((project.stands(), points(&project)), (("succeeded".to_owned(), false), had), "nothing was done");
    let next = project.undo(run(&report), &["--dry-run"], 0).json();
    assert_eq!(next["plan"]["way"], "restore", "{next:#}");
}

#[test]
fn scripts_that_ran_by_another_way_are_not_run_again() {
    let mut project = Project::plain();
    let before = project.shop();
    project.write("sql/1_drops.sql", "ALTER TABLE shop.orders DROP COLUMN note;\n");
    project.write("sql/2_adds.sql", "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n");
    project.write("sql/rollback/1_drops.sql", "SELECT 1 / 0;\n");
    // Run twice, it would fail.
    project.write("sql/rollback/2_adds.sql", "DROP TABLE shop.tags;\n");
    project.scene.place.set("FILES", "sql/1_drops.sql sql/2_adds.sql");
    let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
    project.undo(run(&report), &["--way", "rollback"], 13);
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.tags') IS NULL"), "t");
    project.write("sql/rollback/1_drops.sql", "ALTER TABLE shop.orders ADD COLUMN note text;\n");
    // A changed script counts by its words alone, and shop.tags may have been there before.
    let flags = ["--way", "recover", "--accept-changed-rollback"];
    project.undo(run(&report), &flags, 3).failure().says(&["what others wrote into shop.tags"]);
    let since = since(&report);
    let flags = [&flags[..], &["--accept-data-loss-since", &since]].concat();
    let planned = project.undo(run(&report), &[&flags[..], &["--dry-run"]].concat(), 0).json();
    assert_eq!(planned["plan"]["done"], json!(["sql/rollback/2_adds.sql (2_adds.sql)"]), "{planned:#}");
    let undone = project.undo(run(&report), &flags, 0).json();
    assert_eq!(undone["state"], "undone", "{undone:#}");
    assert_eq!(project.shop(), before);
}

#[test]
fn a_table_that_the_run_renamed_is_not_set_back_uncounted() {
    let mut project = Project::plain();
    project.write(
        "sql/1_first.sql",
        "ALTER TABLE shop.events RENAME TO happenings;\nUPDATE shop.happenings SET kind = upper(kind);\n",
    );
    project.write("sql/rollback/1_first.sql", "ALTER TABLE shop.happenings RENAME TO events;\n");
    project.scene.place.set("FILES", "sql/1_first.sql");
    let report = project.guard(&["--applied-through", "none"], 0);
    project
        .scene
        .sql("UPDATE shop.happenings SET kind = 'theirs' WHERE id = 8; DELETE FROM shop.happenings WHERE id = 7");
    let told = "the run renames shop.events to shop.happenings, and its rows are found by their table's name";
    assert!(report["warnings"].to_string().contains(told), "{report:#}");
    assert!(!report["ways_back"].to_string().contains("--way recover"), "{:#}", report["ways_back"]);
    let failure = project.undo(run(&report), &["--way", "recover"], 3).failure();
    failure.says(&["the run renamed shop.events to shop.happenings", "first holdpoint undo"]);
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.events') IS NULL"), "t", "nothing was touched");
    project.undo(run(&report), &["--way", "rollback"], 11);
    let theirs = "SELECT count(*) FILTER (WHERE kind = 'theirs'), count(*) FILTER (WHERE id = 7) FROM shop.events";
    assert_eq!(project.scene.sql(theirs), "1|0", "what others wrote is there");
    // Now it has its name, and what others did is counted and asked for.
    let failure = project.undo(run(&report), &["--way", "recover"], 3).failure();
    failure.says(&["would be lost"]).hints(&["--accept-data-loss-since"]);
    let accepts = ["--way", "recover", "--accept-data-loss-since", &since(&report)];
    // The run changed one column, and that is what comes back: a row that others deleted is told.
    let undone = project.undo(run(&report), &accepts, 11).json();
    assert!(undone["undo"]["not_as_before"].to_string().contains("1 rows of shop.events are gone"), "{undone:#}");
    assert_eq!(project.scene.sql("SELECT count(*) FROM shop.events WHERE kind = 'theirs'"), "0");
}

#[test]
fn a_recovery_that_can_never_work_is_not_listed() {
    for (sql, told) in [
        ("ALTER TABLE shop.log DROP COLUMN x;", "rows of shop.log cannot be told apart"),
        ("UPDATE shop.keyed SET id = id + 1000;", "the run changes id of shop.keyed"),
        (
            "ALTER TABLE shop.keyed RENAME TO other;\nALTER TABLE shop.other DROP COLUMN x;",
            "the run renames shop.keyed",
        ),
    ] {
        let mut project = Project::plain();
        project.scene.sql(
            "CREATE TABLE shop.log (at timestamptz DEFAULT now(), x text); INSERT INTO shop.log (x) VALUES ('a'); \
             CREATE TABLE shop.keyed (id integer PRIMARY KEY, x text); INSERT INTO shop.keyed VALUES (1, 'a')",
        );
        project.write("sql/1_first.sql", &format!("{sql}\n"));
        project.scene.place.set("FILES", "sql/1_first.sql");
        let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
        assert!(!report["ways_back"].to_string().contains("--way recover"), "{sql}: {:#}", report["ways_back"]);
        assert!(report["warnings"].to_string().contains(&format!("recover is no way back: {told}")), "{report:#}");
        let failure = project.undo(run(&report), &["--way", "recover"], 3).failure();
        failure.says(&["has no way back by recover"]);
    }
}

#[test]
fn what_others_wrote_into_what_the_run_made_goes_only_where_somebody_accepts_that() {
    for rehearsed in [true, false] {
        let mut project = Project::plain();
        let before = project.shop();
        project.write(
            "sql/1_first.sql",
            "ALTER TABLE shop.orders DROP COLUMN note;\nALTER TABLE shop.orders ADD COLUMN weight integer;\n\
             CREATE TABLE shop.tags (id integer PRIMARY KEY);\n",
        );
        let fills = "UPDATE shop.orders SET weight = 1 WHERE id <= 3;\nINSERT INTO shop.tags VALUES (1), (2);\n";
        project.write("sql/2_fills.sql", if rehearsed { fills } else { "SELECT 1;\n" });
        project.write(
            "sql/rollback/1_first.sql",
            "DROP TABLE shop.tags;\nALTER TABLE shop.orders DROP COLUMN weight;\nALTER TABLE shop.orders ADD COLUMN note text;\n",
        );
        project.write("sql/rollback/2_fills.sql", "SELECT 1;\n");
        project.scene.place.set("FILES", "sql/1_first.sql sql/2_fills.sql");
        let how = if rehearsed {
            &["--applied-through", "none"][..]
        } else {
            &["--applied-through", "none", "--no-rehearse"]
        };
        let report = project.guard(how, 0);
        let dry = || project.undo(run(&report), &["--way", "recover", "--dry-run"], 0).json()["plan"].clone();
        let goes = |planned: &Value| -> Vec<(String, Value)> {
            let taken = planned["taken"].as_array().unwrap().iter().filter(|one| one["goes"].is_object());
            let mut goes: Vec<_> =
                taken.map(|one| (one["table"].as_str().unwrap().to_owned(), one["goes"].clone())).collect();
            goes.sort_by(|one, other| one.0.cmp(&other.0));
            goes
        };
        let of =
            |rows: u64, others: u64, perhaps: u64| json!({ "rows": rows, "others": others, "may_be_others": perhaps });
        let planned = dry();
        let own = [("shop.orders".to_owned(), of(3, 0, 0)), ("shop.tags".to_owned(), of(2, 0, 0))];
        assert_eq!(goes(&planned), if rehearsed { own.to_vec() } else { Vec::new() }, "{planned:#}");
        assert!(!planned["warnings"].to_string().contains("--accept-data-loss-since"), "{planned:#}");

        project.scene.sql("INSERT INTO shop.tags VALUES (9); UPDATE shop.orders SET weight = 7 WHERE id = 5");
        let planned = dry();
        let run_wrote = if rehearsed { (3, 2) } else { (0, 0) };
        let theirs = [
            ("shop.orders".to_owned(), of(run_wrote.0 + 1, 0, 1)),
            ("shop.tags".to_owned(), of(run_wrote.1 + 1, 1, 0)),
        ];
        assert_eq!(goes(&planned), theirs, "{planned:#}");
        let text = project.scene.place.holdpoint(&[
            "undo",
            run(&report),
            "--way",
            "recover",
            "--dry-run",
            "--tool",
            "plain-sql",
            "--migrations",
            "sql",
        ]);
        let text = text.ended_with(0).stdout;
        assert!(text.contains("goes with what the run made") && text.contains("(1 by others)"), "{text}");
        let had = points(&project);
        let failure = project.undo(run(&report), &["--way", "recover"], 3).failure();
        failure
            .says(&["1 rows that others wrote into shop.tags (made by the run)"])
            .says(&["1 rows that others may have written into shop.orders (weight) (made by the run)"])
            .hints(&[&format!("--way recover --accept-data-loss-since {}", since(&report))]);
        assert_eq!((project.stands(), points(&project)), (("succeeded".to_owned(), false), had), "nothing was done");
        assert_eq!(project.scene.sql("SELECT count(*) FROM shop.tags WHERE id = 9"), "1");

        let accepts = ["--way", "recover", "--accept-data-loss-since", &since(&report)];
        let undone = project.undo(run(&report), &accepts, 0).json();
        assert_eq!((&undone["state"], project.shop()), (&"undone".into(), before), "{undone:#}");
    }
}

#[test]
fn rows_of_partitions_that_came_after_the_run_go_only_where_somebody_accepts_that() {
    let mut project = Project::plain();
    let before = project.shop();
    project.write(
        "sql/1_first.sql",
        "ALTER TABLE shop.orders DROP COLUMN note;\n\
         CREATE TABLE shop.logs (id integer, k integer) PARTITION BY RANGE (k);\n\
         CREATE TABLE shop.logs_1 PARTITION OF shop.logs FOR VALUES FROM (0) TO (10);\n\
         INSERT INTO shop.logs VALUES (1, 1);\n",
    );
    let down = "DROP TABLE shop.logs;\nALTER TABLE shop.orders ADD COLUMN note text;\n";
    project.write("sql/rollback/1_first.sql", down);
    project.scene.place.set("FILES", "sql/1_first.sql");
    let report = project.guard(&["--applied-through", "none"], 0);
    project.scene.sql(
        "CREATE TABLE shop.logs_2 PARTITION OF shop.logs FOR VALUES FROM (10) TO (20); \
         INSERT INTO shop.logs VALUES (2, 11), (3, 12)",
    );
    let failure = project.undo(run(&report), &["--way", "recover"], 3).failure();
    failure.says(&["2 rows that others wrote into shop.logs (made by the run)"]);
    assert_eq!(project.scene.sql("SELECT count(*) FROM shop.logs"), "3");
    let accepts = ["--way", "recover", "--accept-data-loss-since", &since(&report)];
    project.undo(run(&report), &accepts, 0);
    assert_eq!(project.shop(), before);
}

#[test]
fn a_rename_that_the_review_alone_knows_is_refused_before_a_script_runs() {
    let mut project = Project::plain();
    project.write(
        "sql/1_first.sql",
        "ALTER TABLE shop.events RENAME TO happenings;\nUPDATE shop.happenings SET kind = upper(kind), at = now();\n",
    );
    project.write("sql/rollback/1_first.sql", "ALTER TABLE shop.happenings RENAME TO events;\n");
    project.scene.place.set("FILES", "sql/1_first.sql");
    let report = project.guard(&["--applied-through", "none", "--no-rehearse"], 0);
    let failure = project.undo(run(&report), &["--way", "recover"], 3).failure();
    failure
        .says(&["the run renamed shop.events to another name", "nothing was changed"])
        .says(&["first holdpoint undo"]);
    assert_eq!(project.scene.sql("SELECT to_regclass('shop.events') IS NULL"), "t", "no script ran");
    assert_eq!(project.stands(), ("succeeded".to_owned(), false));
}

#[test]
fn a_table_that_is_dropped_and_made_anew_is_told_in_one_line() {
    let sql = "DROP TABLE shop.events CASCADE;\nCREATE TABLE shop.events (id bigint PRIMARY KEY, other text);\n";
    let (project, report, _) = guarded(sql);
    let planned = project.undo(run(&report), &["--way", "recover", "--dry-run"], 0).json();
    let taken = planned["plan"]["taken"].as_array().unwrap();
    let of_table = taken.iter().filter(|one| one["table"] == "shop.events").count();
    assert_eq!(of_table, 1, "{planned:#}");
}
