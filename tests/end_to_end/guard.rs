//! A migration by psql, held until its way back is proven, and the way back pasted into a shell.

use std::collections::BTreeMap;

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};
use holdpoint_tests::{Outcome, Place, assert_same, contents, program, shell};
use serde_json::{Value, json};

use crate::scene::Scene;

const MIGRATION: &str = "BEGIN; ALTER TABLE shop.orders ADD COLUMN weight integer; \
                         UPDATE shop.orders SET weight = id % 7; COMMIT;";

/// A shop with `psql` and `holdpoint` on PATH, and the migration's file in the working directory.
fn scene(place: Place, sql: &str) -> Scene {
    scene_on(Cluster::shared(NEWEST), place, sql)
}

fn scene_on(cluster: &'static Cluster, place: Place, sql: &str) -> Scene {
    let mut scene = Scene::on(cluster, place);
    let psql = scene.cluster.bin_directory();
    let own = program();
    let path = format!("{}:{}:/usr/bin:/bin", own.parent().unwrap().display(), psql.display());
    scene.place.set("PATH", &path);
    write(&scene, sql);
    scene
}

fn write(scene: &Scene, sql: &str) {
    std::fs::write(scene.place.work().join("migration.sql"), sql).unwrap();
}

/// Runs the migration behind the gate, with more flags.
#[track_caller]
fn guard(scene: &Scene, flags: &[&str], code: i32) -> Outcome {
    let command = ["--", "sh", "-c", "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f migration.sql && touch ran"];
    scene.place.holdpoint(&[&["guard", "--json"], flags, &command].concat()).ended_with(code)
}

fn ran(scene: &Scene) -> bool {
    scene.place.work().join("ran").exists()
}

/// Beside a run's steps there may be what its command wrote.
fn is_step(key: &str) -> bool {
    key.contains("/runs/") && key.ends_with(".json")
}

/// The states of a run's steps, read from the repository, in order; *running*, which is written again with the command's process group, once.
fn ledger(scene: &Scene) -> Vec<String> {
    let tree = scene.place.tree();
    let mut steps: Vec<&str> = tree.objects.keys().map(String::as_str).filter(|key| is_step(key)).collect();
    steps.sort_unstable();
    let state = |key: &str| {
        let name = key.rsplit('/').next()?.trim_end_matches(".json");
        Some(name.split_once('-')?.1.to_owned())
    };
    let mut states: Vec<String> = steps.iter().filter_map(|key| state(key)).collect();
    states.dedup();
    states
}

#[test]
fn runs_once_the_way_back_is_proven() {
    for place in [Place::local(), Place::on_s3()] {
        let scene = scene(place, MIGRATION);
        let report = guard(&scene, &[], 0).json();
        assert_eq!(report["verification"]["verdict"], "proved", "{report:#}");
        assert_eq!(report["verification"]["level"], "full", "{report:#}");
        assert_eq!(report["state"], "succeeded", "{report:#}");
        assert!(ran(&scene));
        assert_eq!(scene.sql("SELECT count(*) FROM shop.orders WHERE weight IS NULL"), "0");
        assert_eq!(ledger(&scene), ["started", "proven", "running", "succeeded"]);
        let point = report["point"].as_str().unwrap();
        assert_eq!(scene.place.points(), [point]);
        let shown = scene.place.holdpoint(&["show", "--json"]).ended_with(0).json();
        assert_eq!(shown["pins"].as_array().map(Vec::len), Some(1), "the run pins what it relies on: {shown:#}");
    }
}

#[test]
fn a_young_proof_is_relied_on() {
    let scene = scene(Place::local(), "UPDATE shop.orders SET note = 'seen' WHERE id = 1");
    scene.place.backup();
    scene.place.prove();
    let report = guard(&scene, &["--max-age", "1h"], 0).json();
    assert_eq!(scene.place.points().len(), 1, "no other restore point was made: {report:#}");
    // A changed schema makes it worth nothing.
    write(&scene, MIGRATION);
    guard(&scene, &["--max-age", "1h"], 0);
    let report = guard_of(&scene, &["--max-age", "1h"], "true");
    assert_eq!(report["state"], "succeeded");
    assert_eq!(scene.place.points().len(), 2, "the schema of the first is gone: {report:#}");
    what_cannot_be_read_of_a_run_hides_nothing_else(&scene, report["run"].as_str().unwrap());
}

