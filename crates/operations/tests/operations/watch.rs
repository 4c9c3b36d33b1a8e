//! What is seen of a server, on the oldest and the newest major.

use std::time::Duration;

use holdpoint_operations::watch::{Picture, Stop, WatchError, Watched, cancel, find, findings, look};
use holdpoint_operations::{Error, ErrorKind};
use holdpoint_postgres::connection::Environment;
use holdpoint_postgres::{ConnectionSettings, Session, SessionPurpose};
use holdpoint_testkit::{Cluster, ClusterOptions, MAJORS, NEWEST};
use tokio::task::JoinHandle;

use crate::support;

/// What no picture may hold.
const VALUE: &str = "hush4711";
const RUN: &str = "holdpoint:20261121T024300Z-k3f9";

async fn connect(cluster: &Cluster, database: &str, name: &str) -> Session {
    Session::connect(&support::settings(cluster, database), &SessionPurpose::new(name)).await.unwrap()
}

async fn process(session: &Session) -> i32 {
    session.query_one("test", "SELECT pg_backend_pid()", &[]).await.unwrap().get(0)
}

/// Runs a statement that will wait; gives its process, and what becomes of it.
async fn waiting(
    cluster: &Cluster,
    database: &str,
    name: &str,
    sql: &str,
) -> (i32, JoinHandle<Result<(), holdpoint_postgres::Error>>) {
    let session = connect(cluster, database, name).await;
    let pid = process(&session).await;
    let sql = sql.to_owned();
    (pid, tokio::spawn(async move { session.run("test", &sql).await }))
}

