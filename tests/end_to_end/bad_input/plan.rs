//! What stands in the way of a plan, and SQL that wants to pass unseen.

use serde_json::{Value, json};

use super::database::Session;
use super::{failed, refused};
use crate::plan::drizzle;
use crate::scene::Scene;

fn write(scene: &Scene, path: &str, text: &str) {
    let path = scene.place.work().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The plan of one pending migration, which must find something.
#[track_caller]
fn found(scene: &Scene, sql: &str) -> Value {
    drizzle(scene, &[sql]);
    let before = scene.before();
    let report = scene.place.holdpoint(&["plan", "--json"]).ended_with(15).json();
    scene.assert_untouched(&before);
    report
}

#[test]
fn no_tool() {
    let scene = Scene::local();
    refused(&scene, &["plan"], 2).says(&["no migration tool"]).hints(&["--pending-cmd", "drizzle.config"]);
    write(&scene, "alembic.ini", "[alembic]\n");
    refused(&scene, &["plan"], 2).hints(&["Alembic", "--pending-cmd"]);
}

#[test]
fn several_tools() {
    let scene = Scene::local();
    drizzle(&scene, &[]);
    write(&scene, "prisma/schema.prisma", "datasource db {\n  provider = \"postgresql\"\n}\n");
    refused(&scene, &["plan"], 2).says(&["drizzle", "prisma"]).hints(&["--tool drizzle"]);
    scene.place.holdpoint(&["plan", "--tool", "drizzle"]).ended_with(0);
}

#[test]
fn folder_absent_or_empty() {
    let scene = Scene::local();
    write(&scene, "drizzle.config.ts", "export default { dialect: 'postgresql', out: './gone' };\n");
    refused(&scene, &["plan"], 2).says(&["gone is not a folder"]).hints(&["drizzle.config.ts", "--migrations"]);
    std::fs::create_dir(scene.place.work().join("empty")).unwrap();
    let report = scene.place.holdpoint(&["plan", "--json", "--migrations", "empty"]).ended_with(0).json();
    assert_eq!(report["verdict"], "look", "{report:#}");
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().any(|one| one["kind"] == "no_migrations"), "{report:#}");
}

#[test]
fn configuration_that_is_computed() {
    let scene = Scene::local();
    write(&scene, "drizzle.config.ts", "export default { dialect: 'postgresql', out: where() };\n");
    refused(&scene, &["plan"], 2).says(&["out", "is computed"]).hints(&["--migrations DIR"]);
}

#[test]
fn tracking_table_unreadable() {
    let mut scene = Scene::local();
    drizzle(&scene, &["SELECT 1;\n"]);
    let role = format!("reader_of_{}", scene.database);
    scene.sql(&format!("CREATE ROLE {role} LOGIN"));
    scene.place.set("DATABASE_URL", &scene.cluster.url_as(&role, &scene.database));
    let before = scene.before();
    let failure = scene.place.holdpoint(&["plan", "--json"]).ended_with(7).failure();
    failure.says(&[&role, "drizzle.__drizzle_migrations"]).hints(&["GRANT SELECT"]);
    scene.assert_untouched(&before);
    scene.sql(&format!("DROP ROLE {role}"));
}

#[test]
fn tracking_table_locked() {
    let scene = Scene::local();
    drizzle(&scene, &["SELECT 1;\n"]);
    let session = Session::holding(&scene, "LOCK TABLE drizzle.__drizzle_migrations IN ACCESS EXCLUSIVE MODE");
    failed(&scene, &["plan"], 14).says(&["drizzle.__drizzle_migrations is locked"]).hints(&["retry", "pg_locks"]);
    drop(session);
    scene.place.holdpoint(&["plan"]).ended_with(0);
}

