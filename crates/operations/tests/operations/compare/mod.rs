//! Comparing restore points with live databases and with each other.

mod rows;
mod whole;

use holdpoint_core::PointId;
use holdpoint_operations::Context;
use holdpoint_operations::backup::backup;
use holdpoint_operations::compare::{Against, CompareOptions, CompareReport, compare};
use holdpoint_testkit::Cluster;

use crate::support;

/// Makes a restore point; every call needs a seed of its own within a second.
async fn point(context: &Context, cluster: &Cluster, database: &str, seed: u64) -> PointId {
    let context = Context { seed, ..context.clone() };
    let source = support::source(cluster, database);
    backup(&context, &source, &support::backup_options()).await.unwrap().manifest.id
}

fn live(cluster: &Cluster, database: &str) -> Against {
    Against::Database { source: Box::new(support::source(cluster, database)), own: false }
}

fn options(point: &PointId, against: Against) -> CompareOptions {
    CompareOptions { point: point.clone(), against, jobs: 2, quick: None, definitions: true }
}

async fn compared(context: &Context, point: &PointId, against: Against) -> CompareReport {
    compare(context, &options(point, against)).await.unwrap()
}
