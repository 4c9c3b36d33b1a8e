//! What is wrong with the way to the database.

use std::sync::OnceLock;

use holdpoint_testkit::{Certificates, Cluster, ClusterOptions, NEWEST, sample};

use super::{failed, refused};
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
    // Nobody listens at a port that only root may take.
    let port = 1;
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
fn authorities_that_did_not_sign_or_are_none() {
    let mut options = ClusterOptions::major(NEWEST).with_tcp();
    let certificates = Certificates::for_names(&["127.0.0.1"]);
    options.certificates = Some(certificates.clone());
    options.access = vec!["hostnossl all all all reject".to_owned()];
    let server = Cluster::start(options);
    sample::load_shop(&server, "shop", 400);
    let mut scene = Scene::local();
    let bundle = scene.place.work().join("rds.pem");
    scene.place.set("DATABASE_URL", &server.tcp_url("shop"));
    scene.place.set("HOLDPOINT_RDS_CA_BUNDLE", bundle.to_str().unwrap());
    refused(&scene, &["backup"], 2)
        .says(&["HOLDPOINT_RDS_CA_BUNDLE", "rds.pem", "No such file"])
        .hints(&["truststore"]);
    std::fs::write(&bundle, "-----BEGIN NOTHING-----\n").unwrap();
    refused(&scene, &["backup"], 2).says(&["rds.pem", "PEM"]).hints(&["global-bundle.pem"]);
    // Another authority's is as wrong for the programs as for our own sessions.
    std::fs::write(&bundle, Certificates::for_names(&["127.0.0.1"]).root).unwrap();
    refused(&scene, &["backup"], 7).says(&["certificate is not signed by", "rds.pem", "sslrootcert"]);
    // The URL has the last word, and the file that it takes the place of may be missing then.
    let own = scene.place.work().join("own.pem");
    std::fs::write(&own, &certificates.root).unwrap();
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", server.tcp_url("shop"), own.display());
    scene.place.set("DATABASE_URL", &url);
    scene.place.backup();

    // The right one, by the variable and by the file, relative to that, also for what comes back.
    scene.place.set("DATABASE_URL", &server.tcp_url("shop"));
    std::fs::write(&bundle, &certificates.root).unwrap();
    scene.place.backup();
    scene.place.set("HOLDPOINT_RDS_CA_BUNDLE", "");
    let config = "[database.shop]\nurl = \"env:DATABASE_URL\"\nca_bundle = \"own.pem\"\n\
                  [database.copy]\nurl = \"env:COPY_URL\"\nrds_instance = \"copy\"\n\
                  [rds]\ndatabase_ca_bundle = \"rds.pem\"\n";
    scene.place.write_config(config);
    server.psql("postgres", "CREATE DATABASE copy");
    scene.place.set("COPY_URL", &server.tcp_url("copy")).set("HOLDPOINT_DATABASE", "shop");
    scene.place.backup();
    scene.place.holdpoint(&["restore", "--from", "latest", "--into", "copy"]).ended_with(0);
    let count = "SELECT count(*) FROM shop.orders";
    assert_eq!(server.psql("copy", count), server.psql("shop", count));
    // That the file counts shows without it.
    std::fs::write(&bundle, Certificates::for_names(&["127.0.0.1"]).root).unwrap();
    let failure = failed(&scene, &["restore", "--from", "latest", "--into", "copy"], 7);
    failure.says(&["certificate is not signed by", "rds.pem"]);
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
