//! What is pending decides what a guarded run asks for; what was prepared is relied on.

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST, migration_tool};
use holdpoint_tests::{Outcome, Place, assert_same, contents};
use serde_json::{Value, json};

use crate::scene::{Before, Scene};

#[expect(clippy::disallowed_methods, reason = "Node.js is wherever the machine has it")]
fn path() -> String {
    std::env::var("PATH").unwrap()
}

/// A shop, and a Drizzle project of it in the working directory, with the real tool.
fn scene() -> Scene {
    // Tools of Node.js come by TCP with a password.
    let cluster = Box::leak(Box::new(Cluster::start(ClusterOptions::major(NEWEST).with_tcp())));
    let mut scene = Scene::on(cluster, Place::local());
    scene.place.set("DATABASE_URL", &scene.cluster.tcp_url(&scene.database));
    scene.place.set("PATH", &path());
    scene.place.set("NO_COLOR", "1");
    let modules = migration_tool("drizzle-0").join("node_modules");
    std::os::unix::fs::symlink(modules, scene.place.work().join("node_modules")).unwrap();
    write(&scene, "package.json", &json!({ "scripts": { "db:migrate": "drizzle-kit migrate" } }).to_string());
    write(
        &scene,
        "drizzle.config.ts",
        "import { defineConfig } from 'drizzle-kit';\n\
         export default defineConfig({ dialect: 'postgresql', out: './drizzle', \
         dbCredentials: { url: process.env.DATABASE_URL! } });\n",
    );
    scene
}

