//! A transaction pooler is recognised by what it does.

use holdpoint_postgres::pooler::shares_connections;
use holdpoint_testkit::{Cluster, ClusterOptions, NEWEST};

use crate::settings;
use crate::transaction_pooler::{self, Lends};

#[tokio::test]
async fn a_shared_server_connection_is_noticed_and_a_direct_one_is_not() {
    let cluster = Cluster::start(ClusterOptions::major(NEWEST).with_tcp());
    for lends in [Lends::LastUsed, Lends::InTurn] {
        let port = transaction_pooler::start(&cluster, "postgres", lends);
        let pooled = settings(&format!("postgresql://u@127.0.0.1:{port}/postgres?sslmode=disable"));
        // The second time the pooler has more than one server connection to lend.
        for _ in 0..3 {
            assert!(shares_connections(&pooled).await.unwrap());
        }
    }
    assert!(!shares_connections(&settings(&cluster.url("postgres"))).await.unwrap());
    assert!(!shares_connections(&settings(&cluster.tcp_url("postgres"))).await.unwrap());
}
