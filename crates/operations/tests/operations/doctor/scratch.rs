//! Ills of the scratch server.

use holdpoint_operations::doctor::{Outcome, doctor};
use holdpoint_postgres::scratch::{GivenOptions, ScratchOptions};
use holdpoint_testkit::fake::{FakePrograms, Installation};
use holdpoint_testkit::{Cluster, ClusterOptions};

use super::{assert_healthy, failures, text, the};
use crate::{keeper, support};

fn of(cluster: &Cluster) -> ScratchOptions {
    ScratchOptions::Url(Box::new(GivenOptions { settings: support::settings(cluster, "postgres") }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_one_is_started_and_leaves_nothing() {
    let cluster = Cluster::shared(18);
    let (place, base) = (support::place("shop").await, keeper::base());
    let options = keeper::local(cluster, base.path());
    let report = doctor(&place.context, &support::source(cluster, "postgres"), &options).await;
    assert_healthy(&report);
    for name in ["space", "start", "rights", "major", "extensions", "encoding and locale", "stop"] {
        the(&report, "scratch", name, Outcome::Ok);
    }
    for name in ["initdb", "postgres"] {
        the(&report, "programs", name, Outcome::Ok);
    }
    assert!(keeper::is_empty(base.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_one_that_cannot_start_says_why() {
    let cluster = Cluster::shared(18);
    let (place, base) = (support::place("shop").await, keeper::base());
    let fakes = FakePrograms::new(18);
    fakes.replace(
        "initdb",
        "case \" $* \" in *' --version '*) exec \"$REAL\" \"$@\";; esac\necho 'initdb: no room' >&2; exit 1",
    );
    let mut options = keeper::local(cluster, base.path());
    if let ScratchOptions::Local(local) = &mut options {
        local.search.configured = Some(fakes.bin());
    }
    let report = doctor(&place.context, &support::source(cluster, "postgres"), &options).await;
    assert_eq!(failures(&report), [("scratch", "start")], "{}", text(&report));
    assert!(the(&report, "scratch", "start", Outcome::Failure).detail.contains("no room"), "{}", text(&report));
    the(&report, "scratch", "extensions", Outcome::Warning);
    the(&report, "repository", "write", Outcome::Ok);

    fakes.remove("initdb");
    let report = doctor(&place.context, &support::source(cluster, "postgres"), &options).await;
    assert_eq!(failures(&report), [("programs", "initdb"), ("scratch", "start")], "{}", text(&report));
    assert!(the(&report, "scratch", "start", Outcome::Failure).cure.contains("install postgresql-18"));
    assert!(keeper::is_empty(base.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_lacks_is_named() {
    let source = Cluster::start(ClusterOptions::major(18));
    source.psql("postgres", "CREATE EXTENSION hstore; CREATE EXTENSION pg_trgm");
    let installation = Installation::copy(18);
    installation.remove_extension("hstore");
    let poor = ClusterOptions { programs: Some(installation.bin()), ..ClusterOptions::major(18) };
    let scratch = Cluster::start(poor);
    let place = support::place("shop").await;
    let report = doctor(&place.context, &support::source(&source, "postgres"), &of(&scratch)).await;
    assert_eq!(failures(&report), [("scratch", "extensions")]);
    let missing = the(&report, "scratch", "extensions", Outcome::Failure);
    assert!(missing.detail.contains("extension hstore") && missing.cure.contains("hstore"), "{missing:?}");

    let older = Cluster::shared(17);
    let report = doctor(&place.context, &support::source(&source, "postgres"), &of(older)).await;
    let major = the(&report, "scratch", "major", Outcome::Failure);
    assert_eq!(major.detail, "PostgreSQL 17, the source is 18");

    let report = doctor(&place.context, &support::source(&source, "postgres"), &of(&source)).await;
    assert_eq!(failures(&report), []);
    assert!(the(&report, "scratch", "place", Outcome::Warning).detail.contains("the source's own server"));
    for server in [&source, &scratch, older] {
        let left = server.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdpoint%'");
        assert_eq!(left, "0");
    }
}
