//! The team's own command on a proven copy: what is measured is true, and production is not touched.

mod escapes;
mod faults;
mod project;
mod rollback;
mod tools;

use std::collections::BTreeMap;

use holdpoint_testkit::{Cluster, MAJORS, NEWEST};
use holdpoint_tests::Place;
use serde_json::{Value, json};

use crate::scene::Scene;
use project::Project;

/// Rows and columns change, a table is written anew, another emptied, a third dropped, a fourth made.
const UP: &str = "
ALTER TABLE shop.orders ADD COLUMN weight integer;
UPDATE shop.orders SET note = 'seen' WHERE id <= 10;
DELETE FROM shop.events WHERE id <= 7;
INSERT INTO shop.products (sku, title, price) SELECT 'new ' || n, 'x', n FROM generate_series(1, 5) n;
ALTER TABLE shop.products ALTER COLUMN title TYPE varchar(200);
ALTER TABLE shop.customers ALTER COLUMN country TYPE varchar(3);
ALTER TABLE shop.events ALTER COLUMN at TYPE timestamp USING at AT TIME ZONE 'UTC';
ALTER TABLE shop.customers DROP COLUMN since;
CREATE TABLE shop.labels (id integer PRIMARY KEY, word text);
INSERT INTO shop.labels VALUES (1, 'one'), (2, 'two');
CREATE INDEX labels_word ON shop.labels (word);
ALTER TABLE shop.labels ADD COLUMN line bigint REFERENCES shop.order_lines;
";

/// Undoes it as well as a script can.
const DOWN: &str = "
DROP TABLE shop.labels;
ALTER TABLE shop.customers ADD COLUMN since date;
ALTER TABLE shop.orders DROP COLUMN weight;
";

fn tables(rehearsal: &Value) -> BTreeMap<String, Value> {
    let list = rehearsal["tables"].as_array().unwrap().iter();
    list.map(|table| (table["table"].as_str().unwrap().to_owned(), table.clone())).collect()
}

/// The strongest locks of a table, in words.
fn strongest(table: &Value) -> &str {
    table["locks"][0]["mode"].as_str().unwrap_or_default()
}