fn write(scene: &Scene, path: &str, text: &str) {
    let path = scene.place.work().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Writes migrations and the journal that names them, each later than the one before.
fn migrations(scene: &Scene, all: &[(&str, &str)]) {
    let entry = |(idx, (tag, sql)): (usize, &(&str, &str))| {
        write(scene, &format!("drizzle/{tag}.sql"), sql);
        json!({ "idx": idx, "version": "7", "when": 1000 * (idx + 1), "tag": tag, "breakpoints": true })
    };
    let entries: Vec<Value> = all.iter().enumerate().map(entry).collect();
    let journal = json!({ "version": "7", "dialect": "postgresql", "entries": entries });
    write(scene, "drizzle/meta/_journal.json", &journal.to_string());
}

const ADDS: (&str, &str) = ("0000_adds", "CREATE TABLE shop.tags (id integer PRIMARY KEY);\n");
const DROPS: (&str, &str) = ("0001_drops", "ALTER TABLE shop.orders DROP COLUMN note;\n");

#[track_caller]
fn unchanged(scene: &Scene, before: &Before) {
    assert_same("the database", &before.database, &contents(scene.cluster, &scene.database));
}

#[track_caller]
fn guard(scene: &Scene, flags: &[&str], code: i32) -> Outcome {
    let command = ["--", "npm", "run", "--silent", "db:migrate"];
    scene.place.holdpoint(&[&["guard", "--json"], flags, &command].concat()).ended_with(code)
}

#[test]
fn a_migration_is_prepared_guarded_and_then_nothing_is_pending() {
    let scene = scene();
    migrations(&scene, &[ADDS, DROPS]);
    let command = ["--", "npm", "run", "--silent", "db:migrate"];
    let prepared = scene.place.holdpoint(&[&["prepare", "--json"][..], &command].concat()).ended_with(0).json();
    assert_eq!(prepared["verification"]["verdict"], "proved", "{prepared:#}");
    assert_eq!(prepared["plan"]["pending"].as_array().unwrap().len(), 2, "{prepared:#}");
    assert_eq!(prepared["plan"]["verdict"], "new_restore_point");
    assert_eq!(scene.sql("SELECT to_regclass('shop.tags') IS NULL"), "t", "nothing ran in production");
    let rehearsal = &prepared["rehearsal"];
    assert_eq!((&rehearsal["outcome"], &rehearsal["tracking"]["exact"]), (&json!("as_planned"), &json!(true)));
    let orders = rehearsal["tables"].as_array().unwrap().iter().find(|one| one["table"] == "shop.orders").unwrap();
    assert_eq!(orders["columns_gone"], json!(["note"]), "{rehearsal:#}");

    let report = guard(&scene, &[], 0).json();
    assert_eq!((&report["prepared_by"], &report["point"]), (&prepared["run"], &prepared["point"]), "{report:#}");
    assert_eq!((&report["state"], scene.place.points().len()), (&json!("succeeded"), 1), "{report:#}");
    assert_eq!(report["rehearsal"], prepared["rehearsal"], "what was expected is kept");
    assert_eq!(scene.sql("SELECT to_regclass('shop.tags') IS NULL"), "f");
    let warnings = report["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{report:#}");
    assert!(warnings[0].as_str().unwrap().contains("there is no drizzle.__drizzle_migrations"), "{report:#}");

    // Now there is nothing to hold: no restore point, and no proof is asked for.
    let report = guard(&scene, &[], 0).json();
    assert_eq!((&report["plan"]["verdict"], &report["point"]), (&json!("nothing_pending"), &Value::Null), "{report:#}");
    assert_eq!((&report["decision"]["decision"], scene.place.points().len()), (&json!("go"), 1), "{report:#}");
    let text = scene.place.holdpoint(&[&["guard"][..], &command].concat()).ended_with(0).stdout;
    assert!(text.contains("gate") && text.contains("go: nothing is pending"), "{text}");
    // A command of which nobody knows what it does is another matter, nothing pending or not.
    let other = scene.place.holdpoint(&["guard", "--json", "--", "psql", "--version"]).ended_with(0).json();
    assert!(
        other["point"].is_string() && other["decision"].to_string().contains("what psql runs is not known"),
        "{other:#}"
    );
}

#[test]
fn what_the_tool_would_skip_stops_the_run_and_two_tools_must_be_told_apart() {
    let scene = scene();
    migrations(&scene, &[ADDS]);
    guard(&scene, &[], 0);
    // A branch with an earlier time was merged: Drizzle would pass over it without a word.
    let entries = json!([
        { "idx": 0, "version": "7", "when": 1000, "tag": ADDS.0, "breakpoints": true },
        { "idx": 1, "version": "7", "when": 500, "tag": DROPS.0, "breakpoints": true },
    ]);
    write(&scene, "drizzle/0001_drops.sql", DROPS.1);
    let journal = json!({ "version": "7", "dialect": "postgresql", "entries": entries });
    write(&scene, "drizzle/meta/_journal.json", &journal.to_string());
    let before = scene.before();
    let points = scene.place.points();
    guard(&scene, &[], 3).failure().says(&["0001_drops"]).hints(&["holdpoint plan"]);
    assert_eq!(scene.place.points(), points, "refused before anything was made");
    write(&scene, "flyway.conf", "flyway.locations=filesystem:sql\n");
    guard(&scene, &[], 2).failure().says(&["several migration tools"]).hints(&["--tool"]);
    // Without a plan everything is at risk, and the run may go on.
    let report = guard(&scene, &["--no-plan"], 0).json();
    assert_eq!(report["plan"], Value::Null, "{report:#}");
    assert_eq!(scene.place.points().len(), points.len() + 1);
    unchanged(&scene, &before);
}

#[test]
fn a_refused_risk_a_deadline_and_a_project_that_is_not_there() {
    let scene = scene();
    migrations(&scene, &[("0000_roles", "DROP OWNED BY nobody_at_all;\n")]);
    let before = scene.before();
    guard(&scene, &[], 3).failure().says(&["refuses", "server_wide"]).hints(&["--waive"]);
    let flags = ["--waive", "server_wide=agreed", "--waive", "unreviewable=agreed", "--deadline", "0"];
    guard(&scene, &flags, 5).failure().says(&["not ready within", "still"]).hints(&["--deadline"]);
    guard(&scene, &["--project", "no-such-folder"], 2).failure().says(&["no-such-folder"]);
    unchanged(&scene, &before);
    assert_eq!(scene.place.points(), Vec::<String>::new());
}

#[test]
fn what_fails_on_the_copy_never_runs_in_production() {
    let scene = scene();
    let fails = "CREATE TABLE shop.made (id integer);\n--> statement-breakpoint\n\
                 ALTER TABLE shop.orders ADD CONSTRAINT small CHECK (id < 3);\n";
    migrations(&scene, &[("0000_check", fails)]);
    let before = scene.before();
    guard(&scene, &[], 3).failure().says(&["the rehearsal failed"]).hints(&["--no-rehearse"]);
    unchanged(&scene, &before);
    assert_eq!(scene.place.points().len(), 1, "the restore point is proven, and stays");
    let tree = scene.place.tree();
    let refused = tree.ending_with("refused.json").next().unwrap();
    let step: Value = serde_json::from_slice(&scene.place.object(refused)).unwrap();
    assert_eq!(step["rehearsal"]["outcome"], "failed", "{step:#}");
    // Whoever wants to see it fail in production may.
    guard(&scene, &["--no-rehearse"], 10);
    assert_eq!(
        scene.sql("SELECT to_regclass('shop.made') IS NULL"),
        "t",
        "all but the tool's own table, which is empty, was taken back"
    );
}

#[test]
fn a_configuration_that_leads_to_production_is_not_rehearsed_with() {
    let scene = scene();
    migrations(&scene, &[ADDS]);
    let url = scene.cluster.tcp_url(&scene.database);
    write(
        &scene,
        "drizzle.config.ts",
        &format!(
            "import {{ defineConfig }} from 'drizzle-kit';\nexport default defineConfig({{ dialect: 'postgresql', \
             out: './drizzle', dbCredentials: {{ url: '{url}' }} }});\n"
        ),
    );
    let before = scene.before();
    guard(&scene, &["--rehearse"], 3).failure().says(&["drizzle.config.ts", "names production"]);
    unchanged(&scene, &before);
    // Where it leads is not known, so the command counts as one that may do anything.
    let report = guard(&scene, &[], 0).json();
    assert!(
        report["decision"].to_string().contains("its connection is written down in drizzle.config.ts"),
        "{report:#}"
    );
    assert_eq!(report["rehearsal"], Value::Null, "{report:#}");
}

#[test]
fn secrets_in_the_commands_words_are_nowhere_to_be_read() {
    let scene = scene();
    migrations(&scene, &[ADDS]);
    let command = ["npx", "drizzle-kit", "migrate", "--password=hunter2secret", "-u", "ann:hunter2secret"];
    let words = [&["prepare", "--json", "--level", "stored", "--"][..], &command].concat();
    let outcome = scene.place.holdpoint(&words).ended_with(0);
    let decision = outcome.json()["decision"].to_string();
    assert!(decision.contains("what drizzle-kit migrate --password=*** -u ann:*** does is not known"), "{decision}");
    assert!(!outcome.stdout.contains("hunter2") && !outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
    let tree = scene.place.tree();
    for key in tree.objects.keys().filter(|key| key.ends_with(".json")) {
        let text = String::from_utf8_lossy(&scene.place.object(key)).into_owned();
        assert!(!text.contains("hunter2"), "{key}: {text}");
    }
    let recorded = tree.ending_with("prepared.json").next().unwrap();
    let step: Value = serde_json::from_slice(&scene.place.object(recorded)).unwrap();
    assert_eq!(step["command"], json!(["npx", "drizzle-kit", "migrate", "--password=***", "-u", "ann:***"]));
}

#[test]
fn a_configuration_that_changes_meanwhile() {
    let scene = scene();
    migrations(&scene, &[ADDS]);
    let before = scene.before();
    // The command's own rehearsal changes it, which comes after the plan and before the run lock.
    let script = "echo '{\"scripts\": {}}' > package.json; touch ran";
    let words = ["guard", "--json", "--rehearse", "--", "sh", "-c", script];
    let failure = scene.place.holdpoint(&words).ended_with(3).failure();
    failure.says(&["package.json changed since the run was planned"]).hints(&["run the same command again"]);
    unchanged(&scene, &before);
    assert_eq!(scene.place.points().len(), 1, "the restore point is proven, and stays");
    let tree = scene.place.tree();
    let refused = tree.ending_with("refused.json").next().unwrap();
    let step: Value = serde_json::from_slice(&scene.place.object(refused)).unwrap();
    let configuration = step["plan"]["configuration"].as_array().unwrap();
    let paths: Vec<&str> = configuration.iter().map(|file| file["path"].as_str().unwrap()).collect();
    let installed = ["node_modules/drizzle-kit/package.json", "node_modules/drizzle-orm/package.json"];
    assert_eq!(paths, [&["package.json", "drizzle.config.ts"][..], &installed].concat());
}

#[test]
fn a_person_at_a_terminal_is_shown_what_may_be_lost_and_asked() {
    let scene = scene();
    migrations(&scene, &[ADDS]);
    let words = "guard -- npm run --silent db:migrate";
    // What only adds asks nobody.
    scene.place.at_a_terminal(words, "no").ended_with(0);
    migrations(&scene, &[ADDS, DROPS]);
    let shown = scene.place.at_a_terminal(words, "no").ended_with(16).stdout;
    for text in ["1 table at risk", "rehearsal on a copy", "ways back", "data may be lost", "Type yes to go on"] {
        assert!(shown.contains(text), "{text} is not in\n{shown}");
    }
    assert_eq!(scene.sql("SELECT count(note) > 0 FROM shop.orders"), "t");
    scene.place.at_a_terminal(words, "yes").ended_with(0);
    let gone = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'shop.orders'::regclass AND attname = 'note'";
    assert_eq!(scene.sql(gone), "0");
}

#[test]
fn a_tool_that_leads_to_another_database_is_refused() {
    let mut scene = scene();
    migrations(&scene, &[ADDS]);
    let other = scene.empty_database();
    let backup = scene.cluster.tcp_url(&scene.database);
    write(&scene, "holdpoint.toml", &format!("[database.shop]\nurl = \"{backup}\"\n"));
    scene.place.set("DATABASE_URL", &scene.cluster.tcp_url(&other));
    let failure = guard(&scene, &["--database", "shop", "--config", "holdpoint.toml"], 2).failure();
    failure.says(&["leads to another database"]);
    assert_eq!(scene.place.points(), Vec::<String>::new());
    assert_eq!(scene.cluster.psql(&other, "SELECT to_regclass('shop.tags') IS NULL"), "t");
    scene.cluster.drop_database(&other);
}

#[test]
fn what_was_not_pending_is_not_as_planned() {
    let mut scene = scene();
    migrations(&scene, &[ADDS]);
    guard(&scene, &[], 0);
    let points = scene.place.points();
    let flags = ["guard", "--json", "--pending-cmd", "true", "--"];
    let script = "psql -X -q \"$DATABASE_URL\" -c 'CREATE TABLE shop.sneaked (id integer)'";
    scene.place.set("PATH", &format!("{}:{}", scene_bin(&scene), path()));
    let report = scene.place.holdpoint(&[&flags[..], &["sh", "-c", script]].concat()).ended_with(11).json();
    assert!(report["warnings"].to_string().contains("nothing was pending, and yet the schema changed"), "{report:#}");
    assert_eq!(scene.place.points(), points);
    // A tool's name tells it from others, and says nothing of the command.
    let named = scene.place.holdpoint(&["guard", "--json", "--tool", "drizzle", "--", "true"]).ended_with(0).json();
    assert!(named["decision"].to_string().contains("what true runs is not known"), "{named:#}");
    assert_eq!(scene.place.points().len(), points.len() + 1);
}

fn scene_bin(scene: &Scene) -> String {
    scene.cluster.bin_directory().display().to_string()
}