/// The last step of a run, which its key says succeeded.
fn what_cannot_be_read_of_a_run_hides_nothing_else(scene: &Scene, run: &str) {
    let tree = scene.place.tree();
    let key = tree.objects.keys().filter(|key| is_step(key) && key.contains(run)).max().unwrap();
    std::fs::write(scene.place.repository().join(key), "{").unwrap();
    let listed = scene.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
    assert_eq!((listed["runs"].as_array().unwrap().len(), &listed["runs"][0]["standing"]), (3, &json!("unreadable")));
    let told = scene.place.holdpoint(&["status"]).ended_with(0).stdout;
    assert!(told.contains(key.as_str()), "{told}");
    let found = scene.place.holdpoint(&["check", "--json"]).ended_with(15).json();
    // Its pin is another one: nobody knows when that ends.
    let finding = found["findings"].as_array().unwrap().iter().find(|one| one["place"] == **key).unwrap();
    assert_eq!(finding["kind"], "unreadable", "{found:#}");
    assert!(finding["cure"].as_str().unwrap().contains(&format!("holdpoint settle {run} --reason")), "{found:#}");
    let refused = scene.place.holdpoint(&["undo", run, "--dry-run"]).ended_with(8).stderr;
    assert!(refused.contains(key.as_str()) && refused.contains("holdpoint settle"), "{refused}");
    let report = guard_of(scene, &["--max-age", "1h"], "true");
    assert!(report["warnings"].to_string().contains(key.as_str()), "{report:#}");
    scene.place.holdpoint(&["settle", run, "--reason", "it succeeded"]).ended_with(0);
    let listed = scene.place.holdpoint(&["runs", "--json"]).ended_with(0).json();
    let of_it = |one: &&Value| one["run"] == run;
    assert_eq!(listed["runs"].as_array().unwrap().iter().find(of_it).unwrap()["standing"], "settled", "{listed:#}");
}

fn guard_of(scene: &Scene, flags: &[&str], script: &str) -> Value {
    scene.place.holdpoint(&[&["guard", "--json"], flags, &["--", "sh", "-c", script]].concat()).ended_with(0).json()
}

/// Pastes a way back into a shell and returns the name of the database that it made.
fn paste(scene: &Scene, command: &str) -> String {
    let databases = "SELECT datname FROM pg_database WHERE datname LIKE '%_restored_%' ORDER BY 1";
    let before = scene.cluster.psql("postgres", databases);
    let environment: BTreeMap<String, String> = scene.place.environment();
    let pasted = shell(&scene.place.work(), &environment, command);
    assert_eq!(pasted.code, 0, "{command}\n--- stdout\n{}\n--- stderr\n{}", pasted.stdout, pasted.stderr);
    let after = scene.cluster.psql("postgres", databases);
    let new = after.lines().find(|name| !before.lines().any(|known| known == *name));
    new.unwrap_or_else(|| panic!("no database was made by\n{command}")).to_owned()
}

/// The way back brings the database as it was before the command, beside the live one.
fn way_back_restores(scene: &Scene, report: &Value, expected: &str) {
    let way = &report["ways_back"][0];
    let command = way["command"].as_str().unwrap();
    assert!(way["seconds"].is_number(), "{way:#}");
    let restored = paste(scene, command);
    assert_same("the way back", expected, &contents(scene.cluster, &restored));
    scene.cluster.drop_database(&restored);
}

#[test]
fn a_migration_that_fails_in_the_middle_tells_its_way_back() {
    for place in [Place::local(), Place::on_s3()] {
        let scene =
            scene(place, "DROP TABLE shop.order_lines CASCADE; UPDATE shop.orders SET note = 'x'; SELECT 1 / 0;");
        let before = contents(scene.cluster, &scene.database);
        let report = guard(&scene, &[], 11).json();
        assert_eq!(report["state"], "failed", "{report:#}");
        assert_eq!(report["database"], "changed", "{report:#}");
        assert_eq!(report["exit_code"], 3, "psql's own code is told: {report:#}");
        assert_eq!(ledger(&scene), ["started", "proven", "running", "failed"]);
        way_back_restores(&scene, &report, &before);
        // People read the same command as text.
        let run = report["run"].as_str().unwrap();
        assert!(report["ways_back"][0]["command"].as_str().unwrap().contains(&format!("before:{run}")));
        // A restore point from now on may hold the damage.
        scene.place.backup();
        let target = scene.empty_database();
        let url = scene.cluster.url(&target);
        let failure =
            scene.place.holdpoint(&["restore", "--from", "latest", "--into", &url, "--json"]).ended_with(3).failure();
        failure.says(&[run, "unsettled"]).hints(&[&format!("before:{run}")]);
        scene.cluster.drop_database(&target);
    }
}

