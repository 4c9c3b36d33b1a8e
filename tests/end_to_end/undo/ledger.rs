//! `runs`, `show run:ID`, `settle` and `status`: whatever became of a run, they tell the truth.

use std::time::Duration;

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};
use holdpoint_tests::Place;
use serde_json::{Value, json};

use crate::scene::Scene;

/// A shop with `psql` on PATH.
fn scene() -> Scene {
    scene_on(Scene::with(Place::local()))
}

fn scene_on(mut scene: Scene) -> Scene {
    let psql = scene.cluster.bin_directory().display().to_string();
    scene.place.set("PATH", &format!("{psql}:/usr/bin:/bin"));
    scene
}

/// Guards a script of the shell with a proof that takes little.
#[track_caller]
fn guard(scene: &Scene, script: &str, code: i32) -> Value {
    let words = ["guard", "--json", "--level", "stored", "--", "sh", "-c", script];
    scene.place.holdpoint(&words).ended_with(code).json()
}

fn sql(sql: &str) -> String {
    format!("psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -c '{sql}'")
}

#[track_caller]
fn runs(scene: &Scene) -> Vec<Value> {
    let report = scene.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
    report["runs"].as_array().unwrap().clone()
}

/// The last word on a run: `[standing, unsettled]`.
fn stands(run: &Value) -> (&str, bool) {
    (run["standing"].as_str().unwrap(), run["unsettled"].as_bool().unwrap())
}

#[track_caller]
fn settle(scene: &Scene, run: &str, code: i32) -> holdpoint_tests::Outcome {
    scene.place.holdpoint(&["settle", run, "--reason", "looked at it", "--json"]).ended_with(code)
}

#[test]
fn a_run_is_listed_shown_and_settled_and_then_latest_is_taken_again() {
    let scene = scene();
    let text = scene.place.holdpoint(&["runs"]).ended_with(0).stdout;
    assert!(text.contains("no guarded runs"), "{text}");
    guard(&scene, "true", 0);
    let failed = guard(&scene, &format!("{}; false", sql("ALTER TABLE shop.orders ADD COLUMN weight integer")), 11);
    let run = failed["run"].as_str().unwrap();
    let listed = runs(&scene);
    assert_eq!(listed.len(), 2, "{listed:#?}");
    assert_eq!((&listed[0]["run"], stands(&listed[0])), (&failed["run"], ("failed", true)), "the newest first");
    assert_eq!(stands(&listed[1]), ("succeeded", false));
    assert!(listed[0]["operator"].is_string() && listed[0]["point"] == failed["point"], "{:#}", listed[0]);
    let text = scene.place.holdpoint(&["runs"]).ended_with(0).stdout;
    assert!(text.contains("FAILED") && text.contains(&format!("holdpoint settle {run}")), "{text}");

    let shown = scene.place.holdpoint(&["show", &format!("run:{run}"), "--json"]).ended_with(0).json();
    let mut states: Vec<&str> =
        shown["steps"].as_array().unwrap().iter().map(|step| step["state"].as_str().unwrap()).collect();
    // Again with the command's process group.
    states.dedup();
    assert_eq!(states, ["started", "proven", "running", "failed"]);
    assert_eq!(shown["found"]["applied"], "partly", "{:#}", shown["found"]);
    let changes = shown["found"]["schema_changes"].to_string();
    assert!(changes.contains("TABLE shop.orders"), "{changes}");
    let text = scene.place.holdpoint(&["show", "run:latest"]).ended_with(0).stdout;
    for part in [run, "steps:", "partly applied", "ways back"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let status = scene.place.holdpoint(&["status"]).ended_with(0).stdout;
    assert!(status.contains(run) && status.contains("leftovers") && status.contains("unsettled runs"), "{status}");

    scene.place.backup();
    let target = scene.empty_database();
    let url = scene.cluster.url(&target);
    scene.place.holdpoint(&["restore", "--from", "latest", "--into", &url]).ended_with(3);
    let settled = settle(&scene, run, 0).json();
    assert_eq!((&settled["was"], &settled["found"]["applied"]), (&json!("failed"), &json!("partly")), "{settled:#}");
    assert_eq!(settled["still_unsettled"], json!([]));
    assert_eq!(stands(&runs(&scene)[0]), ("settled", false));
    scene.place.holdpoint(&["restore", "--from", "latest", "--into", &url]).ended_with(0);
    scene.cluster.drop_database(&target);
    let shown = scene.place.holdpoint(&["show", &format!("run:{run}"), "--json"]).ended_with(0).json();
    let last = shown["steps"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["state"], &last["settlement"]["reason"]), (&json!("settled"), &json!("looked at it")));
}

