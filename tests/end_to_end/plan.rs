//! What pending migrations will do, as a person asks it before they run.

use serde_json::{Value, json};

use crate::scene::Scene;
use holdpoint_tests::shell;

/// A Drizzle project, of which the first migration is applied and the others are pending.
pub(crate) fn drizzle(scene: &Scene, pending: &[&str]) {
    let file = |path: &str, text: &str| {
        let path = scene.place.work().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    file("drizzle.config.ts", "export default { dialect: 'postgresql', out: './drizzle' };\n");
    let entry =
        |place: usize| json!({ "idx": place, "version": "7", "when": 1000 + place, "tag": format!("000{place}_step") });
    let entries: Vec<Value> = (0..=pending.len()).map(entry).collect();
    file(
        "drizzle/meta/_journal.json",
        &json!({ "version": "7", "dialect": "postgresql", "entries": entries }).to_string(),
    );
    file("drizzle/0000_step.sql", "SELECT 1;\n");
    for (place, sql) in pending.iter().enumerate() {
        file(&format!("drizzle/000{}_step.sql", place + 1), sql);
    }
    scene.sql(
        "CREATE SCHEMA IF NOT EXISTS drizzle;
         CREATE TABLE IF NOT EXISTS drizzle.__drizzle_migrations (id serial PRIMARY KEY, hash text NOT NULL, created_at bigint);
         TRUNCATE drizzle.__drizzle_migrations;
         INSERT INTO drizzle.__drizzle_migrations (hash, created_at)
             VALUES ('b4e0497804e46e0a0b0b8c31975b062152d551bac49c3c2e80932567b4085dcd', 1000)",
    );
}

const DROP_NOTE: &str = "-- squawk-ignore-file\nALTER TABLE shop.orders DROP COLUMN note;\n";

#[test]
fn tables_at_risk_are_told_with_their_sizes_and_nothing_is_touched() {
    let scene = Scene::local();
    drizzle(&scene, &[DROP_NOTE, "DELETE FROM shop.customers;\n"]);
    scene.sql("ANALYZE");
    let before = scene.before();
    let report = scene.place.holdpoint(&["plan", "--json"]).ended_with(15).json();
    assert_eq!(report["verdict"], "new_restore_point", "{report:#}");
    assert_eq!((&report["tool"], &report["applied"]), (&json!("drizzle"), &json!(1)));
    assert_eq!(report["runs"], json!(["0001_step", "0002_step"]));
    let tables = report["review"]["tables"].as_array().unwrap();
    let orders = tables.iter().find(|one| one["table"]["name"] == "orders").unwrap();
    assert!(orders["bytes"].as_u64().unwrap() > 8192 && orders["rows"].as_u64().unwrap() > 100, "{orders:#}");
    assert!(tables.iter().any(|one| one["table"]["name"] == "customers"), "{report:#}");
    let drop = &report["review"]["review"]["files"][0]["statements"][0];
    assert_eq!((&drop["line"], &drop["findings"][0]["kind"]), (&json!(2), &json!("drop_column")), "{drop:#}");
    assert_eq!(drop["findings"][0]["transactional"], true);

    let text = scene.place.holdpoint(&["plan"]).ended_with(15).stdout;
    for words in [
        "plan: a new proven restore point is needed",
        "drizzle in drizzle: 2 pending, 1 applied, all in one transaction",
        "0001_step.sql:2",
        "ACCESS EXCLUSIVE on",
        "TABLE AT RISK",
        "shop.customers",
        "holdpoint guard -- COMMAND",
    ] {
        assert!(text.contains(words), "{words} is not in:\n{text}");
    }
    let markdown = scene.place.holdpoint(&["plan", "--markdown"]).ended_with(15).stdout;
    assert!(markdown.starts_with("## Migration plan: a new proven restore point is needed\n"), "{markdown}");
    assert!(markdown.contains("| `0001_step` | yes | nothing |"), "{markdown}");
    assert!(markdown.contains("`shop.orders`"), "{markdown}");
    scene.assert_untouched(&before);
}

#[test]
fn what_fails_is_chosen_and_risks_are_taken_with_a_reason() {
    let scene = Scene::local();
    drizzle(&scene, &[DROP_NOTE]);
    scene.place.holdpoint(&["plan", "--fail-on", "refused"]).ended_with(0);
    scene.place.holdpoint(&["plan", "--fail-on", "look"]).ended_with(15);
    let flag = ["plan", "--json", "--waive", "destroys_data:shop.orders=copied, ticket 4711"];
    let taken = scene.place.holdpoint(&flag).ended_with(0).json();
    let waived: Vec<&Value> =
        taken["assessment"]["risks"].as_array().unwrap().iter().filter(|risk| risk["waived"].is_string()).collect();
    assert_eq!((waived.len(), &waived[0]["waived"]), (1, &json!("copied, ticket 4711")), "{taken:#}");
    let other =
        scene.place.holdpoint(&["plan", "--json", "--waive", "destroys_data:shop.other=x"]).ended_with(15).json();
    assert_eq!(other["unused_waivers"][0]["object"], "shop.other", "{other:#}");

    // The file says it as well, and may ask for less or more.
    scene.place.write_config(
        "[waiver.note]\nrule = \"destroys_data\"\nobject = \"shop.orders\"\nreason = \"copied, ticket 4711\"\n",
    );
    scene.place.holdpoint(&["plan"]).ended_with(0);
    scene.place.write_config("[risk]\ndestroys_data = \"warn\"\n");
    scene.place.holdpoint(&["plan"]).ended_with(0);
    scene.place.write_config("[risk]\nbreaks_application = \"refuse\"\n");
    assert_eq!(scene.place.holdpoint(&["plan", "--json"]).ended_with(15).json()["verdict"], "refused");
}

#[test]
fn nothing_pending_is_told_as_that() {
    let scene = Scene::local();
    drizzle(&scene, &[]);
    let report = scene.place.holdpoint(&["plan", "--json"]).ended_with(0).json();
    assert_eq!((&report["verdict"], &report["applied"]), (&json!("nothing_pending"), &json!(1)), "{report:#}");
    let text = scene.place.holdpoint(&["plan"]).ended_with(0).stdout;
    assert!(text.starts_with("plan: nothing is pending\n"), "{text}");
}

#[test]
fn an_export_gives_the_same_plan_without_a_database() {
    let mut scene = Scene::local();
    drizzle(&scene, &[DROP_NOTE]);
    scene.sql("UPDATE shop.orders SET note = 'a secret of row 7' WHERE id = 7");
    let online = scene.place.holdpoint(&["plan", "--json", "--export", "facts.json"]).ended_with(15).json();
    let facts = std::fs::read_to_string(scene.place.work().join("facts.json")).unwrap();
    assert!(!facts.contains("a secret of row 7"), "no row leaves the database");
    scene.place.unset("DATABASE_URL").unset("HOLDPOINT_REPOSITORY").unset("HOLDPOINT_DATABASE");
    let offline = scene.place.holdpoint(&["plan", "--json", "--offline", "facts.json"]).ended_with(15).json();
    for same in ["verdict", "pending", "runs", "findings", "review", "assessment"] {
        assert_eq!(online[same], offline[same], "{same}");
    }
    assert_eq!(offline["known"]["from"], "export");
    let text = scene.place.holdpoint(&["plan", "--offline", "facts.json"]).ended_with(15).stdout;
    assert!(text.contains("exported 2"), "{text}");

    // Without either nothing but the files is known, and that is said.
    let blind = scene.place.holdpoint(&["plan", "--without-database", "--json"]).ended_with(15).json();
    assert_eq!((blind["pending"].as_array().unwrap().len(), &blind["known"]["catalog"]), (2, &json!(false)));
    assert_eq!(blind["review"]["tables"][0]["table"]["name"], "orders");
    let text = scene.place.holdpoint(&["plan", "--without-database"]).ended_with(15).stdout;
    assert!(text.contains("no catalog is known"), "{text}");
}

#[test]
fn a_command_and_a_plain_folder_say_what_is_pending() {
    let scene = Scene::local();
    let script = "mkdir sql other && printf 'CREATE TABLE a (id int);\n' > sql/1_a.sql && \
                  printf 'DROP TABLE shop.events;\n' > sql/2_b.sql && cp sql/2_b.sql other/9_z.sql";
    shell(&scene.place.work(), &scene.place.environment(), script).ended_with(0);
    let unknown = scene.place.holdpoint(&["plan", "--json"]).ended_with(15).json();
    assert_eq!((&unknown["verdict"], &unknown["findings"][0]["kind"]), (&json!("stopped"), &json!("nothing_recorded")));
    let through = scene.place.holdpoint(&["plan", "--json", "--applied-through", "1_a.sql"]).ended_with(15).json();
    assert_eq!((through["pending"].as_array().unwrap().len(), &through["verdict"]), (1, &json!("new_restore_point")));
    scene.place.holdpoint(&["plan", "--applied-through", "2_b.sql"]).ended_with(0);

    let listed = ["plan", "--json", "--pending-cmd", "echo '# pending'; ls other/*.sql"];
    let listed = scene.place.holdpoint(&listed).ended_with(15).json();
    assert_eq!((&listed["tool"], &listed["pending"][0]["path"]), (&json!("command"), &json!("other/9_z.sql")));
    assert_eq!(listed["review"]["tables"][0]["table"]["name"], "events");
    scene.place.write_config("[migrations]\npending_command = \"true\"\n");
    let none = scene.place.holdpoint(&["plan", "--json"]).ended_with(0).json();
    assert_eq!(none["verdict"], "nothing_pending");
}
