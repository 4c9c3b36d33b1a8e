//! Ills of the database and of the way to it.

use std::time::{Duration, Instant};

use holdpoint_core::Identity;
use holdpoint_core::identity::IdentityRecord;
use holdpoint_operations::doctor::Outcome;
use holdpoint_postgres::programs::ProgramSearch;
use holdpoint_postgres::{Session, SessionPurpose};
use holdpoint_testkit::{Cluster, ClusterOptions};

use super::{assert_healthy, examined, failures, source_at, text, the};
use crate::support;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_healthy_is_told_so_and_stays_untouched() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database("shop");
    cluster.psql("shop", "CREATE EXTENSION pg_trgm; CREATE TABLE t (id int PRIMARY KEY); SELECT lo_create(0)");
    let place = support::place("shop").await;
    let source = support::source(&cluster, "shop");
    let report = examined(&place.context, &source).await;
    assert_healthy(&report);
    for (section, name) in [
        ("database", "connection"),
        ("database", "direct connection"),
        ("database", "TLS"),
        ("database", "identity"),
        ("database", "server"),
        ("database", "tables and sequences"),
        ("database", "large objects"),
        ("database", "row security"),
        ("database", "sessions of others"),
        ("database", "snapshot"),
        ("database", "text form"),
        ("database", "locks"),
        ("database", "long transactions"),
        ("database", "connections left"),
        ("database", "clock"),
        ("database", "encoding and locale"),
        ("database", "indexes"),
        ("programs", "pg_dump"),
        ("programs", "pg_dumpall"),
        ("programs", "pg_restore"),
        ("programs", "psql"),
        ("scratch", "start"),
        ("scratch", "place"),
        ("scratch", "major"),
        ("scratch", "extensions"),
        ("scratch", "encoding and locale"),
        ("scratch", "stop"),
        ("repository", "format"),
        ("repository", "write"),
        ("repository", "ranged read"),
        ("repository", "conditional writes"),
        ("repository", "list"),
        ("repository", "delete"),
        ("repository", "clock"),
        ("repository", "manifests"),
        ("repository", "leftovers"),
    ] {
        the(&report, section, name, Outcome::Ok);
    }
    assert!(place.context.repository.identity(&place.context.database).await.unwrap().is_none(), "recorded nothing");
    let mut left: Vec<_> =
        std::fs::read_dir(place.directory.path()).unwrap().flatten().map(|one| one.file_name()).collect();
    left.sort_unstable();
    assert_eq!(left, [".holdpoint-reserve", "holdpoint.json"]);
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'holdpoint%'";
    assert_eq!(cluster.psql("postgres", sessions), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_ends_what_depends_on_it_only() {
    let cluster = Cluster::start(ClusterOptions::major(18).with_tcp());
    let place = support::place("shop").await;
    let source = source_at(&cluster, &cluster.tcp_url_as("postgres", "not-the-password", "postgres"));
    let report = examined(&place.context, &source).await;
    assert_eq!(failures(&report), [("database", "connection")]);
    let refused = the(&report, "database", "connection", Outcome::Failure);
    assert!(refused.detail.contains("refuses the password of \"postgres\""), "{refused:?}");
    for (section, name) in
        [("database", "snapshot"), ("database", "direct connection"), ("programs", "pg_dump"), ("scratch", "major")]
    {
        let skipped = the(&report, section, name, Outcome::Warning);
        assert!(skipped.detail.starts_with("not tried: "), "{skipped:?}");
    }
    the(&report, "scratch", "start", Outcome::Ok);
    the(&report, "repository", "conditional writes", Outcome::Ok);
    assert!(!text(&report).contains("not-the-password"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_read_is_cured_by_pasting() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.psql(
        "postgres",
        r#"CREATE ROLE "Reader" LOGIN IN ROLE pg_signal_backend; CREATE TABLE open (id int); CREATE TABLE "Pay.roll" (id int);
           CREATE SEQUENCE s; GRANT SELECT ON open, s TO "Reader"; SELECT lo_create(4000000000)"#,
    );
    let place = support::place("shop").await;
    let source = source_at(&cluster, &cluster.url_as("Reader", "postgres"));
    let report = examined(&place.context, &source).await;
    assert_eq!(failures(&report), [("database", "tables and sequences"), ("database", "large objects")]);
    let table = the(&report, "database", "tables and sequences", Outcome::Failure);
    assert_eq!(table.detail, r#"role Reader cannot read public."Pay.roll""#);
    let large = the(&report, "database", "large objects", Outcome::Failure);
    assert!(large.detail.contains("4000000000"), "{large:?}");
    cluster.psql("postgres", table.cure.split_once(" or, ").unwrap().0);
    cluster.psql("postgres", &large.cure);
    assert_healthy(&examined(&place.context, &source).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn forced_row_security_is_cured_by_pasting() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.psql(
        "postgres",
        "CREATE ROLE app LOGIN IN ROLE pg_signal_backend; CREATE TABLE orders (id int); ALTER TABLE orders OWNER TO app; \
         ALTER TABLE orders ENABLE ROW LEVEL SECURITY; ALTER TABLE orders FORCE ROW LEVEL SECURITY",
    );
    let place = support::place("shop").await;
    let source = source_at(&cluster, &cluster.url_as("app", "postgres"));
    let report = examined(&place.context, &source).await;
    assert_eq!(failures(&report), [("database", "row security")]);
    let hidden = the(&report, "database", "row security", Outcome::Failure);
    assert!(hidden.detail.contains("public.orders from role app"), "{hidden:?}");
    cluster.psql("postgres", hidden.cure.split_once(" or, ").unwrap().0);
    assert_healthy(&examined(&place.context, &source).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_cancel_others_is_told_what_lets_it() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.psql("postgres", "CREATE ROLE \"Few\" LOGIN; GRANT pg_read_all_data TO \"Few\"; CREATE ROLE app LOGIN");
    let place = support::place("shop").await;
    let few = source_at(&cluster, &cluster.url_as("Few", "postgres"));
    let report = examined(&place.context, &few).await;
    assert_eq!(failures(&report), [], "a backup does not need it");
    let found = the(&report, "database", "sessions of others", Outcome::Warning);
    assert!(found.detail.contains("role Few may cancel and end only"), "{found:?}");
    assert_eq!(found.cure, "GRANT pg_signal_backend TO \"Few\";");
    // The cure is true: with it, and not before, the role ends a session of another one.
    let settings = source_at(&cluster, &cluster.url_as("app", "postgres")).settings;
    let session = Session::connect(&settings, &SessionPurpose::new("application")).await.unwrap();
    let pid: i32 = session.query_one("a test", "SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let ends = async || {
        let own = Session::connect(&few.settings, &SessionPurpose::new("a test")).await.unwrap();
        own.query_one("a test", "SELECT pg_terminate_backend($1)", &[&pid]).await.map(|row| row.get::<_, bool>(0))
    };
    assert_eq!(ends().await.unwrap_err().sqlstate(), Some("42501"));
    cluster.psql("postgres", &found.cure);
    let report = examined(&place.context, &few).await;
    the(&report, "database", "sessions of others", Outcome::Ok);
    assert!(the(&report, "database", "role", Outcome::Ok).detail.contains("pg_signal_backend"), "{report:?}");
    assert!(ends().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_programs_are_named_with_their_packages() {
    let cluster = Cluster::shared(18);
    let (place, empty) = (support::place("shop").await, tempfile::tempdir().unwrap());
    let mut source = support::source(cluster, "postgres");
    source.programs = ProgramSearch {
        configured: Some(empty.path().to_owned()),
        without_distributions: true,
        ..ProgramSearch::default()
    };
    let report = examined(&place.context, &source).await;
    let programs = ["pg_dump", "pg_dumpall", "pg_restore", "psql"].map(|name| ("programs", name));
    assert_eq!(failures(&report), programs);
    let missing = the(&report, "programs", "pg_dump", Outcome::Failure);
    assert!(missing.cure.contains("postgresql-client-18"), "{missing:?}");
    assert!(missing.detail.contains(&empty.path().display().to_string()), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_than_the_recorded_one_is_refused() {
    let cluster = Cluster::shared(18);
    let place = support::place("shop").await;
    let identity = Identity {
        system_identifier: Some("7".into()),
        database_oid: 16384,
        database: "shop".into(),
        timeline: Some(1),
        endpoint: "db.example.com:5432".into(),
        resource_id: None,
    };
    let (recorded_at, reason) = (chrono::Utc::now(), "first restore point".to_owned());
    let record = IdentityRecord { format: 1, identity, recorded_at, reason };
    place.context.repository.record_identity(&place.context.database, &record).await.unwrap();
    let report = examined(&place.context, &support::source(cluster, "postgres")).await;
    assert_eq!(failures(&report), [("database", "identity")]);
    let other = the(&report, "database", "identity", Outcome::Failure);
    assert!(other.detail.contains("endpoint was db.example.com:5432") && other.cure.contains("adopt"), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_worth_knowing_is_a_warning() {
    let cluster = Cluster::start(ClusterOptions::major(18));
    cluster.create_database_with("old", "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'");
    cluster.psql("old", "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (1)");
    cluster.try_psql("old", "CREATE UNIQUE INDEX CONCURRENTLY broken ON t (id)").unwrap_err();
    let place = support::place("old").await;
    let mut context = place.context.clone();
    context.clock = std::sync::Arc::new(|| chrono::Utc::now() - chrono::TimeDelta::hours(1));
    let settings = support::settings(&cluster, "old");
    let holder = Session::connect(&settings, &SessionPurpose::new("test")).await.unwrap();
    holder.run("locking", "BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let report = examined(&context, &support::source(&cluster, "old")).await;
    holder.close().await;
    assert_eq!(failures(&report), []);
    let invalid = the(&report, "database", "indexes", Outcome::Warning);
    assert!(invalid.cure.contains("DROP INDEX CONCURRENTLY public.broken;"), "{invalid:?}");
    let lock = the(&report, "database", "locks", Outcome::Warning);
    assert!(lock.detail.contains("holds an exclusive lock on public.t"), "{lock:?}");
    assert!(the(&report, "database", "encoding and locale", Outcome::Warning).detail.starts_with("SQL_ASCII"));
    assert!(the(&report, "database", "clock", Outcome::Warning).detail.contains("3600 s ahead of"));
    the(&report, "repository", "clock", Outcome::Warning);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_does_not_hold_the_doctor() {
    let cluster = Cluster::shared(18);
    let place = support::place("shop").await;
    // Connections are taken by the kernel, and nobody ever reads.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("postgresql://u:secret@127.0.0.1:{port}/d?connect_timeout=2&sslmode=disable");
    let began = Instant::now();
    let report = examined(&place.context, &source_at(cluster, &url)).await;
    assert!(began.elapsed() < Duration::from_secs(120), "{:?}", began.elapsed());
    assert_eq!(failures(&report), [("database", "connection")]);
    assert!(the(&report, "database", "connection", Outcome::Failure).detail.contains("within 2 s"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_doctor_says_what_was_not_tried() {
    let place = support::place("shop").await;
    place.context.cancel.cancel();
    let report = examined(&place.context, &support::source(Cluster::shared(18), "postgres")).await;
    assert!(
        report.checks.iter().all(|check| check.outcome != Outcome::Ok || check.name == "space"),
        "{}",
        text(&report)
    );
    the(&report, "database", "connection", Outcome::Warning);
    the(&report, "scratch", "start", Outcome::Warning);
}