#[test]
fn the_way_back_is_told_as_text_too() {
    let scene = scene(Place::local(), "TRUNCATE shop.events; SELECT 1 / 0;");
    let before = contents(scene.cluster, &scene.database);
    let command = ["guard", "--", "sh", "-c", "psql -X -q -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -f migration.sql"];
    let outcome = scene.place.holdpoint(&command).ended_with(11);
    let text = outcome.stdout.split("ways back:").nth(1).unwrap().split("\n  2. ").next().unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("       ")).map(str::trim).collect();
    let restored = paste(&scene, &lines.join("\n"));
    assert_same("the way back", &before, &contents(scene.cluster, &restored));
    scene.cluster.drop_database(&restored);
}

#[test]
fn a_migration_that_rolls_back_leaves_nothing() {
    // On a server of its own: what others do to the shared catalogs would leave it unknown.
    let scene = scene_on(
        Box::leak(Box::new(Cluster::start(ClusterOptions::major(NEWEST).with_configuration("autovacuum = off")))),
        Place::local(),
        "BEGIN; DELETE FROM shop.order_lines; SELECT 1 / 0; COMMIT;",
    );
    let before = contents(scene.cluster, &scene.database);
    let report = guard(&scene, &[], 10).json();
    assert_eq!(report["database"], "unchanged", "{report:#}");
    assert_same("the database", &before, &contents(scene.cluster, &scene.database));
}

#[test]
fn killed_while_the_command_runs() {
    let scene = scene(Place::local(), "");
    let before = contents(scene.cluster, &scene.database);
    let script = "psql -X -q \"$DATABASE_URL\" -c 'DELETE FROM shop.order_lines' && touch ran && sleep 3600";
    let mut run = scene.place.start(&["guard", "--json", "--", "sh", "-c", script]);
    let noted = || scene.place.tree().ending_with("-running.json").count() == 2;
    run.wait_until("the command is at work", std::time::Duration::from_secs(300), || ran(&scene) && noted());
    run.kill();
    run.finish().ended_with(137);
    scene.wait_until_left();
    // No session of the command is on the server, and yet it goes on.
    let at_work = ["still at work", "process group"];
    scene.place.holdpoint(&["undo", "latest", "--yes", "--json"]).ended_with(14).failure().says(&at_work);
    guard(&scene, &[], 14).failure().says(&at_work);
    for asleep in holdpoint_tests::processes_with(scene.place.path()) {
        holdpoint_tests::kill(asleep.pid);
    }
    assert_eq!(ledger(&scene), ["started", "proven", "running"]);
    let status = scene.place.holdpoint(&["status", "--json"]).ended_with(0).stdout;
    let tree = scene.place.tree();
    let run_id = tree.ending_with("running.json").next().unwrap().rsplit('/').nth(1).unwrap().to_owned();
    assert!(status.contains(&run_id), "the run that nobody settled is shown: {status}");
    // Its way back is there although nothing could print it.
    let target = scene.empty_database();
    let url = scene.cluster.url(&target);
    let from = format!("before:{run_id}");
    scene.place.holdpoint(&["restore", "--from", &from, "--into", &url]).ended_with(0);
    assert_same("before the run", &before, &contents(scene.cluster, &target));
    scene.cluster.drop_database(&target);
}

#[test]
fn interrupted_before_the_command() {
    let scene = scene(Place::local(), MIGRATION);
    for phase in ["copying-data", "restoring", "comparing"] {
        let mut run = scene.place.start_paused(&["guard", "--json", "--", "touch", "ran"], phase);
        run.wait_for_pause();
        run.interrupt();
        run.finish().ended_with(130);
        assert!(!ran(&scene), "{phase}");
        assert_eq!(holdpoint_tests::alive_with(scene.place.path()), [], "{phase}");
    }
    assert_eq!(guard(&scene, &[], 0).json()["state"], "succeeded");
}

