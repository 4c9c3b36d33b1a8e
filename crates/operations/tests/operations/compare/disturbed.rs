//! Comparisons that somebody is in the way of.

use std::time::Duration;

use holdpoint_operations::compare::{CompareError, CompareRowsOptions, HowRows, compare, compare_rows};
use holdpoint_operations::{Error, ErrorKind};
use holdpoint_postgres::{Session, SessionPurpose};
use holdpoint_testkit::{Cluster, ClusterOptions};

use super::{live, options, point};
use crate::support;

async fn shop() -> Cluster {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql("shop", "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)");
    cluster
}

/// Somebody who keeps a table to himself.
async fn holder(cluster: &Cluster) -> Session {
    let session = Session::connect(&support::settings(cluster, "shop"), &SessionPurpose::new("holder")).await.unwrap();
    session.run("locking", "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.unwrap();
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_stays_locked_is_busy() {
    let cluster = shop().await;
    let place = support::place("shop").await;
    let made = point(&place.context, &cluster, "shop", 1).await;
    let holder = holder(&cluster).await;
    let mut whole = options(&made, live(&cluster, "shop"));
    whole.lock_wait = Duration::from_secs(1);
    let busy = compare(&place.context, &whole).await.unwrap_err();
    assert!(matches!(busy, Error::Compare(CompareError::Locked { seconds: 1, .. })), "{busy}");
    let mut rows = CompareRowsOptions {
        point: made.clone(),
        against: live(&cluster, "shop"),
        table: "t".parse().unwrap(),
        now_named: None,
        now_where: None,
        how: HowRows {
            key: None,
            columns: None,
            renamed: Vec::new(),
            limit: 10,
            values: false,
            memory_bytes: 1 << 20,
            directory: std::env::temp_dir(),
            jobs: 1,
            lock_wait: Duration::from_secs(1),
        },
    };
    let locked = compare_rows(&place.context, &rows).await.unwrap_err();
    assert!(locked.to_string().contains("locked by somebody else for 1 s"), "{locked}");
    for error in [&busy, &locked] {
        assert_eq!(error.kind(), ErrorKind::Busy);
        assert!(error.hint().unwrap().contains("--lock-wait"), "{:?}", error.hint());
    }
    holder.run("ending", "ROLLBACK").await.unwrap();
    rows.how.lock_wait = super::LOCK_WAIT;
    assert!(compare_rows(&place.context, &rows).await.unwrap().equal);
    assert!(compare(&place.context, &whole).await.unwrap().equal);
}

/// Without the session that holds the snapshot nothing can be read in it: that it was lost is what is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_is_lost_is_told_as_a_lost_connection() {
    let cluster = shop().await;
    let place = support::place("shop").await;
    let made = point(&place.context, &cluster, "shop", 1).await;
    let holder = holder(&cluster).await;
    let whole = options(&made, live(&cluster, "shop"));
    let disturbed = async {
        // pg_dump has the snapshot when it waits for the table; who comes later does not.
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'";
        let waiting = async {
            while cluster.psql("shop", waits) != "1" {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(300), waiting).await.expect("pg_dump never waited for the table");
        let ended = cluster.psql(
            "shop",
            "SELECT count(pg_terminate_backend(pid, 60000)) FROM pg_stat_activity \
             WHERE application_name = 'holdpoint compare' AND state = 'idle in transaction'",
        );
        assert_eq!(ended, "1");
        holder.run("ending", "ROLLBACK").await.unwrap();
    };
    let (compared, ()) = tokio::join!(compare(&place.context, &whole), disturbed);
    let lost = compared.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Postgres);
    assert!(lost.to_string().contains("lost the connection"), "{lost}");
}