#[test]
fn what_is_measured_is_what_a_second_run_does() {
    let mut scene = Scene::local();
    let project = Project::node_pg_migrate(&mut scene);
    project.migration("1_first", "SELECT 1;", "SELECT 1;");
    project.run_on_production(&scene, &[]);
    scene.place.backup();
    project.migration("2_change", UP, DOWN);
    let before = scene.before();
    let report = project.rehearse(&scene, &["--json"]).ended_with(0).json();
    scene.assert_untouched_but_proof(&before);

    let rehearsal = &report["rehearsal"];
    assert_eq!(rehearsal["outcome"], "as_planned", "{report:#}");
    assert_eq!(rehearsal["tracking"]["recorded"], json!(["2_change"]), "{rehearsal:#}");
    assert_eq!(rehearsal["tracking"]["exact"], true, "{rehearsal:#}");
    let found = tables(rehearsal);
    let rows = |name: &str| &found[name]["rows"];
    assert_eq!(rows("shop.orders"), &json!({ "inserted": 0, "updated": 10, "deleted": 0 }), "{rehearsal:#}");
    assert_eq!(rows("shop.products"), &json!({ "inserted": 5, "updated": 0, "deleted": 0 }), "{rehearsal:#}");
    assert_eq!(found["shop.orders"]["columns_added"], json!(["weight"]));
    assert_eq!(found["shop.customers"]["columns_gone"], json!(["since"]));
    assert_eq!((&found["shop.labels"]["added"], &found["shop.labels"]["rows_after"]), (&json!(true), &json!(2)));
    assert!(rehearsal["sampling"]["samples"].as_u64().unwrap() > 0, "{rehearsal:#}");

    // The truth: the same on a second copy, looked at by plain SQL.
    let truth = project.truth(&scene, UP);
    let rewritten: Vec<&String> =
        found.iter().filter(|(_, table)| table["rewritten"] == true).map(|(name, _)| name).collect();
    assert_eq!(rewritten, truth.rewritten.iter().collect::<Vec<_>>());
    let locks: Vec<(String, String)> = found
        .iter()
        .filter(|(name, table)| name.starts_with("shop.") && table.get("locks").is_some())
        .map(|(name, table)| (name.clone(), strongest(table).to_owned()))
        .collect();
    assert_eq!(locks, truth.locks, "{rehearsal:#}");
    let modes: Vec<&str> = locks.iter().map(|(_, mode)| mode.as_str()).collect();
    assert_eq!(
        modes,
        ["ACCESS EXCLUSIVE", "ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE", "ACCESS EXCLUSIVE"]
    );
    assert_eq!(truth.rewritten.len(), 2, "a wider varchar is not written anew: {:?}", truth.rewritten);
    for (table, count) in &truth.rows {
        let then = || scene.sql(&format!("SELECT count(*) FROM {table}")).parse().ok();
        let now = found.get(table).map_or_else(then, |effect| effect["rows_after"].as_u64().or_else(then));
        assert_eq!(now, Some(*count), "{table}: {rehearsal:#}");
    }
    let told: Vec<&str> =
        rehearsal["objects"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(told.contains(&"TABLE shop.labels") && told.contains(&"INDEX shop.labels_word"), "{told:?}");
}

/// As a role that owns its schema and nothing else, with settings of its own.
#[test]
fn the_command_has_productions_role_and_name_on_every_major() {
    for major in [MAJORS[0], NEWEST] {
        let mut scene = Scene::on(Cluster::shared(major), Place::local());
        let role = format!("owner_of_{}", scene.database);
        let everything = "DO $$ DECLARE t record; BEGIN FOR t IN SELECT relname FROM pg_class WHERE relnamespace = \
                          'shop'::regnamespace AND relkind IN ('r', 'v') LOOP EXECUTE \
                          format('ALTER TABLE shop.%I OWNER TO ROLE', t.relname); END LOOP; END $$";
        scene.sql(&format!(
            "CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {0} TO {role}; ALTER SCHEMA shop OWNER TO {role}; \
             ALTER TYPE shop.status OWNER TO {role}; ALTER ROLE {role} SET work_mem = '7MB'; \
             GRANT CREATE ON SCHEMA public TO {role}; {1}",
            scene.database,
            everything.replace("ROLE", &role)
        ));
        scene.place.set("DATABASE_URL", &scene.cluster.url_as(&role, &scene.database));
        let project = Project::node_pg_migrate(&mut scene);
        project.migration("1_first", "SELECT 1;", "");
        project.run_on_production(&scene, &[]);
        scene.place.backup();
        let (database, user) = (&scene.database, &role);
        project.migration(
            "2_who",
            &format!(
                "DO $$ BEGIN IF (current_user, current_database(), current_setting('work_mem')) <> ('{user}', '{database}', '7MB') THEN RAISE 'who?'; END IF; \
                 END $$; ALTER TABLE shop.orders ADD COLUMN weight integer; UPDATE shop.orders SET note = 'x' WHERE id <= 3; \
                 ALTER DATABASE {database} SET maintenance_work_mem = '8MB';"
            ),
            "",
        );
        // It does not own the database, here as there.
        let report = project.rehearse(&scene, &["--json", "--progress", "log"]);
        assert!(report.stderr.contains("must be owner of database"), "{}", report.stderr);
        assert_eq!(report.ended_with(10).json()["rehearsal"]["role"], json!(role));
        scene.sql(&format!("ALTER DATABASE {database} OWNER TO {role}"));
        scene.place.backup();
        let before = scene.before();
        let report = project.rehearse(&scene, &["--json"]).ended_with(0).json();
        let rehearsal = &report["rehearsal"];
        let orders = &tables(rehearsal)["shop.orders"];
        assert_eq!(orders["rows"], json!({ "inserted": 0, "updated": 3, "deleted": 0 }), "{rehearsal:#}");
        assert_eq!((strongest(orders), &rehearsal["sampling"]["at_ddl"]), ("ACCESS EXCLUSIVE", &json!(true)));
        scene.assert_untouched_but_proof(&before);
        let cluster = scene.cluster;
        drop(scene);
        cluster.psql("postgres", &format!("DROP ROLE {role}"));
    }
}

#[test]
fn nothing_pending_is_told_at_once() {
    let mut scene = Scene::local();
    let project = Project::node_pg_migrate(&mut scene);
    project.migration("1_first", "SELECT 1;", "SELECT 1;");
    project.run_on_production(&scene, &[]);
    let before = scene.before();
    // There is no restore point, and none is asked for.
    let report = project.rehearse(&scene, &["--json"]).ended_with(0).json();
    assert_eq!((&report["verdict"], &report["rehearsal"]), (&json!("nothing_pending"), &Value::Null), "{report:#}");
    let text = project.rehearse(&scene, &[]).ended_with(0).stdout;
    assert!(text.starts_with("nothing is pending"), "{text}");
    scene.assert_untouched(&before);
}
