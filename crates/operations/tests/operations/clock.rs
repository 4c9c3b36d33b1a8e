//! Clocks that differ.

use std::sync::Arc;

use chrono::TimeDelta;
use holdpoint_operations::Context;
use holdpoint_operations::backup::backup;
use holdpoint_testkit::Cluster;

use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_clock_is_off_is_told() {
    let cluster = Cluster::shared(18);
    cluster.create_database("clock");
    cluster.psql("clock", "CREATE TABLE t AS SELECT 1 AS a");
    let place = support::place("clock").await;
    let source = support::source(cluster, "clock");
    for (hours, word) in [(-1, "is 3600 s ahead of"), (2, "is 7200 s behind")] {
        let clock = Arc::new(move || chrono::Utc::now() + TimeDelta::hours(hours));
        let context = Context { clock, seed: hours.unsigned_abs(), ..place.context.clone() };
        let made = backup(&context, &source, &support::backup_options()).await.unwrap();
        // A second may pass between the two clocks' readings.
        let near = word.replace("3600", "3599").replace("7200", "7199");
        let told = made.warnings.iter().any(|text| text.contains(word) || text.contains(&near));
        assert!(told, "{:?}", made.warnings);
        // The restore point's time is the server's.
        assert!((made.manifest.snapshot.at - chrono::Utc::now()).num_seconds().abs() < 60);
    }
    let made = backup(&place.context, &source, &support::backup_options()).await.unwrap();
    assert!(!made.warnings.iter().any(|text| text.contains("clock")), "{:?}", made.warnings);
}