#[test]
fn sql_that_cannot_be_reviewed() {
    let scene = Scene::local();
    for sql in [
        "DELETE FRM shop.orders;\n",
        "DO $$ BEGIN EXECUTE 'DROP TABLE ' || 'shop.orders'; END $$;\n",
        "DROP TABLE ${schema}.orders;\n",
        "SELECT 'never ends;\n",
    ] {
        let report = found(&scene, sql);
        assert_eq!(report["verdict"], "new_restore_point", "{sql}");
        assert_eq!(report["review"]["everything_at_risk"], true, "{sql}");
        assert!(report["review"]["tables"].as_array().unwrap().len() >= 5, "{sql}");
    }
    // A program, and a meta-command of psql.
    write(&scene, "node/1_a.js", "exports.up = () => {};\n");
    write(&scene, "sql/1_a.sql", "\\i other.sql\n");
    for flags in [["--tool", "node-pg-migrate", "--migrations", "node"], ["--tool", "plain-sql", "--migrations", "sql"]]
    {
        let words = [&["plan", "--json", "--without-database"][..], &flags].concat();
        let report = scene.place.holdpoint(&words).ended_with(15).json();
        assert_eq!(report["review"]["everything_at_risk"], true, "{flags:?}: {report:#}");
    }
}

#[test]
fn comments_waive_nothing() {
    let scene = Scene::local();
    for comments in [
        "-- squawk-ignore-file\n-- squawk-ignore ban-drop-table\n",
        "-- holdpoint:ignore\n-- holdpoint: waive destroys_data=agreed\n/* holdpoint:ignore-file */ -- noqa\n",
    ] {
        let report = found(&scene, &format!("{comments}DROP TABLE shop.events;\n"));
        assert_eq!(report["verdict"], "new_restore_point", "{comments}");
        assert_eq!(report["review"]["tables"][0]["table"]["name"], "events", "{comments}");
        let risks = report["assessment"]["risks"].as_array().unwrap();
        assert!(risks.iter().all(|risk| risk["waived"].is_null()), "{comments}: {risks:#?}");
    }
}

#[test]
fn sql_where_nobody_looks() {
    let scene = Scene::local();
    for sql in ["-- a note\rDROP TABLE shop.events;\n", "SELECT E'a' -- b\n'\\''; DROP TABLE shop.events; --'\n"] {
        let report = found(&scene, sql);
        assert_eq!(report["verdict"], "new_restore_point", "{sql:?}: {report:#}");
        assert!(report["review"].to_string().contains("\"events\""), "{sql:?}: {report:#}");
    }
    for sql in
        ["\\echo done \\\\ DROP TABLE shop.events;\n", "COPY shop.events FROM stdin; DROP TABLE shop.events;\n\\.\n"]
    {
        write(&scene, "sql/1_a.sql", sql);
        let words = ["plan", "--json", "--tool", "plain-sql", "--migrations", "sql", "--applied-through", "none"];
        let report = scene.place.holdpoint(&words).ended_with(15).json();
        assert_eq!(report["review"]["everything_at_risk"], true, "{sql:?}: {report:#}");
    }
}

/// Nothing is pending, and the tool runs SQL all the same.
#[test]
fn callback_of_the_tool() {
    let scene = Scene::local();
    write(&scene, "migrations/V1__a.sql", "SELECT 1;\n");
    write(&scene, "migrations/afterMigrate__clean.sql", "TRUNCATE shop.events;\n");
    // CRC-32 of the line, as Flyway records it.
    let row = "(1, '1', 'a', 'SQL', 'V1__a.sql', 78787420, 'app', 1, true)";
    scene.sql(&format!(
        "CREATE TABLE public.flyway_schema_history (installed_rank int PRIMARY KEY, version varchar(50), description \
         varchar(200), type varchar(20), script varchar(1000), checksum int, installed_by varchar(100), \
         execution_time int, success boolean, installed_on timestamp DEFAULT now()); \
         INSERT INTO public.flyway_schema_history VALUES {row}"
    ));
    let before = scene.before();
    let report = scene.place.holdpoint(&["plan", "--json"]).ended_with(15).json();
    scene.assert_untouched(&before);
    assert_eq!((&report["tool"], &report["applied"], &report["pending"]), (&json!("flyway"), &json!(1), &json!([])));
    assert_eq!(report["runs"], json!(["afterMigrate__clean.sql"]), "{report:#}");
    assert_eq!(report["verdict"], "new_restore_point", "{report:#}");
    assert_eq!(report["review"]["tables"][0]["table"]["name"], "events", "{report:#}");
    let text = scene.place.holdpoint(&["plan"]).ended_with(15).stdout;
    assert!(text.contains("afterMigrate__clean.sql") && text.contains("shop.events"), "{text}");
}

