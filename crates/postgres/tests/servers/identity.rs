//! The same database is recognised, another one is not.

use holdpoint_core::identity::{Identity, IdentityMatch};
use holdpoint_postgres::identity;
use holdpoint_testkit::{Cluster, MAJORS, NEWEST};

use crate::{database, open};

#[tokio::test]
async fn the_same_database_has_the_same_identity_on_every_major() {
    for major in MAJORS {
        let cluster = Cluster::shared(major);
        let name = database(cluster);
        let first = identity::read(&open(&cluster.url(&name)).await).await.unwrap();
        let second = identity::read(&open(&cluster.url(&name)).await).await.unwrap();
        assert_eq!(first, second);
        assert_eq!(first.identity.database, name);
        assert_eq!(first.identity.timeline, Some(1));
        assert!(first.identity.system_identifier.as_ref().is_some_and(|id| id.parse::<u64>().is_ok()));
        assert!(!first.in_recovery);

        cluster.drop_database(&name);
        cluster.create_database(&name);
        let recreated = identity::read(&open(&cluster.url(&name)).await).await.unwrap();
        assert!(matches!(Identity::compare(&first.identity, &recreated.identity), IdentityMatch::Different(_)));
    }
}

#[tokio::test]
async fn a_restart_changes_the_start_and_not_the_identity() {
    let cluster = Cluster::new(NEWEST);
    let before = identity::read(&open(&cluster.url("postgres")).await).await.unwrap();
    cluster.restart();
    let after = identity::read(&open(&cluster.url("postgres")).await).await.unwrap();
    assert_eq!(before.identity, after.identity);
    assert!(after.started_at > before.started_at);
}
