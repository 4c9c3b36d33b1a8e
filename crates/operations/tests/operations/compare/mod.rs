//! Comparing restore points with live databases and with each other.

mod disturbed;
mod parts;
mod rows;
mod rows_elsewhere;
mod whole;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

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

/// Longer than any test lasts: nobody is told to be busy for a slow machine.
const LOCK_WAIT: Duration = Duration::from_secs(300);

fn options(point: &PointId, against: Against) -> CompareOptions {
    CompareOptions { point: point.clone(), against, jobs: 2, quick: None, definitions: true, lock_wait: LOCK_WAIT }
}

async fn compared(context: &Context, point: &PointId, against: Against) -> CompareReport {
    compare(context, &options(point, against)).await.unwrap()
}

/// Compares again and again while somebody runs a statement again and again, until both did so some times.
fn beside_a_writer(cluster: &Cluster, sql: &(dyn Fn(u32) -> String + Sync), compare: &mut dyn FnMut()) {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let (stop, written) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                cluster.psql("shop", &sql(written.fetch_add(1, Ordering::Relaxed)));
            }
        });
        // Also where a comparison fails, or the writer would never end.
        let _stop = Stop(&stop);
        let mut compared = 0;
        while compared < 5 || written.load(Ordering::Relaxed) < 5 {
            compare();
            compared += 1;
        }
    });
}
