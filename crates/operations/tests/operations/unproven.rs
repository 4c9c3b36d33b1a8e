//! The restore points that lack a proof, verified one after the other on a real server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use holdpoint_core::PointId;
use holdpoint_core::progress::{Phase, Progress};
use holdpoint_core::verification::{Level, Standing, Verdict};
use holdpoint_operations::backup::backup;
use holdpoint_operations::catalogue::show;
use holdpoint_operations::verify::{UnprovenOptions, UnprovenReport, plan_unproven, verify_unproven};
use holdpoint_operations::{Context, Error};
use holdpoint_testkit::{Cluster, ClusterOptions};
use tokio_util::sync::CancellationToken;

use crate::support;

struct Scene {
    place: support::Place,
    source: holdpoint_operations::Source,
}

impl Scene {
    async fn new(name: &str) -> Self {
        let cluster = Cluster::shared(17);
        cluster.create_database(name);
        cluster.psql(name, "CREATE TABLE t AS SELECT i, i / 3.0 AS n FROM generate_series(1, 2000) i");
        Self { place: support::place(name).await, source: support::source(cluster, name) }
    }

    async fn point(&self, seed: u64) -> PointId {
        let context = Context { seed, ..self.place.context.clone() };
        backup(&context, &self.source, &support::backup_options()).await.unwrap().manifest.id
    }

    async fn standing(&self, point: &PointId) -> Standing {
        show(&self.place.context, point).await.unwrap().standing
    }
}

fn options(scratch: &Cluster, level: Level) -> UnprovenOptions {
    UnprovenOptions { verify: support::verify_options(scratch, level), max_runtime: None, snapshots: None }
}

fn verdicts(report: &UnprovenReport) -> Vec<(PointId, Verdict)> {
    report.verified.iter().map(|one| (one.verification.point.clone(), one.verification.verdict)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn those_that_could_not_be_verified_come_last_and_stop_none() {
    let scene = Scene::new("unproven").await;
    let (first, second) = (scene.point(1).await, scene.point(2).await);
    let gone = Cluster::start(ClusterOptions::major(17));
    let without = options(&gone, Level::Full);
    gone.stop();
    let report = verify_unproven(&scene.place.context, &without).await.unwrap();
    let vain = [(first.clone(), Verdict::CouldNotRun), (second.clone(), Verdict::CouldNotRun)];
    assert_eq!(verdicts(&report), vain, "{report:#?}");

    let third = scene.point(3).await;
    let scratch = Cluster::start(ClusterOptions::major(17));
    let full = options(&scratch, Level::Full);
    let order = [third.clone(), first.clone(), second.clone()];
    let plan = plan_unproven(&scene.place.context, &full).await.unwrap();
    assert_eq!(plan.points.iter().map(|one| one.point.clone()).collect::<Vec<_>>(), order, "{plan:#?}");
    let report = verify_unproven(&scene.place.context, &full).await.unwrap();
    assert_eq!(report.plan, plan, "what was planned is what was done");
    assert_eq!(verdicts(&report), order.clone().map(|point| (point, Verdict::Proved)), "{report:#?}");
    for point in &order {
        assert!(matches!(scene.standing(point).await, Standing::Proven { level: Level::Full, .. }));
    }
    // The lower level is proven with it, and nothing is left to do.
    for level in [Level::Stored, Level::Full] {
        let report = verify_unproven(&scene.place.context, &options(&scratch, level)).await.unwrap();
        assert!(report.plan.points.is_empty() && report.verified.is_empty(), "{report:#?}");
    }
    let left = scratch.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdpoint%'");
    assert_eq!(left.trim(), "0");
}

/// Presses Ctrl-C when the second restore begins.
struct Second {
    cancel: CancellationToken,
    seen: AtomicU32,
}

impl Progress for Second {
    fn phase(&self, phase: Phase, _: Option<u64>) {
        if phase == Phase::Restoring && self.seen.fetch_add(1, Ordering::SeqCst) == 1 {
            self.cancel.cancel();
        }
    }
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_keeps_what_was_concluded_and_leaves_nothing() {
    let scene = Scene::new("unproven_interrupted").await;
    let (first, second, third) = (scene.point(1).await, scene.point(2).await, scene.point(3).await);
    let scratch = Cluster::start(ClusterOptions::major(17));
    let cancel = CancellationToken::new();
    let progress = Arc::new(Second { cancel: cancel.clone(), seen: AtomicU32::new(0) });
    let context = Context { cancel, progress, ..scene.place.context.clone() };
    let ended = verify_unproven(&context, &options(&scratch, Level::Full)).await;
    assert!(matches!(ended, Err(Error::Interrupted)), "{ended:?}");
    assert!(matches!(scene.standing(&first).await, Standing::Proven { .. }));
    for point in [&second, &third] {
        let shown = show(&scene.place.context, point).await.unwrap();
        assert!(shown.verifications.is_empty(), "{:#?}", shown.verifications);
    }
    let left = scratch.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdpoint%'");
    assert_eq!(left.trim(), "0");
}
