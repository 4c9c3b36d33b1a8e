//! What is wrong with the way to the database.

use std::sync::OnceLock;

use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST, free_port, sample};

use super::refused;
use crate::scene::Scene;

/// A server that asks for passwords.
fn asking() -> &'static Cluster {
    static SERVER: OnceLock<Cluster> = OnceLock::new();
    SERVER.get_or_init(|| {
        let cluster = Cluster::start(ClusterOptions::major(NEWEST).with_tcp());
        sample::load_shop(&cluster, "shop", 400);
        cluster
    })
}

#[test]
fn url_that_cannot_be_read() {
    let mut scene = Scene::local();
    scene.place.set("DATABASE_URL", "postgresql://ann:hunter2@h:x/shop");
    let failure = refused(&scene, &["backup"], 2).says(&["DATABASE_URL"]).hints(&["postgresql://"]);
    assert!(!failure.told.contains("hunter2"), "{failure:?}");
}

#[test]
fn host_that_nobody_knows() {
    let mut scene = Scene::local();
    scene.place.set("DATABASE_URL", "postgresql://ann:hunter2@no-such-host.invalid/shop");
    let failure = refused(&scene, &["backup"], 7).says(&["no-such-host.invalid"]).hints(&["host"]);
    assert!(!failure.told.contains("hunter2"), "{failure:?}");
}

#[test]
fn nothing_listens_there() {
    let mut scene = Scene::local();
    let port = free_port();
    scene.place.set("DATABASE_URL", &format!("postgresql://ann:hunter2@127.0.0.1:{port}/shop"));
    refused(&scene, &["backup"], 7).says(&[&format!("127.0.0.1:{port}")]).hints(&["host and port"]);
}

#[test]
fn wrong_password() {
    let mut scene = Scene::local();
    scene.place.set("DATABASE_URL", &asking().tcp_url_as("postgres", "hunter2", "shop"));
    let failure = refused(&scene, &["backup"], 7).says(&["password", "postgres"]).hints(&["user and password"]);
    assert!(!failure.told.contains("hunter2"), "{failure:?}");
    // The right one, with all the signs that a URL escapes.
    scene.place.set("DATABASE_URL", &asking().tcp_url("shop"));
    scene.place.backup();
}

#[test]
fn no_password() {
    let mut scene = Scene::local();
    scene.place.set("DATABASE_URL", &format!("postgresql://postgres@127.0.0.1:{}/shop", asking().port()));
    refused(&scene, &["backup"], 7).says(&["password"]).hints(&["PGPASSWORD", ".pgpass"]);
}

#[test]
fn no_such_database() {
    let mut scene = Scene::local();
    scene.place.set("DATABASE_URL", &scene.cluster.url("hsop"));
    refused(&scene, &["backup"], 7).says(&["hsop"]).hints(&["name"]);
}

#[test]
fn transaction_pooler() {
    let mut scene = Scene::local();
    for (url, instead) in [
        ("postgresql://u@ep-cool-1-pooler.eu.aws.neon.tech/d", "ep-cool-1.eu.aws.neon.tech:5432"),
        ("postgresql://postgres@db.ref.supabase.co:6543/postgres", "db.ref.supabase.co:5432"),
        ("postgresql://postgres.ref@aws-0-eu.pooler.supabase.com:6543/postgres", "aws-0-eu.pooler.supabase.com:5432"),
    ] {
        scene.place.set("DATABASE_URL", url);
        refused(&scene, &["backup"], 2).says(&["transaction pooler"]).hints(&[instead, "DIRECT_URL"]);
    }
    // Told to be one, it is not: what it does decides.
    let direct = scene.cluster.url(&scene.database);
    scene.place.set("DATABASE_URL", &format!("{direct}&pgbouncer=true&connection_limit=1&pool_timeout=20"));
    scene.place.backup();
}
