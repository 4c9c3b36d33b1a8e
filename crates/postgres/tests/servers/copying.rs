//! Rows out and in, counted.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use holdpoint_postgres::copy::{copy_in, copy_out};
use holdpoint_testkit::{Cluster, NEWEST};

use crate::{chain, database, open};

#[tokio::test]
async fn rows_are_counted_both_ways() {
    let cluster = Cluster::shared(NEWEST);
    let name = database(cluster);
    cluster.psql(&name, "CREATE TABLE a AS SELECT g, repeat(E'x\\n\\t\\\\', g % 50) FROM generate_series(1, 5000) g; CREATE TABLE b (LIKE a)");
    let (from, to) = (open(&cluster.url(&name)).await, open(&cluster.url(&name)).await);
    let mut rows = copy_out(&from, "copying a", "COPY public.a TO STDOUT").await.unwrap();
    let mut sink = copy_in(&to, "filling b", "COPY public.b FROM STDIN").await.unwrap();
    let mut bytes = 0;
    while let Some(row) = rows.next().await {
        let row = row.unwrap();
        bytes += row.len() as u64;
        // Any cut will do.
        let half = row.slice(..row.len() / 2);
        sink.send(half).await.unwrap();
        sink.send(row.slice(row.len() / 2..)).await.unwrap();
    }
    assert_eq!((rows.rows(), rows.bytes()), (5000, bytes));
    assert_eq!(sink.finish().await.unwrap(), 5000);
    assert_eq!(cluster.psql(&name, "SELECT count(*) FROM (TABLE a EXCEPT ALL TABLE b) x").trim(), "0");
}

#[tokio::test]
async fn a_refused_row_says_why_and_a_cancelled_copy_leaves_nothing() {
    let cluster = Cluster::shared(NEWEST);
    let name = database(cluster);
    cluster.psql(&name, "CREATE TABLE n (x int)");
    let session = open(&cluster.url(&name)).await;
    let sql = "COPY public.n FROM STDIN";
    let mut sink = copy_in(&session, "filling n", sql).await.unwrap();
    let mut outcome = Ok(());
    for _ in 0..100_000 {
        outcome = sink.send(Bytes::from_static(b"not a number\n")).await;
        if outcome.is_err() {
            break;
        }
    }
    let error = match outcome {
        Err(error) => error,
        Ok(()) => sink.finish().await.unwrap_err(),
    };
    assert_eq!(error.sqlstate(), Some("22P02"), "{}", chain(&error));

    let mut sink = copy_in(&session, "filling n", sql).await.unwrap();
    sink.send(Bytes::from_static(b"1\n")).await.unwrap();
    sink.cancel().await.unwrap();
    session.run("x", "BEGIN").await.unwrap();
    let mut sink = copy_in(&session, "filling n", sql).await.unwrap();
    sink.send(Bytes::from_static(b"1\n")).await.unwrap();
    sink.cancel().await.unwrap();
    session.run("x", "ROLLBACK").await.unwrap();
    assert_eq!(cluster.psql(&name, "SELECT count(*) FROM n").trim(), "0");
}

#[tokio::test]
async fn a_failing_copy_out_is_an_error_and_not_an_end() {
    let cluster = Cluster::shared(NEWEST);
    let session = open(&cluster.url("postgres")).await;
    let sql = "COPY (SELECT 1 / (3 - g) FROM generate_series(1, 5) g) TO STDOUT";
    let rows = copy_out(&session, "dividing", sql).await.unwrap();
    let error = rows.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("22012"));
    session.ping().await.unwrap();
}
