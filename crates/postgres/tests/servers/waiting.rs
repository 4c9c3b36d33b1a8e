//! Sessions that wait for ours are seen, with what they want and who waits behind them.

use std::time::Duration;

use holdpoint_postgres::waiters::{Waiter, waiters};
use holdpoint_postgres::{Session, SessionPurpose};
use holdpoint_testkit::{Cluster, MAJORS, NEWEST};
use tokio::task::JoinSet;

use crate::{database, open, settings};

const OURS: &str = "holdpoint backup 1f";

async fn named(url: &str, name: &str) -> Session {
    Session::connect(&settings(url), &SessionPurpose::new(name)).await.unwrap()
}

/// Asks until as many wait as are expected.
async fn seen(watcher: &Session, ours: &str, queue: u32) -> Vec<Waiter> {
    for _ in 0..6000 {
        let found = waiters(watcher, ours).await.unwrap();
        if found.first().is_some_and(|first| first.queue == queue) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody waits: {:?}", waiters(watcher, ours).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_us_and_who_waits_behind() {
    for major in [MAJORS[0], NEWEST] {
        let cluster = Cluster::shared(major);
        let name = database(cluster);
        cluster.psql(&name, "CREATE TABLE \"Orders\" (id int)");
        let url = cluster.url(&name);
        let holder = named(&url, &format!("{OURS} 2")).await;
        holder.run("x", "BEGIN; LOCK TABLE \"Orders\" IN ACCESS SHARE MODE").await.unwrap();
        let watcher = open(&url).await;
        assert_eq!(waiters(&watcher, OURS).await.unwrap(), []);

        let mut waiting = JoinSet::new();
        let altering = named(&url, "migration").await;
        waiting.spawn(async move { altering.run("x", "ALTER TABLE \"Orders\" ADD secret text").await });
        seen(&watcher, OURS, 0).await;
        let reading = open(&url).await;
        waiting.spawn(async move { reading.run("x", "SELECT FROM \"Orders\"").await });
        let found = seen(&watcher, OURS, 1).await;

        assert_eq!(found.len(), 1, "who waits behind the waiter does not wait for us: {found:?}");
        let first = &found[0];
        assert_eq!(first.relation.as_deref(), Some("public.\"Orders\""));
        assert_eq!((first.mode.as_str(), first.application_name.as_deref()), ("ACCESS EXCLUSIVE", Some("migration")));
        assert_eq!(first.doing.as_deref(), Some("ALTER TABLE"));
        assert!(first.blocks_others() && !first.to_string().contains("secret"), "{first}");
        // Another run's sessions are not ours.
        assert_eq!(waiters(&watcher, "holdpoint backup 2").await.unwrap(), []);

        holder.run("x", "ROLLBACK").await.unwrap();
        while let Some(done) = waiting.join_next().await {
            done.unwrap().unwrap();
        }
        assert_eq!(waiters(&watcher, OURS).await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_made_concurrently_waits_for_the_snapshot_and_stops_nobody() {
    let cluster = Cluster::shared(NEWEST);
    let name = database(cluster);
    cluster.psql(&name, "CREATE TABLE t (id int); CREATE ROLE plain_watcher LOGIN");
    let url = cluster.url(&name);
    let holder = named(&url, OURS).await;
    holder.run("x", "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM pg_class").await.unwrap();
    // Seen by a role that may not see what others run.
    let watcher = open(&cluster.url_as("plain_watcher", &name)).await;
    let mut waiting = JoinSet::new();
    let indexing = open(&url).await;
    waiting.spawn(async move { indexing.run("x", "CREATE INDEX CONCURRENTLY ON t (id)").await });
    let found = seen(&watcher, OURS, 0).await;
    assert!(!found[0].blocks_others() && found[0].doing.is_none(), "{found:?}");
    assert!(found[0].to_string().ends_with("for the end of the snapshot"), "{}", found[0]);
    holder.run("x", "ROLLBACK").await.unwrap();
    waiting.join_next().await.unwrap().unwrap().unwrap();
    drop(watcher);
    cluster.psql(&name, "DROP ROLE plain_watcher");
}
