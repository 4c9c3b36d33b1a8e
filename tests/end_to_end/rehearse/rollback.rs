//! What the team's own way back brings back, and what it does not.

use holdpoint_testkit::migration_tool;
use serde_json::{Value, json};

use super::project::Project;
use crate::scene::Scene;

fn rollback(report: &Value) -> &Value {
    &report["rehearsal"]["rollback"]
}

fn lost(rollback: &Value) -> Vec<String> {
    rollback["lost"].as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_way_down_that_loses_a_column_is_said_to_lose_it() {
    let mut scene = Scene::local();
    let project = Project::node_pg_migrate(&mut scene);
    project.migration("1_first", "SELECT 1;", "SELECT 1;");
    project.run_on_production(&scene, &[]);
    scene.place.backup();
    project.migration(
        "2_weight",
        "ALTER TABLE shop.orders ADD COLUMN weight integer;",
        "ALTER TABLE shop.orders DROP COLUMN weight;",
    );
    let before = scene.before();
    let whole = project.rehearse(&scene, &["--json"]).ended_with(0).json();
    assert_eq!(rollback(&whole)["ran"], json!(["node-pg-migrate down 1"]), "{whole:#}");
    assert_eq!(rollback(&whole)["complete"], true, "{whole:#}");
    assert_eq!(lost(rollback(&whole)), [""; 0]);

    project.migration(
        "3_note",
        "ALTER TABLE shop.orders DROP COLUMN note; DELETE FROM shop.events WHERE id <= 3; CREATE TABLE shop.made (id integer);",
        "ALTER TABLE shop.orders ADD COLUMN note text;",
    );
    let noted = scene.sql("SELECT count(*) FROM shop.orders WHERE note IS NOT NULL");
    let part = project.rehearse(&scene, &["--json"]).ended_with(0).json();
    let found = rollback(&part);
    assert_eq!((&found["complete"], &found["failure"]), (&json!(false), &Value::Null), "{found:#}");
    assert_eq!(found["ran"], json!(["node-pg-migrate down 2"]), "{found:#}");
    let told = lost(found);
    assert!(told.contains(&format!("rows of shop.orders: {noted} have lost their values in note")), "{told:?}");
    assert!(told.contains(&"rows of shop.events: 3 are gone".to_owned()), "{told:?}");
    assert!(told.contains(&"TABLE shop.made stays".to_owned()), "{told:?}");
    let text = project.rehearse(&scene, &[]).ended_with(0).stdout;
    assert!(text.contains("rollback: does not bring everything back"), "{text}");
    assert!(text.contains("have lost their values in note"), "{text}");

    // A way down that fails, and none at all.
    project.migration("4_fails", "SELECT 1;", "DROP TABLE shop.never_there;");
    let fails = project.rehearse(&scene, &["--json"]).ended_with(0).json();
    let why = rollback(&fails)["failure"].as_str().unwrap_or_default().to_owned();
    assert!(why.starts_with("node-pg-migrate down 3 ended with"), "{fails:#}");
    let none = project.rehearse(&scene, &["--json", "--no-rollback"]).ended_with(0).json();
    assert_eq!(rollback(&none), &Value::Null);
    scene.assert_untouched_but_proof(&before);
}

/// Three migrations of drizzle-kit, with scripts as a runbook has them; the middle one has none.
#[test]
fn scripts_run_newest_first() {
    let mut scene = Scene::local();
    let project = Project::with_tool(&mut scene, "drizzle-0");
    project.write(
        "drizzle.config.ts",
        "export default { dialect: 'postgresql', out: './drizzle', dbCredentials: { url: process.env.DATABASE_URL } };\n",
    );
    let journal = |count: usize| {
        let entry = |place: usize| json!({ "idx": place, "version": "7", "when": 1000 + place, "tag": format!("000{place}_step"), "breakpoints": true });
        let entries: Vec<Value> = (0..count).map(entry).collect();
        let text = json!({ "version": "7", "dialect": "postgresql", "entries": entries }).to_string();
        project.write("drizzle/meta/_journal.json", &text);
    };
    project.write("drizzle/0000_step.sql", "SELECT 1;\n");
    journal(1);
    let kit = "node_modules/drizzle-kit/bin.cjs";
    assert!(migration_tool("drizzle-0").join(kit).is_file());
    let script = format!("node {kit} migrate");
    holdpoint_tests::shell(&scene.place.work(), &scene.place.environment(), &script).ended_with(0);
    scene.place.backup();
    project.write("drizzle/0001_step.sql", "CREATE TABLE shop.first (id integer PRIMARY KEY);\n");
    project.write("drizzle/0002_step.sql", "ALTER TABLE shop.first ADD COLUMN word text;\n");
    project.write("drizzle/0003_step.sql", "CREATE INDEX first_word ON shop.first (word);\n");
    // The older one can only run after the newer one.
    project.write(
        "drizzle/rollbacks/0001_rollback_step.sql",
        "DO $$ BEGIN IF to_regclass('shop.first_word') IS NOT NULL THEN RAISE 'too early'; END IF; END $$;\nDROP TABLE shop.first;\n",
    );
    project.write(
        "drizzle/rollbacks/0003_rollback_step.sql",
        "DROP INDEX shop.first_word;\nDELETE FROM drizzle.__drizzle_migrations WHERE created_at = 1003;\n",
    );
    journal(4);
    let before = scene.before();
    let report = project.rehearse_command(&scene, &["--json"], &["node", kit, "migrate"]).ended_with(0).json();
    scene.assert_untouched_but_proof(&before);
    let rehearsal = &report["rehearsal"];
    assert_eq!(rehearsal["tracking"]["recorded"], json!(["0001_step", "0002_step", "0003_step"]), "{rehearsal:#}");
    let found = rollback(&report);
    assert_eq!(
        found["ran"],
        json!(["drizzle/rollbacks/0003_rollback_step.sql", "drizzle/rollbacks/0001_rollback_step.sql"]),
        "{found:#}"
    );
    assert_eq!((&found["missing"], &found["failure"]), (&json!(["0002_step"]), &Value::Null), "{found:#}");
    let told = lost(found);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("drizzle.__drizzle_migrations still records 0001_step, 0002_step"), "{told:?}");
}