#[test]
fn migration_that_cannot_be_read() {
    let scene = Scene::local();
    write(&scene, "sql/1_a.sql", "SELECT 1;\n");
    std::os::unix::fs::symlink("nowhere.sql", scene.place.work().join("sql/2_b.sql")).unwrap();
    let words = ["plan", "--tool", "plain-sql", "--migrations", "sql", "--applied-through", "1_a.sql"];
    refused(&scene, &words, 2).says(&["sql/2_b.sql cannot be read"]);
}

#[test]
fn data_of_copy() {
    let scene = Scene::local();
    write(
        &scene,
        "sql/1_a.sql",
        "COPY shop.events (kind) FROM stdin;\nit's\nDROP TABLE shop.customers;\n\\.\nDROP TABLE shop.orders;\n",
    );
    let words = ["plan", "--json", "--applied-through", "none"];
    let report = scene.place.holdpoint(&words).ended_with(15).json();
    let tables: Vec<&str> =
        report["review"]["tables"].as_array().unwrap().iter().filter_map(|one| one["table"]["name"].as_str()).collect();
    assert!(tables.contains(&"orders") && !tables.contains(&"customers"), "{tables:?}");
}

#[test]
fn pending_command_that_fails_or_prints_something_else() {
    let scene = Scene::local();
    refused(&scene, &["plan", "--pending-cmd", "echo no such host >&2; exit 3"], 2)
        .says(&["the command for pending migrations failed"])
        .hints(&["up to the first command that fails"]);
    // A list that could not be made is no empty list.
    refused(&scene, &["plan", "--pending-cmd", "false | cat"], 2).says(&["the command for pending migrations failed"]);
    let secret = "{ echo 'postgres://ann:hunter2@h/d is down' >&2; exit 1; } | cat";
    refused(&scene, &["plan", "--pending-cmd", secret], 2).says(&["postgres://ann:***@h/d is down"]);
    refused(&scene, &["plan", "--pending-cmd", "echo $(nosuch_command)"], 2)
        .says(&["printed no list", "nosuch_command"])
        .hints(&["nothing on stderr"]);
    refused(&scene, &["plan", "--pending-cmd", "echo Traceback:"], 2)
        .says(&["Traceback:", "no file"])
        .hints(&["one path"]);
}

#[test]
fn waiver_without_a_reason() {
    let scene = Scene::local();
    drizzle(&scene, &["DROP TABLE shop.events;\n"]);
    refused(&scene, &["plan", "--waive", "destroys_data= "], 2).says(&["why the risk is taken"]);
    scene.place.write_config("[waiver.x]\nrule = \"destroys_data\"\nreason = \"\"\n");
    refused(&scene, &["plan"], 2).says(&["waiver.x.reason"]);
}

#[test]
fn export_of_something_else() {
    let scene = Scene::local();
    drizzle(&scene, &[]);
    refused(&scene, &["plan", "--offline", "gone.json"], 2).says(&["gone.json"]).hints(&["--export"]);
    write(&scene, "facts.json", "{\"database\": \"shop\"}");
    refused(&scene, &["plan", "--offline", "facts.json"], 2).says(&["cannot be understood"]).hints(&["--export"]);
    scene.place.holdpoint(&["plan", "--export", "facts.json"]).ended_with(0);
    write(&scene, "sql/1_a.sql", "SELECT 1;\n");
    let other = ["plan", "--offline", "facts.json", "--tool", "plain-sql", "--migrations", "sql"];
    refused(&scene, &other, 2).says(&["the export is of drizzle", "plain-sql"]);
}