/// Looks until the picture is as wished, and tells what it was when it never is.
async fn look_until(session: &Session, watched: &Watched, wished: impl Fn(&Picture) -> bool) -> Picture {
    let mut last = None;
    for _ in 0..6000 {
        let picture = look(session, watched).await.unwrap();
        if wished(&picture) {
            return picture;
        }
        last = Some(picture);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never so: {last:#?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_alter_is_shown_with_its_chain_and_cancelled_alone() {
    for major in [MAJORS[0], NEWEST] {
        blocked(Cluster::shared(major)).await;
    }
}

async fn blocked(cluster: &'static Cluster) {
    const DATABASE: &str = "watch_chain";
    cluster.create_database(DATABASE);
    cluster.psql(
        DATABASE,
        "CREATE TABLE t (i int PRIMARY KEY, s text); INSERT INTO t VALUES (1, 'a'); CREATE TABLE u (i int)",
    );
    let own = connect(cluster, DATABASE, "holdpoint watch").await;
    let holder = connect(cluster, DATABASE, "the app").await;
    holder
        .run("test", &format!("BEGIN; SELECT * FROM t WHERE s = '{VALUE}'; LOCK TABLE u IN ROW EXCLUSIVE MODE"))
        .await
        .unwrap();
    let holder_pid = process(&holder).await;
    // Asking for its process was its last statement.
    holder.run("test", &format!("SELECT '{VALUE}', * FROM t")).await.unwrap();
    let alter = format!("ALTER TABLE t ADD COLUMN x text DEFAULT '{VALUE}'");
    let (alter_pid, altering) = waiting(cluster, DATABASE, RUN, &alter).await;
    let all = Watched::default();
    look_until(&own, &all, |picture| picture.waits.len() == 1).await;
    let (reader_pid, reading) =
        waiting(cluster, DATABASE, "reader", &format!("SELECT * FROM t WHERE s = $${VALUE}$$")).await;
    let (other_pid, other) = waiting(cluster, DATABASE, "other", "BEGIN; LOCK TABLE u IN SHARE MODE; COMMIT").await;
    let picture = look_until(&own, &all, |picture| picture.waits.len() == 3).await;

    let wait = |pid: i32| picture.waits.iter().find(|wait| wait.session.pid == pid).unwrap();
    let alter = wait(alter_pid);
    assert_eq!((alter.lock.on.as_str(), alter.lock.mode.as_str()), ("relation", "ACCESS EXCLUSIVE"));
    assert_eq!(alter.lock.relation.as_deref(), Some("public.t"));
    assert_eq!(alter.session.query.as_deref(), Some("ALTER TABLE t ADD COLUMN x text DEFAULT ***"));
    assert_eq!((alter.session.application_name.as_str(), alter.session.user.as_deref()), (RUN, Some("postgres")));
    assert_eq!(alter.session.client.as_deref(), Some("local"));
    assert_eq!(alter.behind.len(), 1);
    assert_eq!((alter.behind[0].pid, alter.behind[0].mode.as_deref()), (Some(holder_pid), Some("ACCESS SHARE")));
    assert_eq!(alter.roots, [holder_pid]);
    let reader = wait(reader_pid);
    assert_eq!(reader.behind.iter().map(|one| one.pid).collect::<Vec<_>>(), [Some(alter_pid)]);
    assert!(!reader.behind[0].granted, "the reader waits behind one who waits: {reader:#?}");
    assert_eq!(reader.roots, [holder_pid]);
    let first = &picture.blockers[0];
    assert_eq!((first.pid, first.is_root, first.held_up), (Some(holder_pid), true, 3), "{:#?}", picture.blockers);
    let session = first.session.as_ref().unwrap();
    assert!(session.is_idle_in_transaction());
    assert_eq!(session.query.as_deref(), Some("SELECT ***, * FROM t"));
    assert!(picture.idle_in_transaction.iter().any(|one| one.pid == holder_pid));
    assert_eq!(findings(&picture, Duration::ZERO).iter().filter(|one| one.about == "wait").count(), 3);

    // With the run's token: the run's wait, who stands behind it, who is in its way, and nothing of others.
    let of_run = Watched { token: Some(RUN.to_owned()), ..Watched::default() };
    let picture = look(&own, &of_run).await.unwrap();
    assert_eq!(picture.sessions.iter().map(|one| one.pid).collect::<Vec<_>>(), [alter_pid]);
    let told: Vec<_> = picture.waits.iter().map(|wait| (wait.session.pid, wait.behind_token)).collect();
    assert_eq!(told, [(alter_pid, false), (reader_pid, true)], "{other_pid} is another's");
    let blockers: Vec<_> = picture.blockers.iter().map(|one| (one.pid, one.held_up)).collect();
    assert_eq!(blockers, [(Some(holder_pid), 2), (Some(alter_pid), 1)]);

    let json = serde_json::to_string(&picture).unwrap();
    assert!(!json.contains(VALUE), "{json}");
    assert_eq!(serde_json::from_str::<Picture>(&json).unwrap(), picture);

    // Cancelling frees the queue, and nobody else notices.
    let target = find(&own, alter_pid).await.unwrap();
    let renamed = cancel(&own, &target, Stop::Statement, Some("holdpoint:another")).await.unwrap_err();
    assert!(matches!(renamed, Error::Watch(WatchError::Gone { .. })), "it has another name: {renamed}");
    assert!(cancel(&own, &target, Stop::Statement, None).await.unwrap().took_effect);
    let failed = altering.await.unwrap().unwrap_err();
    assert_eq!(failed.sqlstate(), Some("57014"), "query_canceled");
    reading.await.unwrap().unwrap();
    holder.run("test", "SELECT 1").await.unwrap();
    let error = cancel(&own, &find(&own, holder_pid).await.unwrap(), Stop::Statement, None).await.unwrap_err();
    assert!(matches!(error, Error::Watch(WatchError::NothingRuns { .. })), "{error}");
    let target = find(&own, holder_pid).await.unwrap();
    assert!(cancel(&own, &target, Stop::Session, None).await.unwrap().took_effect);
    other.await.unwrap().unwrap();
    let again = cancel(&own, &target, Stop::Session, None).await.unwrap_err();
    assert!(matches!(again, Error::Watch(WatchError::Gone { .. })), "{again}");
    own.close().await;
    cluster.drop_database(DATABASE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_and_what_is_under_way_is_shown() {
    for major in [MAJORS[0], NEWEST] {
        let options = ClusterOptions::major(major)
            .with_configuration("wal_level = logical")
            .with_configuration("max_wal_senders = 2")
            .with_configuration("max_replication_slots = 2")
            .with_configuration("max_prepared_transactions = 2");
        let cluster = Cluster::start(options);
        cluster.psql("postgres", "CREATE TABLE t AS SELECT i % 10 AS i FROM generate_series(1, 100) i");
        cluster.try_psql("postgres", "CREATE UNIQUE INDEX CONCURRENTLY broken ON t (i)").unwrap_err();
        // Before the transaction, for whose end a slot would wait.
        cluster.psql("postgres", "SELECT pg_create_logical_replication_slot('reader', 'pgoutput')");
        cluster.psql("postgres", "BEGIN; LOCK TABLE t IN ROW EXCLUSIVE MODE; PREPARE TRANSACTION 'forgotten'");
        cluster.psql("postgres", "INSERT INTO t SELECT i FROM generate_series(1, 1000) i");
        let own = connect(&cluster, "postgres", "holdpoint watch").await;
        // It waits for the prepared transaction: no process is in its way.
        let build = "CREATE INDEX CONCURRENTLY being_built ON t (i)";
        let (pid, building) = waiting(&cluster, "postgres", "builder", build).await;
        let picture = look_until(&own, &Watched::default(), |picture| {
            picture.work.iter().any(|work| work.unit == "lockers") && picture.waits.len() == 1
        })
        .await;
        let work = &picture.work[0];
        assert_eq!((work.pid, work.command.as_str()), (pid, "CREATE INDEX CONCURRENTLY"));
        assert_eq!((work.relation.as_deref(), work.index.as_deref()), (Some("public.t"), Some("public.being_built")));
        assert_eq!((work.done, work.total), (0, 1), "{work:#?}");
        let indexes: Vec<_> = picture.invalid_indexes.iter().map(|one| (one.index.as_str(), one.built_by)).collect();
        assert_eq!(indexes, [("public.being_built", Some(pid)), ("public.broken", None)]);
        assert_eq!(picture.prepared.iter().map(|one| one.gid.as_str()).collect::<Vec<_>>(), ["forgotten"]);
        assert_eq!(picture.waits[0].behind.iter().map(|one| one.pid).collect::<Vec<_>>(), [None]);
        assert!(picture.blockers[0].is_root && picture.blockers[0].pid.is_none());
        let slot = &picture.slots[0];
        assert_eq!((slot.name.as_str(), slot.is_logical, slot.active_pid), ("reader", true, None));
        assert!(slot.behind_bytes.unwrap() > 0);
        assert!(picture.unseen.is_empty(), "{:#?}", picture.unseen);
        let about: Vec<String> =
            findings(&picture, Duration::from_secs(3600)).into_iter().map(|one| one.says).collect();
        assert_eq!(about, ["index public.broken of public.t is invalid"]);
        cluster.psql("postgres", "ROLLBACK PREPARED 'forgotten'");
        building.await.unwrap().unwrap();
        own.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_few_rights_is_told_what_it_does_not_see() {
    let cluster = Cluster::new(NEWEST);
    cluster.psql("postgres", "CREATE ROLE few LOGIN; CREATE DATABASE shop; CREATE DATABASE elsewhere");
    cluster.psql("shop", "CREATE TABLE t (i int)");
    let holder = connect(&cluster, "shop", "the app").await;
    let holder_pid = process(&holder).await;
    holder.run("test", &format!("BEGIN; LOCK TABLE t; SELECT '{VALUE}'")).await.unwrap();
    let (waiting_pid, waits) = waiting(&cluster, "shop", "reader", "SELECT * FROM t").await;
    let url = cluster.url("shop").replacen("postgres@", "few@", 1);
    let settings = ConnectionSettings::resolve(&url, &Environment::default()).unwrap();
    let few = Session::connect(&settings, &SessionPurpose::new("holdpoint watch")).await.unwrap();
    let picture = look_until(&few, &Watched::default(), |picture| picture.waits.len() == 1).await;
    let wait = &picture.waits[0];
    assert_eq!((wait.session.pid, wait.roots.as_slice()), (waiting_pid, &[holder_pid][..]));
    assert!(wait.session.hidden && wait.session.query.is_none() && wait.session.state.is_none());
    assert_eq!(wait.session.application_name, "reader");
    assert_eq!(wait.lock.relation.as_deref(), Some("public.t"));
    assert_eq!(picture.hidden_sessions, 2);
    assert!(picture.long.is_empty() && picture.idle_in_transaction.is_empty());

    let refused = cancel(&few, &find(&few, waiting_pid).await.unwrap(), Stop::Statement, None).await.unwrap_err();
    assert!(matches!(refused, Error::Watch(WatchError::NotAllowed { .. })), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Postgres);
    assert!(refused.hint().unwrap().contains("GRANT pg_signal_backend TO \"few\""), "{:?}", refused.hint());

    // Whatever must not be cancelled is refused by name.
    let elsewhere = connect(&cluster, "elsewhere", "the app").await;
    let ours = connect(&cluster, "shop", "holdpoint backup").await;
    let checkpointer: i32 = few
        .query_one("test", "SELECT pid FROM pg_stat_activity WHERE usename IS NULL AND datname IS NULL LIMIT 1", &[])
        .await
        .unwrap()
        .get(0);
    let session = connect(&cluster, "shop", "holdpoint watch").await;
    let own = process(&session).await;
    for (pid, kind, said) in [
        (process(&elsewhere).await, ErrorKind::Refused, "is a session of database elsewhere, not of shop"),
        (process(&ours).await, ErrorKind::Refused, "is a session of holdpoint itself"),
        (own, ErrorKind::Refused, "is a session of holdpoint itself"),
        (checkpointer, ErrorKind::Refused, "not a session"),
        (i32::MAX, ErrorKind::NotFound, "there is no session with process 2147483647"),
    ] {
        let error = find(&session, pid).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(said) && error.hint().is_some(), "{error}");
    }
    holder.run("test", "ROLLBACK").await.unwrap();
    waits.await.unwrap().unwrap();
}