#[test]
fn what_cannot_be_settled_is_refused() {
    // On a server of its own: databases and roles that other tests make move the counters of shared catalogs, and that a command
    // left nothing would not be known.
    let alone = Box::leak(Box::new(Cluster::start(ClusterOptions::major(NEWEST))));
    let scene = scene_on(Scene::on(alone, Place::local()));
    scene.place.holdpoint(&["show", "run:latest", "--json"]).ended_with(6).failure().says(&["no run"]);
    settle(&scene, "20261121T024300Z-k3f9", 6).failure().says(&["20261121T024300Z-k3f9"]).hints(&["holdpoint runs"]);
    settle(&scene, "nosuch", 2).failure().says(&["\"nosuch\" names no run", "holdpoint runs"]);
    let done = guard(&scene, "true", 0);
    settle(&scene, done["run"].as_str().unwrap(), 3).failure().says(&["succeeded"]);
    let failed = guard(&scene, "false", 10)["run"].as_str().map(str::to_owned);
    settle(&scene, failed.as_deref().unwrap(), 3).failure().says(&["rolled-back"]);
    let failed = guard(&scene, &format!("{}; false", sql("CREATE TABLE shop.made (id integer)")), 11);
    let run = failed["run"].as_str().unwrap();
    let before = scene.before();
    settle(&scene, run, 0);
    settle(&scene, run, 3).failure().says(&["is settled", "looked at it"]);
    holdpoint_tests::assert_same(
        "settling only looks",
        &before.database,
        &holdpoint_tests::contents(scene.cluster, &scene.database),
    );
}

#[test]
fn a_killed_run_is_at_work_as_long_as_its_command_is_and_interrupted_then() {
    let scene = scene();
    // The statement goes on in the server when holdpoint and the shell are dead.
    let script = sql("DELETE FROM shop.order_lines; CREATE TABLE shop.made (id integer); SELECT pg_sleep(3600)");
    let mut guard =
        scene.place.start(&["guard", "--json", "--level", "stored", "--", "sh", "-c", &format!("touch ran; {script}")]);
    let at_work = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'holdpoint:%' \
                   AND datname = current_database() AND query LIKE '%pg_sleep%'";
    guard.wait_until("the command is at work", Duration::from_secs(300), || scene.sql(at_work) == "1");
    assert_eq!(stands(&runs(&scene)[0]), ("running", true));
    guard.kill();
    guard.finish().ended_with(137);
    let listed = runs(&scene);
    let run = listed[0]["run"].as_str().unwrap().to_owned();
    assert_eq!(stands(&listed[0]), ("running", true), "its session is still on the server");
    settle(&scene, &run, 14).failure().says(&[&run, "still at work"]).hints(&["show run:"]);
    for verb in ["guard", "prepare"] {
        let busy = scene.place.holdpoint(&[verb, "--json", "--level", "stored", "--", "touch", "beside"]);
        let pid = scene.sql("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'holdpoint:%' AND datname = current_database()");
        busy.ended_with(14)
            .failure()
            .says(&[&run, "still at work", &pid])
            .hints(&["pg_terminate_backend", "show run:"]);
    }
    assert!(!scene.place.work().join("beside").exists());
    scene.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'holdpoint:%' AND datname = current_database()");
    let mut waited = scene.sql(at_work);
    while waited != "0" {
        std::thread::sleep(Duration::from_millis(20));
        waited = scene.sql(at_work);
    }
    // Its client may take a moment to end.
    let mut listed = runs(&scene);
    while stands(&listed[0]).0 == "running" {
        std::thread::sleep(Duration::from_millis(20));
        listed = runs(&scene);
    }
    assert_eq!(stands(&listed[0]), ("interrupted", true));
    // All of it was one transaction, which is gone.
    assert_eq!(listed[0]["found"]["schema_changes"], json!([]), "{:#}", listed[0]);
    let status = scene.place.holdpoint(&["status", "--json"]).ended_with(0).json();
    assert_eq!(status["unsettled_runs"][0]["standing"], "interrupted", "{status:#}");
    settle(&scene, &run, 0);
    assert_eq!(stands(&runs(&scene)[0]), ("settled", false));
    holdpoint_tests::wait_until_gone(scene.place.path(), Duration::from_secs(300));
}

#[test]
fn without_the_database_nobody_says_that_a_run_is_interrupted() {
    let mut scene = scene();
    let failed = guard(&scene, &format!("{}; false", sql("CREATE TABLE shop.made (id integer)")), 11);
    // What the ledger of a killed run holds.
    let tree = scene.place.tree();
    let last = tree.ending_with("failed.json").next().unwrap().to_owned();
    let mut step: Value = serde_json::from_slice(&scene.place.object(&last)).unwrap();
    step["state"] = json!("running");
    scene.place.put_object(&last, step.to_string().as_bytes());
    assert_eq!(stands(&runs(&scene)[0]), ("interrupted", true));
    let config = format!("[database.{}]\nurl = \"postgresql://nobody@127.0.0.1:1/shop\"\n", folder(&last));
    scene.place.write_config(&config);
    scene.place.unset("DATABASE_URL");
    let name = folder(&last);
    let report = scene.place.holdpoint(&["runs", "--json", "--database", &name]).ended_with(0).json();
    assert_eq!(stands(&report["runs"][0]), ("running_or_interrupted", true), "{report:#}");
    assert!(report["warnings"].to_string().contains("which runs are at work is not known"), "{report:#}");
    let run = failed["run"].as_str().unwrap();
    let words = ["settle", run, "--reason", "x", "--json", "--database", &name];
    scene.place.holdpoint(&words).ended_with(7).failure().says(&["127.0.0.1:1"]);
}

/// The database's folder in the repository.
fn folder(key: &str) -> String {
    key.split('/').next().unwrap().to_owned()
}