#[test]
fn unproven_is_refused_unless_a_reason_is_given() {
    let mut scene = scene(Place::local(), MIGRATION);
    let programs = holdpoint_testkit::fake::FakePrograms::new(holdpoint_testkit::NEWEST);
    programs.remove("postgres");
    programs.remove("initdb");
    scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &programs.path().to_string_lossy());
    scene.place.set("PATH", &format!("{}:/usr/bin:/bin", programs.bin().display()));
    let before = contents(scene.cluster, &scene.database);
    guard(&scene, &[], 5).failure().hints(&["--unproven"]);
    assert!(!ran(&scene));
    assert_same("the database", &before, &contents(scene.cluster, &scene.database));
    let report = guard(&scene, &["--unproven", "incident 4711"], 0).json();
    assert!(report.to_string().contains("not proven"), "{report:#}");
    assert!(ran(&scene));
}

#[test]
fn disproved_is_refused_whatever_the_reason() {
    let scene = scene(Place::local(), MIGRATION);
    let mut run =
        scene.place.start_paused(&["guard", "--json", "--unproven", "no matter", "--", "touch", "ran"], "restoring");
    run.wait_for_pause();
    let tree = scene.place.tree();
    let key = tree.ending_with("/archive.dump").next().unwrap();
    let mut bytes = scene.place.object(key);
    let at = bytes.len() - 200;
    bytes[at] ^= 1;
    scene.place.put_object(key, &bytes);
    run.go_on();
    run.finish().ended_with(4).failure().says(&["disproved"]);
    assert!(!ran(&scene));
    assert_eq!(ledger(&scene).last().map(String::as_str), Some("refused"));
}

#[test]
fn the_schema_that_changed_meanwhile_is_refused() {
    let scene = scene(Place::local(), MIGRATION);
    let mut run = scene.place.start_paused(&["guard", "--json", "--", "touch", "ran"], "comparing");
    run.wait_for_pause();
    scene.sql("ALTER TABLE shop.products ADD COLUMN sneaked integer");
    run.go_on();
    run.finish().ended_with(3).failure().says(&["schema changed"]);
    assert!(!ran(&scene));
}

#[test]
fn a_second_run_is_busy() {
    let scene = scene(Place::local(), "");
    let script = "touch first; while [ ! -e go ]; do sleep 0.05; done";
    let mut first = scene.place.start(&["guard", "--json", "--", "sh", "-c", script]);
    let marker = scene.place.work().join("first");
    first.wait_until("the command is at work", std::time::Duration::from_secs(300), || marker.exists());
    guard(&scene, &[], 14).failure().says(&["another guarded run"]).hints(&["retry"]);
    assert!(!ran(&scene));
    std::fs::write(scene.place.work().join("go"), "").unwrap();
    first.finish().ended_with(0);
}

#[test]
fn the_command_sees_no_key_of_the_repository() {
    let scene = scene(Place::on_s3(), "");
    guard_of(&scene, &[], "env > seen; echo out; echo err >&2");
    let seen = std::fs::read_to_string(scene.place.work().join("seen")).unwrap();
    assert!(seen.contains("DATABASE_URL="), "{seen}");
    for name in ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "HOLDPOINT_"] {
        assert!(!seen.contains(name), "{name} reached the command:\n{seen}");
    }
}

#[test]
fn a_program_that_is_none_is_refused_before_anything() {
    let scene = scene(Place::local(), "");
    let before = scene.before();
    let outcome = scene.place.holdpoint(&["guard", "--json", "--", "no-such-program"]).ended_with(2);
    outcome.failure().says(&["no-such-program"]);
    scene.assert_untouched(&before);
}

#[test]
fn tables_that_a_prepared_transaction_has_locked_are_not_waited_for() {
    let options = ClusterOptions::major(NEWEST).with_configuration("max_prepared_transactions = 2");
    let cluster = Box::leak(Box::new(Cluster::start(options)));
    let left = "BEGIN; ALTER TABLE shop.orders ADD COLUMN weight integer; PREPARE TRANSACTION 'left';";
    let scene = scene_on(cluster, Place::local(), left);
    let report = guard(&scene, &["--level", "stored", "--no-rehearse"], 11).json();
    let told = "a transaction that was prepared and is open has locked shop.orders";
    assert!(report["warnings"].to_string().contains(told), "{report:#}");
    assert_eq!(report["database"], "unknown", "{report:#}");
    scene.sql("ROLLBACK PREPARED 'left'");
}
