//! Clocks that differ.

use std::sync::Arc;

use chrono::TimeDelta;
use holdpoint_operations::backup::backup;
use holdpoint_operations::{Context, Error, ErrorKind};
use holdpoint_testkit::Cluster;

use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_told_or_refused() {
    let cluster = Cluster::shared(18);
    cluster.create_database("clock");
    cluster.psql("clock", "CREATE TABLE t AS SELECT 1 AS a");
    let place = support::place("clock").await;
    let source = support::source(cluster, "clock");
    let with = |off: TimeDelta| {
        let clock = Arc::new(move || chrono::Utc::now() + off);
        Context { clock, seed: off.num_seconds().unsigned_abs(), ..place.context.clone() }
    };
    for (minutes, word) in [(-50, "is 3000 s ahead of"), (40, "is 2400 s behind")] {
        let context = with(TimeDelta::minutes(minutes));
        let made = backup(&context, &source, &support::backup_options()).await.unwrap();
        // A second may pass between the two clocks' readings.
        let near = word.replace("3000", "2999").replace("2400", "2399");
        let told = |more: &str| {
            made.warnings.iter().any(|text| (text.contains(word) || text.contains(&near)) && text.contains(more))
        };
        assert!(told("the server's clock"), "{:?}", made.warnings);
        assert!(
            made.warnings.iter().any(|text| text.starts_with("this machine's clock") && text.contains("the store's")),
            "{:?}",
            made.warnings
        );
        // The restore point's time is the server's, and that of the store stands beside it.
        assert!((made.manifest.snapshot.at - chrono::Utc::now()).num_seconds().abs() < 60);
        let timings = &made.manifest.timings;
        assert!((timings.started_at_by_store.unwrap() - timings.started_at).num_seconds().abs() < 60);
    }
    let points = place.context.repository.points(&place.context.database).await.unwrap();
    for hours in [-2, 2, 24 * 365] {
        let context = with(TimeDelta::hours(hours));
        let refused = backup(&context, &source, &support::backup_options()).await.unwrap_err();
        assert!(matches!(&refused, Error::WrongClock { whose: "this machine's", .. }), "{refused}");
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert!(refused.hint().unwrap().contains("timedatectl"), "{refused}");
    }
    assert_eq!(place.context.repository.points(&place.context.database).await.unwrap(), points);
    let made = backup(&place.context, &source, &support::backup_options()).await.unwrap();
    assert!(!made.warnings.iter().any(|text| text.contains("clock")), "{:?}", made.warnings);
}
