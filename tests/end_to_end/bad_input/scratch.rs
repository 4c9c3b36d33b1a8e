//! What keeps a verification from running: never a word about the restore point.

use holdpoint_testkit::fake::{FakePrograms, Installation};
use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};
use serde_json::Value;

use super::{failed, refused};
use crate::scene::{Before, Scene};

/// Verifies, and demands that it could not run, with a reason and a cure, and that the point is what it was.
fn could_not_run(scene: &Scene, arguments: &[&str]) -> String {
    let before = scene.before();
    let outcome = scene.place.holdpoint(&[&["verify", "--json"], arguments].concat()).ended_with(5);
    let report = outcome.json();
    let obstacle = if report["error"].is_object() {
        let failure = outcome.failure();
        format!("{}; {}", failure.told, failure.hint)
    } else {
        assert_eq!(report["verification"]["verdict"], "could_not_run", "{report:#}");
        let obstacle = &report["verification"]["obstacles"][0];
        format!("{}; {}", obstacle["reason"].as_str().unwrap(), obstacle["cure"].as_str().unwrap())
    };
    unharmed(scene, &before);
    obstacle
}

fn unharmed(scene: &Scene, before: &Before) {
    let after = scene.before();
    holdpoint_tests::assert_same("the database changed", &before.database, &after.database);
    let new = after.tree.beyond(&before.tree);
    assert!(new.iter().all(|key| key.contains("/verifications/") && key.contains("could-not-run")), "{new:?}");
    let shown = scene.place.holdpoint(&["show", "--json"]).ended_with(0).json();
    assert_eq!(shown["standing"]["standing"], "unproven", "{shown:#}");
    let left = std::fs::read_dir(scene.place.scratch()).unwrap().count();
    assert_eq!(left, 0, "a scratch directory is left");
}

#[test]
fn temporary_folder_missing() {
    let mut scene = Scene::local();
    scene.place.backup();
    let config = std::fs::read_to_string(scene.place.work().join("holdpoint.toml")).unwrap_or_default();
    assert!(!config.contains("[scratch]"), "{config}");
    let missing = scene.place.path().join("not/there");
    scene.place.set("TMPDIR", &missing.to_string_lossy());
    for verb in ["verify", "demo"] {
        refused(&scene, &[verb], 2).says(&["TMPDIR", "not/there"]).hints(&["scratch.directory"]);
    }
    assert!(!missing.exists(), "it was made silently");
    // What needs no scratch server does not mind.
    scene.place.holdpoint(&["list"]).ended_with(0);
}

fn with_extension() -> Scene {
    let scene = Scene::local();
    scene.sql("CREATE EXTENSION hstore; ALTER TABLE shop.products ADD tags hstore");
    scene.place.backup();
    scene
}

#[test]
fn extension_missing() {
    let mut scene = with_extension();
    let installation = Installation::copy(NEWEST);
    installation.remove_extension("hstore");
    let proper = scene.place.environment()["HOLDPOINT_POSTGRESQL_DIRECTORY"].clone();
    scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &installation.path().to_string_lossy());
    let obstacle = could_not_run(&scene, &[]);
    assert!(obstacle.contains("hstore") && obstacle.contains("install"), "{obstacle}");
    scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &proper);
    scene.place.prove();
}

#[test]
fn server_missing() {
    let mut scene = with_extension();
    let programs = FakePrograms::new(NEWEST);
    programs.remove("postgres");
    programs.remove("initdb");
    scene.place.set("HOLDPOINT_POSTGRESQL_DIRECTORY", &programs.path().to_string_lossy());
    let obstacle = could_not_run(&scene, &[]);
    assert!(obstacle.contains(&NEWEST.to_string()) && obstacle.contains("install"), "{obstacle}");
}

#[test]
fn other_major() {
    let scene = with_extension();
    let older = Cluster::shared(16);
    let obstacle = could_not_run(&scene, &["--scratch-url", &older.url("postgres")]);
    assert!(obstacle.contains("PostgreSQL 16") && obstacle.contains(&NEWEST.to_string()), "{obstacle}");
    let left = older.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdpoint%'");
    assert_eq!(left, "0");
}

#[test]
fn scratch_server_that_cannot_be_reached() {
    let scene = with_extension();
    let port = 1;
    let obstacle = could_not_run(&scene, &["--scratch-url", &format!("postgresql://u@127.0.0.1:{port}/postgres")]);
    assert!(obstacle.contains(&format!("127.0.0.1:{port}")), "{obstacle}");
}

#[test]
fn locale_missing() {
    let mut scene = Scene::local();
    let locale = crate::scene::name("locale");
    // A locale that only the source has: PostgreSQL 17 and later bring one of their own.
    scene.cluster.create_database_with(
        &locale,
        "TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'",
    );
    scene.cluster.psql(&locale, "CREATE TABLE t AS SELECT 'é'::text AS name");
    scene.place.set("DATABASE_URL", &scene.cluster.url(&locale));
    let made = scene.place.backup();
    assert_eq!(made["manifest"]["server"]["locale_provider"], "builtin", "{made:#}");
    scene.place.prove();
    let key = made["manifest"]["archive"]["key"].as_str().unwrap().replace("archive.dump", "manifest.json");
    let mut manifest: Value = serde_json::from_slice(&scene.place.object(&key)).unwrap();
    let locale_name = manifest["server"].as_object().unwrap().iter().find(|(_, value)| **value == "C.UTF-8");
    let field = locale_name.expect("the manifest names the locale").0.clone();
    manifest["server"][&field] = "xx_XX.UTF-8".into();
    scene.place.put_object(&key, &serde_json::to_vec_pretty(&manifest).unwrap());
    let obstacle = could_not_run(&scene, &[]);
    assert!(obstacle.contains("xx_XX.UTF-8") && obstacle.contains("--replace-missing-locale"), "{obstacle}");
    scene.place.set("DATABASE_URL", &scene.cluster.url(&scene.database));
    scene.cluster.drop_database(&locale);
}

#[test]
fn on_the_disk_of_a_ci_runner() {
    let mut scene = with_extension();
    scene.place.set("CI", "true");
    refused(&scene, &["verify"], 3).says(&["CI runner"]).hints(&["scratch.allow_ci", "--level stored"]);
    scene.place.holdpoint(&["verify", "--level", "stored"]).ended_with(0);
    scene.place.write_config("[scratch]\nallow_ci = true\n");
    scene.place.prove();
}

#[test]
fn level_that_cannot_be_asked_for() {
    let scene = with_extension();
    failed(&scene, &["verify", "--level", "instance"], 2);
    failed(&scene, &["verify", "--level", "full", "--sample", "5"], 2);
    failed(&scene, &["verify", "--level", "sampled", "--tables", "no.such_table"], 2);
}

/// An event trigger's owner must be a superuser: a scratch server's, which the source's role is not there.
#[test]
fn scratch_role_with_too_few_rights() {
    let scene = Scene::local();
    scene.sql(
        "CREATE FUNCTION shop.note() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; \
         CREATE EVENT TRIGGER noted ON ddl_command_end EXECUTE FUNCTION shop.note()",
    );
    scene.place.backup();
    // The private scratch server has another superuser than the source.
    let weak = Cluster::start(ClusterOptions { superuser: "admin".into(), ..ClusterOptions::major(NEWEST) });
    weak.psql("postgres", "CREATE ROLE weak LOGIN CREATEDB CREATEROLE");
    let obstacle = could_not_run(&scene, &["--scratch-url", &weak.url_as("weak", "postgres")]);
    assert!(obstacle.contains("superuser"), "{obstacle}");
    scene.place.prove();
}
