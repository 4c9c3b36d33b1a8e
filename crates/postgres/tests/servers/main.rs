//! Connections, sessions, snapshots and the catalog against real servers.

#![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

mod catalog;
mod connecting;
mod copying;
mod identity;
mod pooling;
mod preflight;
mod sessions;
mod tls;
mod transaction_pooler;
mod waiting;

use std::sync::atomic::{AtomicU32, Ordering};

use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::{ConnectionSettings, Error, Session, SessionPurpose};
use holdpoint_testkit::Cluster;

/// Makes a database that no other test of this process has.
fn database(cluster: &Cluster) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("db{}", NEXT.fetch_add(1, Ordering::Relaxed));
    cluster.create_database(&name);
    name
}

fn settings(url: &str) -> ConnectionSettings {
    ConnectionSettings::resolve(url, &Environment::default()).unwrap_or_else(|error| panic!("{error}"))
}

async fn connect(url: &str) -> Result<Session, Error> {
    Session::connect(&settings(url), &SessionPurpose::new("holdpoint test")).await
}

async fn open(url: &str) -> Session {
    connect(url).await.unwrap_or_else(|error| panic!("{}: {error}", settings(url)))
}

/// An error with its sources, as a person sees it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
