//! What is wrong with the configuration.

use super::{failed, refused};
use crate::scene::Scene;

#[test]
fn unknown_key() {
    let scene = Scene::local();
    scene.place.write_config("[repository]\n\n[repository.s3]\nendpiont = \"http://127.0.0.1:1\"\n");
    refused(&scene, &["backup"], 2).says(&["holdpoint.toml", ":4", "endpiont", "endpoint"]);
}

#[test]
fn variable_that_is_not_set() {
    let mut scene = Scene::local();
    scene.place.write_config("[database.shop]\nurl = \"env:SHOP_URL\"\n");
    scene.place.unset("DATABASE_URL");
    refused(&scene, &["backup"], 2).says(&["database.shop.url", "SHOP_URL is not set"]);
}

#[test]
fn several_databases_and_none_named() {
    let mut scene = Scene::local();
    let url = scene.cluster.url(&scene.database);
    scene.place.write_config(&format!("[database.shop]\nurl = \"{url}\"\n[database.other]\nurl = \"{url}\"\n"));
    scene.place.unset("DATABASE_URL").unset("HOLDPOINT_DATABASE");
    refused(&scene, &["backup"], 2).says(&["other, shop"]).hints(&["--database"]);
}

#[test]
fn guard_with_a_repository_that_will_be_gone() {
    let mut scene = Scene::local();
    let witness = scene.place.work().join("it ran");
    let touch = ["guard", "--json", "--", "touch", "it ran"];
    scene.place.set("CI", "true");
    scene.place.holdpoint(&touch).ended_with(3).failure().hints(&["--allow-local-repository"]);
    scene.place.unset("CI").unset("HOLDPOINT_REPOSITORY");
    scene.place.holdpoint(&touch).ended_with(3).failure().says(&["only lie on this machine"]);
    assert!(!witness.exists());
    assert!(scene.place.tree().ending_with("manifest.json").next().is_none());
}

#[test]
fn no_database_at_all() {
    let mut scene = Scene::local();
    scene.place.unset("DATABASE_URL").unset("HOLDPOINT_DATABASE");
    failed(&scene, &["backup"], 2).says(&["no database"]).hints(&["DATABASE_URL"]);
}
